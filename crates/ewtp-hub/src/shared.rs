//! What the parts of a hub share; each field has one owner that writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use ewtp_log::note::NoteSigner;
use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::{CaseRecord, CosignedHead, FilingRecord};
use ewtp_proto::v1;
use ewtp_store::{Store, StoreError, Views};
use ewtp_tls::TlsIdentity;
use ewtp_trade::CodeLists;
use ewtp_trade::lists::ListBook;
use ewtp_trade::scope::{shows_part, shows_statement};
use ewtp_trust::{Chain, Descriptor};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::attachment_files::AttachmentFiles;
use crate::clock::Clock;
use crate::code_lists::{self, InForce};
use crate::config::Config;
use crate::directory::SharedDirectory;
use crate::durable::{DurableHead, LogIdentity};
use crate::gossip::Seen;
use crate::lane_evidence::HeldHead;
use crate::limits::AccountLimits;
use crate::network::Network;
use crate::queue::Submitter;
use crate::receiver::Progress;

/// What all parts of a hub share; each field has one owner that writes it.
pub struct Shared {
    /// As configured.
    pub config: Config,
    /// Log names and keys.
    pub identity: Arc<LogIdentity>,
    /// Written by the committer alone.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Connections.
    pub network: Arc<dyn Network>,
    /// Written by the committer alone.
    pub directory: SharedDirectory,
    /// Newest durable head.
    pub head: watch::Receiver<DurableHead>,
    /// Cosigns other hubs' heads, where this hub has a witness key.
    pub witness: ArcSwap<Option<NoteSigner>>,
    /// The newest own head with cosignatures; moved by the cosigners' task alone.
    pub cosigned: watch::Sender<Arc<CosignedHead>>,
    /// What is held of other hubs' logs in memory.
    pub watching: Watching,
    /// The head that outsiders see; moved by the publisher alone.
    pub published: ArcSwap<DurableHead>,
    /// Queue of accounts.
    pub accounts: Submitter,
    /// Queue of the hub's own tasks.
    pub own: Submitter,
    /// TLS identity.
    pub tls: TlsIdentity,
    /// Own descriptor chain.
    pub chain: ArcSwap<Chain>,
    /// Code lists that come with the program or its configuration.
    pub lists: ListBook,
    /// The code lists that hold for a while; see [`Shared::lists_now`].
    pub(crate) lists_in_force: ArcSwapOption<InForce>,
    /// Key of the idempotency hashes.
    pub lrn_key: zeroize::Zeroizing<[u8; 32]>,
    /// Rates and budgets.
    pub limits: AccountLimits,
    /// Attachments beside the log.
    pub attachments: AttachmentFiles,
    /// Pages verified since start.
    pub pages_verified: AtomicU64,
    /// Serving.
    pub ready: AtomicBool,
    /// Lanes heard, by peer.
    pub progress: Mutex<BTreeMap<HubId, Arc<Progress>>>,
    /// Cursors that peers asked from last: what of our lane they hold.
    pub served: Mutex<BTreeMap<HubId, u64>>,
    /// Peers' public rulesets, by digest.
    pub rulebook: crate::rulebook::Rulebook,
    /// Peers' public rules in force, for pre-checks.
    pub public_rules: crate::precheck::PublicRules,
    /// The open subscription of each peer: a newer one replaces the older.
    pub subscriptions: Mutex<BTreeMap<HubId, CancellationToken>>,
    /// Operators' acts, one at a time; the guard goes with the draft, so that a call that is cancelled doesn't let the next
    /// one read what is about to change.
    pub acts: Arc<tokio::sync::Mutex<()>>,
    /// What each account may have in flight on streams.
    pub shares: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// What an operator should know, by topic.
    pub warnings: Mutex<BTreeMap<String, String>>,
    /// Start.
    pub started: Instant,
    /// Fires when the hub stops.
    pub stop: CancellationToken,
    /// Ends what the desk is at; it starts anew.
    #[cfg(feature = "simulation")]
    pub desk_interrupted: tokio::sync::Notify,
}

/// What a hub holds of other hubs' logs in memory: it is looked for again after a start.
#[derive(Default)]
pub struct Watching {
    /// Size up to which each peer's log is settled.
    pub settled: Mutex<BTreeMap<String, u64>>,
    /// Newest verified head of each log.
    pub seen_heads: Mutex<BTreeMap<String, Seen>>,
    /// Pairs of heads that a proof joined.
    pub joined_heads: Mutex<BTreeMap<String, (Hash, Hash)>>,
    /// The last accepted head of each lane, opened.
    pub held_heads: Mutex<BTreeMap<HubId, HeldHead>>,
    /// The newest entry of each lane that was looked up in its log.
    pub sampled_entries: Mutex<BTreeMap<HubId, u64>>,
    /// TLS keys that were refused on the federation listener since the last round: a peer may have a new one.
    pub unknown_keys: Mutex<BTreeSet<[u8; 32]>>,
    /// When a peer's chain was looked for last.
    pub chains_looked_for: Mutex<BTreeMap<HubId, tokio::time::Instant>>,
}

impl Shared {
    /// The code lists that hold now.
    #[must_use]
    pub fn lists_now(&self) -> Arc<CodeLists> {
        code_lists::in_force(self, i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX))
    }

    /// The published head as a note, with the cosignatures that it has.
    #[must_use]
    pub fn published_note(&self) -> String {
        let published = self.published.load();
        let cosigned = self.cosigned.borrow();
        match cosigned.size == published.size {
            true => cosigned.note.clone(),
            false => published.checkpoint.to_string(),
        }
    }

    /// Own newest descriptor.
    #[must_use]
    pub fn own_descriptor(&self) -> Descriptor {
        self.chain.load().newest().clone()
    }

    /// A peer as audience for a kind of statement, if it is active and its scope has that kind; nobody if it is this hub.
    #[must_use]
    pub fn audience_of(&self, hub: &str, kind: &str) -> Vec<HubId> {
        let directory = self.directory.load();
        let shown = |p: &&Arc<crate::directory::Peer>| {
            p.record.scope.as_ref().is_some_and(|s| shows_statement(s, kind, None))
        };
        directory.active_peer(hub).filter(shown).map(|p| p.hub.clone()).into_iter().collect()
    }

    /// The other hubs of a case: those that filed in it, assess something of it, were told of a filing, or have an office on its
    /// route.
    #[must_use]
    pub fn hubs_of(&self, case: &CaseRecord) -> Vec<HubId> {
        let directory = self.directory.load();
        fn of(f: &FilingRecord) -> impl Iterator<Item = &str> {
            let filed_at = f.stands.as_ref().map_or("", |s| &s.hub);
            [filed_at, &f.assessed_by].into_iter().chain(f.said_to.iter().map(String::as_str))
        }
        let mut hubs: Vec<HubId> = case
            .filings
            .iter()
            .flat_map(of)
            .filter_map(|h| directory.active_peer(h).map(|p| p.hub.clone()))
            .collect();
        // What was filed here went to them; what another hub filed goes to them from there, and what is said here of it also.
        let elsewhere = |f: &&FilingRecord| {
            f.stands.as_ref().is_some_and(|s| s.hub != self.identity.hub.as_str())
        };
        let offices = case.filings.iter().filter(elsewhere).flat_map(|f| &f.offices);
        for office in offices {
            let has = |p: &&Arc<crate::directory::Peer>| p.speaker().has_office(office);
            hubs.extend(
                directory.peers.values().filter(|p| p.is_active()).find(has).map(|p| p.hub.clone()),
            );
        }
        // Who keeps the ledger of a certificate that the case draws on has to know when it is spent.
        let keepers = case.drawings.iter().filter_map(|d| d.stands.as_ref());
        hubs.extend(keepers.filter_map(|s| directory.active_peer(&s.hub).map(|p| p.hub.clone())));
        hubs.sort();
        hubs.dedup();
        hubs
    }

    /// Of these hubs, those whose scope has a kind of statement.
    #[must_use]
    pub fn shown_to(&self, hubs: &[HubId], kind: &str) -> Vec<HubId> {
        hubs.iter().flat_map(|h| self.audience_of(h.as_str(), kind)).collect()
    }

    /// Of these hubs, those whose scope has this very filing, goods and all.
    #[must_use]
    pub fn filing_shown_to(&self, hubs: &[HubId], core: &v1::FilingCore) -> Vec<HubId> {
        let directory = self.directory.load();
        let shown = |hub: &&HubId| {
            let peer = directory.active_peer(hub.as_str());
            let scope = peer.and_then(|p| p.record.scope.as_ref());
            scope.is_some_and(|s| shows_statement(s, "filing", Some(core)))
        };
        hubs.iter().filter(shown).cloned().collect()
    }

    /// Whether a peer is shown every part that the facts of a decision are made of.
    #[must_use]
    pub fn shows_facts(&self, hub: &HubId) -> bool {
        let directory = self.directory.load();
        let scope = directory.active_peer(hub.as_str()).and_then(|p| p.record.scope.as_ref());
        let all = |s: &v1::DataScope| {
            ["parties", "goods", "value"].iter().all(|part| shows_part(s, part))
        };
        scope.is_some_and(all)
    }

    /// The durable head once it covers a log index. The state is applied a moment before the head moves, so a reader that
    /// found an entry there waits for that moment.
    pub async fn durable_above(&self, index: u64) -> DurableHead {
        let mut head = self.head.clone();
        match tokio::time::timeout(Duration::from_secs(5), head.wait_for(|h| h.size > index)).await
        {
            Ok(Ok(reached)) => reached.clone(),
            _ => self.head.borrow().clone(),
        }
    }

    /// A token for a peer's new subscription; the older one ends.
    pub fn subscribe(&self, peer: &HubId) -> CancellationToken {
        let token = self.stop.child_token();
        let mut open = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = open.insert(peer.clone(), token.clone()) {
            older.cancel();
        }
        token
    }

    /// An account's share of the queue, over all its streams.
    pub fn share_of(&self, account: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = (self.config.limits.queue / 4).max(1);
        Arc::clone(
            shares.entry(account.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(permits))),
        )
    }

    /// What a decision now would be made on.
    #[must_use]
    pub fn basis(&self) -> v1::Basis {
        let directory = self.directory.load();
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(hub, p): (&HubId, &Arc<Progress>)| v1::PeerBasis {
            hub: hub.to_string(),
            generation: directory
                .peers
                .get(hub)
                .and_then(|p| p.chain.origin())
                .map_or(1, |o| o.generation()),
            lane_size: p.cursor.load(Ordering::Relaxed),
        };
        v1::Basis { own_size: self.head.borrow().size, peers: progress.iter().map(of).collect() }
    }

    /// Year and the civil day in UTC.
    #[must_use]
    pub fn today(&self) -> (u16, jiff::civil::Date) {
        let now = jiff::Timestamp::from_millisecond(
            i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX),
        );
        let day =
            now.map_or(jiff::civil::Date::MIN, |t| jiff::tz::TimeZone::UTC.to_datetime(t).date());
        (u16::try_from(day.year()).unwrap_or_default(), day)
    }

    /// Keeps or clears a warning for operators; a new one is logged once.
    pub fn warn(&self, topic: &str, text: Option<String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            None => drop(warnings.remove(topic)),
            Some(text) => {
                if warnings.insert(topic.to_owned(), text.clone()).is_none() {
                    tracing::warn!(topic, "{text}");
                }
            }
        }
    }
}

/// How far a peer is behind with our lane to it.
pub struct LaneOut {
    /// Statements said.
    pub said: u64,
    /// Of these, not yet asked past.
    pub behind: u64,
    /// Age of the oldest of those, milliseconds.
    pub oldest_ms: u64,
}

impl Shared {
    /// How a lane to a peer stands under a head.
    ///
    /// # Errors
    /// Reading.
    pub async fn lane_out(&self, head: &DurableHead, peer: &HubId) -> Result<LaneOut, StoreError> {
        let said = head.slots.iter().find(|s| s.peer == *peer).map_or(0, |s| s.lane_size);
        let asked = {
            let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.get(peer).copied().unwrap_or_default().min(said)
        };
        let views = Views(&*self.store);
        let first =
            if asked < said { views.lane(peer.as_str(), asked + 1, 1).await? } else { Vec::new() };
        let oldest_ms = match first.first() {
            Some(index) => views
                .own(*index)
                .await?
                .map_or(0, |s| self.clock.now_ms().saturating_sub(s.received_ms)),
            None => 0,
        };
        Ok(LaneOut { said, behind: said - asked, oldest_ms })
    }
}
