//! The witness: cosigns heads of other hubs that follow from what it cosigned before. The new head is durable before the
//! cosignature leaves, so that no crash makes it sign two forks.

use std::sync::Arc;

use ewtp_log::Checkpoint;
use ewtp_log::hash::sha256;
use ewtp_log::note::{Note, VerifierKey};
use ewtp_log::witness::{AddCheckpoint, LastHead, WitnessRefusal};
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::WitnessedHead;
use ewtp_store::{StoreError, Views};

use crate::draft::{Draft, DraftError, Watched};
use crate::evidence;
use crate::shared::Shared;

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessError {
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] WitnessRefusal),
    /// This hub has no witness key.
    #[error("this hub has no witness key; its operator makes one: ewtp hub rotate witness")]
    NoKey,
    /// One new head of a log is cosigned a second.
    #[error("a head of that log was cosigned this very second; come back in a moment")]
    TooSoon,
    /// Committing.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose log an origin is, and the log keys that count now; of pinned peers in any state but removed.
fn log_of(shared: &Shared, origin: &str) -> Option<(HubId, Vec<VerifierKey>)> {
    let directory = shared.directory.load();
    let now = shared.clock.now_ms();
    let of = |p: &&Arc<crate::directory::Peer>| {
        p.is_known() && p.chain.origin().is_some_and(|o| o.as_str() == origin)
    };
    let peer = directory.peers.values().find(of)?;
    Some((peer.hub.clone(), peer.chain.log_keys(now)))
}

/// Decides on a request, makes the head durable, and gives the cosignature lines.
///
/// # Errors
/// [`WitnessError`].
pub(crate) async fn add_checkpoint(
    shared: &Shared,
    request: &AddCheckpoint,
) -> Result<String, WitnessError> {
    let asked = request.head()?;
    let unknown = || WitnessRefusal::UnknownOrigin(asked.origin.clone());
    let (hub, keys) = log_of(shared, &asked.origin).ok_or_else(unknown)?;
    let signer = shared.witness.load_full();
    let signer = signer.as_ref().as_ref().ok_or(WitnessError::NoKey)?;
    let stored = Views(&*shared.store).witnessed(&asked.origin).await?;
    let last = stored.as_ref().and_then(last_head);
    let head = match request.decide(&keys, last) {
        Ok(head) => head,
        Err(refusal) => {
            if !matches!(refusal, WitnessRefusal::Malformed(_) | WitnessRefusal::Signature(_))
                && let Some(stored) = &stored
            {
                contradicts(shared, &hub, &asked, &request.checkpoint, stored).await?;
            }
            return Err(refusal.into());
        }
    };
    let note = Note::parse(request.checkpoint.as_bytes())
        .map_err(|_| WitnessRefusal::Malformed("the checkpoint"))?;
    if note.text != head.to_text() {
        return Err(WitnessRefusal::Malformed("a hub's head has no extension lines").into());
    }
    let seconds = shared.clock.now_ms() / 1000;
    let seconds = seconds.max(stored.as_ref().map_or(0, |s| s.seconds)).max(1);
    let last_seconds = stored.as_ref().map_or(0, |s| s.seconds);
    let before = stored.map_or(0, |s| s.size);
    if head.size.0 == before {
        // The same head again with the time that is stored: a later one could leave here, be forgotten, and stand against this
        // witness once the clock goes back.
        return Ok(signer.cosign_line(&note.text, last_seconds));
    }
    if head.size.0 > before {
        // Each costs a frame of the journal for ever.
        if last_seconds == seconds {
            return Err(WitnessError::TooSoon);
        }
        let witnessed = WitnessedHead {
            origin: head.origin.clone(),
            size: head.size.0,
            root: head.root.0.to_vec(),
            note: note.keep(&keys),
            seconds,
            before,
        };
        let watched = Watched { witnessed: vec![witnessed], ..Watched::default() };
        match shared.own.submit(Draft { watched, ..Draft::default() }).await {
            Ok(_) => {}
            // Two requests raced: the later one starts from the head that the earlier one made durable.
            Err(DraftError::WitnessMoved) => {
                let now = Views(&*shared.store).witnessed(&asked.origin).await?;
                return Err(WitnessRefusal::Conflict(now.map_or(0, |h| h.size)).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    crate::metrics::cosigned(hub.as_str());
    // Extension lines are part of what is signed.
    Ok(signer.cosign_line(&note.text, seconds))
}

pub(crate) fn last_head(stored: &WitnessedHead) -> Option<LastHead> {
    Some(LastHead { size: stored.size, root: Hash::from_slice(&stored.root)? })
}

/// A head whose log signature holds and that has the size of the stored one and another root.
async fn contradicts(
    shared: &Shared,
    hub: &HubId,
    asked: &Checkpoint,
    note: &str,
    stored: &WitnessedHead,
) -> Result<(), WitnessError> {
    if asked.size.0 == stored.size && asked.root.0.as_slice() != stored.root {
        evidence::two_heads(shared, hub, &stored.note, note).await?;
    }
    Ok(())
}

/// Path of a log's last cosigned head under the monitoring prefix (C2SP tlog-witness).
pub(crate) fn monitoring_name(origin: &str) -> String {
    sha256(&[origin.as_bytes()]).to_hex()
}
