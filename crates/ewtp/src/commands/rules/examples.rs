//! Example cases beside a ruleset: what it is to decide, so that a change that changes more than it should is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_clearance::decide::{Input, Outcome, decide};
use ewtp_clearance::recognition::Recognised;
use ewtp_clearance::{Facts, Ruleset};
use ewtp_proto::v1;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::commands::case::{code_name, effect_name};
use crate::error::CliError;
use crate::output::Output;

/// The file beside a ruleset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    /// Tariffs, and the public ruleset of a confidential one, by file beside it.
    #[serde(default)]
    with: Vec<PathBuf>,
    /// Filings by name, as `ewtp convert --to json` writes them.
    base: BTreeMap<String, Value>,
    case: Vec<Example>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    name: String,
    of: String,
    at: String,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    answers: BTreeMap<String, String>,
    #[serde(default)]
    recognised: Vec<Recognised>,
    draw: Option<u32>,
    expect: Expected,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    security: Option<String>,
    admissibility: Option<String>,
    fiscal: Option<String>,
    /// Rules that fire, among others.
    fired: Vec<String>,
    /// Rules that don't.
    quiet: Vec<String>,
    /// Questions that are asked instead of deciding.
    asked: Vec<String>,
    /// What is owed, e.g. "3.00 EUR".
    total: Option<String>,
    /// An officer has to look.
    officer: bool,
}

pub(super) fn test(files: &[PathBuf], out: &Output) -> Result<ExitCode, CliError> {
    let (mut rows, mut lines, mut failed) = (Vec::new(), Vec::new(), false);
    for file in files {
        let Some(ruleset) = super::read(file, out)? else {
            failed = true;
            continue;
        };
        let path = file.with_extension("examples.toml");
        let text = std::fs::read_to_string(&path).map_err(CliError::io(&path))?;
        let examples: Examples = toml::from_str(&text).map_err(|e| {
            let hint = "see rulesets/be-advance.examples.toml";
            CliError::usage(&path.display().to_string(), e.to_string(), hint)
        })?;
        let mut others = Vec::new();
        for other in &examples.with {
            let path = file.parent().unwrap_or_else(|| Path::new("")).join(other);
            match super::read(&path, out)? {
                Some(other) => others.push(other),
                None => failed = true,
            }
        }
        let mut quiet: BTreeSet<&str> = ruleset.rules.iter().map(|r| r.id.as_str()).collect();
        for example in &examples.case {
            let outcome = outcome(example, &examples.base, &ruleset, &others)
                .map_err(|problem| wrong(&path, &example.name, &problem))?;
            let fired = fired(&outcome);
            quiet.retain(|rule| !fired.contains(*rule));
            let differs = differences(&example.expect, &outcome, &fired);
            failed |= !differs.is_empty();
            let word = if differs.is_empty() { "as expected" } else { "DIFFERS" };
            lines.push(json!({"ruleset": ruleset.name, "example": example.name, "agrees": differs.is_empty(), "differences": differs}));
            rows.push(vec![
                ruleset.name.clone(),
                example.name.clone(),
                word.to_owned(),
                differs.join("; "),
            ]);
        }
        if !quiet.is_empty() {
            let rules: Vec<&str> = quiet.into_iter().collect();
            out.note(&format!("{}: no example makes {} fire", ruleset.name, rules.join(", ")));
        }
    }
    out.table(&["ruleset", "example", "", "what differs"], &rows, &json!(lines));
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn wrong(path: &Path, example: &str, problem: &str) -> CliError {
    let what = format!("{}: {example}", path.display());
    CliError::usage(&what, problem, "see rulesets/be-advance.examples.toml")
}

fn outcome(
    example: &Example,
    bases: &BTreeMap<String, Value>,
    ruleset: &Ruleset,
    others: &[Ruleset],
) -> Result<Outcome, String> {
    let mut json = bases.get(&example.of).cloned().ok_or(format!("no base {}", example.of))?;
    for (path, value) in &example.set {
        set(&mut json, path, value.clone())?;
    }
    let filing: v1::Filing = serde_json::from_value(json).map_err(|e| e.to_string())?;
    let at: jiff::Timestamp = example.at.parse().map_err(|e| format!("at: {e}"))?;
    let at_ms = at.as_millisecond();
    let mut facts = Facts::of_filing(&filing, at_ms, example.answers.clone());
    facts.recognised.clone_from(&example.recognised);
    let public = match ruleset.confidential {
        false => ruleset,
        true => others
            .iter()
            .find(|o| !o.is_tariff && !o.confidential)
            .ok_or("a confidential ruleset needs the public one: name it in `with`")?,
    };
    let tariffs: Vec<&Ruleset> = others.iter().filter(|o| o.is_tariff).collect();
    Ok(decide(Input {
        kind: filing.core.as_ref().map(v1::FilingCore::r#type).unwrap_or_default(),
        adopted: filing.core.as_ref().is_some_and(|c| !c.adopts.is_empty()),
        facts: &facts,
        public,
        confidential: Some(ruleset).filter(|r| r.confidential),
        tariffs: &tariffs,
        draw: example.draw,
    }))
}

/// Sets what stands at `core.items[0].origin`; every step has to be there but the last.
fn set(json: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let pointer: String =
        path.split(['.', '[']).map(|step| format!("/{}", step.trim_end_matches(']'))).collect();
    let (above, last) = pointer.rsplit_once('/').unwrap_or(("", path));
    let place = json.pointer_mut(above).ok_or(format!("{path}: the base has no {above}"))?;
    match (place, last.parse::<usize>()) {
        (Value::Object(map), _) => drop(map.insert(last.to_owned(), value)),
        (Value::Array(list), Ok(at)) if at < list.len() => list[at] = value,
        (Value::Array(list), Ok(at)) if at == list.len() => list.push(value),
        _ => return Err(format!("{path}: {above} holds nothing of that name")),
    }
    Ok(())
}

fn fired(outcome: &Outcome) -> BTreeSet<String> {
    let Outcome::Decided(all) = outcome else { return BTreeSet::new() };
    let rules = all.iter().flat_map(|d| d.rules_fired.iter().chain(&d.authority_rules_fired));
    rules.cloned().collect()
}

fn differences(expected: &Expected, outcome: &Outcome, fired: &BTreeSet<String>) -> Vec<String> {
    let mut out = Vec::new();
    match outcome {
        Outcome::Officer(_) if expected.officer => {}
        Outcome::Officer(why) => out.push(format!("an officer has to look: {}", why.join("; "))),
        Outcome::Ask(questions) => {
            let asked: Vec<&str> = questions.iter().map(|q| q.code.as_str()).collect();
            if asked != expected.asked {
                let wanted = expected.asked.join(", ");
                out.push(format!("it asks {}, expected {wanted:?}", asked.join(", ")));
            }
        }
        Outcome::Decided(all) => {
            if expected.officer || !expected.asked.is_empty() {
                out.push("it decides".to_owned());
            }
            let wanted = [
                (v1::Effect::Security, &expected.security),
                (v1::Effect::Admissibility, &expected.admissibility),
                (v1::Effect::Fiscal, &expected.fiscal),
            ];
            for (effect, code) in wanted {
                let Some(code) = code else { continue };
                let name = effect_name(effect as i32);
                let given = all.iter().find(|d| d.effect == effect);
                let given = given.map_or("nothing", |d| code_name(d.code as i32));
                if given != code {
                    out.push(format!("{name} is {given}, expected {code}"));
                }
            }
            let total = all.iter().find_map(|d| d.estimate.as_ref()?.total.as_ref());
            let total =
                total.map_or("nothing".to_owned(), |m| format!("{} {}", m.amount, m.currency));
            if let Some(wanted) = expected.total.as_ref().filter(|w| **w != total) {
                out.push(format!("it comes to {total}, expected {wanted}"));
            }
        }
    }
    let missing = expected.fired.iter().filter(|rule| !fired.contains(*rule));
    out.extend(missing.map(|rule| format!("{rule} doesn't fire")));
    let loud = expected.quiet.iter().filter(|rule| fired.contains(*rule));
    out.extend(loud.map(|rule| format!("{rule} fires")));
    out
}
