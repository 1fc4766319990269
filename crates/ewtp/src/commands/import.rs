//! `ewtp import`: rows of a table through the bulk stream.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ewtp_formats::mapping::{Mapping, RowError};
use ewtp_formats::table::{Table, TableError};
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

/// Where rows go that were not filed, as they come; no file without one.
struct Rejects {
    path: PathBuf,
    writer: Option<csv::Writer<std::fs::File>>,
}

impl Rejects {
    fn add(&mut self, r: &Reject) -> Result<(), CliError> {
        let path = &self.path;
        let bad = |e: csv::Error| {
            CliError::usage(&path.display().to_string(), e.to_string(), "choose another --rejects")
        };
        if self.writer.is_none() {
            let mut writer = csv::Writer::from_path(path).map_err(bad)?;
            writer.write_record(["row", "element", "value", "allowed", "fix"]).map_err(bad)?;
            self.writer = Some(writer);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer
            .write_record([&r.row.to_string(), &r.element, &r.value, &r.allowed, &r.fix])
            .map_err(bad)
    }

    fn add_all(&mut self, all: impl IntoIterator<Item = Reject>) -> Result<(), CliError> {
        all.into_iter().try_for_each(|r| self.add(&r))
    }

    /// Whether there were any.
    fn finish(mut self) -> Result<bool, CliError> {
        let path = &self.path;
        let some = self.writer.is_some();
        self.writer.as_mut().map_or(Ok(()), |w| w.flush().map_err(CliError::io(path)))?;
        Ok(some)
    }
}

/// The rows of a table that are wanted.
struct Rows {
    table: Table<std::fs::File>,
    path: PathBuf,
    /// Places of columns and what they have to hold.
    wanted: Vec<(usize, String)>,
}

impl Rows {
    fn open(command: &Import, mapping: &Mapping) -> Result<Self, CliError> {
        let path = command.csv.clone();
        let file = std::fs::File::open(&path).map_err(CliError::io(&path))?;
        let table = Table::open(file, mapping).map_err(|e| unread(&path, &e))?;
        let hint = "e.g. --where \"Country of Departure=CN\"";
        let mut wanted = Vec::new();
        for filter in &command.filter {
            let (column, value) = filter
                .split_once('=')
                .ok_or_else(|| CliError::usage("--where", filter.as_str(), hint))?;
            let at = table
                .columns
                .get(column)
                .ok_or_else(|| CliError::usage("--where", format!("no column {column:?}"), hint))?;
            wanted.push((*at, value.to_owned()));
        }
        Ok(Self { table, path, wanted })
    }

    fn next(&mut self) -> Result<Option<(u64, csv::StringRecord)>, CliError> {
        loop {
            let row = self.table.next_row().map_err(|e| unread(&self.path, &e))?;
            let Some((line, record)) = row else { return Ok(None) };
            if self.wanted.iter().all(|(at, value)| record.get(*at) == Some(value)) {
                return Ok(Some((line, record)));
            }
        }
    }
}

fn unread(path: &Path, error: &TableError) -> CliError {
    let hint = "is this the table that the mapping is for?";
    CliError::usage(&path.display().to_string(), error.to_string(), hint)
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
    let path = command.rejects.clone().unwrap_or_else(|| command.csv.with_extension("rejects.csv"));
    let mut rejects = Rejects { path: path.clone(), writer: None };
    let rows = Rows::open(command, &mapping)?;
    let summary = match command.dry_run {
        true => look_through(&mapping, rows, &mut rejects)?,
        false => {
            // A table that can't be read to its end isn't filed to its middle.
            let count = count_rows(rows)?;
            let rows = Rows::open(command, &mapping)?;
            let filed =
                file_rows(command, profile.as_deref(), mapping, (count, rows), &mut rejects, out);
            block_on(filed)?
        }
    };
    let rejected = rejects.finish()?;
    report(&summary, &path, command.dry_run, out);
    Ok(if rejected { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn count_rows(mut rows: Rows) -> Result<u64, CliError> {
    let mut count = 0;
    while rows.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// What a hub would say of each row, as far as it can be said without one: the mapping, and the check of every filing by the lists that
/// come with this program.
fn look_through(
    mapping: &Mapping,
    mut rows: Rows,
    rejects: &mut Rejects,
) -> Result<Summary, CliError> {
    let lists = CodeLists::default();
    let mut summary = Summary::default();
    while let Some((row, record)) = rows.next()? {
        summary.rows += 1;
        let filing = match mapping.filing(&rows.table.columns, &record) {
            Ok(filing) => filing,
            Err(errors) => {
                summary.rejected += 1;
                rejects.add_all(errors.into_iter().map(|e| reject_of(row, e)))?;
                continue;
            }
        };
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
                rejects.add_all(violations.into_iter().map(|v| refused(row, v)))?;
            }
        }
    }
    Ok(summary)
}

/// A violation's line in the rejects.
fn refused(row: u64, v: v1::Finding) -> Reject {
    Reject { row, element: v.path, value: v.value, allowed: v.allowed, fix: v.fix }
}

/// What a row became.
type Mapped = Result<(u64, Result<v1::Filing, Vec<RowError>>), CliError>;

/// Maps rows ahead of what is in flight, on a thread of its own: reading blocks.
fn map_rows(mapping: &Mapping, mut rows: Rows, to: &mpsc::Sender<Mapped>) {
    loop {
        let mapped = match rows.next() {
            Ok(None) => return,
            Ok(Some((row, record))) => Ok((row, mapping.filing(&rows.table.columns, &record))),
            Err(error) => Err(error),
        };
        let last = mapped.is_err();
        if to.blocking_send(mapped).is_err() || last {
            return;
        }
    }
}

/// Closes a semaphore when it is dropped.
struct Closes<'a>(&'a Semaphore);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Rows that are mapped ahead.
const AHEAD: usize = 256;

async fn file_rows(
    command: &Import,
    profile: Option<&Path>,
    mapping: Mapping,
    (count, rows): (u64, Rows),
    rejects: &mut Rejects,
    out: &Output,
) -> Result<Summary, CliError> {
    let session = Session::open(profile).await?;
    let bar = ProgressBar::new(count);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    let tally = RefCell::new((Summary { rows: count, ..Default::default() }, rejects));
    let (ahead, mut mapped) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || map_rows(&mapping, rows, &ahead));
    let room = Arc::new(Semaphore::new(command.in_flight.max(1)));
    let (sender, receiver) = mpsc::channel(64);
    let gate = Arc::clone(&room);
    let feed = async {
        let sender = sender;
        while let Some(row) = mapped.recv().await {
            let (sequence, filing) = row?;
            let filing = match filing {
                Ok(filing) => filing,
                Err(errors) => {
                    let (summary, rejects) = &mut *tally.borrow_mut();
                    summary.rejected += 1;
                    rejects.add_all(errors.into_iter().map(|e| reject_of(sequence, e)))?;
                    continue;
                }
            };
            tally.borrow_mut().0.note_synthesised(&filing);
            // One permit per filing in flight; its acknowledgement gives it back.
            let Ok(permit) = gate.acquire().await else { break };
            permit.forget();
            let request = v1::SubmitRequest { filing: Some(filing), ..Default::default() };
            let request = v1::SubmitStreamRequest { sequence, request: Some(request) };
            if sender.send(request).await.is_err() {
                break;
            }
        }
        Ok::<_, CliError>(())
    };
    let listen = async {
        // However it ends, nobody waits for room any more.
        let _closes = Closes(&room);
        let mut responses =
            session.trade().submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
        while let Some(response) = responses.message().await? {
            room.add_permits(1);
            bar.inc(1);
            let (summary, rejects) = &mut *tally.borrow_mut();
            rejects.add_all(tally_response(response, summary))?;
        }
        Ok::<_, CliError>(())
    };
    let (fed, listened) = tokio::join!(feed, listen);
    bar.finish_and_clear();
    drop(mapped);
    reader.await.map_err(|e| CliError::usage("table", e.to_string(), "report this"))?;
    fed?;
    listened?;
    let (summary, _) = tally.into_inner();
    let answered = summary.accepted + summary.rejected;
    if answered < summary.rows {
        let message = format!(
            "{} rows were not answered; run the same command again, nothing is filed twice",
            summary.rows - answered
        );
        out.note(&message);
        return Err(CliError::Call { code: tonic::Code::Unavailable, message });
    }
    Ok(summary)
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

/// Counts an answer; every violation has its line.
fn tally_response(response: v1::SubmitStreamResponse, summary: &mut Summary) -> Vec<Reject> {
    match response.response.and_then(|r| r.result) {
        Some(Outcome::Accepted(accepted)) => {
            summary.accepted += 1;
            summary.repeated += u64::from(accepted.repeated_submission);
            for w in accepted.warnings {
                *summary.warnings.entry(w.code).or_default() += 1;
            }
            Vec::new()
        }
        Some(Outcome::Refused(refused)) => {
            summary.rejected += 1;
            let row = response.sequence;
            refused.violations.into_iter().map(|v| self::refused(row, v)).collect()
        }
        None => Vec::new(),
    }
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
