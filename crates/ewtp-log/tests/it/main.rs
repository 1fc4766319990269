//! Conformance with the vectors of the public standards and our own, and properties of the trees.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panicking")]

mod ed25519;
mod evidence;
mod innocence;
mod lanes;
mod merkle;
mod notes;
mod receipts;
mod statements;
mod tiles;
mod vectors;
mod witness;
