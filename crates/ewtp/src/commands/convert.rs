//! `ewtp convert`: documents between forms, offline, with a list of what got lost.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_formats::cds::{self, Destination};
use ewtp_formats::ceb::Contradiction;
use ewtp_formats::convert::{self, ConvertError, Form, Format, Pieces, Read};
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

    fn refuse(&mut self, file: &Path, error: &ConvertError, out: &Output) {
        self.refused = true;
        for line in error.to_string().lines() {
            out.note(&format!("{}: {line}", file.display()));
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
    let outcome = Outcome { refused: false, lost: BTreeSet::new() };
    let many = command.files.len() > 1 && !from.joins();
    let mut writer = Writer { command, to: &*to, out, outcome, many, begun: false };
    let ended = match from.joins() {
        true => writer.joined(&*from),
        false => command.files.iter().try_for_each(|file| writer.streamed(file, &*from)),
    };
    let outcome = writer.outcome;
    for lost in &outcome.lost {
        out.note(&format!("lost: {lost}"));
    }
    // What was written before something stopped has lost what it has lost.
    ended.map(|()| outcome.code())
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
            Err(error) => outcome.refuse(file, &error.into(), out),
        }
    }
    tell_report(&all, out);
    Ok(outcome.code())
}

/// A file's bytes; no more of a document than shows that it is too large.
fn bytes(file: &Path, from: &dyn Format) -> Result<Vec<u8>, CliError> {
    let most = from.bytes_max().map_or(u64::MAX, |most| most as u64 + 1);
    let mut out = Vec::new();
    let opened = std::fs::File::open(file).map_err(CliError::io(file))?;
    opened.take(most).read_to_end(&mut out).map_err(CliError::io(file))?;
    Ok(out)
}

fn read_mapping(path: &Path) -> Result<Mapping, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
    Mapping::parse(&text).map_err(|e| {
        let hint = "see samples/korea.mapping.toml";
        CliError::usage(&path.display().to_string(), e.to_string(), hint)
    })
}

/// Writes what is read, piece by piece.
struct Writer<'a> {
    command: &'a Convert,
    to: &'a dyn Format,
    out: &'a Output,
    outcome: Outcome,
    /// Files are written one by one, and there are several.
    many: bool,
    /// Something was written to standard output.
    begun: bool,
}

impl Writer<'_> {
    /// A file by itself: what stands in memory doesn't grow with it where its form has pieces.
    fn streamed(&mut self, file: &Path, from: &dyn Format) -> Result<(), CliError> {
        let opened = std::fs::File::open(file).map_err(CliError::io(file))?;
        let mut pieces = from.pieces(Box::new(opened));
        if self.to.groups() {
            pieces = Box::new(gathered(pieces).into_iter());
        }
        let mut pieces = pieces.peekable();
        let mut target = Target { file, number: 0, several: false, begun: None };
        let mut empty = true;
        while let Some(piece) = pieces.next() {
            empty = false;
            // Whether more follow has to be known before the first is written.
            target.several |= pieces.peek().is_some_and(Result::is_ok);
            match piece.and_then(convert::whole) {
                Ok(read) => self.write(&mut target, &read)?,
                Err(error) => self.outcome.refuse(file, &error, self.out),
            }
        }
        if empty {
            self.outcome.refuse(file, &ConvertError::Empty, self.out);
        }
        Ok(())
    }

    /// Files whose documents may make one filing: all are read before.
    fn joined(&mut self, from: &dyn Format) -> Result<(), CliError> {
        let (mut all, mut first) = (Read::default(), None);
        for file in &self.command.files {
            match from.read(&bytes(file, from)?) {
                Ok(read) => {
                    all.add(read);
                    first.get_or_insert(file);
                }
                Err(error) => self.outcome.refuse(file, &error, self.out),
            }
        }
        let Some(file) = first else { return Ok(()) };
        match from.join(all).and_then(convert::whole) {
            Ok(read) => {
                let mut target = Target { file, number: 0, several: false, begun: None };
                self.write(&mut target, &read)
            }
            Err(error) => {
                self.outcome.refuse(file, &error, self.out);
                Ok(())
            }
        }
    }

    fn write(&mut self, target: &mut Target<'_>, read: &Read) -> Result<(), CliError> {
        let file = target.file;
        for reject in &read.rejects {
            self.outcome.refuse(file, reject, self.out);
        }
        for (lrn, told) in &read.contradictions {
            contradiction(lrn, told, self.out);
        }
        let written = match self.to.write(read) {
            Ok(written) => written,
            Err(error) => {
                self.outcome.refuse(file, &error, self.out);
                return Ok(());
            }
        };
        for error in &written.refused {
            self.outcome.refuse(file, error, self.out);
        }
        let lost = read.lost.iter().chain(&written.lost);
        self.outcome.lost.extend(lost.map(|l| format!("{}: {l}", file.display())));
        target.several |= written.documents.len() > 1;
        let many = target.several || self.many;
        if self.to.one_root() && many && self.command.out_dir.is_none() {
            let hint = "XML has one root a document: --out-dir DIR";
            return Err(CliError::usage("--to", "several documents on standard output", hint));
        }
        for (kind, text) in &written.documents {
            target.number += 1;
            self.put(target, *kind, text)?;
        }
        Ok(())
    }

    /// Puts a document where it belongs; what begins a file stands there once.
    fn put(
        &mut self,
        target: &mut Target<'_>,
        kind: Option<&str>,
        text: &str,
    ) -> Result<(), CliError> {
        let head = || {
            let hint = "see samples/korea.mapping.toml";
            self.to.head().map_err(|e| CliError::usage("--to", e.to_string(), hint))
        };
        let Some(dir) = &self.command.out_dir else {
            if !std::mem::replace(&mut self.begun, true) {
                self.out.data(&head()?);
            }
            self.out.data(text);
            return Ok(());
        };
        let path = target.path(dir, self.to, kind);
        match &mut target.begun {
            Some(begun) if !self.to.one_root() => {
                begun.write_all(text.as_bytes()).map_err(CliError::io(&path))
            }
            begun => {
                let mut new = create(&path)?;
                new.write_all((head()? + text).as_bytes()).map_err(CliError::io(&path))?;
                *begun = Some(new);
                Ok(())
            }
        }
    }
}

/// All that could be read as one piece, and what ended it.
fn gathered(pieces: Pieces<'_>) -> Vec<Result<Read, ConvertError>> {
    let (mut all, mut fault) = (Read::default(), None);
    for piece in pieces {
        match piece {
            Ok(read) => all.add(read),
            Err(error) => fault = Some(Err(error)),
        }
    }
    let read = convert::whole(all).ok().map(Ok);
    read.into_iter().chain(fault).collect()
}

fn contradiction(lrn: &str, told: &Contradiction, out: &Output) {
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

/// Where the documents made of a file go.
struct Target<'a> {
    file: &'a Path,
    /// Which document it is, from 1.
    number: usize,
    /// There is more than one.
    several: bool,
    /// The file that the last went into.
    begun: Option<std::fs::File>,
}

impl Target<'_> {
    /// `DIR/NAME.xml`, `DIR/NAME-3.xml` for the third filing of a document, `DIR/NAME-CEB621.xml` for a message.
    fn path(&self, dir: &Path, to: &dyn Format, kind: Option<&str>) -> PathBuf {
        let name = self.file.file_stem().map(|s| s.to_string_lossy().into_owned());
        let number = (self.several && to.one_root()).then(|| format!("-{}", self.number));
        let kind = kind.map(|k| format!("-{k}")).unwrap_or_default();
        let (name, number) = (name.unwrap_or_default(), number.unwrap_or_default());
        dir.join(format!("{name}{kind}{number}.{}", to.extension()))
    }
}

/// A new file.
fn create(path: &Path) -> Result<std::fs::File, CliError> {
    std::fs::File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let problem = "is there already, and nothing is written over";
            let hint = "choose an empty --out-dir; inputs of the same name need one each";
            CliError::usage(&path.display().to_string(), problem, hint)
        }
        _ => CliError::io(path)(e),
    })
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
