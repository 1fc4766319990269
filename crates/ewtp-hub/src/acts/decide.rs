//! What officers and the agency's own systems say about a filing: decisions, questions, outcomes of conditions. Their words
//! stand beside those of the rules, with the account that said them.

use ewtp_log::Hash;
use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1;
use ewtp_store::Views;
use ewtp_trade::act::Act;
use ewtp_trade::case;
use ewtp_trade::finding::Say;
use ewtp_trade::forget::erased_numbers;
use v1::{ConditionOutcome, DecisionCode, DecisionSource, Effect};

use super::approve::{self, Decided};
use super::{Done, begin, log_in, refuse, unknown_case, untimely};
use crate::attachments::cited;
use crate::clearance_terms::Terms;
use crate::desk::{follow_up, number, superseded};
use crate::directory::has_role;
use crate::draft::{Draft, FilingAt, LrnClaim, NewStatement, WorkPlan};
use crate::intake::IntakeError;
use crate::shared::Shared;

/// Longest note, characters.
const NOTE_CHARS_MAX: usize = 2000;
/// Most reasons, conditions or questions of one act.
const LIST_MAX: usize = 100;

/// Decides on an effect of a filing's version.
///
/// # Errors
/// [`IntakeError`].
pub async fn decide(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::DecideRequest,
) -> Result<Decided, IntakeError> {
    let key = &request.idempotency_key;
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(Done::Logged(first)) => {
            let proposed = approve::proposed_before(shared, &first).await?;
            return Ok(proposed.map_or(Decided::Done(Done::Logged(first)), Decided::Proposed));
        }
        Err(done) => return Ok(Decided::Done(done)),
    };
    if !approve::wants_second(shared, request.effect(), request.code()) {
        return concluded(shared, account, (&case, request), None, claim).await.map(Decided::Done);
    }
    // What could not be said isn't proposed either.
    if let Some(done) = refused_now(shared, &case, request) {
        return Ok(Decided::Done(done));
    }
    approve::propose(shared, account, &case, request, claim).await
}

/// Who proposed a decision that a second officer approves.
pub(super) struct Approved<'a> {
    /// Account.
    pub(super) proposed_by: &'a str,
    /// Commitment of the proposal.
    pub(super) proposal: Hash,
    /// Work that it waited as.
    pub(super) work: &'a str,
    /// What the second officer says to it, for this agency alone.
    pub(super) note: &'a str,
}

/// Decides what was proposed, on the case as it was looked at: if it moved since, it is looked at again.
pub(super) async fn approved(
    shared: &Shared,
    account: &v1::AccountRecord,
    (case, request): (&CaseRecord, &v1::DecideRequest),
    by: &Approved<'_>,
    claim: LrnClaim,
) -> Result<Done, IntakeError> {
    concluded(shared, account, (case, request), Some(by), claim).await
}

/// Why a decision can't be said now, whoever says it.
fn refused_now(shared: &Shared, case: &CaseRecord, request: &v1::DecideRequest) -> Option<Done> {
    if let Some(done) = refused_lists(request) {
        return Some(done);
    }
    let act = Act::Decide {
        filing: &request.filing_id,
        version: request.filing_version,
        effect: request.effect(),
        code: request.code(),
        contingency: request.contingency,
    };
    if let Some(done) = untimely(shared, case, "filing_id", &request.filing_id, act) {
        return Some(done);
    }
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    if request.valid_until_ms != 0 && request.valid_until_ms <= now_ms {
        let say = Say {
            code: "valid-until",
            allowed: "an instant to come, Unix milliseconds, or 0 for what the ruleset says",
            fix: "say how long it is good, or nothing",
        };
        return Some(refuse("valid_until_ms", &request.valid_until_ms.to_string(), say));
    }
    None
}

async fn concluded(
    shared: &Shared,
    account: &v1::AccountRecord,
    (case, request): (&CaseRecord, &v1::DecideRequest),
    by: Option<&Approved<'_>>,
    claim: LrnClaim,
) -> Result<Done, IntakeError> {
    if let Some(done) = refused_now(shared, case, request) {
        return Ok(done);
    }
    let Some(filing) = case::filing(case, &request.filing_id) else {
        return Ok(unknown_case(&request.case_id));
    };
    if request.code() == DecisionCode::Release && !request.contingency {
        let own = by.map_or("", |by| by.work);
        if let Some(work) = open_proposal(shared, case, own).await? {
            let say = Say {
                code: "proposal-open",
                allowed: "a release once what waits for a second officer is approved or declined",
                fix: "look at it: ewtp desk list --proposals",
            };
            return Ok(refuse("code", &work, say));
        }
    }
    let seen = match seen(shared, case, &request.attachments).await? {
        Ok(seen) => seen,
        Err(done) => return Ok(done),
    };
    let statement = decision(shared, account, (case, filing), request, seen, by)?;
    let mut draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        lrn: Some(claim),
        ..Draft::default()
    };
    take_over(shared, case, filing, request.effect(), &mut draft).await?;
    if request.code() == DecisionCode::Hold {
        draft.makes.push(held(case, filing, account));
    }
    draft.consumes.extend(by.map(|by| by.work.to_owned()));
    log_in(shared, case, draft).await
}

/// Work in a case that waits for a second officer, but one.
async fn open_proposal(
    shared: &Shared,
    case: &CaseRecord,
    but: &str,
) -> Result<Option<String>, IntakeError> {
    for filing in &case.filings {
        let open = Views(&*shared.store).work_on(&filing.filing_id, filing.version).await?;
        let waits = open.into_iter().find(|work| work.proposal != 0 && work.id != but);
        if let Some(work) = waits {
            return Ok(Some(work.id));
        }
    }
    Ok(None)
}

/// The attachments that a decision was made on: what the case cites.
async fn seen(
    shared: &Shared,
    case: &CaseRecord,
    digests: &[Vec<u8>],
) -> Result<Result<Vec<v1::AttachmentReference>, Done>, IntakeError> {
    if digests.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let all = cited(&*shared.store, case).await?;
    let mut out = Vec::new();
    for digest in digests.iter().take(LIST_MAX) {
        let Some(found) = all.iter().find(|c| c.reference.digest == *digest) else {
            let say = Say {
                code: "attachment-unknown",
                allowed: "digests of attachments that the case cites",
                fix: "show the case: ewtp case show",
            };
            let shown = Hash::from_slice(digest).map(Hash::to_hex).unwrap_or_default();
            return Ok(Err(refuse("attachments", &shown, say)));
        };
        out.push(found.reference.clone());
    }
    Ok(Ok(out))
}

fn refused_lists(request: &v1::DecideRequest) -> Option<Done> {
    let say = |allowed, fix| Say { code: "list", allowed, fix };
    let long = [
        request.reasons.len(),
        request.authority_reasons.len(),
        request.conditions.len(),
        request.needed.len(),
    ];
    if long.iter().any(|n| *n > LIST_MAX) {
        let say = say("at most 100 entries a list", "put several into one reason");
        return Some(refuse("reasons", "", say));
    }
    let reasons = request.reasons.iter().chain(&request.authority_reasons).chain(&request.needed);
    let what = request.conditions.iter().filter_map(|c| c.what.as_ref());
    if let Some(reason) = reasons.chain(what).find(|r| !super::is_code(&r.code)) {
        let fix = "give a code of A-Z, 0-9 and -; its texts stand in the ruleset";
        return Some(refuse("reasons", &reason.code, say("codes of 1 to 32 characters", fix)));
    }
    if request.note.chars().count() > NOTE_CHARS_MAX {
        let fix = "shorten it";
        return Some(refuse("note", "", say("at most 2000 characters", fix)));
    }
    if request.contingency && request.note.trim().is_empty() {
        let fix = "say in the note why it is released although something is missing";
        return Some(refuse("note", "", say("a note with every contingency release", fix)));
    }
    let conditional = request.code() == DecisionCode::ClearConditional;
    if conditional == request.conditions.is_empty() {
        let fix = "give a condition an id and a reason, or choose another code";
        let say = say("conditions with CLEAR_CONDITIONAL, and only with it", fix);
        return Some(refuse("conditions", request.code().as_str_name(), say));
    }
    let mut ids: Vec<&str> = request.conditions.iter().map(|c| c.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != request.conditions.len() || ids.iter().any(|id| !super::is_code(id)) {
        let fix = "give each condition an id of its own, of A-Z, 0-9 and -";
        return Some(refuse("conditions", "", say("ids that differ", fix)));
    }
    None
}

fn decision(
    shared: &Shared,
    account: &v1::AccountRecord,
    (case, filing): (&CaseRecord, &FilingRecord),
    request: &v1::DecideRequest,
    attachments: Vec<v1::AttachmentReference>,
    by: Option<&Approved<'_>>,
) -> Result<NewStatement, getrandom::Error> {
    let me = shared.identity.hub.as_str();
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let terms = Terms::now(shared, now_ms);
    let system = has_role(account, &[v1::Role::System]);
    let source = if system { DecisionSource::System } else { DecisionSource::Officer };
    let stands = filing.stands.clone().unwrap_or_default();
    let mut conditions = request.conditions.clone();
    for condition in &mut conditions {
        condition.what = condition.what.take().map(|what| terms.name_of(what));
    }
    let core = v1::DecisionCore {
        case_id: case.case_id.clone(),
        filing_id: filing.filing_id.clone(),
        filing_version: filing.version,
        filing: stands.commitment.clone(),
        effect: request.effect,
        code: request.code,
        rulesets: terms.rulesets.clone(),
        valid_from_ms: now_ms,
        valid_until_ms: match (request.valid_until_ms, request.effect()) {
            // What was released stays released.
            (_, Effect::Release) => 0,
            (0, _) => now_ms.saturating_add(terms.validity_ms),
            (until, _) => until,
        },
        source: source as i32,
        supersedes: superseded(case, me, &filing.filing_id, request.effect()),
        basis: Some(shared.basis()),
        legal_basis: match request.legal_basis.as_str() {
            "" => terms.legal_basis.clone(),
            given => given.to_owned(),
        },
        conditions,
        contingency: request.contingency,
        ..Default::default()
    };
    let trader = v1::DecisionTrader {
        reasons: terms.named(&request.reasons),
        needed: terms.named(&request.needed),
        attachments,
        ..Default::default()
    };
    let authority = v1::DecisionAuthority {
        reasons: terms.named(&request.authority_reasons),
        ..Default::default()
    };
    let internal = v1::DecisionInternal {
        identity: account.id.clone(),
        note: match by.map_or("", |by| by.note) {
            "" => request.note.clone(),
            second => format!("{}\napproved: {second}", request.note),
        },
        proposed_by: by.map_or_else(String::new, |by| by.proposed_by.to_owned()),
        ..Default::default()
    };
    let number = number(case, me, &filing.filing_id, request.effect);
    let mut statement = NewStatement::new("decision", &filing.filing_id, number)?
        .part("core", &core)?
        .part("trader", &trader)?
        .part("authority", &authority)?
        .part("internal", &internal)?;
    statement.refs.extend(Hash::from_slice(&stands.commitment));
    statement.refs.extend(by.map(|by| by.proposal));
    statement.audience = shared.shown_to(&shared.hubs_of(case), "decision");
    crate::metrics::decided(request.code().as_str_name());
    Ok(statement)
}

/// What is held stays somebody's work.
fn held(case: &CaseRecord, filing: &FilingRecord, account: &v1::AccountRecord) -> WorkPlan {
    let at = filing.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
    WorkPlan {
        id: format!("{}/{}/h{}", filing.filing_id, filing.version, case.revision),
        case_id: case.case_id.clone(),
        filing_id: filing.filing_id.clone(),
        filing_version: filing.version,
        filing: FilingAt::Known(at),
        officer_reason: format!("held by {}", account.id),
        waits_until_ms: 0,
        priority: false,
        proposal: None,
        time_limit: false,
    }
}

/// Whoever decides takes the work over: what is open on this version is done, and the effects that are undecided then are an
/// officer's.
async fn take_over(
    shared: &Shared,
    case: &CaseRecord,
    filing: &FilingRecord,
    decided: Effect,
    draft: &mut Draft,
) -> Result<(), IntakeError> {
    let mut open = Views(&*shared.store).work_on(&filing.filing_id, filing.version).await?;
    // What waits for a second officer, or for a transit's last day, goes on waiting.
    open.retain(|work| work.proposal == 0 && !work.time_limit);
    let Some(first) = open.first() else { return Ok(()) };
    draft.consumes.extend(open.iter().map(|w| w.id.clone()));
    if decided == Effect::Release {
        return Ok(()); // released goods leave nothing to decide; a hold on them leaves it to its officer
    }
    let left: Vec<&str> = case::effects_of(filing)
        .iter()
        .filter(|e| **e != decided && case::counting_decision(case, filing, **e).is_none())
        .map(|e| e.as_str_name().trim_start_matches("EFFECT_"))
        .collect();
    if !left.is_empty() {
        let reason = format!("still to be decided: {}", left.join(", "));
        draft.makes.push(follow_up(first, format!("{}d", first.id), &reason, 0));
    }
    Ok(())
}

/// Asks the filer about a filing's version.
///
/// # Errors
/// [`IntakeError`].
pub async fn ask(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::AskRequest,
) -> Result<Done, IntakeError> {
    let key = &request.idempotency_key;
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(done),
    };
    let mut codes: Vec<&str> = request.questions.iter().map(|q| q.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let coded = codes.iter().all(|c| super::is_code(c)) && codes.len() == request.questions.len();
    if codes.is_empty() || codes.len() > LIST_MAX || !coded {
        let say = Say {
            code: "questions",
            allowed: "1 to 100 questions with codes that differ, of A-Z, 0-9 and -",
            fix: "give each question a code of its own",
        };
        return Ok(refuse("questions", "", say));
    }
    let act = Act::Ask { filing: &request.filing_id, version: request.filing_version };
    if let Some(done) = untimely(shared, &case, "filing_id", &request.filing_id, act) {
        return Ok(done);
    }
    let Some(filing) = case::filing(&case, &request.filing_id) else {
        return Ok(unknown_case(&request.case_id));
    };
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let terms = Terms::now(shared, now_ms);
    let deadline_ms = match request.deadline_ms {
        0 => now_ms.saturating_add(terms.answer_within_ms),
        given => given,
    };
    if deadline_ms <= now_ms {
        let say = Say {
            code: "deadline",
            allowed: "an instant to come, Unix milliseconds, or 0 for what the ruleset says",
            fix: "give the filer time to answer",
        };
        return Ok(refuse("deadline_ms", &request.deadline_ms.to_string(), say));
    }
    let stands = filing.stands.clone().unwrap_or_default();
    let core = v1::InfoRequestCore {
        case_id: case.case_id.clone(),
        filing_id: filing.filing_id.clone(),
        filing_version: filing.version,
        filing: stands.commitment.clone(),
        code: v1::InfoRequestCode::Rfi as i32,
        deadline_ms,
        rulesets: terms.rulesets.clone(),
        basis: Some(shared.basis()),
    };
    let me = shared.identity.hub.as_str();
    let mine = |r: &&ewtp_proto::store::v1::RequestRecord| {
        r.filing_id == filing.filing_id && case::hub(r.stands.as_ref()) == me
    };
    let asked = case.requests.iter().filter(mine);
    let erased = erased_numbers(&case, "info-request", &filing.filing_id).count() as u64;
    let (count, round) = asked.fold((1 + erased, 1), |(count, round), r| {
        (count + 1, round + usize::from(r.filing_version == filing.version))
    });
    let mut trader = v1::InfoRequestTrader { questions: request.questions.clone() };
    for question in &mut trader.questions {
        question.reason = question.reason.take().map(|reason| terms.name_of(reason));
    }
    let internal = v1::DecisionInternal { identity: account.id.clone(), ..Default::default() };
    let mut statement = NewStatement::new("info-request", &filing.filing_id, count)?
        .part("core", &core)?
        .part("trader", &trader)?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &internal)?;
    statement.refs.extend(Hash::from_slice(&stands.commitment));
    statement.audience = shared.shown_to(&shared.hubs_of(&case), "info-request");
    let waiting = WorkPlan {
        id: format!("{}/{}/{round}", filing.filing_id, filing.version),
        case_id: case.case_id.clone(),
        filing_id: filing.filing_id.clone(),
        filing_version: filing.version,
        filing: FilingAt::Known(stands.at.unwrap_or_default()),
        officer_reason: String::new(),
        priority: false,
        proposal: None,
        time_limit: false,
        waits_until_ms: u64::try_from(deadline_ms).unwrap_or_default(),
    };
    let open = Views(&*shared.store).work_on(&filing.filing_id, filing.version).await?;
    let draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        lrn: Some(claim),
        // An earlier question keeps its deadline.
        consumes: open
            .into_iter()
            .filter(|w| w.waits_until_ms == 0 && w.proposal == 0)
            .map(|w| w.id)
            .collect(),
        makes: vec![waiting],
        ..Draft::default()
    };
    log_in(shared, &case, draft).await
}

/// Says what became of a condition.
///
/// # Errors
/// [`IntakeError`].
pub async fn settle(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::SettleConditionRequest,
) -> Result<Done, IntakeError> {
    let key = &request.idempotency_key;
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(done),
    };
    let (id, outcome) = (request.condition_id.as_str(), request.outcome());
    let act = Act::Settle { decision: &request.decision, condition: id, outcome };
    if let Some(done) = untimely(shared, &case, "condition_id", id, act) {
        return Ok(done);
    }
    if outcome == ConditionOutcome::Waived && has_role(account, &[v1::Role::System]) {
        let say = Say {
            code: "rights",
            allowed: "met or failed for systems; an officer waives",
            fix: "have an officer waive it: ewtp desk condition",
        };
        return Ok(refuse("outcome", outcome.as_str_name(), say));
    }
    let core = v1::ConditionOutcomeCore {
        case_id: case.case_id.clone(),
        decision: request.decision.clone(),
        condition_id: id.to_owned(),
        outcome: request.outcome,
        reference: request.reference.clone(),
    };
    let before = case.outcomes.iter().filter(|o| {
        o.decision == request.decision
            && o.condition_id == id
            && case::hub(o.stands.as_ref()) == shared.identity.hub.as_str()
    });
    let decision = Hash::from_slice(&request.decision).unwrap_or(Hash::EMPTY_ROOT);
    let subject = format!("{}/{id}", &decision.to_hex()[..24]);
    let internal = v1::DecisionInternal { identity: account.id.clone(), ..Default::default() };
    let erased = erased_numbers(&case, "condition-outcome", &subject).count();
    let number = (before.count() + erased) as u64 + 1;
    let mut statement = NewStatement::new("condition-outcome", &subject, number)?
        .part("core", &core)?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &internal)?;
    statement.refs.push(decision);
    statement.audience = shared.shown_to(&shared.hubs_of(&case), "condition-outcome");
    let draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        lrn: Some(claim),
        ..Draft::default()
    };
    log_in(shared, &case, draft).await
}
