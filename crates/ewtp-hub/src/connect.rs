//! A hub joins, or a route changes: what was said before is said to the hub that is new to it, in the order of the log, and a
//! filing that nobody could assess learns who does from now on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, FilingRecord, Stands};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trade::case::{hub, is_invalidated};
use ewtp_trade::forget::said_in;
use ewtp_trade::route;
use ewtp_trade::scope::shows_statement;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::directory::{Directory, Peer, speaker};
use crate::draft::{Draft, DraftError, LateEntry, NewStatement};
use crate::shared::Shared;
use crate::{certificates, code_lists};

/// Cases that are read at once.
const PAGE: usize = 256;

/// After a hub joined it is looked a second time for what was on its way meanwhile.
const SECOND_LOOK: Duration = Duration::from_secs(30);

/// Why the task ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

/// A statement that this hub said in a case.
#[derive(Clone, Debug)]
struct Said {
    kind: &'static str,
    stands: Stands,
}

/// What this hub said in a case, in the order of its log.
fn said(shared: &Shared, case: &CaseRecord) -> Vec<Said> {
    // What we acknowledged was about a page of theirs; an event about many cases is no case's own.
    let said = said_in(case).into_iter().filter(|s| !["ack", "refused"].contains(&s.kind));
    let said = said.map(|s| Said { kind: s.kind, stands: s.stands });
    let erasures = case.erasures.iter().filter_map(|e| e.stands.clone());
    let erasures = erasures.map(|stands| Said { kind: "erasure", stands });
    let ledgers = case.drawings.iter().filter_map(|d| d.stands.clone());
    let ledgers = ledgers.map(|stands| Said { kind: "ledger", stands });
    let mut all: Vec<Said> = said.chain(erasures).chain(ledgers).collect();
    let me = shared.identity.hub.as_str();
    all.retain(|s| s.stands.hub == me);
    all.sort_by_key(|s| s.stands.log_index);
    all
}

/// These statements for a hub that is new to them, as far as its data scope has their kinds and goods.
///
/// # Errors
/// Reading.
async fn told_late(
    shared: &Shared,
    said: &[Said],
    to: &HubId,
) -> Result<Vec<LateEntry>, StoreError> {
    let directory = shared.directory.load_full();
    let peer = directory.active_peer(to.as_str());
    let Some(scope) = peer.and_then(|p| p.record.scope.as_ref()) else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for Said { kind, stands } in said {
        let at = stands.at.clone().unwrap_or_default();
        let core: Option<v1::FilingCore> = match *kind {
            "filing" => Views(&*shared.store).statement(&at).await?.and_then(|s| s.part("core")),
            _ => None,
        };
        if *kind == "ledger" && !certificates::is_told(shared, &at, to).await? {
            continue;
        }
        let commitment = Hash::from_slice(&stands.commitment);
        if let Some(commitment) = commitment.filter(|_| shows_statement(scope, kind, core.as_ref()))
        {
            out.push(LateEntry { index: stands.log_index, commitment, peer: to.clone() });
        }
    }
    Ok(out)
}

/// What has to be said first to hubs that a draft's statements are said to and that were told nothing in the case so far.
///
/// # Errors
/// Reading.
pub(crate) async fn late(
    shared: &Shared,
    case: &CaseRecord,
    new: &[NewStatement],
) -> Result<Vec<LateEntry>, StoreError> {
    let audience = new.iter().flat_map(|s| &s.audience);
    let untold = |h: &&HubId| !case.told.iter().any(|told| told == h.as_str());
    let newcomers: BTreeSet<&HubId> = audience.filter(untold).collect();
    let mut late = Vec::new();
    if !newcomers.is_empty() {
        let said = said(shared, case);
        for newcomer in newcomers {
            late.extend(told_late(shared, &said, newcomer).await?);
        }
    }
    Ok(late)
}

/// Tells hubs that joined, or that may be shown more, what waits for them. Runs until `stop` fires.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), ConnectError> {
    let mut head = shared.head.clone();
    let mut told: BTreeMap<HubId, (u32, usize)> = BTreeMap::new();
    // A filing that was on its way while a hub joined may have missed it.
    let mut again: Option<Instant> = None;
    let mut looked_at: Option<Arc<Directory>> = None;
    loop {
        let directory = shared.directory.load_full();
        let mut now = told.clone();
        // Heads move thousands of times a second, the directory hardly ever.
        if !looked_at.as_ref().is_some_and(|d| Arc::ptr_eq(d, &directory)) {
            let active = directory.peers.values().filter(|p| p.is_active());
            let steps = |hub: &HubId| directory.arrangements.get(hub).map_or(0, |a| a.steps());
            now = active.map(|p| (p.hub.clone(), (p.record.version, steps(&p.hub)))).collect();
            looked_at = Some(directory);
        }
        let changed = now != told;
        if changed || again.is_some_and(|at| at <= Instant::now()) {
            if !countries(&shared, &stop).await? {
                return Ok(());
            }
            let lists = code_lists::tell_newcomers(&shared).await;
            let certificates = certificates::tell_newcomers(&shared).await;
            let failed = lists.is_err() || certificates.is_err();
            if let Err(error) = lists {
                tracing::warn!(%error, "code lists could not be told to the hubs that joined");
            }
            if let Err(error) = certificates {
                tracing::warn!(%error, "certificates could not be told to the hubs that recognise them");
            }
            again = (changed || failed).then(|| Instant::now() + SECOND_LOOK);
            told = now;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            changed = head.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
        }
    }
}

/// Goes through the countries that cases wait for; false if the hub is stopping.
async fn countries(shared: &Shared, stop: &CancellationToken) -> Result<bool, ConnectError> {
    let views = Views(&*shared.store);
    for country in views.countries_waited_for().await? {
        let directory = shared.directory.load_full();
        let joined = |p: &&Arc<Peer>| p.is_active() && p.speaker().in_territory(&country);
        if !directory.peers.values().any(|p| joined(&p)) {
            continue;
        }
        let mut from = 0;
        loop {
            let cases = views.unconnected(&country, from, PAGE).await?;
            let more = cases.len() == PAGE;
            for case in cases {
                from = case.ordinal + 1;
                if stop.is_cancelled() || !connect(shared, &country, &case.case_id).await? {
                    return Ok(false);
                }
            }
            if !more {
                break;
            }
        }
    }
    Ok(true)
}

/// Tells what waits in one case, as often as the case moves meanwhile; false if the hub is stopping.
async fn connect(shared: &Shared, country: &str, id: &str) -> Result<bool, ConnectError> {
    loop {
        let Some(case) = Views(&*shared.store).case(id).await? else { return Ok(true) };
        let draft = draft(shared, country, &case).await?;
        if draft.statements.is_empty() {
            return Ok(true);
        }
        match shared.own.submit(draft).await {
            Ok(_) => return Ok(true),
            Err(DraftError::CaseMoved { .. }) => {}
            Err(DraftError::InDoubt) => return Ok(false),
            Err(error) => {
                tracing::warn!(case = id, country, %error, "a case could not be told to the hub that joined");
                return Ok(true);
            }
        }
    }
}

/// What was said in a case for the hubs of a country that are new to it, and the routes of its filings.
async fn draft(shared: &Shared, country: &str, case: &CaseRecord) -> Result<Draft, ConnectError> {
    let mut draft =
        Draft { revisions: vec![(case.case_id.clone(), case.revision)], ..Draft::default() };
    let me = shared.identity.hub.as_str();
    let mut hubs = shared.hubs_of(case);
    let own = case.filings.iter().filter(|f| hub(f.stands.as_ref()) == me);
    let (mut found, mut more) = (Vec::new(), false);
    for filing in own.filter(|f| !is_invalidated(case, f)) {
        let Some(newly) = newly(shared, country, filing).await? else { continue };
        hubs.extend(newly.shown.iter().cloned());
        more |= newly.more;
        if newly.told {
            found.push((filing, newly));
        }
    }
    for (filing, newly) in found {
        draft.statements.push(statement(case, filing, newly, country, more)?);
    }
    hubs.sort();
    hubs.dedup();
    for statement in &mut draft.statements {
        statement.audience = shared.shown_to(&hubs, "route");
    }
    if !draft.statements.is_empty() {
        draft.late = late(shared, case, &draft.statements).await?;
    }
    Ok(draft)
}

/// What a filing learns now that a country has hubs.
struct Newly {
    core: v1::FilingCore,
    /// Who assesses it; empty where that doesn't change.
    assessed_by: String,
    /// Hubs of that country that see it.
    shown: Vec<HubId>,
    /// One of these is new to it, or assesses it.
    told: bool,
    /// Another hub of that country is missing, or may not see it.
    more: bool,
}

async fn newly(
    shared: &Shared,
    country: &str,
    filing: &FilingRecord,
) -> Result<Option<Newly>, StoreError> {
    let at = filing.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
    let statement = Views(&*shared.store).statement(&at).await?;
    let Some(core) = statement.and_then(|s| s.part::<v1::FilingCore>("core")) else {
        return Ok(None);
    };
    let (directory, own) = (shared.directory.load_full(), shared.own_descriptor());
    // What is unresolved is no error any more: it was logged, and waits for the hub that is missing.
    let (resolved, missing) =
        route::resolve_what_can_be(&core, &speaker(&own), &directory.speakers());
    let there = |h: &&HubId| {
        directory.active_peer(h.as_str()).is_some_and(|p| p.speaker().in_territory(country))
    };
    let all: Vec<HubId> = resolved.audience.iter().filter_map(|h| h.parse().ok()).collect();
    let there: Vec<HubId> = all.iter().filter(there).cloned().collect();
    let shown = shared.filing_shown_to(&there, &core);
    let assesses = route::assessing_country(&core) == Some(country);
    let customs = shown
        .iter()
        .find(|h| directory.active_peer(h.as_str()).is_some_and(|p| p.speaks_for(country)));
    let assessed_by = match customs {
        Some(hub) if assesses && filing.assessed_by.is_empty() => hub.to_string(),
        _ => String::new(),
    };
    let new_to_it = shown.iter().any(|h| !filing.said_to.iter().any(|s| s == h.as_str()));
    let told = new_to_it || !assessed_by.is_empty();
    let more = missing || resolved.unconnected.contains(country) || shown.len() < there.len();
    Ok(Some(Newly { core, assessed_by, shown, told, more }))
}

fn statement(
    case: &CaseRecord,
    filing: &FilingRecord,
    newly: Newly,
    country: &str,
    more: bool,
) -> Result<NewStatement, getrandom::Error> {
    let filed = filing.stands.as_ref().map(|s| s.commitment.clone()).unwrap_or_default();
    let number = case.routes.iter().filter(|r| r.filing_id == filing.filing_id).count() as u64 + 1;
    let route = v1::RouteCore {
        case_id: case.case_id.clone(),
        filing_id: newly.core.filing_id,
        filing_version: newly.core.version,
        filing: filed.clone(),
        country: country.to_owned(),
        assessed_by: newly.assessed_by,
        more,
    };
    let mut statement = NewStatement::new("route", &filing.filing_id, number)?
        .part("core", &route)?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &v1::DecisionInternal::default())?;
    statement.refs.extend(Hash::from_slice(&filed));
    Ok(statement)
}
