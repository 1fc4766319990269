//! Arrangements with peers: what both hubs said about theirs, what that comes to now or came to then, and the next step.

use std::collections::BTreeMap;
use std::sync::Arc;

use ewtp_clearance::arrangement::chain::{Act, Agreed, At, Chain, Side, Step, conclude};
use ewtp_clearance::arrangement::{Arrangement, DOCUMENT_BYTES_MAX, governing};
use ewtp_log::hash::sha256;
use ewtp_log::statement::Header;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::StoredArrangementStep;
use ewtp_proto::v1::{self, ArrangementStep};
use ewtp_store::{Store, StoreError, Views};
use ewtp_trade::finding::{Say, finding};

use crate::directory::{Directory, Peer};
use crate::draft::{Draft, NewStatement, SayError};
use crate::shared::Shared;
use crate::statement_check::Judge;

/// Most steps of one hub: all of them are read whenever one is added.
const STEPS_MAX: u64 = 1000;
/// Most proposals of one hub for one number.
const PROPOSALS_MAX: usize = 32;
/// Most bytes of a reason.
const REASON_BYTES_MAX: usize = 500;

/// What two hubs said about their arrangement.
#[derive(Debug, Default)]
pub struct Standing {
    side: Option<Side>,
    own: Vec<StoredArrangementStep>,
    theirs: Vec<StoredArrangementStep>,
    documents: BTreeMap<Hash, Arc<Arrangement>>,
    chain: Chain,
}

/// What governs between two hubs.
#[derive(Debug, Clone)]
pub enum Governs {
    /// This document.
    Document(Arc<Arrangement>),
    /// None, for this reason.
    None(String),
}

/// Why a step was not said.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Not a peer, or one that is removed.
    #[error("{0} is no active peer")]
    NoPeer(String),
    /// What anything is not said for.
    #[error(transparent)]
    Say(#[from] SayError),
}

fn digest(bytes: &[u8]) -> Option<Hash> {
    Hash::from_slice(bytes)
}

impl Standing {
    fn of(me: &HubId, peer: &HubId, steps: Vec<StoredArrangementStep>) -> Self {
        let (theirs, own): (Vec<_>, Vec<_>) = steps.into_iter().partition(|s| s.heard);
        let proposals = own.iter().chain(&theirs).filter_map(|s| s.core.as_ref());
        let proposals = proposals.filter(|c| c.step() == ArrangementStep::Propose);
        // They were checked when they were said or heard.
        let read = |core: &v1::ArrangementCore| Arrangement::parse(&core.text).ok().map(Arc::new);
        let documents = proposals.filter_map(read).map(|a| (a.digest, a)).collect();
        let side = Some(if me < peer { Side::First } else { Side::Second });
        let mut standing = Self { side, own, theirs, documents, chain: Chain::default() };
        standing.chain = standing.as_known(u64::MAX);
        standing
    }

    /// What it came to as known here at an instant, Unix milliseconds.
    #[must_use]
    pub fn as_known(&self, at_ms: u64) -> Chain {
        let steps = |all: &[StoredArrangementStep]| {
            let mut out: Vec<Step> = Vec::with_capacity(all.len());
            for stored in all.iter().take_while(|s| s.known_ms <= at_ms) {
                let seen = out.last().map_or(0, |s| s.seen);
                let place = usize::try_from(stored.number.saturating_sub(1)).unwrap_or(0);
                out.resize(place.max(out.len()), Step { act: Act::Unheard, seen });
                out.push(step(stored));
            }
            out
        };
        let (own, theirs) = (steps(&self.own), steps(&self.theirs));
        match self.side {
            Some(Side::Second) => conclude(&theirs, &own),
            _ => conclude(&own, &theirs),
        }
    }

    fn stored(&self, (side, index): At) -> Option<&StoredArrangementStep> {
        let all = if Some(side) == self.side { &self.own } else { &self.theirs };
        let at = all.binary_search_by_key(&(index as u64 + 1), |s| s.number).ok()?;
        all.get(at)
    }

    /// Number of the next step of this hub.
    fn next_number(&self) -> u64 {
        self.own.last().map_or(0, |s| s.number) + 1
    }

    /// The documents that hold, oldest first, whether their days have begun or not.
    pub fn holding(&self) -> impl Iterator<Item = &Arc<Arrangement>> {
        self.holding_by(&self.chain)
    }

    fn holding_by<'a>(&'a self, chain: &'a Chain) -> impl Iterator<Item = &'a Arc<Arrangement>> {
        chain.holding().filter_map(|a| self.documents.get(&a.digest))
    }

    /// All documents that were agreed, whether they hold still or not.
    pub fn agreed(&self) -> impl Iterator<Item = &Arc<Arrangement>> {
        self.chain.agreed.iter().filter_map(|a| self.documents.get(&a.digest))
    }

    /// How many steps are known.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.own.len() + self.theirs.len()
    }

    /// The document that governs what happens at an instant, as known now.
    #[must_use]
    pub fn governs(&self, at_ms: i64) -> Governs {
        self.governs_by(&self.chain, at_ms)
    }

    /// The same as it was known at that instant: what was said later changes nothing of what was done then.
    #[must_use]
    pub fn governed(&self, at_ms: u64) -> Governs {
        self.governs_by(&self.as_known(at_ms), i64::try_from(at_ms).unwrap_or(i64::MAX))
    }

    fn governs_by(&self, chain: &Chain, at_ms: i64) -> Governs {
        let holding: Vec<&Arc<Arrangement>> = self.holding_by(chain).collect();
        match governing(holding.iter().copied(), at_ms) {
            Some(document) => Governs::Document(Arc::clone(document)),
            None if !chain.suspended.is_empty() => Governs::None("it is suspended".into()),
            None if chain.agreed.is_empty() => Governs::None("nothing is agreed yet".into()),
            None => Governs::None(match holding.as_slice() {
                [] => "it was ended".into(),
                [first, ..] if !first.has_begun(at_ms) => {
                    format!("it begins on {}, in {}", first.valid_from, first.time_zone_name)
                }
                all => all.last().map_or(String::new(), |newest| {
                    let last = newest.valid_until.map(|d| d.to_string()).unwrap_or_default();
                    format!("its last day was {last}, in {}", newest.time_zone_name)
                }),
            }),
        }
    }

    /// What it comes to, for people and scripts.
    #[must_use]
    pub fn state(
        &self,
        me: &HubId,
        peer: &HubId,
        as_of_ms: u64,
        now_ms: u64,
    ) -> v1::ArrangementState {
        let as_of = if as_of_ms == 0 { u64::MAX } else { as_of_ms };
        let chain = self.as_known(as_of);
        let at_ms =
            i64::try_from(if as_of_ms == 0 { now_ms } else { as_of_ms }).unwrap_or(i64::MAX);
        let name = |side: Side| if Some(side) == self.side { me } else { peer };
        let document = |number: u64, digest: Hash, proposed: At| v1::ArrangementDocument {
            number,
            digest: digest.0.to_vec(),
            text: self.text_of(digest).unwrap_or_default(),
            proposed_by: name(proposed.0).to_string(),
            ..Default::default()
        };
        let agreed = |a: &Agreed| v1::ArrangementDocument {
            ended: a.ended.is_some(),
            agreed_ms: [a.proposed, a.accepted]
                .into_iter()
                .filter_map(|at| self.stored(at))
                .map(|s| s.known_ms)
                .max()
                .unwrap_or(0),
            ..document(a.number, a.digest, a.proposed)
        };
        let (governs, why_not) = match self.governs_by(&chain, at_ms) {
            Governs::Document(document) => (document.number, String::new()),
            Governs::None(why) => (0, why),
        };
        v1::ArrangementState {
            peer: peer.to_string(),
            agreed: chain.agreed.iter().map(agreed).collect(),
            open: chain.open.as_ref().map(|o| document(o.number, o.digest, o.proposed)),
            governs,
            why_not,
            suspended_by: chain.suspended.iter().map(|s| name(*s).to_string()).collect(),
            steps: self.said(&chain, as_of, &name),
        }
    }

    /// The text of a document, as its first proposal has it.
    fn text_of(&self, named: Hash) -> Option<String> {
        let all = self.own.iter().chain(&self.theirs).filter_map(|s| s.core.as_ref());
        let mut proposals = all.filter(|c| c.step() == ArrangementStep::Propose);
        proposals.find(|c| digest(&c.digest) == Some(named)).map(|c| c.text.clone())
    }

    fn said<'a>(
        &self,
        chain: &Chain,
        as_of_ms: u64,
        name: &impl Fn(Side) -> &'a HubId,
    ) -> Vec<v1::ArrangementSaid> {
        let side = self.side.unwrap_or(Side::First);
        let place = |s: &StoredArrangementStep| s.number.saturating_sub(1) as usize;
        let own = self.own.iter().map(|s| ((side, place(s)), s));
        let theirs = self.theirs.iter().map(|s| ((side.other(), place(s)), s));
        let mut all: Vec<(At, &StoredArrangementStep)> =
            own.chain(theirs).filter(|(_, s)| s.known_ms <= as_of_ms).collect();
        all.sort_by_key(|(_, s)| s.known_ms);
        let outcome = |at: At| {
            let void = chain.void.iter().find(|(v, _)| *v == at);
            match void {
                Some((_, why)) => format!("doesn't count: {why}"),
                None if chain.given_way.contains(&at) => "gave way".to_owned(),
                None => String::new(),
            }
        };
        let one = |(at, stored): (At, &StoredArrangementStep)| {
            let core = stored.core.clone().unwrap_or_default();
            v1::ArrangementSaid {
                hub: name(at.0).to_string(),
                step: core.step,
                document: core.document,
                digest: core.digest,
                reason: core.reason,
                known_ms: stored.known_ms,
                log_index: stored.log_index,
                outcome: outcome(at),
            }
        };
        all.into_iter().map(one).collect()
    }
}

fn step(stored: &StoredArrangementStep) -> Step {
    let core = stored.core.clone().unwrap_or_default();
    let named = digest(&core.digest).unwrap_or(Hash::EMPTY_ROOT);
    let act = match core.step() {
        ArrangementStep::Propose => Act::Propose {
            number: core.document,
            digest: named,
            previous: digest(&core.previous),
            instead_of: digest(&core.instead_of),
        },
        ArrangementStep::Accept => Act::Accept { number: core.document, digest: named },
        ArrangementStep::Suspend => Act::Suspend,
        ArrangementStep::Resume => Act::Resume,
        ArrangementStep::End => Act::End,
        ArrangementStep::Unspecified => Act::Unheard,
    };
    Step { act, seen: usize::try_from(core.seen).unwrap_or(usize::MAX) }
}

/// Arrangements as the store has them, for the directory.
///
/// # Errors
/// Reading.
pub async fn load(
    store: &dyn Store,
    me: &HubId,
) -> Result<BTreeMap<HubId, Arc<Standing>>, StoreError> {
    let mut by_peer: BTreeMap<HubId, Vec<StoredArrangementStep>> = BTreeMap::new();
    for step in Views(store).arrangement_steps().await? {
        if let Ok(peer) = step.peer.parse() {
            by_peer.entry(peer).or_default().push(step);
        }
    }
    let of = |(peer, steps): (HubId, Vec<_>)| {
        let standing = Arc::new(Standing::of(me, &peer, steps));
        (peer, standing)
    };
    Ok(by_peer.into_iter().map(of).collect())
}

fn fault(path: &str, value: &str, allowed: &str) -> v1::Finding {
    let fix = "look at it with: ewtp arrangement show";
    finding(path, value, Say { code: "arrangement", allowed, fix })
}

/// What no step is, whatever it says.
fn bounds(core: &v1::ArrangementCore) -> Vec<v1::Finding> {
    let mut faults = Vec::new();
    if core.text.len() > DOCUMENT_BYTES_MAX {
        faults.push(fault("core.text", &core.text.len().to_string(), "at most 64 KiB"));
    }
    if core.reason.len() > REASON_BYTES_MAX {
        faults.push(fault("core.reason", &core.reason.len().to_string(), "at most 500 bytes"));
    }
    for (name, bytes) in [
        ("core.digest", &core.digest),
        ("core.instead_of", &core.instead_of),
        ("core.previous", &core.previous),
    ] {
        if !bytes.is_empty() && bytes.len() != 32 {
            faults.push(fault(name, &bytes.len().to_string(), "nothing, or 32 bytes"));
        }
    }
    faults
}

/// What is wrong with what is said, whatever the chain is: the document is one of these two hubs and is what the step says it is.
fn content(core: &v1::ArrangementCore, hubs: [&HubId; 2]) -> Vec<v1::Finding> {
    let mut faults = bounds(core);
    if core.step() == ArrangementStep::Unspecified {
        faults.push(fault("core.step", &core.step.to_string(), "a step that is known"));
    }
    if core.step() != ArrangementStep::Propose {
        if !core.text.is_empty() {
            faults.push(fault("core.text", &core.text, "a text in proposals alone"));
        }
        return faults;
    }
    match Arrangement::parse(&core.text) {
        Err(all) => faults.extend(all),
        Ok(document) => {
            let [a, b] = hubs;
            let between = if a < b { [a, b] } else { [b, a] };
            if document.between.iter().ne(between) {
                let said = document.between.each_ref().map(HubId::as_str).join(", ");
                faults.push(fault("between", &said, &format!("{}, {}", between[0], between[1])));
            }
            if document.number != core.document {
                let number = document.number.to_string();
                faults.push(fault("number", &number, "the number that the step names"));
            }
            if digest(&core.digest) != Some(sha256(&[core.text.as_bytes()])) {
                faults.push(fault("core.digest", "", "SHA-256 of the text"));
            }
        }
    }
    faults
}

/// What is wrong with a step that a peer said. Whether it counts is concluded at both hubs alike; this is what makes it one.
///
/// # Errors
/// Reading.
pub async fn heard(
    judge: &Judge<'_>,
    header: &Header,
    core: &v1::ArrangementCore,
    in_page: u64,
) -> Result<Vec<v1::Finding>, StoreError> {
    // A document that this version can't read keeps its place in the chain all the same: it is this hub's to accept or not.
    let mut faults = bounds(core);
    if header.id.subject != judge.me.as_str() {
        faults.push(fault("id", &header.id.subject, "the hub that it is said to, as subject"));
    }
    let known = Views(judge.store).arrangement_with(judge.peer.hub.as_str()).await?;
    let (theirs, own): (Vec<_>, Vec<_>) = known.into_iter().partition(|s| s.heard);
    let last = theirs.last().map_or(0, |s| s.number).max(in_page);
    if header.id.number <= last || header.id.number > STEPS_MAX {
        let number = header.id.number.to_string();
        let allowed = format!("a step after {last}, at most {STEPS_MAX} of one hub");
        faults.push(fault("id", &number, &allowed));
    }
    let said = own.last().map_or(0, |s| s.number);
    if core.seen > said {
        let seen = core.seen.to_string();
        let allowed = format!("at most {said}, the steps that were said to it");
        faults.push(fault("core.seen", &seen, &allowed));
    }
    // Proposals beyond what two people talk about would be read again with every change of the directory.
    let same = |s: &&StoredArrangementStep| {
        s.core
            .as_ref()
            .is_some_and(|c| c.step() == ArrangementStep::Propose && c.document == core.document)
    };
    let open = theirs.iter().filter(same).count();
    if core.step() == ArrangementStep::Propose && open >= PROPOSALS_MAX {
        let allowed = format!("at most {PROPOSALS_MAX} proposals for one number");
        faults.push(fault("core.document", &core.document.to_string(), &allowed));
    }
    Ok(faults)
}

/// What an operator wants said.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// What.
    pub step: ArrangementStep,
    /// Text of a proposal.
    pub text: String,
    /// Digest of what is accepted.
    pub digest: Vec<u8>,
    /// Why.
    pub reason: String,
    /// Who.
    pub account: String,
}

/// Says a step to a peer.
///
/// # Errors
/// [`StepError`].
pub async fn say(shared: &Arc<Shared>, peer: &str, wanted: Wanted) -> Result<(), StepError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let directory = shared.directory.load_full();
    let peer = directory.active_peer(peer).ok_or_else(|| StepError::NoPeer(peer.to_owned()))?;
    let statement = statement(shared, &directory, peer, wanted)?;
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.own.submit_act(draft, act).await.map_err(SayError::from)?;
    Ok(())
}

/// The statement of a step that counts if it is said now.
fn statement(
    shared: &Shared,
    directory: &Directory,
    peer: &Peer,
    wanted: Wanted,
) -> Result<NewStatement, SayError> {
    let me = &shared.identity.hub;
    let none = Arc::new(Standing::of(me, &peer.hub, Vec::new()));
    let standing = directory.arrangements.get(&peer.hub).unwrap_or(&none);
    let core = next_step(standing, &wanted);
    let mut faults = content(&core, [me, &peer.hub]);
    if faults.is_empty() {
        faults.extend(counts(standing, &core, peer));
    }
    if !faults.is_empty() {
        return Err(SayError::Faults(faults));
    }
    let number = standing.next_number();
    let internal = v1::ArrangementInternal { account: wanted.account };
    let mut statement = NewStatement::new("arrangement", peer.hub.as_str(), number)?
        .part("core", &core)?
        .part("internal", &internal)?;
    statement.audience.push(peer.hub.clone());
    Ok(statement)
}

/// The step as it would be said now.
fn next_step(standing: &Standing, wanted: &Wanted) -> v1::ArrangementCore {
    let open = standing.chain.open.as_ref();
    let mut core = v1::ArrangementCore {
        seen: standing.theirs.last().map_or(0, |s| s.number),
        reason: wanted.reason.clone(),
        ..Default::default()
    };
    core.set_step(wanted.step);
    match wanted.step {
        ArrangementStep::Propose => {
            // A document that doesn't parse is refused by its faults.
            if let Ok(document) = Arrangement::parse(&wanted.text) {
                core.document = document.number;
                core.previous = document.previous.map(|p| p.0.to_vec()).unwrap_or_default();
            }
            core.digest = sha256(&[wanted.text.as_bytes()]).0.to_vec();
            core.text.clone_from(&wanted.text);
            core.instead_of = open.map(|o| o.digest.0.to_vec()).unwrap_or_default();
        }
        ArrangementStep::Accept => {
            core.document = open.map_or(0, |o| o.number);
            core.digest.clone_from(&wanted.digest);
        }
        _ => {}
    }
    core
}

/// Why a step would not count if it were said now.
fn counts(standing: &Standing, core: &v1::ArrangementCore, peer: &Peer) -> Vec<v1::Finding> {
    let mut faults = Vec::new();
    if standing.next_number() > STEPS_MAX {
        faults.push(fault("step", &STEPS_MAX.to_string(), "fewer steps of one hub"));
    }
    let mut tried = Standing {
        side: standing.side,
        own: standing.own.clone(),
        theirs: standing.theirs.clone(),
        documents: standing.documents.clone(),
        chain: Chain::default(),
    };
    if let Ok(document) = Arrangement::parse(&core.text) {
        tried.documents.insert(document.digest, Arc::new(document));
    }
    let number = standing.next_number();
    tried.own.push(StoredArrangementStep {
        core: Some(core.clone()),
        number,
        ..Default::default()
    });
    let side = standing.side.unwrap_or(Side::First);
    let chain = tried.as_known(u64::MAX);
    if let Some((_, why)) = chain.void.iter().find(|(at, _)| *at == (side, number as usize - 1)) {
        let follows = standing.chain.agreed.last().map_or_else(
            || "number 1 and no previous".to_owned(),
            |a| format!("number {}, previous {}", a.number + 1, a.digest.to_hex()),
        );
        let open = standing.chain.open.as_ref().map_or_else(
            || "nothing is open".to_owned(),
            |o| format!("open is document {} of {}", o.number, o.digest.to_hex()),
        );
        let who = |side: &Side| match Some(*side) == standing.side {
            true => "this hub".to_owned(),
            false => peer.hub.to_string(),
        };
        let suspended: Vec<String> = standing.chain.suspended.iter().map(who).collect();
        let suspended = match suspended.as_slice() {
            [] => "nobody suspends it".to_owned(),
            all => format!("suspended by {}", all.join(" and ")),
        };
        let allowed = format!("{follows}; {open}; {suspended}");
        faults.push(fault("step", &why.to_string(), &allowed));
    }
    let named = tried.documents.get(&digest(&core.digest).unwrap_or(Hash::EMPTY_ROOT));
    match named {
        Some(document) => faults.extend(unshown(document, peer)),
        None if core.step() == ArrangementStep::Accept
            && standing
                .chain
                .open
                .as_ref()
                .is_some_and(|o| o.digest.0.as_slice() == core.digest) =>
        {
            let allowed = "a document that this version reads: update it, or counter the proposal";
            faults.push(fault("digest", "", allowed));
        }
        None => {}
    }
    faults
}

/// What a document says is shown to the peer and isn't: the data scope is the operator's act.
fn unshown(document: &Arrangement, peer: &Peer) -> Option<v1::Finding> {
    let scope = peer.record.scope.clone().unwrap_or_default();
    let lacks: Vec<&str> = document
        .data_scope
        .iter()
        .filter(|part| !ewtp_trade::scope::shows_part(&scope, part))
        .map(String::as_str)
        .collect();
    (!lacks.is_empty()).then(|| {
        let allowed = format!("parts that {} is shown ({})", peer.hub, scope.parts.join(", "));
        let fix = "pin the peer again with a wider --scope, or leave the parts out";
        finding(
            "data_scope",
            &lacks.join(", "),
            Say { code: "arrangement", allowed: &allowed, fix },
        )
    })
}
