//! Receipts: one file that proves one statement (formats.md section 14).
//!
//! ```text
//! # statement  # part …  # attachment …  # log  # lane  # descriptors  # end
//! ```
//!
//! Verified offline from the file, the issuer's keys and the digests of the issuer's descriptors. Any subset of the parts
//! verifies; no flipped bit does.

use std::fmt::Write as _;

use crate::base64::{armour, unarmour};
use crate::checkpoint::Checkpoint;
use crate::hash::{Hash, leaf_hash};
use crate::id::{HubId, LaneNumber, LogIndex, TreeSize, parse_decimal};
use crate::note::{KeyKind, NoteError, Verified, VerifierKey};
use crate::opening::{LaneEntry, LanePath};
use crate::proof::TlogProof;
use crate::sections::{self, Sections};
use crate::statement::{Header, attachment_digest, commitment, part_digest};
use crate::tree::verify_inclusion;

/// Which descriptor the signatures were made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorRef {
    /// The issuer.
    pub hub: String,
    /// Version of its descriptor.
    pub version: u64,
    /// SHA-256 of the payload.
    pub digest: Hash,
}

/// A receipt, parsed or to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Header bytes, verbatim.
    pub header: String,
    /// Name and blob of the parts that its holder may show.
    pub parts: Vec<(String, Vec<u8>)>,
    /// Digest, and salt with bytes, of attachments.
    pub attachments: Vec<(Hash, Vec<u8>)>,
    /// Inclusion in the log.
    pub log: TlogProof,
    /// Inclusion in a lane.
    pub lane: Option<LanePath>,
    /// The issuer's descriptors.
    pub descriptors: Vec<DescriptorRef>,
}

/// Why a receipt was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptRefusal {
    /// Sections or their bodies are not in form.
    #[error("format: {0}")]
    Format(&'static str),
    /// A part doesn't match the header.
    #[error("part: {0} does not match the header")]
    Part(String),
    /// An attachment doesn't match its digest.
    #[error("attachment: the bytes do not match the digest {0}")]
    Attachment(String),
    /// The checkpoint is of another log than the header.
    #[error("origin: the statement is of {statement}, the checkpoint of {checkpoint}")]
    Origin {
        /// In the header.
        statement: String,
        /// In the checkpoint.
        checkpoint: String,
    },
    /// The statement isn't in the tree.
    #[error("inclusion: the statement is not in the log under this checkpoint")]
    Inclusion,
    /// A signature line fails or is by an unknown key.
    #[error("signature: {0}")]
    Signature(NoteError),
    /// The lane doesn't open under the checkpoint.
    #[error("lane: the lane path does not open under this checkpoint")]
    Lane,
    /// The descriptors are not those that the verifier holds.
    #[error("descriptor: the receipt names descriptors that the chain at hand does not hold")]
    Descriptor,
}

impl ReceiptRefusal {
    /// Code as in the conformance vectors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format(_) => "format",
            Self::Part(_) => "part",
            Self::Attachment(_) => "attachment",
            Self::Origin { .. } => "origin",
            Self::Inclusion => "inclusion",
            Self::Signature(_) => "signature",
            Self::Lane => "lane",
            Self::Descriptor => "descriptor",
        }
    }
}

/// What the verifier trusts: keys and descriptor digests of the issuer.
#[derive(Clone, Debug, Default)]
pub struct ReceiptTrust {
    /// Log keys and witnesses that the descriptor names.
    pub keys: Vec<VerifierKey>,
    /// Descriptors of the issuer's chain.
    pub descriptors: Vec<DescriptorRef>,
}

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Who said what.
    pub header: Header,
    /// The log's entry.
    pub commitment: Hash,
    /// Its place in the log.
    pub index: LogIndex,
    /// Size of the log under the checkpoint.
    pub log_size: TreeSize,
    /// Keys that signed.
    pub signed_by: Verified,
    /// To whom it was said, and as which of the lane.
    pub lane: Option<(HubId, Option<LaneNumber>)>,
}

impl Receipt {
    /// Writes the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("ewtp-receipt/v1\n# statement\n{}", self.header);
        // Writing into a String can't fail.
        for (name, blob) in &self.parts {
            let _ = write!(out, "# part {name}\n{}", armour(blob));
        }
        for (digest, bytes) in &self.attachments {
            let _ = write!(out, "# attachment {digest}\n{}", armour(bytes));
        }
        let _ = write!(out, "# log\n{}", self.log.to_text());
        if let Some(lane) = &self.lane {
            let _ = write!(out, "# lane\n{}", lane.to_text());
        }
        out.push_str("# descriptors\n");
        for d in &self.descriptors {
            let _ = writeln!(out, "{} {} {}", d.hub, d.version, d.digest);
        }
        out.push_str("# end\n");
        out
    }

    /// Parses the sections and checks their order; nothing is verified yet.
    ///
    /// # Errors
    /// [`ReceiptRefusal::Format`].
    pub fn parse(text: &str) -> Result<Self, ReceiptRefusal> {
        use ReceiptRefusal::Format;
        let Sections { preamble, sections } =
            sections::split(text, "ewtp-receipt/v1").map_err(Format)?;
        if !preamble.is_empty() {
            return Err(Format("the first line"));
        }
        let mut sections = sections.into_iter().peekable();
        let header = match sections.next() {
            Some(("statement", body)) => body.to_owned(),
            _ => return Err(Format("the first section is the statement")),
        };
        let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some((title, body)) = sections.next_if(|(t, _)| t.starts_with("part ")) {
            let name = title.strip_prefix("part ").unwrap_or_default();
            let blob = unarmour(body).ok_or(Format("base64 of a part"))?;
            if parts.iter().any(|(n, _)| n == name) {
                return Err(Format("a part twice"));
            }
            parts.push((name.to_owned(), blob));
        }
        let mut attachments: Vec<(Hash, Vec<u8>)> = Vec::new();
        while let Some((title, body)) = sections.next_if(|(t, _)| t.starts_with("attachment ")) {
            let digest = title.strip_prefix("attachment ").and_then(Hash::from_base64);
            let digest = digest.ok_or(Format("digest of an attachment"))?;
            let bytes = unarmour(body).ok_or(Format("base64 of an attachment"))?;
            if attachments.iter().any(|(d, _)| *d == digest) {
                return Err(Format("an attachment twice"));
            }
            attachments.push((digest, bytes));
        }
        let log = match sections.next() {
            Some(("log", body)) => TlogProof::parse(body).map_err(|_| Format("log section"))?,
            _ => return Err(Format("the log section is missing or out of order")),
        };
        let lane = match sections.next_if(|(t, _)| *t == "lane") {
            Some((_, body)) => Some(LanePath::parse(body).ok_or(ReceiptRefusal::Lane)?),
            None => None,
        };
        let descriptors = match sections.next() {
            Some(("descriptors", body)) => {
                parse_descriptors(body).ok_or(ReceiptRefusal::Descriptor)?
            }
            _ => return Err(Format("the descriptors section is missing or out of order")),
        };
        if sections.next().is_some() {
            return Err(Format("an unknown or misplaced section"));
        }
        Ok(Self { header, parts, attachments, log, lane, descriptors })
    }

    /// Verifies everything that the file claims.
    ///
    /// # Errors
    /// [`ReceiptRefusal`], the first that fails in the order parts, attachments, log, lane, descriptors.
    pub fn verify(&self, trust: &ReceiptTrust) -> Result<Proven, ReceiptRefusal> {
        use ReceiptRefusal::Format;
        let header =
            Header::parse(self.header.as_bytes()).map_err(|_| Format("header of the statement"))?;
        for (name, blob) in &self.parts {
            if header.part_digest(name) != Some(&part_digest(name, blob)) {
                return Err(ReceiptRefusal::Part(name.clone()));
            }
        }
        for (digest, bytes) in &self.attachments {
            let opened =
                bytes.split_first_chunk::<16>().map(|(salt, rest)| attachment_digest(salt, rest));
            if opened != Some(*digest) {
                return Err(ReceiptRefusal::Attachment(digest.to_base64()));
            }
        }
        let commitment = commitment(self.header.as_bytes());
        let (checkpoint, signed_by) =
            verify_entry(&self.log, &commitment, Some(&header.origin), &trust.keys)?;
        let size = checkpoint.size;
        let index = LogIndex(self.log.index);
        if let Some(lane) = &self.lane {
            lane.open(&checkpoint).map_err(|_| ReceiptRefusal::Lane)?;
            let of_another = |e: &LaneEntry| (e.index, &e.commitment) != (index, &commitment);
            if lane.entry.as_ref().is_some_and(of_another) {
                return Err(ReceiptRefusal::Lane);
            }
        }
        let held = |d: &DescriptorRef| d.hub == header.hub && trust.descriptors.contains(d);
        if self.descriptors.is_empty() || !self.descriptors.iter().all(held) {
            return Err(ReceiptRefusal::Descriptor);
        }
        let lane = self.lane.as_ref().map(|l| (l.peer.clone(), l.entry.as_ref().map(|e| e.number)));
        Ok(Proven { header, commitment, index, log_size: size, signed_by, lane })
    }
}

/// Verifies that an entry stands in a log: all that can be proven of a statement that was erased, and the base of what a
/// receipt proves.
///
/// # Errors
/// [`ReceiptRefusal`].
pub fn verify_entry(
    proof: &TlogProof,
    entry: &Hash,
    origin: Option<&str>,
    keys: &[VerifierKey],
) -> Result<(Checkpoint, Verified), ReceiptRefusal> {
    let (checkpoint, note) = Checkpoint::parse_note(proof.checkpoint.as_bytes())
        .map_err(|_| ReceiptRefusal::Format("checkpoint of the log section"))?;
    if let Some(origin) = origin.filter(|o| *o != checkpoint.origin) {
        return Err(ReceiptRefusal::Origin {
            statement: origin.to_owned(),
            checkpoint: checkpoint.origin,
        });
    }
    let leaf = leaf_hash(&entry.0);
    verify_inclusion(proof.index, checkpoint.size.0, &leaf, &proof.path, &checkpoint.root)
        .map_err(|_| ReceiptRefusal::Inclusion)?;
    let signed_by = note.verify_all_known(keys).map_err(ReceiptRefusal::Signature)?;
    let mut log_keys = signed_by.log_keys.iter();
    if !log_keys.any(|k| k.kind() == KeyKind::Log && k.name() == checkpoint.origin) {
        return Err(ReceiptRefusal::Signature(NoteError::Unsigned));
    }
    Ok((checkpoint, signed_by))
}

fn parse_descriptors(body: &str) -> Option<Vec<DescriptorRef>> {
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let (hub, version, digest) = (words.next()?, words.next()?, words.next()?);
        let digest = Hash::from_base64(digest).filter(|_| words.next().is_none())?;
        Some(DescriptorRef { hub: hub.to_owned(), version: parse_decimal(version)?, digest })
    };
    body.strip_suffix('\n')?.split('\n').map(parse).collect()
}
