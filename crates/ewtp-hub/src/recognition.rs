//! What other hubs established in a case and counts here: gathered from what was heard, by the arrangement that governs.

use std::collections::BTreeSet;

use ewtp_clearance::arrangement::FactKind;
use ewtp_clearance::decide::Decided;
use ewtp_clearance::recognition::{Foreign, Recognised, recognise};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, DecisionRecord, FilingRecord, Stands};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::{code, counting_decision, effects_of, goods, hub, is_invalidated, kind};

use crate::arrangements::Governs;
use crate::certificates;
use crate::directory::{Directory, Peer};
use crate::draft::{FilingAt, WorkPlan};
use crate::shared::Shared;

/// What counts for a filing: of each hub that is relied upon and has an arrangement in force on the day of the facts.
///
/// # Errors
/// Reading.
pub(crate) async fn recognised(
    shared: &Shared,
    directory: &Directory,
    (case, filing): (&CaseRecord, &v1::Filing),
    facts: &Facts,
    public: &Ruleset,
) -> Result<Vec<Recognised>, StoreError> {
    let me = &shared.identity.hub;
    let rates = public.rates_on(public.day_of(facts.at_ms));
    let mut out = Vec::new();
    for (hub, standing) in &directory.arrangements {
        let Some(peer) = directory.peers.get(hub).filter(|p| p.is_trusted()) else { continue };
        let Governs::Document(document) = standing.governs(facts.at_ms) else { continue };
        let mut foreign = established(case, peer);
        foreign.extend(
            certificates::established(&*shared.store, hub, &document, filing, facts.at_ms).await?,
        );
        out.extend(recognise(&document, me, &foreign, facts, &rates));
    }
    Ok(out)
}

/// Most cases that a certificate's change assesses again at once.
const CASES_MAX: usize = 1000;

/// The same work for the cases that name the holder of a certificate whose state a peer changed, or that it said first.
///
/// # Errors
/// Reading.
pub(crate) async fn reassessed_for(
    shared: &Shared,
    peer: &Peer,
    holder: &str,
    lane_number: u64,
) -> Result<Vec<WorkPlan>, StoreError> {
    let directory = shared.directory.load_full();
    let parties = certificates::parties(&directory, &peer.hub, holder);
    if parties.is_empty() {
        return Ok(Vec::new());
    }
    let whose = Whose::Of { accounts: Vec::new(), parties: parties.into_iter().collect() };
    let cases = Views(&*shared.store).cases(&whose, 0, CASES_MAX + 1).await?;
    if cases.len() > CASES_MAX {
        tracing::warn!(peer = %peer.hub, "more than {CASES_MAX} cases name the holder of a certificate that changed; the oldest are assessed again, the others when something else moves them");
    }
    let mut out = Vec::new();
    for case in cases.iter().take(CASES_MAX) {
        out.extend(reassessed(shared, peer, &case.case_id, lane_number).await?);
    }
    Ok(out)
}

/// Work that a fact makes which came after this hub decided: its filings of the case that the rules decided and that still wait for
/// something are assessed again, if the rules ask for recognition and an arrangement with the peer governs.
///
/// # Errors
/// Reading.
pub(crate) async fn reassessed(
    shared: &Shared,
    peer: &Peer,
    case: &str,
    lane_number: u64,
) -> Result<Vec<WorkPlan>, StoreError> {
    let directory = shared.directory.load_full();
    let Some(standing) = directory.arrangements.get(&peer.hub) else { return Ok(Vec::new()) };
    let Some(case) = Views(&*shared.store).case(case).await? else { return Ok(Vec::new()) };
    let asks = |at_ms: i64| {
        let both = [false, true].map(|confidential| directory.ruleset_at(at_ms, confidential));
        both.into_iter().flatten().any(|r| r.asks_for_recognition())
    };
    let waits = |filing: &&FilingRecord| {
        let at_ms = filing.stands.as_ref().map_or(0, |s| s.logged_ms);
        let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
        let governed = matches!(standing.governs(at_ms), Governs::Document(_));
        let decided = effects_of(filing).iter().any(|effect| {
            counting_decision(&case, filing, *effect)
                .is_some_and(|d| d.source == v1::DecisionSource::Rules as i32)
        });
        filing.assessed_by == shared.identity.hub.as_str() && decided && governed && asks(at_ms)
    };
    let work = |filing: &FilingRecord| {
        let at = filing.stands.as_ref()?.at.clone()?;
        Some(WorkPlan {
            id: format!("{}/{}/e{}-{lane_number}", filing.filing_id, filing.version, peer.hub),
            case_id: case.case_id.clone(),
            filing_id: filing.filing_id.clone(),
            filing_version: filing.version,
            filing: FilingAt::Known(at),
            officer_reason: String::new(),
            waits_until_ms: 0,
        })
    };
    Ok(case.filings.iter().filter(waits).filter_map(work).collect())
}

/// Whether a decision says what the one that counts says: then it isn't said again.
///
/// # Errors
/// Reading.
pub(crate) async fn says_the_same(
    shared: &Shared,
    counting: &DecisionRecord,
    decided: &Decided,
) -> Result<bool, StoreError> {
    if code(counting) != decided.code {
        return Ok(false);
    }
    let at = counting.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
    let Some(statement) = Views(&*shared.store).statement(&at).await? else { return Ok(false) };
    let core: v1::DecisionCore = statement.part("core").unwrap_or_default();
    let trader: v1::DecisionTrader = statement.part("trader").unwrap_or_default();
    let authority: v1::DecisionAuthority = statement.part("authority").unwrap_or_default();
    let facts: Vec<v1::RecognisedFact> =
        decided.relied_upon.iter().map(Recognised::named).collect();
    Ok(core.conditions == decided.conditions
        && (&trader.reasons, &trader.needed) == (&decided.reasons, &decided.needed)
        && trader.rules_fired == decided.rules_fired
        && trader.recognised == facts
        && authority.reasons == decided.authority_reasons
        && authority.rules_fired == decided.authority_rules_fired)
}

/// What a hub established in a case.
fn established(case: &CaseRecord, peer: &Peer) -> Vec<Foreign> {
    case.filings.iter().filter_map(|filing| export_control(case, filing, &peer.hub)).collect()
}

/// The origin's own decision on the export: every effect that it assesses is cleared, nothing else that it decided on the filing says
/// otherwise, and it doesn't hold the goods.
fn export_control(case: &CaseRecord, filing: &FilingRecord, peer: &HubId) -> Option<Foreign> {
    let theirs =
        filing.assessed_by == peer.as_str() && hub(filing.stands.as_ref()) == peer.as_str();
    if kind(filing) != v1::FilingType::Export || !theirs || is_invalidated(case, filing) {
        return None;
    }
    let held =
        matches!(goods(case, peer.as_str()), v1::GoodsState::Held | v1::GoodsState::Detained);
    let every: BTreeSet<i32> = case
        .decisions
        .iter()
        .filter(|d| d.filing_id == filing.filing_id)
        .map(|d| d.effect)
        .chain(effects_of(filing).iter().map(|effect| *effect as i32))
        .collect();
    let mut newest: Option<&Stands> = None;
    for effect in every.into_iter().filter_map(|effect| v1::Effect::try_from(effect).ok()) {
        let Some(decision) = counting_decision(case, filing, effect) else {
            // On an earlier version something else may have been decided; what is assessed has to be.
            if effects_of(filing).contains(&effect) {
                return None;
            }
            continue;
        };
        let cleared = matches!(
            code(decision),
            v1::DecisionCode::Clear | v1::DecisionCode::ClearPostAudit | v1::DecisionCode::Release
        );
        let stands = decision.stands.as_ref().filter(|_| cleared && !held)?;
        if newest.is_none_or(|n| n.log_index < stands.log_index) {
            newest = Some(stands);
        }
    }
    let stands = newest?;
    Some(Foreign {
        kind: FactKind::ExportControl,
        hub: peer.clone(),
        statement: Hash::from_slice(&stands.commitment)?,
        log_index: stands.log_index,
        hs: Vec::new(),
        operator: None,
        certificate: String::new(),
    })
}
