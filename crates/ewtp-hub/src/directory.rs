//! Who is who, as the log says: accounts, peers, rulesets, code lists and arrangements, in a snapshot that readers swap in whole.
//!
//! The committer reloads it after each commit that changed one of them; nobody else writes. Requests look their caller up
//! in it each time, so a revoked credential opens nothing from that moment on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use ewtp_clearance::Ruleset;
use ewtp_log::HubId;
use ewtp_log::note::VerifierKey;
use ewtp_proto::v1::{AccountRecord, PeerRecord, PeerState, Role};
use ewtp_store::{Store, StoreError, Views};
use ewtp_trade::lists::Edition;
use ewtp_trade::route::{CUSTOMS, Speaker};
use ewtp_trust::{Chain, Descriptor};

use crate::arrangements::Standing;

/// A pinned peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Id.
    pub hub: HubId,
    /// As logged.
    pub record: PeerRecord,
    /// Verified descriptors.
    pub chain: Chain,
}

impl Peer {
    /// Whether lanes run.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.record.state(), PeerState::Active | PeerState::Quarantined)
    }

    /// Whether it is pinned at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.record.state() != PeerState::Removed
    }

    /// Whether what it says is relied upon.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.record.state() == PeerState::Active
    }

    /// Its witness keys: the present one, and those that its earlier descriptors named.
    #[must_use]
    pub fn witness_keys(&self) -> Vec<VerifierKey> {
        self.chain.descriptors().iter().filter_map(|d| d.witness.clone()).collect()
    }

    /// Whether a witness key is its.
    #[must_use]
    pub fn has_witness_key(&self, key: &VerifierKey) -> bool {
        self.chain.descriptors().iter().any(|d| d.witness.as_ref() == Some(key))
    }

    /// What it speaks for.
    #[must_use]
    pub fn speaker(&self) -> Speaker<'_> {
        speaker(self.chain.newest())
    }

    /// Whether it assesses filings of any country.
    #[must_use]
    pub fn may_assess(&self) -> bool {
        let own = &self.chain.newest().territories;
        own.iter().any(|t| self.speaks_for(t))
    }

    /// Whether filings for a country are assessed there.
    #[must_use]
    pub fn speaks_for(&self, country: &str) -> bool {
        self.speaker().speaks_for(country, CUSTOMS)
    }
}

/// What a hub speaks for, by its descriptor.
#[must_use]
pub fn speaker(descriptor: &Descriptor) -> Speaker<'_> {
    Speaker {
        hub: descriptor.hub.as_str(),
        territories: &descriptor.territories,
        offices: &descriptor.offices,
        competences: &descriptor.competences,
    }
}

/// A snapshot.
#[derive(Default)]
pub struct Directory {
    /// Accounts by id.
    pub accounts: BTreeMap<String, Arc<AccountRecord>>,
    by_spki: HashMap<[u8; 32], Arc<AccountRecord>>,
    /// Peers by id, removed ones too.
    pub peers: BTreeMap<HubId, Arc<Peer>>,
    peers_by_spki: HashMap<[u8; 32], Arc<Peer>>,
    /// All versions of all rulesets.
    pub rulesets: Vec<Arc<Ruleset>>,
    /// Editions of code lists that were published here or by peers.
    pub code_lists: Vec<Arc<Edition>>,
    /// Arrangements with peers.
    pub arrangements: BTreeMap<HubId, Arc<Standing>>,
}

/// A directory that is swapped whole.
pub type SharedDirectory = Arc<ArcSwap<Directory>>;

impl Directory {
    /// Reads the snapshot from the store.
    ///
    /// # Errors
    /// Reading; a peer whose chain no longer verifies.
    pub async fn load(store: &dyn Store, me: &HubId) -> Result<Self, StoreError> {
        let views = Views(store);
        let mut directory = Self::default();
        for account in views.accounts().await? {
            let account = Arc::new(account);
            for credential in account.credentials.iter().filter(|c| !c.revoked && !account.closed) {
                if let Ok(spki) = <[u8; 32]>::try_from(credential.spki_sha256.as_slice()) {
                    directory.by_spki.insert(spki, Arc::clone(&account));
                }
            }
            directory.accounts.insert(account.id.clone(), account);
        }
        for record in views.peers().await? {
            let mut chain =
                Chain::verify(&record.descriptors).map_err(|e| StoreError::Value(e.to_string()))?;
            for learnt in views.learnt(&record.hub).await? {
                // What was learnt of an earlier identity of that name doesn't chain: it is no part of this one.
                let follows = learnt.version > chain.newest().version;
                if follows && chain.push(&learnt.envelope).is_err() {
                    break;
                }
            }
            let peer = Arc::new(Peer { hub: chain.hub().clone(), record, chain });
            if peer.is_active() {
                for pin in &peer.chain.newest().tls_pins {
                    directory.peers_by_spki.insert(*pin, Arc::clone(&peer));
                }
            }
            directory.peers.insert(peer.hub.clone(), peer);
        }
        for stored in views.rulesets().await? {
            match Ruleset::parse(&stored.text) {
                Ok(ruleset) => directory.rulesets.push(Arc::new(ruleset)),
                // What an older program published and this one can't read doesn't hold; the hub runs all the same.
                Err(faults) => {
                    let name = stored.core.as_ref().map(|c| c.name.as_str()).unwrap_or_default();
                    let fault = faults.first().map(|f| f.allowed.as_str()).unwrap_or_default();
                    tracing::error!(
                        ruleset = name,
                        fault,
                        "can't be read and doesn't hold: publish it anew"
                    );
                }
            }
        }
        let mut editions = crate::code_lists::load(store).await?;
        // The word of a hub that is not relied upon doesn't hold.
        editions.retain(|e| {
            let peer = directory.peers.values().find(|p| p.hub.as_str() == e.publisher);
            e.publisher.is_empty() || peer.is_some_and(|p| p.is_trusted())
        });
        directory.code_lists = editions;
        directory.arrangements = crate::arrangements::load(store, me).await?;
        Ok(directory)
    }

    /// Account of a credential that is neither revoked nor of a closed account.
    #[must_use]
    pub fn account(&self, spki: &[u8; 32]) -> Option<&Arc<AccountRecord>> {
        self.by_spki.get(spki)
    }

    /// Active peer with this TLS key.
    #[must_use]
    pub fn peer_by_key(&self, spki: &[u8; 32]) -> Option<&Arc<Peer>> {
        self.peers_by_spki.get(spki)
    }

    /// Active peer by the text of its id, as records and messages name it.
    #[must_use]
    pub fn active_peer(&self, hub: &str) -> Option<&Arc<Peer>> {
        self.peers.values().find(|p| p.hub.as_str() == hub && p.is_active())
    }

    /// The active peers but one: whom to ask about that one.
    #[must_use]
    pub fn active_but(&self, hub: &HubId) -> Vec<Arc<Peer>> {
        let other = |p: &&Arc<Peer>| p.is_active() && p.hub != *hub;
        self.peers.values().filter(other).cloned().collect()
    }

    /// What the active peers speak for.
    #[must_use]
    pub fn speakers(&self) -> Vec<Speaker<'_>> {
        self.peers.values().filter(|p| p.is_active()).map(|p| p.speaker()).collect()
    }

    /// Active peer that assesses filings for a country.
    #[must_use]
    pub fn peer_for(&self, country: &str) -> Option<&Arc<Peer>> {
        self.peers.values().find(|p| p.is_active() && p.speaks_for(country))
    }

    /// Ruleset in force at an instant: the newest version of the visibility asked for.
    #[must_use]
    pub fn ruleset_at(&self, at_ms: i64, confidential: bool) -> Option<&Arc<Ruleset>> {
        let in_force = |r: &&Arc<Ruleset>| {
            !r.is_tariff && r.confidential == confidential && r.in_force(r.day_of(at_ms))
        };
        self.rulesets.iter().filter(in_force).max_by_key(|r| (r.valid_from, r.version))
    }

    /// Tariffs in force at an instant: of each name the newest, in order of their names.
    #[must_use]
    pub fn tariffs_at(&self, at_ms: i64) -> Vec<&Ruleset> {
        let mut newest: BTreeMap<&str, &Ruleset> = BTreeMap::new();
        for tariff in self.rulesets.iter().filter(|r| r.is_tariff && r.in_force(r.day_of(at_ms))) {
            let known = newest.entry(&tariff.name).or_insert(tariff);
            if (known.valid_from, known.version) < (tariff.valid_from, tariff.version) {
                *known = tariff;
            }
        }
        newest.into_values().collect()
    }
}

/// Whether an account has one of these roles.
#[must_use]
pub fn has_role(account: &AccountRecord, roles: &[Role]) -> bool {
    account.roles().any(|r| roles.contains(&r))
}

/// Roles that see all cases of the hub, with every part.
pub const AGENCY_ROLES: &[Role] = &[Role::Officer, Role::System, Role::Operator, Role::Auditor];
