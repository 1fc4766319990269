//! The desk: assesses what the inbox holds. Reads facts, decides purely, and drafts what follows; the work item is the
//! precondition, so one piece of work has one result whatever crashed or was cancelled.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ewtp_clearance::decide::{Decided, Input, Outcome, Without, decide};
use ewtp_clearance::recognition::Recognised;
use ewtp_clearance::{Facts, Ruleset};
use ewtp_log::Hash;
use ewtp_proto::store::v1::{CaseRecord, RequestRecord, WorkItem};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trade::case::{
    answer, counting_decision, goods, goods_released, hub, is_completed, is_invalidated,
    open_request,
};
use ewtp_trade::forget::erased_numbers;
use tokio_util::sync::CancellationToken;

use crate::casebook::filing_of;
use crate::connect;
use crate::draft::{Draft, DraftError, FilingAt, NewStatement, WorkPlan};
use crate::shared::Shared;
use crate::{draws, recognition};

/// How often deadlines are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(500);

/// Why the desk stopped.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// A draw.
    #[error(transparent)]
    Draw(#[from] draws::DrawError),
}

/// Runs until `stop` fires.
///
/// # Errors
/// [`DeskError`].
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), DeskError> {
    #[cfg(feature = "simulation")]
    loop {
        tokio::select! {
            biased;
            () = shared.desk_interrupted.notified() => {}
            ended = work(&shared, &stop) => return ended,
        }
    }
    #[cfg(not(feature = "simulation"))]
    work(&shared, &stop).await
}

async fn work(shared: &Shared, stop: &CancellationToken) -> Result<(), DeskError> {
    let mut head = shared.head.clone();
    loop {
        let busy = if shared.config.desk.paused { false } else { round(shared).await? };
        if busy && !stop.is_cancelled() {
            continue;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            changed = head.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Takes what can be decided now; true if there may be more.
async fn round(shared: &Shared) -> Result<bool, DeskError> {
    let now_ms = shared.clock.now_ms();
    if shared
        .directory
        .load()
        .ruleset_at(i64::try_from(now_ms).unwrap_or(i64::MAX), false)
        .is_none()
    {
        let text = "no public ruleset is in force, so nothing is decided; publish one: ewtp ruleset publish";
        let waits = !Views(&*shared.store).ready_work(1).await?.is_empty();
        shared.warn("rulesets", waits.then(|| text.to_owned()));
        return Ok(false);
    }
    shared.warn("rulesets", None);
    let (views, batch) = (Views(&*shared.store), shared.config.desk.batch);
    let mut ready = views.ready_work(batch).await?;
    ready.extend(views.overdue_work(now_ms, batch).await?);
    let full = ready.len() >= batch;
    // One at a time of a filing: what one of them says, the next has to know.
    let mut taken = BTreeSet::new();
    ready.retain(|item| taken.insert(item.filing_id.clone()));
    let mut outcomes = Vec::with_capacity(ready.len());
    for item in &ready {
        let draft = if item.waits_until_ms != 0 {
            overdue_draft(shared, item, now_ms).await?
        } else {
            assess(shared, item).await?
        };
        outcomes.push(shared.own.submit(draft));
    }
    for (item, outcome) in ready.iter().zip(join_all(outcomes).await) {
        match outcome {
            Ok(_) => {}
            Err(DraftError::InDoubt) => return Ok(false), // the hub is stopping
            Err(error @ DraftError::TooLarge { .. }) => {
                // A decision that can't be said is an officer's task, never a loop.
                let Some(dossier) = dossier(shared, item).await? else { continue };
                let mut draft = Draft { consumes: vec![item.id.clone()], ..Draft::default() };
                officer(&mut draft, shared, item, &dossier, &error.to_string()).await?;
                if let Err(error) = shared.own.submit(draft).await {
                    tracing::warn!(work = %item.id, %error, "work could not be handed to an officer");
                }
            }
            // Whatever made it stale also made the work that replaces it.
            Err(error) => tracing::debug!(work = %item.id, %error, "work was overtaken"),
        }
    }
    Ok(full)
}

/// Awaits all, in order: the committer answers them in one batch.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for (future, output) in
            pinned.iter_mut().zip(outputs.iter_mut()).filter(|(_, o)| o.is_none())
        {
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => *output = Some(value),
                std::task::Poll::Pending => pending = true,
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// What is assessed: the filing with its facts.
struct Dossier {
    case: CaseRecord,
    filing: v1::Filing,
    core: v1::FilingCore,
    commitment: Hash,
    /// Hubs that hear of this filing: its own, and those whose scope has it.
    audience: Vec<ewtp_log::HubId>,
    /// Some of them don't see all parts that the facts are made of.
    narrow: bool,
    at_ms: i64,
    /// When this hub heard it, or logged it itself.
    heard_ms: i64,
}

async fn dossier(shared: &Shared, item: &WorkItem) -> Result<Option<Dossier>, StoreError> {
    let views = Views(&*shared.store);
    let Some(case) = views.case(&item.case_id).await? else { return Ok(None) };
    let Some(record) = case.filings.iter().find(|f| f.filing_id == item.filing_id).cloned() else {
        return Ok(None);
    };
    let moved_on = record.version != item.filing_version
        || is_invalidated(&case, &record)
        || is_completed(&case, &record)
        || goods_released(&case);
    if moved_on {
        return Ok(None);
    }
    let at = record.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
    let Some(statement) = views.statement(&at).await? else {
        return Ok(None);
    };
    let filing = filing_of(&statement);
    let Some(core) = filing.core.clone() else { return Ok(None) };
    let stands = record.stands.unwrap_or_default();
    let mut audience = shared.hubs_of(&case);
    let shown = shared.filing_shown_to(&audience, &core);
    audience.retain(|h| h.as_str() == stands.hub || shown.contains(h));
    let narrow = audience.iter().any(|h| h.as_str() != stands.hub && !shared.shows_facts(h));
    Ok(Some(Dossier {
        filing,
        core,
        commitment: statement.commitment(),
        audience,
        narrow,
        at_ms: i64::try_from(stands.logged_ms).unwrap_or(i64::MAX),
        heard_ms: i64::try_from(statement.received_ms).unwrap_or(i64::MAX),
        case,
    }))
}

/// Answers given to the requests about this version, by question.
async fn answers(
    shared: &Shared,
    case: &CaseRecord,
    item: &WorkItem,
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut out = BTreeMap::new();
    let about = |r: &&RequestRecord| {
        r.filing_id == item.filing_id && r.filing_version == item.filing_version
    };
    for request in case.requests.iter().filter(about) {
        let given = answer(case, request).and_then(|a| a.stands.as_ref()?.at.as_ref());
        let Some(at) = given else { continue };
        let Some(statement) = Views(&*shared.store).statement(at).await? else { continue };
        let given = statement.part::<v1::InfoAnswerTrader>("trader").unwrap_or_default();
        out.extend(given.answers.into_iter().map(|a| (a.code, a.value)));
    }
    Ok(out)
}

/// The hub in quarantine that an advance filing came from: what it says is not relied upon, so nothing is decided on it ahead.
fn quarantined(shared: &Shared, dossier: &Dossier, item: &WorkItem) -> Option<ewtp_log::HubId> {
    let filing = dossier.case.filings.iter().find(|f| f.filing_id == item.filing_id)?;
    let from = hub(filing.stands.as_ref());
    let directory = shared.directory.load();
    directory.active_peer(from).filter(|p| !p.is_trusted()).map(|p| p.hub.clone())
}

async fn assess(shared: &Shared, item: &WorkItem) -> Result<Draft, DeskError> {
    let mut draft = Draft { consumes: vec![item.id.clone()], ..Draft::default() };
    let Some(dossier) = dossier(shared, item).await? else { return Ok(draft) };
    if recognition::is_again(item) {
        // Nobody else's work is consumed by it: what an officer says meanwhile is to be seen first.
        draft.revisions.push((dossier.case.case_id.clone(), dossier.case.revision));
    }
    if dossier
        .case
        .filings
        .iter()
        .any(|f| f.filing_id == item.filing_id && open_request(&dossier.case, f))
    {
        // An officer asked as well: that question's own work goes on when it is answered, or overdue.
        return Ok(draft);
    }
    if let Some(peer) = quarantined(shared, &dossier, item) {
        let why = format!(
            "{peer} is in quarantine: its traders' goods get the treatment of an origin without a hub"
        );
        officer(&mut draft, shared, item, &dossier, &why).await?;
        return Ok(draft);
    }
    let answers = answers(shared, &dossier.case, item).await?;
    let mut facts = Facts::of_filing(&dossier.filing, dossier.at_ms, answers);
    let directory = shared.directory.load_full();
    let Some(public) = directory.ruleset_at(dossier.at_ms, false) else {
        officer(
            &mut draft,
            shared,
            item,
            &dossier,
            "no public ruleset is in force; publish one: ewtp ruleset publish",
        )
        .await?;
        return Ok(draft);
    };
    let about = (&dossier.case, &dossier.filing, dossier.heard_ms);
    facts.recognised = recognition::recognised(shared, &directory, about, &facts, public).await?;
    let confidential = directory.ruleset_at(dossier.at_ms, true);
    let tariffs = directory.tariffs_at(dossier.at_ms);
    let rulesets: Vec<&Ruleset> = std::iter::once(&**public)
        .chain(confidential.map(|c| &**c))
        .chain(tariffs.iter().copied())
        .collect();
    let basis = shared.basis();
    let me = shared.identity.hub.as_str();
    // It is good from when it is said: the filing may be older, and its answers came later.
    let now = shared.clock.now_ms();
    let now_ms = i64::try_from(now).unwrap_or(i64::MAX);
    let draw = match confidential.filter(|c| c.draws()) {
        Some(_) => Some(draws::draw(shared, now, &dossier.commitment).await?),
        None => None,
    };
    let input = Input {
        kind: dossier.core.r#type(),
        adopted: !dossier.core.adopts.is_empty(),
        facts: &facts,
        public,
        confidential: confidential.map(|c| &**c),
        tariffs: &tariffs,
        draw,
    };
    let to = |kind: &str| shared.shown_to(&dossier.audience, kind);
    match decide(input) {
        Outcome::Officer(errors) => {
            officer(&mut draft, shared, item, &dossier, &errors.join("; ")).await?
        }
        Outcome::Ask(questions) => {
            let wait = u64::from(public.answer_within_hours) * 3_600_000;
            let deadline = shared.clock.now_ms() + wait;
            ask(
                &mut draft,
                item,
                &dossier,
                questions,
                &rulesets,
                basis,
                deadline,
                to("info-request"),
            )?;
        }
        Outcome::Decided(decisions) => {
            let filing = dossier.case.filings.iter().find(|f| f.filing_id == item.filing_id);
            for decided in decisions {
                let counting =
                    filing.and_then(|f| counting_decision(&dossier.case, f, decided.effect));
                if let Some(counting) = counting {
                    // What an officer or a system decided on this version stands: rules don't overrule them.
                    let by_hand = counting.source != v1::DecisionSource::Rules as i32;
                    if by_hand || recognition::says_the_same(shared, counting, &decided).await? {
                        continue;
                    }
                }
                crate::metrics::decided(decided.code.as_str_name());
                let statement = decision(
                    (me, now_ms, draw),
                    &dossier,
                    item,
                    decided,
                    &rulesets,
                    &facts,
                    basis.clone(),
                )?;
                draft.statements.push(NewStatement { audience: to("decision"), ..statement });
            }
        }
    }
    let open = Views(&*shared.store).work_on(&item.filing_id, item.filing_version).await?;
    if !open.iter().any(|work| work.time_limit) {
        draft.makes.extend(time_limit(item, &dossier, public, now));
    }
    let first = |f: &Recognised| f.effects.iter().any(|e| e == "priority");
    let priority = facts.recognised.iter().any(first);
    draft.makes.iter_mut().for_each(|work| work.priority |= priority);
    draft.late = connect::late(shared, &dossier.case, &draft.statements).await?;
    Ok(draft)
}

/// Work that waits for the end of a transit's last day, in the zone of the rules.
fn time_limit(
    item: &WorkItem,
    dossier: &Dossier,
    public: &Ruleset,
    now_ms: u64,
) -> Option<WorkPlan> {
    let goods = dossier.filing.goods.as_ref()?;
    let day: jiff::civil::Date = goods.transit_time_limit.parse().ok()?;
    let end = day.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight());
    let end = public.time_zone.to_timestamp(end).ok()?;
    let end_ms = u64::try_from(end.as_millisecond()).ok()?;
    let due = dossier.core.r#type() == v1::FilingType::Transit && end_ms > now_ms;
    let id = format!("{}/{}/t", item.filing_id, item.filing_version);
    due.then(|| WorkPlan { time_limit: true, ..follow_up(item, id, "", end_ms) })
}

pub(crate) fn ruleset_refs(rulesets: &[&Ruleset]) -> Vec<v1::RulesetRef> {
    let reference = |r: &&Ruleset| v1::RulesetRef {
        name: r.name.clone(),
        version: r.version,
        digest: r.digest.0.to_vec(),
        confidential: r.confidential,
    };
    rulesets.iter().map(reference).collect()
}

/// Numbers of this hub's decisions on one filing: ten times the count on the effect, and the effect.
pub(crate) fn number(case: &CaseRecord, me: &str, filing_id: &str, effect: i32) -> u64 {
    let before = case.decisions.iter().filter(|d| d.filing_id == filing_id && d.effect == effect);
    let before = before.filter(|d| hub(d.stands.as_ref()) == me).count();
    let effect = u64::try_from(effect).unwrap_or_default();
    let erased = erased_numbers(case, "decision", filing_id).filter(|n| n % 10 == effect);
    (before + erased.count()) as u64 * 10 + effect
}

/// This hub's newest decision on a filing and effect, on whatever version: the next one supersedes it.
pub(crate) fn superseded(
    case: &CaseRecord,
    me: &str,
    filing_id: &str,
    effect: v1::Effect,
) -> Vec<u8> {
    let same = |d: &&ewtp_proto::store::v1::DecisionRecord| {
        d.filing_id == filing_id && d.effect == effect as i32 && hub(d.stands.as_ref()) == me
    };
    let newest = case.decisions.iter().filter(same).filter_map(|d| d.stands.as_ref());
    newest
        .max_by_key(|s| (s.logged_ms, s.log_index))
        .map(|s| s.commitment.clone())
        .unwrap_or_default()
}

fn decision(
    (me, now_ms, draw): (&str, i64, Option<u32>),
    dossier: &Dossier,
    item: &WorkItem,
    decided: Decided,
    rulesets: &[&Ruleset],
    facts: &Facts,
    basis: v1::Basis,
) -> Result<NewStatement, getrandom::Error> {
    let public = rulesets.first();
    let validity = public.map_or(0, |r| i64::from(r.validity_days)) * 86_400_000;
    // What public rules made nothing of is not the trader's to know: that it counts says what the others ask.
    let public_facts = match facts.recognised == decided.relied_upon {
        true => Cow::Borrowed(facts),
        false => Cow::Owned(Facts { recognised: decided.relied_upon.clone(), ..facts.clone() }),
    };
    let supersedes = superseded(&dossier.case, me, &item.filing_id, decided.effect);
    let core = v1::DecisionCore {
        case_id: item.case_id.clone(),
        filing_id: item.filing_id.clone(),
        filing_version: item.filing_version,
        filing: dossier.commitment.0.to_vec(),
        effect: decided.effect as i32,
        code: decided.code as i32,
        rulesets: ruleset_refs(rulesets),
        valid_from_ms: now_ms,
        valid_until_ms: now_ms.saturating_add(validity),
        source: v1::DecisionSource::Rules as i32,
        supersedes,
        basis: Some(basis),
        insufficient_scope: decided.insufficient_scope,
        legal_basis: public.map(|r| r.legal_basis.clone()).unwrap_or_default(),
        deadline_ms: 0,
        conditions: decided.conditions,
        contingency: false,
    };
    let trader = v1::DecisionTrader {
        reasons: decided.reasons,
        needed: decided.needed,
        // Facts and estimate hold what the parts hold: who may not see these is not told them in a decision.
        estimate: decided.estimate.filter(|_| !dossier.narrow),
        rules_fired: decided.rules_fired,
        facts: if dossier.narrow { Vec::new() } else { public_facts.to_json() },
        attachments: Vec::new(),
        recognised: decided.relied_upon.iter().map(Recognised::named).collect(),
    };
    let authority = v1::DecisionAuthority {
        reasons: decided.authority_reasons,
        rules_fired: decided.authority_rules_fired,
        draw,
        without: decided.without.as_ref().map(Without::named),
        recognised: decided.authority_relied_upon.iter().map(Recognised::named).collect(),
        findings: Vec::new(),
    };
    let whole = dossier.narrow || matches!(public_facts, Cow::Owned(_));
    let internal = v1::DecisionInternal {
        facts: if whole { facts.to_json() } else { Vec::new() },
        ..Default::default()
    };
    let mut statement = NewStatement::new(
        "decision",
        &item.filing_id,
        number(&dossier.case, me, &item.filing_id, decided.effect as i32),
    )?
    .part("core", &core)?
    .part("trader", &trader)?
    .part("authority", &authority)?
    .part("internal", &internal)?;
    statement.refs.push(dossier.commitment);
    Ok(statement)
}

#[expect(clippy::too_many_arguments, reason = "each is one field of the request")]
fn ask(
    draft: &mut Draft,
    item: &WorkItem,
    dossier: &Dossier,
    questions: Vec<v1::Question>,
    rulesets: &[&Ruleset],
    basis: v1::Basis,
    deadline_ms: u64,
    audience: Vec<ewtp_log::HubId>,
) -> Result<(), getrandom::Error> {
    let about = |r: &&RequestRecord| r.filing_id == item.filing_id;
    let erased = erased_numbers(&dossier.case, "info-request", &item.filing_id).count();
    let number = (dossier.case.requests.iter().filter(about).count() + erased) as u64 + 1;
    let core = v1::InfoRequestCore {
        case_id: item.case_id.clone(),
        filing_id: item.filing_id.clone(),
        filing_version: item.filing_version,
        filing: dossier.commitment.0.to_vec(),
        code: v1::InfoRequestCode::Rfi as i32,
        deadline_ms: i64::try_from(deadline_ms).unwrap_or(i64::MAX),
        rulesets: ruleset_refs(rulesets),
        basis: Some(basis),
    };
    let mut statement = NewStatement::new("info-request", &item.filing_id, number)?
        .part("core", &core)?
        .part("trader", &v1::InfoRequestTrader { questions })?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &v1::DecisionInternal::default())?;
    statement.refs.push(dossier.commitment);
    statement.audience = audience;
    draft.statements.push(statement);
    let same_version = |r: &&RequestRecord| {
        r.filing_id == item.filing_id && r.filing_version == item.filing_version
    };
    let round = dossier.case.requests.iter().filter(same_version).count() + 1;
    draft.makes.push(follow_up(
        item,
        format!("{}/{}/{round}", item.filing_id, item.filing_version),
        "",
        deadline_ms,
    ));
    Ok(())
}

/// Work that follows on an item.
pub(crate) fn follow_up(
    item: &WorkItem,
    id: String,
    officer_reason: &str,
    waits_until_ms: u64,
) -> WorkPlan {
    WorkPlan {
        id,
        case_id: item.case_id.clone(),
        filing_id: item.filing_id.clone(),
        filing_version: item.filing_version,
        filing: FilingAt::Known(item.filing.clone().unwrap_or_default()),
        officer_reason: officer_reason.to_owned(),
        waits_until_ms,
        priority: item.priority,
        proposal: None,
        time_limit: false,
    }
}

/// What can't be evaluated is an event and an officer's task, never a *no*. One that has the same to look at already isn't asked again.
async fn officer(
    draft: &mut Draft,
    shared: &Shared,
    item: &WorkItem,
    dossier: &Dossier,
    why: &str,
) -> Result<(), DeskError> {
    let open = Views(&*shared.store).work_on(&item.filing_id, item.filing_version).await?;
    if open.iter().any(|work| work.id != item.id && work.officer_reason == why) {
        return Ok(());
    }
    let (code, at_ms) = (v1::EventCode::RuleError, dossier.at_ms);
    draft.statements.push(event(shared, item, dossier, code, at_ms, why, &[])?);
    draft.makes.push(follow_up(item, format!("{}o", item.id), why, 0));
    Ok(())
}

/// A time-out is an event with a code, never silence. A question about a version that was amended meanwhile ends without.
async fn overdue_draft(shared: &Shared, item: &WorkItem, now_ms: u64) -> Result<Draft, DeskError> {
    let mut draft = Draft { consumes: vec![item.id.clone()], ..Draft::default() };
    let Some(dossier) = dossier(shared, item).await? else { return Ok(draft) };
    let at_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    if item.time_limit {
        use v1::GoodsState::{Destroyed, Exited, Released, Returned};
        let here = goods(&dossier.case, shared.identity.hub.as_str());
        if matches!(here, Exited | Released | Returned | Destroyed) {
            return Ok(draft);
        }
        let (why, code) = ("the last day of the transit passed", v1::EventCode::TimeLimitPassed);
        draft.statements.push(event(shared, item, &dossier, code, at_ms, why, &[])?);
        draft.makes.push(follow_up(item, format!("{}o", item.id), why, 0));
        draft.late = connect::late(shared, &dossier.case, &draft.statements).await?;
        return Ok(draft);
    }
    let (why, code) = ("no answer within the deadline", v1::EventCode::AnswerOverdue);
    // Of several questions it is the one whose deadline this work keeps.
    let overdue = |r: &&RequestRecord| {
        r.filing_id == item.filing_id
            && r.filing_version == item.filing_version
            && r.deadline_ms == item.waits_until_ms
            && answer(&dossier.case, r).is_none()
    };
    let overdue = dossier.case.requests.iter().find(overdue).and_then(|r| r.stands.clone());
    let request = overdue.map(|s| s.commitment).unwrap_or_default();
    draft.statements.push(event(shared, item, &dossier, code, at_ms, why, &request)?);
    draft.makes.push(follow_up(item, format!("{}o", item.id), why, 0));
    draft.late = connect::late(shared, &dossier.case, &draft.statements).await?;
    Ok(draft)
}

/// An event of this hub, said to the hub of filing too: both sides compute one state. Why it happened is for this agency.
fn event(
    shared: &Shared,
    item: &WorkItem,
    dossier: &Dossier,
    code: v1::EventCode,
    time_ms: i64,
    why: &str,
    request: &[u8],
) -> Result<NewStatement, getrandom::Error> {
    let core = v1::EventCore {
        code: code as i32,
        selector: Some(v1::EventSelector {
            by: Some(v1::event_selector::By::CaseId(item.case_id.clone())),
        }),
        effect: v1::Effect::Unspecified as i32,
        time_ms,
        filing_id: item.filing_id.clone(),
        filing_version: item.filing_version,
        office: String::new(),
        request: request.to_vec(),
        carrier_id: String::new(),
        findings: Vec::new(),
    };
    let internal = v1::DecisionInternal { rule_errors: vec![why.to_owned()], ..Default::default() };
    let id = crate::clock::new_id(shared.identity.hub.as_str())?;
    let mut statement = NewStatement::new("event", &id, 1)?
        .part("core", &core)?
        .part("trader", &v1::EventTrader::default())?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &internal)?;
    statement.refs.extend(Hash::from_slice(request));
    statement.audience = shared.shown_to(&dossier.audience, "event");
    Ok(statement)
}
