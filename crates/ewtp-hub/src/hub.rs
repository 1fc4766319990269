//! The hub as a whole: builds its parts from the configuration, runs them, drains them in the reverse order.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ewtp_proto::v1;
use ewtp_store::{SledStore, Store, StoreError, Views};
use ewtp_tls::identity::IdentityError;
use ewtp_tls::keyfile::{KeyFileError, read_seed};
use ewtp_tls::{TlsIdentity, server_config};
use ewtp_trust::descriptor::Environment;
use ewtp_trust::{Chain, ChainError};
use tokio_util::sync::CancellationToken;

use crate::attachment_files::AttachmentFiles;
use crate::clock::{AheadClock, Clock, SystemClock};
use crate::committer::Committer;
use crate::config::{Config, ConfigError};
use crate::directory::{Directory, SharedDirectory};
use crate::draft::{Draft, NewStatement};
use crate::durable::LogIdentity;
use crate::init::Files;
use crate::limits::AccountLimits;
use crate::listener::{Connections, Listener};
use crate::network::{Network, Socket, Tcp};
use crate::shared::{Shared, Watching};
use crate::tasks::{TaskEnded, Tasks};
use crate::{
    attachments, connect, cosigners, desk, gossip, janitor, ledger, own_chain, peer_chains, peers,
    public, publisher, services,
};

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
    /// Keys that the own descriptor names.
    #[error("own descriptor: {0}")]
    OwnKeys(String),
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

impl From<own_chain::OwnChainError> for HubError {
    fn from(error: own_chain::OwnChainError) -> Self {
        Self::OwnKeys(error.to_string())
    }
}

/// Opens the store of a hub: directory, configuration.
pub type OpenStore = Box<dyn FnOnce(&Path, &Config) -> Result<Arc<dyn Store>, StoreError> + Send>;

/// What comes into a hub from outside it.
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Connections.
    pub network: Arc<dyn Network>,
    /// Journal and state.
    pub open_store: OpenStore,
}

impl Seams {
    /// The machine's.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            network: Arc::new(Tcp),
            open_store: Box::new(|dir, config| {
                let settle = config.limits.settle_kib << 10;
                Ok(Arc::new(SledStore::open_in_sets(dir, &config.hub, settle)?))
            }),
        }
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
        let mut seams = Seams::real();
        let ahead_ms = config.rehearsal.ahead_s.saturating_mul(1000);
        if ahead_ms != 0 {
            tracing::warn!(
                seconds = config.rehearsal.ahead_s,
                "this hub plays a day to come: its clock is ahead"
            );
            seams.clock = Arc::new(AheadClock { ahead_ms });
        }
        Self::start_in(config, seams, stop).await
    }

    /// Starts with another clock, network and store.
    ///
    /// # Errors
    /// [`HubError`].
    pub async fn start_in(
        config: Config,
        seams: Seams,
        stop: CancellationToken,
    ) -> Result<Self, HubError> {
        let Seams { clock, network, open_store } = seams;
        let files = Files::new(&config.data_dir);
        let lock = lock(&files)?;
        let chain = read_chain(&files)?;
        let identity = Arc::new(read_identity(&config, &files, &chain)?);
        if config.rehearsal.ahead_s != 0 && chain.newest().environment == Environment::Live {
            let hint =
                "a live hub keeps the machine's time; play a day to come in a test environment";
            return Err(HubError::Mismatch { what: "rehearsal.ahead_s", hint });
        }
        let mut tls = TlsIdentity::load(&files.tls_certificate(), &files.tls_key())?;
        // A rotation that was interrupted between its descriptor and its files goes on here.
        if !chain.newest().tls_pins.contains(&tls.spki()) && files.next_tls_key().exists() {
            tls = TlsIdentity::load(&files.next_tls_certificate(), &files.next_tls_key())?;
        }
        if !chain.newest().tls_pins.contains(&tls.spki()) {
            let hint = "publish a descriptor that names the certificate's key";
            return Err(HubError::Mismatch { what: "keys/tls.crt", hint });
        }
        let witness = own_chain::witness(&files, &chain).unwrap_or_else(|error| {
            tracing::warn!(%error, "this hub cosigns nothing; restore keys/witness.key, or make a new one: ewtp hub rotate witness");
            None
        });
        let lists = config.code_lists()?;
        let store = open_store(&files.store(), &config)?;
        let directory: SharedDirectory =
            Arc::new(ArcSwap::from_pointee(Directory::load(&*store, &identity.hub).await?));
        let opening = Views(&*store).head().await?.is_none();
        let descriptors = own_chain::unlogged(&*store, &chain, opening).await?;
        let (mut committer, head) = Committer::open(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&identity),
            Arc::clone(&directory),
            config.limits.batch,
        )
        .await?;
        if opening {
            committer.open_log(vec![descriptors, first_operator(&files)?]).await?;
        } else if !descriptors.raw_entries.is_empty() {
            committer.open_log(vec![descriptors]).await?;
        }
        let ([accounts, own], queues) = Committer::queues(config.limits.queue);
        let sockets = bind(&*network, &config).await?;
        let limits = &config.limits;
        let published = ArcSwap::from_pointee(head.borrow().clone());
        let shared = Arc::new(Shared {
            limits: AccountLimits::new(
                limits.filings_per_second,
                limits.filings_burst,
                limits.daily_log_budget,
            ),
            attachments: AttachmentFiles::new(files.attachments(), limits.daily_attachment_mib),
            identity,
            store,
            clock,
            network,
            directory,
            published,
            witness: ArcSwap::from_pointee(witness),
            cosigned: tokio::sync::watch::channel(Arc::default()).0,
            watching: Watching::default(),
            head,
            accounts,
            own,
            tls,
            chain: ArcSwap::from_pointee(chain),
            lists,
            lists_in_force: arc_swap::ArcSwapOption::empty(),
            lrn_key: read_seed(&files.lrn_key())?,
            pages_verified: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            progress: Mutex::default(),
            served: Mutex::default(),
            rulebook: crate::rulebook::Rulebook::default(),
            public_rules: crate::precheck::PublicRules::default(),
            acts: Arc::default(),
            shares: Mutex::default(),
            subscriptions: Mutex::default(),
            warnings: Mutex::default(),
            started: Instant::now(),
            stop: stop.clone(),
            #[cfg(feature = "simulation")]
            desk_interrupted: tokio::sync::Notify::new(),
            config,
        });
        check_clock(&shared);
        attachments::sweep(&shared).await?;
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
        Ok(self.shared.store.close().await?)
    }
}

/// Takes the lock of a data directory.
///
/// # Errors
/// [`HubError::Locked`] while a hub runs there.
pub fn lock(files: &Files) -> Result<File, HubError> {
    lock_file(&files.lock())
}

/// The same for a change of keys, which a running daemon allows and a second one doesn't.
///
/// # Errors
/// [`HubError::Locked`].
pub fn lock_keys(files: &Files) -> Result<File, HubError> {
    lock_file(&files.keys_lock())
}

fn lock_file(path: &Path) -> Result<File, HubError> {
    let io = |source| HubError::Io { path: path.display().to_string(), source };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(io)?;
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
    let origin = generation.origin.clone();
    let signers = ArcSwap::from_pointee(own_chain::signers(files, chain)?);
    Ok(LogIdentity { hub, origin, signers, slot_key: *read_seed(&files.slot_key())? })
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
    federation: Box<dyn Socket>,
    clients: Box<dyn Socket>,
    public: Box<dyn Socket>,
}

async fn bind(network: &dyn Network, config: &Config) -> Result<Sockets, HubError> {
    let one = async |name: &'static str, address: SocketAddr| {
        let bound = network.listen(address).await;
        bound.map_err(|source| HubError::Bind { name, address, source })
    };
    Ok(Sockets {
        federation: one("federation", config.listen.federation).await?,
        clients: one("clients", config.listen.clients).await?,
        public: one("public", config.listen.public).await?,
    })
}

/// Logged times never decrease, so a clock that went back is told: new statements carry the log's last time meanwhile.
pub(crate) fn check_clock(shared: &Shared) {
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
    let (by_peer, refused) = (Arc::clone(&shared.directory), Arc::clone(shared));
    let from_peers = server_config(
        &shared.tls,
        Arc::new(move |k: &[u8; 32]| {
            let known = by_peer.load().peer_by_key(k).is_some();
            if !known {
                refused.note_unknown_key(k);
            }
            known
        }),
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
    let federation = listener("federation", sockets.federation, from_peers, &connections[0]);
    let clients = listener("clients", sockets.clients, accounts, &connections[1]);
    let (to_federation, federation_in) = tokio::sync::mpsc::channel(64);
    let (to_clients, clients_in) = tokio::sync::mpsc::channel(64);
    tasks.spawn("federation listener", federation.run(to_federation, stop.clone()));
    tasks.spawn("client listener", clients.run(to_clients, stop.clone()));
    tasks.spawn("federation services", services::federation(Arc::clone(shared), federation_in));
    tasks.spawn("client services", services::clients(Arc::clone(shared), clients_in));
    tasks.spawn("public listener", public::run(sockets.public, Arc::clone(shared), stop.clone()));
    tasks.spawn("own descriptor", own_chain::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("cosigners", cosigners::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("peers' chains", peer_chains::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("gossip", gossip::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("publisher", publisher::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("janitor", janitor::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("desk", desk::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("ledgers", ledger::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("routes", connect::run(Arc::clone(shared), stop.clone()));
    tasks.spawn("peers", peers::supervise(Arc::clone(shared), connections, stop));
    Ok(())
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
        biased;
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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A subscriber that is set already stays: several hubs in one process share it.
    let _ = match config.log.format.as_str() {
        "json" => builder.json().try_init(),
        _ => builder.with_target(false).try_init(),
    };
}
