//! `ewtp convert`: documents between forms, offline, with a list of what got lost.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_formats::cds::{self, Destination};
use ewtp_formats::convert::{self, ConvertError, Form, Format, Read};
use ewtp_formats::mapping::Mapping;
use serde_json::json;

use crate::args_documents::{Convert, DocumentForm};
use crate::error::CliError;
use crate::output::Output;

/// Nothing got lost, some documents were refused, or something got lost.
struct Outcome {
    refused: bool,
    lost: BTreeSet<String>,
}

impl Outcome {
    fn code(&self) -> ExitCode {
        match (self.refused, self.lost.is_empty()) {
            (true, _) => ExitCode::from(1),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::from(3),
        }
    }
}

fn form(form: DocumentForm) -> Form {
    match form {
        DocumentForm::Cds => Form::Cds,
        DocumentForm::Ceb => Form::Ceb,
        DocumentForm::Csv => Form::Csv,
        DocumentForm::Json => Form::Json,
    }
}

pub(crate) fn run(command: &Convert, out: &Output) -> Result<ExitCode, CliError> {
    let mapping = command.mapping.as_deref().map(read_mapping).transpose()?;
    let from = form(command.from).format(mapping.as_ref());
    let to = form(command.to).format(mapping.as_ref());
    if command.report {
        return report(command, &*from, out);
    }
    if let Some(dir) = &command.out_dir {
        std::fs::create_dir_all(dir).map_err(CliError::io(dir))?;
    }
    let mut outcome = Outcome { refused: false, lost: BTreeSet::new() };
    let mut several =
        Several { sent: 0, files: if from.joins() { 1 } else { command.files.len() } };
    for (file, read) in reads(command, &*from, &mut outcome, out)? {
        for reject in &read.rejects {
            refused(&mut outcome, file, reject, out);
        }
        outcome.lost.extend(read.lost.iter().map(|l| format!("{}: {l}", file.display())));
        for (lrn, told) in &read.contradictions {
            // What is for agencies alone is no line for a terminal's scrollback.
            let shown = |text: &str| match told.path.starts_with("authority.") {
                true => "a number that isn't shown".to_owned(),
                false => text.to_owned(),
            };
            out.note(&format!(
                "contradiction: filing {lrn}: {} is {}, {} says {}",
                told.path,
                shown(&told.said),
                told.kind,
                shown(&told.says)
            ));
        }
        write(command, file, &read, &*to, &mut several, &mut outcome, out)?;
    }
    for lost in &outcome.lost {
        out.note(&format!("lost: {lost}"));
    }
    Ok(outcome.code())
}

/// Where the elements of CDS documents go.
fn report(command: &Convert, from: &dyn Format, out: &Output) -> Result<ExitCode, CliError> {
    if from.name() != "cds" {
        let hint = "a report tells where the elements of a CDS document went: --from cds";
        return Err(CliError::usage("--report", "there is nothing to report of this form", hint));
    }
    let mut outcome = Outcome { refused: false, lost: BTreeSet::new() };
    let mut all = cds::Report::new();
    for file in &command.files {
        match cds::report(&bytes(file, from)?) {
            Ok(report) => {
                report.into_iter().for_each(|(at, count)| *all.entry(at).or_default() += count);
            }
            Err(error) => refused(&mut outcome, file, &error.into(), out),
        }
    }
    tell_report(&all, out);
    Ok(outcome.code())
}

/// What the files hold: each by itself, or together where several documents may make one filing.
fn reads<'a>(
    command: &'a Convert,
    from: &dyn Format,
    outcome: &mut Outcome,
    out: &Output,
) -> Result<Vec<(&'a Path, Read)>, CliError> {
    let mut all: Vec<(&Path, Read)> = Vec::new();
    for file in &command.files {
        match from.read(&bytes(file, from)?) {
            Ok(read) => match all.first_mut().filter(|_| from.joins()) {
                Some((_, together)) => together.add(read),
                None => all.push((file, read)),
            },
            Err(error) => refused(outcome, file, &error, out),
        }
    }
    let mut made = Vec::new();
    for (file, read) in all {
        match from.join(read).and_then(convert::whole) {
            Ok(read) => made.push((file, read)),
            Err(error) => refused(outcome, file, &error, out),
        }
    }
    Ok(made)
}

/// A file's bytes; no more of a document than shows that it is too large.
fn bytes(file: &Path, from: &dyn Format) -> Result<Vec<u8>, CliError> {
    let most = from.bytes_max().map_or(u64::MAX, |most| most as u64 + 1);
    let mut out = Vec::new();
    let opened = std::fs::File::open(file).map_err(CliError::io(file))?;
    opened.take(most).read_to_end(&mut out).map_err(CliError::io(file))?;
    Ok(out)
}

fn refused(outcome: &mut Outcome, file: &Path, error: &ConvertError, out: &Output) {
    outcome.refused = true;
    for line in error.to_string().lines() {
        out.note(&format!("{}: {line}", file.display()));
    }
}

fn read_mapping(path: &Path) -> Result<Mapping, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
    Mapping::parse(&text).map_err(|e| {
        let hint = "see samples/korea.mapping.toml";
        CliError::usage(&path.display().to_string(), e.to_string(), hint)
    })
}

/// Documents on standard output: one XML document, or as much JSON and as many rows as there are.
struct Several {
    sent: usize,
    files: usize,
}

fn write(
    command: &Convert,
    file: &Path,
    read: &Read,
    to: &dyn Format,
    several: &mut Several,
    outcome: &mut Outcome,
    out: &Output,
) -> Result<(), CliError> {
    let written = match to.write(read) {
        Ok(written) => written,
        Err(error) => {
            refused(outcome, file, &error, out);
            return Ok(());
        }
    };
    for error in &written.refused {
        refused(outcome, file, error, out);
    }
    outcome.lost.extend(written.lost.iter().map(|l| format!("{}: {l}", file.display())));
    let many = several.files > 1 || several.sent + written.documents.len() > 1;
    if to.one_root() && many && command.out_dir.is_none() {
        let hint = "XML has one root a document: --out-dir DIR";
        return Err(CliError::usage("--to", "several documents on standard output", hint));
    }
    several.sent += written.documents.len();
    let numbered = written.documents.len() > 1;
    for (number, (kind, text)) in (1..).zip(&written.documents) {
        match &command.out_dir {
            None => out.data(text),
            Some(dir) => create(&target(dir, file, to, *kind, numbered.then_some(number)), text)?,
        }
    }
    Ok(())
}

/// Writes a new file.
fn create(path: &Path, text: &str) -> Result<(), CliError> {
    let mut new = std::fs::File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let problem = "is there already, and nothing is written over";
            let hint = "choose an empty --out-dir; inputs of the same name need one each";
            CliError::usage(&path.display().to_string(), problem, hint)
        }
        _ => CliError::io(path)(e),
    })?;
    new.write_all(text.as_bytes()).map_err(CliError::io(path))
}

/// `DIR/NAME.xml`, `DIR/NAME-3.xml` for the third filing of a document, `DIR/NAME-CEB621.xml` for a message.
fn target(
    dir: &Path,
    file: &Path,
    to: &dyn Format,
    kind: Option<&str>,
    number: Option<usize>,
) -> PathBuf {
    let name = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let number = number.map(|n| format!("-{n}")).unwrap_or_default();
    let kind = kind.map(|k| format!("-{k}")).unwrap_or_default();
    dir.join(format!("{name}{kind}{number}.{}", to.extension()))
}

fn tell_report(report: &cds::Report, out: &Output) {
    let words = |destination: &Destination| match destination {
        Destination::Field(path) => path.clone(),
        Destination::Computed => "computed when written".to_owned(),
        Destination::Carried(part) => format!("carried along in part {part}"),
    };
    let rows: Vec<Vec<String>> = report
        .iter()
        .map(|((path, to), count)| vec![count.to_string(), path.clone(), words(to)])
        .collect();
    let lines: Vec<_> = report
        .iter()
        .map(|((path, to), count)| json!({"count": count, "path": path, "to": words(to)}))
        .collect();
    out.table(&["leaves", "WCO path", "went to"], &rows, &json!(lines));
    let all: usize = report.values().sum();
    let named = report.iter().filter(|((_, to), _)| matches!(to, Destination::Field(_)));
    let named: usize = named.map(|(_, count)| count).sum();
    out.note(&format!("{named} of {all} leaves are in named fields"));
}
