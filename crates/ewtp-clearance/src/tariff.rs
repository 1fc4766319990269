//! Tariffs: what a destination charges, by code, day, origin and scheme; and what a filing comes to by them.
//!
//! ```text
//! `7.5%`, `1.1 cents/kg + 5%` ─rate─▶ Rate ─┐
//! lines, preferences, reliefs, VAT ─────────┴─▶ Charges ─price(facts, day)─▶ steps, charges, total, and what stays open
//! ```
//!
//! A tariff is a ruleset without rules: it is published, logged, cited by digest and replayed as one. A ruleset may hold charges of its
//! own; tariffs in force stand instead of them.

mod charges;
mod price;
pub mod rate;

pub use charges::{Charges, Fixed, Line, Per, Preference, Relief, Valuation, Vat};
pub(crate) use charges::{RawCharges, RawDuty, RawFixed, RawPreference, RawRelief, VatField};
pub use price::{PriceError, price};
