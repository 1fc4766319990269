//! The command line's grammar.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::args_acts::{Adopt, DeskCommand, MandateCommand, ReportedEvent, Withdraw};
use crate::args_arrangement::ArrangementCommand;
use crate::args_certificate::CertificateCommand;
use crate::args_documents::{CodesCommand, Convert, Duties, Import};
use crate::args_log::{EvidenceCommand, LogCommand, RotatedKey, SignArgs};
use crate::args_report::ReportCommand;
use crate::args_rules::RulesCommand;

/// Operators and traders at an eWTP hub.
#[derive(Parser)]
#[command(
    name = "ewtp",
    version,
    after_help = "Exit codes: 0 done, 1 refused or not verified, 2 wrong call, 3 the hub can't be reached, 4 something here failed."
)]
pub(crate) struct Cli {
    /// Profile file with address, certificate and the hub's key.
    #[arg(long, global = true, env = "EWTP_PROFILE")]
    pub(crate) profile: Option<PathBuf>,
    /// One JSON document or line instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make, run and look at a hub.
    #[command(subcommand)]
    Hub(HubCommand),
    /// Peers: other countries' hubs.
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Accounts and their credentials.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Rulesets that decide.
    #[command(subcommand)]
    Ruleset(RulesetCommand),
    /// Arrangements with peers: what is recognised of what the other established.
    #[command(subcommand)]
    Arrangement(ArrangementCommand),
    /// Certificates: of operators, origin, licences, plant health, inspections.
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Write rules: check, try on examples, simulate over past cases.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// File export and advance from one document.
    Declare(Declare),
    /// File the rows of a table through the bulk stream.
    Import(Import),
    /// Convert documents between forms, offline.
    Convert(Convert),
    /// What filings come to by tariffs on a day, step by step, offline.
    Duties(Duties),
    /// Code lists: find a code by words, look one up.
    #[command(subcommand)]
    Codes(CodesCommand),
    /// Cases: list, show, follow, answer, replay.
    #[command(subcommand)]
    Case(CaseCommand),
    /// Adopt an advance filing at the destination: it becomes an import filing.
    Adopt(Adopt),
    /// Withdraw a filing.
    Invalidate(Withdraw),
    /// Report an event, as carrier or declarant.
    Event(ReportedEvent),
    /// Mandates: who files for whom.
    #[command(subcommand)]
    Mandate(MandateCommand),
    /// The desk of officers.
    #[command(subcommand)]
    Desk(DeskCommand),
    /// Figures over filings that this hub assessed.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Attachments: upload, fetch, erase.
    #[command(subcommand)]
    Attachment(AttachmentCommand),
    /// Receipts: export and verify offline.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// The hub's log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Proofs of misconduct.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// What auditors of the agency check.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// A stopped hub's store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Three hubs on this machine play a story from filing to proof.
    Demo(Demo),
    /// Measure hubs on this machine, beside what the machine can do at all.
    Bench(Bench),
}

#[derive(Subcommand)]
pub(crate) enum AttachmentCommand {
    /// Upload a document and print the reference by which a filing or an answer cites it; goes on where an interrupted upload
    /// ended.
    Upload {
        /// PDF, JPEG or PNG of at most 10 MiB.
        file: PathBuf,
        /// File with the reference of an upload that was interrupted, as printed with --json; it is written there first.
        #[arg(long)]
        reference: Option<PathBuf>,
    },
    /// Fetch an attachment that a case cites; goes on where an interrupted fetch ended.
    Get {
        /// Case id, or an LRN.
        case: String,
        /// Digest, hex; the first characters are enough.
        digest: String,
        /// Where to write it.
        #[arg(long)]
        out: PathBuf,
    },
    /// Erase an attachment that this hub was given, here and where it was shown (officers).
    Erase {
        /// Case id, or an LRN.
        case: String,
        /// Digest, hex; the first characters are enough.
        digest: String,
        /// Rule or order, as a code such as RETENTION-7Y.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Random draws: of each period that is over, whether they are those of the key whose digest was logged before.
    Draws,
}

#[derive(Subcommand)]
pub(crate) enum HubCommand {
    /// Make keys, descriptor, first operator and configuration in a new directory.
    Init(Box<HubInit>),
    /// Run the daemon (the same as `ewtpd`).
    Run {
        /// Configuration file.
        #[arg(long, default_value = "hub.toml")]
        config: PathBuf,
        /// Check configuration and keys, then stop.
        #[arg(long)]
        check: bool,
    },
    /// Print the hub's descriptor file and fingerprint.
    Descriptor {
        /// Directory of the hub.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Change a key: a new descriptor is signed with the root key, and a running daemon takes it. Log and TLS keys overlap with the
    /// old one until --finish.
    Rotate {
        /// Which key.
        #[arg(value_enum)]
        key: RotatedKey,
        /// End the overlap.
        #[arg(long)]
        finish: bool,
        /// Names in the new TLS certificate.
        #[arg(long = "name")]
        names: Vec<String>,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Name the witnesses that cosign this hub's heads, at most 15; the list replaces the one before.
    Witnesses {
        /// Descriptor files of hubs, or verifier keys.
        witnesses: Vec<String>,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// How the hub is.
    Status,
}

#[derive(Args)]
pub(crate) struct HubInit {
    /// New directory.
    pub(crate) dir: PathBuf,
    /// Hub id: CC or CC-NAME.
    #[arg(long)]
    pub(crate) hub: String,
    /// Public URL of the log, for ever: https://host.with.a.dot/path without a port.
    #[arg(long)]
    pub(crate) log_url: String,
    /// Host or address where others reach this hub.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Address to listen on for peers and accounts; the public listener stays on loopback.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) listen: String,
    /// First of three ports: federation, clients, public.
    #[arg(long, default_value_t = 7443)]
    pub(crate) port: u16,
    /// Territories that it speaks for; the hub's country if none is given.
    #[arg(long)]
    pub(crate) territory: Vec<String>,
    /// Competences that it has there; a single window has all.
    #[arg(long, value_delimiter = ',', default_value = "customs,plant-health,health,tax")]
    pub(crate) competence: Vec<String>,
    /// Offices that are its own: a code such as BE101000, or its beginning and `*`; all of its territories if none is given
    /// and it has the competence customs.
    #[arg(long)]
    pub(crate) office: Vec<String>,
    /// Whom others call.
    #[arg(long, default_value = "")]
    pub(crate) contact: String,
    /// Live instead of test: statements have legal effect.
    #[arg(long)]
    pub(crate) live: bool,
    /// File with the root key's passphrase; asked on the terminal if absent.
    #[arg(long)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum PeerCommand {
    /// Pin a peer by its descriptor file.
    Add {
        /// Descriptor file.
        descriptor: PathBuf,
        /// Fingerprint that the peer's operator read out.
        #[arg(long)]
        fingerprint: String,
        /// What it may be shown: acdd, full, or a TOML file with name, parts, kinds, hs_prefixes, legal_basis.
        #[arg(long)]
        scope: String,
    },
    /// All peers and their lanes.
    List,
    /// One peer.
    Show {
        /// Hub id.
        hub: String,
    },
    /// Pause a peer.
    Suspend {
        /// Hub id.
        hub: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Go on with a suspended peer, or reinstate one that is in quarantine.
    Resume {
        /// Hub id.
        hub: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Remove a peer; its connections end.
    Remove {
        /// Hub id.
        hub: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    Trader,
    Platform,
    Officer,
    System,
    Operator,
    Auditor,
}

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Open an account, make its key and certificate, and write a profile for it.
    Add {
        /// Account id, 1-32 of a-z 0-9 -.
        id: String,
        /// Name.
        #[arg(long, default_value = "")]
        name: String,
        /// Roles.
        #[arg(long, required = true)]
        role: Vec<RoleArg>,
        /// Registered party ids.
        #[arg(long)]
        registered_id: Vec<String>,
        /// Size of the trader, for the report on equal treatment.
        #[arg(long)]
        size: Option<SizeArg>,
        /// Directory for key, certificate and profile; `<id>` if absent.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// All accounts.
    List,
    /// One account.
    Show {
        /// Account id.
        id: String,
    },
    /// Revoke a credential, at once.
    Revoke {
        /// Account id.
        id: String,
        /// SPKI digest, hexadecimal, as `account show` prints it.
        spki: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SizeArg {
    Micro,
    Small,
    Medium,
    Large,
}

#[derive(Subcommand)]
pub(crate) enum RulesetCommand {
    /// Check a ruleset and publish it.
    Publish {
        /// TOML file.
        file: PathBuf,
        /// Draft that it adopts: the time for comments is over, and each is answered.
        #[arg(long, default_value = "")]
        draft: String,
    },
    /// All rulesets.
    List,
    /// Print a ruleset.
    Show {
        /// Name.
        name: String,
        /// Version; the newest if absent.
        #[arg(long, default_value_t = 0)]
        version: u32,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilingKind {
    Export,
    Advance,
    Transit,
    Import,
}

#[derive(Args)]
pub(crate) struct Declare {
    /// Document: TOML or JSON with the fields of `ewtp.v1.Filing`.
    pub(crate) document: PathBuf,
    /// Which filings to send; both if absent.
    #[arg(long, value_enum)]
    pub(crate) only: Option<FilingKind>,
    /// Document to attach: uploaded and cited; may be repeated.
    #[arg(long)]
    pub(crate) attach: Vec<PathBuf>,
    /// File nothing: tell what the public rules of the hub that would assess it say, and what would be owed.
    #[arg(long, conflicts_with = "attach")]
    pub(crate) dry_run: bool,
}

#[derive(Subcommand)]
pub(crate) enum CaseCommand {
    /// List cases.
    List {
        /// States such as cleared, do_not_load, pending.
        #[arg(long)]
        state: Vec<String>,
        /// Hub of filing.
        #[arg(long)]
        filed_at: Option<String>,
        /// LRN.
        #[arg(long)]
        lrn: Option<String>,
        /// Most rows; all if absent.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show one case.
    Show {
        /// Case id, or an LRN.
        case: String,
    },
    /// Write what was said of a filing as a national system says it: CDS notifications, CEB receipts.
    Notices {
        /// Case id, or an LRN.
        case: String,
        /// Filing, where the case has several.
        #[arg(long)]
        filing: Option<String>,
        /// As what.
        #[arg(long, value_enum, default_value = "cds")]
        form: crate::args_documents::NoticeForm,
        /// Directory for the documents.
        #[arg(long)]
        out_dir: PathBuf,
    },
    /// Follow changes; resumable.
    Watch {
        /// Cursor of the last change seen.
        #[arg(long, default_value_t = 0)]
        cursor: u64,
        /// Stop after this many changes.
        #[arg(long)]
        count: Option<usize>,
    },
    /// Answer what the destination asks.
    Answer {
        /// Case id, or an LRN.
        case: String,
        /// CODE=TEXT, once per question.
        #[arg(required = true)]
        answers: Vec<String>,
        /// Document to attach: uploaded and cited; may be repeated.
        #[arg(long)]
        attach: Vec<PathBuf>,
    },
    /// Decide again here, from receipts, and compare.
    Replay {
        /// Case id, or an LRN.
        #[arg(required_unless_present = "all")]
        case: Option<String>,
        /// All cases that this account sees: what differs is listed, the rest counted.
        #[arg(long, conflicts_with = "case")]
        all: bool,
        /// What was decided up to an instant, which of it counted then, and whether what was recognised was agreed then, e.g.
        /// 2026-12-01T00:00:00+03:00.
        #[arg(long)]
        as_of: Option<jiff::Timestamp>,
    },
    /// Erase what was said in a case, here and at the hubs that were told, as far as no retention rule keeps it (officers).
    /// Places in the logs stay, and every proof over them.
    Erase {
        /// Case id, or an LRN.
        case: String,
        /// Part to erase of all its statements, such as parties; may be repeated. All of it if absent.
        #[arg(long = "part")]
        parts: Vec<String>,
        /// Rule or order, as a code such as COURT-2026-117.
        #[arg(long)]
        reason: String,
        /// Erase what a retention rule keeps as well: for an order that stands above it.
        #[arg(long)]
        override_rules: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Write the receipts of a case, and the issuers' descriptors.
    Export {
        /// Case id, or an LRN.
        case: String,
        /// Directory to write to.
        #[arg(long, default_value = ".")]
        out: PathBuf,
        /// Add the lane path: it shows how many statements that peer was sent.
        #[arg(long)]
        with_lane: bool,
    },
    /// Write one file with all receipts of a case and the descriptors of all its hubs, which a court or a bank can follow.
    Case {
        /// Case id, or an LRN.
        case: String,
        /// File to write, for example CASE.ewtp-case.
        #[arg(long)]
        out: PathBuf,
        /// Add the lane paths: they show how many statements each peer was sent.
        #[arg(long)]
        with_lane: bool,
    },
    /// Verify a receipt or a case file offline: what is proven, in words, and what is not.
    Verify {
        /// Receipt or case file.
        receipt: PathBuf,
        /// Descriptor file of the issuer; a case file has those of its hubs.
        #[arg(long)]
        descriptor: Option<PathBuf>,
        /// Fingerprint that the issuer's operator read out; for a case file HUB=HEX, once for each hub.
        #[arg(long)]
        fingerprint: Vec<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Rebuild the state beside the one in use and compare every key and value.
    Check {
        /// Directory of the hub.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Take what was erased off the disk now; a running hub does it on its cadence.
    Compact {
        /// Directory of the hub.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Delete the state and build it from the journal.
    Rebuild {
        /// Directory of the hub.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Keep the directory of the hubs and print how to go on with them.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Directory to use; a temporary one if absent.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Filings that wait for the destination while it is down.
    #[arg(long, default_value_t = 400)]
    pub(crate) backlog: u32,
}

/// `ewtp bench`.
#[derive(Args)]
pub(crate) struct Bench {
    /// What to measure; everything if none is named. Floors are always measured, because figures stand beside them.
    #[arg(value_enum)]
    pub(crate) kinds: Vec<BenchKind>,
    /// Directory on the disk to measure; a temporary one if absent.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Seconds of each measured run, after a second of warm-up.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Runs of each measurement; their median and spread are reported.
    #[arg(long, default_value_t = 3)]
    pub(crate) repeats: usize,
    /// Filings that go through the exchange in one run.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) exchange: u64,
    /// Statements of the backlog in `catchup`.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) backlog: u64,
    /// Statements in `restart` and `rebuild`, and the most in `growth`.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) statements: u64,
    /// Lines that stand beside those of PostgreSQL, NATS and RabbitMQ: 1, 16 and 128 clients, and catching up.
    #[arg(long)]
    pub(crate) peer_lines: bool,
    /// Serve the echo that calls are compared with; the bench starts this by itself.
    #[arg(long, hide = true)]
    pub(crate) serve_echo: Option<PathBuf>,
}

/// Kinds of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchKind {
    /// Disk, cryptography, and calls that do nothing.
    Floors,
    /// Filings made durable and answered: single calls, streams, bulk.
    Intake,
    /// Filed, decided at the other hub, and known back: what goes through, and how long it takes.
    Exchange,
    /// A peer joins with a backlog.
    Catchup,
    /// Start with a long log.
    Restart,
    /// State rebuilt from the journal.
    Rebuild,
    /// Rate, memory, disk and start as the log grows.
    Growth,
}
