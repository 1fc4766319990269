//! Filings, money, codes and the state of a case, through what other crates see.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod cases;
mod crossings;
mod expiry;
mod filings;
mod forgetting;
mod matching;
mod quantities;
mod routes;
mod selectors;
mod world;
