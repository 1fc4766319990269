//! Forgetting: what goes of a case, by an order or because its retention ended, what a rule keeps, and who is told.
//!
//! ```text
//! order or rule ─plan()─▶ erasures + positions ─draft()─▶ one frame: erasure said, parts unreadable ─▶ compaction
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ewtp_log::statement::Header;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, Erasure, Locator, Stands};
use ewtp_proto::v1;
use ewtp_store::{Statement, Store, StoreError, Views};
use ewtp_trade::forget::said_in;
use ewtp_trade::retention::{self, Goes, Held, Rule};

use crate::attachments::of_parts;
use crate::casebook::reference;
use crate::clock::new_id;
use crate::draft::{Draft, NewStatement};
use crate::shared::Shared;

/// Statements that one erasure names: about half of what a statement holds.
const NAMED_MAX: usize = 1000;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// What no rule keeps any more.
    Due,
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
    filing_id: String,
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

    /// What else goes at once.
    pub(crate) fn and(&mut self, other: Self) {
        self.erases.extend(other.erases);
        for (reason, named) in other.named {
            self.named.entry(reason).or_default().extend(named);
        }
        self.kept.extend(other.kept);
        self.consumes.extend(other.consumes);
    }
}

/// The statements of a case that this hub holds, its own acknowledgements of what it refused among them.
///
/// # Errors
/// Reading.
pub(crate) async fn found(store: &dyn Store, case: &CaseRecord) -> Result<Vec<Found>, StoreError> {
    let views = Views(store);
    let mut places: Vec<(Stands, String)> =
        said_in(case).into_iter().map(|s| (s.stands, s.filing_id)).collect();
    for refused in case.refusals.iter().filter_map(|r| r.refused.as_ref()) {
        places.extend(acknowledged(store, &refused.commitment).await?.map(|s| (s, String::new())));
    }
    let mut out = Vec::new();
    for (stands, filing_id) in places {
        let at = stands.at.clone().unwrap_or_default();
        let statement = views.statement(&at).await?.filter(|s| s.tombstone.is_none());
        out.extend(statement.map(|statement| Found { stands, statement, filing_id }));
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

/// What a peer names of its own and is held here without being of a case: it was refused, and we said so.
///
/// # Errors
/// Reading.
pub(crate) async fn refused(
    store: &dyn Store,
    peer: &HubId,
    commitment: &[u8],
) -> Result<Vec<Found>, StoreError> {
    let views = Views(store);
    let at = views.refusal(commitment).await?.and_then(|r| r.at);
    let Some(at) = at.filter(|at| at.peer == peer.as_str()) else { return Ok(Vec::new()) };
    let statement = views.statement(&at).await?.filter(|s| s.tombstone.is_none());
    let Some(statement) = statement else { return Ok(Vec::new()) };
    let stands = own_stands(&statement, at);
    let mut out = vec![Found { stands, statement, filing_id: String::new() }];
    if let Some(stands) = acknowledged(store, commitment).await? {
        let ack = views.own(stands.log_index).await?;
        out.extend(ack.map(|statement| Found { stands, statement, filing_id: String::new() }));
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

/// What goes of these statements of a case, and what is kept.
///
/// # Errors
/// Reading.
pub(crate) async fn plan(
    store: &dyn Store,
    rules: &[Rule],
    case: &CaseRecord,
    found: &[Found],
    asked: Asked<'_>,
    now_ms: u64,
) -> Result<Going, StoreError> {
    let (countries, classes) = jurisdiction(case);
    let mut going = Going::default();
    let mut stays: BTreeSet<Vec<u8>> = BTreeSet::new();
    for one in found {
        let held = Held {
            kind: Header::parse(&one.statement.header).map(|h| h.id.kind).unwrap_or_default(),
            parts: one.statement.parts.iter().map(|(name, _)| name.clone()).collect(),
            countries: countries.clone(),
            classes: classes.clone(),
            logged_ms: one.stands.logged_ms,
        };
        let goes = match asked {
            Asked::Due => retention::due(rules, &held, now_ms),
            Asked::Ordered { parts, reason } => {
                let (goes, kept) = retention::ordered(rules, &held, parts, now_ms);
                going.keep(&one.stands, kept);
                goes.map(|goes| (goes, reason.to_owned()))
            }
        };
        let cited = of_parts(&one.statement).into_iter().map(|a| a.digest);
        let Some((goes, reason)) = goes else {
            stays.extend(cited);
            continue;
        };
        let parts = match goes {
            Goes::Whole => Vec::new(),
            Goes::Parts(parts) => parts,
        };
        let without = |part: &&str| parts.is_empty() || parts.iter().any(|p| p == *part);
        let attachments = match ["goods", "trader"].iter().any(without) {
            true => cited.collect(),
            false => {
                stays.extend(cited);
                Vec::new()
            }
        };
        if parts.is_empty() && held.kind == "filing" {
            let version = Header::parse(&one.statement.header).map_or(0, |h| h.id.number);
            let version = u32::try_from(version).unwrap_or_default();
            let open = Views(store).work_on(&one.filing_id, version).await?;
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
        });
    }
    for erasure in &mut going.erases {
        erasure.attachments.retain(|digest| !stays.contains(digest));
    }
    Ok(going)
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

/// The draft by which it goes: said to all that were told anything in the case.
///
/// # Errors
/// No randomness.
pub(crate) fn draft(
    shared: &Shared,
    case: &CaseRecord,
    going: Going,
    whole_case: Option<&[String]>,
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
                whole_case: whole_case.is_some(),
                parts: whole_case.unwrap_or_default().to_vec(),
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

/// What a peer's order means here: its own statements go, and ours with them if the whole case is meant, as far as our rules
/// keep nothing; what they keep is answered.
///
/// # Errors
/// Reading; no randomness.
pub(crate) async fn ordered_by(
    shared: &Shared,
    peer: &HubId,
    index: u64,
    commitment: Hash,
    core: &v1::ErasureCore,
) -> Result<Draft, OrderError> {
    let store = &*shared.store;
    let case = Views(store)
        .case(&core.case_id)
        .await?
        .unwrap_or_else(|| CaseRecord { case_id: core.case_id.clone(), ..CaseRecord::default() });
    let (rules, now_ms) = (shared.config.retention.rules(), shared.clock.now_ms());
    let all = found(store, &case).await?;
    let (theirs, others): (Vec<Found>, Vec<Found>) =
        all.into_iter().partition(|f| f.stands.hub == peer.as_str());
    let mut going = Going::default();
    let mut theirs: BTreeMap<Vec<u8>, Found> =
        theirs.into_iter().map(|f| (f.stands.commitment.clone(), f)).collect();
    for named in &core.statements {
        let Some(statement) = named.statement.as_ref().filter(|s| s.hub == peer.as_str()) else {
            continue;
        };
        let these = match theirs.remove(&statement.commitment) {
            Some(found) => vec![found],
            None => refused(store, peer, &statement.commitment).await?,
        };
        let asked = Asked::Ordered { parts: &named.parts, reason: &core.reason };
        going.and(plan(store, &rules, &case, &these, asked, now_ms).await?);
    }
    // What is theirs was told by them: it is not said again.
    going.named.clear();
    if core.whole_case {
        let me = shared.identity.hub.as_str();
        let ours: Vec<Found> = others.into_iter().filter(|f| f.stands.hub == me).collect();
        let asked = Asked::Ordered { parts: &core.parts, reason: &core.reason };
        going.and(plan(store, &rules, &case, &ours, asked, now_ms).await?);
    }
    for erasure in &mut going.erases {
        (erasure.by, erasure.by_index) = (peer.to_string(), index);
    }
    let kept = std::mem::take(&mut going.kept);
    let whole = core.whole_case.then_some(core.parts.as_slice());
    let mut draft = draft(shared, &case, going, whole, "")?;
    if draft.erases.is_empty() && kept.is_empty() {
        draft.revisions.clear();
    }
    if !kept.is_empty() {
        let erasure = v1::StatementRef {
            hub: peer.to_string(),
            commitment: commitment.0.to_vec(),
            log_index: index,
        };
        let answer = v1::KeepingCore { case_id: case.case_id, erasure: Some(erasure), kept };
        let mut statement =
            NewStatement::new("keeping", &commitment.to_hex(), 1)?.part("core", &answer)?;
        statement.audience.push(peer.clone());
        draft.statements.push(statement);
    }
    Ok(draft)
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
}
