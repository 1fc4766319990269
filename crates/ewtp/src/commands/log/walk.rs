//! The check of a log from its files: bundles are fetched, hashed and compared with their tiles in parallel, and put together in
//! order to the root that the checkpoint names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ewtp_log::tile::{self, TILE_WIDTH, TileKind, TilePath, TileTree, bundle_leaves};
use ewtp_log::tree::{Frontier, compact_range};
use ewtp_log::{Checkpoint, Hash};

use super::source::Source;
use crate::error::CliError;

/// Bundles that wait to be put in order, for each that is fetched at once.
const AHEAD: usize = 16;

fn wrong(path: TilePath, problem: &str) -> CliError {
    CliError::Log(format!("{path} {problem}: the log is not what its files say"))
}

/// Grows `tree` to the head's size from the files, and compares the unfinished tiles and the root.
pub(crate) fn grow(
    source: &Source,
    tree: &mut TileTree,
    head: &Checkpoint,
    parallel: usize,
    each: impl FnMut(u64),
) -> Result<(), CliError> {
    let size = head.size.0;
    grow_to(source, tree, size, head, parallel, each)?;
    for expected in tree.partial() {
        compare(source, expected)?;
    }
    if tree.size() == size && tree.root() == head.root {
        Ok(())
    } else {
        Err(CliError::Log(format!(
            "the entries do not lead to the root of the signed head of {size}"
        )))
    }
}

/// Grows `tree` to at least `goal` entries, comparing each finished hash tile with what the entries make of it. `each` hears
/// how many entries are done.
pub(crate) fn grow_to(
    source: &Source,
    tree: &mut TileTree,
    goal: u64,
    head: &Checkpoint,
    parallel: usize,
    mut each: impl FnMut(u64),
) -> Result<(), CliError> {
    let last = goal.div_ceil(TILE_WIDTH);
    let mut next = tree.size() / TILE_WIDTH;
    while next < last {
        let count = (last - next).min((parallel.max(1) * AHEAD) as u64);
        for (index, bundle) in (next..).zip(bundles(source, next, count, head.size.0, parallel)?) {
            let held = tree.size().saturating_sub(index * TILE_WIDTH) as usize;
            let finished = match bundle.root {
                Some(root) if held == 0 => tree.push_tile(root),
                _ => tree.push(bundle.leaves.get(held..).unwrap_or_default()),
            };
            for expected in finished.into_iter().filter(|t| t.path.kind != TileKind::Hashes(0)) {
                compare(source, expected)?;
            }
            each(tree.size());
        }
        next += count;
    }
    Ok(())
}

fn compare(source: &Source, expected: tile::ExpectedTile) -> Result<(), CliError> {
    let held = source.tile(expected.path)?;
    if held == expected.bytes { Ok(()) } else { Err(wrong(expected.path, "differs")) }
}

/// Leaves of a bundle, and their root where it is a full one.
struct Leaves {
    leaves: Vec<Hash>,
    root: Option<Hash>,
}

/// Fetches and hashes bundles, each compared with its level-0 tile; in order.
fn bundles(
    source: &Source,
    first: u64,
    count: u64,
    size: u64,
    parallel: usize,
) -> Result<Vec<Leaves>, CliError> {
    let next = AtomicU64::new(0);
    let done: Mutex<Vec<(u64, Result<Leaves, CliError>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..parallel.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let one = bundle(source, first + at, size);
                    let failed = one.is_err();
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, one));
                    if failed {
                        next.store(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, one)| one).collect()
}

fn bundle(source: &Source, index: u64, size: u64) -> Result<Leaves, CliError> {
    let width = tile::width_at(TileKind::Entries, index, size);
    let path = TilePath { kind: TileKind::Entries, index, width };
    let bytes = source.tile(path)?;
    let leaves = bundle_leaves(&bytes, width)
        .ok_or_else(|| wrong(path, &format!("does not hold {width} entries")))?;
    let hashes = TilePath { kind: TileKind::Hashes(0), index, width };
    let tile: Vec<u8> = leaves.iter().flat_map(|h| h.0).collect();
    compare(source, tile::ExpectedTile { path: hashes, bytes: tile })?;
    let root = path.is_full().then(|| leaves.iter().copied().collect::<Frontier>().root());
    Ok(Leaves { leaves, root })
}

/// The right edge of a log of `size` entries from its tiles, checked against the head's root: what growing it further needs.
pub(crate) fn edge(source: &Source, head: &Checkpoint) -> Result<TileTree, CliError> {
    let size = head.size.0;
    let mut levels = Vec::new();
    for level in 0..=tile::top_level(size) {
        let hashes = size >> (8 * u32::from(level));
        let (full, width) = (hashes / TILE_WIDTH, (hashes % TILE_WIDTH) as u16);
        let path = TilePath { kind: TileKind::Hashes(level), index: full, width };
        let bytes = if width == 0 { Vec::new() } else { source.tile(path)? };
        let hashes: Vec<Hash> = bytes.chunks_exact(32).filter_map(Hash::from_slice).collect();
        if bytes.len() != usize::from(width) * 32 {
            return Err(wrong(path, "has another length"));
        }
        levels.push((full, hashes));
    }
    let tree = TileTree::resume(levels).filter(|t| t.size() == size && t.root() == head.root);
    tree.ok_or_else(|| {
        CliError::Log(format!("the tiles do not lead to the root of the head of {size}"))
    })
}

/// Root of the first `size` entries, from the tiles of a log of `of` entries.
pub(crate) fn root_at(source: &Source, size: u64, of: u64) -> Result<Hash, CliError> {
    let mut nodes = Vec::new();
    for (lo, hi) in compact_range(0, size) {
        let (level, index, first, count) = tile::place(lo, hi - lo);
        let kind = TileKind::Hashes(level);
        let path = TilePath { kind, index, width: tile::width_at(kind, index, of) };
        let bytes = source.tile(path)?;
        let root = tile::root_of(&bytes, first, count);
        nodes.push(root.ok_or_else(|| wrong(path, "is too short"))?);
    }
    Ok(ewtp_log::tree::join(&nodes))
}
