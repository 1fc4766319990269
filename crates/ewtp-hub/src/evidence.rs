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
    if Views(&*shared.store).holds_evidence(&digest.0).await? {
        return Ok(true);
    }
    let guilty = guilty(shared, evidence, &trust);
    let stored = StoredEvidence {
        digest: digest.0.to_vec(),
        text,
        against: guilty.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind: evidence.kind.word().to_owned(),
        found_ms: shared.clock.now_ms(),
        from: from.to_owned(),
    };
    tracing::error!(against = stored.against, kind = stored.kind, evidence = %digest.to_hex(), "misconduct is proven");
    crate::metrics::evidence(evidence.kind.word());
    let watched = Watched { evidence: vec![stored], ..Watched::default() };
    match shared.own.submit(Draft { watched, ..Draft::default() }).await {
        Ok(_) | Err(DraftError::InDoubt) => {}
        Err(error) => tracing::warn!(%error, "evidence could not be kept"),
    }
    if let Some(hub) = guilty {
        quarantine(shared, &hub, evidence.kind, &digest).await?;
    }
    Ok(true)
}

/// Whom it convicts among the pinned: the hub, or the hub whose witness key signed.
fn guilty(shared: &Shared, evidence: &Evidence, trust: &ChainTrust<'_>) -> Option<HubId> {
    if evidence.kind != EvidenceKind::Witness {
        return Some(evidence.hub.clone());
    }
    let names = evidence.convicted_witnesses(trust);
    let directory = shared.directory.load();
    let has = |p: &&Arc<Peer>| p.witness_keys().iter().any(|k| names.iter().any(|n| n == k.name()));
    directory.peers.values().find(has).map(|p| p.hub.clone())
}

/// Withdraws recognition from a peer, not service, and says so to it.
async fn quarantine(
    shared: &Shared,
    hub: &HubId,
    kind: EvidenceKind,
    digest: &Hash,
) -> Result<(), StoreError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let Some(peer) = shared.directory.load().peers.get(hub).cloned() else { return Ok(()) };
    if !matches!(peer.record.state(), v1::PeerState::Active | v1::PeerState::Suspended) {
        return Ok(());
    }
    let reason = format!("evidence {} ({}): {}", digest.to_hex(), kind.word(), kind.meaning());
    let record = v1::PeerRecord {
        state: v1::PeerState::Quarantined as i32,
        version: peer.record.version + 1,
        reason: reason.clone(),
        ..peer.record.clone()
    };
    shared.warn(&format!("quarantine of {hub}"), Some(format!("{hub} is in quarantine: {reason}")));
    let draft = match standing(&record, &reason, true) {
        Ok(statements) => Draft { statements, ..Draft::default() },
        Err(error) => {
            tracing::error!(%hub, %error, "no randomness to log the quarantine with");
            return Ok(());
        }
    };
    match shared.own.submit_act(draft, act).await {
        Ok(_) | Err(DraftError::InDoubt) => Ok(()),
        Err(error) => {
            tracing::error!(%hub, %error, "the quarantine could not be logged");
            Ok(())
        }
    }
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
