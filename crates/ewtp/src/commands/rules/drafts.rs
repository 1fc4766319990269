//! `ewtp rules propose|drafts|draft|comment|answer`: rules made in public.

use std::path::Path;
use std::process::ExitCode;

use ewtp_proto::v1::{self, CommentOutcome};
use serde_json::json;

use crate::args_rules::{AnswerArg, RulesCommand};
use crate::commands::arrangement::tell_faults;
use crate::commands::case::instant;
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

pub(super) async fn run(
    command: &RulesCommand,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    match command {
        RulesCommand::Propose { file, until, figures } => {
            propose(&session, file, *until, figures.as_deref(), out).await
        }
        RulesCommand::Drafts => list(&session, out).await,
        RulesCommand::Draft { id, text } => show(&session, id, *text, out).await,
        RulesCommand::Comment { id, rule, text } => {
            let request = v1::CommentOnDraftRequest {
                draft_id: id.clone(),
                rule: rule.clone(),
                text: text.clone(),
            };
            let response = session.trade().comment_on_draft(request).await?.into_inner();
            let said = ("comment", response.comment_id);
            Ok(told(said, &response.violations, out))
        }
        RulesCommand::Answer { id, comment, outcome, text } => {
            let outcome = match outcome {
                AnswerArg::TakenUp => CommentOutcome::TakenUp,
                AnswerArg::Partly => CommentOutcome::Partly,
                AnswerArg::NotTakenUp => CommentOutcome::NotTakenUp,
            };
            let request = v1::AnswerCommentRequest {
                draft_id: id.clone(),
                comment_id: comment.clone(),
                outcome: outcome as i32,
                text: text.clone(),
            };
            let response = session.operator().answer_comment(request).await?.into_inner();
            Ok(told(("answered", comment.clone()), &response.violations, out))
        }
        // The others are run by their own.
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn told((what, id): (&str, String), violations: &[v1::Finding], out: &Output) -> ExitCode {
    if violations.is_empty() {
        out.facts(&[(what, id.clone())], &json!({what: id}));
        return ExitCode::SUCCESS;
    }
    tell_faults(violations, out);
    out.note("nothing was said");
    ExitCode::from(1)
}

async fn propose(
    session: &Session,
    file: &Path,
    until: jiff::Timestamp,
    figures: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(CliError::io(path));
    let request = v1::ProposeRulesetRequest {
        text: read(file)?,
        comments_until_ms: until.as_millisecond(),
        figures: figures.map(read).transpose()?.unwrap_or_default(),
    };
    let response = session.operator().propose_ruleset(request).await?.into_inner();
    let draft = response.consultation.and_then(|c| c.draft).unwrap_or_default();
    Ok(told(("draft", draft.draft_id), &response.violations, out))
}

fn state(c: &v1::RulesConsultation) -> String {
    let draft = c.draft.clone().unwrap_or_default();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    match &c.adopted {
        Some(adopted) => format!("adopted as version {}", adopted.adopted_version),
        None if now_ms <= draft.comments_until_ms => {
            format!("open for comment until {}", instant(draft.comments_until_ms))
        }
        None => format!("closed for comment since {}", instant(draft.comments_until_ms)),
    }
}

async fn list(session: &Session, out: &Output) -> Result<ExitCode, CliError> {
    let request = v1::ListDraftsRequest { brief: true, ..Default::default() };
    let all = session.trade().list_drafts(request).await?.into_inner().consultations;
    let row = |c: &v1::RulesConsultation| {
        let draft = c.draft.clone().unwrap_or_default();
        let hub = c.statement.as_ref().map(|s| s.hub.clone()).unwrap_or_default();
        let answered = c.comments.iter().filter(|c| c.answer.is_some()).count();
        vec![
            draft.draft_id,
            hub,
            format!("{} version {}", draft.name, draft.version),
            format!("{}, {answered} answered", c.comments.len()),
            state(c),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    out.table(&["draft", "hub", "ruleset", "comments", "state"], &rows, &json!(all));
    Ok(ExitCode::SUCCESS)
}

async fn show(session: &Session, id: &str, text: bool, out: &Output) -> Result<ExitCode, CliError> {
    let request = v1::ListDraftsRequest { draft_id: id.to_owned(), brief: false };
    let found = session.trade().list_drafts(request).await?.into_inner().consultations;
    let Some(found) = found.into_iter().next() else {
        return Err(CliError::usage(id, "no such draft is known here", "ewtp rules drafts"));
    };
    let draft = found.draft.clone().unwrap_or_default();
    if text {
        out.data(&draft.text);
        return Ok(ExitCode::SUCCESS);
    }
    if out.is_json() {
        out.json_line(&json!(found));
        return Ok(ExitCode::SUCCESS);
    }
    let at = |s: Option<&v1::StatementRef>| {
        s.map(|s| format!("{} log entry {}", s.hub, s.log_index)).unwrap_or_default()
    };
    out.say(&format!(
        "draft {}: {} version {}, {}",
        draft.draft_id,
        draft.name,
        draft.version,
        state(&found)
    ));
    out.say(&format!(
        "  said by {}; its text: ewtp rules draft {id} --text",
        at(found.statement.as_ref())
    ));
    if !draft.figures.is_empty() {
        out.say(&format!("  simulated: {}", draft.figures.trim()));
    }
    for comment in &found.comments {
        let core = comment.core.clone().unwrap_or_default();
        let about = if core.rule.is_empty() { "the whole".to_owned() } else { core.rule };
        out.say(&format!(
            "comment {} of {} on {about}, {}: {}",
            core.comment_id,
            core.author,
            at(comment.statement.as_ref()),
            core.text
        ));
        match &comment.answer {
            None => out.say("  not answered yet"),
            Some(answer) => {
                let outcome = answer.outcome().as_str_name().trim_start_matches("COMMENT_OUTCOME_");
                let outcome = outcome.to_ascii_lowercase().replace('_', " ");
                let at = at(comment.answer_statement.as_ref());
                out.say(&format!("  {outcome}, {at}: {}", answer.text));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
