//! A lane opened under a signed head: its slot in the lane table, and on request the place of one statement in it
//! ("said to BE as 18th"). Receipts and evidence carry it (formats.md section 14).

use std::fmt::Write as _;

use crate::base64::decode_array;
use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::id::{HubId, LaneNumber, LogIndex, parse_decimal};
use crate::lane::{DEPTH_MAX, DEPTH_MIN, lane_leaf, slot_leaf, table_entry, table_root_from_path};
use crate::tree::verify_inclusion;

/// An opened lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanePath {
    /// To whom.
    pub peer: HubId,
    /// Slot in the lane table.
    pub slot: u16,
    /// Blind of the slot.
    pub blind: [u8; 16],
    /// Statements in the lane.
    pub size: u64,
    /// Root of the lane.
    pub root: Hash,
    /// Path from the slot to the table's root.
    pub table: Vec<Hash>,
    /// Inclusion of the table in the log.
    pub log: Vec<Hash>,
    /// The statement's place in the lane, and its path.
    pub entry: Option<LaneEntry>,
}

/// A statement's place in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneEntry {
    /// Place, from 1.
    pub number: LaneNumber,
    /// Log index.
    pub index: LogIndex,
    /// Commitment.
    pub commitment: Hash,
    /// Inclusion in the lane.
    pub path: Vec<Hash>,
}

/// The lane does not open under the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lane does not open under this head")]
pub struct OpeningError;

impl LanePath {
    /// Body of a lane section.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing into a String can't fail.
        let _ = writeln!(out, "peer {}\nslot {}", self.peer, self.slot);
        let _ = writeln!(out, "blind {}\nsize {}", crate::base64::encode(&self.blind), self.size);
        let _ = writeln!(out, "root {}", self.root);
        for h in &self.table {
            let _ = writeln!(out, "table {h}");
        }
        for h in &self.log {
            let _ = writeln!(out, "log {h}");
        }
        if let Some(e) = &self.entry {
            let _ = writeln!(out, "number {}\nentry {} {}", e.number, e.index, e.commitment);
            for h in &e.path {
                let _ = writeln!(out, "path {h}");
            }
        }
        out
    }

    /// Parses the body of a lane section.
    #[must_use]
    pub fn parse(body: &str) -> Option<Self> {
        let mut lines = body.strip_suffix('\n')?.split('\n').peekable();
        let mut value = |name: &str| lines.next_if(|l| word(l) == name).map(argument);
        let peer = value("peer")?.parse().ok()?;
        let slot = u16::try_from(parse_decimal(value("slot")?)?).ok()?;
        let blind = decode_array(value("blind")?)?;
        let size = parse_decimal(value("size")?)?;
        let root = Hash::from_base64(value("root")?)?;
        let mut hashes = |name: &str| {
            let mut out = Vec::new();
            while let Some(line) = value(name) {
                out.push(Hash::from_base64(line)?);
            }
            Some(out)
        };
        let (table, log) = (hashes("table")?, hashes("log")?);
        let mut value = |name: &str| lines.next_if(|l| word(l) == name).map(argument);
        let entry = match value("number") {
            None => None,
            Some(number) => {
                let number = LaneNumber(parse_decimal(number)?);
                let (index, commitment) = value("entry")?.split_once(' ')?;
                let (index, commitment) =
                    (LogIndex(parse_decimal(index)?), Hash::from_base64(commitment)?);
                let mut path = Vec::new();
                while let Some(line) = value("path") {
                    path.push(Hash::from_base64(line)?);
                }
                Some(LaneEntry { number, index, commitment, path })
            }
        };
        lines.next().is_none().then_some(Self { peer, slot, blind, size, root, table, log, entry })
    }

    /// Checks that the lane, and the entry if one is given, opens under a head whose signature was checked.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn open(&self, checkpoint: &Checkpoint) -> Result<(), OpeningError> {
        let depth = u8::try_from(self.table.len()).unwrap_or(u8::MAX);
        if !(DEPTH_MIN..=DEPTH_MAX).contains(&depth) || self.slot >> depth != 0 {
            return Err(OpeningError);
        }
        let leaf = slot_leaf(&self.blind, Some(&self.peer), self.size, &self.root);
        let table_root = table_root_from_path(self.slot, leaf, &self.table);
        let table_index = checkpoint.size.0.checked_sub(1).ok_or(OpeningError)?;
        let entry = leaf_hash(&table_entry(LogIndex(table_index), depth, &table_root).0);
        verify_inclusion(table_index, checkpoint.size.0, &entry, &self.log, &checkpoint.root)
            .map_err(|_| OpeningError)?;
        let Some(place) = &self.entry else { return Ok(()) };
        let at = place.number.0.checked_sub(1).ok_or(OpeningError)?;
        let leaf = lane_leaf(place.index, &place.commitment);
        verify_inclusion(at, self.size, &leaf, &place.path, &self.root).map_err(|_| OpeningError)
    }
}

fn word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

fn argument(line: &str) -> &str {
    line.split_once(' ').map_or("", |(_, v)| v)
}
