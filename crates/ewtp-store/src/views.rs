//! The narrow store trait, and typed views over it: what people and peers ask for.

use std::sync::Arc;

use async_trait::async_trait;
use ewtp_log::page::LaneState;
use ewtp_log::statement::{StatementId, commitment, open_part};
use ewtp_log::tree::{Frontier, compact_range, consistency_plan, inclusion_plan, join};
use ewtp_log::{Hash, TreeSize, tile};
use ewtp_proto::store::v1::{
    CaseRecord, Change, ChangeRun, Counters, Frame, HeardStatement, LaneState as StoredLane,
    Locator, LogHead, OwnStatement, StoredCodeList, StoredDrawKey, StoredRuleset,
};
use ewtp_proto::{Message, v1};

use crate::apply::{identity_key, lrn_row, short};
use crate::forgetting::{own_entry, place_of, tombstone};
use crate::journal::ReadFrame;
use crate::keys::{Key, Kind, LOG_TREE, last_number};
use crate::state::Row;
use crate::store::StoreError;
use crate::trees;

/// What a hub needs of its store: commit one frame atomically, read by key, by key range, by frame.
///
/// Whatever a read shows was durable before: an implementation applies a frame only after its sync.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes a frame durable and visible. The caller numbers frames without gaps; there is one caller.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is known of the frame then, and every later commit fails.
    async fn commit(&self, frame: Frame, blobs: Vec<u8>) -> Result<(), StoreError>;

    /// Value of a key.
    ///
    /// # Errors
    /// Reading.
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` pairs with `from <= key < to`, in order.
    ///
    /// # Errors
    /// Reading.
    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Last pair with `from <= key < to`.
    ///
    /// # Errors
    /// Reading.
    async fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StoreError>;

    /// A frame of the journal.
    ///
    /// # Errors
    /// Reading; a damaged frame.
    async fn frame(&self, sequence: u64) -> Result<Arc<ReadFrame>, StoreError>;

    /// Takes what was erased off the disk. Frames keep their numbers, and everybody goes on meanwhile.
    ///
    /// # Errors
    /// Writing: what was erased is not shown, and may be on disk until this succeeds.
    async fn compact(&self) -> Result<Compacted, StoreError>;

    /// Brings derived state to disk as well, so that the next start has nothing to apply. Nothing is committed after it.
    ///
    /// # Errors
    /// Writing.
    async fn close(&self) -> Result<(), StoreError>;

    /// Sequence of the next frame.
    fn next_sequence(&self) -> u64;
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Statements of which something left the disk.
    pub statements: u64,
    /// Segments that were written anew.
    pub segments: u64,
}

/// A statement with the parts that the store holds.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Log index at its hub.
    pub index: u64,
    /// Header bytes; empty for a tombstone.
    pub header: Vec<u8>,
    /// Part name and blob.
    pub parts: Vec<(String, Vec<u8>)>,
    /// Tombstone's commitment.
    pub tombstone: Option<Hash>,
    /// Warnings kept with it.
    pub warnings: Vec<v1::Finding>,
    /// Commit time here, Unix milliseconds.
    pub received_ms: u64,
}

impl Statement {
    /// The log's entry.
    #[must_use]
    pub fn commitment(&self) -> Hash {
        self.tombstone.unwrap_or_else(|| commitment(&self.header))
    }

    /// Blob of a part.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<&[u8]> {
        self.parts.iter().find(|(n, _)| n == name).map(|(_, b)| b.as_slice())
    }

    /// Content of a part, decoded; `None` where it is withheld.
    #[must_use]
    pub fn part<M: Message + Default>(&self, name: &str) -> Option<M> {
        M::decode(open_part(name, self.blob(name)?).ok()?).ok()
    }
}

/// Typed reads.
#[derive(Clone, Copy)]
pub struct Views<'a, S: ?Sized>(pub &'a S);

pub(crate) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, StoreError> {
    M::decode(bytes).map_err(|e| StoreError::Value(e.to_string()))
}

impl<S: Store + ?Sized> Views<'_, S> {
    pub(crate) async fn load<M: Message + Default>(
        &self,
        key: Vec<u8>,
    ) -> Result<Option<M>, StoreError> {
        self.0.get(&key).await?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Last pair of a prefix up to and with a key.
    async fn last_at(&self, prefix: &Key, at: &Key) -> Result<Option<Row>, StoreError> {
        let behind = at.clone().byte(0).finish();
        self.0.last_before(&prefix.clone().finish(), &behind).await
    }

    pub(crate) async fn load_all<M: Message + Default>(
        &self,
        prefix: Key,
    ) -> Result<Vec<M>, StoreError> {
        let rows = self.0.scan(&prefix.clone().finish(), &prefix.end(), usize::MAX).await?;
        rows.iter().map(|(_, v)| decode(v)).collect()
    }

    /// Counters; zeros in a new store.
    ///
    /// # Errors
    /// Reading.
    pub async fn counters(&self) -> Result<Counters, StoreError> {
        Ok(self.load(Key::new(Kind::Counters).finish()).await?.unwrap_or_default())
    }

    /// Newest head.
    ///
    /// # Errors
    /// Reading.
    pub async fn head(&self) -> Result<Option<LogHead>, StoreError> {
        self.load(Key::new(Kind::Head).finish()).await
    }

    /// A case.
    ///
    /// # Errors
    /// Reading.
    pub async fn case(&self, id: &str) -> Result<Option<CaseRecord>, StoreError> {
        let Some(ordinal) = self.0.get(&Key::new(Kind::CaseId).text(id).finish()).await? else {
            return Ok(None);
        };
        self.whole_case(Key::new(Kind::Case).bytes(&ordinal).finish()).await
    }

    /// Changes after a cursor, in order, by their numbers.
    ///
    /// # Errors
    /// Reading.
    pub async fn changes(&self, after: u64, runs: usize) -> Result<Vec<(u64, Change)>, StoreError> {
        let prefix = Key::new(Kind::Changes);
        // The cursor may stand inside a run: start with the run that holds the next number.
        let at = prefix.clone().number(after.saturating_add(1));
        let from = self.last_at(&prefix, &at).await?.map_or(at.finish(), |(key, _)| key);
        let mut out = Vec::new();
        for (key, value) in self.0.scan(&from, &prefix.end(), runs).await? {
            let first = last_number(&key).unwrap_or_default();
            let run: ChangeRun = decode(&value)?;
            out.extend((first..).zip(run.changes).filter(|(n, _)| *n > after));
        }
        Ok(out)
    }

    /// First filing under a keyed (account, LRN): its log index, and whether its submission had this digest.
    ///
    /// # Errors
    /// Reading.
    pub async fn lrn(&self, key: &[u8], digest: &[u8]) -> Result<Option<(u64, bool)>, StoreError> {
        let value = self.0.get(&lrn_row(key)).await?;
        let first = value.and_then(|v| {
            let (index, held) = v.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*index), held == short(digest)))
        });
        let Some((index, same)) = first else { return Ok(None) };
        // What was erased is as if it had not been said.
        let gone = self.own(index).await?.is_some_and(|s| s.tombstone.is_some());
        Ok((!gone).then_some((index, same)))
    }

    /// Lane number of the first statement of a peer under an identity.
    ///
    /// # Errors
    /// Reading.
    pub async fn heard_identity(
        &self,
        peer: &str,
        id: &StatementId,
    ) -> Result<Option<u64>, StoreError> {
        Ok(self.0.get(&identity_key(peer, id)).await?.and_then(|value| last_number(&value)))
    }

    /// All accounts.
    ///
    /// # Errors
    /// Reading.
    pub async fn accounts(&self) -> Result<Vec<v1::AccountRecord>, StoreError> {
        self.load_all(Key::new(Kind::Account)).await
    }

    /// All peers, removed ones too.
    ///
    /// # Errors
    /// Reading.
    pub async fn peers(&self) -> Result<Vec<v1::PeerRecord>, StoreError> {
        self.load_all(Key::new(Kind::Peer)).await
    }

    /// All rulesets, by name and version.
    ///
    /// # Errors
    /// Reading.
    pub async fn rulesets(&self) -> Result<Vec<StoredRuleset>, StoreError> {
        self.load_all(Key::new(Kind::Ruleset)).await
    }

    /// Editions of code lists, this hub's first.
    ///
    /// # Errors
    /// Reading.
    pub async fn code_lists(&self) -> Result<Vec<StoredCodeList>, StoreError> {
        self.load_all(Key::new(Kind::CodeList)).await
    }

    /// Digests of draw keys, by period.
    ///
    /// # Errors
    /// Reading.
    pub async fn draw_keys(&self) -> Result<Vec<StoredDrawKey>, StoreError> {
        self.load_all(Key::new(Kind::DrawKey)).await
    }

    /// The digest of the draw key of the period that begins at an instant.
    ///
    /// # Errors
    /// Reading.
    pub async fn draw_key(&self, from_ms: u64) -> Result<Option<StoredDrawKey>, StoreError> {
        self.load(Key::new(Kind::DrawKey).number(from_ms).finish()).await
    }

    /// Receiver's state of a peer's lane.
    ///
    /// # Errors
    /// Reading.
    pub async fn lane_state(&self, peer: &str, generation: u64) -> Result<LaneState, StoreError> {
        let key = Key::new(Kind::Receiver).text(peer).number(generation).finish();
        let stored: Option<StoredLane> = self.load(key).await?;
        match stored {
            None => Ok(LaneState::default()),
            Some(stored) => {
                lane_from_stored(&stored).ok_or_else(|| StoreError::Value("lane state".into()))
            }
        }
    }

    /// Log indexes of a lane from a number on: at most `limit`.
    ///
    /// # Errors
    /// Reading.
    pub async fn lane(&self, peer: &str, first: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let prefix = Key::new(Kind::Lane).text(peer);
        let at = prefix.clone().number(first);
        let from = self.last_at(&prefix, &at).await?.map_or(at.finish(), |(key, _)| key);
        let mut out = Vec::new();
        for (key, value) in self.0.scan(&from, &prefix.end(), limit).await? {
            let start = last_number(&key).unwrap_or_default();
            let indexes =
                value.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_be_bytes);
            out.extend((start..).zip(indexes).filter(|(n, _)| *n >= first).map(|(_, i)| i));
            if out.len() >= limit {
                out.truncate(limit);
                break;
            }
        }
        Ok(out)
    }

    /// A statement by where it stands.
    ///
    /// # Errors
    /// Reading.
    pub async fn statement(&self, at: &Locator) -> Result<Option<Statement>, StoreError> {
        if at.peer.is_empty() { self.own(at.number).await } else { self.heard(at).await }
    }

    /// The frame that holds a log index.
    async fn frame_of(
        &self,
        prefix: Key,
        number: u64,
    ) -> Result<Option<Arc<ReadFrame>>, StoreError> {
        let Some((_, value)) = self.last_at(&prefix, &prefix.clone().number(number)).await? else {
            return Ok(None);
        };
        let sequence = value.try_into().map(u64::from_be_bytes);
        let sequence = sequence.map_err(|_| StoreError::Value("frame reference".into()))?;
        self.0.frame(sequence).await.map(Some)
    }

    /// An own statement by log index; table entries and descriptors are none.
    ///
    /// # Errors
    /// Reading.
    pub async fn own(&self, index: u64) -> Result<Option<Statement>, StoreError> {
        let Some(read) = self.frame_of(Key::new(Kind::OwnFrame), index).await? else {
            return Ok(None);
        };
        let found = read.frame.own.iter().find(|s| s.index == index);
        Ok(found.map(|s| own_statement(&read, s)))
    }

    /// The own head of exactly this size, as it was signed; sizes inside a batch have none.
    ///
    /// # Errors
    /// Reading.
    pub async fn head_of(&self, size: u64) -> Result<Option<LogHead>, StoreError> {
        let Some(last) = size.checked_sub(1) else { return Ok(None) };
        let read = self.frame_of(Key::new(Kind::OwnFrame), last).await?;
        Ok(read.and_then(|r| r.frame.head.clone()).filter(|h| h.size == size))
    }

    /// Own statements by ascending log indexes; each frame is read once.
    ///
    /// # Errors
    /// Reading.
    pub async fn own_many(&self, indexes: &[u64]) -> Result<Vec<Statement>, StoreError> {
        let mut out = Vec::with_capacity(indexes.len());
        let mut held: Option<Arc<ReadFrame>> = None;
        for index in indexes {
            let here = |r: &Arc<ReadFrame>| {
                r.frame.own.iter().find(|s| s.index == *index).map(|s| own_statement(r, s))
            };
            let found = match held.as_ref().and_then(here) {
                Some(found) => Some(found),
                None => {
                    held = self.frame_of(Key::new(Kind::OwnFrame), *index).await?;
                    held.as_ref().and_then(here)
                }
            };
            out.push(
                found.ok_or_else(|| {
                    StoreError::Value(format!("no statement at log index {index}"))
                })?,
            );
        }
        Ok(out)
    }

    async fn heard(&self, at: &Locator) -> Result<Option<Statement>, StoreError> {
        let held = self.heard_in_frame(at, |read, s| Statement {
            index: s.index,
            header: s.header.clone(),
            parts: blobs(read, &s.parts),
            tombstone: tombstone(s),
            warnings: s.warnings.clone(),
            received_ms: read.frame.time_ms,
        });
        held.await
    }

    /// What `show` makes of a statement that was heard.
    pub(crate) async fn heard_in_frame<T>(
        &self,
        at: &Locator,
        show: impl FnOnce(&ReadFrame, &HeardStatement) -> T,
    ) -> Result<Option<T>, StoreError> {
        let prefix = Key::new(Kind::HeardFrame).text(&at.peer).number(at.generation);
        let Some(read) = self.frame_of(prefix, at.number).await? else { return Ok(None) };
        let held = place_of(&read.frame, at)
            .and_then(|(page, place)| read.frame.heard.get(page)?.statements.get(place));
        Ok(held.map(|s| show(&read, s)))
    }

    /// Hash of a perfect subtree of a tree, from its tile.
    ///
    /// # Errors
    /// Reading.
    pub async fn subtree(&self, tree: &str, lo: u64, width: u64) -> Result<Hash, StoreError> {
        let (level, tile, from, count) = tile::place(lo, width);
        let bytes = self.tile(tree, level, tile).await?;
        let short =
            || StoreError::Value(format!("tile {level}/{tile} of tree {tree:?} is too short"));
        tile::root_of(&bytes, from, count).ok_or_else(short)
    }

    /// Hashes of a tile, as many as the state has: a reader cuts them to what its head covers.
    ///
    /// # Errors
    /// Reading.
    pub async fn tile(&self, tree: &str, level: u8, index: u64) -> Result<Vec<u8>, StoreError> {
        Ok(self.0.get(&trees::tile_key(tree, level, index)).await?.unwrap_or_default())
    }

    /// Entries `[from, to)` of the own log, which must hold them.
    ///
    /// # Errors
    /// Reading.
    pub async fn log_entries(&self, from: u64, to: u64) -> Result<Vec<Hash>, StoreError> {
        let prefix = Key::new(Kind::OwnFrame);
        let start = self.last_at(&prefix, &prefix.clone().number(from)).await?;
        let Some((start, _)) = start else { return Ok(Vec::new()) };
        let end = prefix.clone().number(to).finish();
        let mut out = Vec::new();
        for (key, sequence) in self.0.scan(&start, &end, usize::MAX).await? {
            let first = last_number(&key).unwrap_or_default();
            let sequence = sequence.try_into().map(u64::from_be_bytes);
            let sequence = sequence.map_err(|_| StoreError::Value("frame reference".into()))?;
            let entries = self.0.frame(sequence).await?.log_entries();
            out.extend(
                (first..).zip(entries).filter(|(i, _)| (from..to).contains(i)).map(|(_, e)| e),
            );
        }
        if out.len() as u64 == to.saturating_sub(from) {
            Ok(out)
        } else {
            Err(StoreError::Value(format!("log entries {from} to {to}: {} found", out.len())))
        }
    }

    /// Consistency proof from `old` to `new` leaves of a tree.
    ///
    /// # Errors
    /// Reading.
    pub async fn consistency(
        &self,
        tree: &str,
        old: u64,
        new: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        self.joined(tree, consistency_plan(old, new)).await
    }

    /// One hash for each group of neighbouring subtrees.
    async fn joined(
        &self,
        tree: &str,
        plan: Vec<Vec<(u64, u64)>>,
    ) -> Result<Vec<Hash>, StoreError> {
        let mut out = Vec::with_capacity(plan.len());
        for group in plan {
            let mut nodes = Vec::with_capacity(group.len());
            for (a, b) in group {
                nodes.push(self.subtree(tree, a, b - a).await?);
            }
            out.push(join(&nodes));
        }
        Ok(out)
    }

    /// Hashes of the compact range `[lo, hi)` of a tree.
    ///
    /// # Errors
    /// Reading.
    pub async fn range(&self, tree: &str, lo: u64, hi: u64) -> Result<Vec<Hash>, StoreError> {
        let mut out = Vec::new();
        for (a, b) in compact_range(lo, hi) {
            out.push(self.subtree(tree, a, b - a).await?);
        }
        Ok(out)
    }

    /// Inclusion path of a leaf in the first `size` leaves of a tree.
    ///
    /// # Errors
    /// Reading.
    pub async fn inclusion(
        &self,
        tree: &str,
        index: u64,
        size: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        self.joined(tree, inclusion_plan(index, size)).await
    }

    /// Frontier of the first `size` leaves of a tree.
    ///
    /// # Errors
    /// Reading.
    pub async fn frontier(&self, tree: &str, size: u64) -> Result<Frontier, StoreError> {
        let hashes = self.range(tree, 0, size).await?;
        let mut frontier = Frontier::default();
        frontier.extend(size, &hashes).map_err(|e| StoreError::Value(e.to_string()))?;
        Ok(frontier)
    }

    /// Frontier of the own log.
    ///
    /// # Errors
    /// Reading.
    pub async fn log_frontier(&self, size: TreeSize) -> Result<Frontier, StoreError> {
        self.frontier(LOG_TREE, size.0).await
    }
}

fn blobs(read: &ReadFrame, parts: &[ewtp_proto::store::v1::BlobRef]) -> Vec<(String, Vec<u8>)> {
    parts.iter().filter_map(|p| Some((p.name.clone(), read.blob(p)?.to_vec()))).collect()
}

fn own_statement(read: &ReadFrame, s: &OwnStatement) -> Statement {
    Statement {
        index: s.index,
        header: s.header.clone(),
        parts: blobs(read, &s.parts),
        tombstone: s.forgotten.is_some().then(|| own_entry(s)),
        warnings: s.warnings.clone(),
        received_ms: read.frame.time_ms,
    }
}

/// A receiver's state as frames hold it.
#[must_use]
pub fn lane_to_stored(state: &LaneState) -> StoredLane {
    let nodes = |f: &Frontier| {
        let node = |(width, hash): &(u64, Hash)| ewtp_proto::store::v1::FrontierNode {
            width: *width,
            hash: hash.0.to_vec(),
        };
        f.nodes().iter().map(node).collect()
    };
    StoredLane {
        head_size: state.head_size.0,
        head_root: state.head_root.0.to_vec(),
        log: nodes(&state.log),
        cursor: state.cursor,
        lane: nodes(&state.lane),
        slot_plus_one: state.slot.map_or(0, |s| u32::from(s) + 1),
        depth: u32::from(state.depth),
        lane_size: state.lane_size,
        lane_root: state.lane_root.0.to_vec(),
    }
}

fn lane_from_stored(stored: &StoredLane) -> Option<LaneState> {
    let frontier = |nodes: &[ewtp_proto::store::v1::FrontierNode]| {
        let nodes = nodes
            .iter()
            .map(|n| Some((n.width, Hash::from_slice(&n.hash)?)))
            .collect::<Option<Vec<_>>>()?;
        Frontier::from_nodes(nodes)
    };
    Some(LaneState {
        head_size: TreeSize(stored.head_size),
        head_root: Hash::from_slice(&stored.head_root)?,
        log: frontier(&stored.log)?,
        cursor: stored.cursor,
        lane: frontier(&stored.lane)?,
        slot: stored.slot_plus_one.checked_sub(1).and_then(|s| u16::try_from(s).ok()),
        depth: u8::try_from(stored.depth).ok()?,
        lane_size: stored.lane_size,
        lane_root: Hash::from_slice(&stored.lane_root)?,
    })
}
