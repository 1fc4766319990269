//! The command line's grammar for those who write rules.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum RulesCommand {
    /// Look at rulesets before they are published, offline: types, facts that may be missing, rules that can't fire or never matter.
    Check {
        /// Rulesets: TOML.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Remarks fail as well.
        #[arg(long)]
        strict: bool,
    },
    /// Decide the example cases that stand beside a ruleset (NAME.examples.toml), offline, and compare.
    Test {
        /// Rulesets: TOML.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Run a draft over what a hub decided by rules, and tell which decisions would change and what it would cost.
    Simulate(Simulate),
}

#[derive(Args)]
pub(crate) struct Simulate {
    /// The draft: TOML, public or confidential.
    pub(crate) file: PathBuf,
    /// Decisions made from this instant on, e.g. 2026-11-01T00:00:00+01:00.
    #[arg(long)]
    pub(crate) since: jiff::Timestamp,
    /// Tariff in place of the one of its name: TOML; may be repeated.
    #[arg(long = "tariff")]
    pub(crate) tariffs: Vec<PathBuf>,
    /// List each decision that changes.
    #[arg(long)]
    pub(crate) each: bool,
}
