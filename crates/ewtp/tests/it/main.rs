//! Real hubs as processes, over real TLS, through the public API and the command line.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking and say what is absent"
)]

mod abuse;
mod arrangements;
mod beside;
mod canaries;
mod confidential;
mod consultations;
mod convert;
mod demo;
mod desk;
mod federation;
mod federations;
mod forgetting;
mod ground_truth;
mod journey;
mod kill;
mod korea;
mod ledgers;
mod legs;
mod liar;
mod liar_kit;
mod life;
mod lists;
mod misconduct;
mod observe;
mod papers;
mod recognition;
mod reports;
mod routes;
mod rules;
mod stage;
mod stores;
#[path = "../../examples/stranger.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod stranger;
mod strangers;
mod watching;
mod worklist;
