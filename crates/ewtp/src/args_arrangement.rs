//! The command line's grammar for arrangements.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum ArrangementCommand {
    /// Check a document, offline, and print it as text for lawyers.
    Read {
        /// Document: TOML.
        file: PathBuf,
    },
    /// What one document changes of another: two files, offline, or a peer's open proposal against what is agreed.
    Diff {
        /// Two documents.
        files: Vec<PathBuf>,
        /// The other hub.
        #[arg(long, conflicts_with = "files", required_unless_present = "files")]
        peer: Option<String>,
    },
    /// Propose a document to a peer: the first, an amendment, or another text instead of the open proposal.
    Propose {
        /// Document: TOML.
        file: PathBuf,
        /// The other hub.
        #[arg(long)]
        peer: String,
        /// Why, for people.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// The arrangements with peers: what is agreed, open, in force, and what both said.
    Show(Show),
    /// Accept a peer's open proposal.
    Accept {
        /// SHA-256 of the document that was read, in hex: nothing else is accepted.
        digest: String,
        /// The other hub.
        #[arg(long)]
        peer: String,
        /// Why, for people.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// What inspections on arrival found of recognised facts, here and at the peer, and the alarms.
    Quality {
        /// The other hub; all if absent.
        #[arg(long, default_value = "")]
        peer: String,
        /// Found since, e.g. 2026-11-01T00:00:00Z; the last twelve months, as thresholds count, if absent.
        #[arg(long)]
        since: Option<jiff::Timestamp>,
    },
    /// Recognise nothing until it is resumed.
    Suspend {
        /// The other hub.
        #[arg(long)]
        peer: String,
        /// Why, for people; with an alarm what it prepared if absent.
        #[arg(long, required_unless_present = "alarm")]
        reason: Option<String>,
        /// Sign the suspension that the newest alarm of this hub about this kind of fact prepared.
        #[arg(long)]
        alarm: Option<String>,
    },
    /// Take this hub's suspension back.
    Resume(OneSided),
    /// End what is agreed, and decline what is proposed.
    End(OneSided),
}

#[derive(Args)]
pub(crate) struct Show {
    /// The other hub; all if absent.
    #[arg(long)]
    pub(crate) peer: Option<String>,
    /// As known at an instant, e.g. 2026-12-01T00:00:00+03:00.
    #[arg(long)]
    pub(crate) as_of: Option<jiff::Timestamp>,
    /// Print the document that governs, or is open, as text for lawyers.
    #[arg(long, requires = "peer", conflicts_with = "next")]
    pub(crate) text: bool,
    /// Print the newest agreed document as the beginning of its amendment.
    #[arg(long, requires = "peer")]
    pub(crate) next: bool,
}

#[derive(Args)]
pub(crate) struct OneSided {
    /// The other hub.
    #[arg(long)]
    pub(crate) peer: String,
    /// Why, for people.
    #[arg(long)]
    pub(crate) reason: String,
}
