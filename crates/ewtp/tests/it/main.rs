//! Real hubs as processes, over real TLS, through the public API and the command line.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod abuse;
mod demo;
mod federation;
mod korea;
mod stage;
mod stores;
