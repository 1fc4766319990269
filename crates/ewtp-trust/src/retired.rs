//! Retired log keys: what a head signed by one is worth (formats.md section 13). What a quorum cosigned cannot be unsaid, and a
//! stolen dead key convicts nobody.

use std::cmp::Ordering;

/// When a quorum cosigned a head, against the retirement of the key that signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cosigned {
    /// No quorum did.
    No,
    /// Before.
    Before,
    /// Afterwards: proves nothing of when it was signed.
    After,
}

/// What a head by a retired key is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetiredVerdict {
    /// It counts.
    Counts,
    /// It counts, and shows misconduct of the log.
    Misconduct,
    /// It counts, and the retirement at a smaller head is refused.
    RefuseRetirement,
    /// Both of these.
    MisconductAndRefuse,
    /// It does not count: whoever has the key now signed it. An alarm, no evidence.
    KeyMisuse,
}

impl RetiredVerdict {
    /// Whether the head is held against the log.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::KeyMisuse)
    }
}

/// The verdict on a head: its size against the closing head's, whether a proof joins the two, and the cosignatures.
#[must_use]
pub fn verdict(size: Ordering, joined: bool, cosigned: Cosigned) -> RetiredVerdict {
    match (size, joined, cosigned) {
        (Ordering::Less | Ordering::Equal, true, _) => RetiredVerdict::Counts,
        (Ordering::Less | Ordering::Equal, false, Cosigned::Before) => RetiredVerdict::Misconduct,
        (Ordering::Greater, true, Cosigned::Before) => RetiredVerdict::RefuseRetirement,
        (Ordering::Greater, false, Cosigned::Before) => RetiredVerdict::MisconductAndRefuse,
        (_, _, Cosigned::No | Cosigned::After) => RetiredVerdict::KeyMisuse,
    }
}
