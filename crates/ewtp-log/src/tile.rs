//! Tiles (C2SP `tlog-tiles` v0.1.0): a log as static files of 256 hashes, and the check of a whole log from them.
//!
//! ```text
//! entries ─▶ leaf hashes = tile/0 ─▶ roots of full tiles = tile/1 ─▶ … ─▶ root of the checkpoint
//! ```

use std::fmt;
use std::str::FromStr;

use crate::hash::{Hash, leaf_hash};
use crate::id::DECIMAL_MAX;
use crate::tree::{Frontier, join};

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Highest level that a path may name.
const LEVEL_MAX: u8 = 63;

/// What a resource under `tile/` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Entries, each behind its length.
    Entries,
    /// Hashes of this level.
    Hashes(u8),
}

/// Path of a tile or of an entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    /// Level, or entries.
    pub kind: TileKind,
    /// Place in its level, from 0.
    pub index: u64,
    /// Hashes or entries in it, 1 to 256; fewer than 256 is a partial tile.
    pub width: u16,
}

impl TilePath {
    /// Whether it never changes, whatever the log's size.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width as u64 == TILE_WIDTH
    }

    /// The same place as a full tile: partial ones may vanish where the full one exists.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: TILE_WIDTH as u16, ..self }
    }
}

/// Hashes or entries that a tile has in a log of `size` entries; 0 where it is beyond it.
#[must_use]
pub fn width_at(kind: TileKind, index: u64, size: u64) -> u16 {
    let level = match kind {
        TileKind::Entries => 0,
        TileKind::Hashes(level) => u32::from(level),
    };
    let hashes = size.checked_shr(8 * level).unwrap_or(0);
    let width = hashes.saturating_sub(index.saturating_mul(TILE_WIDTH)).min(TILE_WIDTH);
    u16::try_from(width).unwrap_or(0)
}

/// Level of the topmost tile of a log of `size` entries.
#[must_use]
pub fn top_level(size: u64) -> u8 {
    (0..=LEVEL_MAX)
        .rev()
        .find(|l| size.checked_shr(8 * u32::from(*l)).unwrap_or(0) > 0)
        .unwrap_or(0)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (left, group) in groups.iter().enumerate().rev() {
            if left > 0 { write!(f, "x{group:03}/")? } else { write!(f, "{group:03}")? }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// The path is none of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path: tile/<level 0-63 or entries>/<x000/>000[.p/<1-255>]")]
pub struct TilePathError;

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let rest = path.strip_prefix("tile/").ok_or(TilePathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => {
                let level = small(level).and_then(|l| u8::try_from(l).ok());
                TileKind::Hashes(level.filter(|l| *l <= LEVEL_MAX).ok_or(TilePathError)?)
            }
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, TILE_WIDTH as u16),
            Some((index, width)) => {
                let width = small(width).filter(|w| (1..TILE_WIDTH as u16).contains(w));
                (index, width.ok_or(TilePathError)?)
            }
        };
        let index = parse_index(index).ok_or(TilePathError)?;
        Ok(Self { kind, index, width })
    }
}

/// A decimal of at most three digits without leading zeros.
fn small(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    (digits && (text.len() == 1 || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// Three-digit groups, all but the last behind an `x`; the first group is not zero unless it is the only one.
fn parse_index(text: &str) -> Option<u64> {
    let groups: Vec<&str> = text.split('/').collect();
    let (last, higher) = groups.split_last()?;
    let mut index: u64 = 0;
    for (at, group) in higher.iter().chain([last]).enumerate() {
        let digits = if at < higher.len() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if at == 0 && !higher.is_empty() && digits == "000" {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    (index <= DECIMAL_MAX).then_some(index)
}

/// Where the hash of a perfect subtree over leaves `[lo, lo + width)` is found: level, tile, first hash in it, and how many
/// hashes make the subtree.
#[must_use]
pub fn place(lo: u64, width: u64) -> (u8, u64, u64, u64) {
    let level = (width.ilog2() / 8) as u8;
    let unit = TILE_WIDTH.pow(u32::from(level));
    let (first, count) = (lo / unit, width / unit);
    (level, first / TILE_WIDTH, first % TILE_WIDTH, count)
}

/// Root over `count` hashes of a tile's bytes from `first` on; `None` if the tile is shorter.
#[must_use]
pub fn root_of(tile: &[u8], first: u64, count: u64) -> Option<Hash> {
    let start = usize::try_from(first).ok()?.checked_mul(32)?;
    let len = usize::try_from(count).ok()?.checked_mul(32)?;
    let bytes = tile.get(start..start.checked_add(len)?)?;
    Some(bytes.chunks_exact(32).filter_map(Hash::from_slice).collect::<Frontier>().root())
}

/// Writes an entry bundle: each entry behind its length, u16 big-endian. Entries of a hub have 32 bytes.
#[must_use]
pub fn bundle(entries: &[Hash]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 34);
    for entry in entries {
        out.extend_from_slice(&32u16.to_be_bytes());
        out.extend_from_slice(&entry.0);
    }
    out
}

/// Entries of a bundle; `None` if it isn't a whole number of entries. Entries of any length are read: other logs have them.
#[must_use]
pub fn open_bundle(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (len, tail) = rest.split_first_chunk::<2>()?;
        let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        out.push(entry);
        rest = tail;
    }
    Some(out)
}

/// Leaf hashes of a bundle of exactly `width` entries.
#[must_use]
pub fn bundle_leaves(bytes: &[u8], width: u16) -> Option<Vec<Hash>> {
    let entries = open_bundle(bytes).filter(|e| e.len() == usize::from(width))?;
    Some(entries.into_iter().map(leaf_hash).collect())
}

/// A tree that is grown tile by tile, from leaf hashes alone: what a whole log's check keeps, at most 256 hashes a level.
///
/// It says which hash tiles must exist, with the bytes they must have, as soon as it knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TileTree {
    /// Hashes of the unfinished tile of each level, and how many tiles are finished there.
    levels: Vec<(u64, Vec<Hash>)>,
}

/// A hash tile as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTile {
    /// Which.
    pub path: TilePath,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl TileTree {
    /// Takes up where a check stopped: per level the finished tiles and the hashes of the unfinished one. `None` if no tree
    /// has these levels.
    #[must_use]
    pub fn resume(levels: Vec<(u64, Vec<Hash>)>) -> Option<Self> {
        let fits = |pair: &[(u64, Vec<Hash>)]| match pair {
            [(below, _), (full, hashes)] => *below == full * TILE_WIDTH + hashes.len() as u64,
            _ => true,
        };
        let narrow = levels.iter().all(|(_, h)| (h.len() as u64) < TILE_WIDTH);
        let top = levels.last().is_none_or(|(full, _)| *full == 0);
        (narrow && top && levels.windows(2).all(fits)).then_some(Self { levels })
    }

    /// What [`TileTree::resume`] takes.
    #[must_use]
    pub fn levels(&self) -> &[(u64, Vec<Hash>)] {
        &self.levels
    }

    /// Entries so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |(full, hashes)| full * TILE_WIDTH + hashes.len() as u64)
    }

    /// Appends the leaves of one bundle, at most what completes the unfinished tile; gives the tiles that this finishes.
    pub fn push(&mut self, leaves: &[Hash]) -> Vec<ExpectedTile> {
        let mut finished = Vec::new();
        for leaf in leaves {
            self.push_at(0, *leaf, &mut finished);
        }
        finished
    }

    /// Appends a full tile of leaves by its root, hashed elsewhere; the tree must stand at a tile's end, else nothing happens
    /// and the size tells. Gives the tiles of higher levels that this finishes.
    pub fn push_tile(&mut self, root: Hash) -> Vec<ExpectedTile> {
        let mut finished = Vec::new();
        if self.levels.is_empty() {
            self.levels.push((0, Vec::new()));
        }
        if let Some((full, _)) = self.levels.first_mut().filter(|(_, h)| h.is_empty()) {
            *full += 1;
            self.push_at(1, root, &mut finished);
        }
        finished
    }

    fn push_at(&mut self, level: u8, hash: Hash, finished: &mut Vec<ExpectedTile>) {
        let at = usize::from(level);
        if self.levels.len() <= at {
            self.levels.push((0, Vec::new()));
        }
        let Some((full, hashes)) = self.levels.get_mut(at) else { return };
        hashes.push(hash);
        if (hashes.len() as u64) < TILE_WIDTH {
            return;
        }
        let bytes = hashes.concat_bytes();
        let path =
            TilePath { kind: TileKind::Hashes(level), index: *full, width: TILE_WIDTH as u16 };
        let root = hashes.iter().copied().collect::<Frontier>().root();
        *full += 1;
        hashes.clear();
        finished.push(ExpectedTile { path, bytes });
        self.push_at(level + 1, root, finished);
    }

    /// The unfinished tiles of the tree as it is.
    #[must_use]
    pub fn partial(&self) -> Vec<ExpectedTile> {
        let tile = |(level, (full, hashes)): (u8, &(u64, Vec<Hash>))| ExpectedTile {
            path: TilePath {
                kind: TileKind::Hashes(level),
                index: *full,
                width: hashes.len() as u16,
            },
            bytes: hashes.concat_bytes(),
        };
        let filled = |(_, (_, hashes)): &(u8, &(u64, Vec<Hash>))| !hashes.is_empty();
        (0..).zip(&self.levels).filter(filled).map(tile).collect()
    }

    /// Root of the tree as it is.
    #[must_use]
    pub fn root(&self) -> Hash {
        // Left to right: the widest subtrees are those of the highest level.
        let mut nodes = Vec::new();
        for (_, hashes) in self.levels.iter().rev() {
            let frontier: Frontier = hashes.iter().copied().collect();
            nodes.extend(frontier.nodes().iter().map(|(_, h)| *h));
        }
        join(&nodes)
    }
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<Hash> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|h| h.0).collect()
    }
}
