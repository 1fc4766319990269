//! Configuration: TOML, then environment variables `EWTP_…` (`__` between sections) on top. Each key is explained in
//! `config/hub.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ewtp_log::HubId;
use ewtp_log::note::VerifierKey;
use ewtp_trade::expiry::Terms;
use ewtp_trade::lists::{Edition, ListBook, ListKind, first_instant};
use ewtp_trade::retention::Rule;
use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use serde::{Deserialize, Serialize};

use crate::policy::Quorum;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is missing, unknown or of the wrong type.
    #[error("configuration {path}: {problem}")]
    Read {
        /// File.
        path: String,
        /// What figment says.
        problem: String,
    },
    /// A value is not allowed.
    #[error("configuration: {key} = {value:?}; allowed: {allowed}")]
    Value {
        /// Key.
        key: &'static str,
        /// Value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

/// The configuration of a hub.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Hub id.
    pub hub: String,
    /// Directory of keys, descriptor, journal and state. Relative paths start at the configuration file.
    pub data_dir: PathBuf,
    /// Listeners.
    pub listen: Listen,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Logging, and the public log's cadence.
    #[serde(default)]
    pub log: LogConfig,
    /// Editions of code lists beside those that come with the hub.
    #[serde(default)]
    pub code_lists: Vec<ListFile>,
    /// Assessment.
    #[serde(default)]
    pub desk: DeskConfig,
    /// Cosigning and watching.
    #[serde(default)]
    pub witness: WitnessConfig,
    /// How long what is kept.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// When filings end without use.
    #[serde(default)]
    pub expiry: ExpiryConfig,
    /// What this hub knows of peers beside their descriptors, by hub id.
    #[serde(default)]
    pub peers: BTreeMap<String, PeerConfig>,
    /// A day to come, played in a test environment.
    #[serde(default)]
    pub rehearsal: RehearsalConfig,
}

/// A day to come, played in a test environment: the first day of an arrangement, or its last midnight. All hubs that play have the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RehearsalConfig {
    /// Seconds by which the hub's clock is ahead of the machine's; 0 for none. A live hub refuses any other.
    pub ahead_s: u64,
}

/// How long what is kept, and how soon what is erased leaves the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Seconds between looks for what is due, each followed by a compaction if anything was erased.
    pub cadence_s: u64,
    /// Rules; the longest that matches a part keeps it, and what none matches is kept until somebody orders its end.
    pub rules: Vec<RetentionRule>,
}

/// How long filings stand without use, by their type, e.g. `"150 days"`; `"never"` ends none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpiryConfig {
    /// Export filings whose goods never left.
    pub export: String,
    /// Advance filings whose goods never came and that nobody adopted.
    pub advance: String,
    /// Import filings whose goods were never presented.
    pub import: String,
    /// Transit filings.
    pub transit: String,
}

impl Default for ExpiryConfig {
    fn default() -> Self {
        let days = |ms: u64| match ms {
            0 => "never".to_owned(),
            ms => format!("{} days", ms / 86_400_000),
        };
        let terms = Terms::default();
        Self {
            export: days(terms.export_ms),
            advance: days(terms.advance_ms),
            import: days(terms.import_ms),
            transit: days(terms.transit_ms),
        }
    }
}

impl ExpiryConfig {
    /// The terms as they are applied. Texts that are none were refused when the configuration was read.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let ms = |text: &str| duration_ms(text).unwrap_or(0);
        Terms {
            export_ms: ms(&self.export),
            advance_ms: ms(&self.advance),
            import_ms: ms(&self.import),
            transit_ms: ms(&self.transit),
        }
    }

    fn all(&self) -> [(&'static str, &str); 4] {
        [
            ("expiry.export", &self.export),
            ("expiry.advance", &self.advance),
            ("expiry.import", &self.import),
            ("expiry.transit", &self.transit),
        ]
    }
}

/// `150 days`, `12 hours`, `90 seconds`; `never` is 0.
fn duration_ms(text: &str) -> Option<u64> {
    if text == "never" {
        return Some(0);
    }
    let (count, unit) = text.split_once(' ')?;
    let unit_ms = match unit.trim_end_matches('s') {
        "day" => 86_400_000,
        "hour" => 3_600_000,
        "minute" => 60_000,
        "second" => 1000,
        _ => return None,
    };
    count.parse::<u64>().ok().filter(|n| *n > 0)?.checked_mul(unit_ms)
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { cadence_s: 86_400, rules: Vec::new() }
    }
}

/// A rule that obliges to keep something, and no longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// Its code, as erasures cite it, such as `UCC-51`.
    pub code: String,
    /// Days from the logged time of the statement.
    pub keep_days: u32,
    /// Kinds of statement; empty for all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Parts; empty for all.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Countries of destination of the case; empty for all.
    #[serde(default)]
    pub countries: Vec<String>,
    /// Retention classes that filings name (element 39); empty for all.
    #[serde(default)]
    pub classes: Vec<String>,
}

impl RetentionConfig {
    /// The rules as they are applied.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        const DAY_MS: u64 = 86_400_000;
        let rule = |r: &RetentionRule| Rule {
            code: r.code.clone(),
            kinds: r.kinds.clone(),
            parts: r.parts.clone(),
            countries: r.countries.clone(),
            classes: r.classes.clone(),
            keep_ms: u64::from(r.keep_days) * DAY_MS,
        };
        self.rules.iter().map(rule).collect()
    }
}

/// Cosigning and watching.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WitnessConfig {
    /// Seconds between rounds: own heads are cosigned, peers' heads watched and exchanged.
    pub cadence_s: u64,
    /// When a head is settled: `2 of BE, MY, KR`. Empty: nothing is demanded.
    pub quorum: String,
    /// Answer add-checkpoint on the public listener too.
    pub public: bool,
    /// Witnesses that are no hubs; the descriptor has to name them as well.
    pub external: Vec<ExternalWitness>,
}

impl Default for WitnessConfig {
    fn default() -> Self {
        Self { cadence_s: 10, quorum: String::new(), public: false, external: Vec::new() }
    }
}

impl WitnessConfig {
    /// The policy; checked when the configuration was read.
    #[must_use]
    pub fn quorum(&self) -> Option<Quorum> {
        self.quorum.parse().ok()
    }
}

/// A witness that is no hub.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalWitness {
    /// Its verifier key; policies name it by the key's name.
    pub vkey: String,
    /// Its submission prefix.
    pub url: String,
}

/// What this hub knows of a peer beside its descriptor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeerConfig {
    /// Where its public files are read, if not under its log's URL.
    pub public: Option<String>,
}

/// Addresses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Peers.
    pub federation: SocketAddr,
    /// Accounts.
    pub clients: SocketAddr,
    /// Read-only HTTP.
    pub public: SocketAddr,
    /// Serve metrics on the public listener.
    #[serde(default = "yes")]
    pub metrics: bool,
}

const fn yes() -> bool {
    true
}

/// Bounds, each with a default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections per listener.
    pub connections: usize,
    /// Connections to the public listener from one address.
    pub connections_per_address: usize,
    /// Milliseconds for a handshake.
    pub handshake_ms: u64,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Drafts that wait for the committer, per source.
    pub queue: usize,
    /// Filings per second and account.
    pub filings_per_second: u32,
    /// Filings in one go before that rate holds.
    pub filings_burst: u32,
    /// Log entries per day and account; appending is irrevocable.
    pub daily_log_budget: u64,
    /// MiB of attachments per day and account.
    pub daily_attachment_mib: u64,
    /// Statements in one batch.
    pub batch: usize,
    /// KiB of applied changes that wait in memory before they settle in the state; after a crash they are applied again.
    pub settle_kib: usize,
    /// Milliseconds that a page may wait for company while the lane is busy.
    pub linger_ms: u64,
    /// Seconds in which everything has to be drained at the end.
    pub stop_seconds: u64,
    /// Milliseconds that a peer's clock may be off before it is said so.
    pub clock_tolerance_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: 64,
            handshake_ms: 5_000,
            message_bytes: 4 << 20,
            queue: 2048,
            filings_per_second: 20_000,
            filings_burst: 40_000,
            daily_log_budget: 5_000_000,
            daily_attachment_mib: 10_240,
            batch: 512,
            settle_kib: ewtp_store::SETTLE_BYTES >> 10,
            linger_ms: 5,
            stop_seconds: 10,
            clock_tolerance_ms: 60_000,
        }
    }
}

/// What the daemon logs, and how often the public log moves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `human` or `json`.
    pub format: String,
    /// A filter such as `info` or `ewtp_hub=debug`.
    pub level: String,
    /// Seconds between the heads that the public log shows: outsiders must not read live volumes.
    pub publish_s: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: "human".into(), level: "info".into(), publish_s: 60 }
    }
}

/// An edition of a code list in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListFile {
    /// Which list, e.g. "hs".
    pub list: String,
    /// CSV with a column `code`, `hscode` or `CommonCode`.
    pub file: PathBuf,
    /// Edition as filings name it.
    pub edition: String,
    /// First day on which it holds, YYYY-MM-DD; from ever if absent.
    pub from: Option<String>,
    /// IANA time zone in which that day begins.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Assessment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeskConfig {
    /// Work items decided in one go.
    pub batch: usize,
    /// Hold work back instead of deciding it: a degraded mode for maintenance of rulesets.
    pub paused: bool,
    /// Length of a period in which random draws have one key, seconds.
    pub draw_period_s: u64,
}

impl Default for DeskConfig {
    fn default() -> Self {
        Self { batch: 256, paused: false, draw_period_s: 30 * 86_400 }
    }
}

impl Config {
    /// Reads a file and the environment.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read =
            |problem: String| ConfigError::Read { path: path.display().to_string(), problem };
        if !path.exists() {
            return Err(read("there is no such file; make one with: ewtp hub init".into()));
        }
        let figment = Figment::from(Toml::file_exact(path))
            .merge(Env::prefixed("EWTP_").ignore(&["corpus", "profile"]).split("__"));
        let mut config: Self = figment.extract().map_err(|e| read(e.to_string()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.data_dir = base.join(&config.data_dir);
        for list in &mut config.code_lists {
            list.file = base.join(&list.file);
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let bad = |key, value: String, allowed: &str| ConfigError::Value {
            key,
            value,
            allowed: allowed.into(),
        };
        self.hub_id()?;
        if !matches!(self.log.format.as_str(), "human" | "json") {
            return Err(bad("log.format", self.log.format.clone(), "human or json"));
        }
        for (key, value) in [
            ("limits.connections", self.limits.connections),
            ("limits.connections_per_address", self.limits.connections_per_address),
            ("limits.queue", self.limits.queue),
            ("limits.batch", self.limits.batch),
            ("limits.settle_kib", self.limits.settle_kib),
            ("desk.batch", self.desk.batch),
        ] {
            if !(1..=1_000_000).contains(&value) {
                return Err(bad(key, value.to_string(), "1 to 1000000"));
            }
        }
        if !self.witness.quorum.is_empty()
            && let Err(error) = self.witness.quorum.parse::<Quorum>()
        {
            return Err(bad("witness.quorum", self.witness.quorum.clone(), &error.to_string()));
        }
        if !(1..=3600).contains(&self.witness.cadence_s) {
            let value = self.witness.cadence_s.to_string();
            return Err(bad("witness.cadence_s", value, "1 second to an hour"));
        }
        for external in &self.witness.external {
            if let Err(error) = VerifierKey::parse(&external.vkey) {
                return Err(bad(
                    "witness.external.vkey",
                    external.vkey.clone(),
                    &error.to_string(),
                ));
            }
        }
        if !(1..=86_400).contains(&self.retention.cadence_s) {
            let value = self.retention.cadence_s.to_string();
            return Err(bad("retention.cadence_s", value, "1 second to a day"));
        }
        for (field, text) in self.expiry.all() {
            if duration_ms(text).is_none() {
                return Err(bad(
                    field,
                    text.to_owned(),
                    "a time such as \"150 days\", or \"never\"",
                ));
            }
        }
        for rule in &self.retention.rules {
            if !crate::acts::is_code(&rule.code) {
                let allowed = "1 to 32 characters of A-Z, 0-9 and -";
                return Err(bad("retention.rules.code", rule.code.clone(), allowed));
            }
        }
        if !(1..=86_400).contains(&self.log.publish_s) {
            let value = self.log.publish_s.to_string();
            return Err(bad("log.publish_s", value, "1 second to a day"));
        }
        if !(1..=366 * 86_400).contains(&self.desk.draw_period_s) {
            let value = self.desk.draw_period_s.to_string();
            return Err(bad("desk.draw_period_s", value, "1 second to 366 days"));
        }
        Ok(())
    }

    /// Where a hub's public files are: under its log's URL, unless configured otherwise.
    #[must_use]
    pub fn public_url(&self, hub: &HubId, log_url: &str) -> String {
        let configured = self.peers.get(hub.as_str()).and_then(|p| p.public.as_deref());
        configured.unwrap_or(log_url).trim_end_matches('/').to_owned()
    }

    /// The hub's id.
    ///
    /// # Errors
    /// If it is none.
    pub fn hub_id(&self) -> Result<HubId, ConfigError> {
        let bad = |e: ewtp_log::id::NameError| ConfigError::Value {
            key: "hub",
            value: self.hub.clone(),
            allowed: e.allowed.into(),
        };
        self.hub.parse().map_err(bad)
    }

    /// Reads the code lists.
    ///
    /// # Errors
    /// A file that can't be read or holds no codes.
    pub fn code_lists(&self) -> Result<ListBook, ConfigError> {
        let mut book = ListBook::default();
        for list in &self.code_lists {
            let read = |problem: String| ConfigError::Read {
                path: list.file.display().to_string(),
                problem,
            };
            let bad = |key, value: &str, allowed: String| ConfigError::Value {
                key,
                value: value.to_owned(),
                allowed,
            };
            let kind = ListKind::by_name(&list.list).ok_or_else(|| {
                let names: Vec<&str> = ListKind::ALL.iter().map(|k| k.name()).collect();
                bad("code_lists.list", &list.list, names.join(", "))
            })?;
            let from_ms = match &list.from {
                None => 0,
                Some(day) => first_instant(day, &list.time_zone)
                    .map_err(|problem| bad("code_lists.from", day, problem))?,
            };
            let text = std::fs::read_to_string(&list.file).map_err(|e| read(e.to_string()))?;
            let edition = Edition::from_csv(kind, &list.edition, from_ms, &text);
            book.add(edition.map_err(|e| read(e.to_string()))?);
        }
        Ok(book)
    }
}
