//! `apply`: the state as a function of the frames in order. Rebuild and normal running use this one function.

mod consultations;
mod forgotten;
mod records;
mod refusals;

use std::collections::BTreeMap;

use ewtp_log::hash::{leaf_hash, sha256};
use ewtp_log::lane::lane_leaf;
use ewtp_log::statement::{Header, StatementId, commitment, open_part};
use ewtp_log::{Hash, LogIndex};
use ewtp_proto::store::v1::{
    CaseRecord, Change, ChangeRun, Counters, HeardPage, HeardStatement, LaneAddress, LedgersKept,
    Locator, OwnStatement, SelectingEvent, Stands, WorkItem,
};
use ewtp_proto::{Message, v1};
use ewtp_trade::check::{net_mass_sum, value_sums};
use ewtp_trade::record::{Fact, event, fact, put};
use ewtp_trade::selector;

use crate::forgetting::own_entry;
use crate::journal::ReadFrame;
use crate::keys::{Key, Kind, LOG_TREE};
use crate::planted::{self, Bug};
use crate::trees::{self, Cells};

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
    /// Peers that it is said to, of own statements.
    audience: &'a [LaneAddress],
    /// Countries without a hub, of own filings.
    unconnected: &'a [String],
}

impl Said<'_> {
    /// Content of a part, decoded; a part that is withheld or doesn't decode is the default.
    fn part<M: Message + Default>(&self, name: &str) -> Option<M> {
        let at = self.parts.iter().find(|p| p.name == name)?;
        let content = open_part(name, self.frame.blob(at)?).ok()?;
        M::decode(content).ok()
    }

    /// What it says about a case, if it is of a kind that does.
    fn fact(&self) -> Option<Fact> {
        let at = self.parts.iter().find(|p| p.name == "core")?;
        let core = open_part("core", self.frame.blob(at)?).ok()?;
        let id = &self.header.id;
        let mut fact = fact(&id.kind, id.number, core, self.account)?;
        if let Fact::Filing { parties, goods, .. } = &mut fact {
            **parties = self.part("parties").unwrap_or_default();
            **goods = self.part("goods").unwrap_or_default();
        }
        if let Fact::Drawing { goods, .. } = &mut fact {
            **goods = self.part("goods").unwrap_or_default();
        }
        Some(fact)
    }

    /// The attachments that it cites.
    fn cited(&self, fact: &Fact) -> Vec<v1::AttachmentReference> {
        match fact {
            Fact::Filing { goods, .. } => goods.attachments.clone(),
            Fact::Answer(_) => {
                self.part::<v1::InfoAnswerTrader>("trader").unwrap_or_default().attachments
            }
            _ => Vec::new(),
        }
    }

    fn stands(&self) -> Stands {
        Stands {
            hub: self.hub.clone(),
            commitment: self.commitment.0.to_vec(),
            at: Some(self.at.clone()),
            log_index: self.log_index,
            logged_ms: self.header.time_ms().unwrap_or_default(),
            received_ms: self.frame.frame.time_ms,
        }
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
    run.erasures(read)?;
    run.work(read)?;
    run.watching(read);
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
        let leaves: Vec<Hash> = read.log_entries().iter().map(|e| leaf_hash(&e.0)).collect();
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

    /// Lane entries of this frame, by their numbers.
    fn lanes(&mut self, read: &ReadFrame) -> Result<(), C::Error> {
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
            let commitment = own_entry(statement);
            for address in &statement.audience {
                by_peer.entry(&address.peer).or_default().push((
                    address.number,
                    statement.index,
                    commitment,
                ));
            }
        }
        for (peer, mut entries) in by_peer {
            entries.sort_unstable_by_key(|(number, _, _)| *number);
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
        let at = Locator { peer: String::new(), generation: 0, number: s.index };
        if let Some(forgotten) = &s.forgotten {
            let hub = self.own_hub.to_owned();
            let stands = Stands { hub, at: Some(at), log_index: s.index, ..Stands::default() };
            return self.forgotten(read, stands, forgotten, &s.account, &s.audience);
        }
        let Ok(header) = Header::parse(&s.header) else { return Ok(()) };
        let said = Said {
            frame: read,
            commitment: commitment(&s.header),
            hub: header.hub.clone(),
            header,
            parts: &s.parts,
            at,
            log_index: s.index,
            warnings: &s.warnings,
            account: &s.account,
            audience: &s.audience,
            unconnected: &s.unconnected,
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
        let at = Locator { peer: page.peer.clone(), generation: page.generation, number };
        if let Some(forgotten) = &s.forgotten {
            let (kind, subject) = (forgotten.kind.clone(), forgotten.subject.clone());
            let id = StatementId { kind, subject, number: forgotten.number };
            self.identity(&page.peer, &id, number)?;
            let hub = page.peer.clone();
            let stands = Stands { hub, at: Some(at), log_index: s.index, ..Stands::default() };
            return self.forgotten(read, stands, forgotten, "", &[]);
        }
        let Ok(header) = Header::parse(&s.header) else { return Ok(()) };
        self.identity(&page.peer, &header.id, number)?;
        let said = Said {
            frame: read,
            commitment: commitment(&s.header),
            hub: page.peer.clone(),
            header,
            parts: &s.parts,
            at,
            log_index: s.index,
            warnings: &s.warnings,
            account: "",
            audience: &[],
            unconnected: &[],
        };
        if s.not_honoured.is_empty() {
            self.statement(&said)
        } else {
            self.not_honoured(&said, &s.not_honoured)
        }
    }

    /// The first statement under an identity counts: its lane number.
    fn identity(&mut self, peer: &str, id: &StatementId, number: u64) -> Result<(), C::Error> {
        let key = identity_key(peer, id);
        if self.cells.read(&key)?.is_none() {
            self.cells.write(key, number.to_be_bytes().to_vec());
        }
        Ok(())
    }

    fn statement(&mut self, said: &Said<'_>) -> Result<(), C::Error> {
        if let Some(fact) = said.fact() {
            return self.fact(said, fact);
        }
        match said.header.id.kind.as_str() {
            "ack" => self.ack(said),
            "account" => self.record::<v1::AccountRecord>(said, Kind::Account),
            "peer" => self.peer(said),
            "mandate" => self.mandate(said),
            "draw-key" => self.draw_key(said),
            "ruleset" => self.ruleset(said),
            "code-list" => self.code_list(said),
            "arrangement" => self.arrangement(said),
            "certificate" => self.certificate(said),
            "quality-alarm" => self.quality_alarm(said),
            "report" => self.report(said),
            "ruleset-draft" => self.rules_draft(said),
            "ruleset-comment" => self.rules_comment(said),
            "ruleset-answer" => self.rules_answer(said),
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
        self.changes.push(Change {
            case_id: case.case_id.clone(),
            accounts: case.accounts.clone(),
            parties: case.parties.clone(),
            ..Change::default()
        });
        self.put(Key::new(Kind::Case).number(case.ordinal).finish(), &case);
    }

    /// A statement about a case. With three hubs a decision may be heard before the filing that it is about: the case begins
    /// with what comes first, and what counts is computed when it is looked at.
    fn fact(&mut self, said: &Said<'_>, fact: Fact) -> Result<(), C::Error> {
        let id = fact.case_id();
        if let (Fact::Event(core), true) = (&fact, id.is_empty()) {
            return self.selecting(said, core);
        }
        if id.is_empty() {
            return Ok(());
        }
        if planted::is(Bug::StateDiffers)
            && matches!(fact, Fact::Decision(_))
            && !said.at.peer.is_empty()
        {
            return Ok(());
        }
        let mut case = match self.case(id)? {
            Some(case) => case,
            // What is to be forgotten, or kept, begins no case.
            None if matches!(fact, Fact::Erasure(_) | Fact::Keeping(_)) => return Ok(()),
            None => self.open_case(said.frame, id),
        };
        let filed = match &fact {
            Fact::Filing { core, goods, .. } => Some((core.clone(), goods.clone())),
            _ => None,
        };
        let routed = match &fact {
            Fact::Route(core) if said.at.peer.is_empty() => Some(core.clone()),
            _ => None,
        };
        if let Fact::Erasure(core) = &fact {
            // An attachment's bytes, or an order about statements.
            let row = match core.digest.as_slice() {
                [] => Key::new(Kind::Ordered).number(case.ordinal),
                digest => Key::new(Kind::Erased).bytes(digest),
            };
            self.cells.write(row.finish(), Vec::new());
        }
        if matches!(fact, Fact::Decision(_)) && said.at.peer.is_empty() {
            self.relied_upon(said, case.ordinal);
        }
        if let Fact::Event(core) = &fact
            && core.code() == v1::EventCode::Inspected
        {
            self.found(said, core);
        }
        if let (Fact::Drawing { core, goods, .. }, true) = (&fact, said.at.peer.is_empty()) {
            self.ledger(said, core, goods)?;
        }
        for cited in said.cited(&fact) {
            let row = Key::new(Kind::Cited).bytes(short(&cited.digest)).number(case.ordinal);
            self.cells.write(row.finish(), Vec::new());
        }
        for address in said.audience {
            if !case.told.contains(&address.peer) {
                case.told.push(address.peer.clone());
            }
        }
        let (accounts, parties) = (case.accounts.len(), case.parties.len());
        let selectors = case.selectors.len();
        put(&mut case, said.stands(), fact);
        for selector in &case.selectors[selectors..] {
            self.index(Kind::Selected, &selector.name, case.ordinal);
        }
        for country in said.unconnected {
            self.index(Kind::Unconnected, country, case.ordinal);
        }
        if let Some(core) = routed {
            let waited = Key::new(Kind::Unconnected).text(&core.country).number(case.ordinal);
            if !core.more {
                self.cells.erase(waited.finish());
            }
            said_to(&mut case, &core.filing_id, said.audience);
        }
        for account in &case.accounts[accounts..] {
            self.index(Kind::AccountCases, account, case.ordinal);
        }
        for party in &case.parties[parties..] {
            self.index(Kind::PartyCases, party, case.ordinal);
        }
        if let Some((core, goods)) = filed {
            said_to(&mut case, &core.filing_id, said.audience);
            // What replaces nothing isn't listed either.
            let stands = Some(said.stands());
            if let Some(filing) = case.filings.iter_mut().find(|f| f.stands == stands) {
                filing.summary = Some(summary_of(said, &core, *goods));
            }
        }
        self.put_case(case);
        Ok(())
    }

    /// An event about many cases is kept once; a case takes it up when it is looked at.
    fn selecting(&mut self, said: &Said<'_>, core: &v1::EventCore) -> Result<(), C::Error> {
        let Some(selector) = core.selector.as_ref().and_then(selector::name) else { return Ok(()) };
        let stands = said.stands();
        let key = selecting_row(&selector).number(stands.logged_ms).text(&said.hub);
        let key = key.number(said.log_index);
        let event = Some(event(stands, core.clone()));
        self.put(key.finish(), &SelectingEvent { event, selector: selector.clone() });
        self.counters.selecting += 1;
        self.changes.push(Change { selector, ..Default::default() });
        Ok(())
    }

    /// Certificates that a decision of this hub relied upon.
    fn relied_upon(&mut self, said: &Said<'_>, ordinal: u64) {
        let trader = said.part::<v1::DecisionTrader>("trader").unwrap_or_default().recognised;
        let authority = said.part::<v1::DecisionAuthority>("authority").unwrap_or_default();
        for fact in trader.iter().chain(&authority.recognised) {
            if !fact.certificate_id.is_empty() {
                self.index(Kind::Relied, &fact.certificate_id, ordinal);
            }
        }
    }

    fn index(&mut self, kind: Kind, whose: &str, ordinal: u64) {
        self.cells.write(Key::new(kind).text(whose).number(ordinal).finish(), Vec::new());
    }

    fn open_case(&mut self, read: &ReadFrame, id: &str) -> CaseRecord {
        let ordinal = self.counters.cases;
        self.counters.cases += 1;
        let row = Key::new(Kind::CaseId).text(id).finish();
        self.cells.write(row, ordinal.to_be_bytes().to_vec());
        CaseRecord {
            case_id: id.to_owned(),
            ordinal,
            created_ms: read.frame.time_ms,
            ..Default::default()
        }
    }

    /// What is known of logs and of who keeps them.
    fn watching(&mut self, read: &ReadFrame) {
        let frame = &read.frame;
        for learnt in &frame.learnt {
            let key = Key::new(Kind::Descriptor).text(&learnt.hub).number(learnt.version);
            self.put(key.finish(), learnt);
        }
        for head in &frame.witnessed {
            self.put(Key::new(Kind::Witnessed).text(&head.origin).finish(), head);
        }
        for head in &frame.cosigned {
            self.put(Key::new(Kind::Cosigned).number(head.size).finish(), head);
        }
        for evidence in &frame.evidence {
            self.put(Key::new(Kind::Evidence).bytes(&evidence.digest).finish(), evidence);
        }
        if frame.ledgers_kept != 0 {
            let kept = LedgersKept { change: frame.ledgers_kept - 1 };
            self.put(Key::new(Kind::LedgersKept).finish(), &kept);
        }
    }

    /// Work by id, and in the index of what it waits for; officers' items have one of their own, so they hide nothing.
    fn work(&mut self, read: &ReadFrame) -> Result<(), C::Error> {
        for id in &read.frame.work_consumed {
            let key = Key::new(Kind::Work).text(id).finish();
            if let Some(item) = load::<_, WorkItem>(self.cells, &key)? {
                self.cells.erase(work_index(&item));
            }
            self.cells.erase(key);
        }
        for item in &read.frame.work_made {
            self.put(Key::new(Kind::Work).text(&item.id).finish(), item);
            self.cells.write(work_index(item), item.id.clone().into_bytes());
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

/// Row of a statement that is not honoured, by its commitment.
pub(crate) fn refused_row(commitment: &[u8]) -> Vec<u8> {
    Key::new(Kind::Refused).bytes(short(commitment)).finish()
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

/// Events that select by a name, in the order of their logged times.
pub(crate) fn selecting_row(selector: &str) -> Key {
    Key::new(Kind::Selecting).text(selector)
}

/// The half of a digest that rows hold.
pub(crate) fn short(digest: &[u8]) -> &[u8] {
    digest.get(..16).unwrap_or(digest)
}

/// The row of a case whose first filing this is.
fn summary_of(said: &Said<'_>, core: &v1::FilingCore, goods: v1::FilingGoods) -> v1::CaseSummary {
    let mut parts = v1::Filing {
        core: Some(core.clone()),
        goods: said.parts.iter().any(|p| p.name == "goods").then_some(goods),
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
        filed_at: said.hub.clone(),
        destination: core.country_of_destination.clone(),
        lrn: core.lrn.clone(),
        mrn: core.mrn.clone(),
        ucr: core.ucr.clone(),
        value: value_sums(&parts),
        net_mass_kg: net_mass_sum(&parts),
        warnings,
        synthesised: core.synthesised.len() as u32,
        ..Default::default()
    }
}

/// Notes whom an own filing was said to.
fn said_to(case: &mut CaseRecord, filing_id: &str, audience: &[LaneAddress]) {
    let Some(filing) = case.filings.iter_mut().find(|f| f.filing_id == filing_id) else { return };
    for address in audience {
        if !filing.said_to.contains(&address.peer) {
            filing.said_to.push(address.peer.clone());
        }
    }
}

fn work_index(item: &WorkItem) -> Vec<u8> {
    if !item.officer_reason.is_empty() {
        return officers_row(item).finish();
    }
    match item.waits_until_ms {
        // In the order of arrival: nobody is overtaken for the letters of an id.
        0 => Key::new(Kind::ReadyWork).number(item.made_ms).text(&item.id).finish(),
        deadline => Key::new(Kind::WaitingWork).number(deadline).text(&item.id).finish(),
    }
}

/// Row of an officer's item: what goes first, then as it was made.
pub(crate) fn officers_row(item: &WorkItem) -> Key {
    Key::new(Kind::OfficersWork).byte(u8::from(!item.priority)).number(item.made_ms).text(&item.id)
}
