//! Clearance: rulesets and the pure function that decides by them.
//!
//! ```text
//! TOML ─parse, check─▶ Ruleset (CEL programs) ─┐
//! filing's visible parts + answers ─▶ Facts ───┴─ decide ─▶ decisions | questions | an officer's task
//!                     tariffs in force ────────┘
//! ```
//!
//! Invariant: pure and deterministic. Rulesets and facts alone decide; time comes in as a fact. A rule that can't be
//! evaluated is never a *no*: it is an officer's task.

pub mod arrangement;
pub mod certificate;
mod cost;
pub mod decide;
pub mod draw;
pub mod expression;
pub mod facts;
pub mod ledger;
pub mod recognition;
pub mod report;
pub mod review;
pub mod ruleset;
pub mod tariff;
pub mod value;

pub use decide::{Outcome, decide};
pub use facts::Facts;
pub use ruleset::Ruleset;
