//! `ewtp desk list|watch|approve|decline`: the work of officers.

use std::path::Path;
use std::process::ExitCode;

use ewtp_proto::v1;
use serde_json::json;

use crate::args_acts::Worklist;
use crate::commands::acts::tell;
use crate::commands::case::{self, row_json, state_name};
use crate::commands::desk::key_or_new;
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Another officer's word on a proposal.
pub(crate) async fn approve(
    profile: Option<&Path>,
    mut word: v1::ApproveRequest,
    key: Option<&str>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    word.idempotency_key = key_or_new(key)?;
    let what = if word.decline { "declined" } else { "decision" };
    let response = session.desk().approve(word).await?;
    Ok(tell!(what, response, v1::approve_response::Result, out))
}

/// The worklist: what goes first, then what is due first.
pub(crate) async fn list(
    profile: Option<&Path>,
    asked: &Worklist,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let due_before_ms = match (asked.overdue, asked.due_within) {
        (true, _) => now_ms,
        (false, Some(hours)) => now_ms + i64::from(hours) * 3_600_000,
        (false, None) => 0,
    };
    let mut request = v1::ListInboxRequest {
        page_size: 1000,
        officers_only: !asked.all,
        due_before_ms,
        priority_only: asked.priority,
        proposals_only: asked.proposals,
        filed_at: asked.filed_at.clone(),
        office: asked.office.clone(),
        reason: asked.reason.clone(),
        ..Default::default()
    };
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    loop {
        let page = session.desk().list_inbox(request.clone()).await?.into_inner();
        for item in &page.items {
            let case = page.cases.iter().find(|c| c.case_id == item.case_id);
            let state = case.map(|c| state_name(c.state)).unwrap_or_default();
            let lrn = case.map(|c| c.lrn.clone()).unwrap_or_default();
            let why = match (item.reason.as_str(), item.waits_until_ms) {
                ("", 0) => "waits for the rules".to_owned(),
                ("", until) if item.time_limit => {
                    format!("its transit ends by {}", case::instant(until))
                }
                ("", until) => format!("an answer is awaited until {}", case::instant(until)),
                (reason, _) => reason.to_owned(),
            };
            let why = match &item.proposal {
                Some(_) => format!("{why} (work {})", item.work_id),
                None => why,
            };
            let late = item.waits_until_ms == 0 && item.due_ms < now_ms;
            let due =
                format!("{}{}", case::instant(item.due_ms), if late { ", overdue" } else { "" });
            let first = if item.priority { "first" } else { "" };
            let version = item.filing_version.to_string();
            rows.push(vec![item.case_id.clone(), lrn, version, state, due, first.to_owned(), why]);
            lines.push(json!({"item": item, "case": case.map(row_json)}));
        }
        if page.next.is_empty() {
            break;
        }
        request.after = page.next;
    }
    if rows.is_empty() && !out.is_json() {
        out.say(if asked.all {
            "no such work is open"
        } else {
            "nothing such waits for an officer"
        });
        return Ok(ExitCode::SUCCESS);
    }
    out.table(&["case", "LRN", "version", "state", "due", "", "why"], &rows, &json!(lines));
    Ok(ExitCode::SUCCESS)
}

/// Follows the cases that this hub assesses.
pub(crate) async fn watch(
    profile: Option<&Path>,
    cursor: u64,
    count: Option<usize>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let mut changes =
        session.desk().watch_inbox(v1::WatchInboxRequest { cursor }).await?.into_inner();
    let mut seen = 0;
    while let Some(change) = changes.message().await? {
        let Some(row) = &change.case else { continue };
        if out.is_json() {
            let line =
                json!({"cursor": change.cursor, "case": row_json(row), "items": change.items});
            out.json_line(&line);
        } else {
            let open = change.items.len();
            let state = state_name(row.state);
            out.say(&format!("{:>8}  {}  {state}, {open} open", change.cursor, row.case_id));
        }
        seen += 1;
        if count.is_some_and(|c| seen >= c) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}
