//! Pages between their wire form and the form that is verified.

use ewtp_log::page::{EntryBody, HeadPart, Page, PageEntry, PageRefusal};
use ewtp_log::{Hash, LaneNumber, LogIndex};
use ewtp_proto::v1;

fn hashes(list: &[Vec<u8>]) -> Result<Vec<Hash>, PageRefusal> {
    list.iter().map(|h| Hash::from_slice(h).ok_or(PageRefusal::Bounds)).collect()
}

/// Reads a page; a hash of another length is out of bounds.
///
/// # Errors
/// [`PageRefusal::Bounds`], [`PageRefusal::Depth`].
pub fn from_wire(page: v1::Page) -> Result<Page, PageRefusal> {
    let head = match page.head {
        None => None,
        Some(head) => Some(HeadPart {
            checkpoint: head.checkpoint,
            slot: u16::try_from(head.slot).map_err(|_| PageRefusal::Depth)?,
            blind: head.blind.try_into().map_err(|_| PageRefusal::Bounds)?,
            lane_size: head.lane_size,
            slot_path: hashes(&head.slot_path)?,
            log_range: hashes(&head.log_range)?,
        }),
    };
    let entry = |e: v1::PageEntry| {
        let body = if e.header.is_empty() {
            EntryBody::Tombstone(Hash::from_slice(&e.tombstone).ok_or(PageRefusal::Bounds)?)
        } else {
            let parts = e.parts.into_iter().map(|p| (p.name, p.blob.to_vec())).collect();
            EntryBody::Statement { header: e.header, parts }
        };
        Ok(PageEntry { index: LogIndex(e.index), body })
    };
    Ok(Page {
        first: LaneNumber(page.first),
        head,
        entries: page.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        lane_range: hashes(&page.lane_range)?,
    })
}

/// Writes a page.
#[must_use]
pub fn to_wire(page: Page) -> v1::Page {
    let bytes = |list: Vec<Hash>| list.into_iter().map(|h| h.0.to_vec()).collect();
    let entry = |e: PageEntry| match e.body {
        EntryBody::Statement { header, parts } => v1::PageEntry {
            index: e.index.0,
            header,
            parts: parts
                .into_iter()
                .map(|(name, blob)| v1::PartBlob { name, blob: blob.into() })
                .collect(),
            tombstone: Vec::new(),
        },
        EntryBody::Tombstone(h) => {
            v1::PageEntry { index: e.index.0, tombstone: h.0.to_vec(), ..Default::default() }
        }
    };
    v1::Page {
        first: page.first.0,
        head: page.head.map(|h| v1::HeadPart {
            checkpoint: h.checkpoint,
            slot: u32::from(h.slot),
            blind: h.blind.to_vec(),
            lane_size: h.lane_size,
            slot_path: bytes(h.slot_path),
            log_range: bytes(h.log_range),
        }),
        entries: page.entries.into_iter().map(entry).collect(),
        lane_range: bytes(page.lane_range),
    }
}
