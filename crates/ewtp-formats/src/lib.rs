//! Foreign documents in and out. So far: rows of a table by a mapping.

pub mod mapping;
