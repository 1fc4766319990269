//! The hub as a whole: builds its parts from the configuration, runs them, drains them in the reverse order.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ewtp_log::HubId;
use ewtp_log::note::NoteSigner;
use ewtp_proto::v1;
use ewtp_store::{SledStore, Store, StoreError, Views};
use ewtp_tls::identity::IdentityError;
use ewtp_tls::keyfile::{KeyFileError, read_seed};
use ewtp_tls::{TlsIdentity, server_config};
use ewtp_trade::CodeLists;
use ewtp_trade::scope::shows_statement;
use ewtp_trust::{Chain, ChainError, Descriptor};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::committer::{Committer, DurableHead, LogIdentity, Submitter};
use crate::config::{Config, ConfigError};
use crate::directory::{Directory, SharedDirectory};
use crate::draft::{Draft, NewStatement};
use crate::init::Files;
use crate::limits::AccountLimits;
use crate::listener::{Connections, Listener};
use crate::receiver::Progress;
use crate::tasks::{TaskEnded, Tasks};
use crate::{desk, public, services};

/// Why a hub didn't start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Key files.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Own descriptor.
    #[error("own descriptor: {0}")]
    Chain(#[from] ChainError),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Keys and descriptor don't belong together.
    #[error("{what} does not match the descriptor; {hint}")]
    Mismatch {
        /// What.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Another daemon runs here.
    #[error("{path} is locked: another hub runs on this data directory; stop it first")]
    Locked {
        /// Lock file.
        path: String,
    },
    /// A listener.
    #[error("listen.{name} = {address}: {source}; choose another address or stop what uses it")]
    Bind {
        /// Which.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The bootstrap file.
    #[error("{0} does not name the first operator's key")]
    Bootstrap(String),
    /// Committing the first entries.
    #[error(transparent)]
    Commit(#[from] crate::committer::CommitError),
    /// No randomness.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// A part ended.
    #[error(transparent)]
    Task(#[from] TaskEnded),
}

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
    /// Written by the committer alone.
    pub directory: SharedDirectory,
    /// Newest durable head.
    pub head: watch::Receiver<DurableHead>,
    /// Queue of accounts.
    pub accounts: Submitter,
    /// Queue of the hub's own tasks.
    pub own: Submitter,
    /// TLS identity.
    pub tls: TlsIdentity,
    /// Own descriptor chain.
    pub chain: ArcSwap<Chain>,
    /// Code lists in use.
    pub lists: CodeLists,
    /// Key of the idempotency hashes.
    pub lrn_key: zeroize::Zeroizing<[u8; 32]>,
    /// Rates and budgets.
    pub limits: AccountLimits,
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
}

impl Shared {
    /// Own newest descriptor.
    #[must_use]
    pub fn own_descriptor(&self) -> Descriptor {
        self.chain.load().newest().clone()
    }

    /// A peer as audience for a kind of statement, if it is active and its scope has that kind; nobody if it is this hub.
    #[must_use]
    pub fn audience_of(&self, hub: &str, kind: &str) -> Vec<HubId> {
        let directory = self.directory.load();
        let known = directory.peers.values().find(|p| p.hub.as_str() == hub && p.is_active());
        let shown = |p: &&Arc<crate::directory::Peer>| {
            p.record.scope.as_ref().is_some_and(|s| shows_statement(s, kind, None))
        };
        let known = known.filter(shown);
        known.map(|p| p.hub.clone()).into_iter().collect()
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

/// A hub that is ready to run.
pub struct Hub {
    shared: Arc<Shared>,
    work: Tasks,
    commit: Tasks,
    stop_commit: CancellationToken,
    _lock: File,
}

impl Hub {
    /// Reads keys and store, binds the listeners, and spawns every part.
    ///
    /// # Errors
    /// [`HubError`].
    pub async fn start(config: Config, stop: CancellationToken) -> Result<Self, HubError> {
        let files = Files::new(&config.data_dir);
        let lock = lock(&files)?;
        let chain = read_chain(&files)?;
        let identity = Arc::new(read_identity(&config, &files, &chain)?);
        let tls = TlsIdentity::load(&files.tls_certificate(), &files.tls_key())?;
        if !chain.newest().tls_pins.contains(&tls.spki()) {
            let hint = "publish a descriptor that names the certificate's key";
            return Err(HubError::Mismatch { what: "keys/tls.crt", hint });
        }
        let lists = config.code_lists()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store: Arc<dyn Store> = Arc::new(SledStore::open(&files.store(), &config.hub)?);
        let directory: SharedDirectory =
            Arc::new(ArcSwap::from_pointee(Directory::load(&*store).await?));
        let first = vec![chain.newest().digest];
        let (mut committer, head) = Committer::open(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&identity),
            Arc::clone(&directory),
            config.limits.batch,
            first,
        )
        .await?;
        if head.borrow().size == 0 {
            committer.open_log(vec![first_operator(&files)?]).await?;
        }
        let ([accounts, own], queues) = Committer::queues(config.limits.queue);
        let sockets = bind(&config).await?;
        let limits = &config.limits;
        let shared = Arc::new(Shared {
            limits: AccountLimits::new(
                limits.filings_per_second,
                limits.filings_burst,
                limits.daily_log_budget,
            ),
            identity,
            store,
            clock,
            directory,
            head,
            accounts,
            own,
            tls,
            chain: ArcSwap::from_pointee(chain),
            lists,
            lrn_key: read_seed(&files.lrn_key())?,
            pages_verified: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            progress: Mutex::default(),
            served: Mutex::default(),
            rulebook: crate::rulebook::Rulebook::default(),
            acts: Arc::default(),
            shares: Mutex::default(),
            warnings: Mutex::default(),
            started: Instant::now(),
            stop: stop.clone(),
            config,
        });
        check_clock(&shared);
        let stop_commit = CancellationToken::new();
        let mut commit = Tasks::new(stop_commit.clone());
        let (all, draining) = (stop.clone(), stop_commit.clone());
        commit.spawn("committer", async move {
            let ended = committer.run(queues, draining).await;
            all.cancel(); // without its committer a hub can't answer anything
            ended
        });
        let mut work = Tasks::new(stop);
        spawn_parts(&shared, sockets, &mut work)?;
        Ok(Self { shared, work, commit, stop_commit, _lock: lock })
    }

    /// What the parts share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Runs until the stop token fires or a part fails; what was accepted is logged before it returns.
    ///
    /// # Errors
    /// [`HubError::Task`].
    pub async fn run(self) -> Result<(), HubError> {
        let grace = Duration::from_secs(self.shared.config.limits.stop_seconds);
        self.shared.ready.store(true, Ordering::Relaxed);
        let worked = self.work.run(grace).await;
        self.shared.ready.store(false, Ordering::Relaxed);
        self.stop_commit.cancel();
        let committed = self.commit.run(grace).await;
        worked?;
        committed?;
        Ok(())
    }
}

/// Takes the lock of a data directory.
///
/// # Errors
/// [`HubError::Locked`] while a hub runs there.
pub fn lock(files: &Files) -> Result<File, HubError> {
    let path = files.lock();
    let io = |source| HubError::Io { path: path.display().to_string(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(HubError::Locked { path: path.display().to_string() }),
    }
}

fn read_chain(files: &Files) -> Result<Chain, HubError> {
    let path = files.descriptor();
    let text = std::fs::read_to_string(&path)
        .map_err(|source| HubError::Io { path: path.display().to_string(), source })?;
    Ok(Chain::verify_file(&text)?)
}

fn read_identity(config: &Config, files: &Files, chain: &Chain) -> Result<LogIdentity, HubError> {
    let hub = config.hub_id()?;
    if *chain.hub() != hub {
        return Err(HubError::Mismatch {
            what: "hub",
            hint: "the configuration names another hub",
        });
    }
    let mismatch = HubError::Mismatch {
        what: "keys/log.key",
        hint: "restore the key that the descriptor names",
    };
    let Some(generation) = chain.newest().generation() else { return Err(mismatch) };
    let seed = read_seed(&files.log_key())?;
    let origin = generation.origin.clone();
    let signer = NoteSigner::log(origin.as_str(), &seed).map_err(|_| HubError::Mismatch {
        what: "keys/log.key",
        hint: "the origin can't name a key",
    })?;
    if !generation.keys.iter().any(|k| k.vkey == *signer.vkey()) {
        return Err(mismatch);
    }
    Ok(LogIdentity { hub, origin, signer, slot_key: *read_seed(&files.slot_key())? })
}

/// The first operator's account, from what `hub init` left.
fn first_operator(files: &Files) -> Result<Draft, HubError> {
    let path = files.bootstrap();
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path)
        .map_err(|source| HubError::Io { path: name.clone(), source })?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| HubError::Bootstrap(name.clone()))?;
    let spki: [u8; 32] = json["operator_spki"]
        .as_str()
        .and_then(ewtp_log::base64::decode_array)
        .ok_or(HubError::Bootstrap(name))?;
    let record = v1::AccountRecord {
        id: "operator".into(),
        name: "First operator".into(),
        roles: vec![v1::Role::Operator as i32],
        credentials: vec![v1::Credential {
            kind: v1::CredentialKind::ClientCertificate as i32,
            spki_sha256: spki.to_vec(),
            label: "made by hub init".into(),
            revoked: false,
        }],
        version: 1,
        ..Default::default()
    };
    let statement = NewStatement::new("account", "operator", 1)?
        .part("core", &v1::RulesetCore::default())?
        .part("internal", &record)?;
    Ok(Draft { statements: vec![statement], ..Draft::default() })
}

struct Sockets {
    federation: TcpListener,
    clients: TcpListener,
    public: TcpListener,
}

async fn bind(config: &Config) -> Result<Sockets, HubError> {
    async fn one(name: &'static str, address: SocketAddr) -> Result<TcpListener, HubError> {
        TcpListener::bind(address).await.map_err(|source| HubError::Bind { name, address, source })
    }
    Ok(Sockets {
        federation: one("federation", config.listen.federation).await?,
        clients: one("clients", config.listen.clients).await?,
        public: one("public", config.listen.public).await?,
    })
}

/// How often the own clock is compared with the log while nothing happens.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// Logged times never decrease, so a clock that went back is told: new statements carry the log's last time meanwhile.
fn check_clock(shared: &Shared) {
    let (now, logged) = (shared.clock.now_ms(), shared.head.borrow().time_ms);
    let behind = logged.saturating_sub(now);
    let far = behind > shared.config.limits.clock_tolerance_ms;
    let text = format!(
        "this machine's clock is {} s behind the newest logged time; set the clock",
        behind / 1000
    );
    shared.warn("clock", far.then_some(text));
}

fn spawn_parts(shared: &Arc<Shared>, sockets: Sockets, tasks: &mut Tasks) -> Result<(), HubError> {
    let stop = shared.stop.clone();
    let connections = [Connections::default(), Connections::default()];
    let by_peer = Arc::clone(&shared.directory);
    let peers = server_config(
        &shared.tls,
        Arc::new(move |k: &[u8; 32]| by_peer.load().peer_by_key(k).is_some()),
    )?;
    let by_account = Arc::clone(&shared.directory);
    let accounts = server_config(
        &shared.tls,
        Arc::new(move |k: &[u8; 32]| by_account.load().account(k).is_some()),
    )?;
    let limits = &shared.config.limits;
    let listener = |name, socket, tls, connections: &Connections| Listener {
        name,
        socket,
        tls: Arc::new(tls),
        connections_max: limits.connections,
        handshake: Duration::from_millis(limits.handshake_ms),
        connections: connections.clone(),
    };
    let federation = listener("federation", sockets.federation, peers, &connections[0]);
    let clients = listener("clients", sockets.clients, accounts, &connections[1]);
    let (to_federation, federation_in) = tokio::sync::mpsc::channel(64);
    let (to_clients, clients_in) = tokio::sync::mpsc::channel(64);
    tasks.spawn("federation listener", federation.run(to_federation, stop.clone()));
    tasks.spawn("client listener", clients.run(to_clients, stop.clone()));
    tasks.spawn("federation services", services::federation(Arc::clone(shared), federation_in));
    tasks.spawn("client services", services::clients(Arc::clone(shared), clients_in));
    tasks.spawn("public listener", public::run(sockets.public, Arc::clone(shared), stop.clone()));
    tasks.spawn("desk", desk::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("peers", supervise_peers(Arc::clone(shared), connections, stop));
    Ok(())
}

/// Runs one receiver per active peer, and ends connections whose key is no longer known.
async fn supervise_peers(
    shared: Arc<Shared>,
    connections: [Connections; 2],
    stop: CancellationToken,
) -> Result<(), TaskEnded> {
    let mut head = shared.head.clone();
    let mut receivers: BTreeMap<HubId, (Vec<String>, CancellationToken)> = BTreeMap::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let directory = shared.directory.load_full();
        receivers.retain(|hub, (descriptors, stop)| {
            let keep = directory
                .peers
                .get(hub)
                .is_some_and(|p| p.is_active() && p.record.descriptors == *descriptors);
            if !keep {
                stop.cancel();
            }
            keep
        });
        for (hub, peer) in directory.peers.iter().filter(|(_, p)| p.is_active()) {
            if receivers.contains_key(hub) {
                continue;
            }
            let progress = {
                let mut all = shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(all.entry(hub.clone()).or_default())
            };
            let generation = peer.chain.origin().map_or(1, |o| o.generation());
            if let Ok(state) = Views(&*shared.store).lane_state(hub.as_str(), generation).await {
                progress.cursor.store(state.cursor, Ordering::Relaxed);
                progress.owed.store(state.lane_size - state.cursor, Ordering::Relaxed);
            }
            let token = stop.child_token();
            receivers.insert(hub.clone(), (peer.record.descriptors.clone(), token.clone()));
            #[expect(
                clippy::disallowed_methods,
                reason = "owned by this task's JoinSet, joined below"
            )]
            tasks.spawn(crate::receiver::run(Arc::clone(&shared), hub.clone(), progress, token));
        }
        connections[0].retain(|k| directory.peer_by_key(k).is_some());
        connections[1].retain(|k| directory.account(k).is_some());
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next() => receiver_ended(ended)?,
            changed = head.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(CLOCK_CHECK) => check_clock(&shared),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        receiver_ended(ended)?;
    }
    Ok(())
}

fn receiver_ended(
    ended: Result<Result<(), StoreError>, tokio::task::JoinError>,
) -> Result<(), TaskEnded> {
    let problem = match ended {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(e)) => e.to_string(),
        Err(e) => e.to_string(),
    };
    Err(TaskEnded { name: "receiver", problem })
}

/// Runs a hub as a daemon: logging, signals, bounded stop. Used by `ewtpd` and `ewtp hub run`.
///
/// # Errors
/// [`HubError`].
pub fn run_daemon(path: &Path, check_only: bool) -> Result<(), HubError> {
    let config = Config::load(path)?;
    config.code_lists()?;
    let files = Files::new(&config.data_dir);
    let chain = read_chain(&files)?;
    read_identity(&config, &files, &chain)?;
    if check_only {
        return Ok(());
    }
    init_logging(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| HubError::Io { path: "runtime".into(), source })?;
    runtime.block_on(async {
        let _metrics = crate::metrics::install();
        let stop = CancellationToken::new();
        let hub = Hub::start(config, stop.clone()).await?;
        let listen = &hub.shared.config.listen;
        tracing::info!(
            hub = %hub.shared.identity.hub,
            federation = %listen.federation,
            clients = %listen.clients,
            public = %listen.public,
            log_size = hub.shared.head.borrow().size,
            "hub is up"
        );
        let mut tasks = Tasks::new(stop.clone());
        tasks.spawn("signals", signals(stop.clone()));
        let ended = hub.run().await;
        stop.cancel();
        tasks.run(Duration::from_secs(1)).await?;
        tracing::info!("hub has stopped");
        ended
    })
}

async fn signals(stop: CancellationToken) -> Result<(), std::io::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        () = stop.cancelled() => {}
    }
    stop.cancel();
    Ok(())
}

fn init_logging(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A subscriber that is set already stays: several hubs in one process share it.
    let _ = match config.log.format.as_str() {
        "json" => builder.json().try_init(),
        _ => builder.with_target(false).try_init(),
    };
}
