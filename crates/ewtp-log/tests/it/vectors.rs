//! Where the vectors are: ours in `tests/vectors`, the public ones in the corpus (`EWTP_CORPUS`).

use std::path::{Path, PathBuf};

use ewtp_log::{Hash, base64};
use serde_json::Value;

pub(crate) fn ours(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(path)
}

/// The public vectors' folder, or `None` with a loud line where the corpus is absent.
pub(crate) fn public(path: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let corpus = std::env::var_os("EWTP_CORPUS").map_or(default, PathBuf::from);
    let found = corpus.join("vectors").join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("!!! SKIPPED: {} is absent; set EWTP_CORPUS to run it", found.display());
    None
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    base64::decode(text(value)).unwrap()
}

pub(crate) fn hash(value: &Value) -> Hash {
    Hash::from_base64(text(value)).unwrap()
}

pub(crate) fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}
