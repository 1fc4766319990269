//! The command line's grammar for those who write rules.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Publish a draft for comment, with what it would have changed beside it.
    Propose {
        /// Public ruleset: TOML.
        file: PathBuf,
        /// Comments are taken until then, e.g. 2026-12-31T23:00:00Z.
        #[arg(long)]
        until: jiff::Timestamp,
        /// What `rules simulate --json` printed of it.
        #[arg(long)]
        figures: Option<PathBuf>,
    },
    /// Drafts that are open for comment, or were: of this hub and of peers.
    Drafts,
    /// One draft with its comments, answers, figures, and what was adopted.
    Draft {
        /// Draft id.
        id: String,
        /// Print its text alone.
        #[arg(long)]
        text: bool,
    },
    /// Comment on a draft of this hub or a peer, signed by this hub and under the account's name.
    Comment {
        /// Draft id.
        id: String,
        /// Rule that it is about; the whole if absent.
        #[arg(long, default_value = "")]
        rule: String,
        /// What is said.
        #[arg(long)]
        text: String,
    },
    /// Answer a comment on a draft of this hub.
    Answer {
        /// Draft id.
        id: String,
        /// Comment id.
        comment: String,
        /// What becomes of it.
        #[arg(long)]
        outcome: AnswerArg,
        /// Why.
        #[arg(long)]
        text: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerArg {
    TakenUp,
    Partly,
    NotTakenUp,
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
