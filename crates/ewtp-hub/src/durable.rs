//! The newest durable head, and who signs heads.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ewtp_log::lane::{DEPTH_MIN, Slot};
use ewtp_log::note::NoteSigner;
use ewtp_log::{Hash, HubId, Origin};
use ewtp_proto::store::v1::{LogHead, SlotState};
use ewtp_store::StoreError;

/// The newest durable head: every reader reads at or below it.
#[derive(Clone, Debug, Default)]
pub struct DurableHead {
    /// Size and root.
    pub size: u64,
    /// Root of the log.
    pub root: Option<Hash>,
    /// Signed note.
    pub checkpoint: Arc<str>,
    /// Depth of its lane table.
    pub depth: u8,
    /// Slots under it.
    pub slots: Arc<Vec<Slot>>,
    /// Logged time of its newest statement, Unix milliseconds.
    pub time_ms: u64,
    /// Counts commits, so that watchers wake also where the log did not grow.
    pub commits: u64,
}

impl DurableHead {
    /// A head as frames hold it.
    ///
    /// # Errors
    /// A slot that is none.
    pub fn of(head: &LogHead) -> Result<Self, StoreError> {
        let slot = |s: &SlotState| {
            let peer: HubId = s.peer.parse().ok()?;
            let (slot, lane_root) = (u16::try_from(s.slot).ok()?, Hash::from_slice(&s.lane_root)?);
            Some(Slot { slot, peer, lane_size: s.lane_size, lane_root })
        };
        let slots: Option<Vec<Slot>> = head.slots.iter().map(slot).collect();
        Ok(Self {
            size: head.size,
            root: Hash::from_slice(&head.root),
            checkpoint: String::from_utf8_lossy(&head.checkpoint).into(),
            depth: u8::try_from(head.depth).unwrap_or(DEPTH_MIN),
            slots: Arc::new(slots.ok_or_else(|| StoreError::Value("slot".into()))?),
            time_ms: head.time_ms,
            commits: 0,
        })
    }
}

/// Keys and names of the log.
pub struct LogIdentity {
    /// Hub.
    pub hub: HubId,
    /// Origin of the generation.
    pub origin: Origin,
    /// Sign checkpoints: one key, or two while the next one takes over.
    pub signers: ArcSwap<Vec<NoteSigner>>,
    /// Blinds slots.
    pub slot_key: [u8; 32],
}

impl LogIdentity {
    /// Signs a checkpoint's text with each key in use.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let lines: String = self.signers.load().iter().map(|s| s.sign_line(text)).collect();
        format!("{text}\n{lines}")
    }
}
