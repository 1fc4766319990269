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
    statement: Statement,
    /// Filing that it is or is about.
    filing_id: String,
    /// The case has no record of it.
    unrecorded: bool,
}

impl Found {
    fn id(&self) -> StatementId {
        let read = Header::parse(&self.statement.header).map(|h| h.id);
        read.unwrap_or(StatementId { kind: String::new(), subject: String::new(), number: 0 })
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

impl Going {
    /// Digests of attachments that go.
    pub(crate) fn attachments(&self) -> Vec<[u8; 32]> {
        let all = self.erases.iter().flat_map(|e| &e.attachments);
        all.filter_map(|d| <[u8; 32]>::try_from(d.as_slice()).ok()).collect()
    }
}

/// The statements of a case that this hub holds, its own acknowledgements of what it refused among them.
///
/// # Errors
/// Reading.
pub(crate) async fn found(store: &dyn Store, case: &CaseRecord) -> Result<Vec<Found>, StoreError> {
    let views = Views(store);
    // A route names a country and a hub, nothing of a trader; without it the filing would be routed again.
    let said = said_in(case).into_iter().filter(|s| s.kind != "route");
    let mut places: Vec<(Stands, String, bool)> =
        said.map(|s| (s.stands, s.filing_id, false)).collect();
    for refused in case.refusals.iter().filter_map(|r| r.refused.as_ref()) {
        let ack = acknowledged(store, &refused.commitment).await?;
        places.extend(ack.map(|stands| (stands, String::new(), true)));
    }
    let mut out = Vec::new();
    for (stands, filing_id, unrecorded) in places {
        let at = stands.at.clone().unwrap_or_default();
        let statement = views.statement(&at).await?.filter(|s| s.tombstone.is_none());
        out.extend(statement.map(|statement| Found { stands, statement, filing_id, unrecorded }));
    }
    Ok(out)
}

/// Where this hub's acknowledgement of something that it refused stands.
async fn acknowledged(store: &dyn Store, commitment: &[u8]) -> Result<Option<Stands>, StoreError> {
    let views = Views(store);
    let Some(index) = views.refusal(commitment).await?.and_then(|r| r.ack) else { return Ok(None) };
    let Some(ack) = views.own(index).await?.filter(|s| s.tombstone.is_none()) else {
        return Ok(None);
    };
    let at = Locator { peer: String::new(), generation: 0, number: index };
    Ok(Some(own_stands(&ack, at)))
}

fn own_stands(statement: &Statement, at: Locator) -> Stands {
    let header = Header::parse(&statement.header).ok();
    Stands {
        hub: header.as_ref().map(|h| h.hub.clone()).unwrap_or_default(),
        commitment: statement.commitment().0.to_vec(),
        at: Some(at),
        log_index: statement.index,
        logged_ms: header.and_then(|h| h.time_ms()).unwrap_or_default(),
        received_ms: statement.received_ms,
    }
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
    let kind = Header::parse(&statement.header).map(|h| h.id.kind).unwrap_or_default();
    let named = case_id_of(&kind, &statement.parts).unwrap_or_default();
    // What a case has a record of goes with that case.
    let recorded = match views.case(&named).await? {
        Some(other) => other
            .refusals
            .iter()
            .filter_map(|r| r.refused.as_ref())
            .any(|s| s.at.as_ref() == Some(&at)),
        None => false,
    };
    if recorded || (!named.is_empty() && named != case.case_id) {
        return Ok(Vec::new());
    }
    let found =
        |stands, statement| Found { stands, statement, filing_id: String::new(), unrecorded: true };
    let mut out = vec![found(own_stands(&statement, at), statement)];
    if let Some(stands) = acknowledged(store, commitment).await? {
        let ack = views.own(stands.log_index).await?;
        out.extend(ack.map(|statement| found(stands, statement)));
    }
    Ok(out)
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
    let mut stays: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut held_back: BTreeSet<&str> = BTreeSet::new();
    for one in all {
        let id = one.id();
        let cited = of_parts(&one.statement).into_iter().map(|a| a.digest);
        let held = Held {
            kind: id.kind.clone(),
            parts: one.statement.parts.iter().map(|(name, _)| name.clone()).collect(),
            countries: countries.clone(),
            classes: classes.clone(),
            logged_ms: one.stands.logged_ms,
        };
        let goes = match meant(one) {
            None => None,
            Some(Asked::Due) => retention::due(rules, &held, now_ms),
            Some(Asked::Kept(parts)) => {
                let keeps = retention::Keeps { rule: OPEN_CASE.to_owned(), until_ms: 0 };
                let asked = |p: &&String| parts.is_empty() || parts.contains(p);
                let kept = held.parts.iter().filter(asked).map(|p| (p.clone(), keeps.clone()));
                going.keep(&one.stands, kept.collect());
                None
            }
            Some(Asked::Ordered { parts, reason }) => {
                let (goes, kept) = retention::ordered(rules, &held, parts, now_ms);
                going.keep(&one.stands, kept);
                goes.map(|goes| (goes, reason.to_owned()))
            }
        };
        let whole = matches!(goes, Some((Goes::Whole, _)));
        let filing = (id.kind == "filing" && !one.unrecorded).then_some(one.filing_id.as_str());
        // Without its newest version a filing would be what it was before.
        let too_early = whole && filing.is_some_and(|f| held_back.contains(f));
        if !whole {
            held_back.extend(filing);
        }
        // What says where a filing stands stays as long as one does: without its withdrawal it would be alive again.
        let goes = match goes {
            Some((Goes::Whole, reason))
                if filing.is_none() && !held_back.is_empty() && !one.unrecorded =>
            {
                let rest: Vec<String> =
                    held.parts.iter().filter(|p| *p != "core").cloned().collect();
                (!rest.is_empty()).then_some((Goes::Parts(rest), reason))
            }
            goes => goes,
        };
        let Some((goes, reason)) = goes.filter(|_| !too_early) else {
            stays.extend(cited);
            continue;
        };
        let parts = match goes {
            Goes::Whole => Vec::new(),
            Goes::Parts(parts) => parts,
        };
        let citing = if id.kind == "filing" { "goods" } else { "trader" };
        let attachments = match parts.is_empty() || parts.iter().any(|p| p == citing) {
            true => cited.collect(),
            false => {
                stays.extend(cited);
                Vec::new()
            }
        };
        if let (true, Some(filing)) = (parts.is_empty(), filing) {
            let version = u32::try_from(id.number).unwrap_or_default();
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
            kind: id.kind,
            subject: id.subject,
            number: id.number,
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
    /// Commitments of the statements that it names, with the parts.
    pub(crate) named: BTreeMap<Vec<u8>, Vec<String>>,
    /// All that is said about its filings is meant.
    pub(crate) whole_case: bool,
    /// Parts then.
    pub(crate) parts: Vec<String>,
    /// Rule or order.
    pub(crate) reason: String,
}

impl<'a> Order<'a> {
    pub(crate) fn heard(
        peer: &'a HubId,
        index: u64,
        commitment: &'a [u8],
        core: &v1::ErasureCore,
    ) -> Self {
        Self {
            peer,
            index,
            commitment,
            named: theirs(peer, &core.statements),
            whole_case: core.whole_case,
            parts: core.parts.clone(),
            reason: core.reason.clone(),
        }
    }

    /// One that was heard before, as its case has it.
    pub(crate) fn recorded(peer: &'a HubId, record: &'a OrderRecord) -> Option<Self> {
        let stands = record.stands.as_ref()?;
        Some(Self {
            peer,
            index: stands.log_index,
            commitment: &stands.commitment,
            named: theirs(peer, &record.named),
            whole_case: record.whole_case,
            parts: record.parts.clone(),
            reason: record.reason.clone(),
        })
    }
}

fn theirs(peer: &HubId, named: &[v1::ErasedStatement]) -> BTreeMap<Vec<u8>, Vec<String>> {
    let each = named.iter().filter_map(|s| {
        let statement = s.statement.as_ref().filter(|r| r.hub == peer.as_str())?;
        Some((statement.commitment.clone(), s.parts.clone()))
    });
    each.collect()
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
    case_id: &str,
    already: &[Erasure],
) -> Result<Draft, OrderError> {
    let store = &*shared.store;
    let case = Views(store).case(case_id).await?;
    let known = case.is_some();
    let case =
        case.unwrap_or_else(|| CaseRecord { case_id: case_id.to_owned(), ..CaseRecord::default() });
    let (rules, now_ms) = (shared.config.retention.rules(), shared.clock.now_ms());
    let (me, peer) = (shared.identity.hub.as_str(), order.peer.as_str());
    let mut all = found(store, &case).await?;
    let held: BTreeSet<&Vec<u8>> = all.iter().map(|f| &f.stands.commitment).collect();
    let others: Vec<Vec<u8>> =
        order.named.keys().filter(|c| !held.contains(c)).take(NAMED_MAX).cloned().collect();
    for commitment in others {
        all.extend(refused(store, order.peer, &case, &commitment).await?);
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
        let (mine, kind) = (one.stands.hub == me, one.id().kind);
        let parts: &[String] = match order.named.get(&one.stands.commitment) {
            Some(parts) if !mine => parts.as_slice(),
            _ if mine && order.whole_case && kind != "filing" => {
                // What its own accounts filed here is not a peer's to end, nor what is said about it.
                let about_theirs = match one.filing_id.as_str() {
                    "" => all_theirs || kind == "ack",
                    filing => filed_by.get(filing).is_none_or(|hub| *hub == peer),
                };
                if !about_theirs {
                    return None;
                }
                order.parts.as_slice()
            }
            _ => return None,
        };
        match over || one.unrecorded {
            true => Some(Asked::Ordered { parts, reason: &order.reason }),
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
    let reach = match order.whole_case {
        true => Reach::Follows(&order.parts),
        false => Reach::Named,
    };
    let mut draft = draft(shared, &case, going, reach, "")?;
    let answered = answered(&case, order);
    if known && !kept.is_empty() && !answered {
        for kept in kept.chunks(NAMED_MAX) {
            draft.statements.push(keeping(&case, order, kept)?);
        }
    }
    if known && answered && !draft.erases.is_empty() {
        // What was kept went, or some of it: the hub that asked hears what is left.
        let left = kept.get(..NAMED_MAX.min(kept.len())).unwrap_or_default();
        draft.statements.push(keeping(&case, order, left)?);
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
    let id = new_id(case.case_id.split('-').next().unwrap_or_default())?;
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
