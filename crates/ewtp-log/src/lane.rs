//! Lanes: what a hub said to one peer, as a Merkle tree of its own, and the table that commits to all of them
//! (formats.md section 12).
//!
//! Every batch ends with the table's entry, so a head of size n has its table at index n − 1. The peer's id is in its
//! slot's leaf, else one peer could be shown two lanes unnoticed. Unused slots look like used ones to outsiders.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::hash::{Hash, leaf_hash, node_hash, sha256};
use crate::id::{HubId, LogIndex};
use crate::tree::inclusion_path;

/// Smallest depth of the slot table.
pub const DEPTH_MIN: u8 = 4;
/// Largest depth of the slot table: 4096 slots.
pub const DEPTH_MAX: u8 = 12;

/// Leaf hash of a lane entry: the log index, big-endian, then the commitment.
#[must_use]
pub fn lane_leaf(index: LogIndex, commitment: &Hash) -> Hash {
    let mut entry = [0; 40];
    entry[..8].copy_from_slice(&index.0.to_be_bytes());
    entry[8..].copy_from_slice(&commitment.0);
    leaf_hash(&entry)
}

/// Leaf of one slot of the lane table.
#[must_use]
pub fn slot_leaf(blind: &[u8; 16], peer: Option<&HubId>, lane_size: u64, lane_root: &Hash) -> Hash {
    let peer = peer.map(HubId::padded).unwrap_or_default();
    sha256(&[&[0], blind, &peer, &lane_size.to_be_bytes(), &lane_root.0])
}

/// Blind of a slot under one table: nobody without the generation's slot key can guess a lane's size from its leaf.
#[must_use]
pub fn slot_blind(slot_key: &[u8; 32], table_index: LogIndex, slot: u16) -> [u8; 16] {
    let mut out = [0; 16];
    // HMAC takes a key of any length, so this never fails; were it to, the blind would stay zero and no peer could
    // verify a page, which shows at once.
    if let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(slot_key) {
        mac.update(b"ewtp-slot/v1");
        mac.update(&table_index.0.to_be_bytes());
        mac.update(&slot.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        out.copy_from_slice(&digest[..16]);
    }
    out
}

/// Log entry that a lane table becomes.
#[must_use]
pub fn table_entry(table_index: LogIndex, depth: u8, table_root: &Hash) -> Hash {
    sha256(&[b"ewtp-lanes/v1\n", &table_index.0.to_be_bytes(), &[depth], &table_root.0])
}

/// Root of the table from one slot's leaf and its path; depth is the number of hashes.
#[must_use]
pub fn table_root_from_path(slot: u16, leaf: Hash, path: &[Hash]) -> Hash {
    path.iter().enumerate().fold(leaf, |hash, (level, sibling)| {
        if (slot >> level) & 1 == 1 { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) }
    })
}

/// One peer's lane as the table sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Place in the table; fixed for the generation.
    pub slot: u16,
    /// Whose lane.
    pub peer: HubId,
    /// Statements in it.
    pub lane_size: u64,
    /// Root of its tree.
    pub lane_root: Hash,
}

/// All slot leaves under one table index.
pub struct LaneTable {
    index: LogIndex,
    depth: u8,
    leaves: Vec<Hash>,
}

impl LaneTable {
    /// Computes the 2^depth leaves. Slots beyond the depth are left out, so keep `depth` by [`depth_for`].
    #[must_use]
    pub fn new(slot_key: &[u8; 32], index: LogIndex, depth: u8, slots: &[Slot]) -> Self {
        let count = 1u16 << depth.min(DEPTH_MAX);
        let mut leaves: Vec<Hash> = (0..count)
            .map(|s| slot_leaf(&slot_blind(slot_key, index, s), None, 0, &Hash::EMPTY_ROOT))
            .collect();
        for slot in slots {
            if let Some(leaf) = leaves.get_mut(usize::from(slot.slot)) {
                let blind = slot_blind(slot_key, index, slot.slot);
                *leaf = slot_leaf(&blind, Some(&slot.peer), slot.lane_size, &slot.lane_root);
            }
        }
        Self { index, depth, leaves }
    }

    /// The log entry.
    #[must_use]
    pub fn entry(&self) -> Hash {
        let mut level = self.leaves.clone();
        while level.len() > 1 {
            level = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        let root = level.first().copied().unwrap_or(Hash::EMPTY_ROOT);
        table_entry(self.index, self.depth, &root)
    }

    /// Leaves in slot order.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// Path of one slot: `depth` hashes.
    #[must_use]
    pub fn path(&self, slot: u16) -> Vec<Hash> {
        let Ok(path) =
            inclusion_path(self.leaves.as_slice(), u64::from(slot), self.leaves.len() as u64);
        path
    }
}

/// Depth after `used` slots are taken: grows by one when half of them are, never falls.
#[must_use]
pub fn depth_for(used: usize, depth: u8) -> u8 {
    let mut depth = depth.max(DEPTH_MIN);
    while depth < DEPTH_MAX && used * 2 >= 1 << depth {
        depth += 1;
    }
    depth
}
