//! Profiles: address, certificate and the hub's key in one file, so that they aren't typed each time.

use std::path::{Path, PathBuf};

use ewtp_tls::TlsIdentity;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// A profile file. Paths are relative to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// `host:port` of the hub's client listener.
    pub(crate) address: String,
    /// SHA-256 of the hub's SPKI, base64.
    pub(crate) server_pin: String,
    /// Certificate file.
    pub(crate) certificate: PathBuf,
    /// Key file.
    pub(crate) key: PathBuf,
    /// Languages for texts, e.g. `fr, en`.
    #[serde(default = "english")]
    pub(crate) languages: String,
}

fn english() -> String {
    "en".to_owned()
}

impl Profile {
    /// Where a profile is looked for without `--profile` and `EWTP_PROFILE`.
    fn default_path() -> PathBuf {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        home.join(".config/ewtp/profile.toml")
    }

    pub(crate) fn load(path: Option<&Path>) -> Result<(Self, TlsIdentity), CliError> {
        let path = path.map_or_else(Self::default_path, Path::to_owned);
        if !path.exists() {
            return Err(CliError::Profile(path));
        }
        let text = std::fs::read_to_string(&path).map_err(CliError::io(&path))?;
        let mut profile: Self = toml::from_str(&text).map_err(|e| {
            CliError::usage(
                &path.display().to_string(),
                e.to_string(),
                "a profile has address, server_pin, certificate, key",
            )
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        profile.certificate = base.join(&profile.certificate);
        profile.key = base.join(&profile.key);
        let identity = TlsIdentity::load(&profile.certificate, &profile.key)?;
        Ok((profile, identity))
    }

    pub(crate) fn pin(&self) -> Result<[u8; 32], CliError> {
        ewtp_log::base64::decode_array(&self.server_pin).ok_or_else(|| {
            CliError::usage(
                "server_pin",
                "not 32 bytes in base64",
                "take it from `ewtp hub descriptor`",
            )
        })
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), CliError> {
        let text =
            toml::to_string(self).map_err(|e| CliError::usage("profile", e.to_string(), ""))?;
        std::fs::write(path, text).map_err(CliError::io(path))
    }
}
