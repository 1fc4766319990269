//! Erasure within a frame: parts go with their salts, or a whole statement with its header; its commitment stays, and what
//! the log, the lanes and the numbers of cases need.
//!
//! ```text
//! commit (Frame.erasures) ─▶ pending: frames are read without it ─▶ compaction: segments are written without it, the state anew
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use ewtp_log::Hash;
use ewtp_log::statement::{Header, commitment};
use ewtp_proto::store::v1::{
    BlobRef, Erasure, Forgotten, Frame, HeardStatement, Locator, OwnStatement,
};
use ewtp_proto::v1::Finding;

use crate::journal::ReadFrame;

/// Stands for an officer's reason that went with its case.
const GONE: &str = "erased";

/// The log entry of an own statement, erased or not.
#[must_use]
pub fn own_entry(statement: &OwnStatement) -> Hash {
    match &statement.forgotten {
        Some(forgotten) => Hash::from_slice(&forgotten.commitment).unwrap_or(Hash::EMPTY_ROOT),
        None => commitment(&statement.header),
    }
}

/// The commitment of a statement of which no header is held: a tombstone that was heard, or one erased here.
pub(crate) fn tombstone(statement: &HeardStatement) -> Option<Hash> {
    match &statement.forgotten {
        Some(forgotten) => Hash::from_slice(&forgotten.commitment),
        None => Hash::from_slice(&statement.tombstone),
    }
}

/// What is erased and still on disk, by the frame that holds it.
#[derive(Default)]
pub(crate) struct Pending(RwLock<BTreeMap<u64, Vec<Erasure>>>);

impl Pending {
    pub(crate) fn add(&self, sequence: u64, erasure: Erasure) {
        let mut pending = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pending.entry(sequence).or_default().push(erasure);
    }

    /// The frame without what is erased of it.
    pub(crate) fn without(&self, frame: Arc<ReadFrame>) -> Arc<ReadFrame> {
        let pending = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match pending.get(&frame.frame.sequence) {
            Some(erasures) => Arc::new(redact(&frame, erasures)),
            None => frame,
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<u64, Vec<Erasure>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes away what was carried out; what was ordered meanwhile stays.
    pub(crate) fn carried_out(&self, done: &BTreeMap<u64, Vec<Erasure>>) {
        let mut pending = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (sequence, erasures) in done {
            if let Some(left) = pending.get_mut(sequence) {
                left.retain(|e| !erasures.contains(e));
                if left.is_empty() {
                    pending.remove(sequence);
                }
            }
        }
    }
}

/// A frame without what is erased; erasing twice is erasing once.
#[must_use]
pub fn redact(read: &ReadFrame, erasures: &[Erasure]) -> ReadFrame {
    let mut out = ReadFrame { frame: read.frame.clone(), blobs: Vec::new() };
    for erasure in erasures {
        let at = erasure.at.clone().unwrap_or_default();
        match at.peer.is_empty() {
            true => {
                let found = out.frame.own.iter_mut().find(|s| s.index == at.number);
                if let Some(statement) = found {
                    own(statement, erasure);
                }
            }
            false => {
                let found = place_of(&out.frame, &at).and_then(|(page, place)| {
                    out.frame.heard.get_mut(page)?.statements.get_mut(place)
                });
                if let Some(statement) = found {
                    heard(statement, erasure);
                }
            }
        }
        let of_case = |id: &str| !id.is_empty() && id == erasure.case_id;
        for item in out.frame.work_made.iter_mut().filter(|w| of_case(&w.case_id)) {
            if !item.officer_reason.is_empty() && erasure.parts.is_empty() {
                item.officer_reason = GONE.to_owned();
            }
        }
    }
    let own = out.frame.own.iter_mut().flat_map(|s| &mut s.parts);
    let heard =
        out.frame.heard.iter_mut().flat_map(|p| &mut p.statements).flat_map(|s| &mut s.parts);
    let mut blobs = Vec::with_capacity(read.blobs.len());
    for part in own.chain(heard) {
        let at = blobs.len() as u32;
        blobs.extend_from_slice(read.blob(part).unwrap_or_default());
        part.offset = at;
    }
    out.blobs = blobs;
    out
}

/// Page and place in it of a statement that a frame heard.
pub(crate) fn place_of(frame: &Frame, at: &Locator) -> Option<(usize, usize)> {
    let page = frame.heard.iter().position(|p| {
        let numbers = p.first..p.first + p.statements.len() as u64;
        p.peer == at.peer && p.generation == at.generation && numbers.contains(&at.number)
    })?;
    let first = frame.heard.get(page)?.first;
    Some((page, usize::try_from(at.number - first).ok()?))
}

/// Kinds of own statements that belong to a case: nothing else is ever erased of what this hub said.
const OF_CASES: [&str; 9] = [
    "filing",
    "decision",
    "info-request",
    "info-answer",
    "event",
    "invalidation",
    "adoption",
    "condition-outcome",
    "ack",
];

fn own(statement: &mut OwnStatement, erasure: &Erasure) {
    let kind = Header::parse(&statement.header).map(|h| h.id.kind);
    if !kind.is_ok_and(|kind| OF_CASES.contains(&kind.as_str())) {
        return; // gone already, or nothing that may go
    }
    // It is over the bytes that were submitted, without a salt: it would confirm a guess.
    statement.submission_digest.clear();
    without_values(&mut statement.warnings);
    if !erasure.parts.is_empty() {
        without_parts(&mut statement.parts, &erasure.parts);
        return;
    }
    statement.lrn_key.clear();
    statement.unconnected.clear();
    statement.warnings.clear();
    statement.parts.clear();
    if statement.forgotten.is_none() {
        statement.forgotten = Some(forgotten(&statement.header, erasure));
    }
    statement.header.clear();
}

fn heard(statement: &mut HeardStatement, erasure: &Erasure) {
    without_values(&mut statement.warnings);
    without_values(&mut statement.not_honoured);
    if !erasure.parts.is_empty() {
        without_parts(&mut statement.parts, &erasure.parts);
        return;
    }
    statement.parts.clear();
    statement.warnings.clear();
    if statement.forgotten.is_none() && statement.tombstone.is_empty() {
        let header = std::mem::take(&mut statement.header);
        statement.forgotten =
            Some(Forgotten { header: header.clone(), ..forgotten(&header, erasure) });
    }
}

fn without_parts(held: &mut Vec<BlobRef>, gone: &[String]) {
    held.retain(|part| !gone.contains(&part.name));
}

/// A finding quotes what it found.
fn without_values(findings: &mut [Finding]) {
    for finding in findings {
        finding.value.clear();
        finding.allowed.clear();
        finding.fix.clear();
    }
}

fn forgotten(header: &[u8], erasure: &Erasure) -> Forgotten {
    let read = Header::parse(header).ok();
    let id = read.as_ref().map(|h| h.id.clone());
    Forgotten {
        commitment: commitment(header).0.to_vec(),
        kind: id.as_ref().map(|i| i.kind.clone()).unwrap_or_default(),
        subject: id.as_ref().map(|i| i.subject.clone()).unwrap_or_default(),
        number: id.map_or(0, |i| i.number),
        // Of what its case has no record of, it has none afterwards.
        case_id: if erasure.unrecorded { String::new() } else { erasure.case_id.clone() },
        header: Vec::new(),
        logged_ms: read.and_then(|h| h.time_ms()).unwrap_or_default(),
    }
}
