//! The grammar of documents and codes: tables, conversion, code lists.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// A form of documents.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DocumentForm {
    /// WCO XML of HMRC's Customs Declaration Service.
    Cds,
    /// Messages of China's cross-border e-commerce system; give those of one parcel together.
    Ceb,
    /// A table with a header, by a mapping.
    Csv,
    /// Our own JSON, as docs/filing.schema.json has it.
    Json,
}

/// A form of answers.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum NoticeForm {
    /// Notifications of HMRC's Customs Declaration Service: DMSACC, DMSCLE …
    Cds,
    /// Receipts of China's cross-border e-commerce system: CEB622, CEB604 …
    Ceb,
}

#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 nothing got lost, 1 a document was refused, 3 something got lost: see standard error."
)]
pub(crate) struct Convert {
    /// Documents.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// What they are.
    #[arg(long, value_enum)]
    pub(crate) from: DocumentForm,
    /// What they become.
    #[arg(long, value_enum)]
    pub(crate) to: DocumentForm,
    /// Mapping of the table.
    #[arg(long)]
    pub(crate) mapping: Option<PathBuf>,
    /// Directory for the documents; standard output if absent.
    #[arg(long)]
    pub(crate) out_dir: Option<PathBuf>,
    /// List where every element of a CDS document went, instead of converting.
    #[arg(long)]
    pub(crate) report: bool,
}

#[derive(Args)]
#[command(after_help = "Exit codes: 0 all of it is priced, 3 something can't be: see the lines.")]
pub(crate) struct Duties {
    /// Filings in JSON.
    pub(crate) file: PathBuf,
    /// Tariffs, which add up; in each the longest line of a code counts.
    #[arg(long, required = true)]
    pub(crate) tariff: Vec<PathBuf>,
    /// The instant for which it is asked, with its offset; now if absent.
    #[arg(long)]
    pub(crate) at: Option<String>,
}

#[derive(Args)]
pub(crate) struct Import {
    /// Table with a header, as its mapping says.
    pub(crate) csv: PathBuf,
    /// Mapping file.
    #[arg(long)]
    pub(crate) mapping: PathBuf,
    /// Only rows whose column has this value: COLUMN=VALUE.
    #[arg(long = "where")]
    pub(crate) filter: Vec<String>,
    /// Where bad rows go; `<csv>.rejects.csv` if absent.
    #[arg(long)]
    pub(crate) rejects: Option<PathBuf>,
    /// File nothing: look through the table, offline.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Filings in flight at once.
    #[arg(long, default_value_t = 512)]
    pub(crate) in_flight: usize,
}

#[derive(Subcommand)]
pub(crate) enum CodesCommand {
    /// Find commodity codes by what the goods are called.
    Search {
        /// Words, or the first digits of a code.
        #[arg(required = true)]
        words: Vec<String>,
        /// Descriptions to search: a code, a space and a description a line; the United States' tariff if absent.
        #[arg(long)]
        descriptions: Option<PathBuf>,
        /// Most lines.
        #[arg(long, default_value_t = 10)]
        limit: usize,
    },
    /// The lists that come with this program; with --hub those that the hub checks filings by.
    List {
        /// Ask the hub.
        #[arg(long)]
        hub: bool,
    },
    /// Publish an edition of a list to every peer.
    Publish {
        /// CSV with a header: `code`, and `until` and `replaced_by` for codes that left.
        file: PathBuf,
        /// List, e.g. offices.
        #[arg(long)]
        list: String,
        /// Name of the edition, e.g. 2026-11.
        #[arg(long)]
        edition: String,
        /// First day on which it holds, YYYY-MM-DD.
        #[arg(long)]
        from: String,
        /// IANA time zone in which that day begins.
        #[arg(long)]
        time_zone: String,
    },
    /// What a list says of a code.
    Show {
        /// List, e.g. hs, locodes, units.
        list: String,
        /// Code.
        code: String,
    },
}
