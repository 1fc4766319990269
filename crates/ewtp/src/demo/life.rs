//! What happens after clearance: adoption, departure, presentation, release; a condition; an amendment; a withdrawal; a
//! country without a hub.

use std::time::Instant;

use ewtp_proto::v1;
use v1::{CaseState, ConditionOutcome, DecisionCode, Effect, EventCode, FilingType};

use super::Score;
use super::filings::{Goods, advance};
use super::stage::{BE, KE, Stage};
use super::story::{case, demo, file, wait_for};
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Who is on the stage after clearance.
struct Cast {
    platform: Session,
    exit_office: Session,
    importer: Session,
    officer: Session,
}

/// Plays the life of consignments after they were filed.
pub(crate) async fn play(stage: &Stage, score: &mut Score, out: &Output) -> Result<(), CliError> {
    out.say("\n6. Clearance is not the end. In Belgium an importer and an officer have accounts, in Kenya the exit office.");
    let cast = Cast {
        platform: Session::open(Some(&stage.platform_profile())).await?,
        exit_office: stage.open_account(KE, "exit-office", v1::Role::Officer, "").await?,
        importer: stage.open_account(BE, "importer", v1::Role::Trader, "BE0123456789").await?,
        officer: stage.open_account(BE, "officer", v1::Role::Officer, "").await?,
    };
    released(&cast, score, out).await?;
    conditional(&cast, score, out).await?;
    amended(&cast, score, out).await?;
    withdrawn(&cast, score, out).await?;
    not_connected(&cast, score, out).await?;
    two_cooperatives(stage, &cast, out).await?;
    risk_engine(stage, &cast, out).await
}

fn coffee(lrn: &str, destination: &'static str, kilograms: &'static str) -> Goods {
    Goods {
        lrn: lrn.into(),
        exporter: "Nyeri Hills Farmers Cooperative",
        consignee: "Koffiebranderij De Molen",
        destination,
        items: vec![("090111", "Arabica coffee, green, washed", kilograms, "660")],
        filer_note: "",
    }
}

fn refused(violations: &[v1::Finding]) -> CliError {
    let lines: Vec<String> = violations.iter().map(ewtp_trade::finding::line).collect();
    demo(lines.join("; "))
}

fn newest(case: &v1::Case, kind: FilingType) -> Result<v1::FilingCore, CliError> {
    let mut cores = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
    cores.rfind(|c| c.r#type() == kind).cloned().ok_or_else(|| demo("no such filing"))
}

/// An officer decides; what is said is told.
async fn decide(
    cast: &Cast,
    case: &v1::Case,
    kind: FilingType,
    (effect, code): (Effect, DecisionCode),
    conditions: Vec<v1::Condition>,
) -> Result<v1::StatementRef, CliError> {
    use v1::decide_response::Result as Outcome;
    let filing = newest(case, kind)?;
    let request = v1::DecideRequest {
        case_id: case.case_id.clone(),
        filing_version: filing.version,
        idempotency_key: format!("{}-{}-{}", filing.filing_id, effect as i32, code as i32),
        filing_id: filing.filing_id,
        effect: effect as i32,
        code: code as i32,
        conditions,
        ..Default::default()
    };
    match cast.officer.desk().decide(request).await?.into_inner().result {
        Some(Outcome::Logged(at)) => Ok(at),
        Some(Outcome::Refused(no)) => Err(refused(&no.violations)),
        Some(Outcome::Proposed(_)) => Err(demo("a proposal where none is wanted")),
        None => Err(demo("an empty answer")),
    }
}

async fn released(cast: &Cast, score: &mut Score, out: &Output) -> Result<(), CliError> {
    use v1::adopt_response::Result as Outcome;
    let accepted = file(&cast.platform, &coffee("COOP-0005", "BE", "60")).await?;
    let id = accepted.case_id;
    wait_for(&cast.platform, &id, CaseState::Cleared).await?;
    let seen = case(&cast.importer, &id).await?;
    let advance = newest(&seen, FilingType::Advance)?;
    let core = v1::FilingCore {
        lrn: "IMPORT-0005".into(),
        declarant_id: "BE0123456789".into(),
        ..Default::default()
    };
    let request = v1::AdoptRequest {
        case_id: id.clone(),
        filing_id: advance.filing_id,
        filing_version: advance.version,
        filing: Some(v1::Filing { core: Some(core), ..Default::default() }),
        ..Default::default()
    };
    let import = match cast.importer.trade().adopt(request).await?.into_inner().result {
        Some(Outcome::Accepted(accepted)) => accepted,
        Some(Outcome::Refused(no)) => return Err(refused(&no.violations)),
        None => return Err(demo("an empty answer")),
    };
    score.adopted += 1;
    out.say(&format!(
        "  COOP-0005: cleared; the importer that it names adopts it: import filing {}, typed by nobody twice",
        import.mrn
    ));
    let moved = score.filed + 1; // everything so far flies with it
    departed(&cast.exit_office).await?;
    report(&cast.importer, &id, EventCode::Presented).await?;
    let ready = until(cast, &id, "everything that release needs", |c| c.needs.is_empty()).await?;
    let release = (Effect::Release, DecisionCode::Release);
    decide(cast, &ready, FilingType::Import, release, Vec::new()).await?;
    wait_for(&cast.platform, &id, CaseState::Released).await?;
    score.released += 1;
    out.say(&format!(
        "    flight KQ100 departs: one statement of Kenya's exit office moves {moved} cases; what must not be loaded stays so"
    ));
    out.say("    presented (the importer), released (Belgium's officer): Kenya shows it released");
    Ok(())
}

/// Waits until Belgium's view of a case holds something.
async fn until(
    cast: &Cast,
    id: &str,
    what: &str,
    holds: impl Fn(&v1::Case) -> bool,
) -> Result<v1::Case, CliError> {
    let started = Instant::now();
    loop {
        let now = case(&cast.officer, id).await?;
        if holds(&now) {
            return Ok(now);
        }
        if started.elapsed() > super::story::PATIENCE {
            return Err(demo(format!("{id} waits for {what}")));
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The exit office says of a flight that it left.
async fn departed(session: &Session) -> Result<(), CliError> {
    use v1::record_event_response::Result as Outcome;
    let by = v1::event_selector::By::Conveyance("KQ100".to_owned());
    let request = v1::RecordEventRequest {
        selector: Some(v1::EventSelector { by: Some(by) }),
        code: EventCode::Departed as i32,
        idempotency_key: "KQ100 departed".to_owned(),
        ..Default::default()
    };
    match session.desk().record_event(request).await?.into_inner().result {
        Some(Outcome::Refused(no)) => Err(refused(&no.violations)),
        _ => Ok(()),
    }
}

async fn report(session: &Session, id: &str, code: EventCode) -> Result<(), CliError> {
    use v1::report_event_response::Result as Outcome;
    let request = v1::ReportEventRequest {
        case_id: id.to_owned(),
        code: code as i32,
        idempotency_key: format!("{id}-{}", code as i32),
        ..Default::default()
    };
    match session.trade().report_event(request).await?.into_inner().result {
        Some(Outcome::Refused(no)) => Err(refused(&no.violations)),
        _ => Ok(()),
    }
}

async fn conditional(cast: &Cast, score: &mut Score, out: &Output) -> Result<(), CliError> {
    let accepted = file(&cast.platform, &coffee("COOP-0006", "BE", "61")).await?;
    let id = accepted.case_id;
    wait_for(&cast.platform, &id, CaseState::Cleared).await?;
    let seen = case(&cast.officer, &id).await?;
    let what = Some(v1::Reason { code: "GUARANTEE".into(), ..Default::default() });
    let guarantee = vec![v1::Condition { id: "GUARANTEE".into(), what }];
    let effect = (Effect::Admissibility, DecisionCode::ClearConditional);
    let imposed = decide(cast, &seen, FilingType::Advance, effect, guarantee).await?;
    wait_for(&cast.platform, &id, CaseState::ClearedConditional).await?;
    score.conditional += 1;
    let request = v1::SettleConditionRequest {
        case_id: id.clone(),
        decision: imposed.commitment,
        condition_id: "GUARANTEE".into(),
        outcome: ConditionOutcome::Met as i32,
        reference: "GRN 26BE000000000001".into(),
        idempotency_key: format!("{id}-guarantee"),
    };
    cast.officer.desk().settle_condition(request).await?;
    wait_for(&cast.platform, &id, CaseState::Cleared).await?;
    out.say("  COOP-0006: an officer clears it under the condition GUARANTEE; it is met, and the case is cleared at both hubs");
    Ok(())
}

async fn amended(cast: &Cast, score: &mut Score, out: &Output) -> Result<(), CliError> {
    let accepted = file(&cast.platform, &coffee("COOP-0007", "BE", "62")).await?;
    let id = accepted.case_id;
    wait_for(&cast.platform, &id, CaseState::Cleared).await?;
    let mut fireworks = coffee("COOP-0007-V2", "BE", "62");
    fireworks.items = vec![("360410", "Fireworks, assorted rockets", "62", "660")];
    let mut request = advance(&fireworks);
    if let Some(core) = request.filing.as_mut().and_then(|f| f.core.as_mut()) {
        core.case_id.clone_from(&id);
        core.filing_id.clone_from(&accepted.filing_id);
        core.function = v1::FilingFunction::Amendment as i32;
    }
    cast.platform.trade().submit(request).await?;
    wait_for(&cast.platform, &id, CaseState::DoNotLoad).await?;
    score.amended += 1;
    out.say("  COOP-0007: cleared as coffee, amended to fireworks: the clearance of version 1 releases nothing, version 2 is not loaded");
    Ok(())
}

async fn withdrawn(cast: &Cast, score: &mut Score, out: &Output) -> Result<(), CliError> {
    use v1::invalidate_response::Result as Outcome;
    let accepted = file(&cast.platform, &coffee("COOP-0008", "BE", "63")).await?;
    // Withdrawn sooner, it could be unknown yet to the officer who is asked below.
    wait_for(&cast.platform, &accepted.case_id, CaseState::Cleared).await?;
    let request = v1::InvalidateRequest {
        case_id: accepted.case_id.clone(),
        filing_id: accepted.filing_id,
        reason: "ORDER-CANCELLED".into(),
    };
    match cast.platform.trade().invalidate(request).await?.into_inner().result {
        Some(Outcome::Logged(_)) => {}
        Some(Outcome::Refused(no)) => return Err(refused(&no.violations)),
        None => return Err(demo("an empty answer")),
    }
    wait_for(&cast.platform, &accepted.case_id, CaseState::Invalidated).await?;
    wait_for(&cast.officer, &accepted.case_id, CaseState::Invalidated).await?;
    score.invalidated += 1;
    out.say(
        "  COOP-0008: cleared, then withdrawn by its filer (ORDER-CANCELLED), known at both hubs",
    );
    Ok(())
}

async fn not_connected(cast: &Cast, score: &mut Score, out: &Output) -> Result<(), CliError> {
    let accepted = file(&cast.platform, &coffee("COOP-0009", "FR", "64")).await?;
    wait_for(&cast.platform, &accepted.case_id, CaseState::NotConnected).await?;
    score.not_connected += 1;
    out.say("  COOP-0009: for France, which has no hub yet: accepted, logged, provable, its assessment not connected");
    Ok(())
}

/// Registered id of the second cooperative.
const SECOND: &str = "KEP059876543K";

/// Two cooperatives behind one platform: each sees its own cases with an account of its own, and none of the other's.
async fn two_cooperatives(stage: &Stage, cast: &Cast, out: &Output) -> Result<(), CliError> {
    let mandate = v1::MandateCore {
        principal_id: SECOND.into(),
        account: "platform".into(),
        filing_types: vec!["export".into(), "advance".into()],
        valid_from: "2026-01-01".into(),
        valid_until: "2099-12-31".into(),
        time_zone: "Africa/Nairobi".into(),
        revoked: false,
    };
    let request = v1::PutMandateRequest { mandate: Some(mandate) };
    stage.operator(KE).await?.trade().put_mandate(request).await?;
    let mut request = advance(&coffee("COOP-0010", "BE", "65"));
    if let Some(core) = request.filing.as_mut().and_then(|f| f.core.as_mut()) {
        core.exporter_id = SECOND.into();
        core.exporter_name = "Kirinyaga Slopes Cooperative".into();
    }
    let filed = cast.platform.trade().submit(request).await?.into_inner();
    let Some(v1::submit_response::Result::Accepted(filed)) = filed.result else {
        return Err(demo("the second cooperative's filing was refused"));
    };
    wait_for(&cast.platform, &filed.case_id, CaseState::Cleared).await?;
    // An account opened later sees what was filed in its name.
    let second = stage.open_account(KE, "kirinyaga", v1::Role::Trader, SECOND).await?;
    let list = v1::ListCasesRequest::default();
    let theirs = second.trade().list_cases(list).await?.into_inner().cases;
    let alone = theirs.len() == 1 && theirs.iter().all(|c| c.case_id == filed.case_id);
    let request = v1::ListCasesRequest { lrn: "COOP-0005".into(), ..Default::default() };
    let first = cast.platform.trade().list_cases(request).await?.into_inner().cases;
    let first = first.first().map(|c| c.case_id.clone()).unwrap_or_default();
    let refused = case(&second, &first).await.is_err();
    if !alone || !refused {
        return Err(demo("the second cooperative sees what is not its own"));
    }
    out.say("  COOP-0010: of a second cooperative behind the same platform; its own account sees this case and none of the first one's");
    Ok(())
}

/// An agency's own system scores what comes in and says its word beside the rules.
async fn risk_engine(stage: &Stage, cast: &Cast, out: &Output) -> Result<(), CliError> {
    let model = include_str!("../../../ewtp-risk-engine/model.toml");
    let model = ewtp_risk_engine::Model::parse(model).map_err(|e| demo(e.to_string()))?;
    let system = stage.open_account(BE, "risk-engine", v1::Role::System, "").await?;
    let mut goods = coffee("COOP-0011", "BE", "2");
    goods.items = vec![("910111", "Wrist watches, gold, on commission", "2", "4100")];
    let filed = file(&cast.platform, &goods).await?;
    wait_for(&cast.platform, &filed.case_id, CaseState::Cleared).await?;
    let engine = ewtp_risk_engine::Engine::open(system.channel(), model, 0).await;
    let mut engine = engine.map_err(|e| demo(e.to_string()))?;
    let score = loop {
        let verdict = engine.next().await.map_err(|e| demo(e.to_string()))?;
        if let Some((_, score)) = verdict.decided.into_iter().next() {
            break score;
        }
    };
    wait_for(&cast.platform, &filed.case_id, CaseState::ClearedConditional).await?;
    out.say(&format!(
        "  COOP-0011: cleared by the rules; Belgium's risk engine gives it {} points ({}) and wants to see it on arrival",
        score.points,
        score.because.join("; ")
    ));
    Ok(())
}
