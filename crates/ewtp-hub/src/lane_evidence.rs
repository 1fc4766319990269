//! What a receiver keeps of each lane to prove a lie with: the last head that it accepted, opened to its own lane. When a later
//! page doesn't follow, the issuer is asked to open the lane again, and the two openings are put side by side.

use std::sync::PoisonError;
use std::time::Duration;

use ewtp_log::evidence::{Evidence, Subtree};
use ewtp_log::lane::lane_leaf;
use ewtp_log::opening::{LaneEntry, LanePath};
use ewtp_log::page::{LaneState, Page};
use ewtp_log::proof::TlogProof;
use ewtp_log::tree::Frontier;
use ewtp_log::{Checkpoint, Hash, Header, HubId, LaneNumber, Origin};
use ewtp_proto::store::v1::Locator;
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_store::{StoreError, Views};

use crate::directory::Peer;
use crate::shared::Shared;
use crate::{client, evidence};

/// Longest wait for one hub.
const PATIENCE: Duration = Duration::from_secs(5);

/// A head of a lane that was accepted.
#[derive(Clone, Debug)]
pub struct HeldHead {
    /// The note.
    pub note: String,
    /// Its size.
    pub size: u64,
    /// Frontier of the log at it.
    pub log: Frontier,
    /// The own lane opened under it.
    pub opening: LanePath,
}

/// The opening that an accepted page gives; `None` where it brought no head.
#[must_use]
pub(crate) fn held(
    before: &LaneState,
    after: &LaneState,
    page: &Page,
    me: &HubId,
) -> Option<HeldHead> {
    let head = page.head.as_ref()?;
    // The table is the log's last entry: its path is the frontier of all before it, from the right.
    let mut log = before.log.clone();
    log.extend(after.head_size.0.checked_sub(1)?, &head.log_range).ok()?;
    let path = |f: &Frontier| f.nodes().iter().rev().map(|(_, h)| *h).collect::<Vec<Hash>>();
    let mut lane = before.lane.clone();
    let entry = match page.entries.split_last() {
        // The lane's last entry likewise, where the page brought it.
        Some((last, earlier)) if after.cursor == after.lane_size => {
            earlier.iter().for_each(|e| lane.push_leaf(lane_leaf(e.index, &e.commitment())));
            Some(LaneEntry {
                number: LaneNumber(after.cursor),
                index: last.index,
                commitment: last.commitment(),
                path: path(&lane),
            })
        }
        _ => None,
    };
    let opening = LanePath {
        peer: me.clone(),
        slot: head.slot,
        blind: head.blind,
        size: head.lane_size,
        root: after.lane_root,
        table: head.slot_path.clone(),
        log: path(&log),
        entry,
    };
    let note = String::from_utf8(head.checkpoint.clone()).ok()?;
    Some(HeldHead { note, size: after.head_size.0, log: after.log.clone(), opening })
}

/// Asks an issuer whose page was refused to open the lane as it has it now.
///
/// # Errors
/// The store.
pub(crate) async fn ask(shared: &Shared, peer: &Peer) -> Result<(), StoreError> {
    let (Some(held), Some(origin)) = (shared.held_head(&peer.hub), peer.chain.origin()) else {
        return Ok(());
    };
    let Some(entry) = &held.opening.entry else { return Ok(()) };
    let request = v1::GetProofRequest {
        lane_number: entry.number.0,
        log_index: entry.index.0,
        with_lane: true,
    };
    let Ok(channel) = client::dial_peer(&shared.network, &shared.tls, &peer.chain).await else {
        return Ok(());
    };
    let mut client = FederationServiceClient::new(channel);
    let asked = tokio::time::timeout(PATIENCE, client.get_proof(request)).await;
    let Ok(Ok(answer)) = asked else {
        return Ok(()); // it refuses: an alarm that the lane's last error tells
    };
    let answer = answer.into_inner();
    let (Ok(log), Some(lane)) = (TlogProof::parse(&answer.log), LanePath::parse(&answer.lane))
    else {
        return Ok(());
    };
    let now = (log.checkpoint.as_str(), &lane);
    let lane = Evidence::lane(&peer.hub, origin, (&held.note, &held.opening), now);
    evidence::found(shared, &lane, "").await?;
    Ok(())
}

/// Two branches of one log that share an aligned range with two hashes, from their frontiers.
#[must_use]
pub(crate) fn fork(
    hub: &HubId,
    origin: &Origin,
    a: (&str, &Frontier),
    b: (&str, &Frontier),
) -> Option<Evidence> {
    let ranges = |f: &Frontier| {
        let mut lo = 0;
        let range = |(width, hash): &(u64, Hash)| {
            let range = (lo, lo + width, *hash);
            lo += width;
            range
        };
        f.nodes().iter().map(range).collect::<Vec<_>>()
    };
    let (x, y) = (ranges(a.1), ranges(b.1));
    let differs = |(lo, hi, hash): &(u64, u64, Hash)| {
        y.iter().any(|(l, h, other)| (l, h) == (lo, hi) && other != hash)
    };
    let (lo, hi, _) = *x.iter().find(|r| differs(r))?;
    let subtree = |all: &[(u64, u64, Hash)]| {
        let hash = all.iter().find(|(l, h, _)| (*l, *h) == (lo, hi)).map(|(_, _, hash)| *hash);
        Some(Subtree {
            lo,
            hi,
            hash: hash?,
            left: all.iter().filter(|r| r.1 <= lo).map(|r| r.2).collect(),
            right: all.iter().filter(|r| r.0 >= hi).map(|r| r.2).collect(),
        })
    };
    Some(Evidence::fork(hub, origin, (a.0, &subtree(&x)?), (b.0, &subtree(&y)?)))
}

/// Asks all others for the frontier that they hold of a log whose heads are not joined, and looks for a range that two branches
/// open in two ways.
///
/// # Errors
/// The store.
pub(crate) async fn look_for_fork(shared: &Shared, of: &Peer) -> Result<(), StoreError> {
    let (Some(held), Some(origin)) = (shared.held_head(&of.hub), of.chain.origin()) else {
        return Ok(());
    };
    for other in shared.directory.load_full().active_but(&of.hub) {
        let asked = tokio::time::timeout(PATIENCE, branch(shared, &other, origin)).await;
        let Ok(Some((note, frontier))) = asked else { continue };
        if let Some(fork) = fork(&of.hub, origin, (&held.note, &held.log), (&note, &frontier))
            && evidence::found(shared, &fork, "").await?
        {
            return Ok(());
        }
    }
    Ok(())
}

/// A head of a log with its frontier, as another hub holds it.
async fn branch(shared: &Shared, at: &Peer, origin: &Origin) -> Option<(String, Frontier)> {
    let channel = client::dial_peer(&shared.network, &shared.tls, &at.chain).await.ok()?;
    let request = v1::GetHeadRequest { origin: origin.to_string(), from_size: 0, size: 0 };
    let answer = FederationServiceClient::new(channel).get_head(request).await.ok()?.into_inner();
    let (head, _) = Checkpoint::parse_note(&answer.checkpoint).ok()?;
    let hashes: Vec<Hash> =
        answer.frontier.iter().map(|h| Hash::from_slice(h)).collect::<Option<_>>()?;
    let mut frontier = Frontier::default();
    frontier.extend(head.size.0, &hashes).ok()?;
    let whole = frontier.root() == head.root;
    whole.then(|| (String::from_utf8_lossy(&answer.checkpoint).into_owned(), frontier))
}

impl Shared {
    /// The last head of a peer's lane that was accepted since start.
    pub(crate) fn held_head(&self, hub: &HubId) -> Option<HeldHead> {
        self.watching.held_heads.lock().unwrap_or_else(PoisonError::into_inner).get(hub).cloned()
    }

    pub(crate) fn hold_head(&self, hub: &HubId, head: HeldHead) {
        let mut held = self.watching.held_heads.lock().unwrap_or_else(PoisonError::into_inner);
        // A head without the lane's last entry doesn't replace one that has it: the older one proves more.
        let worse = held.get(hub).is_some_and(|h| h.opening.entry.is_some())
            && head.opening.entry.is_none();
        if !worse {
            held.insert(hub.clone(), head);
        }
    }
}

/// A statement whose identity was used before: both headers with their places in the log are a proof, if the issuer gives the
/// places. If it doesn't, both statements are kept all the same, and the operator is told.
///
/// # Errors
/// The store.
pub(crate) async fn said_twice(
    shared: &Shared,
    peer: &Peer,
    generation: u64,
    number: LaneNumber,
) -> Result<(), StoreError> {
    let views = Views(&*shared.store);
    let at = |number| Locator { peer: peer.hub.to_string(), generation, number };
    let Some(second) = views.statement(&at(number.0)).await? else { return Ok(()) };
    let Ok(header) = Header::parse(&second.header) else { return Ok(()) };
    let text = format!(
        "{} said {} {} {} twice",
        peer.hub, header.id.kind, header.id.subject, header.id.number
    );
    shared.warn(&format!("identity of {}", peer.hub), Some(text));
    let first = views.heard_identity(peer.hub.as_str(), &header.id).await?;
    let Some(earlier) = first.filter(|earlier| *earlier < number.0) else { return Ok(()) };
    // Its header is kept where it was erased since.
    let Some((index, first)) = views.heard_header(&at(earlier)).await? else { return Ok(()) };
    let same = Header::parse(&first).is_ok_and(|h| h.id == header.id);
    if !same || first == second.header {
        return Ok(());
    }
    let (Some(a), Some(b), Some(origin)) = (
        place(shared, peer, earlier, index).await,
        place(shared, peer, number.0, second.index).await,
        peer.chain.origin(),
    ) else {
        return Ok(());
    };
    let text = |header: &[u8]| String::from_utf8_lossy(header).into_owned();
    let (x, y) = (text(&first), text(&second.header));
    let evidence = Evidence::identity(&peer.hub, origin, (&x, &a), (&y, &b));
    evidence::found(shared, &evidence, "").await?;
    Ok(())
}

/// Place of a statement in its log, from its issuer.
async fn place(shared: &Shared, peer: &Peer, number: u64, index: u64) -> Option<TlogProof> {
    let channel = client::dial_peer(&shared.network, &shared.tls, &peer.chain).await.ok()?;
    let request = v1::GetProofRequest { lane_number: number, log_index: index, with_lane: false };
    let mut client = FederationServiceClient::new(channel);
    let answer = tokio::time::timeout(PATIENCE, client.get_proof(request)).await.ok()?.ok()?;
    TlogProof::parse(&answer.into_inner().log).ok()
}
