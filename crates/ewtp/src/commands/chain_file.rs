//! A descriptor file from elsewhere, and the fingerprint that makes it count.

use std::path::Path;

use ewtp_log::Hash;
use ewtp_trust::Chain;

use crate::error::CliError;

/// Reads and verifies a chain; with a fingerprint only if it is that hub's.
pub(crate) fn read(path: &Path, fingerprint: Option<&str>) -> Result<Chain, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
    let chain = Chain::verify_file(&text)?;
    if let Some(fingerprint) = fingerprint {
        let hint = "64 hexadecimal digits";
        let expected = Hash::from_hex(fingerprint)
            .ok_or_else(|| CliError::usage("--fingerprint", "not a fingerprint", hint))?;
        chain.expect_fingerprint(&expected)?;
    }
    Ok(chain)
}
