//! Proofs of misconduct: verified, kept, passed on, and what follows: quarantine. What can't be proven is an alarm for operators.

use std::sync::Arc;

use ewtp_log::evidence::{Evidence, EvidenceKind};
use ewtp_log::hash::sha256;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::StoredEvidence;
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views};
use ewtp_trust::{Chain, ChainTrust};

use crate::directory::Peer;
use crate::draft::{Draft, DraftError, NewStatement, Watched};
use crate::shared::Shared;

/// Longest evidence taken from a peer, bytes.
pub(crate) const EVIDENCE_BYTES_MAX: usize = 1 << 20;

/// Two signed heads of one size and two roots.
///
/// # Errors
/// The store.
pub(crate) async fn two_heads(
    shared: &Shared,
    hub: &HubId,
    a: &str,
    b: &str,
) -> Result<bool, StoreError> {
    let Some(peer) = shared.directory.load().peers.get(hub).cloned() else { return Ok(false) };
    let Some(origin) = peer.chain.origin() else { return Ok(false) };
    found(shared, &Evidence::split(hub, origin, a, b), "").await
}

/// Of a chain that contradicts the one held: the first version that differs, if both are signed.
///
/// # Errors
/// The store.
pub(crate) async fn rival_descriptor(
    shared: &Shared,
    held: &Chain,
    envelopes: &[String],
) -> Result<bool, StoreError> {
    let Some(origin) = held.origin() else { return Ok(false) };
    for (mine, theirs) in held.envelopes().iter().zip(envelopes) {
        if mine.trim() == theirs.trim() {
            continue;
        }
        let evidence = Evidence::descriptors(held.hub(), origin, mine, theirs);
        if found(shared, &evidence, "").await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes evidence if it proves something and is new; true if it did. `from` is who passed it on.
///
/// # Errors
/// The store.
pub(crate) async fn found(
    shared: &Shared,
    evidence: &Evidence,
    from: &str,
) -> Result<bool, StoreError> {
    let Some(peer) = shared.directory.load().peers.get(&evidence.hub).cloned() else {
        return Ok(false);
    };
    let trust = ChainTrust::new(&peer.chain);
    if let Err(why) = evidence.verify(&trust) {
        tracing::debug!(against = %evidence.hub, kind = evidence.kind.word(), %why, "no evidence");
        return Ok(false);
    }
    let text = evidence.to_text();
    let digest = sha256(&[text.as_bytes()]);
    let guilty = guilty(shared, evidence, &trust);
    let against = guilty.as_ref().map(ToString::to_string).unwrap_or_default();
    // From here on one at a time: the proof and what follows from it are one frame.
    let act = Arc::clone(&shared.acts).lock_owned().await;
    // One misconduct can be written down without end.
    let held = Views(&*shared.store).evidence().await?;
    let same = held.iter().filter(|e| e.against == against && e.kind == evidence.kind.word());
    let mut known = same.filter_map(|e| Evidence::parse(&e.text).ok());
    if known.any(|k| k.origin == evidence.origin && !evidence.shows_more_than(&k)) {
        return Ok(true);
    }
    tracing::error!(against, kind = evidence.kind.word(), evidence = %digest.to_hex(), "misconduct is proven");
    crate::metrics::evidence(evidence.kind.word());
    let stored = StoredEvidence {
        digest: digest.0.to_vec(),
        text,
        against,
        kind: evidence.kind.word().to_owned(),
        found_ms: shared.clock.now_ms(),
        from: from.to_owned(),
    };
    let mut draft = Draft {
        watched: Watched { evidence: vec![stored], ..Watched::default() },
        ..Draft::default()
    };
    if let Some(hub) = guilty {
        match quarantine(shared, &hub, evidence.kind, &digest) {
            Ok(statements) => draft.statements = statements,
            Err(error) => tracing::error!(%hub, %error, "no randomness to log the quarantine with"),
        }
    }
    match shared.own.submit_act(draft, act).await {
        Ok(_) | Err(DraftError::InDoubt) => {}
        Err(error) => tracing::error!(%error, "evidence could not be kept"),
    }
    Ok(true)
}

/// Whom it convicts among the pinned: the hub, or the hub whose witness key signed.
fn guilty(shared: &Shared, evidence: &Evidence, trust: &ChainTrust<'_>) -> Option<HubId> {
    if evidence.kind != EvidenceKind::Witness {
        return Some(evidence.hub.clone());
    }
    let keys = evidence.convicted_witnesses(trust);
    let directory = shared.directory.load();
    let has = |p: &&Arc<Peer>| keys.iter().any(|k| p.has_witness_key(k));
    directory.peers.values().find(has).map(|p| p.hub.clone())
}

/// Withdraws recognition from a peer, not service, and says so to it: what has to be logged. The caller holds the lock of acts.
fn quarantine(
    shared: &Shared,
    hub: &HubId,
    kind: EvidenceKind,
    digest: &Hash,
) -> Result<Vec<NewStatement>, getrandom::Error> {
    let peer = shared.directory.load().peers.get(hub).cloned();
    let free = |p: &Arc<Peer>| {
        matches!(p.record.state(), v1::PeerState::Active | v1::PeerState::Suspended)
    };
    let Some(peer) = peer.filter(free) else { return Ok(Vec::new()) };
    let reason = format!("evidence {} ({}): {}", digest.to_hex(), kind.word(), kind.meaning());
    let record = v1::PeerRecord {
        state: v1::PeerState::Quarantined as i32,
        version: peer.record.version + 1,
        reason: reason.clone(),
        ..peer.record.clone()
    };
    let text = format!("{hub} is in quarantine: {reason}");
    shared.warn(&format!("quarantine of {hub}"), Some(text));
    standing(&record, &reason, true)
}

/// The peer's new record, and the statement that tells it.
///
/// # Errors
/// No randomness.
pub(crate) fn standing(
    record: &v1::PeerRecord,
    reason: &str,
    quarantined: bool,
) -> Result<Vec<NewStatement>, getrandom::Error> {
    let version = u64::from(record.version);
    let internal = NewStatement::new("peer", &record.hub, version)?
        .part("core", &v1::RulesetCore::default())?
        .part("internal", record)?;
    let core = v1::StandingCore {
        hub: record.hub.clone(),
        quarantined,
        reason: reason.to_owned(),
        reinstated: record.state() == v1::PeerState::Active,
    };
    let mut told = NewStatement::new("standing", &record.hub, version)?.part("core", &core)?;
    told.audience.extend(record.hub.parse::<HubId>().ok());
    Ok(vec![internal, told])
}
