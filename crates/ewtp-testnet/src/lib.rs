//! Real hubs as processes on this machine: for demonstrations and tests.
//!
//! Ports are chosen below the ephemeral range and kept over restarts, so that no outgoing connection takes one while a
//! hub is down. A process is killed when its handle is dropped: no test leaves a daemon behind.

#[cfg(feature = "sim")]
pub mod sim;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ewtp_hub::clock::{Clock as _, SystemClock, random};
use ewtp_hub::init::{Files, InitError, InitOptions, init};
use ewtp_trade::route::{COMPETENCES, CUSTOMS};
use ewtp_trust::Chain;
use ewtp_trust::descriptor::Environment;
use rustix::process::{Pid, Signal, kill_process};

/// First port that is tried.
const PORT_MIN: u16 = 12_000;
/// Ports end below the ephemeral range of Linux (32768).
const PORT_MAX: u16 = 32_000;

/// Why a test network failed.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// No free ports.
    #[error("no {0} free ports in a row between {PORT_MIN} and {PORT_MAX}")]
    Ports(u16),
    /// Making a hub.
    #[error(transparent)]
    Init(#[from] InitError),
    /// Files and processes.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A hub didn't become ready.
    #[error("hub {hub} was not ready within {waited:?}; its log: {log}")]
    NotReady {
        /// Which.
        hub: String,
        /// How long.
        waited: Duration,
        /// Where its log is.
        log: PathBuf,
    },
    /// A hub ended by itself.
    #[error("hub {hub} ended with {status}; its log: {log}")]
    Ended {
        /// Which.
        hub: String,
        /// Exit status.
        status: String,
        /// Where its log is.
        log: PathBuf,
    },
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> TestnetError {
    let what = what.into();
    move |source| TestnetError::Io { what, source }
}

/// Three free loopback ports in a row, below the ephemeral range.
///
/// # Errors
/// [`TestnetError::Ports`].
pub fn free_ports() -> Result<u16, TestnetError> {
    for _ in 0..200 {
        let Ok(seed) = random::<2>() else { break };
        let port = PORT_MIN + u16::from_be_bytes(seed) % (PORT_MAX - PORT_MIN - 3);
        let bound: Result<Vec<_>, _> =
            (port..port + 3).map(|p| TcpListener::bind((Ipv4Addr::LOCALHOST, p))).collect();
        if bound.is_ok() {
            return Ok(port);
        }
    }
    Err(TestnetError::Ports(3))
}

/// A hub's directory, and its process while it runs.
pub struct HubProcess {
    /// Hub id.
    pub hub: String,
    /// Directory.
    pub dir: PathBuf,
    /// Own descriptor chain.
    pub chain: Chain,
    /// SPKI of its listeners.
    pub server_spki: [u8; 32],
    port: u16,
    program: PathBuf,
    child: Option<Child>,
}

impl HubProcess {
    /// Makes a hub in `dir`. `program` is `ewtp`, run as `ewtp hub run`.
    ///
    /// # Errors
    /// [`TestnetError`].
    pub fn init(
        program: &Path,
        dir: &Path,
        hub: &str,
        passphrase: &str,
    ) -> Result<Self, TestnetError> {
        let competences = COMPETENCES.iter().map(|c| (*c).to_owned()).collect();
        Self::init_for(program, dir, hub, passphrase, competences)
    }

    /// The same for some competences of its territory.
    ///
    /// # Errors
    /// [`TestnetError`].
    pub fn init_for(
        program: &Path,
        dir: &Path,
        hub: &str,
        passphrase: &str,
        competences: Vec<String>,
    ) -> Result<Self, TestnetError> {
        let territory: String = hub.chars().take(2).collect();
        let customs = competences.iter().any(|c| c == CUSTOMS);
        let offices = customs.then(|| format!("{territory}*")).into_iter().collect();
        let port = free_ports()?;
        let listen = [0, 1, 2].map(|i| SocketAddr::from((Ipv4Addr::LOCALHOST, port + i)));
        let id = hub.parse().map_err(|e: ewtp_log::id::NameError| {
            io(format!("hub id {hub}"))(std::io::Error::new(std::io::ErrorKind::InvalidInput, e))
        })?;
        let made = init(
            dir,
            &InitOptions {
                hub: id,
                environment: Environment::Test,
                log_url: format!("https://log.{}.hub.example/ewtp", hub.to_ascii_lowercase()),
                endpoint: format!("127.0.0.1:{port}"),
                names: vec!["127.0.0.1".into(), "localhost".into()],
                listen,
                territories: vec![territory],
                competences,
                offices,
                contact: format!("operator@{}.hub.example", hub.to_ascii_lowercase()),
                passphrase: passphrase.into(),
                now_ms: SystemClock.now_ms(),
            },
        )?;
        Ok(Self {
            hub: hub.into(),
            dir: dir.to_owned(),
            chain: made.chain,
            server_spki: made.server_spki,
            port,
            program: program.to_owned(),
            child: None,
        })
    }

    /// Address of the federation listener.
    #[must_use]
    pub fn federation(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Address of the client listener.
    #[must_use]
    pub fn clients(&self) -> String {
        format!("127.0.0.1:{}", self.port + 1)
    }

    /// Address of the public listener.
    #[must_use]
    pub fn public(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    /// Configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("hub.toml")
    }

    /// Log file of the process.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("hub.log")
    }

    /// Descriptor file.
    #[must_use]
    pub fn descriptor(&self) -> PathBuf {
        Files::new(&self.dir.join("data")).descriptor()
    }

    /// Appends lines to the configuration.
    ///
    /// # Errors
    /// Writing.
    pub fn configure(&self, lines: &str) -> Result<(), TestnetError> {
        let path = self.config();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(io(path.display().to_string()))?;
        file.write_all(lines.as_bytes()).map_err(io(path.display().to_string()))
    }

    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// [`TestnetError`].
    pub fn start(&mut self) -> Result<(), TestnetError> {
        self.spawn()?;
        self.wait_ready(Duration::from_secs(30))
    }

    /// Starts the process, ready or not.
    ///
    /// # Errors
    /// [`TestnetError`].
    pub fn spawn(&mut self) -> Result<(), TestnetError> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(io("hub.log"))?;
        let child = Command::new(&self.program)
            .args(["hub", "run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io(self.program.display().to_string()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn wait_ready(&mut self, limit: Duration) -> Result<(), TestnetError> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if http_get(&self.public(), "/readyz")
                .is_some_and(|text| text.starts_with("HTTP/1.1 200"))
            {
                return Ok(());
            }
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(TestnetError::Ended {
                    hub: self.hub.clone(),
                    status: status.to_string(),
                    log: self.log(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(TestnetError::NotReady { hub: self.hub.clone(), waited: limit, log: self.log() })
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    ///
    /// # Errors
    /// Waiting for the process.
    pub fn kill(&mut self) -> Result<(), TestnetError> {
        if let Some(mut child) = self.child.take() {
            child.kill().map_err(io("kill"))?;
            child.wait().map_err(io("wait"))?;
        }
        Ok(())
    }

    /// SIGTERM, then waits for the end; true if it ended well.
    ///
    /// # Errors
    /// Waiting for the process.
    pub fn stop(&mut self) -> Result<bool, TestnetError> {
        let Some(mut child) = self.child.take() else { return Ok(true) };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if let Some(status) = child.try_wait().map_err(io("wait"))? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().map_err(io("kill"))?;
        child.wait().map_err(io("wait"))?;
        Ok(false)
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the process is a child and known to the caller's system.
        let _ = self.kill();
    }
}

/// One HTTP GET, with status line and headers; `None` where nobody answers.
#[must_use]
pub fn http_get(address: &str, path: &str) -> Option<String> {
    let address: SocketAddr = address.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
