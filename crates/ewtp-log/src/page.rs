//! Pages: one message of a lane stream, and the comparison that proves consistency, order, gaplessness and the debt
//! (formats.md section 12).
//!
//! ```text
//! entries ─▶ lane frontier ─lane range─▶ lane root ─▶ slot leaf ─slot path─▶ table entry ─┐
//!                                          log frontier ─log range────────────────────────┴▶ root of the checkpoint
//! ```
//!
//! Invariant: a refusal changes nothing. What a *statement* says never refuses a page; that is for statement checks.

use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::id::{HubId, LaneNumber, LogIndex, Origin, TreeSize};
use crate::lane::{DEPTH_MAX, DEPTH_MIN, lane_leaf, slot_leaf, table_entry, table_root_from_path};
use crate::note::{Note, NoteError, VerifierKey};
use crate::statement::{HEADER_BYTES_MAX, Header, STATEMENT_BYTES_MAX, commitment, part_digest};
use crate::tree::{Frontier, compact_range};

/// Longest page: 1 MiB and one statement.
pub const PAGE_BYTES_MAX: usize = (1 << 20) + STATEMENT_BYTES_MAX;
/// What an entry counts beside its header and blobs, bytes.
pub const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A statement in a page: with its header and the parts that this peer may see, or as a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEntry {
    /// Its place in the sender's log.
    pub index: LogIndex,
    /// What is sent of it.
    pub body: EntryBody,
}

/// What is sent of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryBody {
    /// Header bytes and blobs by part name.
    Statement {
        /// Raw bytes; they may not parse, then the statement is kept and not honoured.
        header: Vec<u8>,
        /// Part name and blob.
        parts: Vec<(String, Vec<u8>)>,
    },
    /// The commitment of an erased statement.
    Tombstone(Hash),
}

impl PageEntry {
    /// The log's entry.
    #[must_use]
    pub fn commitment(&self) -> Hash {
        match &self.body {
            EntryBody::Statement { header, .. } => commitment(header),
            EntryBody::Tombstone(hash) => *hash,
        }
    }

    /// Bytes that it counts against the limit of a page.
    #[must_use]
    pub fn counted_bytes(&self) -> usize {
        self.statement_bytes() + ENTRY_OVERHEAD_BYTES
    }

    fn statement_bytes(&self) -> usize {
        match &self.body {
            EntryBody::Statement { header, parts } => {
                header.len() + parts.iter().map(|(_, b)| b.len()).sum::<usize>()
            }
            EntryBody::Tombstone(_) => 0,
        }
    }
}

/// The part of a page that opens a new head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadPart {
    /// Signed note, log lines only.
    pub checkpoint: Vec<u8>,
    /// The receiver's slot in the lane table.
    pub slot: u16,
    /// That slot's blind.
    pub blind: [u8; 16],
    /// Statements in the lane under this head.
    pub lane_size: u64,
    /// Path from the slot to the table's root; its length is the table's depth.
    pub slot_path: Vec<Hash>,
    /// Compact range of the log from the last head to the table.
    pub log_range: Vec<Hash>,
}

/// One message of a lane stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Lane number of the first entry.
    pub first: LaneNumber,
    /// Present where the head moved.
    pub head: Option<HeadPart>,
    /// Consecutive statements.
    pub entries: Vec<PageEntry>,
    /// Compact range of the lane after the last entry.
    pub lane_range: Vec<Hash>,
}

/// What a receiver keeps of one lane and its log: both frontiers and the last head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// Size of the last head (m); 0 before the first.
    pub head_size: TreeSize,
    /// Root of the last head.
    pub head_root: Hash,
    /// Frontier of the sender's log at that head.
    pub log: Frontier,
    /// Cursor (k): statements held.
    pub cursor: u64,
    /// Frontier of the lane at the cursor.
    pub lane: Frontier,
    /// Slot told by the first head.
    pub slot: Option<u16>,
    /// Depth of the last table.
    pub depth: u8,
    /// Lane size under the last head: `lane_size − cursor` is still owed.
    pub lane_size: u64,
    /// Lane root under the last head.
    pub lane_root: Hash,
}

impl Default for LaneState {
    fn default() -> Self {
        Self {
            head_size: TreeSize(0),
            head_root: Hash::EMPTY_ROOT,
            log: Frontier::default(),
            cursor: 0,
            lane: Frontier::default(),
            slot: None,
            depth: DEPTH_MIN,
            lane_size: 0,
            lane_root: Hash::EMPTY_ROOT,
        }
    }
}

/// Why a page was refused. The codes are those of the conformance vectors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageRefusal {
    /// Larger than `ewtp/1` allows, or a hash that isn't 32 bytes.
    #[error(
        "bounds: a page holds at most 1 MiB and one statement, a statement 256 KiB, a header 4096 bytes"
    )]
    Bounds,
    /// Statements were left out.
    #[error("lane-gap: the lane jumps from {expected} to {got}", expected = .expected.0, got = .got.0)]
    LaneGap {
        /// Next lane number due.
        expected: LaneNumber,
        /// First of the page.
        got: LaneNumber,
    },
    /// The checkpoint doesn't parse.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// The checkpoint is of another log.
    #[error("origin: the head is of {got}, this lane is of {expected}")]
    Origin {
        /// Pinned origin.
        expected: String,
        /// Origin in the checkpoint.
        got: String,
    },
    /// Two signed roots of one size: misconduct.
    #[error("split: two signed roots of size {size}")]
    Split {
        /// Size of both heads.
        size: TreeSize,
    },
    /// The head is not newer than the last one.
    #[error("head-old: size {got} after {last}")]
    HeadOld {
        /// Size of the last head.
        last: TreeSize,
        /// Size of this one.
        got: TreeSize,
    },
    /// The lane table's depth fell, is over 12, or the slot lies outside it.
    #[error(
        "depth: the lane table may have a depth of {DEPTH_MIN} to {DEPTH_MAX} that never falls"
    )]
    Depth,
    /// The slot changed.
    #[error("slot: {got} where {expected} was told")]
    Slot {
        /// Slot told first.
        expected: u16,
        /// Slot of this page.
        got: u16,
    },
    /// A range has another number of hashes than its ends demand.
    #[error("proof-length: {got} hashes where {expected} are needed")]
    ProofLength {
        /// Hashes needed.
        expected: usize,
        /// Hashes given.
        got: usize,
    },
    /// The lane is shorter than under the last head: misconduct.
    #[error("lane-shrinks: {got} statements after {last}")]
    LaneShrinks {
        /// Lane size under the last head.
        last: u64,
        /// Lane size under this one.
        got: u64,
    },
    /// The first page must bring a head.
    #[error("no-head: the first page brings no checkpoint")]
    NoHead,
    /// More statements than the lane has.
    #[error("lane-size: statements up to {end} in a lane of {size}")]
    LaneSize {
        /// Lane number of the last entry.
        end: u64,
        /// Lane size.
        size: u64,
    },
    /// A log index at or past the table.
    #[error("lane-index: log index {0} is not below the head's table")]
    LaneIndex(LogIndex),
    /// A blob whose digest the header lacks.
    #[error("part: {part} of lane number {number} does not match its header")]
    Part {
        /// Part name.
        part: String,
        /// Where.
        number: LaneNumber,
    },
    /// The entries don't lead to the lane root that the last head committed to.
    #[error("lane-root: the statements are not those that the head commits to")]
    LaneRoot,
    /// The head doesn't extend the last one, or doesn't hold this lane.
    #[error("root: lane and log do not lead to the root of the checkpoint")]
    Root,
    /// No valid signature of a log key that counts.
    #[error("signature: {0}")]
    Signature(NoteError),
}

impl PageRefusal {
    /// The code in the vectors, logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bounds => "bounds",
            Self::LaneGap { .. } => "lane-gap",
            Self::Checkpoint(_) => "checkpoint",
            Self::Origin { .. } => "origin",
            Self::Split { .. } => "split",
            Self::HeadOld { .. } => "head-old",
            Self::Depth => "depth",
            Self::Slot { .. } => "slot",
            Self::ProofLength { .. } => "proof-length",
            Self::LaneShrinks { .. } => "lane-shrinks",
            Self::NoHead => "no-head",
            Self::LaneSize { .. } => "lane-size",
            Self::LaneIndex(_) => "lane-index",
            Self::Part { .. } => "part",
            Self::LaneRoot => "lane-root",
            Self::Root => "root",
            Self::Signature(_) => "signature",
        }
    }
}

/// What a receiver trusts of the sender's log.
pub struct LaneTrust<'a> {
    /// The receiver's own id.
    pub me: &'a HubId,
    /// The generation that the lane belongs to.
    pub origin: &'a Origin,
    /// Log keys that count now.
    pub log_keys: &'a [VerifierKey],
}

/// Outcome of a good page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageVerdict {
    /// Proven: commit the statements and this state at once.
    Accept(Box<LaneState>),
    /// Seen already: no fault, nothing to do.
    Drop,
}

/// Verifies a page against what the receiver keeps, cheapest check first.
///
/// # Errors
/// [`PageRefusal`]; the state stays as it was.
pub fn verify_page(
    state: &LaneState,
    page: &Page,
    trust: &LaneTrust<'_>,
) -> Result<PageVerdict, PageRefusal> {
    if !within_bounds(page) {
        return Err(PageRefusal::Bounds);
    }
    let due = state.cursor + 1;
    if page.first.0 < due {
        return Ok(PageVerdict::Drop);
    }
    if page.first.0 > due {
        return Err(PageRefusal::LaneGap { expected: LaneNumber(due), got: page.first });
    }
    let head = page.head.as_ref().map(|head| check_head(state, head, trust)).transpose()?;
    let (size, lane_size) = match &head {
        Some(h) => (h.checkpoint.size, h.part.lane_size),
        None => (state.head_size, state.lane_size),
    };
    if size.0 == 0 {
        return Err(PageRefusal::NoHead);
    }
    let end = state.cursor + page.entries.len() as u64;
    if end > lane_size {
        return Err(PageRefusal::LaneSize { end, size: lane_size });
    }
    expect_length(compact_range(end, lane_size).len(), page.lane_range.len())?;
    if let Some(entry) = page.entries.iter().find(|e| e.index.0 >= size.0 - 1) {
        return Err(PageRefusal::LaneIndex(entry.index));
    }
    let mut next = state.clone();
    next.cursor = end;
    push_entries(&mut next.lane, page)?;
    let mut whole = next.lane.clone();
    let length = |_| PageRefusal::ProofLength { expected: 0, got: page.lane_range.len() };
    whole.extend(lane_size, &page.lane_range).map_err(length)?;
    let lane_root = whole.root();
    let Some(head) = head else {
        return if lane_root == state.lane_root {
            Ok(PageVerdict::Accept(Box::new(next)))
        } else {
            Err(PageRefusal::LaneRoot)
        };
    };
    regrow_log(&mut next, &head, lane_root, trust)?;
    check_signature(&head.note, trust)?;
    Ok(PageVerdict::Accept(Box::new(next)))
}

fn within_bounds(page: &Page) -> bool {
    let mut total = 0;
    for entry in &page.entries {
        let header_ok = match &entry.body {
            EntryBody::Statement { header, .. } => header.len() <= HEADER_BYTES_MAX,
            EntryBody::Tombstone(_) => true,
        };
        if !header_ok || entry.statement_bytes() > STATEMENT_BYTES_MAX {
            return false;
        }
        total += entry.counted_bytes();
    }
    total <= PAGE_BYTES_MAX
}

struct CheckedHead<'a> {
    part: &'a HeadPart,
    checkpoint: Checkpoint,
    note: Note,
    depth: u8,
}

fn check_head<'a>(
    state: &LaneState,
    part: &'a HeadPart,
    trust: &LaneTrust<'_>,
) -> Result<CheckedHead<'a>, PageRefusal> {
    let (checkpoint, note) = Checkpoint::parse_note(&part.checkpoint)
        .map_err(|e| PageRefusal::Checkpoint(e.to_string()))?;
    if note.text != checkpoint.to_text() {
        // What evidence is made of must not hold lines that a hub never writes.
        return Err(PageRefusal::Checkpoint("extension lines".to_owned()));
    }
    if checkpoint.origin != trust.origin.as_str() {
        let expected = trust.origin.as_str().to_owned();
        return Err(PageRefusal::Origin { expected, got: checkpoint.origin });
    }
    let (last, got) = (state.head_size, checkpoint.size);
    if got == last && got.0 > 0 && checkpoint.root != state.head_root {
        check_signature(&note, trust)?;
        return Err(PageRefusal::Split { size: got });
    }
    if got <= last {
        return Err(PageRefusal::HeadOld { last, got });
    }
    let depth = u8::try_from(part.slot_path.len()).unwrap_or(u8::MAX);
    if depth < state.depth || depth > DEPTH_MAX || part.slot >> depth != 0 {
        return Err(PageRefusal::Depth);
    }
    if let Some(expected) = state.slot.filter(|s| *s != part.slot) {
        return Err(PageRefusal::Slot { expected, got: part.slot });
    }
    expect_length(compact_range(last.0, got.0 - 1).len(), part.log_range.len())?;
    if part.lane_size < state.lane_size {
        return Err(PageRefusal::LaneShrinks { last: state.lane_size, got: part.lane_size });
    }
    Ok(CheckedHead { part, checkpoint, note, depth })
}

fn expect_length(expected: usize, got: usize) -> Result<(), PageRefusal> {
    if expected == got { Ok(()) } else { Err(PageRefusal::ProofLength { expected, got }) }
}

fn push_entries(lane: &mut Frontier, page: &Page) -> Result<(), PageRefusal> {
    for (number, entry) in (page.first.0..).zip(&page.entries) {
        if let EntryBody::Statement { header, parts } = &entry.body
            && let Ok(parsed) = Header::parse(header)
        {
            let mismatch =
                parts.iter().find(|(n, blob)| parsed.part_digest(n) != Some(&part_digest(n, blob)));
            if let Some((part, _)) = mismatch {
                return Err(PageRefusal::Part { part: part.clone(), number: LaneNumber(number) });
            }
        }
        lane.push_leaf(lane_leaf(entry.index, &entry.commitment()));
    }
    Ok(())
}

fn regrow_log(
    next: &mut LaneState,
    head: &CheckedHead<'_>,
    lane_root: Hash,
    trust: &LaneTrust<'_>,
) -> Result<(), PageRefusal> {
    let part = head.part;
    let leaf = slot_leaf(&part.blind, Some(trust.me), part.lane_size, &lane_root);
    let table_root = table_root_from_path(part.slot, leaf, &part.slot_path);
    let table_index = head.checkpoint.size.0 - 1;
    let length = |_| PageRefusal::ProofLength { expected: 0, got: part.log_range.len() };
    next.log.extend(table_index, &part.log_range).map_err(length)?;
    let entry = table_entry(LogIndex(table_index), head.depth, &table_root);
    next.log.push_leaf(leaf_hash(&entry.0));
    if next.log.root() != head.checkpoint.root {
        return Err(PageRefusal::Root);
    }
    next.head_size = head.checkpoint.size;
    next.head_root = head.checkpoint.root;
    next.slot = Some(part.slot);
    next.depth = head.depth;
    next.lane_size = part.lane_size;
    next.lane_root = lane_root;
    Ok(())
}

fn check_signature(note: &Note, trust: &LaneTrust<'_>) -> Result<(), PageRefusal> {
    let verified = note.verify(trust.log_keys).map_err(PageRefusal::Signature)?;
    let signed = verified.log_keys.iter().any(|k| k.name() == trust.origin.as_str());
    if signed { Ok(()) } else { Err(PageRefusal::Signature(NoteError::Unsigned)) }
}
