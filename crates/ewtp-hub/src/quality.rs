//! What inspections on arrival found of facts that another hub had established and that were recognised; and the alarm where an arrangement
//! bears no more. An alarm suspends nothing: it holds the suspension that an officer may sign.

use std::collections::{BTreeMap, BTreeSet};

use ewtp_clearance::arrangement::{Arrangement, FactKind, Threshold};
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, StoredAlarm};
use ewtp_proto::v1::{self, ArrivalFinding, ControlResult};
use ewtp_store::{StoreError, Views};
use ewtp_trade::case::{code, counting_decision, effects_of, hub};

use crate::arrangements::Governs;
use crate::draft::NewStatement;
use crate::shared::Shared;

/// What a finding is about that is about no fact.
pub const GOODS: &str = "goods";
/// The same of seals.
pub const SEALS: &str = "seals";
/// Findings of so long count for a threshold, milliseconds: twelve months.
pub const WINDOW_MS: u64 = 365 * 86_400_000;
/// An alarm is raised again after so long, milliseconds, if it still holds.
const AGAIN_MS: u64 = 30 * 86_400_000;
/// Most findings that are counted of one kind and hub.
const COUNTED_MAX: usize = 100_000;
/// Most findings of one inspection.
pub(crate) const FINDINGS_MAX: usize = 64;

/// Whether a finding is about something that is known.
pub(crate) fn is_known(finding: &ArrivalFinding) -> bool {
    let kind = [GOODS, SEALS].contains(&finding.kind.as_str())
        || FactKind::by_name(&finding.kind).is_some();
    kind && ControlResult::try_from(finding.result).is_ok_and(|r| r as i32 != 0)
}

/// What was found, by who may know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// For everybody: kind and result.
    pub(crate) core: Vec<ArrivalFinding>,
    /// With the fact that a public rule relied upon.
    pub(crate) trader: Vec<ArrivalFinding>,
    /// With the fact that rules for authorities relied upon. Traders aren't told of its kind either.
    pub(crate) authority: Vec<ArrivalFinding>,
}

impl Told {
    /// Findings of facts that another hub had established.
    fn of_facts(&self) -> impl Iterator<Item = &ArrivalFinding> {
        self.trader.iter().chain(&self.authority)
    }
}

/// Findings with the facts that the decisions of this hub that count rely upon.
///
/// # Errors
/// Reading.
pub(crate) async fn about_facts(
    shared: &Shared,
    case: &CaseRecord,
    told: &[ArrivalFinding],
) -> Result<Told, StoreError> {
    let me = shared.identity.hub.as_str();
    let (mut public, mut confidential) = (Vec::new(), Vec::new());
    // What an earlier decision relied upon and the newest doesn't is not recognised any more.
    let mut counting = Vec::new();
    for filing in case.filings.iter().filter(|f| f.assessed_by == me) {
        for effect in effects_of(filing) {
            counting.extend(counting_decision(case, filing, *effect));
        }
    }
    for decision in counting {
        let at = decision.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
        let Some(statement) = Views(&*shared.store).statement(&at).await? else { continue };
        let trader: v1::DecisionTrader = statement.part("trader").unwrap_or_default();
        let authority: v1::DecisionAuthority = statement.part("authority").unwrap_or_default();
        public.extend(trader.recognised);
        confidential.extend(authority.recognised);
    }
    let mut out = Told::default();
    let mut known = BTreeSet::new();
    for finding in told {
        let mut named = |facts: &[v1::RecognisedFact]| {
            let same = facts.iter().filter(|f| f.kind == finding.kind);
            let new = same.filter(|fact| {
                known.insert((fact.kind.clone(), fact.hub.clone(), fact.certificate_id.clone()))
            });
            let name = |fact: &v1::RecognisedFact| ArrivalFinding {
                hub: fact.hub.clone(),
                certificate_id: fact.certificate_id.clone(),
                arrangement: fact.arrangement.clone(),
                line: fact.line.clone(),
                ..finding.clone()
            };
            new.map(name).collect::<Vec<_>>()
        };
        let (trader, authority) = (named(&public), named(&confidential));
        let of_kind = |f: &v1::RecognisedFact| f.kind == finding.kind;
        let hidden = confidential.iter().any(of_kind) && !public.iter().any(of_kind);
        if !hidden {
            let (kind, result) = (finding.kind.clone(), finding.result);
            out.core.push(ArrivalFinding { kind, result, ..Default::default() });
        }
        out.trader.extend(trader);
        out.authority.extend(authority);
    }
    for all in [&mut out.core, &mut out.trader, &mut out.authority] {
        all.truncate(FINDINGS_MAX);
    }
    Ok(out)
}

/// Alarms that follow from findings that are about to be said.
///
/// # Errors
/// Reading, or no randomness.
pub(crate) async fn alarms(
    shared: &Shared,
    case_id: &str,
    new: &Told,
    now_ms: u64,
) -> Result<Vec<NewStatement>, crate::draft::SayError> {
    let directory = shared.directory.load_full();
    let me = &shared.identity.hub;
    let mut out = Vec::new();
    let about: BTreeSet<(&str, &str)> =
        new.of_facts().map(|f| (f.hub.as_str(), f.kind.as_str())).collect();
    for (other, kind) in about {
        let Ok(peer) = other.parse::<HubId>() else { continue };
        let Some(standing) = directory.arrangements.get(&peer) else { continue };
        let at_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let Governs::Document(document) = standing.governs(at_ms) else { continue };
        let threshold = document.thresholds.iter().find(|t| t.by == *me && t.kind.name() == kind);
        let Some(threshold) = threshold else { continue };
        let from_ms = now_ms.saturating_sub(WINDOW_MS);
        let mut found = found(shared, (me.as_str(), other, kind), from_ms).await?;
        for finding in new.of_facts().filter(|f| f.hub == other && f.kind == kind) {
            found.insert((case_id.to_owned(), finding.certificate_id.clone()), finding.result());
        }
        let figures = Counted::of(&found);
        let subject = format!("{other}/{kind}");
        let before = Views(&*shared.store).alarms_of(me.as_str(), &subject).await?;
        if !is_passed(threshold, &figures) || is_recent(&before, &document, now_ms) {
            continue;
        }
        let core = core(other, &document, threshold, &figures, from_ms);
        let number = before.last().map_or(0, |a| a.number) + 1;
        let mut statement =
            NewStatement::new("quality-alarm", &subject, number)?.part("core", &core)?;
        statement.audience = shared.audience_of(other, "quality-alarm");
        out.push(statement);
    }
    Ok(out)
}

/// What was found of one kind of fact of one hub.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    checked: u32,
    minor: u32,
    found_false: u32,
}

impl Counted {
    fn of(found: &BTreeMap<(String, String), ControlResult>) -> Self {
        let mut counted = Self::default();
        for result in found.values() {
            counted.checked += 1;
            match result {
                ControlResult::False => counted.found_false += 1,
                ControlResult::Minor => counted.minor += 1,
                ControlResult::Conforms | ControlResult::Unspecified => {}
            }
        }
        counted
    }
}

/// What was found of each fact, by case and certificate: of several findings of one fact the newest counts.
async fn found(
    shared: &Shared,
    about: (&str, &str, &str),
    from_ms: u64,
) -> Result<BTreeMap<(String, String), ControlResult>, StoreError> {
    let mut out = BTreeMap::new();
    for stored in Views(&*shared.store).found(about, from_ms, COUNTED_MAX).await? {
        let finding = stored.finding.unwrap_or_default();
        let result = finding.result();
        out.insert((stored.case_id, finding.certificate_id), result);
    }
    Ok(out)
}

/// Tells operators of alarms that are logged.
pub(crate) fn tell(alarms: &[(String, String)]) {
    for (peer, kind) in alarms {
        tracing::warn!(%peer, %kind, "a threshold of the arrangement is passed; see: ewtp arrangement quality --peer {peer}");
        crate::metrics::alarm("quality");
    }
}

fn is_passed(threshold: &Threshold, counted: &Counted) -> bool {
    let share = u64::from(counted.found_false) * 1000;
    let borne = u64::from(threshold.false_permille) * u64::from(counted.checked);
    counted.checked >= threshold.checked_at_least && share > borne
}

fn is_recent(before: &[StoredAlarm], document: &Arrangement, now_ms: u64) -> bool {
    let same = |a: &&StoredAlarm| {
        a.core.as_ref().is_some_and(|c| c.arrangement.as_slice() == document.digest.0)
            && a.logged_ms.saturating_add(AGAIN_MS) > now_ms
    };
    before.iter().any(|a| same(&a))
}

fn core(
    other: &str,
    document: &Arrangement,
    threshold: &Threshold,
    counted: &Counted,
    from_ms: u64,
) -> v1::QualityAlarmCore {
    let kind = threshold.kind.name();
    let (checked, found_false) = (counted.checked, counted.found_false);
    let day = |ms: u64| {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX));
        at.map_or_else(|_| String::new(), |t| document.time_zone.to_datetime(t).date().to_string())
    };
    v1::QualityAlarmCore {
        hub: other.to_owned(),
        kind: kind.to_owned(),
        arrangement: document.digest.0.to_vec(),
        document: document.number,
        from_ms: i64::try_from(from_ms).unwrap_or(i64::MAX),
        checked,
        found_false,
        borne_permille: threshold.false_permille,
        prepared_reason: format!(
            "Since {}, of {checked} facts of kind {kind} that {other} had established and that were checked on arrival, {found_false} were found false; document {} bears {} in a thousand.",
            day(from_ms),
            document.number,
            threshold.false_permille
        ),
    }
}

/// Figures and alarms for people, of arrangements with one peer or all.
///
/// # Errors
/// Reading.
pub async fn show(
    shared: &Shared,
    request: &v1::ShowQualityRequest,
) -> Result<v1::ShowQualityResponse, StoreError> {
    let directory = shared.directory.load_full();
    let me = shared.identity.hub.as_str();
    let now_ms = shared.clock.now_ms();
    let from_ms = match u64::try_from(request.from_ms) {
        Ok(0) | Err(_) => now_ms.saturating_sub(WINDOW_MS),
        Ok(given) => given,
    };
    let wanted = |hub: &str| request.peer.is_empty() || request.peer == hub;
    let mut rows = Vec::new();
    for (peer, standing) in directory.arrangements.iter().filter(|(peer, _)| wanted(peer.as_str()))
    {
        let governs = standing.governs(i64::try_from(now_ms).unwrap_or(i64::MAX));
        for (by, of) in [(me, peer.as_str()), (peer.as_str(), me)] {
            for kind in FactKind::ALL.map(FactKind::name) {
                let counted = Counted::of(&found(shared, (by, of, kind), from_ms).await?);
                let threshold = match &governs {
                    Governs::Document(document) => {
                        let mut all = document.thresholds.iter();
                        all.find(|t| t.by.as_str() == by && t.kind.name() == kind)
                    }
                    Governs::None(_) => None,
                };
                if counted.checked == 0 && threshold.is_none() {
                    continue;
                }
                rows.push(v1::QualityRow {
                    by: by.to_owned(),
                    hub: of.to_owned(),
                    kind: kind.to_owned(),
                    checked: counted.checked,
                    minor: counted.minor,
                    found_false: counted.found_false,
                    checked_at_least: threshold.map_or(0, |t| t.checked_at_least),
                    borne_permille: threshold.map_or(0, |t| t.false_permille),
                });
            }
        }
    }
    let mut alarms = Views(&*shared.store).alarms().await?;
    alarms.retain(|a| {
        let about = a.core.as_ref().map_or("", |c| &c.hub);
        wanted(&a.by) || wanted(about)
    });
    alarms.sort_by_key(|a| std::cmp::Reverse((a.logged_ms, a.log_index)));
    let open = |a: &StoredAlarm| {
        let core = a.core.clone().unwrap_or_default();
        let standing = core.hub.parse::<HubId>().ok();
        let standing = standing.and_then(|hub| directory.arrangements.get(&hub));
        let at_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        a.by == me
            && standing.is_some_and(|s| match s.governs(at_ms) {
                Governs::Document(document) => document.digest.0.as_slice() == core.arrangement,
                Governs::None(_) => false,
            })
    };
    let alarm = |a: StoredAlarm| v1::QualityAlarm {
        open: open(&a),
        statement: Some(v1::StatementRef {
            hub: a.by.clone(),
            commitment: a.commitment,
            log_index: a.log_index,
        }),
        by: a.by,
        core: a.core,
        logged_ms: i64::try_from(a.logged_ms).unwrap_or(i64::MAX),
    };
    Ok(v1::ShowQualityResponse { rows, alarms: alarms.into_iter().map(alarm).collect() })
}

/// The results of inspections by this hub in a case, with the number of the document under which a fact was recognised.
pub(crate) async fn results(
    shared: &Shared,
    case: &CaseRecord,
) -> Result<Vec<ArrivalFinding>, StoreError> {
    let me = shared.identity.hub.as_str();
    let mut out = Vec::new();
    for event in case.events.iter().filter(|e| hub(e.stands.as_ref()) == me && !e.selects) {
        if v1::EventCode::try_from(event.code) != Ok(v1::EventCode::Inspected) {
            continue;
        }
        let at = event.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
        let Some(statement) = Views(&*shared.store).statement(&at).await? else { continue };
        out.extend(statement.part::<v1::EventCore>("core").unwrap_or_default().findings);
        out.extend(statement.part::<v1::EventTrader>("trader").unwrap_or_default().findings);
        let authority: v1::DecisionAuthority = statement.part("authority").unwrap_or_default();
        out.extend(authority.findings);
    }
    Ok(out)
}

/// Whether a decision orders a control.
pub(crate) fn is_control(code: v1::DecisionCode) -> bool {
    use v1::DecisionCode::{DocControl, PhysControl, ScanControl};
    matches!(code, DocControl | PhysControl | ScanControl)
}

/// The same for a record.
pub(crate) fn orders_control(decision: &ewtp_proto::store::v1::DecisionRecord) -> bool {
    is_control(code(decision))
}

/// Whether an event of this code says this finding: a check of seals says of seals alone.
pub(crate) fn fits(code: v1::EventCode, finding: &ArrivalFinding) -> bool {
    match code {
        v1::EventCode::Inspected => is_known(finding),
        v1::EventCode::SealsChecked => finding.kind == SEALS && is_known(finding),
        _ => false,
    }
}

/// What is wrong with findings that a peer said.
pub(crate) fn heard(
    core: &v1::EventCore,
    trader: &v1::EventTrader,
    authority: &v1::DecisionAuthority,
) -> Option<String> {
    let bounded = |f: &ArrivalFinding| {
        (f.arrangement.is_empty() || Hash::from_slice(&f.arrangement).is_some())
            && f.hub.len() <= 32
            && f.certificate_id.len() <= 64
            && f.line.len() <= 100
    };
    let all = [&core.findings, &trader.findings, &authority.findings];
    let holds = all.iter().all(|findings| {
        findings.len() <= FINDINGS_MAX
            && findings.iter().all(|f| fits(core.code(), f) && bounded(f))
    });
    let seals = trader.seals.len() <= 99 && trader.seals.iter().all(|s| s.len() <= 140);
    (!(holds && seals)).then(|| {
        format!(
            "at most {FINDINGS_MAX} findings of a control, each of a kind and result that are known"
        )
    })
}
