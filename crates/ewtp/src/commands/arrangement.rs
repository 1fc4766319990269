//! `ewtp arrangement`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_clearance::arrangement::{Arrangement, differences, for_people};
use ewtp_log::Hash;
use ewtp_proto::v1::{self, ArrangementStep};
use serde_json::json;

use crate::args_arrangement::{ArrangementCommand, OneSided, Show};
use crate::commands::case::instant;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: &ArrangementCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    let step = |step: ArrangementStep, one: &OneSided| v1::SayArrangementRequest {
        peer: one.peer.clone(),
        step: step as i32,
        reason: one.reason.clone(),
        ..Default::default()
    };
    let request = match command {
        ArrangementCommand::Read { file } => return read(file, out),
        ArrangementCommand::Diff { files, peer } => {
            return diff(files, peer.as_deref(), profile, out);
        }
        ArrangementCommand::Show(show) => return block_on(shown(show, profile, out)),
        ArrangementCommand::Propose { file, peer, reason } => v1::SayArrangementRequest {
            peer: peer.clone(),
            step: ArrangementStep::Propose as i32,
            text: std::fs::read_to_string(file).map_err(CliError::io(file))?,
            reason: reason.clone(),
            ..Default::default()
        },
        ArrangementCommand::Accept { digest, peer, reason } => {
            let hint = "64 hexadecimal digits, as ewtp arrangement show prints them";
            let digest = Hash::from_hex(digest)
                .ok_or_else(|| CliError::usage(digest, "not a digest", hint))?;
            v1::SayArrangementRequest {
                peer: peer.clone(),
                step: ArrangementStep::Accept as i32,
                digest: digest.0.to_vec(),
                reason: reason.clone(),
                ..Default::default()
            }
        }
        ArrangementCommand::Quality { peer, since } => {
            return block_on(quality(peer, *since, profile, out));
        }
        ArrangementCommand::Suspend { peer, reason, alarm } => {
            let reason = match (alarm, reason) {
                (Some(kind), _) => block_on(prepared(peer, kind, reason.as_deref(), profile))?,
                (None, reason) => reason.clone().unwrap_or_default(),
            };
            step(ArrangementStep::Suspend, &OneSided { peer: peer.clone(), reason })
        }
        ArrangementCommand::Resume(one) => step(ArrangementStep::Resume, one),
        ArrangementCommand::End(one) => step(ArrangementStep::End, one),
    };
    block_on(say(request, profile, out))
}

/// The reason that the newest alarm of this hub prepared, or the given one behind it.
async fn prepared(
    peer: &str,
    kind: &str,
    given: Option<&str>,
    profile: Option<&Path>,
) -> Result<String, CliError> {
    let session = Session::open(profile).await?;
    let request = v1::ShowQualityRequest { peer: peer.to_owned(), from_ms: 0 };
    let shown = session.desk().show_quality(request).await?.into_inner();
    let about = |a: &v1::QualityAlarm| a.core.clone().filter(|c| c.hub == peer && c.kind == kind);
    let core = shown.alarms.iter().find_map(about).ok_or_else(|| {
        let hint = "see them: ewtp arrangement quality";
        CliError::usage("--alarm", format!("no alarm about {kind} of {peer}"), hint)
    })?;
    Ok(match given {
        None => core.prepared_reason,
        Some(given) => format!("{} {given}", core.prepared_reason),
    })
}

async fn quality(
    peer: &str,
    since: Option<jiff::Timestamp>,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let from_ms = since.map_or(0, |t| t.as_millisecond());
    let request = v1::ShowQualityRequest { peer: peer.to_owned(), from_ms };
    let shown = session.desk().show_quality(request).await?.into_inner();
    if out.is_json() {
        out.json_line(&json!(shown));
        return Ok(ExitCode::SUCCESS);
    }
    let row = |r: &v1::QualityRow| {
        let threshold = match r.checked_at_least {
            0 => "none".to_owned(),
            n => format!("more than {} of 1000, from {n} on", r.borne_permille),
        };
        vec![
            r.by.clone(),
            r.hub.clone(),
            r.kind.clone(),
            r.checked.to_string(),
            r.minor.to_string(),
            r.found_false.to_string(),
            threshold,
        ]
    };
    let rows: Vec<Vec<String>> = shown.rows.iter().map(row).collect();
    let headers = ["checked by", "established by", "kind", "checked", "minor", "false", "alarm at"];
    out.table(&headers, &rows, &json!(null));
    for alarm in &shown.alarms {
        let core = alarm.core.clone().unwrap_or_default();
        out.say(&format!(
            "alarm of {}, {}: {}",
            alarm.by,
            instant(alarm.logged_ms),
            core.prepared_reason
        ));
        let at = alarm.statement.as_ref().map_or(0, |s| s.log_index);
        if !alarm.open {
            out.say(&format!("  {} log entry {at}; nothing is to be signed here", alarm.by));
            continue;
        }
        out.say(&format!("  {} log entry {at}; sign the suspension: ewtp arrangement suspend --peer {} --alarm {}", alarm.by, core.hub, core.kind));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints faults; that nothing was done is for the caller to say.
pub(crate) fn tell_faults(faults: &[v1::Finding], out: &Output) {
    for fault in faults {
        out.note(&ewtp_trade::finding::line(fault));
    }
    if out.is_json() {
        out.json_line(&json!({"violations": faults}));
    }
}

fn parse(text: &str, name: &str, out: &Output) -> Option<Arrangement> {
    match Arrangement::parse(text) {
        Ok(document) => Some(document),
        Err(faults) => {
            tell_faults(&faults, out);
            out.note(&format!("{name}: no arrangement"));
            None
        }
    }
}

fn read(file: &Path, out: &Output) -> Result<ExitCode, CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::io(file))?;
    let Some(document) = parse(&text, &file.display().to_string(), out) else {
        return Ok(ExitCode::from(1));
    };
    match out.is_json() {
        true => out.json_line(&json!({
            "number": document.number,
            "digest": document.digest.to_hex(),
            "between": document.between.each_ref().map(ewtp_log::HubId::as_str),
            "text": for_people(&document),
        })),
        false => out.data(&for_people(&document)),
    }
    Ok(ExitCode::SUCCESS)
}

fn diff(
    files: &[PathBuf],
    peer: Option<&str>,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let texts = match (files, peer) {
        ([before, after], _) => {
            let read = |file: &Path| std::fs::read_to_string(file).map_err(CliError::io(file));
            [read(before)?, read(after)?]
        }
        (_, Some(peer)) => {
            let state = block_on(state(peer, 0, profile))?;
            let hint = "see ewtp arrangement show";
            let missing = |what: &str| CliError::usage("--peer", what, hint);
            let before = state.agreed.last().ok_or_else(|| missing("nothing is agreed"))?;
            let after = state.open.as_ref().ok_or_else(|| missing("no proposal is open"))?;
            [before.text.clone(), after.text.clone()]
        }
        _ => return Err(CliError::usage("files", "two documents, or --peer", "BEFORE AFTER")),
    };
    let [before, after] = &texts;
    let (Some(before), Some(after)) = (parse(before, "before", out), parse(after, "after", out))
    else {
        return Ok(ExitCode::from(1));
    };
    let lines = differences(&before, &after);
    match out.is_json() {
        true => out.json_line(&json!({"differences": lines})),
        false if lines.is_empty() => out.say("they say the same"),
        false => lines.iter().for_each(|line| out.say(line)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn state(
    peer: &str,
    as_of_ms: u64,
    profile: Option<&Path>,
) -> Result<v1::ArrangementState, CliError> {
    let session = Session::open(profile).await?;
    let request = v1::ListArrangementsRequest { peer: peer.to_owned(), as_of_ms };
    let found = session.operator().list_arrangements(request).await?.into_inner().arrangements;
    found.into_iter().next().ok_or_else(|| {
        let hint = "propose one: ewtp arrangement propose";
        CliError::usage(
            "--peer",
            format!("nothing was said about an arrangement with {peer}"),
            hint,
        )
    })
}

async fn say(
    request: v1::SayArrangementRequest,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let response = session.operator().say_arrangement(request).await?.into_inner();
    let Some(state) = response.arrangement else {
        tell_faults(&response.violations, out);
        out.note("nothing was said");
        return Ok(ExitCode::from(1));
    };
    tell(&state, out);
    Ok(ExitCode::SUCCESS)
}

async fn shown(show: &Show, profile: Option<&Path>, out: &Output) -> Result<ExitCode, CliError> {
    let as_of_ms = show.as_of.map_or(Ok(0), |at| {
        let hint = "an instant after 1970";
        u64::try_from(at.as_millisecond())
            .map_err(|_| CliError::usage("--as-of", "too early", hint))
    })?;
    let Some(peer) = show.peer.as_deref().filter(|_| show.text || show.next) else {
        let session = Session::open(profile).await?;
        let peer = show.peer.clone().unwrap_or_default();
        let request = v1::ListArrangementsRequest { peer, as_of_ms };
        let all = session.operator().list_arrangements(request).await?.into_inner().arrangements;
        if all.is_empty() {
            out.note("nothing was said about an arrangement");
        }
        all.iter().for_each(|state| tell(state, out));
        return Ok(ExitCode::SUCCESS);
    };
    let state = state(peer, as_of_ms, profile).await?;
    let governs = state.agreed.iter().find(|d| d.number == state.governs);
    let newest = state.agreed.last();
    let document = match show.next {
        true => newest,
        false => governs.or(state.open.as_ref()).or(newest),
    };
    let Some(document) = document else {
        return Err(CliError::usage("--peer", "no document is known", "see ewtp arrangement show"));
    };
    if show.next {
        out.data(&as_next(document));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(document) = parse(&document.text, peer, out) else { return Ok(ExitCode::from(1)) };
    out.data(&for_people(&document));
    Ok(ExitCode::SUCCESS)
}

/// A document as the beginning of the one that follows: its number and the digest that it rests on.
fn as_next(document: &v1::ArrangementDocument) -> String {
    let digest = Hash::from_slice(&document.digest).map(Hash::to_hex).unwrap_or_default();
    let mut out = String::new();
    for line in document.text.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        match key {
            "previous" => continue,
            "number" => {
                out.push_str(&format!("number = {}\nprevious = \"{digest}\"", document.number + 1));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn tell(state: &v1::ArrangementState, out: &Output) {
    if out.is_json() {
        out.json_line(&json!(state));
        return;
    }
    let hex = |digest: &[u8]| Hash::from_slice(digest).map(Hash::to_hex).unwrap_or_default();
    let word = match state.governs {
        0 => format!("nothing: {}", state.why_not),
        number => format!("document {number}"),
    };
    let mut facts = vec![("with", state.peer.clone()), ("in force", word)];
    if let Some(open) = &state.open {
        let what =
            format!("document {} of {}: {}", open.number, open.proposed_by, hex(&open.digest));
        facts.push(("open proposal", what));
    }
    if !state.suspended_by.is_empty() {
        facts.push(("suspended by", state.suspended_by.join(", ")));
    }
    for document in &state.agreed {
        let ended = if document.ended { ", ended" } else { "" };
        let at = instant(i64::try_from(document.agreed_ms).unwrap_or(i64::MAX));
        facts.push((
            "agreed",
            format!("document {} on {at}{ended}: {}", document.number, hex(&document.digest)),
        ));
    }
    out.facts(&facts, &json!(null));
    let rows: Vec<Vec<String>> = state
        .steps
        .iter()
        .map(|s| {
            let step = s.step().as_str_name().trim_start_matches("ARRANGEMENT_STEP_");
            let document = if s.document == 0 { String::new() } else { s.document.to_string() };
            let at = instant(i64::try_from(s.known_ms).unwrap_or(i64::MAX));
            let said = [s.reason.as_str(), s.outcome.as_str()];
            let said: Vec<&str> = said.into_iter().filter(|t| !t.is_empty()).collect();
            vec![at, s.hub.clone(), step.to_ascii_lowercase(), document, said.join("; ")]
        })
        .collect();
    out.table(
        &["known here", "hub", "step", "document", "why, and what became of it"],
        &rows,
        &json!(null),
    );
}
