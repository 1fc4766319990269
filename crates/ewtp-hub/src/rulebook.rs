//! Rulesets by digest: own ones from the directory, peers' public ones fetched once and kept in memory. A digest that a
//! logged decision cites makes the text self-certifying, so it doesn't matter who hands it over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ewtp_clearance::Ruleset;
use ewtp_log::hash::sha256;
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;

use crate::client;
use crate::shared::Shared;

/// Foreign rulesets kept; past it the memory starts anew.
const KEPT_MAX: usize = 256;
/// A reader waits this long for a peer, then sees codes instead of texts.
const PATIENCE: Duration = Duration::from_secs(2);

/// A ruleset and its text.
pub struct Kept {
    /// Parsed.
    pub ruleset: Ruleset,
    /// As published.
    pub text: String,
}

/// A peer that could not be asked is not asked again for this long.
const MISS_MS: u64 = 30_000;

/// Foreign rulesets by digest.
#[derive(Default)]
pub struct Rulebook {
    kept: Mutex<BTreeMap<[u8; 32], Arc<Kept>>>,
    /// When a digest could last not be had, Unix milliseconds.
    missed: Mutex<BTreeMap<[u8; 32], u64>>,
}

impl Rulebook {
    fn known(&self, digest: &[u8; 32]) -> Option<Arc<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn keep(&self, digest: [u8; 32], kept: Arc<Kept>) {
        let mut map = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= KEPT_MAX {
            map.clear();
        }
        map.insert(digest, kept);
    }
}

impl Rulebook {
    fn missed_lately(&self, digest: &[u8; 32], now_ms: u64) -> bool {
        let map = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(digest).is_some_and(|at| now_ms.saturating_sub(*at) < MISS_MS)
    }

    fn miss(&self, digest: [u8; 32], now_ms: u64) {
        let mut map = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= KEPT_MAX {
            map.clear();
        }
        map.insert(digest, now_ms);
    }
}

/// A peer's public ruleset by digest; `None` where the peer can't be asked or its text has another digest.
pub async fn foreign(shared: &Shared, hub: &str, digest: &[u8]) -> Option<Arc<Kept>> {
    let key: [u8; 32] = digest.try_into().ok()?;
    if shared.rulebook.missed_lately(&key, shared.clock.now_ms()) {
        return None;
    }
    let found = fetch(shared, hub, key).await;
    if found.is_none() {
        shared.rulebook.miss(key, shared.clock.now_ms());
    }
    found
}

async fn fetch(shared: &Shared, hub: &str, digest: [u8; 32]) -> Option<Arc<Kept>> {
    if let Some(kept) = shared.rulebook.known(&digest) {
        return Some(kept);
    }
    let peer = shared.directory.load().active_peer(hub).cloned()?;
    let fetch = async {
        let channel = client::dial_peer(&shared.network, &shared.tls, &peer.chain).await.ok()?;
        let request = v1::FederationServiceGetRulesetRequest { digest: digest.to_vec() };
        let response = FederationServiceClient::new(channel).get_ruleset(request).await.ok()?;
        Some(response.into_inner().text)
    };
    let text = tokio::time::timeout(PATIENCE, fetch).await.ok()??;
    if sha256(&[text.as_bytes()]).0 != digest {
        tracing::warn!(peer = hub, "a ruleset does not match the digest that a decision cites");
        return None;
    }
    let kept = Arc::new(Kept { ruleset: Ruleset::parse(&text).ok()?, text });
    shared.rulebook.keep(digest, Arc::clone(&kept));
    Some(kept)
}
