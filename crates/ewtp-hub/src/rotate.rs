//! Keys change hands: a new descriptor is signed with the root key beside the running daemon, which takes it from the file. Each kind
//! of key overlaps with its successor, so that peers hear of the new one before the old one ends.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ewtp_log::note::{Note, NoteSigner, VerifierKey};
use ewtp_tls::TlsIdentity;
use ewtp_tls::keyfile::{read_root_key, read_seed, write_root_key, write_seed};
use ewtp_trust::descriptor::PAYLOAD_TYPE;
use ewtp_trust::dsse::Envelope;
use ewtp_trust::revision::{Revision, RevisionError};
use ewtp_trust::{Chain, ChainError};

use crate::clock::random;
use crate::init::{Files, InitError, VALIDITY_MS, witness_name};
use crate::own_chain;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Key files and certificates.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The descriptor file.
    #[error("own descriptor: {0}")]
    Chain(String),
    /// The next descriptor.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// Somebody else changes keys now.
    #[error(
        "another `ewtp hub rotate` or `hub witnesses` works on these keys; wait until it has ended"
    )]
    Locked,
    /// A change is under way, or none is.
    #[error("{0}")]
    Order(&'static str),
    /// The file of the root key isn't the root that the descriptor names.
    #[error("{0} is not the root key that the descriptor names")]
    Root(PathBuf),
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<ChainError> for RotateError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error.to_string())
    }
}

macro_rules! as_init_error {
    ($($error:ty),*) => {$(
        impl From<$error> for RotateError {
            fn from(error: $error) -> Self {
                Self::Init(error.into())
            }
        }
    )*};
}
as_init_error!(
    ewtp_tls::keyfile::KeyFileError,
    ewtp_tls::identity::IdentityError,
    getrandom::Error,
    ewtp_log::note::VkeyError
);

/// A hub's directory with the root key at hand.
pub struct Rotation {
    /// One change at a time.
    _lock: std::fs::File,
    files: Files,
    root_key: PathBuf,
    passphrase: String,
    root: SigningKey,
    chain: Chain,
    now_ms: u64,
}

impl Rotation {
    /// Reads descriptor and root key. `root_key` is where the root key is, if not in the directory.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn open(
        data_dir: &Path,
        root_key: Option<&Path>,
        passphrase: &str,
        now_ms: u64,
    ) -> Result<Self, RotateError> {
        let files = Files::new(data_dir);
        let lock = crate::hub::lock_keys(&files).map_err(|_| RotateError::Locked)?;
        let chain = own_chain::read(&files).map_err(|e| RotateError::Chain(e.to_string()))?;
        let root_key = root_key.map_or_else(|| files.root_key(), Path::to_path_buf);
        let root = SigningKey::from_bytes(&*read_root_key(&root_key, passphrase)?);
        if !chain.newest().root_keys.contains(root.verifying_key().as_bytes()) {
            return Err(RotateError::Root(root_key));
        }
        let passphrase = passphrase.to_owned();
        Ok(Self { _lock: lock, files, root_key, passphrase, root, chain, now_ms })
    }

    /// The chain as it is now.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    fn revise(
        &mut self,
        change: impl FnOnce(&mut Revision) -> Result<(), RevisionError>,
    ) -> Result<(), RotateError> {
        let root = self.root.clone();
        self.revise_as(&[&root], change)
    }

    fn revise_as(
        &mut self,
        roots: &[&SigningKey],
        change: impl FnOnce(&mut Revision) -> Result<(), RevisionError>,
    ) -> Result<(), RotateError> {
        let mut revision = Revision::of(&self.chain, self.now_ms, self.now_ms + VALIDITY_MS)?;
        change(&mut revision)?;
        let (payload, _) = revision.payload()?;
        // Checked as every peer will check it, before anybody can see it: a version is signed once.
        let mut chain = self.chain.clone();
        chain.push(&Envelope::sign(PAYLOAD_TYPE, &payload, roots))?;
        let path = self.files.descriptor();
        replace(&path, chain.to_file().as_bytes())?;
        self.chain = chain;
        Ok(())
    }

    /// Adds a second log key: heads carry both signatures until [`Rotation::finish_log`].
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn log(&mut self) -> Result<VerifierKey, RotateError> {
        let next = self.files.next_log_key();
        let origin = self.chain.origin().ok_or(RevisionError::Newest)?.clone();
        // One that was made and never named is taken up again.
        let seed = match next.exists() {
            true => *read_seed(&next)?,
            false => random::<32>()?,
        };
        let signer = NoteSigner::log(origin.as_str(), &seed)?;
        if self.chain.log_key(signer.vkey()).is_some() {
            return Err(RotateError::Order(
                "a log key is taking over already; end that first: --finish",
            ));
        }
        if !next.exists() {
            write_seed(&next, &seed)?;
        }
        let (key, from) = (signer.vkey().clone(), self.now_ms);
        self.revise(|r| {
            r.add_log_key(&key, from);
            Ok(())
        })?;
        Ok(key)
    }

    /// Retires the first log key at a closing head, which the quorum should have cosigned.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn finish_log(&mut self, closing: &str) -> Result<VerifierKey, RotateError> {
        let (old, next) = (self.files.log_key(), self.files.next_log_key());
        if !next.exists() {
            return Err(RotateError::Order(
                "no log key is taking over; begin with: ewtp hub rotate log",
            ));
        }
        let origin = self.chain.origin().ok_or(RevisionError::Newest)?.clone();
        let retired = NoteSigner::log(origin.as_str(), &*read_seed(&old)?)?;
        let (key, to) = (retired.vkey().clone(), self.now_ms);
        let taking_over = NoteSigner::log(origin.as_str(), &*read_seed(&next)?)?;
        let named = self.chain.log_key(taking_over.vkey()).is_some_and(|k| k.to_ms.is_none());
        if !named {
            let problem = "the descriptor doesn't name keys/log.next.key yet; begin again with: ewtp hub rotate log";
            return Err(RotateError::Order(problem));
        }
        // Heads that the old key alone signed must not lie behind the one at which it ends.
        let note = Note::parse(closing.as_bytes()).ok();
        let both = note.and_then(|n| n.verify(&[key.clone(), taking_over.vkey().clone()]).ok());
        if both.is_none_or(|v| v.log_keys.len() < 2) {
            let problem = "the closing head has to be signed by both keys; wait for the next head, or until witnesses have cosigned one";
            return Err(RotateError::Order(problem));
        }
        self.revise(|r| r.retire_log_key(&key, to, closing))?;
        // The daemon reads both files: what the descriptor has retired signs nothing, whichever of the two it is in.
        std::fs::rename(&next, &old).map_err(io(&old))?;
        Ok(key)
    }

    /// Replaces the witness key. Hubs that name the old one go on being cosigned when they name the new one.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn witness(&mut self) -> Result<VerifierKey, RotateError> {
        let origin = self.chain.origin().ok_or(RevisionError::Newest)?.clone();
        let seed = random::<32>()?;
        let signer = NoteSigner::witness(&witness_name(&origin), &seed)?;
        let path = self.files.witness_key();
        let new = path.with_extension("key.new");
        write_seed(&new, &seed)?;
        let key = signer.vkey().clone();
        // The key first: a descriptor that names a key which isn't there would be refused by the daemon.
        std::fs::rename(&new, &path).map_err(io(&path))?;
        self.revise(|r| {
            r.set_witness(&key);
            Ok(())
        })?;
        Ok(signer.vkey().clone())
    }

    /// Names the witnesses that cosign this hub's heads.
    ///
    /// # Errors
    /// [`RotateError`]; more than 15 are refused.
    pub fn witnesses(&mut self, keys: &[VerifierKey]) -> Result<(), RotateError> {
        self.revise(|r| {
            r.set_witnesses(keys);
            Ok(())
        })
    }

    /// Makes the next TLS key and pins it beside the present one. Peers take both until [`Rotation::finish_tls`].
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn tls(&mut self, names: &[String]) -> Result<(), RotateError> {
        let (certificate, key) = (self.files.next_tls_certificate(), self.files.next_tls_key());
        if key.exists() {
            return Err(RotateError::Order(
                "a TLS key is taking over already; end that first: --finish",
            ));
        }
        let identity = TlsIdentity::generate(&format!("eWTP hub {}", self.chain.hub()), names)?;
        identity.save(&certificate, &key)?;
        let mut pins = self.chain.newest().tls_pins.clone();
        pins.push(identity.spki());
        self.revise(|r| {
            r.set_tls_pins(&pins);
            Ok(())
        })
    }

    /// Unpins the old TLS key and puts the new one in its place; the daemon shows it from its next start on.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn finish_tls(&mut self) -> Result<(), RotateError> {
        let (certificate, key) = (self.files.next_tls_certificate(), self.files.next_tls_key());
        if !key.exists() {
            return Err(RotateError::Order(
                "no TLS key is taking over; begin with: ewtp hub rotate tls",
            ));
        }
        let (in_use, in_use_key) = (self.files.tls_certificate(), self.files.tls_key());
        // The certificate goes first: one that an earlier call moved is taken from where it is now.
        let shown = if certificate.exists() { &certificate } else { &in_use };
        let identity = TlsIdentity::load(shown, &key)?;
        if self.chain.newest().tls_pins != [identity.spki()] {
            self.revise(|r| {
                r.set_tls_pins(&[identity.spki()]);
                Ok(())
            })?;
        }
        if certificate.exists() {
            std::fs::rename(&certificate, &in_use).map_err(io(&in_use))?;
        }
        std::fs::rename(&key, &in_use_key).map_err(io(&in_use_key))
    }

    /// Replaces the root key; the old and the new one sign.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn root(&mut self) -> Result<(), RotateError> {
        let seed = random::<32>()?;
        let new = SigningKey::from_bytes(&seed);
        let beside = self.root_key.with_extension("age.new");
        write_root_key(&beside, &seed, &self.passphrase)?;
        let old = self.root.clone();
        self.revise_as(&[&old, &new], |r| {
            r.set_root(&[new.verifying_key().to_bytes()], 1);
            Ok(())
        })?;
        std::fs::rename(&beside, &self.root_key).map_err(io(&self.root_key))?;
        self.root = new;
        Ok(())
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RotateError {
    let path = path.to_owned();
    move |source| RotateError::Io { path, source }
}

/// Writes beside and renames: the daemon reads the file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), RotateError> {
    use std::io::Write as _;
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside).map_err(io(&beside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&beside))?;
    std::fs::rename(&beside, path).map_err(io(path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io(dir))
}
