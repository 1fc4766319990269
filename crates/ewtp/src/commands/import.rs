//! `ewtp import`: rows of a table through the bulk stream.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ewtp_formats::mapping::{Mapping, RowError};
use ewtp_formats::table::Table;
use ewtp_proto::v1;
use ewtp_trade::{CodeLists, check_filing};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use v1::submit_response::Result as Outcome;

use crate::args_documents::Import;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

/// What came of a table.
#[derive(Default)]
struct Summary {
    rows: u64,
    accepted: u64,
    repeated: u64,
    rejected: u64,
    warnings: BTreeMap<String, u64>,
    synthesised: BTreeMap<String, u64>,
}

impl Summary {
    /// Counts what a mapping made up in a filing.
    fn note_synthesised(&mut self, filing: &v1::Filing) {
        for path in filing.core.iter().flat_map(|c| &c.synthesised) {
            *self.synthesised.entry(path.clone()).or_default() += 1;
        }
    }
}

/// A row that was not filed.
struct Reject {
    row: u64,
    element: String,
    value: String,
    allowed: String,
    fix: String,
}

pub(crate) fn run(
    command: &Import,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let text = std::fs::read_to_string(&command.mapping).map_err(CliError::io(&command.mapping))?;
    let mapping = Mapping::parse(&text).map_err(|e| {
        CliError::usage(
            &command.mapping.display().to_string(),
            e.to_string(),
            "see samples/korea.mapping.toml",
        )
    })?;
    let bytes = std::fs::read(&command.csv).map_err(CliError::io(&command.csv))?;
    let mut table = Table::read(&bytes, &mapping).map_err(|e| {
        let hint = "is this the table that the mapping is for?";
        CliError::usage(&command.csv.display().to_string(), e.to_string(), hint)
    })?;
    filter(&command.filter, &mut table)?;
    let (summary, rejects) = match command.dry_run {
        true => look_through(&mapping, &table),
        false => block_on(file_rows(command, profile.as_deref(), &mapping, table, out))?,
    };
    let path = command.rejects.clone().unwrap_or_else(|| command.csv.with_extension("rejects.csv"));
    if !rejects.is_empty() {
        write_rejects(&path, &rejects)?;
    }
    report(&summary, &path, command.dry_run, out);
    Ok(if rejects.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Keeps the rows whose columns have these values.
fn filter(filters: &[String], table: &mut Table) -> Result<(), CliError> {
    let hint = "e.g. --where \"Country of Departure=CN\"";
    for filter in filters {
        let (column, value) = filter
            .split_once('=')
            .ok_or_else(|| CliError::usage("--where", filter.as_str(), hint))?;
        let at = table
            .columns
            .get(column)
            .ok_or_else(|| CliError::usage("--where", format!("no column {column:?}"), hint))?;
        table.rows.retain(|(_, row)| row.get(*at) == Some(value));
    }
    Ok(())
}

/// What a hub would say of each row, as far as it can be said without one: the mapping, and the check of every filing by the lists that
/// come with this program.
fn look_through(mapping: &Mapping, table: &Table) -> (Summary, Vec<Reject>) {
    let lists = CodeLists::default();
    let (mut summary, filings, mut rejects) = mapped(mapping, table);
    for (row, filing) in filings {
        match check_filing(&filing, &lists) {
            Ok(checked) => {
                summary.accepted += 1;
                for warning in checked.warnings {
                    *summary.warnings.entry(warning.code).or_default() += 1;
                }
                summary.note_synthesised(&filing);
            }
            Err(violations) => {
                summary.rejected += 1;
                rejects.extend(violations.into_iter().map(|v| refused(row, v)));
            }
        }
    }
    (summary, rejects)
}

/// The filings that the mapping makes of a table, by their rows, and the rows that it can't take.
fn mapped(mapping: &Mapping, table: &Table) -> (Summary, Vec<(u64, v1::Filing)>, Vec<Reject>) {
    let mut summary = Summary { rows: table.rows.len() as u64, ..Default::default() };
    let (mut filings, mut rejects) = (Vec::with_capacity(table.rows.len()), Vec::new());
    for (row, record) in &table.rows {
        match mapping.filing(&table.columns, record) {
            Ok(filing) => filings.push((*row, filing)),
            Err(errors) => {
                summary.rejected += 1;
                rejects.extend(errors.into_iter().map(|e| reject_of(*row, e)));
            }
        }
    }
    (summary, filings, rejects)
}

/// A violation's line in the rejects.
fn refused(row: u64, v: v1::Finding) -> Reject {
    Reject { row, element: v.path, value: v.value, allowed: v.allowed, fix: v.fix }
}

async fn file_rows(
    command: &Import,
    profile: Option<&Path>,
    mapping: &Mapping,
    table: Table,
    out: &Output,
) -> Result<(Summary, Vec<Reject>), CliError> {
    let session = Session::open(profile).await?;
    let bar = ProgressBar::new(table.rows.len() as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let (mut summary, requests, mut rejects) = mapped(mapping, &table);
    for (_, filing) in &requests {
        summary.note_synthesised(filing);
    }
    let room = Arc::new(Semaphore::new(command.in_flight.max(1)));
    let (sender, receiver) = mpsc::channel(64);
    let gate = Arc::clone(&room);
    let feed = async move {
        for (sequence, filing) in requests {
            // One permit per filing in flight; its acknowledgement gives it back.
            let Ok(permit) = gate.acquire().await else { return };
            permit.forget();
            let request = v1::SubmitRequest { filing: Some(filing), ..Default::default() };
            if sender
                .send(v1::SubmitStreamRequest { sequence, request: Some(request) })
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let listen = async {
        let mut responses =
            session.trade().submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
        while let Some(response) = responses.message().await? {
            room.add_permits(1);
            bar.inc(1);
            count(response, &mut summary, &mut rejects);
        }
        Ok::<_, CliError>(())
    };
    let ((), listened) = tokio::join!(feed, listen);
    bar.finish_and_clear();
    listened?;
    let answered = summary.accepted + summary.rejected;
    if answered < summary.rows {
        let message = format!(
            "{} rows were not answered; run the same command again, nothing is filed twice",
            summary.rows - answered
        );
        out.note(&message);
        return Err(CliError::Call { code: tonic::Code::Unavailable, message });
    }
    Ok((summary, rejects))
}

/// A row that the mapping could not take.
fn reject_of(row: u64, error: RowError) -> Reject {
    let fix = "correct the row or the mapping".to_owned();
    match error {
        RowError::Length { got, expected } => Reject {
            row,
            element: String::new(),
            value: format!("{got} columns"),
            allowed: format!("{expected} columns, as in the header"),
            fix,
        },
        RowError::Lookup { path, value, allowed } => {
            Reject { row, element: path, value, allowed, fix }
        }
        RowError::Value { path, column, value, allowed } => {
            let fix = match column.as_str() {
                "" => fix,
                column => format!("correct column {column:?}, or the mapping"),
            };
            Reject { row, element: path, value, allowed, fix }
        }
        RowError::Filing(problem) => Reject {
            row,
            element: String::new(),
            value: problem,
            allowed: "elements of a filing".into(),
            fix,
        },
    }
}

fn count(response: v1::SubmitStreamResponse, summary: &mut Summary, rejects: &mut Vec<Reject>) {
    match response.response.and_then(|r| r.result) {
        Some(Outcome::Accepted(accepted)) => {
            summary.accepted += 1;
            summary.repeated += u64::from(accepted.repeated_submission);
            for w in accepted.warnings {
                *summary.warnings.entry(w.code).or_default() += 1;
            }
        }
        Some(Outcome::Refused(refused)) => {
            summary.rejected += 1;
            // Every violation has its line.
            let row = response.sequence;
            rejects.extend(refused.violations.into_iter().map(|v| self::refused(row, v)));
        }
        None => {}
    }
}

fn write_rejects(path: &Path, rejects: &[Reject]) -> Result<(), CliError> {
    let bad = |e: csv::Error| {
        CliError::usage(&path.display().to_string(), e.to_string(), "choose another --rejects")
    };
    let mut writer = csv::Writer::from_path(path).map_err(bad)?;
    writer.write_record(["row", "element", "value", "allowed", "fix"]).map_err(bad)?;
    for r in rejects {
        writer
            .write_record([&r.row.to_string(), &r.element, &r.value, &r.allowed, &r.fix])
            .map_err(bad)?;
    }
    writer.flush().map_err(CliError::io(path))
}

fn report(summary: &Summary, path: &Path, dry_run: bool, out: &Output) {
    let counts = |map: &BTreeMap<String, u64>| {
        let lines: Vec<String> = map.iter().map(|(name, n)| format!("{n} {name}")).collect();
        if lines.is_empty() { "none".to_owned() } else { lines.join(", ") }
    };
    let rejected = match summary.rejected {
        0 => "0".to_owned(),
        n => format!("{n}, see {}", path.display()),
    };
    let accepted = match dry_run {
        true => ("good", format!("{}; nothing was filed", summary.accepted)),
        false => {
            let text = format!("{} ({} of them filed before)", summary.accepted, summary.repeated);
            ("accepted", text)
        }
    };
    out.facts(
        &[
            ("rows", summary.rows.to_string()),
            accepted,
            ("rejected", rejected),
            ("warnings", counts(&summary.warnings)),
            ("synthesised", counts(&summary.synthesised)),
        ],
        &json!({
            "rows": summary.rows, "accepted": summary.accepted, "repeated": summary.repeated,
            "rejected": summary.rejected, "warnings": summary.warnings, "synthesised": summary.synthesised,
        }),
    );
}
