//! Receipts: for own statements from the own log; for heard ones with a proof that the hub that said them gives.

use std::sync::Arc;
use std::time::Duration;

use ewtp_log::lane::{LaneTable, slot_blind};
use ewtp_log::opening::{LaneEntry, LanePath};
use ewtp_log::proof::TlogProof;
use ewtp_log::receipt::Receipt;
use ewtp_log::{HubId, LaneNumber, LogIndex};
use ewtp_proto::store::v1::Locator;
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_store::{Statement, StoreError, Views};

use crate::casebook::Viewer;
use crate::client;
use crate::directory::Peer;
use crate::durable::DurableHead;
use crate::shared::Shared;

/// How long the issuer of a statement may take for its proof.
const ISSUER_PATIENCE: Duration = Duration::from_secs(10);

/// Whether the lane path is wanted: it shows that lane's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneWanted {
    /// Leave it out.
    No,
    /// Add it.
    Yes,
}

/// Why no receipt could be given.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The statement isn't here.
    #[error("this hub holds no such statement of that case")]
    Unknown,
    /// The issuer can't be asked.
    #[error("the proof has to come from {hub}, which can't be reached now: {problem}")]
    Issuer {
        /// Who said the statement.
        hub: String,
        /// Why.
        problem: String,
    },
}

/// The head that a proof is given under: the first cosigned one that holds the entry, else the newest.
async fn proving_head(shared: &Shared, index: u64) -> Result<DurableHead, StoreError> {
    let views = Views(&*shared.store);
    if let Some(cosigned) = views.cosigned_from(index + 1).await?
        && let Some(head) = views.head_of(cosigned.size).await?
    {
        return Ok(DurableHead { checkpoint: cosigned.note.into(), ..DurableHead::of(&head)? });
    }
    Ok(shared.durable_above(index).await)
}

/// Inclusion of a log entry under a head.
async fn log_proof(
    shared: &Shared,
    head: &DurableHead,
    index: u64,
) -> Result<TlogProof, StoreError> {
    if index >= head.size {
        return Err(StoreError::Value(format!("log index {index} under a head of {}", head.size)));
    }
    let path = Views(&*shared.store).inclusion("", index, head.size).await?;
    Ok(TlogProof { extra: None, index, path, checkpoint: head.checkpoint.to_string() })
}

/// The lane path of a statement under the durable head; `None` where the peer has no lane or the statement isn't in it.
async fn lane_path(
    shared: &Shared,
    head: &DurableHead,
    peer: &HubId,
    number: u64,
) -> Result<Option<LanePath>, StoreError> {
    let views = Views(&*shared.store);
    let Some(slot) = head.slots.iter().find(|s| s.peer == *peer && number <= s.lane_size) else {
        return Ok(None);
    };
    let Some(index) = views.lane(peer.as_str(), number, 1).await?.first().copied() else {
        return Ok(None);
    };
    let Some(statement) = views.own(index).await? else { return Ok(None) };
    let table_index = LogIndex(head.size.saturating_sub(1));
    let key = &shared.identity.slot_key;
    let table = LaneTable::new(key, table_index, head.depth, &head.slots);
    Ok(Some(LanePath {
        peer: peer.clone(),
        slot: slot.slot,
        blind: slot_blind(key, table_index, slot.slot),
        size: slot.lane_size,
        root: slot.lane_root,
        table: table.path(slot.slot),
        log: views.inclusion("", table_index.0, head.size).await?,
        entry: Some(LaneEntry {
            number: LaneNumber(number),
            index: LogIndex(index),
            commitment: statement.commitment(),
            path: views.inclusion(peer.as_str(), number - 1, slot.lane_size).await?,
        }),
    }))
}

/// Proof texts for a peer that holds the statement at `number` of its lane. They hold no content.
///
/// # Errors
/// Reading.
pub async fn proof_for_peer(
    shared: &Shared,
    peer: &HubId,
    number: u64,
    index: u64,
    lane: LaneWanted,
) -> Result<Option<v1::GetProofResponse>, StoreError> {
    let mut head = proving_head(shared, index).await?;
    let held = Views(&*shared.store).lane(peer.as_str(), number, 1).await?;
    if number == 0 || held.first() != Some(&index) {
        return Ok(None);
    }
    let lane = match lane {
        LaneWanted::Yes => {
            let mut path = lane_path(shared, &head, peer, number).await?;
            if path.is_none() {
                head = shared.durable_above(index).await;
                path = lane_path(shared, &head, peer, number).await?;
            }
            path.map(|l| l.to_text())
        }
        LaneWanted::No => None,
    };
    let log = log_proof(shared, &head, index).await?.to_text();
    Ok(Some(v1::GetProofResponse { log, lane: lane.unwrap_or_default() }))
}

fn shown_parts(statement: &Statement, viewer: Viewer, wanted: &[String]) -> Vec<(String, Vec<u8>)> {
    let shown =
        |name: &str| viewer.sees(name) && (wanted.is_empty() || wanted.iter().any(|w| w == name));
    statement.parts.iter().filter(|(name, _)| shown(name)).cloned().collect()
}

/// Receipt of an own statement as a viewer may have it.
///
/// # Errors
/// Reading.
pub async fn receipt_of_own(
    shared: &Shared,
    index: u64,
    viewer: Viewer,
    wanted: &[String],
    peer: Option<&HubId>,
) -> Result<Option<String>, StoreError> {
    let views = Views(&*shared.store);
    let statement = views.own(index).await?.filter(|s| s.tombstone.is_none());
    let Some(statement) = statement else { return Ok(None) };
    // Log and lane have to open under one head, and commits go on meanwhile.
    let mut head = proving_head(shared, index).await?;
    let mut lane = None;
    if let Some(peer) = peer {
        lane = lane_of(shared, &head, peer, index).await?;
        if lane.is_none() {
            // It was said to that peer after the head that was cosigned.
            head = shared.durable_above(index).await;
            lane = lane_of(shared, &head, peer, index).await?;
        }
    }
    let receipt = Receipt {
        header: String::from_utf8_lossy(&statement.header).into_owned(),
        parts: shown_parts(&statement, viewer, wanted),
        attachments: Vec::new(),
        log: log_proof(shared, &head, index).await?,
        lane,
        descriptors: vec![shared.chain.load().newest_ref()],
    };
    Ok(Some(receipt.to_text()))
}

/// The lane path of a log index under a head, where that peer was told it by then.
async fn lane_of(
    shared: &Shared,
    head: &DurableHead,
    peer: &HubId,
    index: u64,
) -> Result<Option<LanePath>, StoreError> {
    match lane_number(shared, head, peer, index).await? {
        Some(number) => lane_path(shared, head, peer, number).await,
        None => Ok(None),
    }
}

/// Lane number of a log index: lanes are in order of addressing, so it is searched from the end.
async fn lane_number(
    shared: &Shared,
    head: &DurableHead,
    peer: &HubId,
    index: u64,
) -> Result<Option<u64>, StoreError> {
    let Some(slot) = head.slots.iter().find(|s| s.peer == *peer) else { return Ok(None) };
    let views = Views(&*shared.store);
    let mut end = slot.lane_size;
    while end > 0 {
        let first = end.saturating_sub(1023).max(1);
        let indexes = views.lane(peer.as_str(), first, 1024).await?;
        if let Some(at) = indexes.iter().position(|i| *i == index) {
            return Ok(Some(first + at as u64));
        }
        end = first - 1;
    }
    Ok(None)
}

/// Receipt of a statement heard from a peer, with that peer's proof.
///
/// # Errors
/// [`ReceiptError`].
pub async fn receipt_of_heard(
    shared: &Shared,
    at: &Locator,
    viewer: Viewer,
    wanted: &[String],
    lane: LaneWanted,
) -> Result<(String, String), ReceiptError> {
    let statement = Views(&*shared.store).statement(at).await?;
    let statement = statement.filter(|s| s.tombstone.is_none()).ok_or(ReceiptError::Unknown)?;
    let issuer = |problem: String| ReceiptError::Issuer { hub: at.peer.clone(), problem };
    let (peer, proof) = ask_issuer(shared, at, statement.index, lane).await?;
    let receipt = Receipt {
        header: String::from_utf8_lossy(&statement.header).into_owned(),
        parts: shown_parts(&statement, viewer, wanted),
        attachments: Vec::new(),
        log: TlogProof::parse(&proof.log).map_err(|e| issuer(e.to_string()))?,
        lane: LanePath::parse(&proof.lane),
        descriptors: vec![peer.chain.newest_ref()],
    };
    // A receipt that would not verify is not given out: better to hear it now than in court.
    receipt.verify(&peer.chain.receipt_trust()).map_err(|e| issuer(e.to_string()))?;
    Ok((receipt.to_text(), peer.chain.to_file()))
}

/// The proof that a peer gives of something that it said here.
async fn ask_issuer(
    shared: &Shared,
    at: &Locator,
    log_index: u64,
    lane: LaneWanted,
) -> Result<(Arc<Peer>, v1::GetProofResponse), ReceiptError> {
    let issuer = |problem: String| ReceiptError::Issuer { hub: at.peer.clone(), problem };
    let hub: HubId = at.peer.parse().map_err(|_| ReceiptError::Unknown)?;
    let peer = shared.directory.load().peers.get(&hub).cloned().ok_or(ReceiptError::Unknown)?;
    let channel = client::dial_peer(&shared.network, &shared.tls, &peer.chain)
        .await
        .map_err(|e| issuer(e.to_string()))?;
    let with_lane = lane == LaneWanted::Yes;
    let request = v1::GetProofRequest { lane_number: at.number, log_index, with_lane };
    let mut call = FederationServiceClient::new(channel);
    let proof = tokio::time::timeout(ISSUER_PATIENCE, call.get_proof(request)).await;
    let proof = proof.map_err(|_| issuer(format!("no answer within {ISSUER_PATIENCE:?}")))?;
    let proof = proof.map_err(|s| issuer(s.message().to_owned()))?.into_inner();
    Ok((peer, proof))
}

/// What is left to prove of a statement that was erased: that its commitment stands in its hub's log; with the hub's chain.
///
/// # Errors
/// [`ReceiptError`]; also for one that was not erased.
pub async fn proof_of_erased(
    shared: &Shared,
    at: &Locator,
) -> Result<(String, String), ReceiptError> {
    let statement = Views(&*shared.store).statement(at).await?;
    let statement = statement.filter(|s| s.tombstone.is_some()).ok_or(ReceiptError::Unknown)?;
    if at.peer.is_empty() {
        let head = proving_head(shared, statement.index).await?;
        let proof = log_proof(shared, &head, statement.index).await?;
        return Ok((proof.to_text(), shared.chain.load().to_file()));
    }
    let (peer, proof) = ask_issuer(shared, at, statement.index, LaneWanted::No).await?;
    Ok((proof.log, peer.chain.to_file()))
}
