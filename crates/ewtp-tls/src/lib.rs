//! TLS 1.3 with pinned public keys, and the files that hold private keys.
//!
//! ```text
//! key file (0600) ─▶ TlsIdentity ─▶ server_config / client_config ─handshake─▶ SPKI digest of the other side
//! ```
//!
//! Invariant: only the SHA-256 of the other side's SPKI decides; a certificate's dates and names do not. No session is
//! resumed, because a ticket would restore a key that was since removed.

pub mod identity;
pub mod keyfile;
pub mod pinned;

pub use identity::{TlsIdentity, spki_sha256};
pub use pinned::{PinCheck, client_config, server_config};
