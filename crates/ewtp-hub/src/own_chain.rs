//! The hub's own descriptors: an operator signs a new version beside the running daemon (`ewtp hub rotate`, `ewtp hub witnesses`), and
//! the daemon takes it from the file: it is logged, its keys are used, and peers are told.

use std::sync::Arc;
use std::time::Duration;

use ewtp_log::Hash;
use ewtp_log::note::{NoteSigner, VerifierKey};
use ewtp_proto::store::v1::LearntDescriptor;
use ewtp_store::{Store, StoreError, Views};
use ewtp_tls::keyfile::{KeyFileError, read_seed};
use ewtp_trust::{Chain, ChainError};
use tokio_util::sync::CancellationToken;

use crate::draft::{Draft, DraftError, Watched};
use crate::init::{Files, witness_name};
use crate::shared::Shared;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why a descriptor is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnChainError {
    /// Reading the file.
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    /// It is no chain, or not this hub's.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A key that it names.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// No key file has a log key that is in use.
    #[error(
        "no file in keys/ holds a log key that the descriptor has in use; restore keys/log.key"
    )]
    NoLogKey,
    /// A witness key of another name.
    #[error("keys/witness.key is not the key that the descriptor names")]
    Witness,
    /// Committing.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the file.
///
/// # Errors
/// [`OwnChainError`].
pub(crate) fn read(files: &Files) -> Result<Chain, OwnChainError> {
    let path = files.descriptor();
    let text = std::fs::read_to_string(&path)
        .map_err(|source| OwnChainError::Io { path: path.display().to_string(), source })?;
    Ok(Chain::verify_file(&text)?)
}

/// The log keys that sign now: of the key files those that the newest descriptor has in use.
///
/// # Errors
/// [`OwnChainError`].
pub(crate) fn signers(files: &Files, chain: &Chain) -> Result<Vec<NoteSigner>, OwnChainError> {
    let generation = chain.newest().generation().ok_or(OwnChainError::NoLogKey)?;
    let in_use =
        |key: &VerifierKey| generation.keys.iter().any(|k| k.vkey == *key && k.to_ms.is_none());
    let mut signers = Vec::new();
    for path in [files.log_key(), files.next_log_key()] {
        if !path.exists() {
            continue;
        }
        let seed = read_seed(&path)?;
        let signer = NoteSigner::log(generation.origin.as_str(), &seed);
        signers.extend(signer.ok().filter(|s| in_use(s.vkey())));
    }
    if signers.is_empty() { Err(OwnChainError::NoLogKey) } else { Ok(signers) }
}

/// The witness key, where the hub has one.
///
/// # Errors
/// [`OwnChainError`].
pub(crate) fn witness(files: &Files, chain: &Chain) -> Result<Option<NoteSigner>, OwnChainError> {
    let (Some(named), Some(origin)) = (&chain.newest().witness, chain.origin()) else {
        return Ok(None);
    };
    let seed = read_seed(&files.witness_key())?;
    let signer = NoteSigner::witness(&witness_name(origin), &seed);
    let signer = signer.ok().filter(|s| s.vkey() == named);
    signer.map(Some).ok_or(OwnChainError::Witness)
}

/// What has to be logged of the own chain: entry 0 is the descriptor that opened the log, later ones follow as they come.
///
/// # Errors
/// Reading.
pub(crate) async fn unlogged(
    store: &dyn Store,
    chain: &Chain,
    opening: bool,
) -> Result<Draft, StoreError> {
    let logged = Views(store)
        .learnt(chain.hub().as_str())
        .await?
        .last()
        .map_or(u64::from(!opening), |l| l.version);
    let mut draft = learnt(chain, logged);
    let new = chain.descriptors().iter().filter(|d| d.version > logged);
    draft.raw_entries = new.map(|d| d.digest).collect();
    // A log is opened by the newest one alone.
    if opening && draft.raw_entries.len() > 1 {
        let newest: Option<Hash> = draft.raw_entries.pop();
        draft.raw_entries = newest.into_iter().collect();
    }
    Ok(draft)
}

/// Looks after the file until `stop` fires. A descriptor that can't be taken is told to operators; the hub goes on with the one
/// that it has.
///
/// # Errors
/// The store.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), StoreError> {
    let files = Files::new(&shared.config.data_dir);
    let mut seen = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
        let changed =
            std::fs::metadata(files.descriptor()).and_then(|m| Ok((m.modified()?, m.len())));
        let Ok(changed) = changed else { continue };
        if seen == Some(changed) {
            continue;
        }
        match take(&shared, &files).await {
            Err(OwnChainError::Store(e)) => return Err(e),
            Err(OwnChainError::Draft(DraftError::InDoubt)) => return Ok(()), // the hub is stopping
            Err(error) => {
                let text = format!("the new descriptor is not taken: {error}");
                shared.warn("own descriptor", Some(text));
            }
            Ok(()) => shared.warn("own descriptor", None),
        }
        seen = Some(changed);
    }
}

async fn take(shared: &Shared, files: &Files) -> Result<(), OwnChainError> {
    let read = read(files)?;
    let mut chain = (*shared.chain.load_full()).clone();
    if !chain.extend(read.envelopes())? {
        return Ok(());
    }
    let signers = signers(files, &chain)?;
    let witness = witness(files, &chain)?;
    let draft = unlogged(&*shared.store, &chain, false).await?;
    let version = chain.newest().version;
    // From here on heads are signed as the new descriptor says; it is logged under the first of them.
    shared.identity.signers.store(Arc::new(signers));
    shared.witness.store(Arc::new(witness));
    let stale = !chain.newest().tls_pins.contains(&shared.tls.spki());
    let text = "the new descriptor doesn't name the TLS key that this daemon shows: restart it to show the new one";
    shared.warn("tls key", stale.then(|| text.to_owned()));
    shared.chain.store(Arc::new(chain));
    shared.own.submit(draft).await?;
    tracing::info!(version, "a new descriptor of this hub is in use");
    Ok(())
}

/// A draft that learns the descriptors of a chain behind a version.
#[must_use]
pub(crate) fn learnt(chain: &Chain, after: u64) -> Draft {
    let new = chain.descriptors().iter().zip(chain.envelopes()).filter(|(d, _)| d.version > after);
    let learnt = new
        .map(|(d, envelope)| LearntDescriptor {
            hub: d.hub.to_string(),
            version: d.version,
            envelope: envelope.clone(),
        })
        .collect();
    Draft { watched: Watched { learnt, ..Watched::default() }, ..Draft::default() }
}
