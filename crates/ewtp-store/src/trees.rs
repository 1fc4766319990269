//! Merkle trees in the state, as tiles of 256 hashes: level 0 holds leaf hashes, level n + 1 the roots of full tiles.

use ewtp_log::Hash;
use ewtp_log::tile::{TILE_WIDTH, root_of};

use crate::keys::{Key, Kind};

pub(crate) fn tile_key(tree: &str, level: u8, tile: u64) -> Vec<u8> {
    Key::new(Kind::Tile).text(tree).byte(level).number(tile).finish()
}

/// Reads and writes of one batch, later writes seen by earlier reads.
pub(crate) trait Cells {
    type Error;
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;
    fn write(&mut self, key: Vec<u8>, value: Vec<u8>);
    fn erase(&mut self, key: Vec<u8>);
}

/// Appends leaf hashes to a tree of `size` leaves.
pub(crate) fn append<C: Cells>(
    cells: &mut C,
    tree: &str,
    size: u64,
    leaves: &[Hash],
) -> Result<(), C::Error> {
    append_level(cells, tree, 0, size, leaves)
}

fn append_level<C: Cells>(
    cells: &mut C,
    tree: &str,
    level: u8,
    count: u64,
    hashes: &[Hash],
) -> Result<(), C::Error> {
    let (mut count, mut rest, mut full) = (count, hashes, Vec::new());
    while !rest.is_empty() {
        let (tile, within) = (count / TILE_WIDTH, count % TILE_WIDTH);
        let key = tile_key(tree, level, tile);
        let mut bytes = match within {
            0 => Vec::new(),
            _ => cells.read(&key)?.unwrap_or_default(),
        };
        // A replayed frame finds its own hashes there: cut to where this append begins.
        bytes.truncate(within as usize * 32);
        let (now, later) = rest.split_at(rest.len().min((TILE_WIDTH - within) as usize));
        now.iter().for_each(|h| bytes.extend_from_slice(&h.0));
        count += now.len() as u64;
        rest = later;
        if count.is_multiple_of(TILE_WIDTH) {
            // Written whole a line ago.
            full.extend(root_of(&bytes, 0, TILE_WIDTH));
        }
        cells.write(key, bytes);
    }
    if full.is_empty() {
        return Ok(());
    }
    let above = count / TILE_WIDTH - full.len() as u64;
    append_level(cells, tree, level + 1, above, &full)
}
