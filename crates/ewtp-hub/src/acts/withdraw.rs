//! Withdrawal of a filing by who filed it, and its end without use.

use ewtp_log::Hash;
use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trade::act::Act;
use ewtp_trade::case;
use ewtp_trade::expiry::EXPIRED;
use ewtp_trade::finding::Say;

use super::{Done, is_code, log_in, refuse, refused, stands_at, unknown_case, untimely};
use crate::draft::{Draft, NewStatement};
use crate::intake::IntakeError;
use crate::shared::Shared;
use crate::standing;

/// Withdraws the newest version of a filing.
///
/// # Errors
/// [`IntakeError`].
pub async fn withdraw(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::InvalidateRequest,
) -> Result<Done, IntakeError> {
    let Some(case) = standing::case_of(shared, account, &request.case_id).await? else {
        return Ok(unknown_case(&request.case_id));
    };
    if !is_code(&request.reason) || request.reason == EXPIRED {
        let say = Say {
            code: "reason-code",
            allowed: "1 to 32 characters of A-Z, 0-9 and -; EXPIRED is the hub's own word",
            fix: "give a code such as ORDER-CANCELLED",
        };
        return Ok(refuse("reason", &request.reason, say));
    }
    let filing = case::filing(&case, &request.filing_id).filter(|f| f.account == account.id);
    let Some(filing) = filing else {
        let say = Say {
            code: "filing-unknown",
            allowed: "a filing of this account in this case",
            fix: "only who filed it withdraws it; show the case: ewtp case show",
        };
        return Ok(refuse("filing_id", &request.filing_id, say));
    };
    let unentitled = standing::no_longer_entitled(shared, account, filing).await?;
    if !unentitled.is_empty() {
        return Ok(refused(unentitled));
    }
    if let Some(done) = said_before(shared, &case, filing, &request.reason).await? {
        return Ok(done);
    }
    let act = Act::Invalidate { filing: &filing.filing_id };
    if let Some(done) = untimely(shared, &case, "filing_id", &request.filing_id, act) {
        return Ok(done);
    }
    let draft = invalidation(shared, &case, filing, &request.reason, &account.id)?;
    log_in(shared, &case, draft).await
}

/// What ends a filing that was never used: this hub's own word.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn expire(
    shared: &Shared,
    case: &CaseRecord,
    filing: &FilingRecord,
) -> Result<Draft, getrandom::Error> {
    invalidation(shared, case, filing, EXPIRED, "")
}

fn invalidation(
    shared: &Shared,
    case: &CaseRecord,
    filing: &FilingRecord,
    reason: &str,
    account: &str,
) -> Result<Draft, getrandom::Error> {
    let core = v1::InvalidationCore {
        case_id: case.case_id.clone(),
        filing_id: filing.filing_id.clone(),
        filing_version: filing.version,
        reason: reason.to_owned(),
    };
    let internal = v1::FilingInternal { account: account.to_owned(), ..Default::default() };
    let number = u64::from(filing.version);
    let mut statement = NewStatement::new("invalidation", &filing.filing_id, number)?
        .part("core", &core)?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &internal)?;
    let filed = filing.stands.as_ref().map(|s| s.commitment.as_slice()).unwrap_or_default();
    statement.refs.extend(Hash::from_slice(filed));
    statement.audience = shared.shown_to(&shared.hubs_of(case), "invalidation");
    Ok(Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        ..Draft::default()
    })
}

/// Where the same withdrawal stands already: who asks again, not knowing what became of it, is told.
async fn said_before(
    shared: &Shared,
    case: &CaseRecord,
    filing: &FilingRecord,
    reason: &str,
) -> Result<Option<Done>, StoreError> {
    let me = shared.identity.hub.as_str();
    let of_it = case.invalidations.iter().filter(|i| i.filing_id == filing.filing_id);
    for stands in of_it.filter_map(|i| i.stands.as_ref()).filter(|s| s.hub == me) {
        let at = stands.at.clone().unwrap_or_default();
        let statement = Views(&*shared.store).statement(&at).await?;
        let core = statement.and_then(|s| s.part::<v1::InvalidationCore>("core"));
        if core.is_some_and(|c| c.reason == reason && c.filing_version == filing.version) {
            return Ok(Some(stands_at(stands)));
        }
    }
    Ok(None)
}
