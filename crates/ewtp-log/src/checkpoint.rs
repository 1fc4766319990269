//! Checkpoints (C2SP `tlog-checkpoint` v1.0.0): the text of a signed note that names a log, its size and its root.

use crate::hash::Hash;
use crate::id::{TreeSize, parse_decimal};
use crate::note::{Note, NoteError};

/// Why a checkpoint's text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not the three lines that a checkpoint begins with.
    #[error("not a checkpoint: {0}")]
    Syntax(&'static str),
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Tree size and root of a log; verified only if it came out of a verified note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// First line. Origins of hubs are stricter, see [`crate::Origin`].
    pub origin: String,
    /// Count of entries.
    pub size: TreeSize,
    /// Root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// Parses a note's text. Extension lines are allowed, kept in the note, never interpreted.
    ///
    /// # Errors
    /// [`CheckpointError::Syntax`].
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        use CheckpointError::Syntax;
        let body = text.strip_suffix('\n').ok_or(Syntax("no final newline"))?;
        let mut lines = body.split('\n');
        let origin = lines.next().filter(|l| !l.is_empty()).ok_or(Syntax("empty origin"))?;
        let size = lines.next().and_then(parse_decimal).ok_or(Syntax("size"))?;
        let root = lines.next().and_then(Hash::from_base64).ok_or(Syntax("root"))?;
        if lines.any(str::is_empty) {
            return Err(Syntax("empty extension line"));
        }
        if size == 0 && root != Hash::EMPTY_ROOT {
            return Err(Syntax("size 0 with the root of a filled tree"));
        }
        Ok(Self { origin: origin.to_owned(), size: TreeSize(size), root })
    }

    /// Parses a whole note and the checkpoint in it, without verifying signatures.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse_note(bytes: &[u8]) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        Ok((Self::parse_text(&note.text)?, note))
    }

    /// The text to sign. A hub writes no extension lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}
