//! The command line's grammar for reports.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum ReportCommand {
    /// What recognition did, by arrangement: checks waived, times to decision, and what was recognised and found false.
    Recognition(Reported),
    /// Whether all are treated alike: times, controls and refusals by size of filer, origin and channel.
    Fairness(Reported),
    /// Write the receipt of a published report: anyone verifies it with `ewtp receipt verify`.
    Receipt {
        /// recognition or fairness.
        kind: String,
        /// Number of the report.
        number: u64,
        /// Directory for the receipt and the hub's descriptors.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Reported {
    /// Filings first known here from this instant, e.g. 2026-11-01T00:00:00Z.
    #[arg(long)]
    pub(crate) from: jiff::Timestamp,
    /// And before this one; now if absent.
    #[arg(long)]
    pub(crate) to: Option<jiff::Timestamp>,
    /// Print CSV instead of a page.
    #[arg(long)]
    pub(crate) csv: bool,
    /// Say it in the log, signed (officers).
    #[arg(long)]
    pub(crate) publish: bool,
}
