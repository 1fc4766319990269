//! Reads what a hub has made durable, straight from the bytes on its platter. Shares the schema with the hub, and no code.

use std::collections::BTreeMap;

use ewtp_proto::Message as _;
use ewtp_proto::store::v1::{BlobRef, Frame};
use sha2::{Digest as _, Sha256};

pub(crate) type Hash = [u8; 32];

pub(crate) fn sha256(pieces: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    pieces.iter().for_each(|p| hasher.update(p));
    hasher.finalize().into()
}

/// A frame as it lies on the platter.
pub(crate) struct Found {
    pub(crate) segment: String,
    pub(crate) offset: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) frame: Frame,
    blobs_at: usize,
}

impl Found {
    /// Salt, length, content, padding: the content.
    pub(crate) fn content(&self, part: &BlobRef) -> Option<&[u8]> {
        let from = self.blobs_at + part.offset as usize;
        let blob = self.bytes.get(from..from + part.length as usize)?;
        let length = u32::from_be_bytes(blob.get(16..20)?.try_into().ok()?) as usize;
        blob.get(20..20 + length)
    }
}

const HEAD: usize = 24;

/// The frame at an offset, if all of it is there.
pub(crate) fn frame_at(segment: &str, bytes: &[u8], offset: usize) -> Option<Found> {
    let rest = bytes.get(offset..)?;
    let word =
        |at: usize| rest.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    if rest.get(..4)? != b"EWF1" {
        return None;
    }
    let (meta, blobs, crc) = (word(12)? as usize, word(16)? as usize, word(20)?);
    let whole = rest.get(..HEAD + meta + blobs)?;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&whole[..20]);
    checksum.update(&whole[HEAD..HEAD + meta]);
    if checksum.finalize() != crc {
        return None;
    }
    let frame = Frame::decode(&whole[HEAD..HEAD + meta]).ok()?;
    let found = Found {
        segment: segment.to_owned(),
        offset,
        bytes: whole.to_vec(),
        frame,
        blobs_at: HEAD + meta,
    };
    let parts = found
        .frame
        .own
        .iter()
        .flat_map(|s| &s.parts)
        .chain(found.frame.heard.iter().flat_map(|p| &p.statements).flat_map(|s| &s.parts));
    for part in parts {
        let from = found.blobs_at + part.offset as usize;
        let blob = found.bytes.get(from..from + part.length as usize)?;
        if crc32fast::hash(blob) != part.crc {
            return None;
        }
    }
    Some(found)
}

/// What a header says in its line `id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) number: u64,
}

pub(crate) fn id_of(header: &[u8]) -> Id {
    let text = String::from_utf8_lossy(header);
    let line = text.lines().find_map(|l| l.strip_prefix("id ")).unwrap_or_default();
    let mut words = line.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    Id { kind: word(), subject: word(), number: word().parse().unwrap_or_default() }
}

/// A Merkle tree that remembers the root at every size: RFC 6962 by its definition, with full subtrees on a stack.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    stack: Vec<(u64, Hash)>,
    pub(crate) size: u64,
    pub(crate) roots: BTreeMap<u64, Hash>,
}

impl Tree {
    pub(crate) fn push(&mut self, entry: &[u8]) {
        let mut node = (1, sha256(&[&[0], entry]));
        while let Some((_, left)) = self.stack.pop_if(|(width, _)| *width == node.0) {
            node = (node.0 * 2, sha256(&[&[1], &left, &node.1]));
        }
        self.stack.push(node);
        self.size += 1;
    }

    /// Notes the root of the present size: a head was said of it.
    pub(crate) fn head(&mut self) -> Hash {
        let mut nodes = self.stack.iter().rev().map(|(_, h)| *h);
        let mut root = nodes.next().unwrap_or_default();
        for left in nodes {
            root = sha256(&[&[1], &left, &root]);
        }
        self.roots.insert(self.size, root);
        root
    }
}

/// A decimal in units of its last place: `"12.50"` is (1250, 2).
pub(crate) fn decimal(text: &str) -> Option<(i128, u32)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{part}");
    Some((digits.parse().ok()?, part.len() as u32))
}

/// Sum of decimals, in millionths.
pub(crate) fn millionths<'a>(texts: impl Iterator<Item = &'a str>) -> i128 {
    texts.filter_map(decimal).map(|(n, places)| n * 10_i128.pow(6_u32.saturating_sub(places))).sum()
}
