//! The hub: one daemon of one agency.
//!
//! ```text
//! account ─Submit─▶ intake ─┐                        ┌─▶ journal frame + fdatasync (the commit point)
//! peer's lane ─▶ receiver ──┼─▶ committer (1 writer) ┼─▶ state
//! inbox ─▶ desk ────────────┘   one signature a batch└─▶ durable head ─▶ answers, own lanes, watchers
//! ```
//!
//! Invariant: nothing is answered or shown before its commit returned; the committer is the store's only writer.
//! One file is one task; `services/` has one file per gRPC service; `hub` builds and drains them all.

pub mod arrangements;
pub mod certificates;
pub mod clock;
pub mod code_lists;
pub mod config;
pub mod init;
pub mod journal_audit;

pub mod committer;
pub mod consultations;
mod cosigners;
pub mod desk;
pub mod directory;
pub mod draft;
pub mod durable;
mod evidence;
pub mod forgetting;
pub mod gossip;
pub mod intake;
mod janitor;
pub mod lane_evidence;
mod lane_sampling;
pub mod lane_server;
pub mod ledger;
pub mod limits;
mod links;
pub mod listener;
pub mod metrics;
pub mod network;
mod own_chain;
pub mod page_wire;
pub mod peer_chains;
pub mod policy;
pub mod precheck;
pub mod prove;
pub mod public;
mod public_log;
mod public_witness;
mod publisher;
pub mod quality;
pub mod queue;
pub mod receiver;
mod recognition;
pub mod reports;
pub mod rotate;
pub mod rulebook;
mod settled;
pub mod shared;
pub mod statement_check;
mod statement_rights;
pub mod tasks;
mod web;
mod witness;
pub mod worklist;

pub mod acts;
pub mod attachment_files;
pub mod attachments;
pub mod casebook;
mod clearance_terms;
pub mod client;
mod connect;
pub mod draws;
pub mod hub;
mod peers;
mod services;
pub mod standing;
/// The settings under which a hub serves gRPC.
pub mod serving {
    pub use crate::services::server;
}

pub use config::Config;
pub use hub::{Hub, HubError, Seams, run_daemon};
