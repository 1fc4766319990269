//! The simulation: whole hubs on simulated machines, with everything that can go wrong, from a seed.
//!
//! ```text
//! clients ─▶ TLS, gRPC ─▶ hub ─▶ committer ─▶ journal ─▶ state        one runtime a hub, one time for all
//!               │          │                     │          │
//!            net.rs      clock               disk.rs     state.rs     ◀── faults.rs
//!                                                │
//!                                            oracle.rs                after every step
//! ```
//!
//! Real: the hub with all its tasks, TLS, HTTP/2, gRPC, the journal, the derived state's logic. Simulated, below stated seams:
//! time and clocks, byte streams, segment files, the ordered map under the state, the pauses between the steps of a commit.

mod acts;
mod boot;
mod chance;
mod clients;
mod disk;
mod faults;
mod fuse;
mod goods;
mod machines;
mod net;
mod oracle;
mod reading;
mod report;
mod run;
mod state;
mod time;

pub use report::{Caught, Options, Summary, planted, seeds};
