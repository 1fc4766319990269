//! Events on this hub's ground: reported by carriers and declarants, recorded by officers and the agency's systems.

use std::collections::BTreeSet;
use std::sync::Arc;

use ewtp_log::HubId;
use ewtp_proto::store::v1::CaseRecord;
use ewtp_proto::{Message, v1};
use ewtp_store::Views;
use ewtp_trade::act::Act;
use ewtp_trade::case;
use ewtp_trade::codes::office_syntax;
use ewtp_trade::finding::Say;
use ewtp_trade::selector;
use v1::EventCode;
use v1::event_selector::By;

use super::{Done, begin, claim, first_answer, log, log_in_under, refuse, refused, untimely};
use crate::draft::{Draft, LrnClaim, NewStatement, SayError};
use crate::intake::IntakeError;
use crate::quality::{self, FINDINGS_MAX};
use crate::shared::Shared;

/// Longest seal, characters (WCO data element 165: an..35), and most of them.
const SEAL_CHARS_MAX: usize = 35;
const SEALS_MAX: usize = 99;
/// Furthest into the future that an event may have happened by its reporter's clock, milliseconds.
const AHEAD_MS: u64 = 5 * 60_000;

/// What happened, as it was told.
struct Told<'a> {
    code: EventCode,
    time_ms: i64,
    office: &'a str,
    note: &'a str,
    /// Carrier whose cases alone a selector moves; empty for the agency's own word.
    carrier: &'a str,
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
    let (code, office) = (request.code(), request.office.as_str());
    let mut told = Told { code, time_ms: request.time_ms, office, note: "", carrier: "" };
    let key = &request.idempotency_key;
    if let Some(selector) = &request.selector {
        // A carrier speaks for its own cases, under the first of its ids.
        let Some(carrier) = account.registered_ids.first().filter(|_| by_carriers(code)) else {
            return Ok(refuse("code", code.as_str_name(), RIGHTS));
        };
        told.carrier = carrier;
        return many(shared, account, (&request.case_id, selector), &told, (key, request)).await;
    }
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(done),
    };
    if !may_report(shared, account, &case, code).await? {
        return Ok(refuse("code", code.as_str_name(), RIGHTS));
    }
    let stopped = case::state(&case, shared.clock.now_ms()) == v1::CaseState::DoNotLoad;
    if code == EventCode::Departed && stopped {
        let say = Say {
            code: "do-not-load",
            allowed: "departure of goods that may be loaded",
            fix: "goods that left all the same are recorded by the exit office: ewtp desk event",
        };
        return Ok(refuse("code", code.as_str_name(), say));
    }
    one(shared, account, &case, &told, (&[], &[]), claim).await
}

const RIGHTS: Say<'static> = Say {
    code: "rights",
    allowed: "departed and incident: the carrier; arrived and presented: the carrier or who is declarant at this hub",
    fix: "have it reported by them, or recorded by an officer: ewtp desk event",
};

const fn by_carriers(code: EventCode) -> bool {
    use EventCode::{Arrived, Departed, Incident, Presented};
    matches!(code, Departed | Incident | Arrived | Presented)
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
    let (code, office) = (request.code(), request.office.as_str());
    let told = Told { code, time_ms: request.time_ms, office, note: &request.note, carrier: "" };
    let findings = &request.findings;
    let known = findings.len() <= FINDINGS_MAX && findings.iter().all(|f| quality::fits(code, f));
    let kinds: BTreeSet<&str> = findings.iter().map(|f| f.kind.as_str()).collect();
    let known = known && kinds.len() == findings.len();
    let fit_in = findings.is_empty() || (request.selector.is_none() && known);
    if !fit_in {
        let say = Say {
            code: "findings",
            allowed: "of an inspection or a check of seals in one case: goods, seals, export-control, inspection, aeo, origin, licence or phytosanitary, each once and conforms, minor or false; of a check of seals seals alone",
            fix: "say what was found of what: --found inspection=false",
        };
        let said: Vec<&str> = findings.iter().map(|f| f.kind.as_str()).collect();
        return Ok(refuse("findings", &said.join(", "), say));
    }
    let sealed = matches!(code, EventCode::SealsChecked | EventCode::Resealed);
    let fit = |seal: &String| {
        (1..=SEAL_CHARS_MAX).contains(&seal.chars().count()) && !seal.chars().any(char::is_control)
    };
    let seals = &request.seals;
    let named = !(code == EventCode::Resealed && seals.is_empty());
    if (!seals.is_empty() && !sealed) || seals.len() > SEALS_MAX || !seals.iter().all(fit) || !named
    {
        let say = Say {
            code: "seals",
            allowed: "of checked seals and of new ones: at most 99, of 1 to 35 characters; new ones are named",
            fix: "name them: --seal NUMBER",
        };
        return Ok(refuse("seals", &seals.len().to_string(), say));
    }
    if let Some(selector) = &request.selector {
        return many(shared, account, (&request.case_id, selector), &told, (key, request)).await;
    }
    let (case, claim) = match begin(shared, account, &request.case_id, key, request).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(done),
    };
    one(shared, account, &case, &told, (findings, seals), claim).await
}

/// When it happened, if what was told can be true.
fn time_of(shared: &Shared, told: &Told<'_>) -> Result<u64, Done> {
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
        return Err(refuse("time_ms", &told.time_ms.to_string(), say));
    }
    if !told.office.is_empty() && !office_syntax(told.office) {
        let say = Say {
            code: "office",
            allowed: "a country code and 6 characters, such as BE101000",
            fix: "leave it empty or give the office where it happened",
        };
        return Err(refuse("office", told.office, say));
    }
    Ok(time_ms)
}

/// An event about one case.
async fn one(
    shared: &Shared,
    account: &v1::AccountRecord,
    case: &CaseRecord,
    told: &Told<'_>,
    (findings, seals): (&[v1::ArrivalFinding], &[String]),
    claim: LrnClaim,
) -> Result<Done, IntakeError> {
    let time_ms = match time_of(shared, told) {
        Ok(time_ms) => time_ms,
        Err(done) => return Ok(done),
    };
    let act = Act::Happen { code: told.code };
    if let Some(done) = untimely(shared, case, "code", told.code.as_str_name(), act) {
        return Ok(done);
    }
    let leading = case::leading_filing(case);
    let told_of = quality::about_facts(shared, case, findings).await?;
    // One alarm at a time: what is counted and how it is numbered stays so until it is logged.
    let act = match findings {
        [] => None,
        _ => Some(Arc::clone(&shared.acts).lock_owned().await),
    };
    let now_ms = shared.clock.now_ms();
    let alarms = match quality::alarms(shared, &case.case_id, &told_of, now_ms).await {
        Ok(alarms) => alarms,
        Err(SayError::Store(error)) => return Err(error.into()),
        Err(SayError::Random(error)) => return Err(error.into()),
        Err(SayError::Draft(error)) => return Err(error.into()),
        Err(SayError::Faults(faults)) => return Ok(refused(faults)),
    };
    let core = v1::EventCore {
        findings: told_of.core,
        selector: Some(v1::EventSelector { by: Some(By::CaseId(case.case_id.clone())) }),
        filing_id: leading.map(|f| f.filing_id.clone()).unwrap_or_default(),
        filing_version: leading.map_or(0, |f| f.version),
        ..core(told, time_ms)
    };
    let counted = !(told_of.trader.is_empty() && told_of.authority.is_empty());
    let authority = v1::DecisionAuthority { findings: told_of.authority, ..Default::default() };
    let trader =
        v1::EventTrader { seals: seals.to_vec(), findings: told_of.trader, ..Default::default() };
    let raised: Vec<(String, String)> = alarms
        .iter()
        .filter_map(|alarm| alarm.id.subject.split_once('/'))
        .map(|(hub, kind)| (hub.to_owned(), kind.to_owned()))
        .collect();
    // What is counted next has to see this one: only a finding about no fact waits for nothing.
    let act = act.filter(|_| counted);
    let mut statement = statement(shared, account, told, &core, (&trader, &authority))?;
    statement.audience = shared.shown_to(&shared.hubs_of(case), "event");
    let draft = Draft {
        statements: std::iter::once(statement).chain(alarms).collect(),
        revisions: vec![(case.case_id.clone(), case.revision)],
        lrn: Some(claim),
        ..Draft::default()
    };
    let done = log_in_under(shared, case, draft, act).await?;
    if matches!(done, Done::Logged(_)) {
        quality::tell(&raised);
    }
    Ok(done)
}

/// An event about all cases that name something: one statement, however many they are.
async fn many(
    shared: &Shared,
    account: &v1::AccountRecord,
    (case_id, selector): (&str, &v1::EventSelector),
    told: &Told<'_>,
    (key, request): (&str, &impl Message),
) -> Result<Done, IntakeError> {
    let name = match selector::check(selector) {
        Ok(name) if case_id.is_empty() => name,
        Ok(_) => return Ok(refuse("case_id", case_id, ONE_OR_MANY)),
        Err(violation) => return Ok(refused(vec![*violation])),
    };
    let claim = match claim(shared, account, key, request) {
        Ok(claim) => claim,
        Err(done) => return Ok(done),
    };
    if let Some(first) = first_answer(shared, &claim).await? {
        return Ok(first);
    }
    let time_ms = match time_of(shared, told) {
        Ok(time_ms) => time_ms,
        Err(done) => return Ok(done),
    };
    if !selects(told.code) {
        let say = Say {
            code: "event",
            allowed: "departed, incident, arrived, presented, inspected, held, exited",
            fix: "what ends a consignment's way is said case by case",
        };
        return Ok(refuse("code", told.code.as_str_name(), say));
    }
    if is_crowded(shared, &name, told.carrier).await? {
        let say = Say {
            code: "too-many",
            allowed: "64 events of a carrier under one name, 512 of all carriers, 1000 of this hub",
            fix: "say what concerns single cases case by case",
        };
        return Ok(refuse("selector", &name, say));
    }
    let Some(hubs) = told_to(shared, &name, told.carrier).await? else {
        let say = Say {
            code: "selects-nothing",
            allowed: "what filings of this hub's cases name; for a carrier, of those that name it as carrier (parties.carrier)",
            fix: "compare it with the filings; a conveyance with its day: KL566/2026-11-30",
        };
        return Ok(refuse("selector", &name, say));
    };
    let core = v1::EventCore { selector: Some(selector.clone()), ..core(told, time_ms) };
    let mut statement = statement(
        shared,
        account,
        told,
        &core,
        (&v1::EventTrader::default(), &v1::DecisionAuthority::default()),
    )?;
    statement.audience = shared.shown_to(&hubs, "event");
    let draft = Draft { statements: vec![statement], lrn: Some(claim), ..Draft::default() };
    log(shared, draft).await
}

const ONE_OR_MANY: Say<'static> =
    Say { code: "selector", allowed: "a case or a selector", fix: "leave one of the two out" };

const fn selects(code: EventCode) -> bool {
    use EventCode::{Arrived, Departed, Exited, Held, Incident, Inspected, Presented};
    matches!(code, Arrived | Departed | Exited | Held | Incident | Inspected | Presented)
}

/// Whether a name has as many events already as its cases can take up: carriers leave room for the agency.
async fn is_crowded(shared: &Shared, name: &str, carrier: &str) -> Result<bool, IntakeError> {
    let me = shared.identity.hub.as_str();
    let said = Views(&*shared.store).selecting(name).await?;
    let own = said.iter().filter_map(|e| e.event.as_ref());
    let own = own.filter(|e| case::hub(e.stands.as_ref()) == me);
    let (mut all, mut of_carriers, mut of_this) = (0, 0, 0);
    for event in own {
        all += 1;
        of_carriers += usize::from(!event.carrier_id.is_empty());
        of_this += usize::from(!carrier.is_empty() && event.carrier_id == carrier);
    }
    Ok(all >= 1000 || (!carrier.is_empty() && (of_carriers >= 512 || of_this >= 64)))
}

/// Cases that are read at once.
const PAGE: usize = 512;

/// The hubs of all cases that a name selects; `None` where it selects no case.
async fn told_to(
    shared: &Shared,
    name: &str,
    carrier: &str,
) -> Result<Option<Vec<HubId>>, IntakeError> {
    let views = Views(&*shared.store);
    let all = shared.directory.load().peers.values().filter(|p| p.is_active()).count();
    let (mut hubs, mut any, mut from) = (BTreeSet::new(), false, 0);
    loop {
        let cases = views.selected(name, from, PAGE).await?;
        let more = cases.len() == PAGE;
        for case in cases {
            from = case.ordinal + 1;
            let carries = carrier.is_empty() || selector::is_carried_by(&case, carrier);
            if carries {
                any = true;
                hubs.extend(shared.hubs_of(&case));
            }
        }
        // Nobody can be added any more once all peers are in it.
        if !more || hubs.len() == all {
            return Ok(any.then(|| hubs.into_iter().collect()));
        }
    }
}

fn core(told: &Told<'_>, time_ms: u64) -> v1::EventCore {
    v1::EventCore {
        code: told.code as i32,
        time_ms: i64::try_from(time_ms).unwrap_or(i64::MAX),
        office: told.office.to_owned(),
        carrier_id: told.carrier.to_owned(),
        ..Default::default()
    }
}

fn statement(
    shared: &Shared,
    account: &v1::AccountRecord,
    told: &Told<'_>,
    core: &v1::EventCore,
    (trader, authority): (&v1::EventTrader, &v1::DecisionAuthority),
) -> Result<NewStatement, getrandom::Error> {
    let internal = v1::FilingInternal {
        account: account.id.clone(),
        filer_note: told.note.to_owned(),
        ..Default::default()
    };
    let id = crate::clock::new_id(shared.identity.hub.as_str())?;
    NewStatement::new("event", &id, 1)?
        .part("core", core)?
        .part("trader", trader)?
        .part("authority", authority)?
        .part("internal", &internal)
}
