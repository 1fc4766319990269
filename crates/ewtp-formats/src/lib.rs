//! Foreign documents in and out: WCO XML as HMRC's CDS has it, and rows of a table by a mapping.

pub mod cds;
pub mod mapping;
mod tree;
