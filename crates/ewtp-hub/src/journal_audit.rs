//! Re-derives a hub's own log from its journal: entries, lanes, lane tables, roots, signatures and the digests of parts. The state
//! is compared apart from this (`SledStore::check`), and rests on the journal; here the journal itself is checked.

use std::collections::BTreeMap;

use ewtp_log::hash::leaf_hash;
use ewtp_log::lane::{LaneTable, Slot, lane_leaf};
use ewtp_log::note::VerifierKey;
use ewtp_log::statement::{Header, part_digest};
use ewtp_log::tree::Frontier;
use ewtp_log::{Checkpoint, Hash, HubId, LogIndex};
use ewtp_proto::store::v1::{Frame, LogHead};
use ewtp_store::forgetting::own_entry;
use ewtp_store::{Store, StoreError};
use ewtp_trust::Chain;

use crate::durable::DurableHead;

/// Most differences told.
const TOLD_MAX: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Audited {
    /// Frames read.
    pub frames: u64,
    /// Heads whose root, lanes, table and signature were derived again.
    pub heads: u64,
    /// Own statements.
    pub statements: u64,
    /// What is not as it should be, at most 100.
    pub differences: Vec<String>,
}

struct Audit<'a> {
    keys: Vec<VerifierKey>,
    slot_key: &'a [u8; 32],
    log: Frontier,
    lanes: BTreeMap<String, Frontier>,
    found: Audited,
}

/// Reads the whole journal.
///
/// # Errors
/// Reading.
pub async fn audit(
    store: &dyn Store,
    chain: &Chain,
    slot_key: &[u8; 32],
) -> Result<Audited, StoreError> {
    let mut audit = Audit {
        keys: chain.receipt_trust().keys,
        slot_key,
        log: Frontier::default(),
        lanes: BTreeMap::new(),
        found: Audited::default(),
    };
    for sequence in 0..store.next_sequence() {
        let read = store.frame(sequence).await?;
        audit.found.frames += 1;
        audit.parts(&read.frame, |blob| read.blob(blob));
        audit.lanes(&read.frame);
        for entry in read.log_entries() {
            audit.log.push_leaf(leaf_hash(&entry.0));
        }
        if let Some(head) = &read.frame.head {
            audit.head(sequence, head)?;
        }
    }
    Ok(audit.found)
}

impl Audit<'_> {
    fn tell(&mut self, what: String) {
        if self.found.differences.len() < TOLD_MAX {
            self.found.differences.push(what);
        }
    }

    /// Parts that are held are those that the header names.
    fn parts<'b>(
        &mut self,
        frame: &Frame,
        blob: impl Fn(&ewtp_proto::store::v1::BlobRef) -> Option<&'b [u8]>,
    ) {
        for statement in &frame.own {
            self.found.statements += 1;
            if statement.forgotten.is_some() {
                continue; // erased, whole: its entry is checked with the log's
            }
            let Ok(header) = Header::parse(&statement.header) else {
                self.tell(format!("log entry {}: its header can't be read", statement.index));
                continue;
            };
            for part in &statement.parts {
                let held = blob(part).map(|b| part_digest(&part.name, b));
                if held.as_ref() != header.part_digest(&part.name) {
                    self.tell(format!(
                        "log entry {}: part {} is another",
                        statement.index, part.name
                    ));
                }
            }
        }
    }

    /// Lanes grow in the order of their numbers.
    fn lanes(&mut self, frame: &Frame) {
        let mut said: Vec<(&str, u64, u64, Hash)> = Vec::new();
        for late in &frame.late {
            if let (Some(at), Some(entry)) = (&late.address, Hash::from_slice(&late.commitment)) {
                said.push((&at.peer, at.number, late.index, entry));
            }
        }
        for own in &frame.own {
            let entry = own_entry(own);
            said.extend(
                own.audience.iter().map(|at| (at.peer.as_str(), at.number, own.index, entry)),
            );
        }
        said.sort_unstable_by_key(|(peer, number, ..)| (*peer, *number));
        for (peer, number, index, entry) in said {
            let lane = self.lanes.entry(peer.to_owned()).or_default();
            let due = lane.size() + 1;
            lane.push_leaf(lane_leaf(LogIndex(index), &entry));
            if number != due {
                self.tell(format!("lane to {peer}: number {number} where {due} is due"));
            }
        }
    }

    fn head(&mut self, sequence: u64, head: &LogHead) -> Result<(), StoreError> {
        self.found.heads += 1;
        let durable = DurableHead::of(head)?;
        if (self.log.size(), Some(self.log.root())) != (durable.size, durable.root) {
            self.tell(format!(
                "frame {sequence}: the head of {} is not that of its entries",
                head.size
            ));
        }
        let derived: Vec<Slot> = durable.slots.iter().map(|s| self.slot(s.slot, &s.peer)).collect();
        for (held, derived) in durable.slots.iter().zip(&derived) {
            if held != derived {
                self.tell(format!("frame {sequence}: the lane to {} is another", held.peer));
            }
        }
        let table_index = LogIndex(head.size.saturating_sub(1));
        let table = LaneTable::new(self.slot_key, table_index, durable.depth, &derived).entry();
        if table.0.as_slice() != head.table_entry {
            self.tell(format!("frame {sequence}: the lane table is another"));
        }
        let signed = Checkpoint::parse_note(&head.checkpoint).ok().filter(|(checkpoint, note)| {
            checkpoint.size.0 == head.size
                && Some(checkpoint.root) == durable.root
                && note.verify(&self.keys).is_ok()
        });
        if signed.is_none() {
            self.tell(format!(
                "frame {sequence}: the head of {} is not signed by this hub's keys",
                head.size
            ));
        }
        Ok(())
    }

    fn slot(&self, slot: u16, peer: &HubId) -> Slot {
        let lane = self.lanes.get(peer.as_str()).cloned().unwrap_or_default();
        Slot { slot, peer: peer.clone(), lane_size: lane.size(), lane_root: lane.root() }
    }
}
