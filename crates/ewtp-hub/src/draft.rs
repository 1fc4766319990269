//! Drafts: what a source wants said, with the preconditions under which it may be. Parts are sealed here, so that they
//! are final before the queue.

use ewtp_log::statement::{StatementId, part_digest, seal_part_with};
use ewtp_log::{Hash, HubId};
use ewtp_proto::Message;
use ewtp_proto::store::v1::{
    CosignedHead, Erasure, HeardPage, LearntDescriptor, Locator, StoredEvidence, WitnessedHead,
};
use ewtp_proto::v1::{FilingCore, Finding};
use ewtp_store::StoreError;

use crate::clock::random;

/// A part with its salt and its digest: hashed by who drafts, because the committer is one and they are many.
#[derive(Clone, Debug)]
pub struct SealedPart {
    /// Name.
    pub name: &'static str,
    /// Salt, length, content, padding.
    pub blob: Vec<u8>,
    /// As the header says it.
    pub digest: Hash,
}

/// A statement to be said.
#[derive(Clone, Debug)]
pub struct NewStatement {
    /// Kind, subject, number.
    pub id: StatementId,
    /// Statements that it answers or replaces.
    pub refs: Vec<Hash>,
    /// Its parts, in order.
    pub parts: Vec<SealedPart>,
    /// Peers that it is said to.
    pub audience: Vec<HubId>,
    /// Account that it comes from, for filings.
    pub account: String,
    /// Warnings kept with it.
    pub warnings: Vec<Finding>,
    /// Countries on a filing's route that have no hub to tell.
    pub unconnected: Vec<String>,
    /// 16 random bytes.
    pub nonce: [u8; 16],
}

impl NewStatement {
    /// A statement without parts.
    ///
    /// # Errors
    /// No randomness.
    pub fn new(kind: &str, subject: &str, number: u64) -> Result<Self, getrandom::Error> {
        Ok(Self {
            id: StatementId { kind: kind.to_owned(), subject: subject.to_owned(), number },
            refs: Vec::new(),
            parts: Vec::new(),
            audience: Vec::new(),
            account: String::new(),
            warnings: Vec::new(),
            unconnected: Vec::new(),
            nonce: random()?,
        })
    }

    /// Adds a part with a fresh salt. All parts of a kind are written, empty if need be.
    ///
    /// # Errors
    /// No randomness.
    pub fn part(
        mut self,
        name: &'static str,
        content: &impl Message,
    ) -> Result<Self, getrandom::Error> {
        let blob =
            seal_part_with(name, content.encoded_len(), random()?, |blob| content.encode_raw(blob));
        let digest = part_digest(name, &blob);
        self.parts.push(SealedPart { name, blob, digest });
        Ok(self)
    }

    /// The same for content that may be missing.
    ///
    /// # Errors
    /// No randomness.
    pub fn part_or_empty<M: Message + Default>(
        self,
        name: &'static str,
        content: Option<&M>,
    ) -> Result<Self, getrandom::Error> {
        match content {
            Some(content) => self.part(name, content),
            None => self.part(name, &M::default()),
        }
    }

    /// Name and digest of each part, as the header lists them.
    #[must_use]
    pub fn digests(&self) -> Vec<(String, Hash)> {
        self.parts.iter().map(|p| (p.name.to_owned(), p.digest)).collect()
    }
}

/// Why something that an operator or officer wants said was not said.
#[derive(Debug, thiserror::Error)]
pub enum SayError {
    /// What is wrong with it.
    #[error("it has {} faults", .0.len())]
    Faults(Vec<Finding>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The log.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

/// Work that a draft makes.
#[derive(Clone, Debug)]
pub struct WorkPlan {
    /// Id.
    pub id: String,
    /// Case.
    pub case_id: String,
    /// Filing.
    pub filing_id: String,
    /// Its version.
    pub filing_version: u32,
    /// Where the filing stands.
    pub filing: FilingAt,
    /// Only an officer may take it; why.
    pub officer_reason: String,
    /// Waits for an answer until then, Unix milliseconds; 0 if it can be decided now.
    pub waits_until_ms: u64,
    /// An arrangement lets it go first.
    pub priority: bool,
    /// It waits for a second officer on the n-th statement of this very draft.
    pub proposal: Option<usize>,
    /// It waits for the end of a transit, not for an answer.
    pub time_limit: bool,
}

impl WorkPlan {
    /// The first work on a version of a filing: it can be decided now.
    #[must_use]
    pub fn first(core: &FilingCore, filing: FilingAt) -> Self {
        Self {
            id: format!("{}/{}/0", core.filing_id, core.version),
            case_id: core.case_id.clone(),
            filing_id: core.filing_id.clone(),
            filing_version: core.version,
            filing,
            officer_reason: String::new(),
            waits_until_ms: 0,
            priority: false,
            proposal: None,
            time_limit: false,
        }
    }
}

/// Where a filing stands.
#[derive(Clone, Debug)]
pub enum FilingAt {
    /// It is the n-th statement of this very draft.
    ThisDraft(usize),
    /// Known already.
    Known(Locator),
}

/// A claim to an LRN.
#[derive(Clone, Debug)]
pub struct LrnClaim {
    /// Keyed hash of account and LRN.
    pub key: [u8; 32],
    /// Digest of the submission.
    pub digest: [u8; 32],
}

/// What a source wants said, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Statements, in order.
    pub statements: Vec<NewStatement>,
    /// Work items that must be open; they are consumed.
    pub consumes: Vec<String>,
    /// Cases and the revision that was seen.
    pub revisions: Vec<(String, u64)>,
    /// LRN that must be unused.
    pub lrn: Option<LrnClaim>,
    /// Work made.
    pub makes: Vec<WorkPlan>,
    /// Statements logged before that are said to one more peer; said before this draft's own.
    pub late: Vec<LateEntry>,
    /// A verified page that this draft commits; its cursor must be the next.
    pub page: Option<Box<PagePlan>>,
    /// Entries of the log that are no statements: digests of own descriptors.
    pub raw_entries: Vec<Hash>,
    /// What is learnt of other hubs and logs.
    pub watched: Watched,
    /// Number of the last change of a case that the keeper of the ledgers has dealt with; 0 if it says nothing of it.
    pub ledgers_kept: u64,
    /// What is erased with it. Without a hub that says so it is this draft's first statement that does.
    pub erases: Vec<Erasure>,
}

impl Draft {
    /// Digests of the attachments that go with what is erased.
    #[must_use]
    pub fn attachments_erased(&self) -> Vec<[u8; 32]> {
        let all = self.erases.iter().flat_map(|e| &e.attachments);
        all.filter_map(|d| <[u8; 32]>::try_from(d.as_slice()).ok()).collect()
    }

    /// Says another draft with this one, and erases what it erases: both or neither.
    pub fn join(&mut self, other: Self) {
        self.statements.extend(other.statements);
        self.erases.extend(other.erases);
        for id in other.consumes {
            if !self.consumes.contains(&id) {
                self.consumes.push(id);
            }
        }
        for revision in other.revisions {
            if !self.revisions.contains(&revision) {
                self.revisions.push(revision);
            }
        }
    }
}

/// What a hub learns of other hubs and of logs, its own too, outside statements and lanes.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Descriptors.
    pub learnt: Vec<LearntDescriptor>,
    /// Heads to cosign; each must follow the one cosigned before.
    pub witnessed: Vec<WitnessedHead>,
    /// Cosignatures of own heads.
    pub cosigned: Vec<CosignedHead>,
    /// Proofs of misconduct.
    pub evidence: Vec<StoredEvidence>,
}

/// A statement of the own log that is said to peers who are new to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateEntry {
    /// Place in the log.
    pub index: u64,
    /// Its commitment.
    pub commitment: Hash,
    /// To whom.
    pub peer: HubId,
}

/// A verified page on its way into a frame.
#[derive(Clone, Debug)]
pub struct PagePlan {
    /// Peer.
    pub peer: HubId,
    /// Generation.
    pub generation: u64,
    /// Cursor before the page.
    pub cursor_before: u64,
    /// Head size before the page.
    pub head_before: u64,
    /// As the frame holds it; blobs are laid out by the committer.
    pub page: HeardPage,
    /// Blobs of each statement, in the order of its parts.
    pub blobs: Vec<Vec<(String, Vec<u8>)>>,
    /// It holds something of the directory: readers take that anew.
    pub reloads: bool,
}

/// What became of a draft's statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Log index and commitment of each statement.
    pub statements: Vec<(u64, Hash)>,
    /// Size of the log under which they are durable.
    pub log_size: u64,
    /// Logged time, Unix milliseconds.
    pub time_ms: u64,
}

/// Why a draft was not logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The queue is full.
    #[error("{limit} drafts wait already; try again in a moment")]
    Busy {
        /// Bound of the queue.
        limit: usize,
    },
    /// Its work was done by another.
    #[error("the work item {0} is gone: somebody else dealt with it")]
    WorkGone(String),
    /// The case moved on.
    #[error("the case {case} is at revision {now}, not at {seen}")]
    CaseMoved {
        /// Case.
        case: String,
        /// Seen.
        seen: u64,
        /// Now.
        now: u64,
    },
    /// The LRN is taken.
    #[error("the LRN is used already by log entry {index}")]
    LrnTaken {
        /// The first filing.
        index: u64,
        /// The same bytes.
        same: bool,
    },
    /// The page doesn't follow on what is held.
    #[error("the page is not the next one")]
    PageStale,
    /// Another head of that log was cosigned meanwhile.
    #[error("another head of that log was cosigned meanwhile; start from that one")]
    WitnessMoved,
    /// A statement is larger than `ewtp/1` allows.
    #[error(
        "statement {what} has {bytes} bytes; at most {limit} are allowed: split it or shorten its texts"
    )]
    TooLarge {
        /// Kind and subject.
        what: String,
        /// Its size.
        bytes: usize,
        /// Limit.
        limit: usize,
    },
    /// A header can't be written.
    #[error("the statement can't be written: {0}")]
    Header(String),
    /// The task ended between queue and commit.
    #[error(
        "outcome unknown; submit the same bytes again: if they were logged, their receipt comes back"
    )]
    InDoubt,
}
