//! What people and systems do to a case beside filing: each act is looked at by who may do it and whether it makes sense now,
//! becomes one draft, and is logged with the account that did it.

pub mod adopt;
pub mod answer;
pub mod approve;
pub mod decide;
pub mod erase;
pub mod erase_case;
pub mod event;
pub mod mandate;
pub mod withdraw;

use ewtp_log::Hash;
use ewtp_log::hash::sha256;
use ewtp_proto::store::v1::{CaseRecord, Stands};
use ewtp_proto::{Message, v1};
use ewtp_store::Views;
use ewtp_trade::act::{self, Act};
use ewtp_trade::finding::{Say, finding};
use tokio::sync::OwnedMutexGuard;

use crate::connect;
use crate::draft::{Draft, DraftError, Logged, LrnClaim};
use crate::intake::{IntakeError, lrn_key, untimely_finding};
use crate::shared::Shared;
use crate::standing;

/// What became of an act.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Logged: its first statement.
    Logged(v1::StatementRef),
    /// Not logged; every violation.
    Refused(v1::Refused),
}

/// How often an act is planned again because its case moved meanwhile.
const REPLANS_MAX: u32 = 16;

/// Does an act; where the case moved between reading and logging, or its work was done by another, it is read and planned
/// again.
///
/// # Errors
/// [`IntakeError`].
pub async fn replanned<T, F>(act: impl Fn() -> F) -> Result<T, IntakeError>
where
    F: Future<Output = Result<T, IntakeError>>,
{
    for _ in 0..REPLANS_MAX {
        match act().await {
            Err(IntakeError::Draft(DraftError::CaseMoved { .. } | DraftError::WorkGone(_))) => {}
            outcome => return outcome,
        }
    }
    act().await
}

/// An act that is refused for one reason.
fn refuse(path: &str, value: &str, say: Say<'_>) -> Done {
    refused(vec![finding(path, value, say)])
}

fn refused(violations: Vec<v1::Finding>) -> Done {
    Done::Refused(v1::Refused { violations, first_receipt: String::new() })
}

fn unknown_case(id: &str) -> Done {
    let say = Say {
        code: "case-unknown",
        allowed: "a case that this account may see",
        fix: "list the cases: ewtp case list",
    };
    refuse("case_id", id, say)
}

/// Why an act can't be logged now, if so.
fn untimely(
    shared: &Shared,
    case: &CaseRecord,
    path: &str,
    value: &str,
    act: Act<'_>,
) -> Option<Done> {
    let checked = act::check(case, shared.identity.hub.as_str(), act).err()?;
    Some(refused(vec![untimely_finding(path, value, &checked)]))
}

/// Longest idempotency key, characters.
const KEY_CHARS_MAX: usize = 64;

/// A claim to an idempotency key of an account: the same request under the same key has no second effect.
fn claim(
    shared: &Shared,
    account: &v1::AccountRecord,
    key: &str,
    request: &impl Message,
) -> Result<LrnClaim, Done> {
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        let say = Say {
            code: "idempotency-key",
            allowed: "1 to 64 characters",
            fix: "give each act a key of its own, and repeat it only when the same act is sent again",
        };
        return Err(refuse("idempotency_key", key, say));
    }
    let key = lrn_key(shared, &account.id, &format!("\u{0}act\u{0}{key}"));
    Ok(LrnClaim { key, digest: sha256(&[&request.encode_to_vec()]).0 })
}

/// What every act under a key begins with: the case that the account sees, and the key's claim; or what the act was answered
/// with before, or why it is refused.
async fn begin(
    shared: &Shared,
    account: &v1::AccountRecord,
    case_id: &str,
    key: &str,
    request: &impl Message,
) -> Result<Result<(CaseRecord, LrnClaim), Done>, IntakeError> {
    let Some(case) = standing::case_of(shared, account, case_id).await? else {
        return Ok(Err(unknown_case(case_id)));
    };
    let claim = match claim(shared, account, key, request) {
        Ok(claim) => claim,
        Err(done) => return Ok(Err(done)),
    };
    let first = first_answer(shared, &claim).await?;
    Ok(first.map_or(Ok((case, claim)), Err))
}

/// The answer where the very same was said before.
fn stands_at(stands: &Stands) -> Done {
    Done::Logged(v1::StatementRef {
        hub: stands.hub.clone(),
        commitment: stands.commitment.clone(),
        log_index: stands.log_index,
    })
}

/// Where the first statement of a draft stands.
fn logged(shared: &Shared, logged: Logged) -> Done {
    let (log_index, commitment) =
        logged.statements.first().copied().unwrap_or((0, Hash::EMPTY_ROOT));
    let hub = shared.identity.hub.to_string();
    Done::Logged(v1::StatementRef { hub, commitment: commitment.0.to_vec(), log_index })
}

/// What was answered when an act under this key was logged: repeated acts are answered as the first one was, whatever happened
/// since.
async fn first_answer(shared: &Shared, claim: &LrnClaim) -> Result<Option<Done>, IntakeError> {
    match Views(&*shared.store).lrn(&claim.key, &claim.digest).await? {
        None => Ok(None),
        Some((index, same)) => repeated(shared, index, same).await.map(Some),
    }
}

async fn repeated(shared: &Shared, index: u64, same: bool) -> Result<Done, IntakeError> {
    if !same {
        let say = Say {
            code: "idempotency-key-reused",
            allowed: "a key that no other act of this account had",
            fix: "use a new key for another act",
        };
        return Ok(refuse("idempotency_key", &format!("used by log entry {index}"), say));
    }
    let first = Views(&*shared.store).own(index).await?;
    let commitment = first.map(|s| s.commitment().0.to_vec()).unwrap_or_default();
    let hub = shared.identity.hub.to_string();
    Ok(Done::Logged(v1::StatementRef { hub, commitment, log_index: index }))
}

/// Logs what is said in a case: hubs that are told something for the first time hear first what was said before.
async fn log_in(shared: &Shared, case: &CaseRecord, mut draft: Draft) -> Result<Done, IntakeError> {
    draft.late = connect::late(shared, case, &draft.statements).await?;
    log(shared, draft).await
}

/// Logs a draft; its first statement is the answer.
/// The same under the lock that it was planned under, if any.
async fn log_in_under(
    shared: &Shared,
    case: &CaseRecord,
    mut draft: Draft,
    act: Option<OwnedMutexGuard<()>>,
) -> Result<Done, IntakeError> {
    let Some(act) = act else { return log_in(shared, case, draft).await };
    draft.late = connect::late(shared, case, &draft.statements).await?;
    let outcome = shared.accounts.submit_act(draft, act).await;
    outcome_of(shared, outcome).await
}

async fn log(shared: &Shared, draft: Draft) -> Result<Done, IntakeError> {
    let outcome = shared.accounts.try_submit(draft).await;
    outcome_of(shared, outcome).await
}

async fn outcome_of(
    shared: &Shared,
    outcome: Result<Logged, DraftError>,
) -> Result<Done, IntakeError> {
    match outcome {
        Ok(outcome) => Ok(logged(shared, outcome)),
        Err(DraftError::LrnTaken { index, same }) => repeated(shared, index, same).await,
        Err(e) => Err(e.into()),
    }
}

/// Reason codes: what texts stand for, never texts.
pub(crate) fn is_code(text: &str) -> bool {
    let symbol = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&text.len()) && text.chars().all(symbol)
}
