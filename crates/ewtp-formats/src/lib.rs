//! Foreign documents in and out: WCO XML as HMRC's CDS has it, China's
//! e-commerce messages, our own JSON with its schema, and rows of
//! a table by a mapping.

pub mod cds;
pub mod ceb;
pub mod convert;
pub mod dms;
pub mod json_schema;
pub mod mapping;
pub mod responses;
pub mod table;
pub mod tariff;
mod tree;
pub mod types;
pub mod xml;
