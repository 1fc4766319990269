//! Where a hub keeps what it said and heard: a journal of frames, and the state derived from it.
//!
//! ```text
//! Frame ─▶ journal: write + fdatasync (the commit point) ─▶ apply(frame) ─▶ recent ─▶ packed ─▶ sled
//!                                     └──────────── rebuild ────────────────▲
//! ```
//!
//! Invariant: the journal alone is true. The state is a function of the frames in order, can be deleted and rebuilt to the
//! same keys and values, and shows nothing that a sync has not reached. What was erased is in neither after a compaction.

mod agreements;
mod apply;
mod compaction;
mod consultations;
mod derived;
mod directory;
pub mod disk;
mod erased;
mod filter;
pub mod forgetting;
mod frames;
pub mod journal;
pub mod keys;
mod packed;
pub mod planted;
mod recent;
mod selected;
mod sled_state;
mod state;
mod steps;
mod store;
mod trees;
pub mod views;
mod watched;
mod whose;
mod work;

pub use disk::{Disk, RealDisk, SegmentFile};
pub use journal::{Journal, JournalError};
pub use packed::Packed;
pub use sled_state::{SledState, StateError};
pub use state::{Changes, Row, State};
pub use steps::{Step, Steps, Threads};
pub use store::{JournaledStore, SETTLE_BYTES, SledStore, StoreError};
pub use views::{Compacted, Statement, Store, Views};
pub use whose::Whose;

/// Layout of journal and state. A newer one is refused with a clear message; the state of an older one is built anew.
pub const SCHEMA_VERSION: u32 = 9;
