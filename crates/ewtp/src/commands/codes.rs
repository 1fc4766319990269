//! `ewtp codes`: code lists, offline and at a hub.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_formats::tariff::Descriptions;
use ewtp_proto::v1;
use ewtp_trade::lists::{Edition, ListBook, ListKind, Listed};
use serde_json::json;

use crate::args_documents::CodesCommand;
use crate::commands::case::instant;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: &CodesCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
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
        CodesCommand::List { hub: false } => Ok(list(out)),
        CodesCommand::List { hub: true } => block_on(at_hub(profile.as_deref(), out)),
        CodesCommand::Publish { file, list, edition, from, time_zone } => {
            let text = std::fs::read_to_string(file).map_err(CliError::io(file))?;
            let core = v1::CodeListCore {
                list: list.clone(),
                edition: edition.clone(),
                valid_from: from.clone(),
                time_zone: time_zone.clone(),
                text,
            };
            block_on(publish(profile.as_deref(), core, out))
        }
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
    // Of a commodity code the HS has the first six digits.
    let digits: String = code.chars().filter(char::is_ascii_digit).collect();
    let code = match kind {
        ListKind::Hs => digits.get(..6).unwrap_or(code),
        _ => code,
    };
    let (word, known) = match lists.listed(kind, code) {
        Listed::Yes => ("in the list".to_owned(), true),
        Listed::Ended(ended) => {
            let by = ended.by_what().map(|by| format!("; {by}")).unwrap_or_default();
            (format!("left the list{}{by}", ended.when()), false)
        }
        Listed::Unknown if lists.edition(kind) == "none" => {
            ("there is no built-in list of these".to_owned(), false)
        }
        Listed::No | Listed::Unlisted | Listed::Unknown => ("not in the list".to_owned(), false),
    };
    let edition = lists.edition(kind).to_owned();
    out.facts(
        &[("code", code.to_owned()), ("list", format!("{list} {edition}")), ("is", word.clone())],
        &json!({"code": code, "list": list, "edition": edition, "is": word}),
    );
    Ok(if known { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The editions that a hub knows: its own and its peers'.
async fn at_hub(profile: Option<&Path>, out: &Output) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let all = session.operator().list_code_lists(v1::ListCodeListsRequest {}).await?.into_inner();
    let row = |r: &v1::CodeListRow| {
        let hub = if r.hub.is_empty() { "this hub" } else { &r.hub };
        let holds = if r.in_force { "yes" } else { "no" };
        vec![
            r.list.clone(),
            r.edition.clone(),
            hub.into(),
            instant(r.from_ms),
            r.codes.to_string(),
            holds.into(),
        ]
    };
    let rows: Vec<Vec<String>> = all.editions.iter().map(row).collect();
    let headers = ["list", "edition", "by", "from", "codes", "holds now"];
    out.table(&headers, &rows, &json!(all.editions));
    Ok(ExitCode::SUCCESS)
}

async fn publish(
    profile: Option<&Path>,
    core: v1::CodeListCore,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let name = format!("{} {}", core.list, core.edition);
    let request = v1::PublishCodeListRequest { edition: Some(core) };
    let response = session.operator().publish_code_list(request).await?.into_inner();
    for fault in &response.violations {
        out.note(&format!(
            "{}: {:?}; allowed: {}; {}",
            fault.path, fault.value, fault.allowed, fault.fix
        ));
    }
    if !response.violations.is_empty() {
        out.note(&format!("{name}: not published"));
        return Ok(ExitCode::from(1));
    }
    let told = match response.told.as_slice() {
        [] => "no peer yet; whoever joins is told".to_owned(),
        hubs => hubs.join(", "),
    };
    let json = json!({"published": name, "told": response.told});
    out.facts(&[("published", name), ("told", told)], &json);
    Ok(ExitCode::SUCCESS)
}
