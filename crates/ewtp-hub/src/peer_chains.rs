//! Descriptors of peers, outside the lanes: taken from the head of each stream, from the peer's public listener and from any other
//! peer, so that a hub that slept over any number of rotations finds back by itself.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ewtp_log::note::{Verified, VerifierKey};
use ewtp_log::{Checkpoint, HubId};
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_store::{StoreError, Views};
use ewtp_trade::route::overlap;
use ewtp_trust::retired::check_retirement;
use ewtp_trust::{Chain, ChainError, Descriptor};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client;
use crate::directory::{Peer, speaker};
use crate::draft::DraftError;
use crate::shared::Shared;
use crate::{evidence, own_chain, web};

/// A peer's chain is looked for at most so often.
const BUDGET: Duration = Duration::from_secs(60);
/// Longest wait for one source.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest chain file read, bytes.
const CHAIN_BYTES_MAX: u64 = 64 << 20;

/// Takes what is new in a chain that somebody showed; true if it was longer. Whoever showed it needs no trust: every step is signed
/// by the step before.
///
/// # Errors
/// The chain is refused, or the store fails.
pub(crate) async fn take(
    shared: &Shared,
    peer: &Peer,
    envelopes: &[String],
) -> Result<bool, TakeError> {
    // One step at a time: two streams may bring the same.
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let held = match shared.directory.load().peers.get(&peer.hub) {
        Some(now) => now.chain.clone(),
        None => return Ok(false),
    };
    let mut chain = held.clone();
    match chain.extend(envelopes) {
        Ok(false) => return Ok(false),
        Ok(true) => {}
        Err(error) => {
            drop(act); // a proof of misconduct is an act of its own
            evidence::rival_descriptor(shared, &held, envelopes).await?;
            return Err(error.into());
        }
    }
    if let Some(problem) = problem(shared, &held, &chain).await? {
        return Err(TakeError::Refused(problem));
    }
    shared.own.submit_act(own_chain::learnt(&chain, held.newest().version), act).await?;
    tracing::info!(peer = %peer.hub, version = chain.newest().version, "a new descriptor of a peer is in use");
    Ok(true)
}

/// Why a chain is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It is no continuation of the one held.
    #[error("descriptors refused: {0}")]
    Chain(#[from] ChainError),
    /// It names what it may not.
    #[error("descriptors refused: {0}")]
    Refused(String),
    /// Committing.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a hub may not give itself: another's TLS key, and a closing head below what this hub verified already.
async fn problem(
    shared: &Shared,
    held: &Chain,
    chain: &Chain,
) -> Result<Option<String>, StoreError> {
    if let Some(problem) = taken_from_others(shared, chain) {
        return Ok(Some(problem));
    }
    let seen = heads_verified(shared, held).await?;
    Ok(closed_too_early(held, chain, &seen))
}

/// A TLS key or a territory of another hub.
fn taken_from_others(shared: &Shared, chain: &Chain) -> Option<String> {
    let directory = shared.directory.load();
    let own = shared.own_descriptor();
    let newest = chain.newest();
    let others = directory.peers.values().filter(|p| p.hub != newest.hub).map(|p| p.chain.newest());
    let taken =
        others.chain([&own]).find(|d| d.tls_pins.iter().any(|pin| newest.tls_pins.contains(pin)));
    if let Some(other) = taken {
        return Some(format!("version {} names a TLS key of {}", newest.version, other.hub));
    }
    let there = |p: &&Arc<Peer>| p.hub != newest.hub && p.is_known();
    let others = directory.peers.values().filter(there).map(|p| p.chain.newest());
    let spoken_for =
        others.chain([&own]).find_map(|d| Some((&d.hub, overlap(&speaker(d), &speaker(newest))?)));
    if let Some((other, both)) = spoken_for {
        return Some(format!(
            "version {} speaks for {both}, which {other} speaks for; nothing has two hubs",
            newest.version
        ));
    }
    None
}

/// A key that ends below a head that this hub verified already.
fn closed_too_early(
    held: &Chain,
    chain: &Chain,
    seen: &[(Checkpoint, Verified)],
) -> Option<String> {
    let mut steps = chain.descriptors().iter().filter(|d| d.version >= held.newest().version);
    let mut before = steps.next()?;
    for after in steps {
        let retired = |d: &Descriptor, key: &VerifierKey| {
            d.generations
                .iter()
                .flat_map(|g| &g.keys)
                .any(|k| k.vkey == *key && k.closing.is_some())
        };
        let newly = after.generations.iter().flat_map(|g| &g.keys);
        for key in newly.filter(|k| k.closing.is_some() && !retired(before, &k.vkey)) {
            if let Err(refused) = check_retirement(before, key, seen) {
                return Some(format!("version {}: {refused}", after.version));
            }
        }
        before = after;
    }
    None
}

/// Heads of a log that this hub verified, with who signed them: what it was shown since its start, and the last that is stored.
async fn heads_verified(
    shared: &Shared,
    chain: &Chain,
) -> Result<Vec<(Checkpoint, Verified)>, StoreError> {
    let keys = chain.receipt_trust().keys;
    let lane = shared.held_head(chain.hub()).map(|h| h.note);
    let seen = chain.origin().and_then(|o| shared.seen(o.as_str())).map(|s| s.note);
    let generation = chain.origin().map_or(1, |o| o.generation());
    let heard = Views(&*shared.store).heard_head(chain.hub().as_str(), generation).await?;
    let heard = heard.and_then(|note| String::from_utf8(note).ok());
    let open = |note: String| {
        let (head, note) = Checkpoint::parse_note(note.as_bytes()).ok()?;
        Some((head, note.verify(&keys).ok()?))
    };
    Ok(lane.into_iter().chain(seen).chain(heard).filter_map(open).collect())
}

/// Looks for a longer chain of a peer, within the budget: first where the peer publishes it, then at all others.
pub(crate) async fn refresh(shared: &Arc<Shared>, hub: &HubId) -> bool {
    if !may_look(shared, hub) {
        return false;
    }
    let Some(peer) = shared.directory.load().peers.get(hub).cloned() else { return false };
    let url = shared.config.public_url(&peer.hub, &peer.chain.newest().log_url);
    if let Ok(bytes) = web::get(format!("{url}/descriptors"), CHAIN_BYTES_MAX).await
        && let Ok(text) = String::from_utf8(bytes)
        && taken(shared, &peer, &text.lines().map(str::to_owned).collect::<Vec<_>>()).await
    {
        return true;
    }
    for other in shared.directory.load_full().active_but(hub) {
        let asked = tokio::time::timeout(PATIENCE, ask(shared, &other, hub)).await;
        if let Ok(Some(envelopes)) = asked
            && taken(shared, &peer, &envelopes).await
        {
            return true;
        }
    }
    false
}

/// After a key was refused at the door the peers' chains are looked for: one may have a new key. A task of its own, so that nothing
/// else waits for whoever knocks. Runs until `stop` fires.
///
/// # Errors
/// None so far: it is a task like the others.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), StoreError> {
    let cadence = Duration::from_secs(shared.config.witness.cadence_s);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(cadence) => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = after_unknown_keys(&shared) => {}
        }
    }
}

async fn after_unknown_keys(shared: &Arc<Shared>) {
    let refused = {
        let mut keys = shared.watching.unknown_keys.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *keys)
    };
    let directory = shared.directory.load_full();
    if refused.iter().all(|key| directory.peer_by_key(key).is_some()) {
        return;
    }
    for hub in directory.peers.values().filter(|p| p.is_active()).map(|p| &p.hub) {
        refresh(shared, hub).await;
    }
}

/// Most refused keys remembered for a round.
const UNKNOWN_KEYS_MAX: usize = 64;

impl Shared {
    pub(crate) fn note_unknown_key(&self, key: &[u8; 32]) {
        let mut keys = self.watching.unknown_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < UNKNOWN_KEYS_MAX {
            keys.insert(*key);
        }
    }
}

async fn taken(shared: &Shared, peer: &Peer, envelopes: &[String]) -> bool {
    match take(shared, peer, envelopes).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::warn!(peer = %peer.hub, %error, "a chain is not taken");
            false
        }
    }
}

fn may_look(shared: &Shared, hub: &HubId) -> bool {
    let mut looked =
        shared.watching.chains_looked_for.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let due = looked.get(hub).is_none_or(|last| now.duration_since(*last) >= BUDGET);
    if due {
        looked.insert(hub.clone(), now);
    }
    due
}

async fn ask(shared: &Shared, at: &Peer, hub: &HubId) -> Option<Vec<String>> {
    let channel = client::dial_peer(&shared.network, &shared.tls, &at.chain).await.ok()?;
    let request = v1::GetDescriptorsRequest { hub: hub.to_string() };
    let answer = FederationServiceClient::new(channel)
        .max_decoding_message_size(CHAIN_BYTES_MAX as usize)
        .get_descriptors(request)
        .await;
    answer.ok()?.into_inner().chains.into_iter().next().map(|c| c.envelopes)
}
