//! Who a hub is and which of its keys count: DSSE envelopes, hub descriptors and their chain.
//!
//! ```text
//! envelope ─verify (t, n)─▶ payload ─parse─▶ descriptor ─chain rule─▶ chain ─▶ log keys, TLS pins, endpoints
//! ```
//!
//! Invariant: pure. A payload is parsed from the very bytes that were verified; nothing is looked up elsewhere.
//! Sources: DSSE 1.0.2, TUF 1.0.34 section 5.3, `docs/formats.md` sections 8, 9 and 13.

pub mod chain;
pub mod descriptor;
pub mod dsse;
pub mod retired;
pub mod revision;
pub mod trusted;

pub use chain::{Chain, ChainError};
pub use descriptor::{Descriptor, DescriptorError};
pub use revision::Revision;
pub use trusted::ChainTrust;
