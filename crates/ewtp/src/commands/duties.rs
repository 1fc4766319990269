//! `ewtp duties`: what a filing comes to by tariffs, offline, for a stated instant.

use std::path::Path;
use std::process::ExitCode;

use ewtp_clearance::tariff::price;
use ewtp_clearance::{Facts, Ruleset};
use ewtp_formats::convert::{self, Form};
use serde_json::json;

use crate::args_documents::Duties;
use crate::commands::duty_text;
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(command: &Duties, out: &Output) -> Result<ExitCode, CliError> {
    let tariffs = command.tariff.iter().map(|p| tariff(p)).collect::<Result<Vec<_>, _>>()?;
    let mut all: Vec<&Ruleset> = tariffs.iter().collect();
    // As a hub has them.
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let at = match &command.at {
        None => jiff::Timestamp::now(),
        Some(text) => text.parse().map_err(|e: jiff::Error| {
            let hint = "an instant with its offset, e.g. 2026-07-01T00:00:00+02:00";
            CliError::usage("--at", e.to_string(), hint)
        })?,
    };
    let bytes = std::fs::read(&command.file).map_err(CliError::io(&command.file))?;
    let name = command.file.display().to_string();
    let refused = |problem: String| {
        CliError::usage(&name, problem, "a filing in JSON: docs/filing.schema.json")
    };
    let read = convert::read(Form::Json, &bytes, None).map_err(|e| refused(e.to_string()))?;
    for (at, one) in all.iter().enumerate() {
        if all.iter().take(at).any(|other| other.name == one.name) {
            let problem = format!("{} is given twice; tariffs add up", one.name);
            return Err(CliError::usage(
                "--tariff",
                problem,
                "give each tariff once, its newest version",
            ));
        }
    }
    let (mut lines, mut open) = (Vec::new(), read.filings.is_empty());
    for filing in &read.filings {
        let core = filing.core.clone().unwrap_or_default();
        let facts = Facts::of_filing(filing, at.as_millisecond(), Default::default());
        let Some(first) = all.first() else { break };
        // Of a tariff that isn't in force on the day nothing is said.
        let day = first.day_of(facts.at_ms);
        let here: Vec<&Ruleset> = all.iter().copied().filter(|t| t.in_force(day)).collect();
        if here.is_empty() {
            let problem = format!("no tariff given is in force on {day}");
            return Err(CliError::usage("--tariff", problem, "see valid_from and valid_until"));
        }
        let to = core.country_of_destination.as_str();
        if !to.is_empty() && here.iter().all(|t| t.territory != to) {
            out.note(&format!("{}: goes to {to}, the tariff is {}'s", core.lrn, first.territory));
        }
        let problem = match price(&facts, first, &here, day) {
            Ok(Some(estimate)) => {
                open |= !estimate.open.is_empty();
                out.say(&format!("{}: {}", core.lrn, duty_text::total(&estimate)));
                for line in duty_text::lines(&estimate) {
                    out.say(&format!("  {line}"));
                }
                lines.push(json!({"lrn": core.lrn, "estimate": estimate}));
                continue;
            }
            Ok(None) => "it has no part value".to_owned(),
            Err(error) => error.to_string(),
        };
        open = true;
        out.say(&format!("{}: not priced: {problem}", core.lrn));
        lines.push(json!({"lrn": core.lrn, "problem": problem}));
    }
    if read.filings.is_empty() {
        out.note(&format!("{name}: there is no filing in it"));
    }
    if out.is_json() {
        out.json_line(&json!(lines));
    }
    Ok(if open { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

fn tariff(path: &Path) -> Result<Ruleset, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
    let name = path.display().to_string();
    let parsed = Ruleset::parse(&text).map_err(|faults| {
        let told: Vec<_> = faults
            .iter()
            .map(|f| format!("{}: {:?}; allowed: {}", f.path, f.value, f.allowed))
            .collect();
        CliError::usage(&name, told.join("\n"), "see rulesets/be-tariff.toml")
    })?;
    match parsed.is_tariff {
        true => Ok(parsed),
        false => Err(CliError::usage(&name, "is a set of rules", "a file with kind = \"tariff\"")),
    }
}
