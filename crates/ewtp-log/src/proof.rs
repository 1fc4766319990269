//! `tlog-proof` files (C2SP): an index, an inclusion path and the checkpoint that it leads to, as one text.

use std::fmt::Write as _;

use crate::base64;
use crate::hash::Hash;
use crate::id::parse_decimal;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A parsed proof; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Bytes outside the proof, not authenticated. A hub writes none.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry.
    pub index: u64,
    /// Inclusion path, the leaf's sibling first.
    pub path: Vec<Hash>,
    /// The checkpoint note, verbatim.
    pub checkpoint: String,
}

/// Why a proof file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a tlog-proof: {0}")]
pub struct TlogProofError(&'static str);

impl TlogProof {
    /// Parses the container.
    ///
    /// # Errors
    /// [`TlogProofError`] naming the line.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let fail = TlogProofError;
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(fail("no blank line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(fail("first line"));
        }
        let extra = match lines.next_if(|l| l.starts_with("extra ")) {
            Some(l) => {
                Some(l.strip_prefix("extra ").and_then(base64::decode).ok_or(fail("extra line"))?)
            }
            None => None,
        };
        let index = lines.next().and_then(|l| l.strip_prefix("index ")).and_then(parse_decimal);
        let index = index.ok_or(fail("index line"))?;
        let path = lines
            .map(|l| Hash::from_base64(l).ok_or(fail("hash line")))
            .collect::<Result<Vec<_>, _>>()?;
        if path.len() > 63 {
            return Err(fail("more than 63 hashes"));
        }
        if checkpoint.is_empty() || !checkpoint.ends_with('\n') {
            return Err(fail("checkpoint"));
        }
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Writes the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{FIRST_LINE}\n");
        if let Some(extra) = &self.extra {
            out.push_str("extra ");
            out.push_str(&base64::encode(extra));
            out.push('\n');
        }
        // Writing into a String can't fail.
        let _ = writeln!(out, "index {}", self.index);
        for hash in &self.path {
            let _ = writeln!(out, "{hash}");
        }
        out.push('\n');
        out.push_str(&self.checkpoint);
        out
    }
}
