//! The kept seeds: the conformance vectors of our own, and what broke a target once.

use std::fs;
use std::path::{Path, PathBuf};

use ewtp_log::hash::sha256;
use serde_json::Value;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Seeds of a target.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = folder(&repository(&format!("tests/corpus/{target}")), "");
    let vectors = repository("tests/vectors");
    match target {
        "receipt" => seeds.extend(folder(&vectors.join("lanes/receipts"), "ewtp-receipt")),
        "evidence" => seeds.extend(folder(&vectors.join("lanes/evidence"), "ewtp-evidence")),
        "case-file" => seeds.extend(folder(&vectors.join("lanes"), "ewtp-case")),
        "cds" => {
            let samples = repository("crates/ewtp-formats/tests/samples");
            seeds.extend(folder(&samples, "xml"));
        }
        "ceb" => seeds.extend(folder(&repository("samples/ceb"), "xml")),
        "tariff" => seeds.extend(folder(&repository("rulesets"), "toml")),
        "arrangement" => {
            seeds.extend(fs::read(repository("samples/arrangement-be-ke.toml")).ok());
        }
        _ => {}
    }
    seeds
}

fn folder(dir: &Path, extension: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.retain(|p| extension.is_empty() || p.extension().is_some_and(|e| e == extension));
    paths.sort();
    paths.iter().filter_map(|p| fs::read(p).ok()).collect()
}

/// Keeps an input that broke a target; gives its path.
pub(crate) fn keep(target: &str, input: &[u8]) -> String {
    let dir = repository(&format!("tests/corpus/{target}"));
    let path = dir.join(&sha256(&[input]).to_hex()[..16]);
    let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&path, input));
    match written {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("an input of {} bytes that could not be kept: {error}", input.len()),
    }
}

/// The worked examples.
pub(crate) fn worked() -> Value {
    let text = fs::read(repository("tests/vectors/worked_examples.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
