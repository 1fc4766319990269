//! Forgetting: what goes of a case, by an order or because its retention ended, what a rule keeps, and who is told.
//!
//! ```text
//! order or rule ─plan()─▶ erasures + positions ─draft()─▶ one frame: erasure said, parts unreadable ─▶ compaction
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ewtp_log::HubId;
use ewtp_log::statement::{Header, StatementId};
use ewtp_proto::store::v1::{CaseRecord, Erasure, Locator, OrderRecord, Stands};
use ewtp_proto::v1;
use ewtp_store::{Statement, Store, StoreError, Views};
use ewtp_trade::case::hub;
use ewtp_trade::forget::{is_over, said_in};
use ewtp_trade::retention::{self, Goes, Held, Rule};

use crate::attachments::of_parts;
use crate::casebook::{case_id_of, reference};
use crate::clock::new_id;
use crate::draft::{Draft, DraftError, NewStatement};
use crate::shared::Shared;

/// Statements that one erasure or keeping names: with their part names about half of what a statement holds.
const NAMED_MAX: usize = 100;
/// Answers to one peer's orders in a case, or in a page; past it nothing is answered, so that nobody makes us speak without end.
pub(crate) const ANSWERS_MAX: usize = 16;
/// What keeps a statement of a case whose business is not over from being ended by a peer's order.
const OPEN_CASE: &str = "OPEN-CASE";

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// What no rule keeps any more.
    Due,
    /// Nothing of these parts, while the business of the case is open.
    Kept(&'a [String]),
    /// These parts, or all, as far as no rule keeps them.
    Ordered {
        /// Part names; empty for all.
        parts: &'a [String],
        /// Rule or order.
        reason: &'a str,
    },
}

/// A statement of a case that is held here, or what is left of it.
pub(crate) struct Found {
    stands: Stands,
    id: StatementId,
    statement: Statement,
    /// Filing that it is or is about.
    filing_id: String,
    /// The case has no record of it.
    unrecorded: bool,
}

impl Found {
    /// One that the case has a record of.
    fn recorded(stands: Stands, statement: Statement, filing_id: String) -> Self {
        let read = Header::parse(&statement.header).map(|h| h.id);
        let none = StatementId { kind: String::new(), subject: String::new(), number: 0 };
        Self { stands, id: read.unwrap_or(none), statement, filing_id, unrecorded: false }
    }

    /// One that the case has no record of.
    fn unrecorded(statement: Statement, at: Locator) -> Self {
        let header = Header::parse(&statement.header).ok();
        let stands = Stands {
            hub: header.as_ref().map(|h| h.hub.clone()).unwrap_or_default(),
            commitment: statement.commitment().0.to_vec(),
            at: Some(at),
            log_index: statement.index,
            logged_ms: header.and_then(|h| h.time_ms()).unwrap_or_default(),
            received_ms: statement.received_ms,
        };
        Self { unrecorded: true, ..Self::recorded(stands, statement, String::new()) }
    }
}

/// What goes of a case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Going {
    /// What is erased.
    pub(crate) erases: Vec<Erasure>,
    /// Its positions, by rule or order.
    named: BTreeMap<String, Vec<v1::ErasedStatement>>,
    /// What a rule keeps.
    pub(crate) kept: Vec<v1::Kept>,
    /// Open work on filings that go.
    consumes: Vec<String>,
}

/// The statements of a case that this hub holds, its own acknowledgements of what it refused among them.
///
/// # Errors
/// Reading.
pub(crate) async fn found(store: &dyn Store, case: &CaseRecord) -> Result<Vec<Found>, StoreError> {
    let views = Views(store);
    // A route names a country and a hub, nothing of a trader; without it the filing would be routed again.
    let said = said_in(case).into_iter().filter(|s| s.kind != "route");
    let mut out = Vec::new();
    for one in said {
        let at = one.stands.at.clone().unwrap_or_default();
        let statement = views.statement(&at).await?.filter(|s| s.tombstone.is_none());
        out.extend(statement.map(|s| Found::recorded(one.stands, s, one.filing_id)));
    }
    for refused in case.refusals.iter().filter_map(|r| r.refused.as_ref()) {
        out.extend(acknowledged(store, &refused.commitment).await?);
    }
    Ok(out)
}

/// This hub's acknowledgement of something that it refused.
async fn acknowledged(store: &dyn Store, commitment: &[u8]) -> Result<Option<Found>, StoreError> {
    let views = Views(store);
    let Some(index) = views.refusal(commitment).await?.and_then(|r| r.ack) else { return Ok(None) };
    let at = Locator { peer: String::new(), generation: 0, number: index };
    let ack = views.own(index).await?.filter(|s| s.tombstone.is_none());
    Ok(ack.map(|ack| Found::unrecorded(ack, at)))
}

/// What a peer names of its own and is held here without its case having a record of it: it was refused, and we said so.
///
/// # Errors
/// Reading.
async fn refused(
    store: &dyn Store,
    peer: &HubId,
    case: &CaseRecord,
    commitment: &[u8],
) -> Result<Vec<Found>, StoreError> {
    let views = Views(store);
    let at = views.refusal(commitment).await?.and_then(|r| r.at);
    let Some(at) = at.filter(|at| at.peer == peer.as_str()) else { return Ok(Vec::new()) };
    let statement = views.statement(&at).await?.filter(|s| s.tombstone.is_none());
    let Some(statement) = statement else { return Ok(Vec::new()) };
    let found = Found::unrecorded(statement, at);
    let named = case_id_of(&found.id.kind, &found.statement.parts).unwrap_or_default();
    if !named.is_empty() && named != case.case_id {
        return Ok(Vec::new());
    }
    // What a case has a record of goes with that case.
    let mut recorded = case.refusals.iter().filter_map(|r| r.refused.as_ref());
    if recorded.any(|s| s.at == found.stands.at) {
        return Ok(Vec::new());
    }
    Ok([found].into_iter().chain(acknowledged(store, commitment).await?).collect())
}

/// Retention counts the country and the class of a case also when the filings that named them are gone.
fn jurisdiction(case: &CaseRecord) -> (Vec<String>, Vec<String>) {
    let filed = case.filings.iter();
    let countries = filed.clone().map(|f| &f.country_of_destination);
    let classes = filed.map(|f| &f.retention_class);
    let countries = countries.chain(case.forgotten.iter().flat_map(|f| &f.countries));
    let classes = classes.chain(case.forgotten.iter().flat_map(|f| &f.classes));
    let set = |names: BTreeSet<&String>| {
        names.into_iter().filter(|n| !n.is_empty()).cloned().collect::<Vec<_>>()
    };
    (set(countries.collect()), set(classes.collect()))
}

/// What goes of the statements of a case that `meant` picks, and what is kept. `all` is everything that the case has here: an
/// attachment goes with the last statement that cites it, and a version of a filing not before the older ones.
///
/// # Errors
/// Reading.
pub(crate) async fn plan<'a>(
    store: &dyn Store,
    rules: &[Rule],
    case: &CaseRecord,
    all: &[Found],
    meant: impl Fn(&Found) -> Option<Asked<'a>>,
    now_ms: u64,
) -> Result<Going, StoreError> {
    let (countries, classes) = jurisdiction(case);
    let mut going = Going::default();
    let (mut stays, mut held_back) = (BTreeSet::new(), BTreeSet::new());
    for one in all {
        let held = Held {
            kind: one.id.kind.clone(),
            parts: one.statement.parts.iter().map(|(name, _)| name.clone()).collect(),
            countries: countries.clone(),
            classes: classes.clone(),
            logged_ms: one.stands.logged_ms,
        };
        let (goes, kept) = answer(rules, &held, meant(one), now_ms);
        going.keep(&one.stands, kept);
        let cited = of_parts(&one.statement).into_iter().map(|a| a.digest);
        let Some((goes, reason)) = in_turn(one, &held, goes, &mut held_back) else {
            stays.extend(cited);
            continue;
        };
        let parts = match goes {
            Goes::Whole => Vec::new(),
            Goes::Parts(parts) => parts,
        };
        let citing = if one.id.kind == "filing" { "goods" } else { "trader" };
        let mut attachments = Vec::new();
        match parts.is_empty() || parts.iter().any(|p| p == citing) {
            true => attachments.extend(cited),
            false => stays.extend(cited),
        }
        if let (true, Some(filing)) = (parts.is_empty(), filing_of(one)) {
            let version = u32::try_from(one.id.number).unwrap_or_default();
            let open = Views(store).work_on(filing, version).await?;
            going.consumes.extend(open.into_iter().map(|w| w.id));
        }
        going.named.entry(reason.clone()).or_default().push(v1::ErasedStatement {
            statement: reference(Some(&one.stands)),
            parts: parts.clone(),
        });
        going.erases.push(Erasure {
            at: one.stands.at.clone(),
            parts,
            case_id: case.case_id.clone(),
            reason,
            by: String::new(),
            by_index: 0,
            attachments,
            countries: countries.clone(),
            classes: classes.clone(),
            kind: one.id.kind.clone(),
            subject: one.id.subject.clone(),
            number: one.id.number,
            unrecorded: one.unrecorded,
        });
    }
    for erasure in &mut going.erases {
        let mut gone = Vec::new();
        for digest in std::mem::take(&mut erasure.attachments) {
            if !stays.contains(&digest) && !cited_elsewhere(store, case, &digest).await? {
                gone.push(digest);
            }
        }
        erasure.attachments = gone;
    }
    Ok(going)
}

/// What of a statement goes, and the rule or order by which it does.
type Leaves = (Goes, String);

/// What of a statement may go, by which rule or order, and what stays.
fn answer(
    rules: &[Rule],
    held: &Held,
    asked: Option<Asked<'_>>,
    now_ms: u64,
) -> (Option<Leaves>, Vec<(String, retention::Keeps)>) {
    match asked {
        None => (None, Vec::new()),
        Some(Asked::Due) => (retention::due(rules, held, now_ms), Vec::new()),
        Some(Asked::Kept(parts)) => {
            let keeps = retention::Keeps { rule: OPEN_CASE.to_owned(), until_ms: 0 };
            let asked = held.parts.iter().filter(|p| parts.is_empty() || parts.contains(p));
            (None, asked.map(|p| (p.clone(), keeps.clone())).collect())
        }
        Some(Asked::Ordered { parts, reason }) => {
            let (goes, kept) = retention::ordered(rules, held, parts, now_ms);
            (goes.map(|goes| (goes, reason.to_owned())), kept)
        }
    }
}

/// The filing that a statement is a version of, if the case has it so.
fn filing_of(one: &Found) -> Option<&str> {
    (one.id.kind == "filing" && !one.unrecorded).then_some(one.filing_id.as_str())
}

/// What goes of it now, with the filings before it that stay: without its newest version a filing would be what it was before, and
/// without its withdrawal it would be alive again, so that the core of what says where it stands stays as long as one does.
fn in_turn<'a>(
    one: &'a Found,
    held: &Held,
    goes: Option<Leaves>,
    held_back: &mut BTreeSet<&'a str>,
) -> Option<Leaves> {
    let whole = matches!(goes, Some((Goes::Whole, _)));
    match filing_of(one) {
        Some(filing) if whole => goes.filter(|_| !held_back.contains(filing)),
        Some(filing) => {
            held_back.insert(filing);
            goes
        }
        None if !whole || one.unrecorded || held_back.is_empty() => goes,
        None => {
            let rest: Vec<String> = held.parts.iter().filter(|p| *p != "core").cloned().collect();
            goes.filter(|_| !rest.is_empty()).map(|(_, reason)| (Goes::Parts(rest), reason))
        }
    }
}

/// Whether another case cites an attachment, as far as this hub holds what it says.
async fn cited_elsewhere(
    store: &dyn Store,
    case: &CaseRecord,
    digest: &[u8],
) -> Result<bool, StoreError> {
    let views = Views(store);
    for ordinal in views.citing(digest).await? {
        let Some(other) = views.case_at(ordinal).await? else { continue };
        if other.case_id == case.case_id {
            continue;
        }
        let cites = |c: &crate::attachments::Cited| c.reference.digest == digest;
        if crate::attachments::cited(store, &other).await?.iter().any(cites) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Going {
    fn keep(&mut self, stands: &Stands, kept: Vec<(String, retention::Keeps)>) {
        let mut by_rule: BTreeMap<(String, u64), Vec<String>> = BTreeMap::new();
        for (part, keeps) in kept {
            by_rule.entry((keeps.rule, keeps.until_ms)).or_default().push(part);
        }
        let each = by_rule.into_iter().map(|((rule, until_ms), parts)| v1::Kept {
            statement: reference(Some(stands)),
            parts,
            rule,
            until_ms: i64::try_from(until_ms).unwrap_or(i64::MAX),
        });
        self.kept.extend(each);
    }
}

/// How far an erasure that this hub says reaches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach<'a> {
    /// What it names.
    Named,
    /// These parts of all statements of the case, or all of it: an order.
    Case(&'a [String]),
    /// The same, at another hub's order.
    Follows(&'a [String]),
}

/// The draft by which it goes: said to all that were told anything in the case.
///
/// # Errors
/// No randomness.
pub(crate) fn draft(
    shared: &Shared,
    case: &CaseRecord,
    going: Going,
    reach: Reach<'_>,
    identity: &str,
) -> Result<Draft, getrandom::Error> {
    let mut draft = Draft {
        revisions: vec![(case.case_id.clone(), case.revision)],
        consumes: going.consumes,
        erases: going.erases,
        ..Draft::default()
    };
    for (reason, named) in going.named {
        for named in named.chunks(NAMED_MAX) {
            let core = v1::ErasureCore {
                case_id: case.case_id.clone(),
                digest: Vec::new(),
                reason: reason.clone(),
                statements: named.to_vec(),
                whole_case: !matches!(reach, Reach::Named),
                parts: match reach {
                    Reach::Named => Vec::new(),
                    Reach::Case(parts) | Reach::Follows(parts) => parts.to_vec(),
                },
                follows: matches!(reach, Reach::Follows(_)),
            };
            let internal =
                v1::DecisionInternal { identity: identity.to_owned(), ..Default::default() };
            let mut statement =
                NewStatement::new("erasure", &new_id(shared.identity.hub.as_str())?, 1)?
                    .part("core", &core)?
                    .part("authority", &v1::DecisionAuthority::default())?
                    .part("internal", &internal)?;
            statement.audience = told(shared, case);
            draft.statements.push(statement);
        }
    }
    Ok(draft)
}

/// The peers that were told anything in a case: whatever their data scope has, they have to hear of its end.
pub(crate) fn told(shared: &Shared, case: &CaseRecord) -> Vec<HubId> {
    let directory = shared.directory.load();
    let mut hubs: BTreeSet<&str> = case.told.iter().map(String::as_str).collect();
    let said = said_in(case);
    hubs.extend(said.iter().map(|s| s.stands.hub.as_str()));
    hubs.into_iter().filter_map(|h| directory.active_peer(h).map(|p| p.hub.clone())).collect()
}

/// An order of erasure by a peer.
pub(crate) struct Order<'a> {
    /// Who says so.
    pub(crate) peer: &'a HubId,
    /// Where it stands in its log.
    pub(crate) index: u64,
    /// Its commitment.
    pub(crate) commitment: &'a [u8],
    /// What it says.
    pub(crate) core: &'a v1::ErasureCore,
}

impl Order<'_> {
    /// Commitments of the peer's own statements that it names, with the parts.
    fn named(&self) -> BTreeMap<&[u8], &[String]> {
        let each = self.core.statements.iter().filter_map(|s| {
            let statement = s.statement.as_ref().filter(|r| r.hub == self.peer.as_str())?;
            Some((statement.commitment.as_slice(), s.parts.as_slice()))
        });
        each.collect()
    }
}

/// What a peer's order means here: its own statements go, and what this hub said about that peer's filings with them if the whole
/// case is meant, once the business of the case is over and as far as no rule keeps it. What is kept is answered, once; the order
/// stays in the case, and the janitor comes back to it.
///
/// # Errors
/// Reading; no randomness.
pub(crate) async fn ordered_by(
    shared: &Shared,
    order: &Order<'_>,
    already: &[Erasure],
) -> Result<Draft, OrderError> {
    let (store, core, named) = (&*shared.store, order.core, order.named());
    let case_id = core.case_id.as_str();
    let case = Views(store).case(case_id).await?;
    let known = case.is_some();
    let case =
        case.unwrap_or_else(|| CaseRecord { case_id: case_id.to_owned(), ..CaseRecord::default() });
    let (rules, now_ms) = (shared.config.retention.rules(), shared.clock.now_ms());
    let (me, peer) = (shared.identity.hub.as_str(), order.peer.as_str());
    let mut all = found(store, &case).await?;
    let held: BTreeSet<Vec<u8>> = all.iter().map(|f| f.stands.commitment.clone()).collect();
    for commitment in named.keys().filter(|c| !held.contains(**c)).take(NAMED_MAX) {
        all.extend(refused(store, order.peer, &case, commitment).await?);
    }
    all.retain(|f| already.iter().all(|e| e.at != f.stands.at));
    let over = is_over(&case, now_ms);
    let filed_by: BTreeMap<&str, &str> = case
        .filings
        .iter()
        .map(|f| (f.filing_id.as_str(), f.stands.as_ref().map_or("", |s| s.hub.as_str())))
        .collect();
    let all_theirs = filed_by.values().all(|hub| *hub == peer);
    let meant = |one: &Found| {
        let (mine, kind) = (one.stands.hub == me, one.id.kind.as_str());
        let parts: &[String] = match named.get(one.stands.commitment.as_slice()) {
            Some(parts) if !mine => parts,
            _ if mine && core.whole_case && kind != "filing" => {
                // What its own accounts filed here is not a peer's to end, nor what is said about it.
                let about_theirs = match one.filing_id.as_str() {
                    "" => all_theirs || kind == "ack",
                    filing => filed_by.get(filing).is_none_or(|hub| *hub == peer),
                };
                if !about_theirs {
                    return None;
                }
                core.parts.as_slice()
            }
            _ => return None,
        };
        match over || one.unrecorded {
            true => Some(Asked::Ordered { parts, reason: &core.reason }),
            false => Some(Asked::Kept(parts)),
        }
    };
    let mut going = plan(store, &rules, &case, &all, meant, now_ms).await?;
    for erasure in &mut going.erases {
        (erasure.by, erasure.by_index) = (peer.to_owned(), order.index);
    }
    // What is theirs was told by them: it is not said again.
    for named in going.named.values_mut() {
        named.retain(|s| s.statement.as_ref().is_some_and(|r| r.hub == me));
    }
    going.named.retain(|_, named| !named.is_empty());
    let kept = std::mem::take(&mut going.kept);
    let reach = match core.whole_case {
        true => Reach::Follows(&core.parts),
        false => Reach::Named,
    };
    let mut draft = draft(shared, &case, going, reach, "")?;
    let answered = answered(&case, order);
    if known && !kept.is_empty() && !answered {
        for kept in kept.chunks(NAMED_MAX) {
            draft.statements.push(keeping(shared, &case, order, kept)?);
        }
    }
    if known && answered && !draft.erases.is_empty() {
        // What was kept went, or some of it: the hub that asked hears what is left.
        let left = kept.get(..NAMED_MAX.min(kept.len())).unwrap_or_default();
        draft.statements.push(keeping(shared, &case, order, left)?);
    }
    if draft.erases.is_empty() {
        draft.revisions.clear();
    }
    Ok(draft)
}

/// Whether an order was answered, or so many of that peer's were that no more is said.
fn answered(case: &CaseRecord, order: &Order<'_>) -> bool {
    let its = |o: &&OrderRecord| hub(o.stands.as_ref()) == order.peer.as_str();
    let orders: Vec<&OrderRecord> = case.orders.iter().filter(its).collect();
    let known =
        |o: &&OrderRecord| o.stands.as_ref().is_some_and(|s| s.commitment == order.commitment);
    orders.len() >= ANSWERS_MAX || orders.iter().any(known)
}

fn keeping(
    shared: &Shared,
    case: &CaseRecord,
    order: &Order<'_>,
    kept: &[v1::Kept],
) -> Result<NewStatement, getrandom::Error> {
    let erasure = v1::StatementRef {
        hub: order.peer.to_string(),
        commitment: order.commitment.to_vec(),
        log_index: order.index,
    };
    let core = v1::KeepingCore {
        case_id: case.case_id.clone(),
        erasure: Some(erasure),
        kept: kept.to_vec(),
    };
    let id = new_id(shared.identity.hub.as_str())?;
    let mut statement = NewStatement::new("keeping", &id, 1)?.part("core", &core)?;
    statement.audience.push(order.peer.clone());
    Ok(statement)
}

/// Why an order could not be planned.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// Committing.
    #[error(transparent)]
    Draft(#[from] DraftError),
}
