//! The machines of a simulation: hubs that crash and start again, each in a runtime of its own on a paused clock, and one
//! machine for all clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ewtp_hub::clock::Clock;
use ewtp_hub::init::{Files, InitOptions, init};
use ewtp_hub::rotate::{RotateError, Rotation};
use ewtp_hub::shared::Shared;
use ewtp_hub::{Config, Hub, Seams};
use ewtp_log::note::VerifierKey;
use ewtp_store::{Journal, JournaledStore, Packed};
use ewtp_tls::TlsIdentity;
use ewtp_trade::route::COMPETENCES;
use ewtp_trust::Chain;
use ewtp_trust::descriptor::Environment;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::disk::{Platter, SimDisk};
use super::fuse::Fuse;
use super::net::Net;
use super::state::{Held, SimState, SimSteps};
use super::time;
use crate::TestnetError;

/// The simulated day on which everything begins, Unix milliseconds: 2026-11-24.
/// Of the root keys.
const PASSPHRASE: &str = "only a simulation";
pub(crate) const BEGIN_MS: u64 = 1_795_478_400_000;

/// Ids of simulated hubs: countries, since destinations are countries.
pub(crate) const HUBS: [&str; 5] = ["KE", "BE", "SG", "KR", "CL"];

/// Keys and files of one hub, made once and used by all seeds.
pub(crate) struct Home {
    pub(crate) hub: String,
    pub(crate) dir: PathBuf,
    pub(crate) chain: Chain,
    pub(crate) server_spki: [u8; 32],
    pub(crate) operator: TlsIdentity,
    pub(crate) platform: TlsIdentity,
    pub(crate) officer: TlsIdentity,
    pub(crate) listen: [SocketAddr; 3],
}

impl Home {
    /// Makes the keys of a hub.
    pub(crate) fn make(dir: &Path, at: usize) -> Result<Self, TestnetError> {
        let hub = HUBS[at];
        let port = 10_000 + 10 * u16::try_from(at).unwrap_or_default();
        let listen = [0, 1, 2].map(|i| SocketAddr::from(([127, 0, 0, 1], port + i)));
        let id = hub.parse().map_err(|e: ewtp_log::id::NameError| {
            crate::io(hub)(std::io::Error::new(std::io::ErrorKind::InvalidInput, e))
        })?;
        let dir = dir.join(hub);
        let made = init(
            &dir,
            &InitOptions {
                hub: id,
                environment: Environment::Test,
                log_url: format!("https://log.{}.hub.example/ewtp", hub.to_ascii_lowercase()),
                endpoint: listen[0].to_string(),
                names: vec!["127.0.0.1".into()],
                listen,
                territories: vec![hub.into()],
                competences: COMPETENCES.iter().map(|c| (*c).to_owned()).collect(),
                offices: vec![format!("{hub}*")],
                contact: "operator@hub.example".into(),
                passphrase: PASSPHRASE.into(),
                now_ms: BEGIN_MS - 86_400_000,
            },
        )?;
        let identity = |name: &str| {
            TlsIdentity::generate(name, &[format!("{name}.invalid")])
                .map_err(|e| crate::io("certificate")(std::io::Error::other(e.to_string())))
        };
        Ok(Self {
            hub: hub.into(),
            dir,
            chain: made.chain,
            server_spki: made.server_spki,
            operator: made.operator,
            platform: identity("platform")?,
            officer: identity("officer")?,
            listen,
        })
    }
}

/// What survives a hub's crashes.
#[derive(Clone, Default)]
pub(crate) struct Belongings {
    pub(crate) platter: Arc<Mutex<Platter>>,
    pub(crate) held: Arc<Mutex<Held>>,
}

impl Belongings {
    /// The same content, apart.
    pub(crate) fn copy(&self) -> Self {
        let platter = self.platter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { platter: Arc::new(Mutex::new(platter)), held: Arc::new(Mutex::new(held)) }
    }
}

struct SimClock {
    /// Milliseconds that this machine's clock is off.
    offset: Arc<AtomicI64>,
}

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        (BEGIN_MS + time::now()).saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }
}

/// What a seed chooses for a hub.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) queue: usize,
    pub(crate) batch: usize,
    pub(crate) desk_batch: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) settle_bytes: usize,
}

/// A hub that runs.
struct Running {
    rt: Runtime,
    fuse: Arc<Fuse>,
    main: JoinHandle<Result<(), String>>,
    shared: Arc<Mutex<Option<Arc<Shared>>>>,
}

/// One hub's machine.
pub(crate) struct Machine {
    pub(crate) at: usize,
    pub(crate) dir: PathBuf,
    pub(crate) belongings: Belongings,
    pub(crate) offset: Arc<AtomicI64>,
    pub(crate) pause: Arc<AtomicU64>,
    pub(crate) size: Size,
    running: Option<Running>,
}

/// How a hub ended.
pub(crate) enum Ended {
    /// It runs.
    Not,
    /// The fuse blew.
    Crashed {
        /// Without a word to anybody.
        silent: bool,
    },
    /// It stopped by itself.
    Stopped(String),
}

pub(crate) fn runtime(chance: &mut Chance) -> Result<Runtime, TestnetError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let seed = chance.next();
    // Without the flag in .cargo/config.toml the runtime throws its own dice and a seed isn't quite repeatable.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let _ = seed;
    builder.enable_time().start_paused(true).build().map_err(crate::io("runtime"))
}

impl Machine {
    pub(crate) fn new(at: usize, home: &Home, belongings: Belongings, size: Size) -> Self {
        Self {
            at,
            dir: home.dir.clone(),
            belongings,
            offset: Arc::default(),
            pause: Arc::new(AtomicU64::new(2)),
            size,
            running: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn fuse(&self) -> Option<&Arc<Fuse>> {
        self.running.as_ref().map(|r| &r.fuse)
    }

    /// The parts of the running hub, once it is up.
    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        let running = self.running.as_ref().filter(|r| !r.fuse.is_blown())?;
        running.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn start(&mut self, net: &Net, chance: &mut Chance) -> Result<(), TestnetError> {
        let rt = runtime(chance)?;
        let fuse = Arc::new(Fuse::default());
        let shared = Arc::new(Mutex::new(None));
        let mut config = Config::load(&self.dir.join("hub.toml"))
            .map_err(|e| crate::io("hub.toml")(std::io::Error::other(e.to_string())))?;
        config.limits.queue = self.size.queue;
        config.limits.batch = self.size.batch;
        config.limits.stop_seconds = 2;
        config.desk.batch = self.size.desk_batch;
        let size = self.size;
        let (platter, held) =
            (Arc::clone(&self.belongings.platter), Arc::clone(&self.belongings.held));
        let steps = Arc::new(SimSteps {
            chance: Mutex::new(chance.fork()),
            fuse: Arc::clone(&fuse),
            pause: Arc::clone(&self.pause),
        });
        let store_fuse = Arc::clone(&fuse);
        let seams = Seams {
            clock: Arc::new(SimClock { offset: Arc::clone(&self.offset) }),
            network: net.at(self.at, &fuse),
            open_store: Box::new(move |_, config| {
                let disk = SimDisk { platter, fuse: Arc::clone(&store_fuse) };
                let journal = Journal::open(Arc::new(disk), size.segment_bytes)?;
                let state = Packed::open(SimState { held, fuse: store_fuse })?;
                let store = JournaledStore::open_with(
                    journal,
                    state,
                    &config.hub,
                    steps,
                    size.settle_bytes,
                )?;
                Ok(Arc::new(store))
            }),
        };
        let slot = Arc::clone(&shared);
        let main = async move {
            let hub = Hub::start_in(config, seams, CancellationToken::new());
            let hub = hub.await.map_err(|e| e.to_string())?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(hub.shared()));
            hub.run().await.map_err(|e| e.to_string())
        };
        let main = rt.spawn(main);
        self.running = Some(Running { rt, fuse, main, shared });
        Ok(())
    }

    /// Lets the machine have its turn until `until`.
    pub(crate) fn turn(&mut self, net: &Net, from: u64, until: u64) -> Ended {
        let Some(running) = &mut self.running else { return Ended::Not };
        run_for(&running.rt, from, until);
        if running.fuse.is_blown() {
            let silent = running.fuse.is_silent();
            if !silent {
                self.hang_up(net);
            }
            self.running = None;
            return Ended::Crashed { silent };
        }
        if !running.main.is_finished() {
            return Ended::Not;
        }
        let Some(mut ended) = self.running.take() else { return Ended::Not };
        let why = ended.rt.block_on(&mut ended.main);
        let why = match why {
            Ok(Ok(())) => "stopped".to_owned(),
            Ok(Err(why)) => why,
            Err(panic) => format!("panic: {panic}"),
        };
        self.running = Some(ended);
        self.hang_up(net);
        self.running = None;
        Ended::Stopped(why)
    }

    /// Closes all connections of a machine that ended, the oldest first. Left to the runtime's end they would close in an
    /// order that depends on how many tasks this process has ever spawned: tokio keeps tasks in shards by their number.
    fn hang_up(&self, net: &Net) {
        net.reset(self.at);
        if let Some(running) = &self.running {
            running.fuse.blow(true);
        }
    }
}

/// Lets a runtime run from one instant to another.
pub(crate) fn run_for(rt: &Runtime, from: u64, until: u64) {
    rt.block_on(async {
        time::enter(from);
        tokio::time::sleep(Duration::from_millis(until - from)).await;
    });
    time::leave(until);
}

/// Addresses and whose they are.
pub(crate) fn owners(homes: &[Home]) -> BTreeMap<SocketAddr, usize> {
    let each = homes.iter().enumerate().flat_map(|(at, h)| h.listen.map(|a| (a, at)));
    each.collect()
}

impl Home {
    /// A second descriptor that names who cosigns this hub's heads.
    pub(crate) fn name_witnesses(&mut self, keys: &[VerifierKey]) -> Result<(), TestnetError> {
        let failed = |e: RotateError| crate::io("descriptor")(std::io::Error::other(e.to_string()));
        let data = self.dir.join("data");
        let mut rotation =
            Rotation::open(&data, None, PASSPHRASE, BEGIN_MS - 86_400_000).map_err(failed)?;
        rotation.witnesses(keys).map_err(failed)?;
        self.chain = rotation.chain().clone();
        Ok(())
    }
}

/// A copy of a hub's key files for a thread of its own, since a running hub locks its directory.
pub(crate) fn copy_home(home: &Home, to: &Path) -> Result<Home, TestnetError> {
    let dir = to.join(&home.hub);
    let copy = || -> std::io::Result<()> {
        let (from, into) = (Files::new(&home.dir.join("data")), dir.join("data"));
        std::fs::create_dir_all(into.join("keys"))?;
        let into = Files::new(&into);
        for (a, b) in [
            (from.log_key(), into.log_key()),
            (from.slot_key(), into.slot_key()),
            (from.witness_key(), into.witness_key()),
            (from.lrn_key(), into.lrn_key()),
            (from.tls_certificate(), into.tls_certificate()),
            (from.tls_key(), into.tls_key()),
            (from.descriptor(), into.descriptor()),
            (from.bootstrap(), into.bootstrap()),
            (home.dir.join("hub.toml"), dir.join("hub.toml")),
        ] {
            std::fs::copy(a, b)?;
        }
        Ok(())
    };
    copy().map_err(crate::io(dir.display().to_string()))?;
    Ok(Home {
        hub: home.hub.clone(),
        dir,
        chain: home.chain.clone(),
        server_spki: home.server_spki,
        operator: home.operator.clone(),
        platform: home.platform.clone(),
        officer: home.officer.clone(),
        listen: home.listen,
    })
}
