//! What other hubs established in a case and counts here: gathered from what was heard, by the arrangement that governs.

use std::collections::BTreeSet;

use ewtp_clearance::arrangement::FactKind;
use ewtp_clearance::decide::Decided;
use ewtp_clearance::recognition::{Foreign, Recognised, recognise};
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, DecisionRecord, FilingRecord, Stands, WorkItem};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::{
    code, counting_decision, effects_of, goods, goods_released, hub, is_invalidated, kind,
};

use crate::arrangements::Governs;
use crate::certificates;
use crate::directory::{Directory, Peer};
use crate::draft::{FilingAt, WorkPlan};
use crate::shared::Shared;

/// How much later than it was logged a filing may be heard and still be dated by its hub, milliseconds: a partition of a week.
const LATEST_MS: i64 = 7 * 86_400_000;

/// What counts for a filing: of each hub that is relied upon and has an arrangement in force on the day of the facts.
///
/// # Errors
/// Reading.
pub(crate) async fn recognised(
    shared: &Shared,
    directory: &Directory,
    (case, filing, heard_ms): (&CaseRecord, &v1::Filing, i64),
    facts: &Facts,
    public: &Ruleset,
) -> Result<Vec<Recognised>, StoreError> {
    let mut out = Vec::new();
    if directory.arrangements.is_empty() {
        return Ok(out);
    }
    let me = &shared.identity.hub;
    let rates = public.rates_on(public.day_of(facts.at_ms));
    // Who holds back its clock keeps nothing in force: what was heard later than this is dated by when it was heard.
    let at_ms = facts.at_ms.max(heard_ms.saturating_sub(LATEST_MS));
    for (hub, standing) in &directory.arrangements {
        let Some(peer) = directory.peers.get(hub).filter(|p| p.is_trusted()) else { continue };
        let Governs::Document(document) = standing.governs(at_ms) else { continue };
        let mut foreign = established(case, peer);
        foreign.extend(
            certificates::established(&*shared.store, hub, &document, (case, filing), at_ms)
                .await?,
        );
        out.extend(recognise(&document, me, &foreign, facts, &rates));
    }
    Ok(out)
}

/// Most cases that one page's certificates assess again.
const CASES_MAX: usize = 2000;

/// What one page makes this hub assess again: each filing once, however many statements of the page concern it.
#[derive(Debug, Default)]
pub(crate) struct Again {
    cases: BTreeSet<String>,
    /// Certificates whose state changed, and holders of certificates that are new.
    certificates: BTreeSet<String>,
    holders: BTreeSet<String>,
}

impl Again {
    /// Something was established, or taken back, in a case.
    pub(crate) fn case(&mut self, id: &str) {
        self.cases.insert(id.to_owned());
    }

    /// Something was said of a certificate.
    pub(crate) fn certificate(&mut self, id: &str, holder: &str) {
        self.certificates.insert(id.to_owned());
        self.holders.insert(holder.to_owned());
    }

    /// The work that follows, if rules ask for recognition and the peer is relied upon.
    ///
    /// # Errors
    /// Reading.
    pub(crate) async fn work(
        mut self,
        shared: &Shared,
        peer: &Peer,
        page: u64,
    ) -> Result<Vec<WorkPlan>, StoreError> {
        let directory = shared.directory.load_full();
        let standing = directory.arrangements.get(&peer.hub).filter(|_| peer.is_trusted());
        let asks = directory.rulesets.iter().any(|r| r.asks_for_recognition());
        if standing.is_none() || !asks {
            return Ok(Vec::new());
        }
        let views = Views(&*shared.store);
        for id in &self.certificates {
            self.cases.extend(views.relied_upon(id, CASES_MAX).await?);
        }
        for holder in std::mem::take(&mut self.holders) {
            if self.cases.len() >= CASES_MAX {
                break;
            }
            let parties = certificates::parties(&directory, &peer.hub, &holder);
            let whose = Whose::Of { accounts: Vec::new(), parties: parties.into_iter().collect() };
            let cases = views.cases(&whose, 0, CASES_MAX).await?;
            self.cases.extend(cases.into_iter().map(|c| c.case_id));
        }
        if self.cases.len() > CASES_MAX {
            tracing::warn!(peer = %peer.hub, cases = self.cases.len(), "a page of certificates concerns more cases than are assessed again at once ({CASES_MAX}); the others follow when something else moves them");
        }
        let mut out = Vec::new();
        for id in self.cases.iter().take(CASES_MAX) {
            if let Some(case) = views.case(id).await? {
                out.extend(reassessed(shared, peer, &case, page));
            }
        }
        out.truncate(CASES_MAX);
        Ok(out)
    }
}

/// Whether a work item assesses again what was decided.
pub(crate) fn is_again(item: &WorkItem) -> bool {
    item.id.rsplit_once('/').is_some_and(|(_, last)| last.starts_with('e'))
}

/// This hub's filings of a case that may be decided otherwise by what a peer said: not released, and not all decided by hand.
fn reassessed(shared: &Shared, peer: &Peer, case: &CaseRecord, page: u64) -> Vec<WorkPlan> {
    if goods_released(case) {
        return Vec::new();
    }
    let by_hand = |filing: &FilingRecord, effect: v1::Effect| {
        let counting = counting_decision(case, filing, effect);
        counting.is_some_and(|d| d.source != v1::DecisionSource::Rules as i32)
    };
    let waits = |filing: &&FilingRecord| {
        filing.assessed_by == shared.identity.hub.as_str()
            && !is_invalidated(case, filing)
            && !effects_of(filing).iter().all(|effect| by_hand(filing, *effect))
    };
    let work = |filing: &FilingRecord| {
        let at = filing.stands.as_ref()?.at.clone()?;
        Some(WorkPlan {
            id: format!("{}/{}/e{}-{page}", filing.filing_id, filing.version, peer.hub),
            case_id: case.case_id.clone(),
            filing_id: filing.filing_id.clone(),
            filing_version: filing.version,
            filing: FilingAt::Known(at),
            officer_reason: String::new(),
            waits_until_ms: 0,
            priority: false,
            proposal: None,
            time_limit: false,
        })
    };
    case.filings.iter().filter(waits).filter_map(work).collect()
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
    // Which of the peer's statements says the same makes no other decision.
    let same = |said: &[v1::RecognisedFact], now: &[Recognised]| {
        let plain = |fact: v1::RecognisedFact| v1::RecognisedFact {
            statement: Vec::new(),
            log_index: 0,
            ..fact
        };
        let said = said.iter().cloned().map(plain);
        said.eq(now.iter().map(|fact| plain(fact.named())))
    };
    Ok(core.conditions == decided.conditions
        && (&trader.reasons, &trader.needed) == (&decided.reasons, &decided.needed)
        && trader.rules_fired == decided.rules_fired
        && same(&trader.recognised, &decided.relied_upon)
        && same(&authority.recognised, &decided.authority_relied_upon)
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
        goods: Vec::new(),
        cited_for: None,
        operator: None,
        certificate: String::new(),
    })
}
