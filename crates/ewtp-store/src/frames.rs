//! Frames that were read or written lately: a statement is usually asked for by the desk, a lane and a trader within moments
//! of its commit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::ReadFrame;

/// Blob bytes kept, about.
const BYTES_MAX: usize = 24 << 20;

#[derive(Default)]
struct Kept {
    frames: BTreeMap<u64, Arc<ReadFrame>>,
    order: VecDeque<u64>,
    bytes: usize,
    epoch: u64,
}

/// A bounded memory of frames; the oldest goes first.
#[derive(Default)]
pub(crate) struct Frames(Mutex<Kept>);

impl Frames {
    pub(crate) fn get(&self, sequence: u64) -> Option<Arc<ReadFrame>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).frames.get(&sequence).cloned()
    }

    /// Counts how often all was forgotten.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).epoch
    }

    /// Forgets all frames: they are on disk in another form now.
    pub(crate) fn forget(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { epoch: kept.epoch + 1, ..Kept::default() };
    }

    /// Keeps a frame that was read in an epoch that lasts.
    pub(crate) fn keep(&self, epoch: u64, frame: &Arc<ReadFrame>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.epoch != epoch {
            return;
        }
        let sequence = frame.frame.sequence;
        if kept.frames.insert(sequence, Arc::clone(frame)).is_some() {
            return;
        }
        kept.order.push_back(sequence);
        kept.bytes += weight(frame);
        while kept.bytes > BYTES_MAX && kept.order.len() > 1 {
            let Some(oldest) = kept.order.pop_front() else { break };
            let gone = kept.frames.remove(&oldest);
            kept.bytes -= gone.map_or(0, |f| weight(&f));
        }
    }
}

/// Metadata weighs about as much as headers do: half a kilobyte a statement.
fn weight(frame: &ReadFrame) -> usize {
    let heard: usize = frame.frame.heard.iter().map(|p| p.statements.len()).sum();
    frame.blobs.len() + (frame.frame.own.len() + heard) * 1024
}
