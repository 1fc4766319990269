//! The grammar of acts beside filing: adoption, withdrawal, events, mandates, the desk.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Args)]
pub(crate) struct Adopt {
    /// Case id, or an LRN.
    pub(crate) case: String,
    /// Who becomes declarant at the destination: country prefix and national id.
    #[arg(long)]
    pub(crate) declarant: String,
    /// LRN of the import filing.
    #[arg(long)]
    pub(crate) lrn: String,
    /// One-time code that the exporter passed on; not needed by the importer that the filing names.
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// Version that was looked at; needed with --code, else the newest.
    #[arg(long)]
    pub(crate) version: Option<u32>,
    /// Advance filing; needed with --code, or where a case has several.
    #[arg(long)]
    pub(crate) filing: Option<String>,
    /// What only the adopter holds: TOML or JSON with the fields of `ewtp.v1.Filing`.
    #[arg(long)]
    pub(crate) document: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Withdraw {
    /// Case id, or an LRN.
    pub(crate) case: String,
    /// Filing; needed where this account has several in the case.
    #[arg(long)]
    pub(crate) filing: Option<String>,
    /// Reason code, such as ORDER-CANCELLED.
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventArg {
    Departed,
    Incident,
    Arrived,
    Presented,
    Inspected,
    Held,
    Released,
    Detained,
    Seized,
    Exited,
    Returned,
    Destroyed,
    /// Officers and systems alone: what was found is said with --found seals=….
    SealsChecked,
    /// Officers and systems alone: the new ones are named with --seal.
    Resealed,
    /// Officers and systems alone.
    GuaranteeReleased,
}

#[derive(Args)]
#[group(skip)]
pub(crate) struct Event {
    /// Case id or LRN; or what many cases name: conveyance=KL566/2026-11-30, document=…, receptacle=… or container=…
    pub(crate) case: String,
    /// What happened.
    #[arg(value_enum)]
    pub(crate) what: EventArg,
    /// Office where it happened, such as BE101000.
    #[arg(long)]
    pub(crate) office: Option<String>,
}

#[derive(Args)]
pub(crate) struct ReportedEvent {
    #[command(flatten)]
    pub(crate) event: Event,
    /// Idempotency key: repeat it only to send the same report again.
    #[arg(long)]
    pub(crate) key: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum MandateCommand {
    /// Let an account file for a party.
    Give {
        /// Registered id of the party; may be repeated.
        #[arg(long, required_unless_present = "principals")]
        principal: Vec<String>,
        /// File with one registered id a line, for many parties at once.
        #[arg(long)]
        principals: Option<PathBuf>,
        /// Account that may act for them.
        #[arg(long)]
        account: String,
        /// Kinds of filing.
        #[arg(long = "for", value_delimiter = ',', default_value = "export,advance")]
        kinds: Vec<String>,
        /// First day, YYYY-MM-DD.
        #[arg(long)]
        from: String,
        /// Last day, YYYY-MM-DD.
        #[arg(long)]
        until: String,
        /// IANA time zone of the days.
        #[arg(long, default_value = "UTC")]
        zone: String,
    },
    /// End a mandate at once.
    Revoke {
        /// Registered id of the party.
        #[arg(long)]
        principal: String,
        /// Account that may no longer act for it.
        #[arg(long)]
        account: String,
    },
    /// Mandates of an account.
    List {
        /// Account; the caller's own if absent.
        #[arg(long)]
        account: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct Decision {
    /// Case id, or an LRN.
    pub(crate) case: String,
    /// security, admissibility, fiscal or release.
    #[arg(long)]
    pub(crate) effect: String,
    /// Code, such as CLEAR, CLEAR_CONDITIONAL, DNL, HOLD, REFUSE, REVOKE.
    #[arg(long)]
    pub(crate) code: String,
    /// Reason for the trader: CODE, with parameters as CODE,NAME=VALUE.
    #[arg(long)]
    pub(crate) reason: Vec<String>,
    /// Reason for authorities only.
    #[arg(long)]
    pub(crate) authority_reason: Vec<String>,
    /// Condition, with CLEAR_CONDITIONAL: its id, which is its reason's code too.
    #[arg(long)]
    pub(crate) condition: Vec<String>,
    /// Attachment that was looked at: the beginning of its digest, hex; may be repeated.
    #[arg(long)]
    pub(crate) saw: Vec<String>,
    #[command(flatten)]
    pub(crate) common: DeskCommon,
}

#[derive(Args)]
pub(crate) struct DeskCommon {
    /// Filing; the one that the case's state is about if absent.
    #[arg(long)]
    pub(crate) filing: Option<String>,
    /// Note for this agency alone.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    /// Key under which repeating the command has no second effect; a random one if absent.
    #[arg(long)]
    pub(crate) key: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeArg {
    Met,
    Waived,
    Failed,
}

#[derive(Args)]
pub(crate) struct Worklist {
    /// Also what rules or answers are awaited for.
    #[arg(long)]
    pub(crate) all: bool,
    /// What is overdue alone.
    #[arg(long)]
    pub(crate) overdue: bool,
    /// What is due within so many hours alone.
    #[arg(long, conflicts_with = "overdue")]
    pub(crate) due_within: Option<u32>,
    /// What an arrangement lets go first alone.
    #[arg(long)]
    pub(crate) priority: bool,
    /// Decisions that wait for a second officer alone.
    #[arg(long)]
    pub(crate) proposals: bool,
    /// Of cases that were filed at this hub alone.
    #[arg(long, default_value = "")]
    pub(crate) filed_at: String,
    /// Of cases with this office on their route alone.
    #[arg(long, default_value = "")]
    pub(crate) office: String,
    /// Work whose reason contains this text alone.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Subcommand)]
pub(crate) enum DeskCommand {
    /// Open work: what officers have to look at, or all of it; what an arrangement lets go first stands first, then what is due first.
    List(Worklist),
    /// Approve what another officer or system proposed, where the ruleset wants four eyes.
    Approve {
        /// Work, as `desk list --proposals` names it.
        work: String,
        /// Key under which repeating the command has no second effect; a random one if absent.
        #[arg(long)]
        key: Option<String>,
    },
    /// Decline it.
    Decline {
        /// Work, as `desk list --proposals` names it.
        work: String,
        /// Why, for this agency alone.
        #[arg(long)]
        note: String,
        /// Key under which repeating the command has no second effect; a random one if absent.
        #[arg(long)]
        key: Option<String>,
    },
    /// Exchange work and decisions as files with a national system.
    Exchange {
        /// Folder; `out`, `in`, `done` and `refused` are made in it.
        folder: PathBuf,
        /// Once, and not again and again.
        #[arg(long)]
        once: bool,
        /// Seconds between two rounds.
        #[arg(long, default_value_t = 5)]
        every: u64,
    },
    /// Follow the cases that this hub assesses; resumable.
    Watch {
        /// Cursor of the last change seen.
        #[arg(long, default_value_t = 0)]
        cursor: u64,
        /// Stop after this many changes.
        #[arg(long)]
        count: Option<usize>,
    },
    /// Show one case.
    Show {
        /// Case id, or an LRN.
        case: String,
    },
    /// Ask the filer.
    Ask {
        /// Case id, or an LRN.
        case: String,
        /// Question: CODE, with parameters as CODE,NAME=VALUE; its text stands in the ruleset.
        #[arg(required = true)]
        questions: Vec<String>,
        /// Hours to answer; what the ruleset says if absent.
        #[arg(long)]
        hours: Option<u32>,
        #[command(flatten)]
        common: DeskCommon,
    },
    /// Decide on an effect.
    Decide(Decision),
    /// Hold: another authority or an officer has to look.
    Hold {
        /// Case id, or an LRN.
        case: String,
        /// Reason for the trader.
        #[arg(long)]
        reason: Vec<String>,
        #[command(flatten)]
        common: DeskCommon,
    },
    /// Release the goods.
    Release {
        /// Case id, or an LRN.
        case: String,
        /// Although something is missing: contingency; needs a note.
        #[arg(long)]
        contingency: bool,
        #[command(flatten)]
        common: DeskCommon,
    },
    /// Say what became of a condition.
    Condition {
        /// Case id, or an LRN.
        case: String,
        /// Id of the condition.
        id: String,
        /// Met, waived or failed.
        #[arg(value_enum)]
        outcome: OutcomeArg,
        /// Reference, such as that of a payment.
        #[arg(long, default_value = "")]
        reference: String,
        #[command(flatten)]
        common: DeskCommon,
    },
    /// Record an event on this hub's ground.
    Event {
        #[command(flatten)]
        event: Event,
        /// What an inspection found: KIND=RESULT, where KIND is goods, seals or a kind of recognised fact (inspection, origin …) and RESULT is
        /// conforms, minor or false; may be repeated.
        #[arg(long)]
        found: Vec<String>,
        /// A seal that was checked or put on; may be repeated.
        #[arg(long)]
        seal: Vec<String>,
        #[command(flatten)]
        common: DeskCommon,
    },
}
