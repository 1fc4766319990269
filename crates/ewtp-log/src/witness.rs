//! What a witness decides (C2SP `tlog-witness` v1.0.0, "add-checkpoint"): whether a head follows from the one that it
//! cosigned last. Storing the new head before the cosignature leaves is the caller's part.

use std::fmt::Write as _;

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::id::parse_decimal;
use crate::note::{KeyKind, NoteError, VerifierKey};
use crate::tree::verify_consistency;

/// Most hashes of a request.
pub const HASHES_MAX: usize = 63;

/// A request to cosign a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the head that the witness cosigned last, as the caller believes.
    pub old: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The checkpoint note, verbatim.
    pub checkpoint: String,
}

/// The head of a log that a witness cosigned last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHead {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Why a head is not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// The request is not in form.
    #[error("not an add-checkpoint request: {0}")]
    Malformed(&'static str),
    /// A log that this witness doesn't know.
    #[error("the log {0} is not one that this witness knows")]
    UnknownOrigin(String),
    /// No signature of a log key that counts, or one that fails.
    #[error("signature: {0}")]
    Signature(NoteError),
    /// The request starts from another head than the one cosigned last.
    #[error("the head cosigned last has size {0}; start from it")]
    Conflict(u64),
    /// Two signed roots of one size: misconduct of the log.
    #[error("two signed roots of size {0}")]
    Split(u64),
    /// The proof shows nothing.
    #[error("the head is not proven to follow from the one cosigned last")]
    Inconsistent,
}

impl WitnessRefusal {
    /// The HTTP status of the standard.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::UnknownOrigin(_) => 404,
            Self::Signature(_) => 403,
            Self::Conflict(_) => 409,
            Self::Split(_) | Self::Inconsistent => 422,
        }
    }

    /// The reason as machines read it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownOrigin(_) => "unknown-origin",
            Self::Signature(_) => "signature",
            Self::Conflict(_) => "conflict",
            Self::Split(_) => "split",
            Self::Inconsistent => "inconsistent",
        }
    }
}

impl AddCheckpoint {
    /// Parses a request's body.
    ///
    /// # Errors
    /// [`WitnessRefusal::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, WitnessRefusal> {
        use WitnessRefusal::Malformed;
        if body.len() > crate::note::NOTE_BYTES_MAX + HASHES_MAX * 45 + 64 {
            return Err(Malformed("it is too long"));
        }
        let text = std::str::from_utf8(body).map_err(|_| Malformed("it is not UTF-8"))?;
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(Malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|l| l.strip_prefix("old ")).and_then(parse_decimal);
        let old = old.ok_or(Malformed("the first line is: old <size>"))?;
        let hash = |l: &str| Hash::from_base64(l).ok_or(Malformed("a hash line"));
        let proof: Vec<Hash> = lines.map(hash).collect::<Result<_, _>>()?;
        if proof.len() > HASHES_MAX {
            return Err(Malformed("more than 63 hashes"));
        }
        Ok(Self { old, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Writes the body.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("old {}\n", self.old);
        for hash in &self.proof {
            // Writing into a String can't fail.
            let _ = writeln!(out, "{hash}");
        }
        out.push('\n');
        out.push_str(&self.checkpoint);
        out
    }

    /// The head asked for, before any signature is checked: it names the log whose keys decide.
    ///
    /// # Errors
    /// [`WitnessRefusal::Malformed`].
    pub fn head(&self) -> Result<Checkpoint, WitnessRefusal> {
        let parsed = Checkpoint::parse_note(self.checkpoint.as_bytes());
        parsed.map(|(head, _)| head).map_err(|_| WitnessRefusal::Malformed("the checkpoint"))
    }

    /// Decides. `log_keys` are those of the log that count now, `last` is the head cosigned last, if any.
    ///
    /// # Errors
    /// [`WitnessRefusal`], in the order that the standard's statuses need.
    pub fn decide(
        &self,
        log_keys: &[VerifierKey],
        last: Option<LastHead>,
    ) -> Result<Checkpoint, WitnessRefusal> {
        let (head, note) = Checkpoint::parse_note(self.checkpoint.as_bytes())
            .map_err(|_| WitnessRefusal::Malformed("the checkpoint"))?;
        let size = head.size.0;
        if self.old > size {
            return Err(WitnessRefusal::Malformed("old is larger than the checkpoint's size"));
        }
        if log_keys.is_empty() {
            return Err(WitnessRefusal::UnknownOrigin(head.origin));
        }
        let verified = note.verify(log_keys).map_err(WitnessRefusal::Signature)?;
        let by_log = |k: &VerifierKey| k.kind() == KeyKind::Log && k.name() == head.origin;
        if !verified.log_keys.iter().any(by_log) {
            return Err(WitnessRefusal::Signature(NoteError::Unsigned));
        }
        let last_size = last.map_or(0, |l| l.size);
        if self.old != last_size {
            return Err(WitnessRefusal::Conflict(last_size));
        }
        if let Some(last) = last.filter(|l| l.size == size && l.root != head.root) {
            return Err(WitnessRefusal::Split(last.size));
        }
        match last.filter(|l| l.size > 0) {
            None if !self.proof.is_empty() => Err(WitnessRefusal::Inconsistent),
            None => Ok(head),
            Some(last) => {
                verify_consistency(last.size, size, &last.root, &head.root, &self.proof)
                    .map_err(|_| WitnessRefusal::Inconsistent)?;
                Ok(head)
            }
        }
    }
}
