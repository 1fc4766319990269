//! Events on this hub's ground: reported by carriers and declarants, recorded by officers and the agency's systems.

use ewtp_proto::store::v1::CaseRecord;
use ewtp_proto::v1;
use ewtp_trade::act::Act;
use ewtp_trade::case;
use ewtp_trade::codes::office_syntax;
use ewtp_trade::finding::Say;
use v1::EventCode;

use super::{Done, begin, log, refuse, unknown_case, untimely};
use crate::draft::{Draft, LrnClaim, NewStatement};
use crate::intake::IntakeError;
use crate::shared::Shared;
use crate::standing;

/// Furthest into the future that an event may have happened by its reporter's clock, milliseconds.
const AHEAD_MS: u64 = 5 * 60_000;

/// What happened, as it was told.
struct Told<'a> {
    code: EventCode,
    time_ms: i64,
    office: &'a str,
    note: &'a str,
}

/// A carrier or declarant reports an event.
///
/// # Errors
/// [`IntakeError`].
pub async fn report(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::ReportEventRequest,
) -> Result<Done, IntakeError> {
    let Some(case) = standing::case_of(shared, account, &request.case_id).await? else {
        return Ok(unknown_case(&request.case_id));
    };
    let (code, office) = (request.code(), request.office.as_str());
    if !may_report(shared, account, &case, code).await? {
        let say = Say {
            code: "rights",
            allowed: "departed and incident: the carrier; arrived and presented: the carrier or who is declarant at this hub",
            fix: "have it reported by them, or recorded by an officer: ewtp desk event",
        };
        return Ok(refuse("code", code.as_str_name(), say));
    }
    let told = Told { code, time_ms: request.time_ms, office, note: "" };
    say(shared, account, &case, &told, None).await
}

async fn may_report(
    shared: &Shared,
    account: &v1::AccountRecord,
    case: &CaseRecord,
    code: EventCode,
) -> Result<bool, IntakeError> {
    let me = shared.identity.hub.as_str();
    let carriers = case.filings.iter().map(|f| f.carrier_id.as_str()).filter(|c| !c.is_empty());
    let carries = carriers.into_iter().any(|c| account.registered_ids.iter().any(|id| id == c));
    let declares = case.filings.iter().any(|f| {
        case::kind(f) == v1::FilingType::Import
            && case::hub(f.stands.as_ref()) == me
            && f.account == account.id
    });
    Ok(match code {
        EventCode::Departed | EventCode::Incident => carries,
        EventCode::Arrived | EventCode::Presented => carries || declares,
        _ => false,
    })
}

/// An officer or a system of the agency records an event.
///
/// # Errors
/// [`IntakeError`].
pub async fn record(
    shared: &Shared,
    account: &v1::AccountRecord,
    request: &v1::RecordEventRequest,
) -> Result<Done, IntakeError> {
    let key = &request.idempotency_key;
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(done),
    };
    let (code, office) = (request.code(), request.office.as_str());
    let told = Told { code, time_ms: request.time_ms, office, note: &request.note };
    say(shared, account, &case, &told, Some(claim)).await
}

async fn say(
    shared: &Shared,
    account: &v1::AccountRecord,
    case: &CaseRecord,
    told: &Told<'_>,
    claim: Option<LrnClaim>,
) -> Result<Done, IntakeError> {
    let now_ms = shared.clock.now_ms();
    let time_ms = match told.time_ms {
        0 => now_ms,
        ms => u64::try_from(ms).unwrap_or(u64::MAX),
    };
    if time_ms > now_ms.saturating_add(AHEAD_MS) {
        let say = Say {
            code: "time",
            allowed: "Unix milliseconds of what has happened, or 0 for now",
            fix: "report events once they happened",
        };
        return Ok(refuse("time_ms", &told.time_ms.to_string(), say));
    }
    if !told.office.is_empty() && !office_syntax(told.office) {
        let say = Say {
            code: "office",
            allowed: "a country code and 6 characters, such as BE101000",
            fix: "leave it empty or give the office where it happened",
        };
        return Ok(refuse("office", told.office, say));
    }
    let act = Act::Happen { code: told.code };
    if let Some(done) = untimely(shared, case, "code", told.code.as_str_name(), act) {
        return Ok(done);
    }
    let leading = case::leading_filing(case);
    let by = v1::event_selector::By::CaseId(case.case_id.clone());
    let core = v1::EventCore {
        code: told.code as i32,
        selector: Some(v1::EventSelector { by: Some(by) }),
        time_ms: i64::try_from(time_ms).unwrap_or(i64::MAX),
        filing_id: leading.map(|f| f.filing_id.clone()).unwrap_or_default(),
        filing_version: leading.map_or(0, |f| f.version),
        office: told.office.to_owned(),
        ..Default::default()
    };
    let internal = v1::FilingInternal {
        account: account.id.clone(),
        filer_note: told.note.to_owned(),
        ..Default::default()
    };
    let id = crate::clock::new_id(shared.identity.hub.as_str())?;
    let mut statement = NewStatement::new("event", &id, 1)?
        .part("core", &core)?
        .part("trader", &v1::EventTrader::default())?
        .part("authority", &v1::DecisionAuthority::default())?
        .part("internal", &internal)?;
    statement.audience = shared.shown_to(&shared.hubs_of(case), "event");
    let draft = Draft {
        statements: vec![statement],
        revisions: vec![(case.case_id.clone(), case.revision)],
        lrn: claim,
        ..Draft::default()
    };
    log(shared, draft).await
}
