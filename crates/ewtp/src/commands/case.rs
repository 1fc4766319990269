//! `ewtp case`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_proto::v1;
use serde_json::{Value, json};

use crate::args::CaseCommand;
use crate::commands::{attachment, case_erase, case_text, notices, replay};
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: CaseCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    block_on(async {
        match command {
            CaseCommand::List { state, filed_at, lrn, limit } => {
                let states = state.iter().map(|s| parse_state(s)).collect::<Result<Vec<_>, _>>()?;
                let request = v1::ListCasesRequest {
                    states,
                    filed_at: filed_at.unwrap_or_default(),
                    lrn: lrn.unwrap_or_default(),
                    page_size: 1000,
                    ..Default::default()
                };
                list(profile, request, limit.unwrap_or(usize::MAX), out).await
            }
            CaseCommand::Show { case } => show(profile, &case, out).await,
            CaseCommand::Notices { case, filing, form, out_dir } => {
                notices::run(profile, &case, filing.as_deref(), form, &out_dir, out).await
            }
            CaseCommand::Watch { cursor, count } => watch(profile, cursor, count, out).await,
            CaseCommand::Answer { case, answers, attach } => {
                answer(profile, &case, &answers, &attach, out).await
            }
            CaseCommand::Replay { case, all: _, as_of } => {
                replay::run(profile, case.as_deref(), as_of, out).await
            }
            CaseCommand::Erase { case, parts, reason, override_rules } => {
                let order = case_erase::Order { parts, reason, override_rules };
                case_erase::run(profile, &case, order, out).await
            }
        }
    })
}

pub(crate) fn state_name(state: i32) -> String {
    let state = v1::CaseState::try_from(state).unwrap_or_default();
    state.as_str_name().trim_start_matches("CASE_STATE_").to_ascii_lowercase()
}

fn parse_state(text: &str) -> Result<i32, CliError> {
    let name = format!("CASE_STATE_{}", text.to_ascii_uppercase().replace('-', "_"));
    let hint = "pending, info_requested, cleared, cleared_conditional, do_not_load, refused, not_connected, held, invalidated, released, control_on_arrival, post_release_check, seized, returned, destroyed, lapsed";
    v1::CaseState::from_str_name(&name)
        .map(|s| s as i32)
        .ok_or_else(|| CliError::usage("--state", text, hint))
}

pub(crate) fn effect_name(effect: i32) -> String {
    let effect = v1::Effect::try_from(effect).unwrap_or_default();
    effect.as_str_name().trim_start_matches("EFFECT_").to_ascii_lowercase()
}

pub(crate) fn code_name(code: i32) -> &'static str {
    let code = v1::DecisionCode::try_from(code).unwrap_or_default();
    code.as_str_name().trim_start_matches("DECISION_CODE_")
}

pub(crate) fn money(m: Option<&v1::Money>) -> String {
    m.map(|m| format!("{} {}", m.amount, m.currency)).unwrap_or_default()
}

/// A row with its enums as words.
pub(crate) fn row_json(row: &v1::CaseSummary) -> Value {
    let decisions: Vec<Value> = row
        .decisions
        .iter()
        .map(|d| json!({"effect": effect_name(d.effect), "code": code_name(d.code), "hub": d.hub}))
        .collect();
    json!({
        "case_id": row.case_id, "erased": row.erased, "state": state_name(row.state), "filed_at": row.filed_at,
        "destination": row.destination, "lrn": row.lrn, "mrn": row.mrn, "ucr": row.ucr,
        "value": row.value.iter().map(|m| json!({"amount": m.amount, "currency": m.currency})).collect::<Vec<_>>(),
        "net_mass_kg": row.net_mass_kg, "warnings": row.warnings, "synthesised": row.synthesised,
        "decisions": decisions, "info_requests": row.info_requests, "revision": row.revision,
        "filings": row.filings, "created_ms": row.created_ms, "standings": row.standings,
    })
}

/// All rows of a list, page by page.
pub(crate) async fn rows(
    session: &Session,
    mut request: v1::ListCasesRequest,
    limit: usize,
) -> Result<Vec<v1::CaseSummary>, CliError> {
    let mut all = Vec::new();
    loop {
        let page = session.trade().list_cases(request.clone()).await?.into_inner();
        all.extend(page.cases);
        if page.next_page_token.is_empty() || all.len() >= limit {
            all.truncate(limit);
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

async fn list(
    profile: Option<&Path>,
    request: v1::ListCasesRequest,
    limit: usize,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let all = rows(&session, request, limit).await?;
    let table: Vec<Vec<String>> = all
        .iter()
        .map(|r| {
            let value: Vec<String> = r.value.iter().map(|m| money(Some(m))).collect();
            vec![
                r.case_id.clone(),
                r.lrn.clone(),
                if r.erased {
                    String::new()
                } else {
                    format!("{} > {}", r.filed_at, r.destination)
                },
                if r.erased { "erased".to_owned() } else { state_name(r.state) },
                value.join(", "),
                if r.net_mass_kg.is_empty() {
                    String::new()
                } else {
                    format!("{} kg", r.net_mass_kg)
                },
            ]
        })
        .collect();
    let json: Vec<Value> = all.iter().map(row_json).collect();
    out.table(&["case", "LRN", "route", "state", "value", "net mass"], &table, &json!(json));
    Ok(ExitCode::SUCCESS)
}

/// A case by id, or by LRN.
pub(crate) async fn find(session: &Session, name: &str) -> Result<v1::Case, CliError> {
    let by_id = session.request(v1::GetCaseRequest { case_id: name.to_owned() });
    let id = match session.trade().get_case(by_id).await {
        Ok(found) => return found.into_inner().case.ok_or_else(|| no_case(name)),
        Err(status) if status.code() == tonic::Code::NotFound => {
            let mut rows = Vec::new();
            for lrn in [name.to_owned(), format!("{name}/E"), format!("{name}/A")] {
                let request = v1::ListCasesRequest { lrn, ..Default::default() };
                rows.extend(self::rows(session, request, 2).await?);
            }
            // `declare` files LRN/E and LRN/A into one case.
            rows.dedup_by(|a, b| a.case_id == b.case_id);
            match rows.as_slice() {
                [one] => one.case_id.clone(),
                _ => return Err(no_case(name)),
            }
        }
        Err(status) => return Err(status.into()),
    };
    let request = session.request(v1::GetCaseRequest { case_id: id });
    session.trade().get_case(request).await?.into_inner().case.ok_or_else(|| no_case(name))
}

fn no_case(name: &str) -> CliError {
    CliError::usage(name, "you have no such case", "list them: ewtp case list")
}

pub(crate) fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|t| t.to_string()).unwrap_or_default()
}

pub(crate) async fn show(
    profile: Option<&Path>,
    name: &str,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let case = find(&session, name).await?;
    if out.is_json() {
        out.json_line(&serde_json::to_value(&case).unwrap_or_default());
    } else {
        case_text::show(&case, out);
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(
    profile: Option<&Path>,
    cursor: u64,
    count: Option<usize>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let mut changes =
        session.trade().watch_cases(v1::WatchCasesRequest { cursor }).await?.into_inner();
    let mut seen = 0;
    while let Some(change) = changes.message().await? {
        let Some(row) = change.case else { continue };
        if out.is_json() {
            out.json_line(&json!({"cursor": change.cursor, "case": row_json(&row)}));
        } else {
            out.say(&format!(
                "{:>8}  {}  {}  {}",
                change.cursor,
                row.case_id,
                row.lrn,
                state_name(row.state)
            ));
        }
        seen += 1;
        if count.is_some_and(|c| seen >= c) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn answer(
    profile: Option<&Path>,
    name: &str,
    answers: &[String],
    attach: &[PathBuf],
    out: &Output,
) -> Result<ExitCode, CliError> {
    use v1::answer_information_request_response::Result as Outcome;
    let session = Session::open(profile).await?;
    let case = find(&session, name).await?;
    let open = case.info_requests.iter().find(|r| r.answer.is_none());
    let Some(statement) = open.and_then(|r| r.statement.clone()) else {
        return Err(CliError::usage(name, "nothing is asked", "see: ewtp case show"));
    };
    let parse = |text: &String| {
        let (code, value) = text.split_once('=')?;
        Some(v1::Answer { code: code.to_owned(), value: value.to_owned() })
    };
    let answers = answers.iter().map(|a| {
        parse(a).ok_or_else(|| CliError::usage(a, "not CODE=TEXT", "see: ewtp case show"))
    });
    let answers = answers.collect::<Result<_, _>>()?;
    let mut attachments = Vec::new();
    for file in attach {
        attachments.push(attachment::upload(&session, file, None).await?);
    }
    let request = v1::AnswerInformationRequestRequest {
        case_id: case.case_id,
        request: statement.commitment,
        answers,
        attachments,
    };
    match session.trade().answer_information_request(request).await?.into_inner().result {
        Some(Outcome::Logged(at)) => {
            let commitment = Hash::from_slice(&at.commitment).map(Hash::to_hex).unwrap_or_default();
            let facts = [
                ("answer logged at", format!("{} entry {}", at.hub, at.log_index)),
                ("commitment", commitment.clone()),
            ];
            out.facts(
                &facts,
                &json!({"hub": at.hub, "log_index": at.log_index, "commitment": commitment}),
            );
            Ok(ExitCode::SUCCESS)
        }
        Some(Outcome::Refused(refused)) => {
            let lines: Vec<String> =
                refused.violations.iter().map(ewtp_trade::finding::line).collect();
            out.facts(&[("refused", lines.join("; "))], &json!({"refused": refused}));
            Ok(ExitCode::from(1))
        }
        None => Ok(ExitCode::from(4)),
    }
}
