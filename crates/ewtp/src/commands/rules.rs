//! `ewtp rules`: what an agency does with a ruleset before it is published.

mod drafts;
mod examples;
mod simulate;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_clearance::Ruleset;
use ewtp_clearance::review::{Severity, review};
use serde_json::json;

use crate::args_rules::RulesCommand;
use crate::error::CliError;
use crate::output::Output;
use crate::session::block_on;

pub(crate) fn run(
    command: &RulesCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        RulesCommand::Check { files, strict } => check(files, *strict, out),
        RulesCommand::Test { files } => examples::test(files, out),
        RulesCommand::Propose { .. }
        | RulesCommand::Drafts
        | RulesCommand::Draft { .. }
        | RulesCommand::Comment { .. }
        | RulesCommand::Answer { .. } => block_on(drafts::run(command, profile.as_deref(), out)),
        RulesCommand::Simulate(command) => {
            block_on(simulate::run(command, profile.as_deref(), out))
        }
    }
}

/// Reads a ruleset; prints what is wrong with it.
fn read(file: &Path, out: &Output) -> Result<Option<Ruleset>, CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::io(file))?;
    match Ruleset::parse(&text) {
        Ok(ruleset) => Ok(Some(ruleset)),
        Err(faults) => {
            for fault in faults {
                out.note(&format!("{}: {}", file.display(), ewtp_trade::finding::line(&fault)));
            }
            Ok(None)
        }
    }
}

fn check(files: &[PathBuf], strict: bool, out: &Output) -> Result<ExitCode, CliError> {
    let (mut rows, mut lines, mut failed) = (Vec::new(), Vec::new(), false);
    let mut rules = 0;
    for file in files {
        let Some(ruleset) = read(file, out)? else {
            failed = true;
            continue;
        };
        rules += ruleset.rules.len();
        for found in review(&ruleset) {
            failed |= strict || found.severity == Severity::Fault;
            let word = match found.severity {
                Severity::Fault => "fault",
                Severity::Remark => "remark",
            };
            lines.push(json!({"ruleset": ruleset.name, "rule": found.rule, "severity": word, "what": found.what}));
            rows.push(vec![ruleset.name.clone(), found.rule, word.to_owned(), found.what]);
        }
    }
    if rows.is_empty() {
        out.say(&format!("{rules} rules: nothing was found"));
        if out.is_json() {
            out.json_line(&json!([]));
        }
    } else {
        out.table(&["ruleset", "rule", "", "found"], &rows, &json!(lines));
    }
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
