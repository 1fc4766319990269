//! `ewtp desk`: what officers do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_proto::v1;
use serde_json::json;

use crate::args_acts::{Decision, DeskCommand, DeskCommon, Event, OutcomeArg};
use crate::commands::acts::{event_code, one_or_many, tell, told};
use crate::commands::attachment;
use crate::commands::{case, exchange, worklist};
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: DeskCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    block_on(async {
        match command {
            DeskCommand::List(asked) => worklist::list(profile, &asked, out).await,
            DeskCommand::Watch { cursor, count } => {
                worklist::watch(profile, cursor, count, out).await
            }
            DeskCommand::Approve { work, key } => {
                let word = v1::ApproveRequest { work_id: work, ..Default::default() };
                worklist::approve(profile, word, key.as_deref(), out).await
            }
            DeskCommand::Decline { work, note, key } => {
                let word =
                    v1::ApproveRequest { work_id: work, decline: true, note, ..Default::default() };
                worklist::approve(profile, word, key.as_deref(), out).await
            }
            DeskCommand::Exchange { folder, once, every } => {
                exchange::run(profile, &folder, (!once).then_some(every), out).await
            }
            DeskCommand::Show { case } => case::show(profile, &case, out).await,
            DeskCommand::Ask { case, questions, hours, common } => {
                ask(profile, &case, &questions, hours, &common, out).await
            }
            DeskCommand::Decide(decision) => decide(profile, &decision, false, out).await,
            DeskCommand::Hold { case, reason, common } => {
                let (effect, code) = ("admissibility".to_owned(), "HOLD".to_owned());
                let hold = Decision {
                    case,
                    effect,
                    code,
                    reason,
                    authority_reason: Vec::new(),
                    condition: Vec::new(),
                    saw: Vec::new(),
                    common,
                };
                decide(profile, &hold, false, out).await
            }
            DeskCommand::Release { case, contingency, common } => {
                let release = Decision {
                    case,
                    effect: "release".into(),
                    code: "RELEASE".into(),
                    reason: Vec::new(),
                    authority_reason: Vec::new(),
                    condition: Vec::new(),
                    saw: Vec::new(),
                    common,
                };
                decide(profile, &release, contingency, out).await
            }
            DeskCommand::Condition { case, id, outcome, reference, common } => {
                settle(profile, &case, &id, outcome, reference, &common, out).await
            }
            DeskCommand::Event { event: told, found, seal, common } => {
                event(profile, &told, (&found, &seal), &common, out).await
            }
        }
    })
}

fn key(common: &DeskCommon) -> Result<String, CliError> {
    key_or_new(common.key.as_deref())
}

/// The key that was given, or one of its own for this act.
pub(crate) fn key_or_new(given: Option<&str>) -> Result<String, CliError> {
    if let Some(key) = given {
        return Ok(key.to_owned());
    }
    let random = ewtp_hub::clock::random::<16>();
    let random = random.map_err(|e| CliError::usage("--key", e.to_string(), "give a key"))?;
    Ok(random.iter().map(|b| format!("{b:02x}")).collect())
}

/// `CODE,NAME=VALUE,…`; the hub fills in its ruleset.
fn reason(text: &str) -> Result<v1::Reason, CliError> {
    let mut parts = text.split(',');
    let code = parts.next().unwrap_or_default().to_owned();
    let pair = |p: &str| p.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    let params = parts.map(|p| {
        pair(p).ok_or_else(|| CliError::usage(text, "not CODE,NAME=VALUE", "ewtp ruleset show"))
    });
    Ok(v1::Reason { code, params: params.collect::<Result<_, _>>()?, ruleset: String::new() })
}

fn reasons(texts: &[String]) -> Result<Vec<v1::Reason>, CliError> {
    texts.iter().map(|t| reason(t)).collect()
}

/// The filing that is decided on: named, or by the effect the newest advance filing or the import filing.
fn filing(
    case: &v1::Case,
    named: Option<&String>,
    effect: Option<v1::Effect>,
) -> Result<v1::FilingCore, CliError> {
    let cores = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.clone());
    let all: Vec<v1::FilingCore> = cores.collect();
    let newest = |kind| all.iter().rev().find(|c| c.r#type() == kind);
    let found = match (named, effect) {
        (Some(named), _) => all.iter().find(|c| c.filing_id == *named),
        (None, Some(v1::Effect::Fiscal | v1::Effect::Release)) => {
            newest(v1::FilingType::Import).or_else(|| newest(v1::FilingType::Advance))
        }
        (None, _) => newest(v1::FilingType::Advance).or_else(|| all.last()),
    };
    let problem = "the case has no such filing";
    found.cloned().ok_or_else(|| CliError::usage("--filing", problem, "ewtp desk show CASE"))
}

async fn decide(
    profile: Option<&Path>,
    decision: &Decision,
    contingency: bool,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let (effect, code) = (decision.effect.to_ascii_uppercase(), decision.code.to_ascii_uppercase());
    let effects = "security, admissibility, fiscal or release";
    let effect = v1::Effect::from_str_name(&format!("EFFECT_{effect}"))
        .ok_or_else(|| CliError::usage("--effect", &decision.effect, effects))?;
    let code = code.replace('-', "_");
    let code =
        v1::DecisionCode::from_str_name(&format!("DECISION_CODE_{code}")).ok_or_else(|| {
            CliError::usage("--code", &decision.code, "CLEAR, DNL, HOLD, REFUSE, RELEASE, REVOKE …")
        })?;
    let session = Session::open(profile).await?;
    let case = case::find(&session, &decision.case).await?;
    let filing = filing(&case, decision.common.filing.as_ref(), Some(effect))?;
    let condition = |text: &String| {
        let what = reason(text)?;
        Ok(v1::Condition { id: what.code.clone(), what: Some(what) })
    };
    let saw = decision.saw.iter().map(|d| Ok(attachment::cited(&case, d)?.digest));
    let attachments = saw.collect::<Result<_, CliError>>()?;
    let request = v1::DecideRequest {
        attachments,
        case_id: case.case_id,
        filing_id: filing.filing_id,
        filing_version: filing.version,
        effect: effect as i32,
        code: code as i32,
        reasons: reasons(&decision.reason)?,
        authority_reasons: reasons(&decision.authority_reason)?,
        conditions: decision.condition.iter().map(condition).collect::<Result<_, CliError>>()?,
        contingency,
        note: decision.common.note.clone(),
        idempotency_key: key(&decision.common)?,
        ..Default::default()
    };
    let response = session.desk().decide(request).await?.into_inner();
    Ok(decided(response, out))
}

/// What became of a decision: said, refused, or waiting for a second officer.
fn decided(response: v1::DecideResponse, out: &Output) -> ExitCode {
    use v1::decide_response::Result as Outcome;
    match response.result {
        Some(Outcome::Proposed(proposed)) => {
            let at = proposed.statement.clone().unwrap_or_default();
            let facts = [
                ("proposed", format!("{} log entry {}", at.hub, at.log_index)),
                ("work", proposed.work_id.clone()),
            ];
            out.facts(&facts, &json!({"proposed": proposed}));
            out.note(&format!(
                "The ruleset wants a second officer for it; a colleague says: ewtp desk approve {}",
                proposed.work_id
            ));
            ExitCode::SUCCESS
        }
        Some(Outcome::Logged(at)) => told("decision", Some(&at), None, out),
        Some(Outcome::Refused(no)) => told("decision", None, Some(&no), out),
        None => told("decision", None, None, out),
    }
}

async fn ask(
    profile: Option<&Path>,
    name: &str,
    questions: &[String],
    hours: Option<u32>,
    common: &DeskCommon,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let case = case::find(&session, name).await?;
    let filing = filing(&case, common.filing.as_ref(), None)?;
    let question = |text: &String| {
        let reason = reason(text)?;
        let code = reason.code.clone();
        Ok(v1::Question { code, path: String::new(), reason: Some(reason) })
    };
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let request = v1::AskRequest {
        case_id: case.case_id,
        filing_id: filing.filing_id,
        filing_version: filing.version,
        questions: questions.iter().map(question).collect::<Result<_, CliError>>()?,
        deadline_ms: hours.map_or(0, |h| now_ms + i64::from(h) * 3_600_000),
        idempotency_key: key(common)?,
    };
    let response = session.desk().ask(request).await?;
    Ok(tell!("question", response, v1::ask_response::Result, out))
}

async fn settle(
    profile: Option<&Path>,
    name: &str,
    id: &str,
    outcome: OutcomeArg,
    reference: String,
    common: &DeskCommon,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let case = case::find(&session, name).await?;
    let imposed = case.decisions.iter().rev().find(|d| d.conditions.iter().any(|c| c.id == id));
    let imposed = imposed.and_then(|d| d.statement.as_ref());
    let imposed = imposed.ok_or_else(|| {
        CliError::usage(id, "no decision imposed this condition", "ewtp desk show CASE")
    })?;
    let outcome = match outcome {
        OutcomeArg::Met => v1::ConditionOutcome::Met,
        OutcomeArg::Waived => v1::ConditionOutcome::Waived,
        OutcomeArg::Failed => v1::ConditionOutcome::Failed,
    };
    let request = v1::SettleConditionRequest {
        case_id: case.case_id,
        decision: imposed.commitment.clone(),
        condition_id: id.to_owned(),
        outcome: outcome as i32,
        reference,
        idempotency_key: key(common)?,
    };
    let response = session.desk().settle_condition(request).await?;
    Ok(tell!("condition", response, v1::settle_condition_response::Result, out))
}

/// `KIND=RESULT`; the hub fills in what was relied upon.
fn finding(text: &str) -> Result<v1::ArrivalFinding, CliError> {
    let named = text.split_once('=').and_then(|(kind, result)| {
        let result = match result {
            "conforms" => v1::ControlResult::Conforms,
            "minor" => v1::ControlResult::Minor,
            "false" => v1::ControlResult::False,
            _ => return None,
        };
        Some((kind.to_owned(), result as i32))
    });
    let hint = "KIND=conforms, KIND=minor or KIND=false, such as inspection=false";
    let (kind, result) =
        named.ok_or_else(|| CliError::usage("--found", format!("{text:?} is no finding"), hint))?;
    Ok(v1::ArrivalFinding { kind, result, ..Default::default() })
}

async fn event(
    profile: Option<&Path>,
    told: &Event,
    (found, seals): (&[String], &[String]),
    common: &DeskCommon,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let (case_id, selector) = one_or_many(&session, &told.case).await?;
    let request = v1::RecordEventRequest {
        case_id,
        selector,
        code: event_code(told.what) as i32,
        time_ms: 0,
        office: told.office.clone().unwrap_or_default(),
        note: common.note.clone(),
        idempotency_key: key(common)?,
        seals: seals.to_vec(),
        findings: found.iter().map(|text| finding(text)).collect::<Result<_, _>>()?,
    };
    let response = session.desk().record_event(request).await?;
    Ok(tell!("event", response, v1::record_event_response::Result, out))
}
