//! A Bloom filter: says of most keys that a run doesn't hold that it doesn't, so that nobody looks.

use std::sync::Arc;

/// Bits a key; with eight probes about three keys in a thousand are looked for in vain.
const BITS: usize = 12;
const PROBES: u64 = 8;

/// Which keys a run may hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Arc<Vec<u8>>);

impl Filter {
    /// An empty filter with room for so many keys.
    pub(crate) fn for_keys(keys: usize) -> Self {
        Self(Arc::new(vec![0; (keys * BITS).div_ceil(8).max(8)]))
    }

    pub(crate) fn from_rows(rows: impl Iterator<Item = Vec<u8>>) -> Self {
        Self(Arc::new(rows.flatten().collect()))
    }

    /// Its bytes in rows of at most so many.
    pub(crate) fn rows(&self, bytes: usize) -> impl Iterator<Item = &[u8]> {
        self.0.chunks(bytes)
    }

    pub(crate) fn add(&mut self, key: &[u8]) {
        let bits = self.0.len() as u64 * 8;
        let bytes = Arc::make_mut(&mut self.0);
        for bit in hash(key).probes(bits) {
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    /// False only where the key was never added. A filter that was lost says *perhaps* of everything.
    pub(crate) fn may_hold(&self, key: KeyHash) -> bool {
        let bits = self.0.len() as u64 * 8;
        key.probes(bits).all(|bit| {
            self.0.get((bit / 8) as usize).is_none_or(|byte| byte & (1 << (bit % 8)) != 0)
        })
    }
}

/// A key's hash: taken once, asked of many filters.
#[derive(Clone, Copy)]
pub(crate) struct KeyHash(u64);

/// FNV-1a, then the finaliser of SplitMix64. Stored with the runs, so this never changes.
pub(crate) fn hash(key: &[u8]) -> KeyHash {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    KeyHash(hash ^ (hash >> 31))
}

impl KeyHash {
    /// Bits of a key: two hashes, combined (Kirsch and Mitzenmacher).
    fn probes(self, bits: u64) -> impl Iterator<Item = u64> {
        let step = self.0.rotate_left(32) | 1;
        (0..PROBES).map(move |n| {
            let mixed = self.0.wrapping_add(step.wrapping_mul(n));
            // Scaled instead of a remainder: no division.
            ((u128::from(mixed) * u128::from(bits)) >> 64) as u64
        })
    }
}
