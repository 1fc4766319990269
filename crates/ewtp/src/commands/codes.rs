//! `ewtp codes`: code lists, offline.

use std::process::ExitCode;

use ewtp_formats::tariff::Descriptions;
use ewtp_trade::lists::{Edition, ListBook, ListKind, Listed};
use serde_json::json;

use crate::args_documents::CodesCommand;
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(command: &CodesCommand, out: &Output) -> Result<ExitCode, CliError> {
    match command {
        CodesCommand::Search { words, descriptions, limit } => {
            let tariff = match descriptions {
                Some(path) => {
                    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
                    Descriptions::parse(&text)
                }
                None => Descriptions::default(),
            };
            Ok(search(&tariff, &words.join(" "), *limit, descriptions.is_none(), out))
        }
        CodesCommand::List => Ok(list(out)),
        CodesCommand::Show { list, code } => show(list, code, out),
    }
}

fn search(
    tariff: &Descriptions,
    question: &str,
    limit: usize,
    built_in: bool,
    out: &Output,
) -> ExitCode {
    let found = tariff.search(question, limit);
    let six = |code: &str| code.get(..6).unwrap_or(code).to_owned();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|f| vec![six(&f.line.code), f.line.code.clone(), f.line.description.clone()])
        .collect();
    let lines: Vec<_> = found
        .iter()
        .map(|f| json!({"hs": six(&f.line.code), "code": f.line.code, "description": f.line.description}))
        .collect();
    out.table(&["HS", "US tariff", "description"], &rows, &json!(lines));
    if built_in {
        out.note("Searched: the United States' tariff of 2025, chapters 10 to 69. The first six digits are the HS; other tariffs: --descriptions FILE.");
    }
    if found.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn list(out: &Output) -> ExitCode {
    let book = ListBook::default();
    let all: Vec<&Edition> = book.editions().collect();
    let word = |e: &Edition| {
        if e.authoritative { "its publisher's last word" } else { "may be older than a code" }
    };
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|e| vec![e.kind.name().into(), e.name.clone(), e.len().to_string(), word(e).into()])
        .collect();
    let lines: Vec<_> = all
        .iter()
        .map(|e| json!({"list": e.kind.name(), "edition": e.name, "codes": e.len()}))
        .collect();
    out.table(&["list", "edition", "codes", "what it lacks"], &rows, &json!(lines));
    ExitCode::SUCCESS
}

fn show(list: &str, code: &str, out: &Output) -> Result<ExitCode, CliError> {
    let names: Vec<&str> = ListKind::ALL.iter().map(|k| k.name()).collect();
    let kind = ListKind::by_name(list)
        .ok_or_else(|| CliError::usage(list, "no such list", &names.join(", ")))?;
    let lists = ListBook::default().at(i64::MAX);
    let (word, known) = match lists.listed(kind, code) {
        Listed::Yes => ("in the list".to_owned(), true),
        Listed::Ended(ended) => {
            let until = ended.until.map(|d| format!(" after {d}")).unwrap_or_default();
            let by = match ended.replaced_by.as_slice() {
                [] => String::new(),
                codes => format!("; replaced by {}", codes.join(" or ")),
            };
            (format!("left the list{until}{by}"), false)
        }
        Listed::No | Listed::Unlisted => ("not in the list".to_owned(), false),
        Listed::Unknown => ("there is no built-in list of these".to_owned(), false),
    };
    let edition = lists.edition(kind).to_owned();
    out.facts(
        &[("code", code.to_owned()), ("list", format!("{list} {edition}")), ("is", word.clone())],
        &json!({"code": code, "list": list, "edition": edition, "is": word}),
    );
    Ok(if known { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
