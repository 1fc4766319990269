//! `hub init`: keys, first descriptor, first operator and a configuration file, in one new directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ewtp_log::note::NoteSigner;
use ewtp_log::{HubId, Origin};
use ewtp_tls::TlsIdentity;
use ewtp_tls::identity::IdentityError;
use ewtp_tls::keyfile::{KeyFileError, write_root_key, write_seed};
use ewtp_trust::descriptor::{Descriptor, Environment, PAYLOAD_TYPE, Template};
use ewtp_trust::dsse::Envelope;
use ewtp_trust::{Chain, ChainError};

use crate::clock::random;

/// Files of a hub's directory.
pub struct Files(PathBuf);

impl Files {
    /// In a data directory.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }
    /// Root key, encrypted; the daemon never reads it.
    #[must_use]
    pub fn root_key(&self) -> PathBuf {
        self.0.join("keys/root.key.age")
    }
    /// Log key.
    #[must_use]
    pub fn log_key(&self) -> PathBuf {
        self.0.join("keys/log.key")
    }
    /// Slot key of the generation.
    #[must_use]
    pub fn slot_key(&self) -> PathBuf {
        self.0.join("keys/slot.key")
    }
    /// Log key that takes over.
    #[must_use]
    pub fn next_log_key(&self) -> PathBuf {
        self.0.join("keys/log.next.key")
    }
    /// Witness key: cosigns the heads of other hubs.
    #[must_use]
    pub fn witness_key(&self) -> PathBuf {
        self.0.join("keys/witness.key")
    }
    /// TLS certificate that takes over.
    #[must_use]
    pub fn next_tls_certificate(&self) -> PathBuf {
        self.0.join("keys/tls.next.crt")
    }
    /// Its key.
    #[must_use]
    pub fn next_tls_key(&self) -> PathBuf {
        self.0.join("keys/tls.next.key")
    }
    /// Key of the idempotency hashes.
    #[must_use]
    pub fn lrn_key(&self) -> PathBuf {
        self.0.join("keys/lrn.key")
    }
    /// TLS certificate.
    #[must_use]
    pub fn tls_certificate(&self) -> PathBuf {
        self.0.join("keys/tls.crt")
    }
    /// TLS key.
    #[must_use]
    pub fn tls_key(&self) -> PathBuf {
        self.0.join("keys/tls.key")
    }
    /// Own descriptor chain.
    #[must_use]
    pub fn descriptor(&self) -> PathBuf {
        self.0.join("descriptor.jsonl")
    }
    /// SPKI of the first operator's credential.
    #[must_use]
    pub fn bootstrap(&self) -> PathBuf {
        self.0.join("bootstrap.json")
    }
    /// Lock of the directory.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
    /// Lock of a change of keys.
    #[must_use]
    pub fn keys_lock(&self) -> PathBuf {
        self.0.join("keys/lock")
    }
    /// Attachments, by digest.
    #[must_use]
    pub fn attachments(&self) -> PathBuf {
        self.0.join("attachments")
    }
    /// Journal and state.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }
}

/// What `hub init` is told.
pub struct InitOptions {
    /// Hub id.
    pub hub: HubId,
    /// Environment.
    pub environment: Environment,
    /// Public log URL.
    pub log_url: String,
    /// `host:port` where peers reach the federation listener.
    pub endpoint: String,
    /// Names in the certificate of the listeners.
    pub names: Vec<String>,
    /// Listeners.
    pub listen: [SocketAddr; 3],
    /// Territories that it speaks for.
    pub territories: Vec<String>,
    /// Competences there, e.g. `customs`.
    pub competences: Vec<String>,
    /// Offices: a code, or its beginning and `*`.
    pub offices: Vec<String>,
    /// Whom to call.
    pub contact: String,
    /// Passphrase of the root key.
    pub passphrase: String,
    /// Unix milliseconds now.
    pub now_ms: u64,
}

/// Why no hub was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The directory holds something.
    #[error("{0} exists already and is not empty; choose a new directory")]
    Exists(PathBuf),
    /// The log URL can't become an origin.
    #[error("log URL {url:?}: {problem}; allowed: https://host.with.a.dot/path without a port")]
    LogUrl {
        /// Given.
        url: String,
        /// Why.
        problem: String,
    },
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Key files.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The descriptor.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The key's name.
    #[error(transparent)]
    Vkey(#[from] ewtp_log::note::VkeyError),
}

/// What was made.
pub struct Initialised {
    /// Configuration file.
    pub config: PathBuf,
    /// Own chain.
    pub chain: Chain,
    /// The operator's identity.
    pub operator: TlsIdentity,
    /// SPKI of the listeners.
    pub server_spki: [u8; 32],
}

/// Origin of the first generation of a log at a public URL.
///
/// # Errors
/// [`InitError::LogUrl`].
pub fn origin_of(url: &str) -> Result<Origin, InitError> {
    let bad = |problem: String| InitError::LogUrl { url: url.to_owned(), problem };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| bad("no https:// in front".into()))?.trim_end_matches('/');
    if rest.split('/').next().is_some_and(|host| host.contains(':')) {
        return Err(bad("a port would have to stay for ever".into()));
    }
    format!("{rest}/g1").parse().map_err(|e: ewtp_log::id::NameError| bad(e.to_string()))
}

/// Name of a hub's witness key: its log's host and `/witness` (formats.md section 3). Hubs on one host have their path in it.
#[must_use]
pub fn witness_name(origin: &Origin) -> String {
    let log = origin.as_str().rsplit_once('/').map_or(origin.as_str(), |(log, _)| log);
    format!("{log}/witness")
}

/// A descriptor is valid for two years, milliseconds.
pub const VALIDITY_MS: u64 = 2 * 365 * 24 * 3_600_000;

/// Makes a hub in `dir`.
///
/// # Errors
/// [`InitError`].
pub fn init(dir: &Path, options: &InitOptions) -> Result<Initialised, InitError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| InitError::Io { path, source }
    };
    let occupied = std::fs::read_dir(dir).is_ok_and(|mut d| d.next().is_some());
    if occupied {
        return Err(InitError::Exists(dir.to_owned()));
    }
    let origin = origin_of(&options.log_url)?;
    let data = dir.join("data");
    std::fs::create_dir_all(data.join("keys")).map_err(io(&data))?;
    let files = Files::new(&data);
    let root_seed = random::<32>()?;
    let root = SigningKey::from_bytes(&root_seed);
    write_root_key(&files.root_key(), &root_seed, &options.passphrase)?;
    let log_seed = random::<32>()?;
    write_seed(&files.log_key(), &log_seed)?;
    write_seed(&files.slot_key(), &random::<32>()?)?;
    write_seed(&files.lrn_key(), &random::<32>()?)?;
    let tls = TlsIdentity::generate(&format!("eWTP hub {}", options.hub), &options.names)?;
    tls.save(&files.tls_certificate(), &files.tls_key())?;
    let log = NoteSigner::log(origin.as_str(), &log_seed)?;
    let witness_seed = random::<32>()?;
    write_seed(&files.witness_key(), &witness_seed)?;
    let witness = NoteSigner::witness(&witness_name(&origin), &witness_seed)?;
    let payload = Descriptor::first_payload(&Template {
        hub: options.hub.clone(),
        environment: options.environment,
        window_ms: (options.now_ms, options.now_ms + VALIDITY_MS),
        root_keys: vec![root.verifying_key().to_bytes()],
        log_key: log.vkey().clone(),
        witness: Some(witness.vkey().clone()),
        tls_pins: vec![tls.spki()],
        endpoints: vec![options.endpoint.clone()],
        log_url: options.log_url.clone(),
        territories: options.territories.clone(),
        offices: options.offices.clone(),
        competences: options.competences.clone(),
        contact: options.contact.clone(),
    });
    let envelope = Envelope::sign(PAYLOAD_TYPE, &payload, &[&root]);
    let chain = Chain::verify(&[&envelope])?;
    std::fs::write(files.descriptor(), chain.to_file()).map_err(io(&files.descriptor()))?;
    let operator = TlsIdentity::generate("operator", &["operator.invalid".to_owned()])?;
    operator.save(&dir.join("operator.crt"), &dir.join("operator.key"))?;
    let bootstrap =
        serde_json::json!({ "operator_spki": ewtp_log::base64::encode(&operator.spki()) });
    std::fs::write(files.bootstrap(), bootstrap.to_string()).map_err(io(&files.bootstrap()))?;
    let config = dir.join("hub.toml");
    std::fs::write(&config, config_text(options)).map_err(io(&config))?;
    Ok(Initialised { config, chain, operator, server_spki: tls.spki() })
}

fn config_text(o: &InitOptions) -> String {
    let [federation, clients, public] = o.listen;
    format!(
        "# Hub {hub}. Every key is explained in config/hub.toml of the source.\n\
         hub = \"{hub}\"\ndata_dir = \"data\"\n\n[listen]\nfederation = \"{federation}\"\nclients = \"{clients}\"\npublic = \"{public}\"\n",
        hub = o.hub
    )
}
