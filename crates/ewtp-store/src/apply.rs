//! `apply`: the state as a function of the frames in order. Rebuild and normal running use this one function.

use ewtp_log::hash::{leaf_hash, sha256};
use ewtp_log::lane::lane_leaf;
use ewtp_log::statement::{Header, StatementId, commitment, open_part};
use ewtp_log::{Hash, LogIndex};
use ewtp_proto::store::v1::{
    CaseRecord, Change, ChangeRun, Counters, DecisionRecord, EventRecord, FilingRecord, HeardPage,
    HeardStatement, Locator, OwnStatement, RefusalRecord, RequestRecord, StoredRuleset, WorkItem,
};
use ewtp_proto::{Message, v1};
use ewtp_trade::check::{net_mass_sum, value_sums};

use crate::journal::ReadFrame;
use crate::keys::{Key, Kind, LOG_TREE};
use crate::planted::{self, Bug};
use crate::trees::{self, Cells};

/// Most refusals kept in a case: more tell nobody anything new.
const REFUSALS_MAX: usize = 64;

/// One statement of a frame, own or heard, with what the frame knows of it.
struct Said<'a> {
    frame: &'a ReadFrame,
    header: Header,
    commitment: Hash,
    parts: &'a [ewtp_proto::store::v1::BlobRef],
    at: Locator,
    log_index: u64,
    hub: String,
    warnings: &'a [v1::Finding],
    account: &'a str,
    not_connected: bool,
}

impl Said<'_> {
    /// Content of a part, decoded; a part that is withheld or doesn't decode is the default.
    fn part<M: Message + Default>(&self, name: &str) -> Option<M> {
        let at = self.parts.iter().find(|p| p.name == name)?;
        let content = open_part(name, self.frame.blob(at)?).ok()?;
        M::decode(content).ok()
    }

    fn logged_ms(&self) -> u64 {
        self.header.time_ms().unwrap_or_default()
    }
}

pub(crate) struct Apply<'a, C: Cells> {
    cells: &'a mut C,
    own_hub: &'a str,
    counters: Counters,
    changes: Vec<Change>,
}

/// Applies one frame.
pub(crate) fn apply<C: Cells>(
    cells: &mut C,
    own_hub: &str,
    read: &ReadFrame,
) -> Result<(), C::Error> {
    let counters = load(cells, &Key::new(Kind::Counters).finish())?.unwrap_or_default();
    let mut run = Apply { cells, own_hub, counters, changes: Vec::new() };
    run.own(read)?;
    for page in &read.frame.heard {
        run.heard(read, page)?;
    }
    run.work(read)?;
    run.finish(read)
}

fn load<C: Cells, M: Message + Default>(cells: &C, key: &[u8]) -> Result<Option<M>, C::Error> {
    // Values are our own encodings: one that doesn't decode counts as absent, and `store check` reports it.
    Ok(cells.read(key)?.and_then(|bytes| M::decode(bytes.as_slice()).ok()))
}

impl<C: Cells> Apply<'_, C> {
    fn put(&mut self, key: Vec<u8>, message: &impl Message) {
        self.cells.write(key, message.encode_to_vec());
    }

    fn own(&mut self, read: &ReadFrame) -> Result<(), C::Error> {
        let frame = &read.frame;
        let Some(head) = &frame.head else { return Ok(()) };
        let mut leaves: Vec<Hash> = frame.raw_entries.iter().map(|e| leaf_hash(e)).collect();
        leaves.extend(frame.own.iter().map(|s| leaf_hash(&commitment(&s.header).0)));
        leaves.push(leaf_hash(&head.table_entry));
        let first = head.size - leaves.len() as u64;
        trees::append(self.cells, LOG_TREE, first, &leaves)?;
        let sequence = frame.sequence.to_be_bytes().to_vec();
        self.cells.write(Key::new(Kind::OwnFrame).number(first).finish(), sequence);
        self.lanes(read)?;
        self.put(Key::new(Kind::Head).finish(), head);
        for statement in &frame.own {
            self.counters.said += 1;
            self.own_statement(read, statement)?;
        }
        Ok(())
    }

    /// Lane entries of this frame, late ones first: they were addressed before the batch's own.
    fn lanes(&mut self, read: &ReadFrame) -> Result<(), C::Error> {
        use std::collections::BTreeMap;
        let mut by_peer: BTreeMap<&str, Vec<(u64, u64, Hash)>> = BTreeMap::new();
        for late in &read.frame.late {
            if let Some(address) = &late.address {
                let commitment = Hash::from_slice(&late.commitment).unwrap_or(Hash::EMPTY_ROOT);
                by_peer.entry(&address.peer).or_default().push((
                    address.number,
                    late.index,
                    commitment,
                ));
            }
        }
        for statement in &read.frame.own {
            let commitment = commitment(&statement.header);
            for address in &statement.audience {
                by_peer.entry(&address.peer).or_default().push((
                    address.number,
                    statement.index,
                    commitment,
                ));
            }
        }
        for (peer, entries) in by_peer {
            let Some((first, _, _)) = entries.first().copied() else { continue };
            let leaves: Vec<Hash> =
                entries.iter().map(|(_, i, c)| lane_leaf(LogIndex(*i), c)).collect();
            trees::append(self.cells, peer, first - 1, &leaves)?;
            let indexes: Vec<u8> = entries.iter().flat_map(|(_, i, _)| i.to_be_bytes()).collect();
            self.cells.write(Key::new(Kind::Lane).text(peer).number(first).finish(), indexes);
        }
        Ok(())
    }

    fn own_statement(&mut self, read: &ReadFrame, s: &OwnStatement) -> Result<(), C::Error> {
        if !s.lrn_key.is_empty() {
            let mut value = s.index.to_be_bytes().to_vec();
            value.extend_from_slice(short(&s.submission_digest));
            self.cells.write(lrn_row(&s.lrn_key), value);
        }
        let Ok(header) = Header::parse(&s.header) else { return Ok(()) };
        let said = Said {
            frame: read,
            commitment: commitment(&s.header),
            hub: header.hub.clone(),
            header,
            parts: &s.parts,
            at: Locator { peer: String::new(), generation: 0, number: s.index },
            log_index: s.index,
            warnings: &s.warnings,
            account: &s.account,
            not_connected: s.not_connected,
        };
        self.statement(&said)
    }

    fn heard(&mut self, read: &ReadFrame, page: &HeardPage) -> Result<(), C::Error> {
        if let Some(state) = &page.state {
            let key = Key::new(Kind::Receiver).text(&page.peer).number(page.generation).finish();
            self.put(key, state);
        }
        if page.statements.is_empty() {
            return Ok(());
        }
        let key =
            Key::new(Kind::HeardFrame).text(&page.peer).number(page.generation).number(page.first);
        self.cells.write(key.finish(), read.frame.sequence.to_be_bytes().to_vec());
        for (number, statement) in (page.first..).zip(&page.statements) {
            self.counters.heard += 1;
            self.heard_statement(read, page, number, statement)?;
        }
        Ok(())
    }

    fn heard_statement(
        &mut self,
        read: &ReadFrame,
        page: &HeardPage,
        number: u64,
        s: &HeardStatement,
    ) -> Result<(), C::Error> {
        let Ok(header) = Header::parse(&s.header) else { return Ok(()) };
        let identity = identity_key(&page.peer, &header.id);
        if self.cells.read(&identity)?.is_none() {
            self.cells.write(identity, commitment(&s.header).0[..8].to_vec());
        }
        let said = Said {
            frame: read,
            commitment: commitment(&s.header),
            hub: page.peer.clone(),
            header,
            parts: &s.parts,
            at: Locator { peer: page.peer.clone(), generation: page.generation, number },
            log_index: s.index,
            warnings: &s.warnings,
            account: "",
            not_connected: false,
        };
        if s.not_honoured.is_empty() {
            self.statement(&said)
        } else {
            self.not_honoured(&said, &s.not_honoured)
        }
    }

    fn statement(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        match said.header.id.kind.as_str() {
            "filing" => self.filing(said),
            "decision" => self.decision(said),
            "info-request" => self.request(said),
            "info-answer" => self.answer(said),
            "event" => self.event(said),
            "ack" => self.ack(said),
            "account" => self.record::<v1::AccountRecord>(said, Kind::Account),
            "peer" => self.record::<v1::PeerRecord>(said, Kind::Peer),
            "ruleset" => self.ruleset(said),
            _ => Ok(()), // kinds of later versions are kept and shown as unknown
        }
    }

    fn case(&self, id: &str) -> Result<Option<CaseRecord>, C::Error> {
        match self.cells.read(&Key::new(Kind::CaseId).text(id).finish())? {
            Some(ordinal) => load(self.cells, &Key::new(Kind::Case).bytes(&ordinal).finish()),
            None => Ok(None),
        }
    }

    fn put_case(&mut self, mut case: CaseRecord) {
        case.revision += 1;
        self.changes.push(Change { case_id: case.case_id.clone(), account: case.account.clone() });
        self.put(Key::new(Kind::Case).number(case.ordinal).finish(), &case);
    }

    fn filing(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::FilingCore>("core") else { return Ok(()) };
        let mut case = match self.case(&core.case_id)? {
            Some(case) => case,
            None => self.open_case(said, &core),
        };
        let mut filing = FilingRecord {
            officer_version: 0,
            filing_id: core.filing_id.clone(),
            r#type: core.r#type,
            hub: said.hub.clone(),
            version: core.version,
            commitment: said.commitment.0.to_vec(),
            at: Some(said.at.clone()),
            log_index: said.log_index,
            assessed_by: if said.not_connected { String::new() } else { assessed_by(said, &core) },
            logged_ms: said.logged_ms(),
            received_ms: said.frame.frame.time_ms,
            lrn: core.lrn.clone(),
            mrn: core.mrn.clone(),
        };
        match case.filings.iter_mut().find(|f| f.filing_id == core.filing_id) {
            Some(before) => {
                filing.officer_version = before.officer_version;
                *before = filing;
            }
            None => case.filings.push(filing),
        }
        if case.filings.first().is_some_and(|f| f.filing_id == core.filing_id) {
            case.summary = Some(summary_of(said, &core, case.created_ms));
        }
        if let Some(summary) = &mut case.summary {
            summary.filings = case.filings.len() as u32;
        }
        self.put_case(case);
        Ok(())
    }

    fn open_case(&mut self, said: &Said<'_>, core: &v1::FilingCore) -> CaseRecord {
        let ordinal = self.counters.cases;
        self.counters.cases += 1;
        let id = core.case_id.clone();
        let row = Key::new(Kind::CaseId).text(&id).finish();
        self.cells.write(row, ordinal.to_be_bytes().to_vec());
        if !said.account.is_empty() {
            let key = Key::new(Kind::AccountCases).text(said.account).number(ordinal).finish();
            self.cells.write(key, Vec::new());
        }
        let created_ms = said.frame.frame.time_ms;
        CaseRecord {
            case_id: id.clone(),
            ordinal,
            created_ms,
            account: said.account.to_owned(),
            ..Default::default()
        }
    }

    fn decision(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::DecisionCore>("core") else { return Ok(()) };
        let Some(mut case) = self.case(&core.case_id)? else { return Ok(()) };
        if planted::is(Bug::StateDiffers) && !said.at.peer.is_empty() {
            return Ok(());
        }
        for filing in case.filings.iter_mut().filter(|f| f.filing_id == core.filing_id) {
            if filing.officer_version <= core.filing_version {
                filing.officer_version = 0;
            }
        }
        case.decisions.push(DecisionRecord {
            filing_id: core.filing_id,
            filing_version: core.filing_version,
            effect: core.effect,
            code: core.code,
            hub: said.hub.clone(),
            commitment: said.commitment.0.to_vec(),
            at: Some(said.at.clone()),
            log_index: said.log_index,
            logged_ms: said.logged_ms(),
        });
        self.put_case(case);
        Ok(())
    }

    fn request(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::InfoRequestCore>("core") else { return Ok(()) };
        let Some(mut case) = self.case(&core.case_id)? else { return Ok(()) };
        case.requests.push(RequestRecord {
            filing_id: core.filing_id,
            filing_version: core.filing_version,
            commitment: said.commitment.0.to_vec(),
            at: Some(said.at.clone()),
            log_index: said.log_index,
            hub: said.hub.clone(),
            deadline_ms: u64::try_from(core.deadline_ms).unwrap_or_default(),
            ..Default::default()
        });
        self.put_case(case);
        Ok(())
    }

    fn answer(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::InfoAnswerCore>("core") else { return Ok(()) };
        let Some(mut case) = self.case(&core.case_id)? else { return Ok(()) };
        let open =
            |r: &&mut RequestRecord| r.commitment == core.request && r.answer_commitment.is_empty();
        let Some(request) = case.requests.iter_mut().find(open) else { return Ok(()) };
        request.answer = Some(said.at.clone());
        request.answer_commitment = said.commitment.0.to_vec();
        request.answer_log_index = said.log_index;
        request.answer_hub = said.hub.clone();
        self.put_case(case);
        Ok(())
    }

    fn event(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::EventCore>("core") else { return Ok(()) };
        let Some(v1::event_selector::By::CaseId(id)) = core.selector.and_then(|s| s.by) else {
            return Ok(());
        };
        let Some(mut case) = self.case(&id)? else { return Ok(()) };
        let officer = [v1::EventCode::RuleError as i32, v1::EventCode::AnswerOverdue as i32];
        // By version, because an amendment and this event may reach the two hubs in different order.
        let about = |f: &&mut FilingRecord| f.filing_id == core.filing_id;
        if officer.contains(&core.code)
            && let Some(filing) = case.filings.iter_mut().find(about)
        {
            // An event of an earlier version of the software names no version: it is about the one that it found.
            let about = if core.filing_version == 0 { filing.version } else { core.filing_version };
            filing.officer_version = filing.officer_version.max(about);
        }
        case.events.push(EventRecord {
            at: Some(said.at.clone()),
            commitment: said.commitment.0.to_vec(),
            log_index: said.log_index,
            hub: said.hub.clone(),
        });
        self.put_case(case);
        Ok(())
    }

    /// A peer does not honour something that we said.
    fn ack(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let Some(core) = said.part::<v1::AckCore>("core") else { return Ok(()) };
        if said.hub == self.own_hub {
            return Ok(());
        }
        let Some(mut case) = self.case(&core.case_id)? else { return Ok(()) };
        if case.refusals.len() >= REFUSALS_MAX {
            return Ok(());
        }
        case.refusals.push(RefusalRecord {
            statement: Some(v1::StatementRef {
                hub: self.own_hub.to_owned(),
                commitment: core.commitment,
                log_index: core.log_index,
            }),
            reasons: core.reasons,
            hub: said.hub.clone(),
        });
        self.put_case(case);
        Ok(())
    }

    /// We do not honour something that a peer said.
    fn not_honoured(&mut self, said: &Said<'_>, reasons: &[v1::Finding]) -> Result<(), C::Error> {
        // Every core that belongs to a case names it in field 1 or, in filings, field 3; only known kinds are read.
        let case_id = match said.header.id.kind.as_str() {
            "filing" => said.part::<v1::FilingCore>("core").map(|c| c.case_id),
            "decision" => said.part::<v1::DecisionCore>("core").map(|c| c.case_id),
            "info-request" => said.part::<v1::InfoRequestCore>("core").map(|c| c.case_id),
            "info-answer" => said.part::<v1::InfoAnswerCore>("core").map(|c| c.case_id),
            _ => None,
        };
        let Some(mut case) = self.case(&case_id.unwrap_or_default())? else { return Ok(()) };
        if case.refusals.len() >= REFUSALS_MAX {
            return Ok(());
        }
        case.refusals.push(RefusalRecord {
            statement: Some(v1::StatementRef {
                hub: said.hub.clone(),
                commitment: said.commitment.0.to_vec(),
                log_index: said.log_index,
            }),
            reasons: reasons.to_vec(),
            hub: self.own_hub.to_owned(),
        });
        self.put_case(case);
        Ok(())
    }

    fn record<M: Message + Default>(
        &mut self,
        said: &Said<'_>,
        kind: Kind,
    ) -> Result<(), C::Error> {
        // Records of accounts and peers are said by the hub itself alone.
        if said.hub != self.own_hub || !said.at.peer.is_empty() {
            return Ok(());
        }
        if let Some(record) = said.part::<M>("internal") {
            let key = Key::new(kind).text(&said.header.id.subject).finish();
            self.put(key, &record);
        }
        Ok(())
    }

    fn ruleset(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        let (Some(core), true) = (said.part::<v1::RulesetCore>("core"), said.at.peer.is_empty())
        else {
            return Ok(());
        };
        let internal = said.part::<v1::RulesetInternal>("internal").unwrap_or_default();
        let text = if core.confidential { internal.text } else { core.text.clone() };
        let key = Key::new(Kind::Ruleset).text(&core.name).number(u64::from(core.version)).finish();
        let commitment = said.commitment.0.to_vec();
        self.put(
            key,
            &StoredRuleset { core: Some(core), text, log_index: said.log_index, commitment },
        );
        Ok(())
    }

    /// Work by id, and in the index of what it waits for: an officer's items are in none, so they hide nothing.
    fn work(&mut self, read: &ReadFrame) -> Result<(), C::Error> {
        for id in &read.frame.work_consumed {
            let key = Key::new(Kind::Work).text(id).finish();
            if let Some(index) =
                load::<_, WorkItem>(self.cells, &key)?.and_then(|item| work_index(&item))
            {
                self.cells.erase(index);
            }
            self.cells.erase(key);
        }
        for item in &read.frame.work_made {
            self.put(Key::new(Kind::Work).text(&item.id).finish(), item);
            if let Some(index) = work_index(item) {
                self.cells.write(index, item.id.clone().into_bytes());
            }
        }
        Ok(())
    }

    fn finish(mut self, read: &ReadFrame) -> Result<(), C::Error> {
        if !self.changes.is_empty() {
            let first = self.counters.changes + 1;
            self.counters.changes += self.changes.len() as u64;
            let run = ChangeRun { changes: std::mem::take(&mut self.changes) };
            self.put(Key::new(Kind::Changes).number(first).finish(), &run);
        }
        self.counters.applied = read.frame.sequence;
        self.counters.any = true;
        self.counters.time_ms = read.frame.time_ms;
        let counters = self.counters;
        self.put(Key::new(Kind::Counters).finish(), &counters);
        Ok(())
    }
}

/// Key of an identity that a peer used: half of a digest, so that rows are small. To collide two identities of
/// its own costs a peer 2⁶⁴ tries and wins it a refusal.
pub(crate) fn identity_key(peer: &str, id: &StatementId) -> Vec<u8> {
    let name = Key::new(Kind::Identity).text(&id.kind).text(&id.subject).number(id.number).finish();
    Key::new(Kind::Identity).text(peer).bytes(short(&sha256(&[&name]).0)).finish()
}

/// Row of an LRN, from its keyed digest.
pub(crate) fn lrn_row(key: &[u8]) -> Vec<u8> {
    Key::new(Kind::Lrn).bytes(short(key)).finish()
}

/// The half of a digest that rows hold.
pub(crate) fn short(digest: &[u8]) -> &[u8] {
    digest.get(..16).unwrap_or(digest)
}

/// The row of a case, from the newest version of its first filing.
fn summary_of(said: &Said<'_>, core: &v1::FilingCore, created_ms: u64) -> v1::CaseSummary {
    let mut parts = v1::Filing {
        core: Some(core.clone()),
        goods: said.part("goods"),
        value: said.part("value"),
        ..Default::default()
    };
    if planted::is(Bug::SumsShort)
        && let (Some(goods), Some(value)) = (&mut parts.goods, &mut parts.value)
    {
        goods.items.pop();
        value.items.pop();
    }
    let mut warnings = std::collections::BTreeMap::new();
    for w in said.warnings {
        *warnings.entry(w.code.clone()).or_insert(0) += 1;
    }
    v1::CaseSummary {
        case_id: core.case_id.clone(),
        filed_at: said.hub.clone(),
        destination: core.country_of_destination.clone(),
        lrn: core.lrn.clone(),
        mrn: core.mrn.clone(),
        ucr: core.ucr.clone(),
        value: value_sums(&parts),
        net_mass_kg: net_mass_sum(&parts),
        warnings,
        synthesised: core.synthesised.len() as u32,
        created_ms: i64::try_from(created_ms).unwrap_or(i64::MAX),
        ..Default::default()
    }
}

fn work_index(item: &WorkItem) -> Option<Vec<u8>> {
    if !item.officer_reason.is_empty() {
        return None;
    }
    Some(match item.waits_until_ms {
        // In the order of arrival: nobody is overtaken for the letters of an id.
        0 => Key::new(Kind::ReadyWork).number(item.made_ms).text(&item.id).finish(),
        deadline => Key::new(Kind::WaitingWork).number(deadline).text(&item.id).finish(),
    })
}

/// Hub that assesses a filing: told by the filing hub in its core for its own; the audience follows from the route.
fn assessed_by(said: &Said<'_>, core: &v1::FilingCore) -> String {
    if core.assessed_by.is_empty() { said.hub.clone() } else { core.assessed_by.clone() }
}
