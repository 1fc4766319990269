//! Documents of the corpus (`EWTP_CORPUS`), which is no part of the project.

use std::path::{Path, PathBuf};

/// A folder of the corpus; tells loudly if it isn't there.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let found =
        std::env::var_os("EWTP_CORPUS").map_or(default, PathBuf::from).join("data").join(name);
    if found.exists() {
        return Some(found);
    }
    eprintln!("!!! SKIPPED: {} is absent; set EWTP_CORPUS to run it", found.display());
    None
}

/// HMRC's samples with libxml2's verdict of each.
pub(crate) fn hmrc_samples() -> Vec<(String, String, Vec<u8>)> {
    let Some(dev) = folder("hmrc-cds/dev") else { return Vec::new() };
    let verdicts = std::fs::read(dev.join("_xsd_verdicts.json")).unwrap();
    let verdicts: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&verdicts).unwrap();
    let one = |(name, verdict): (String, String)| {
        let bytes = std::fs::read(dev.join(&name)).unwrap();
        (name, verdict, bytes)
    };
    verdicts.into_iter().map(one).collect()
}
