//! Arguments of what strangers check: logs and evidence.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Keys that a log is checked with.
#[derive(Args)]
pub(crate) struct LogKeys {
    /// Verifier key of the log, or of a witness whose cosignature should be looked for: name+id+base64. Repeat it.
    #[arg(long = "vkey", value_name = "VKEY", required_unless_present = "descriptor")]
    pub(crate) vkeys: Vec<String>,
    /// Descriptor file of the hub: its log keys and witnesses are taken from it.
    #[arg(long, value_name = "FILE")]
    pub(crate) descriptor: Option<PathBuf>,
    /// Fingerprint that the hub's operator read out, with --descriptor.
    #[arg(long, requires = "descriptor")]
    pub(crate) fingerprint: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum LogCommand {
    /// Print the newest durable head, a signed checkpoint.
    Head,
    /// Verify a whole log from its public files: every entry, every tile, the root and its signature.
    Audit {
        /// URL or directory under which `checkpoint` stands, for example https://log.be.example/ewtp/g1.
        log: String,
        #[command(flatten)]
        keys: LogKeys,
        /// File that keeps how far the check came, so that the next one goes on there and proves that the log only grew.
        #[arg(long)]
        state: Option<PathBuf>,
        /// Resources that are fetched at once.
        #[arg(long, default_value_t = 16)]
        parallel: usize,
    },
    /// Copy a log, verified, to a directory that any static web server can serve; run it again to go on.
    Mirror {
        /// URL or directory of the log.
        log: String,
        /// Directory of the copy.
        dir: PathBuf,
        #[command(flatten)]
        keys: LogKeys,
        /// Resources that are fetched at once.
        #[arg(long, default_value_t = 16)]
        parallel: usize,
    },
    /// Follow a log: a line for each new head that is proven to extend the last one. Ends with 1 at the first that is not.
    Tail {
        /// URL or directory of the log.
        log: String,
        #[command(flatten)]
        keys: LogKeys,
        /// Seconds between looks.
        #[arg(long, default_value_t = 10)]
        every: u64,
        /// Print the new entries too, in base64.
        #[arg(long)]
        entries: bool,
        /// End after so many looks; 0 goes on for ever.
        #[arg(long, default_value_t = 0)]
        looks: u64,
    },
    /// Prove that of two heads of one log the larger extends the smaller. Each is a saved checkpoint, a URL or a directory;
    /// the larger one's tiles are needed unless both have one size.
    Consistency {
        /// Checkpoint file, URL or directory.
        a: String,
        /// Checkpoint file, URL or directory.
        b: String,
        #[command(flatten)]
        keys: LogKeys,
        /// Where to write the evidence if the two are a split view.
        #[arg(long, value_name = "FILE")]
        evidence: Option<PathBuf>,
    },
}

/// Which key.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RotatedKey {
    /// Signs the log's heads.
    Log,
    /// Cosigns other hubs' heads.
    Witness,
    /// Shown by the listeners.
    Tls,
    /// Signs descriptors.
    Root,
}

/// The root key that signs a new descriptor.
#[derive(Args)]
pub(crate) struct SignArgs {
    /// Directory of the hub.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The root key, if it is not in the directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) root_key: Option<PathBuf>,
    /// File with the root key's passphrase; asked for if absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Proofs of misconduct that the hub holds, and whom they are against.
    List {
        /// Write each to a file in this directory.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Put two receipts side by side that give one identity two contents: evidence, if both verify.
    Join {
        /// Receipt.
        a: PathBuf,
        /// Receipt.
        b: PathBuf,
        /// Where to write the evidence.
        #[arg(long)]
        out: PathBuf,
        /// Descriptor file of the hub that issued both.
        #[arg(long)]
        descriptor: PathBuf,
    },
    /// Verify evidence offline, with nothing but the descriptors of the hub that it is against.
    Verify {
        /// Evidence file.
        evidence: PathBuf,
        /// Descriptor file of that hub.
        #[arg(long)]
        descriptor: PathBuf,
        /// Fingerprint that its operator read out.
        #[arg(long)]
        fingerprint: Option<String>,
    },
}
