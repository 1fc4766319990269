//! Merkle trees of RFC 6962: frontiers, compact ranges, and the verification of inclusion and consistency.
//!
//! A verifier never needs the whole tree: it keeps a *frontier* (the perfect subtrees that tile `[0, size)`, at most 63
//! hashes) and grows it by leaves or by the hashes of a *compact range*
//! (transparency-dev/merkle, `docs/compact_ranges.md`). Sizes, hash counts and widths are checked before any hashing.

use crate::hash::{Hash, node_hash};

/// Why a proof or a range was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size, or the sizes are out of order.
    #[error("position {index} is outside a tree of {size}")]
    OutOfRange {
        /// Index, or the older size.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The proof has another number of hashes than its position demands.
    #[error("the proof has {got} hashes where {expected} are needed")]
    Length {
        /// Hashes needed.
        expected: usize,
        /// Hashes given.
        got: usize,
    },
    /// The hashes do not lead to the root.
    #[error("the proof leads to another root")]
    Root,
}

/// Verifies that `leaf` is at `index` in the tree of `size` leaves with `root` (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`ProofError`]: position outside the tree, wrong number of hashes, another root.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let inner = bit_length(index ^ (size - 1));
    let expected = (inner + shr(index, inner).count_ones()) as usize;
    if proof.len() != expected {
        return Err(ProofError::Length { expected, got: proof.len() });
    }
    let mut hash = *leaf;
    for (k, sibling) in proof.iter().enumerate() {
        let right_child = k >= inner as usize || (index >> k) & 1 == 1;
        hash = if right_child { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the tree of `old` leaves is a prefix of the tree of `new` leaves (RFC 9162 section 2.1.4.2).
///
/// # Errors
/// [`ProofError`]. From size 0 nothing can be proven, so it is refused here.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new || old == 0 {
        return Err(ProofError::OutOfRange { index: old, size: new });
    }
    if old == new {
        return match (proof.len(), old_root == new_root) {
            (0, true) => Ok(()),
            (0, false) => Err(ProofError::Root),
            (got, _) => Err(ProofError::Length { expected: 0, got }),
        };
    }
    let shift = old.trailing_zeros();
    let fork = bit_length((old - 1) ^ (new - 1));
    let inner = (fork - shift) as usize;
    let border = shr(old - 1, fork).count_ones() as usize;
    let mask = (old - 1) >> shift;
    let whole = old.is_power_of_two();
    let expected = inner + border + usize::from(!whole);
    if proof.len() != expected {
        return Err(ProofError::Length { expected, got: proof.len() });
    }
    let (seed, rest) = match proof.split_first() {
        Some((first, rest)) if !whole => (*first, rest),
        _ => (*old_root, proof),
    };
    let (mut a, mut b) = (seed, seed);
    for (k, p) in rest.iter().enumerate() {
        if k >= inner || (mask >> k) & 1 == 1 {
            a = node_hash(p, &a);
            b = node_hash(p, &b);
        } else {
            b = node_hash(&b, p);
        }
    }
    if a == *old_root && b == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

fn bit_length(n: u64) -> u32 {
    u64::BITS - n.leading_zeros()
}

fn shr(n: u64, by: u32) -> u64 {
    n.checked_shr(by).unwrap_or(0)
}

/// The perfect aligned subtrees `[lo, hi)` that tile a range, left to right.
#[must_use]
pub fn compact_range(lo: u64, hi: u64) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    let mut at = lo;
    while at < hi {
        let fit = 1u64 << (hi - at).ilog2();
        let width = if at == 0 { fit } else { fit.min(1 << at.trailing_zeros()) };
        out.push((at, at + width));
        at += width;
    }
    out
}

/// The compact range of `[0, size)`: everything a verifier keeps of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// Perfect subtrees, widest first.
    nodes: Vec<(u64, Hash)>,
}

impl Frontier {
    /// Takes a frontier from storage; widths must be falling powers of two.
    #[must_use]
    pub fn from_nodes(nodes: Vec<(u64, Hash)>) -> Option<Self> {
        let powers = nodes.iter().all(|(w, _)| w.is_power_of_two());
        let falling = nodes.windows(2).all(|p| matches!(p, [(a, _), (b, _)] if a > b));
        (powers && falling).then_some(Self { nodes })
    }

    /// Perfect subtrees as (width, hash), widest first.
    #[must_use]
    pub fn nodes(&self) -> &[(u64, Hash)] {
        &self.nodes
    }

    /// Count of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.nodes.iter().map(|(w, _)| w).sum()
    }

    /// Appends one leaf.
    pub fn push_leaf(&mut self, leaf: Hash) {
        self.push(1, leaf);
    }

    /// Appends a perfect subtree, merging siblings. `width` must fit at this place.
    fn push(&mut self, width: u64, hash: Hash) {
        let (mut width, mut hash) = (width, hash);
        while let Some((w, left)) = self.nodes.last() {
            if *w != width {
                break;
            }
            hash = node_hash(left, &hash);
            width *= 2;
            self.nodes.pop();
        }
        self.nodes.push((width, hash));
    }

    /// Grows from the present size to `hi` by the hashes of `compact_range(size, hi)`.
    ///
    /// # Errors
    /// [`ProofError::Length`] if their number is another; the frontier is then unchanged.
    pub fn extend(&mut self, hi: u64, hashes: &[Hash]) -> Result<(), ProofError> {
        let range = compact_range(self.size(), hi);
        if range.len() != hashes.len() {
            return Err(ProofError::Length { expected: range.len(), got: hashes.len() });
        }
        for ((a, b), hash) in range.into_iter().zip(hashes) {
            self.push(b - a, *hash);
        }
        Ok(())
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev().map(|(_, h)| h);
        match nodes.next() {
            None => Hash::EMPTY_ROOT,
            Some(last) => nodes.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// The frontier of these leaves.
impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut frontier = Self::default();
        leaves.into_iter().for_each(|leaf| frontier.push_leaf(leaf));
        frontier
    }
}

/// Where the hashes of perfect subtrees come from when proofs are made.
pub trait Subtrees {
    /// Why a hash could not be read.
    type Error;

    /// Hash of the perfect aligned subtree over leaves `[lo, lo + width)`; `width` is a power of two.
    ///
    /// # Errors
    /// Whatever the source's reading can fail with.
    fn subtree(&self, lo: u64, width: u64) -> Result<Hash, Self::Error>;
}

/// A tree's leaf hashes in memory: small trees (slot tables) and tests.
impl Subtrees for [Hash] {
    type Error = std::convert::Infallible;

    fn subtree(&self, lo: u64, width: u64) -> Result<Hash, Self::Error> {
        let leaves = self.iter().skip(lo as usize).take(width as usize);
        Ok(leaves.copied().collect::<Frontier>().root())
    }
}

/// Which perfect subtrees make each sibling of an inclusion path, the leaf's sibling first.
#[must_use]
pub fn inclusion_plan(index: u64, size: u64) -> Vec<Vec<(u64, u64)>> {
    let mut siblings = Vec::new();
    let (mut lo, mut hi) = (0, size);
    while index < size && hi - lo > 1 {
        let split = lo + (1 << (hi - lo - 1).ilog2());
        if index < split {
            siblings.push(compact_range(split, hi));
            hi = split;
        } else {
            siblings.push(compact_range(lo, split));
            lo = split;
        }
    }
    siblings.reverse();
    siblings
}

/// Which perfect subtrees make each hash of a consistency proof from `old` to `new` leaves, in the proof's order (RFC 9162
/// section 2.1.4.1). Empty where there is nothing to prove: `old` is 0, `new`, or beyond it.
#[must_use]
pub fn consistency_plan(old: u64, new: u64) -> Vec<Vec<(u64, u64)>> {
    let mut parts = Vec::new();
    if old == 0 || old >= new {
        return parts;
    }
    let (mut lo, mut hi, mut whole) = (0, new, true);
    while hi > old {
        let split = lo + (1 << (hi - lo - 1).ilog2());
        if old <= split {
            parts.push(compact_range(split, hi));
            hi = split;
        } else {
            parts.push(compact_range(lo, split));
            lo = split;
            whole = false;
        }
    }
    if !whole {
        parts.push(compact_range(lo, hi));
    }
    parts.reverse();
    parts
}

/// Root over neighbouring perfect subtrees, left to right, as a tree of RFC 6962 joins them.
#[must_use]
pub fn join(nodes: &[Hash]) -> Hash {
    match nodes.split_last() {
        None => Hash::EMPTY_ROOT,
        Some((last, left)) => left.iter().rev().fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// Inclusion path of `index` in the first `size` leaves, the leaf's sibling first.
///
/// # Errors
/// What the source's reading fails with. `index` must be below `size`, else the path is empty.
pub fn inclusion_path<S: Subtrees + ?Sized>(
    tree: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Error> {
    let sibling = |ranges: Vec<(u64, u64)>| {
        let nodes = ranges
            .into_iter()
            .map(|(a, b)| tree.subtree(a, b - a))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(join(&nodes))
    };
    inclusion_plan(index, size).into_iter().map(sibling).collect()
}

/// Hashes of `compact_range(lo, hi)`.
///
/// # Errors
/// What the source's reading fails with.
pub fn range_hashes<S: Subtrees + ?Sized>(
    tree: &S,
    lo: u64,
    hi: u64,
) -> Result<Vec<Hash>, S::Error> {
    compact_range(lo, hi).into_iter().map(|(a, b)| tree.subtree(a, b - a)).collect()
}
