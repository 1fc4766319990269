//! Four eyes: what a ruleset wants a second officer for is proposed first, and another officer approves or declines it. Each word is logged
//! with the account that said it.

use ewtp_log::{Hash, Header};
use ewtp_proto::store::v1::{CaseRecord, WorkItem};
use ewtp_proto::{Message, v1};
use ewtp_store::Views;
use ewtp_trade::finding::Say;
use v1::{DecisionCode, Effect, ProposalStep};

use super::{Done, claim, decide, first_answer, log, refuse};
use crate::clock::new_id;
use crate::draft::{Draft, FilingAt, LrnClaim, NewStatement, WorkPlan};
use crate::intake::IntakeError;
use crate::shared::Shared;

/// Longest note, characters.
const NOTE_CHARS_MAX: usize = 2000;

/// What became of a decision by hand.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// Logged or refused.
    Done(Done),
    /// It waits for a second officer.
    Proposed(v1::ProposalLogged),
}

/// Whether a ruleset in force wants a second officer for a decision.
pub(super) fn wants_second(shared: &Shared, effect: Effect, code: DecisionCode) -> bool {
    let directory = shared.directory.load();
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let in_force = [false, true].into_iter().filter_map(|c| directory.ruleset_at(now_ms, c));
    in_force.into_iter().any(|r| r.approvals.contains(&(effect, code)))
}

/// Id of the work on a proposal.
fn work_id(core: &v1::ProposalCore, id: &str) -> String {
    format!("{}/{}/p{id}", core.filing_id, core.filing_version)
}

/// The answer where the first act under a key was a proposal.
pub(super) async fn proposed_before(
    shared: &Shared,
    first: &v1::StatementRef,
) -> Result<Option<v1::ProposalLogged>, IntakeError> {
    let said = Views(&*shared.store).own(first.log_index).await?;
    let header = said.as_ref().and_then(|s| Header::parse(&s.header).ok());
    let Some(header) = header.filter(|h| h.id.kind == "proposal") else { return Ok(None) };
    let core: v1::ProposalCore = said.and_then(|s| s.part("core")).unwrap_or_default();
    let work_id = work_id(&core, &header.id.subject);
    Ok(Some(v1::ProposalLogged { statement: Some(first.clone()), work_id }))
}

/// Proposes a decision: nothing is decided yet.
pub(super) async fn propose(
    shared: &Shared,
    account: &v1::AccountRecord,
    case: &CaseRecord,
    request: &v1::DecideRequest,
    claim: LrnClaim,
) -> Result<Decided, IntakeError> {
    let core = v1::ProposalCore {
        step: ProposalStep::Proposed as i32,
        case_id: case.case_id.clone(),
        filing_id: request.filing_id.clone(),
        filing_version: request.filing_version,
        effect: request.effect,
        code: request.code,
        proposal: Vec::new(),
        supersedes: counting(case, &request.filing_id, request.effect()),
    };
    let internal = v1::ProposalInternal {
        request: request.encode_to_vec(),
        identity: account.id.clone(),
        note: request.note.clone(),
    };
    let id = new_id(shared.identity.hub.as_str())?;
    let statement =
        NewStatement::new("proposal", &id, 1)?.part("core", &core)?.part("internal", &internal)?;
    let name = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_ascii_lowercase();
    let code = request.code().as_str_name().trim_start_matches("DECISION_CODE_").to_owned();
    let effect = name(request.effect().as_str_name(), "EFFECT_");
    let filing = ewtp_trade::case::filing(case, &request.filing_id);
    let at = filing.and_then(|f| f.stands.as_ref()?.at.clone()).unwrap_or_default();
    let work = WorkPlan {
        id: work_id(&core, &id),
        case_id: case.case_id.clone(),
        filing_id: request.filing_id.clone(),
        filing_version: request.filing_version,
        filing: FilingAt::Known(at),
        officer_reason: format!(
            "a second officer: {code} for {effect}, proposed by {}",
            account.id
        ),
        waits_until_ms: 0,
        priority: false,
        proposal: Some(0),
        time_limit: false,
    };
    let draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        lrn: Some(claim),
        makes: vec![work],
        ..Draft::default()
    };
    Ok(match log(shared, draft).await? {
        // The same act may have been said by another call meanwhile: that one's work is what waits.
        Done::Logged(first) => match proposed_before(shared, &first).await? {
            Some(proposed) => Decided::Proposed(proposed),
            None => Decided::Done(Done::Logged(first)),
        },
        refused @ Done::Refused(_) => Decided::Done(refused),
    })
}

/// The decision that counts on an effect, by its commitment.
fn counting(case: &CaseRecord, filing_id: &str, effect: Effect) -> Vec<u8> {
    let filing = ewtp_trade::case::filing(case, filing_id);
    let decision = filing.and_then(|f| ewtp_trade::case::counting_decision(case, f, effect));
    decision.and_then(|d| d.stands.as_ref()).map(|s| s.commitment.clone()).unwrap_or_default()
}

/// The proposal that a work item waits on.
///
/// # Errors
/// Reading.
pub async fn proposal_of(
    shared: &Shared,
    item: &WorkItem,
) -> Result<Option<(v1::ProposalCore, v1::ProposalInternal, Hash)>, ewtp_store::StoreError> {
    let Some(index) = item.proposal.checked_sub(1) else { return Ok(None) };
    let said = Views(&*shared.store).own(index).await?;
    Ok(said.and_then(|s| Some((s.part("core")?, s.part("internal")?, s.commitment()))))
}

/// Another officer's word on a proposal.
///
/// # Errors
/// [`IntakeError`].
pub async fn approve(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::ApproveRequest,
) -> Result<Done, IntakeError> {
    let claim = match claim(shared, account, &request.idempotency_key, request) {
        Ok(claim) => claim,
        Err(done) => return Ok(done),
    };
    if let Some(first) = first_answer(shared, &claim).await? {
        return Ok(first);
    }
    let views = Views(&*shared.store);
    let item = views.work_item(&request.work_id).await?;
    let found = match &item {
        Some(item) => proposal_of(shared, item).await?,
        None => None,
    };
    let (Some(item), Some((core, proposed, commitment))) = (item, found) else {
        let say = Say {
            code: "proposal-unknown",
            allowed: "work that waits for a second officer",
            fix: "list it: ewtp desk list --proposals",
        };
        return Ok(refuse("work_id", &request.work_id, say));
    };
    if proposed.identity == account.id {
        let say = Say {
            code: "four-eyes",
            allowed: "another officer than the one who proposed it",
            fix: "have a colleague look at it",
        };
        return Ok(refuse("work_id", &account.id, say));
    }
    if request.note.chars().count() > NOTE_CHARS_MAX {
        let say = Say { code: "note", allowed: "at most 2000 characters", fix: "shorten it" };
        return Ok(refuse("note", "", say));
    }
    if request.decline {
        return decline(shared, account, (&item, core, commitment), &request.note, claim).await;
    }
    let Ok(asked) = v1::DecideRequest::decode(proposed.request.as_slice()) else {
        let say = Say {
            code: "proposal-unknown",
            allowed: "a proposal of this version of the program",
            fix: "decline it and decide anew",
        };
        return Ok(refuse("work_id", &request.work_id, say));
    };
    let case = views.case(&item.case_id).await?.unwrap_or_default();
    if counting(&case, &core.filing_id, core.effect()) != core.supersedes {
        let say = Say {
            code: "proposal-overtaken",
            allowed: "a proposal since which nothing else was decided on that effect",
            fix: "look at the newer decision; decline the proposal, or have it made anew",
        };
        return Ok(refuse("work_id", &request.work_id, say));
    }
    let by = decide::Approved {
        note: &request.note,
        proposed_by: &proposed.identity,
        proposal: commitment,
        work: &item.id,
    };
    decide::approved(shared, account, (&case, &asked), &by, claim).await
}

async fn decline(
    shared: &Shared,
    account: &v1::AccountRecord,
    (item, core, proposal): (&WorkItem, v1::ProposalCore, Hash),
    note: &str,
    claim: LrnClaim,
) -> Result<Done, IntakeError> {
    let id = item.id.rsplit_once("/p").map_or("", |(_, id)| id);
    let core = v1::ProposalCore {
        step: ProposalStep::Declined as i32,
        proposal: proposal.0.to_vec(),
        ..core
    };
    let internal = v1::ProposalInternal {
        identity: account.id.clone(),
        note: note.to_owned(),
        ..Default::default()
    };
    let mut statement =
        NewStatement::new("proposal", id, 2)?.part("core", &core)?.part("internal", &internal)?;
    statement.refs.push(proposal);
    let draft = Draft {
        statements: vec![statement],
        consumes: vec![item.id.clone()],
        lrn: Some(claim),
        ..Draft::default()
    };
    log(shared, draft).await
}
