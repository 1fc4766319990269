//! Where the public files of a log are read from: a web server, or a directory.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ewtp_log::tile::{TILE_WIDTH, TileKind, TilePath};

use crate::error::CliError;

/// Longest resource: a full bundle of the longest entries that a bundle can hold.
const RESOURCE_BYTES_MAX: u64 = 256 * (2 + 65_535);
/// A server that is busy or gone is asked so often, a second apart and then longer.
const TRIES: u32 = 4;

/// The files of one log.
pub(crate) enum Source {
    /// Under a directory.
    Dir(PathBuf),
    /// Under a URL.
    Http { base: String, agent: ureq::Agent },
    /// Read from elsewhere and kept in a directory; what is there already is not fetched again.
    Mirror { from: Box<Source>, dir: PathBuf },
}

/// Why a resource could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0} does not exist")]
    Missing(String),
    #[error("{what}: {problem}")]
    Failed { what: String, problem: String },
}

impl From<FetchError> for CliError {
    fn from(error: FetchError) -> Self {
        Self::Log(error.to_string())
    }
}

impl Source {
    /// A URL or a directory.
    pub(crate) fn parse(text: &str) -> Self {
        if text.starts_with("http://") || text.starts_with("https://") {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let tls = ureq::tls::TlsConfig::builder()
                .unversioned_rustls_crypto_provider(provider)
                .build();
            let agent = ureq::Agent::config_builder()
                .tls_config(tls)
                .timeout_global(Some(Duration::from_secs(30)))
                .http_status_as_error(false)
                .user_agent(concat!("ewtp/", env!("CARGO_PKG_VERSION")))
                .build()
                .into();
            Self::Http { base: text.trim_end_matches('/').to_owned(), agent }
        } else {
            Self::Dir(PathBuf::from(text))
        }
    }

    /// What `dir` will hold of another source.
    pub(crate) fn mirror(from: Self, dir: &Path) -> Self {
        Self::Mirror { from: Box::new(from), dir: dir.to_owned() }
    }

    /// The newest checkpoint note; a mirror asks its source.
    pub(crate) fn checkpoint(&self) -> Result<String, FetchError> {
        let bytes = match self {
            Self::Mirror { from, .. } => return from.checkpoint(),
            source => source.read("checkpoint")?,
        };
        String::from_utf8(bytes).map_err(|_| FetchError::Failed {
            what: "checkpoint".into(),
            problem: "not UTF-8".into(),
        })
    }

    /// A tile or bundle. Partial ones may have vanished where the full one exists: then that one is cut.
    pub(crate) fn tile(&self, path: TilePath) -> Result<Vec<u8>, FetchError> {
        match self.read(&path.to_string()) {
            Err(FetchError::Missing(_)) if !path.is_full() => {
                let whole = self.read(&path.full().to_string())?;
                Ok(cut(whole, path))
            }
            other => other,
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Dir(dir) => read_file(&dir.join(name)),
            Self::Http { base, agent } => fetch(agent, &format!("{base}/{name}")),
            Self::Mirror { from, dir } => match read_file(&dir.join(name)) {
                Err(FetchError::Missing(_)) => {
                    let bytes = from.read(name)?;
                    write_whole(&dir.join(name), &bytes)?;
                    Ok(bytes)
                }
                here => here,
            },
        }
    }
}

fn cut(whole: Vec<u8>, path: TilePath) -> Vec<u8> {
    let wanted = usize::from(path.width);
    match path.kind {
        TileKind::Hashes(_) => whole.into_iter().take(wanted * 32).collect(),
        TileKind::Entries => {
            let entries = ewtp_log::tile::open_bundle(&whole);
            let full = entries.is_some_and(|e| e.len() as u64 == TILE_WIDTH);
            if !full {
                return whole; // not a bundle: the check says so
            }
            let mut at = 0;
            for _ in 0..wanted {
                let len = whole.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
                at += 2 + usize::from(len);
            }
            whole.into_iter().take(at).collect()
        }
    }
}

fn failed(what: &str, problem: impl ToString) -> FetchError {
    FetchError::Failed { what: what.to_owned(), problem: problem.to_string() }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(FetchError::Missing(name)),
        Err(e) => Err(failed(&name, e)),
    }
}

/// Writes beside and renames: who reads the directory meanwhile sees whole files alone.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    let name = path.display().to_string();
    let dir = path.parent().unwrap_or(Path::new("."));
    let write = || {
        std::fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(bytes)?;
        // A web server runs as somebody else.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        file.persist(path).map_err(|e| e.error)?;
        Ok::<(), std::io::Error>(())
    };
    write().map_err(|e| failed(&name, e))
}

fn fetch(agent: &ureq::Agent, url: &str) -> Result<Vec<u8>, FetchError> {
    let mut pause = Duration::from_secs(1);
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(pause);
            pause *= 2;
        }
        match agent.get(url).call() {
            Ok(mut response) => match response.status().as_u16() {
                200 => {
                    let body = response.body_mut().with_config().limit(RESOURCE_BYTES_MAX);
                    match body.read_to_vec() {
                        Ok(bytes) => return Ok(bytes),
                        Err(e) => last = e.to_string(),
                    }
                }
                404 | 410 => return Err(FetchError::Missing(url.to_owned())),
                status @ (429 | 500..=599) => last = format!("the server answers {status}"),
                status => return Err(failed(url, format!("the server answers {status}"))),
            },
            Err(e) => last = e.to_string(),
        }
    }
    Err(failed(url, format!("{last} (tried {TRIES} times)")))
}
