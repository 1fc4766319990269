//! Peers tell each other the newest heads that they hold of everybody's logs, and the proofs of misconduct that they hold. Two views
//! of one log meet here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ewtp_log::evidence::Evidence;
use ewtp_log::note::Note;
use ewtp_log::page::LaneState;
use ewtp_log::tree::verify_consistency;
use ewtp_log::{Checkpoint, Hash, HubId};
use ewtp_proto::store::v1::StoredEvidence;
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_store::{StoreError, Views};
use tokio_util::sync::CancellationToken;

use crate::client;
use crate::directory::Peer;
use crate::evidence::{self, EVIDENCE_BYTES_MAX};
use crate::shared::Shared;
use crate::{lane_evidence, lane_sampling};

/// Longest wait for one peer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time for one peer in a round: nobody holds up the watching of the others.
const MEETING: Duration = Duration::from_secs(20);
/// Heads in one message.
pub(crate) const HEADS_MAX: usize = 4096;
/// Proofs of misconduct in one message.
const EVIDENCE_MAX: usize = 16;
/// So many failed proofs between two of its own heads in a row suspend a hub: no claim of guilt.
const UNPROVEN_MAX: u32 = 30;

/// A head that was seen and verified.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Size.
    pub size: u64,
    /// Root.
    pub root: Hash,
    /// The note.
    pub note: String,
}

/// Runs until `stop` fires.
///
/// # Errors
/// The store.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), StoreError> {
    let cadence = Duration::from_secs(shared.config.witness.cadence_s);
    for head in Views(&*shared.store).all_witnessed().await? {
        if let Some(root) = Hash::from_slice(&head.root) {
            shared.remember(&head.origin, Seen { size: head.size, root, note: head.note });
        }
    }
    let mut refused: BTreeMap<HubId, u32> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(cadence) => {}
        }
        let peers: Vec<Arc<Peer>> =
            shared.directory.load().peers.values().filter(|p| p.is_active()).cloned().collect();
        for peer in peers {
            let one = meet(&shared, &peer, &mut refused);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                met = tokio::time::timeout(MEETING, one) => met.unwrap_or(Ok(()))?,
            }
        }
    }
}

/// All that is to be done with one peer in a round.
async fn meet(
    shared: &Shared,
    peer: &Peer,
    refused: &mut BTreeMap<HubId, u32>,
) -> Result<(), StoreError> {
    lane_beside_seen(shared, peer).await?;
    watch_own(shared, peer, refused).await?;
    lane_sampling::look(shared, peer).await?;
    // Who is away is told by its lane's last error.
    match tokio::time::timeout(PATIENCE, exchange(shared, peer)).await {
        Ok(Ok(answer)) => hear(shared, &peer.hub, answer.heads, answer.evidence).await,
        _ => Ok(()),
    }
}

async fn exchange(shared: &Shared, peer: &Peer) -> Result<v1::GossipResponse, tonic::Status> {
    let mut client = dial(shared, peer).await?;
    let evidence = Views(&*shared.store).evidence().await;
    let evidence = evidence.map_err(|e| tonic::Status::internal(e.to_string()))?;
    let request = v1::GossipRequest { heads: shared.heads_held(), evidence: to_tell(&evidence) };
    Ok(client.gossip(request).await?.into_inner())
}

async fn dial(
    shared: &Shared,
    peer: &Peer,
) -> Result<FederationServiceClient<tonic::transport::Channel>, tonic::Status> {
    let channel = client::dial_peer(&shared.network, &shared.tls, &peer.chain).await;
    let channel = channel.map_err(|e| tonic::Status::unavailable(e.to_string()))?;
    Ok(FederationServiceClient::new(channel).max_decoding_message_size(32 << 20))
}

/// What this hub tells: the heads it holds, and evidence.
///
/// # Errors
/// Reading.
pub(crate) async fn tell(shared: &Shared) -> Result<v1::GossipResponse, StoreError> {
    let evidence = Views(&*shared.store).evidence().await?;
    Ok(v1::GossipResponse { heads: shared.heads_held(), evidence: to_tell(&evidence) })
}

/// As much evidence as a message holds, the newest first.
fn to_tell(evidence: &[StoredEvidence]) -> Vec<String> {
    let mut newest: Vec<&StoredEvidence> = evidence.iter().collect();
    newest.sort_by_key(|e| std::cmp::Reverse(e.found_ms));
    let mut room = EVIDENCE_BYTES_MAX;
    let fits = |e: &&StoredEvidence| {
        let fits = e.text.len() <= room;
        room = room.saturating_sub(e.text.len());
        fits
    };
    newest.into_iter().take(EVIDENCE_MAX).take_while(fits).map(|e| e.text.clone()).collect()
}

/// Takes heads and evidence from a peer: each counts by its signatures alone.
///
/// # Errors
/// The store.
pub(crate) async fn hear(
    shared: &Shared,
    from: &HubId,
    heads: Vec<Vec<u8>>,
    evidence: Vec<String>,
) -> Result<(), StoreError> {
    // One head of each log: more of them would only make this hub ask around.
    let mut logs = BTreeSet::new();
    for note in heads.into_iter().take(HEADS_MAX) {
        let origin = note.split(|b| *b == b'\n').next().unwrap_or_default();
        if logs.insert(origin.to_vec()) {
            head(shared, &note).await?;
        }
    }
    for text in evidence.into_iter().take(EVIDENCE_MAX).filter(|t| t.len() <= EVIDENCE_BYTES_MAX) {
        if let Ok(evidence) = Evidence::parse(&text) {
            evidence::found(shared, &evidence, from.as_str()).await?;
        }
    }
    Ok(())
}

/// A head of some log: compared with what is held of it.
///
/// # Errors
/// The store.
async fn head(shared: &Shared, note: &[u8]) -> Result<(), StoreError> {
    let Ok((head, parsed)) = Checkpoint::parse_note(note) else { return Ok(()) };
    let Some((peer, note)) = of_a_peer(shared, &head, &parsed) else { return Ok(()) };
    let seen = Seen { size: head.size.0, root: head.root, note };
    compare(shared, &peer, &head.origin, seen).await.map(drop)
}

/// How a head stands to the one that is held of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It is the same, or a proof joins the two, or none was held.
    Joined,
    /// The two can't be one log's.
    Split,
    /// The log doesn't join them.
    NotJoined,
    /// The log couldn't be asked.
    NotKnown,
}

/// A head that a page of a lane brought, verified against what that lane brought before: it has to stand beside what others were
/// shown as well. At first contact the log has to prove it at once; later it is asked at the next round, so that no page waits.
///
/// # Errors
/// The store.
pub(crate) async fn lane_head(
    shared: &Shared,
    peer: &Peer,
    before: &LaneState,
    checkpoint: &[u8],
) -> Result<Stands, StoreError> {
    let Ok((head, parsed)) = Checkpoint::parse_note(checkpoint) else {
        return Ok(Stands::NotKnown);
    };
    let Some((_, note)) = of_a_peer(shared, &head, &parsed) else { return Ok(Stands::NotKnown) };
    let seen = Seen { size: head.size.0, root: head.root, note };
    let held = shared.seen(&head.origin);
    let first_contact = before.head_size.0 == 0;
    match held {
        Some(held) if held.size != seen.size && !first_contact => {
            if (held.size, held.root) == (before.head_size.0, before.head_root) {
                shared.remember(&head.origin, seen);
            }
            Ok(Stands::Joined)
        }
        _ => compare(shared, peer, &head.origin, seen).await,
    }
}

/// The last head of a peer's lane beside the newest head of that log that is known.
async fn lane_beside_seen(shared: &Shared, peer: &Peer) -> Result<(), StoreError> {
    match shared.held_head(&peer.hub) {
        Some(held) => head(shared, held.note.as_bytes()).await,
        None => Ok(()),
    }
}

async fn compare(
    shared: &Shared,
    peer: &Peer,
    origin: &str,
    seen: Seen,
) -> Result<Stands, StoreError> {
    match shared.seen(origin) {
        Some(held) if held.size == seen.size && held.root != seen.root => {
            evidence::two_heads(shared, &peer.hub, &held.note, &seen.note).await?;
            Ok(Stands::Split)
        }
        // An old head is told by anybody; only the log itself can join the two.
        Some(held) if held.size != seen.size => join(shared, peer, held, seen).await,
        Some(_) => Ok(Stands::Joined),
        None => {
            shared.remember(origin, seen);
            Ok(Stands::Joined)
        }
    }
}

/// Whose head it is, with the lines that hold.
fn of_a_peer(shared: &Shared, head: &Checkpoint, note: &Note) -> Option<(Arc<Peer>, String)> {
    let directory = shared.directory.load();
    let its = |p: &&Arc<Peer>| p.chain.origin().is_some_and(|o| o.as_str() == head.origin);
    let peer = directory.peers.values().find(its).cloned()?;
    if note.text != head.to_text() {
        return None; // a hub writes no extension lines
    }
    let keys = peer.chain.log_keys(shared.clock.now_ms());
    note.verify(&keys).ok()?;
    let kept = note.keep(&peer.chain.receipt_trust().keys);
    Some((peer, kept))
}

/// Asks the log for the proof that joins two of its heads.
async fn join(shared: &Shared, peer: &Peer, held: Seen, new: Seen) -> Result<Stands, StoreError> {
    let (small, large) = if held.size < new.size { (&held, &new) } else { (&new, &held) };
    let key = format!("{} between {} and {}", peer.hub, small.size, large.size);
    if shared.joined_already(&key, &small.root, &large.root) {
        return Ok(Stands::Joined);
    }
    let asked = tokio::time::timeout(PATIENCE, proof(shared, peer, small.size, large.size)).await;
    let joined = match asked {
        Ok(Ok(proof)) => proof.is_some_and(|proof| {
            verify_consistency(small.size, large.size, &small.root, &large.root, &proof).is_ok()
        }),
        Ok(Err(status)) if !is_away(&status) => false,
        _ => return Ok(Stands::NotKnown), // asked again at the next meeting
    };
    let topic = format!("heads of {}", peer.hub);
    if joined {
        shared.warn(&topic, None);
        shared.note_joined(key, small.root, large.root);
        if new.size > held.size {
            shared.remember_newest(peer, new);
        }
        return Ok(Stands::Joined);
    }
    let text = format!(
        "{}'s log can't prove that its head of {} follows from its head of {}: an alarm, no proof; both notes are in the log of this hub",
        peer.hub, large.size, small.size
    );
    tracing::error!(peer = %peer.hub, held = held.note, new = new.note, "two heads of a log are not joined");
    shared.warn(&topic, Some(text));
    crate::metrics::alarm("heads-not-joined");
    lane_evidence::look_for_fork(shared, peer).await?;
    Ok(Stands::NotJoined)
}

/// Whether a status says that nobody answered, rather than what the answer is.
fn is_away(status: &tonic::Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    )
}

async fn proof(
    shared: &Shared,
    peer: &Peer,
    from_size: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, tonic::Status> {
    let request = v1::GetHeadRequest { origin: String::new(), from_size, size };
    let answer = dial(shared, peer).await?.get_head(request).await?.into_inner();
    Ok(answer.consistency.iter().map(|h| Hash::from_slice(h)).collect())
}

/// Asks a peer for the newest head of its own log, and for the proof that it follows from the one that is held.
async fn watch_own(
    shared: &Shared,
    peer: &Peer,
    refused: &mut BTreeMap<HubId, u32>,
) -> Result<(), StoreError> {
    let Some(origin) = peer.chain.origin() else { return Ok(()) };
    let held = shared.seen(origin.as_str());
    let from_size = held.as_ref().map_or(0, |h| h.size);
    let request = v1::GetHeadRequest { origin: String::new(), from_size, size: 0 };
    let asked = async { dial(shared, peer).await?.get_head(request).await };
    let answer = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => answer.into_inner(),
        // A log that says that it has fewer entries than it signed answers as well.
        Ok(Err(status)) if !is_away(&status) && held.is_some() => v1::GetHeadResponse::default(),
        _ => return Ok(()),
    };
    let head = Checkpoint::parse_note(&answer.checkpoint).ok();
    let new = head.and_then(|(head, note)| {
        let (_, note) = of_a_peer(shared, &head, &note)?;
        Some(Seen { size: head.size.0, root: head.root, note })
    });
    let Some(held) = held else {
        if let Some(new) = new {
            shared.remember(origin.as_str(), new);
        }
        return Ok(());
    };
    if let Some(new) = new.as_ref().filter(|n| n.size == held.size && n.root != held.root) {
        evidence::two_heads(shared, &peer.hub, &held.note, &new.note).await?;
        return Ok(());
    }
    let proof: Option<Vec<Hash>> = answer.consistency.iter().map(|h| Hash::from_slice(h)).collect();
    let follows = new.filter(|new| {
        new.size >= held.size
            && proof.is_some_and(|p| {
                verify_consistency(held.size, new.size, &held.root, &new.root, &p).is_ok()
            })
    });
    let topic = format!("own head of {}", peer.hub);
    if let Some(new) = follows {
        refused.remove(&peer.hub);
        shared.warn(&topic, None);
        shared.remember_newest(peer, new);
        return Ok(());
    }
    let times = refused.entry(peer.hub.clone()).or_default();
    *times += 1;
    let text = format!(
        "{} does not prove that its newest head follows from its head of {} ({times} times in a row): an alarm, no proof of misconduct; call its operator",
        peer.hub, held.size
    );
    shared.warn(&topic, Some(text));
    crate::metrics::alarm("own-head-not-proven");
    if *times == UNPROVEN_MAX {
        let reason = format!(
            "it refuses a consistency proof from its head of {} to its newest one; no claim of guilt",
            held.size
        );
        suspend(shared, peer, &reason).await?;
    }
    Ok(())
}

async fn suspend(shared: &Shared, peer: &Peer, reason: &str) -> Result<(), StoreError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    // As it is now: an operator, or a proof, may have been faster.
    let now = shared.directory.load().peers.get(&peer.hub).cloned();
    let Some(peer) = now.filter(|p| p.is_trusted()) else { return Ok(()) };
    let record = v1::PeerRecord {
        state: v1::PeerState::Suspended as i32,
        version: peer.record.version + 1,
        reason: reason.to_owned(),
        ..peer.record.clone()
    };
    let statements = match evidence::standing(&record, reason, false) {
        Ok(statements) => statements,
        Err(error) => {
            tracing::error!(%error, "no randomness to log the suspension with");
            return Ok(());
        }
    };
    let draft = crate::draft::Draft { statements, ..Default::default() };
    if let Err(error) = shared.own.submit_act(draft, act).await {
        tracing::error!(peer = %peer.hub, %error, "the suspension could not be logged");
    }
    Ok(())
}

/// At first contact: everybody pinned is asked for their head of that log, and it has to agree with what the log itself says.
///
/// # Errors
/// The store.
pub(crate) async fn first_contact(shared: &Shared, hub: &HubId) -> Result<(), StoreError> {
    for other in shared.directory.load_full().active_but(hub) {
        if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, exchange(shared, &other)).await {
            hear(shared, &other.hub, answer.heads, answer.evidence).await?;
        }
    }
    Ok(())
}

impl Shared {
    /// The newest verified head of a log.
    pub(crate) fn seen(&self, origin: &str) -> Option<Seen> {
        self.watching.seen_heads.lock().unwrap_or_else(PoisonError::into_inner).get(origin).cloned()
    }

    fn remember(&self, origin: &str, seen: Seen) {
        let mut all = self.watching.seen_heads.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = all.get(origin).is_none_or(|held| held.size < seen.size);
        if newer {
            all.insert(origin.to_owned(), seen);
        }
    }

    fn remember_newest(&self, peer: &Peer, seen: Seen) {
        if let Some(origin) = peer.chain.origin() {
            self.remember(origin.as_str(), seen);
        }
    }

    /// Heads of all logs that this hub holds, its own newest first.
    pub(crate) fn heads_held(&self) -> Vec<Vec<u8>> {
        let own = self.head.borrow().checkpoint.as_bytes().to_vec();
        let all = self.watching.seen_heads.lock().unwrap_or_else(PoisonError::into_inner);
        let others = all.values().map(|s| s.note.clone().into_bytes());
        std::iter::once(own).chain(others).take(HEADS_MAX).collect()
    }

    fn joined_already(&self, key: &str, small: &Hash, large: &Hash) -> bool {
        let joined = self.watching.joined_heads.lock().unwrap_or_else(PoisonError::into_inner);
        joined.get(key).is_some_and(|held| *held == (*small, *large))
    }

    fn note_joined(&self, key: String, small: Hash, large: Hash) {
        let mut joined = self.watching.joined_heads.lock().unwrap_or_else(PoisonError::into_inner);
        if joined.len() >= HEADS_MAX {
            joined.clear();
        }
        joined.insert(key, (small, large));
    }
}
