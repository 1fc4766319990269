//! The vocabulary of trade: filings in real types, code lists, exact money and mass, cases and their tracks.
//!
//! ```text
//! wire filing ─check: every violation, every warning─▶ CheckedFiling ─▶ parts of a statement
//! statements of a case ─▶ CaseRecord ─state()─▶ what is shown
//! ```
//!
//! Invariant: pure, and parse once: what stands in a typed field has been checked, and nothing here is ever a float.

pub mod act;
pub mod attachment;
pub mod case;
pub mod changes;
pub mod check;
pub mod codes;
pub mod elements;
pub mod expiry;
pub mod finding;
pub mod forget;
pub mod lists;
pub mod mandate;
pub mod matching;
pub mod mrn;
pub mod quantity;
pub mod record;
pub mod release;
pub mod retention;
pub mod route;
pub mod scope;
pub mod selector;
pub mod wco;

pub use check::{CheckedFiling, check_filing};
pub use codes::{Country, Lrn};
pub use lists::CodeLists;
pub use quantity::{ExactSum, Money};
