//! Documents of others: read, written, and what is refused.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say what they skip"
)]

mod canonical;
mod cds;
mod cds_attacks;
mod ceb;
mod convert;
mod corpus;
mod dms;
mod own_format;
mod published;
mod tables;
mod tariff;
