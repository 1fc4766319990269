//! One file per group of commands.

pub(crate) mod account;
pub(crate) mod acts;
pub(crate) mod attachment;
pub(crate) mod audit;
pub(crate) mod case;
pub(crate) mod case_erase;
pub(crate) mod case_file;
pub(crate) mod case_text;
pub(crate) mod chain_file;
pub(crate) mod codes;
pub(crate) mod convert;
pub(crate) mod declare;
pub(crate) mod desk;
pub(crate) mod evidence;
pub(crate) mod hub;
pub(crate) mod import;
pub(crate) mod log;
pub(crate) mod notices;
pub(crate) mod peer;
pub(crate) mod proof_words;
pub(crate) mod receipt;
pub(crate) mod replay;
pub(crate) mod rotate;
pub(crate) mod ruleset;
pub(crate) mod store;
