//! What is settled: heads that enough witnesses cosigned, by this hub's policy. Cosignatures travel beside pages; what they
//! don't cover yet is delivered and shown, and not relied upon.

use std::sync::{Arc, PoisonError};

use ewtp_log::note::{Note, VerifierKey};
use ewtp_log::page::LaneState;
use ewtp_log::tree::verify_consistency;
use ewtp_log::{Checkpoint, Hash, HubId};
use ewtp_proto::v1;
use ewtp_store::keys::LOG_TREE;
use ewtp_store::{StoreError, Views};

use crate::directory::Peer;
use crate::lane_server::Position;
use crate::shared::Shared;

/// Why a cosigned note is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CosignedError {
    /// Not a head of the peer's log with a signature that holds.
    #[error("not a cosigned head of its log: {0}")]
    Note(String),
    /// It doesn't follow from the head that is held, or that from it.
    #[error(
        "the cosigned head of {cosigned} and the head of {held} that was said are not joined by its proof"
    )]
    NotJoined {
        /// Size cosigned.
        cosigned: u64,
        /// Size held.
        held: u64,
    },
}

impl Shared {
    /// Keys of all witnesses that this hub knows, and who has each: pinned hubs, and those named in the configuration.
    fn witnesses(&self) -> Vec<(VerifierKey, String)> {
        let directory = self.directory.load();
        let of = |p: &Arc<Peer>| {
            let hub = p.hub.to_string();
            p.witness_keys().into_iter().map(move |k| (k, hub.clone())).collect::<Vec<_>>()
        };
        let mut all: Vec<_> =
            directory.peers.values().filter(|p| p.is_trusted()).flat_map(of).collect();
        if let Some(own) = self.own_descriptor().witness {
            all.push((own, self.identity.hub.to_string()));
        }
        let external = self.config.witness.external.iter();
        all.extend(external.filter_map(|e| {
            let key = VerifierKey::parse(&e.vkey).ok()?;
            let name = key.name().to_owned();
            Some((key, name))
        }));
        all
    }

    /// Who cosigned a note, by the names that policies use.
    pub(crate) fn cosigners(&self, note: &str) -> Vec<String> {
        let witnesses = self.witnesses();
        let keys: Vec<VerifierKey> = witnesses.iter().map(|(k, _)| k.clone()).collect();
        let Ok(parsed) = Note::parse(note.as_bytes()) else { return Vec::new() };
        let Ok(verified) = parsed.verify(&keys) else { return Vec::new() };
        let name = |key: &VerifierKey| witnesses.iter().find(|(k, _)| k == key);
        verified.witnesses.iter().filter_map(|(k, _)| name(k)).map(|(_, n)| n.clone()).collect()
    }

    /// Whether a note's cosignatures meet the policy for a head of `issuer`. For an own head the receiver is whoever asks.
    pub(crate) fn is_settled(&self, note: &str, issuer: &HubId, receiver: Option<&HubId>) -> bool {
        let receiver = receiver.unwrap_or(&self.identity.hub);
        let quorum = self.config.witness.quorum();
        quorum.is_some_and(|q| q.is_met(&self.cosigners(note), issuer, receiver))
    }

    /// Size of a peer's log up to which it is settled; `None` where the policy demands nothing.
    #[must_use]
    pub fn settled_size(&self, hub: &str) -> Option<u64> {
        self.config.witness.quorum()?;
        if hub == self.identity.hub.as_str() {
            let own = self.cosigned.borrow();
            return Some(if own.settled { own.size } else { 0 });
        }
        let settled = self.watching.settled.lock().unwrap_or_else(PoisonError::into_inner);
        Some(settled.get(hub).copied().unwrap_or_default())
    }
}

/// The newest cosigned own head for a subscriber that holds the head of `at`, joined to it by a proof.
///
/// # Errors
/// Reading.
pub(crate) async fn for_subscriber(
    shared: &Shared,
    at: Position,
    sent: &mut u64,
) -> Result<Option<v1::CosignedNote>, StoreError> {
    let cosigned = shared.cosigned.borrow().clone();
    if cosigned.size == 0 || cosigned.size <= *sent || at.head_size == 0 {
        return Ok(None);
    }
    let (small, large) = (cosigned.size.min(at.head_size), cosigned.size.max(at.head_size));
    let proof = Views(&*shared.store).consistency(LOG_TREE, small, large).await?;
    *sent = cosigned.size;
    Ok(Some(v1::CosignedNote {
        note: cosigned.note.clone().into_bytes(),
        held_size: at.head_size,
        consistency: proof.iter().map(|h| h.0.to_vec()).collect(),
    }))
}

/// Takes a cosigned head of a peer whose lane stands at `state`.
///
/// # Errors
/// [`CosignedError`].
pub(crate) fn take(
    shared: &Shared,
    peer: &Peer,
    state: &LaneState,
    message: &v1::CosignedNote,
) -> Result<(), CosignedError> {
    let bad = |e: String| CosignedError::Note(e);
    let (head, note) = Checkpoint::parse_note(&message.note).map_err(|e| bad(e.to_string()))?;
    let keys = peer.chain.log_keys(shared.clock.now_ms());
    note.verify(&keys).map_err(|e| bad(e.to_string()))?;
    if peer.chain.origin().is_none_or(|o| o.as_str() != head.origin) {
        return Err(bad(format!("it is of {}", head.origin)));
    }
    if message.held_size != state.head_size.0 {
        return Ok(()); // it crossed a page; the next one fits
    }
    let held = (state.head_size.0, state.head_root);
    let new = (head.size.0, head.root);
    let (small, large) = if new.0 <= held.0 { (new, held) } else { (held, new) };
    let proof: Option<Vec<Hash>> =
        message.consistency.iter().map(|h| Hash::from_slice(h)).collect();
    let joined = proof.is_some_and(|proof| {
        verify_consistency(small.0, large.0, &small.1, &large.1, &proof).is_ok()
    });
    if !joined {
        return Err(CosignedError::NotJoined { cosigned: new.0, held: held.0 });
    }
    let text = String::from_utf8_lossy(&message.note);
    if shared.is_settled(&text, &peer.hub, None) {
        let mut settled = shared.watching.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let size = settled.entry(peer.hub.to_string()).or_default();
        *size = (*size).max(new.0);
    }
    Ok(())
}
