//! The command line's grammar for reports.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum ReportCommand {
    /// What recognition did, by arrangement: checks waived, times to decision, and what was recognised and found false.
    Recognition(Reported),
    /// Whether all are treated alike: times, controls and refusals by size of filer, origin and channel.
    Fairness {
        #[command(flatten)]
        asked: Reported,
        /// Say it in the log, signed (officers).
        #[arg(long)]
        publish: bool,
    },
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
    /// Filings first known here from this instant or day, e.g. 2026-11-01 or 2026-11-01T00:00:00Z.
    #[arg(long, value_parser = instant)]
    pub(crate) from: jiff::Timestamp,
    /// And before this one; now if absent.
    #[arg(long, value_parser = instant)]
    pub(crate) to: Option<jiff::Timestamp>,
    /// Print CSV instead of a page.
    #[arg(long)]
    pub(crate) csv: bool,
}

/// An instant, or a day in UTC from its beginning.
fn instant(text: &str) -> Result<jiff::Timestamp, String> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10);
    let day = day.and_then(|day| jiff::tz::TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok());
    let hint = "an instant such as 2026-11-01T00:00:00Z, or a day such as 2026-11-01, from its beginning in UTC";
    day.map_or_else(|| text.parse().map_err(|_| hint.to_owned()), Ok)
}
