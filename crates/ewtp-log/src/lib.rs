//! The log of a hub and everything that is proven from it: statements, Merkle trees, lanes, signed notes,
//! checkpoints, tiles, pages, cosignatures, receipts and evidence.
//!
//! ```text
//! parts ─▶ header ─▶ commitment ─▶ log tree ─┐
//!                                lane trees ─┴▶ lane table ─▶ checkpoint ─▶ page, receipt
//! ```
//!
//! Invariant: pure. No I/O, no clock, no randomness, no threads; what a verifier concludes depends on bytes alone.
//! Byte layouts: the public standards RFC 6962, C2SP `signed-note`, `tlog-checkpoint`, `tlog-cosignature`,
//! `tlog-proof`, and our own for statements, lanes and receipts (`docs/formats.md`).

pub mod base64;
pub mod case_file;
pub mod checkpoint;
pub mod evidence;
pub mod hash;
pub mod id;
pub mod lane;
pub mod note;
pub mod opening;
pub mod page;
pub mod proof;
pub mod receipt;
pub mod sections;
pub mod statement;
pub mod tile;
pub mod tree;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use hash::Hash;
pub use id::{HubId, LaneNumber, LogIndex, Origin, TreeSize};
pub use statement::Header;
