//! An example of an agency's own system: it follows the hub's inbox from a cursor that it keeps, scores each advance filing
//! with a model that the hub never sees, and says its word through `DeskService`, beside what the hub's rules said.
//!
//! ```text
//! WatchInbox ─▶ GetCase ─▶ score ─▶ Decide (source = system, idempotency key) ─▶ cursor kept
//! ```
//!
//! The cursor is kept after the decision, and the decision's key is made from what is decided on: whatever is cut off in
//! between is done again, and has no second effect.

mod engine;
mod model;

pub use engine::{Engine, EngineError, Verdict};
pub use model::{Model, ModelError, Score};
