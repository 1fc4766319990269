//! A lane names log indexes; whether the log holds there what the lane says, only the log can show. Each round the newest entry
//! of a lane that was accepted is looked up in the peer's public log: what differs is a proof, with the log's own path to it.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use ewtp_log::evidence::Evidence;
use ewtp_log::hash::leaf_hash;
use ewtp_log::proof::TlogProof;
use ewtp_log::tile::{self, TILE_WIDTH, TileKind, TilePath};
use ewtp_log::tree::{inclusion_plan, join, verify_inclusion};
use ewtp_log::{Checkpoint, Hash, HubId};
use ewtp_store::StoreError;

use crate::directory::Peer;
use crate::shared::Shared;
use crate::{evidence, web};

/// Longest checkpoint read, bytes.
const NOTE_BYTES_MAX: u64 = 64 << 10;
/// Longest bundle or tile read, bytes: entries of a hub have 32.
const TILE_BYTES_MAX: u64 = TILE_WIDTH * 34;

/// Looks the newest accepted entry of a peer's lane up in its public log, once. Where the log can't be read, or doesn't reach as far
/// yet, it is looked up at a later round.
///
/// # Errors
/// The store.
pub(crate) async fn look(shared: &Shared, peer: &Peer) -> Result<(), StoreError> {
    let (Some(held), Some(origin)) = (shared.held_head(&peer.hub), peer.chain.origin()) else {
        return Ok(());
    };
    let Some(said) = &held.opening.entry else { return Ok(()) };
    if shared.sampled(&peer.hub, said.index.0) {
        return Ok(());
    }
    let base = shared.config.public_url(&peer.hub, &peer.chain.newest().log_url);
    let base = format!("{base}/g{}", origin.generation());
    let mut log = PublicLog { base, tiles: BTreeMap::new() };
    let Some(head) = log.head(shared, peer).await else { return Ok(()) };
    let Some(entry) = log.entry(&head.1, said.index.0).await else { return Ok(()) };
    shared.note_sampled(&peer.hub, said.index.0);
    if entry == said.commitment {
        return Ok(());
    }
    let text = format!(
        "{}'s log holds another entry at {} than its lane to this hub says",
        peer.hub, said.index
    );
    shared.warn(&format!("entry of {}", peer.hub), Some(text));
    crate::metrics::alarm("lane-entry-not-in-log");
    if let Some(proof) = log.proof(&head.0, &head.1, said.index.0, &entry).await {
        let lane = (held.note.as_str(), &held.opening);
        let found = Evidence::lane_log(&peer.hub, origin, lane, Some((&entry, &proof)));
        evidence::found(shared, &found, "").await?;
    }
    Ok(())
}

/// A peer's log as its static files show it.
struct PublicLog {
    base: String,
    tiles: BTreeMap<String, Vec<u8>>,
}

impl PublicLog {
    /// The published head, signed by the log.
    async fn head(&self, shared: &Shared, peer: &Peer) -> Option<(String, Checkpoint)> {
        let bytes = web::get(format!("{}/checkpoint", self.base), NOTE_BYTES_MAX).await.ok()?;
        let (head, note) = Checkpoint::parse_note(&bytes).ok()?;
        let keys = peer.chain.log_keys(shared.clock.now_ms());
        let its = peer.chain.origin().is_some_and(|o| o.as_str() == head.origin);
        let signed = its && note.text == head.to_text() && note.verify(&keys).is_ok();
        let text = String::from_utf8(bytes).ok()?;
        signed.then_some((text, head))
    }

    /// What the log holds at an index; `None` where it doesn't reach so far, or can't be read.
    async fn entry(&mut self, head: &Checkpoint, index: u64) -> Option<Hash> {
        if index >= head.size.0 {
            return None;
        }
        let bundle = self.tile(head, TileKind::Entries, index / TILE_WIDTH).await?;
        let entries = tile::open_bundle(&bundle)?;
        let place = usize::try_from(index % TILE_WIDTH).ok()?;
        Hash::from_slice(entries.get(place)?)
    }

    /// Its place there, from tiles; `None` where they don't lead to the head's root.
    async fn proof(
        &mut self,
        note: &str,
        head: &Checkpoint,
        index: u64,
        entry: &Hash,
    ) -> Option<TlogProof> {
        let mut path = Vec::new();
        for group in inclusion_plan(index, head.size.0) {
            let mut nodes = Vec::with_capacity(group.len());
            for (lo, hi) in group {
                let (level, at, first, count) = tile::place(lo, hi - lo);
                let bytes = self.tile(head, TileKind::Hashes(level), at).await?;
                nodes.push(tile::root_of(&bytes, first, count)?);
            }
            path.push(join(&nodes));
        }
        let leaf = leaf_hash(&entry.0);
        verify_inclusion(index, head.size.0, &leaf, &path, &head.root).ok()?;
        Some(TlogProof { extra: None, index, path, checkpoint: note.to_owned() })
    }

    async fn tile(&mut self, head: &Checkpoint, kind: TileKind, index: u64) -> Option<Vec<u8>> {
        let width = tile::width_at(kind, index, head.size.0);
        let path = TilePath { kind, index, width }.to_string();
        if let Some(held) = self.tiles.get(&path) {
            return Some(held.clone());
        }
        let bytes = web::get(format!("{}/{path}", self.base), TILE_BYTES_MAX).await.ok()?;
        self.tiles.insert(path, bytes.clone());
        Some(bytes)
    }
}

impl Shared {
    fn sampled(&self, hub: &HubId, index: u64) -> bool {
        let all = self.watching.sampled_entries.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(hub) == Some(&index)
    }

    fn note_sampled(&self, hub: &HubId, index: u64) {
        let mut all = self.watching.sampled_entries.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(hub.clone(), index);
    }
}
