//! Retired log keys: what a head signed by one is worth (formats.md section 13). What a quorum cosigned cannot be unsaid, and a
//! stolen dead key convicts nobody.

use std::cmp::Ordering;

use ewtp_log::Checkpoint;
use ewtp_log::note::{Note, Verified, VerifierKey};

use crate::chain::Chain;
use crate::descriptor::{Descriptor, LogKey};

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

/// Why a retirement is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetirementRefused {
    /// The closing head isn't signed by the key that it closes.
    #[error("the closing head of {0} is not signed by that key")]
    Unsigned(String),
    /// Too few of the witnesses that the hub named vouch for it.
    #[error("the closing head of {key} is cosigned by {got} of the {needed} witnesses needed")]
    Quorum {
        /// Key.
        key: String,
        /// More than half of those named.
        needed: usize,
        /// Those that did.
        got: usize,
    },
    /// A head that only this key signed was verified, and the closing head denies it.
    #[error(
        "the closing head of {key} has size {closing} and denies a head of {seen} that was verified"
    )]
    Repudiates {
        /// Key.
        key: String,
        /// Size of the closing head.
        closing: u64,
        /// Size of the head verified.
        seen: u64,
    },
}

/// How many of the witnesses that a descriptor names are a quorum: more than half, since one alone may be in league with a thief.
#[must_use]
pub fn quorum_of(descriptor: &Descriptor) -> usize {
    descriptor.witnesses.len() / 2 + 1
}

/// Witnesses but for the hub's own that cosigned before `before_ms`.
fn vouching(descriptor: &Descriptor, signed_by: &Verified, before_ms: u64) -> usize {
    let counts = |(key, seconds): &&(VerifierKey, u64)| {
        Some(key) != descriptor.witness.as_ref()
            && descriptor.witnesses.contains(key)
            && seconds.saturating_mul(1000) < before_ms
    };
    signed_by.witnesses.iter().filter(counts).count()
}

/// Checks the retirement of a key against the descriptor before it and the heads that were verified meanwhile: what a quorum
/// cosigned, or this verifier saw, cannot be unsaid.
///
/// # Errors
/// [`RetirementRefused`].
pub fn check_retirement(
    before: &Descriptor,
    key: &LogKey,
    seen: &[(Checkpoint, Verified)],
) -> Result<(), RetirementRefused> {
    let Some(closing) = &key.closing else { return Ok(()) };
    let name = || key.vkey.to_text();
    let mut known = before.witnesses.clone();
    known.push(key.vkey.clone());
    let verified = Note::parse(closing.note.as_bytes()).and_then(|n| n.verify(&known));
    let verified = verified.map_err(|_| RetirementRefused::Unsigned(name()))?;
    if !verified.log_keys.contains(&key.vkey) {
        return Err(RetirementRefused::Unsigned(name()));
    }
    if !before.witnesses.is_empty() {
        let (needed, got) = (quorum_of(before), vouching(before, &verified, u64::MAX));
        if got < needed {
            return Err(RetirementRefused::Quorum { key: name(), needed, got });
        }
    }
    for (head, signed_by) in seen {
        let by_it_alone = signed_by.log_keys.iter().all(|k| *k == key.vkey);
        let denied = match head.size.cmp(&closing.head.size) {
            Ordering::Greater => true,
            Ordering::Equal => head.root != closing.head.root,
            Ordering::Less => false,
        };
        if by_it_alone && denied && head.origin == closing.head.origin {
            let (closing, seen) = (closing.head.size.0, head.size.0);
            return Err(RetirementRefused::Repudiates { key: name(), closing, seen });
        }
    }
    Ok(())
}

/// What the keys that signed a head are worth today, for who holds the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStanding {
    /// At least one of them is in use.
    InUse,
    /// All of them are retired, and the head is not behind the closing head: it was signed before, if the key wasn't stolen since.
    Retired {
        /// When the last of them was retired, Unix milliseconds.
        at_ms: u64,
        /// A quorum cosigned it before, or it is the closing head: no thief can have made it.
        vouched: bool,
    },
    /// All of them are retired, the head is behind the closing head, and nobody vouches for it.
    Misuse,
}

/// Looks the keys of a head's signatures up in a chain.
#[must_use]
pub fn standing(chain: &Chain, head: &Checkpoint, signed_by: &Verified) -> KeyStanding {
    let mut best = KeyStanding::Misuse;
    for key in signed_by.log_keys.iter().filter_map(|k| chain.log_key(k)) {
        let (Some(closing), Some(at_ms)) = (&key.closing, key.to_ms) else {
            return KeyStanding::InUse;
        };
        let cosigned = match quorum_vouches(chain, key, signed_by, at_ms) {
            true => Cosigned::Before,
            false => Cosigned::No,
        };
        // Nothing here can join a smaller head to the closing one.
        let joined = closing.head == *head;
        let vouched = verdict(head.size.cmp(&closing.head.size), joined, cosigned).counts();
        let before_the_end = head.size <= closing.head.size && best == KeyStanding::Misuse;
        if vouched || before_the_end {
            best = KeyStanding::Retired { at_ms, vouched };
        }
    }
    best
}

/// Whether enough of the witnesses that were named when the key was retired cosigned before.
fn quorum_vouches(chain: &Chain, key: &LogKey, signed_by: &Verified, at_ms: u64) -> bool {
    let closed = |d: &Descriptor| {
        d.generations
            .iter()
            .flat_map(|g| &g.keys)
            .any(|k| k.vkey == key.vkey && k.closing.is_some())
    };
    let before = chain.descriptors().iter().take_while(|d| !closed(d)).last();
    before.is_some_and(|d| !d.witnesses.is_empty() && vouching(d, signed_by, at_ms) >= quorum_of(d))
}
