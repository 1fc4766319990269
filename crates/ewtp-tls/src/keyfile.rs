//! Private keys in files: mode 0600, refused if wider; the root key encrypted with a passphrase (age).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use ewtp_log::base64;
use zeroize::Zeroizing;

const SEED_FIRST_LINE: &str = "ewtp-seed/v1";
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;

/// Why a key file couldn't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or writing.
    #[error("key file {path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than the owner may read it.
    #[error(
        "key file {path} has mode {mode:04o}, so others may read the key; run: chmod 600 {path}"
    )]
    Mode {
        /// File.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a key file of ours.
    #[error("key file {path} does not hold {expected}")]
    Content {
        /// File.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The passphrase is wrong or the file damaged.
    #[error("key file {path} can't be decrypted: wrong passphrase, or the file is damaged")]
    Passphrase {
        /// File.
        path: PathBuf,
    },
    /// Encryption failed.
    #[error("the root key can't be encrypted: {0}")]
    Encrypt(String),
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io { path, source }
}

/// Writes a new file that only its owner may read; an existing one is never overwritten.
///
/// # Errors
/// [`KeyFileError::Io`], also if the file exists.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io(path))?;
    file.write_all(bytes).map_err(io(path))?;
    file.sync_all().map_err(io(path))
}

/// Reads a private file, refusing one that group or others may touch.
///
/// # Errors
/// [`KeyFileError::Mode`], [`KeyFileError::Io`].
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let file = File::open(path).map_err(io(path))?;
    let mode = file.metadata().map_err(io(path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(io(path))?;
    Ok(bytes)
}

/// Writes 32 secret bytes: an Ed25519 seed or a slot key.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn write_seed(path: &Path, seed: &[u8; 32]) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(format!("{SEED_FIRST_LINE}\n{}\n", base64::encode(seed)));
    write_private(path, text.as_bytes())
}

/// Reads what [`write_seed`] wrote.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let bytes = read_private(path)?;
    parse_seed(&bytes).ok_or_else(|| KeyFileError::Content {
        path: path.to_owned(),
        expected: "32 secret bytes (ewtp-seed/v1)",
    })
}

fn parse_seed(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let line = text.strip_prefix(SEED_FIRST_LINE)?.strip_prefix('\n')?.strip_suffix('\n')?;
    base64::decode_array(line).map(Zeroizing::new)
}

/// Writes the root key, encrypted with a passphrase. age measures this machine to make guessing slow.
///
/// # Errors
/// [`KeyFileError`].
pub fn write_root_key(path: &Path, seed: &[u8; 32], passphrase: &str) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(format!("{SEED_FIRST_LINE}\n{}\n", base64::encode(seed)));
    let recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    let encrypted = age::encrypt(&recipient, text.as_bytes())
        .map_err(|e| KeyFileError::Encrypt(e.to_string()))?;
    write_private(path, &encrypted)
}

/// Reads the root key.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_root_key(path: &Path, passphrase: &str) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let bytes = read_private(path)?;
    let identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    let plain = age::decrypt(&identity, &bytes)
        .map_err(|_| KeyFileError::Passphrase { path: path.to_owned() })?;
    parse_seed(&Zeroizing::new(plain))
        .ok_or_else(|| KeyFileError::Content { path: path.to_owned(), expected: "a root key" })
}
