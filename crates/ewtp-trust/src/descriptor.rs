//! Hub descriptors: the JSON payload in which a hub says who it is (formats.md section 9).

use std::collections::BTreeSet;
use std::fmt;

use ewtp_log::hash::sha256;
use ewtp_log::note::{KeyKind, VerifierKey, strong_key};
use ewtp_log::{Checkpoint, Hash, HubId, Origin, base64};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as DeserializeDerive, Serialize};

/// Type of the DSSE payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.ewtp.descriptor+json";
/// Most witnesses that a hub may name.
pub const WITNESSES_MAX: usize = 15;

/// Why a descriptor was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Not JSON of the right shape, or a key twice.
    #[error("not a descriptor: {0}")]
    Syntax(String),
    /// A field holds what it may not.
    #[error("descriptor field {field}: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

#[derive(Serialize, DeserializeDerive, Clone, Debug, PartialEq, Eq)]
struct Raw {
    hub: String,
    version: u64,
    prev: Option<String>,
    environment: String,
    issued: String,
    expires: String,
    root: RawRoot,
    generations: Vec<RawGeneration>,
    witness: Option<String>,
    #[serde(default)]
    witnesses: Vec<String>,
    tls_pins: Vec<String>,
    endpoints: Vec<String>,
    log_url: String,
    #[serde(default)]
    territories: Vec<String>,
    #[serde(default)]
    offices: Vec<String>,
    #[serde(default)]
    competences: Vec<String>,
    protocols: Vec<String>,
    contact: String,
}

#[derive(Serialize, DeserializeDerive, Clone, Debug, PartialEq, Eq)]
struct RawRoot {
    keys: Vec<String>,
    threshold: usize,
}

#[derive(Serialize, DeserializeDerive, Clone, Debug, PartialEq, Eq)]
struct RawGeneration {
    origin: String,
    keys: Vec<RawKey>,
    closing: Option<String>,
}

#[derive(Serialize, DeserializeDerive, Clone, Debug, PartialEq, Eq)]
struct RawKey {
    vkey: String,
    from: String,
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closing: Option<String>,
}

/// Test and live hubs never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// For trials.
    Test,
    /// With legal effect.
    Live,
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Test => "test",
            Self::Live => "live",
        })
    }
}

/// A log key and its window, Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// The key.
    pub vkey: VerifierKey,
    /// Counts from.
    pub from_ms: u64,
    /// Signs until; `None` while in use.
    pub to_ms: Option<u64>,
    /// Cosigned note of the head at which it was retired: from then on it signs nothing new.
    pub closing: Option<ClosingHead>,
}

/// The head at which a key or a generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosingHead {
    /// Size and root.
    pub head: Checkpoint,
    /// The cosigned note.
    pub note: String,
}

/// One generation of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its origin; ends with the generation's number.
    pub origin: Origin,
    /// Its keys.
    pub keys: Vec<LogKey>,
    /// Last head, once closed.
    pub closing: Option<ClosingHead>,
}

/// What `hub init` fills a first descriptor with.
#[derive(Clone, Debug)]
pub struct Template {
    /// Hub id.
    pub hub: HubId,
    /// Environment.
    pub environment: Environment,
    /// Issued and expires, Unix milliseconds.
    pub window_ms: (u64, u64),
    /// Root public keys; all are needed.
    pub root_keys: Vec<[u8; 32]>,
    /// Log key of the first generation.
    pub log_key: VerifierKey,
    /// Witness key.
    pub witness: Option<VerifierKey>,
    /// SHA-256 of SPKIs of the federation listener.
    pub tls_pins: Vec<[u8; 32]>,
    /// `host:port` of the federation listener.
    pub endpoints: Vec<String>,
    /// Public log URL with scheme.
    pub log_url: String,
    /// Territories that it speaks for.
    pub territories: Vec<String>,
    /// Office codes or prefixes ending in `*`.
    pub offices: Vec<String>,
    /// Competences, e.g. `customs`.
    pub competences: Vec<String>,
    /// Whom to call.
    pub contact: String,
}

/// A descriptor whose fields were checked. Its signatures are the chain's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Hub id.
    pub hub: HubId,
    /// From 1.
    pub version: u64,
    /// SHA-256 of the payload before.
    pub prev: Option<Hash>,
    /// Environment.
    pub environment: Environment,
    /// Unix milliseconds.
    pub issued_ms: u64,
    /// Unix milliseconds. An expired descriptor stops new statements from being honoured.
    pub expires_ms: u64,
    /// Root public keys.
    pub root_keys: Vec<[u8; 32]>,
    /// How many of them must sign.
    pub root_threshold: usize,
    /// Generations, oldest first; the last is in use.
    pub generations: Vec<Generation>,
    /// The hub's own witness key.
    pub witness: Option<VerifierKey>,
    /// Witnesses that it names.
    pub witnesses: Vec<VerifierKey>,
    /// SHA-256 of SPKIs that its TLS ends may show.
    pub tls_pins: Vec<[u8; 32]>,
    /// `host:port` of its federation listener.
    pub endpoints: Vec<String>,
    /// Public log URL.
    pub log_url: String,
    /// Territories.
    pub territories: Vec<String>,
    /// Offices.
    pub offices: Vec<String>,
    /// Competences.
    pub competences: Vec<String>,
    /// Protocol versions, e.g. `ewtp/1`.
    pub protocols: Vec<String>,
    /// Whom to call.
    pub contact: String,
    /// SHA-256 of the payload.
    pub digest: Hash,
}

fn field(field: &'static str, problem: impl Into<String>) -> DescriptorError {
    DescriptorError::Field { field, problem: problem.into() }
}

fn instant(name: &'static str, text: &str) -> Result<u64, DescriptorError> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed.ok().and_then(|t| u64::try_from(t.as_millisecond()).ok()).ok_or_else(|| {
        field(name, format!("{text:?} is no UTC instant such as 2026-01-01T00:00:00Z"))
    })
}

fn instant_text(ms: u64) -> String {
    ewtp_log::statement::format_time(ms)
}

impl Descriptor {
    /// Makes the payload of a first descriptor.
    #[must_use]
    pub fn first_payload(t: &Template) -> Vec<u8> {
        let raw = Raw {
            hub: t.hub.to_string(),
            version: 1,
            prev: None,
            environment: t.environment.to_string(),
            issued: instant_text(t.window_ms.0),
            expires: instant_text(t.window_ms.1),
            root: RawRoot {
                keys: t.root_keys.iter().map(|k| base64::encode(k)).collect(),
                threshold: t.root_keys.len(),
            },
            generations: vec![RawGeneration {
                origin: t.log_key.name().to_owned(),
                keys: vec![RawKey {
                    vkey: t.log_key.to_text(),
                    from: instant_text(t.window_ms.0),
                    to: None,
                    closing: None,
                }],
                closing: None,
            }],
            witness: t.witness.as_ref().map(VerifierKey::to_text),
            witnesses: Vec::new(),
            tls_pins: t.tls_pins.iter().map(|p| base64::encode(p)).collect(),
            endpoints: t.endpoints.clone(),
            log_url: t.log_url.clone(),
            territories: t.territories.clone(),
            offices: t.offices.clone(),
            competences: t.competences.clone(),
            protocols: vec!["ewtp/1".to_owned()],
            contact: t.contact.clone(),
        };
        // Strings and numbers alone: serialisation can't fail.
        serde_json::to_vec(&raw).unwrap_or_default()
    }

    /// Parses a payload. Duplicate keys are refused, unknown ones ignored (the payload's bytes are kept by the chain).
    ///
    /// # Errors
    /// [`DescriptorError`].
    pub fn parse(payload: &[u8]) -> Result<Self, DescriptorError> {
        let syntax = |e: serde_json::Error| DescriptorError::Syntax(e.to_string());
        let _: UniqueKeys = serde_json::from_slice(payload).map_err(syntax)?;
        let raw: Raw = serde_json::from_slice(payload).map_err(syntax)?;
        let environment = match raw.environment.as_str() {
            "test" => Environment::Test,
            "live" => Environment::Live,
            other => return Err(field("environment", format!("{other:?}; allowed: test, live"))),
        };
        let hub: HubId =
            raw.hub.parse().map_err(|e: ewtp_log::id::NameError| field("hub", e.to_string()))?;
        let root_keys = keys("root.keys", &raw.root.keys)?;
        let distinct: BTreeSet<_> = root_keys.iter().collect();
        if distinct.len() != root_keys.len() || root_keys.iter().any(|k| strong_key(k).is_none()) {
            return Err(field("root.keys", "keys must be distinct and strong"));
        }
        if raw.root.threshold == 0 || raw.root.threshold > root_keys.len() {
            return Err(field("root.threshold", "must be 1 to the number of root keys"));
        }
        let vkey = |name: &'static str, kind: KeyKind| {
            move |text: &String| {
                let key = VerifierKey::parse(text).map_err(|e| field(name, e.to_string()))?;
                if key.kind() == kind { Ok(key) } else { Err(field(name, "a key of another type")) }
            }
        };
        let witnesses: Vec<_> = raw
            .witnesses
            .iter()
            .map(vkey("witnesses", KeyKind::Witness))
            .collect::<Result<_, _>>()?;
        if witnesses.len() > WITNESSES_MAX {
            return Err(field("witnesses", "at most 15"));
        }
        let version = if raw.version == 0 {
            Err(field("version", "counts from 1"))
        } else {
            Ok(raw.version)
        }?;
        let prev = match (&raw.prev, version) {
            (None, 1) => None,
            (Some(text), 2..) => {
                Some(Hash::from_base64(text).ok_or_else(|| field("prev", "no SHA-256 in base64"))?)
            }
            _ => return Err(field("prev", "absent in version 1, present in all later ones")),
        };
        let generations: Vec<Generation> =
            raw.generations.iter().map(generation).collect::<Result<_, _>>()?;
        let in_order = generations.iter().zip(1..).all(|(g, n)| g.origin.generation() == n);
        if generations.is_empty() || !in_order {
            return Err(field("generations", "must be g1, g2, … without gaps"));
        }
        Ok(Self {
            hub,
            version,
            prev,
            environment,
            issued_ms: instant("issued", &raw.issued)?,
            expires_ms: instant("expires", &raw.expires)?,
            root_keys,
            root_threshold: raw.root.threshold,
            generations,
            witness: raw.witness.as_ref().map(vkey("witness", KeyKind::Witness)).transpose()?,
            witnesses,
            tls_pins: keys("tls_pins", &raw.tls_pins)?,
            endpoints: raw.endpoints,
            log_url: raw.log_url,
            territories: raw.territories,
            offices: raw.offices,
            competences: raw.competences,
            protocols: raw.protocols,
            contact: raw.contact,
            digest: sha256(&[payload]),
        })
    }

    /// The generation in use.
    #[must_use]
    pub fn generation(&self) -> Option<&Generation> {
        self.generations.last()
    }
}

fn keys(name: &'static str, texts: &[String]) -> Result<Vec<[u8; 32]>, DescriptorError> {
    let decode =
        |t: &String| base64::decode_array(t).ok_or_else(|| field(name, "32 bytes in base64 each"));
    texts.iter().map(decode).collect()
}

fn generation(raw: &RawGeneration) -> Result<Generation, DescriptorError> {
    let origin: Origin = raw
        .origin
        .parse()
        .map_err(|e: ewtp_log::id::NameError| field("generations.origin", e.to_string()))?;
    let key = |k: &RawKey| {
        let vkey =
            VerifierKey::parse(&k.vkey).map_err(|e| field("generations.keys", e.to_string()))?;
        if vkey.kind() != KeyKind::Log || vkey.name() != origin.as_str() {
            return Err(field("generations.keys", "a log key is named like its origin"));
        }
        let from_ms = instant("generations.keys.from", &k.from)?;
        let to_ms = k.to.as_deref().map(|t| instant("generations.keys.to", t)).transpose()?;
        let closing = closing_head("generations.keys.closing", &k.closing, &origin)?;
        if closing.is_some() && to_ms.is_none() {
            return Err(field("generations.keys.closing", "a retired key has an end: to"));
        }
        Ok(LogKey { vkey, from_ms, to_ms, closing })
    };
    let keys: Vec<LogKey> = raw.keys.iter().map(key).collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(field("generations.keys", "at least one log key"));
    }
    let closing = closing_head("generations.closing", &raw.closing, &origin)?;
    Ok(Generation { origin, keys, closing })
}

fn closing_head(
    name: &'static str,
    note: &Option<String>,
    origin: &Origin,
) -> Result<Option<ClosingHead>, DescriptorError> {
    let Some(note) = note else { return Ok(None) };
    let parsed = Checkpoint::parse_note(note.as_bytes());
    let (head, _) = parsed.map_err(|e| field(name, e.to_string()))?;
    if head.origin != origin.as_str() || head.size.0 == 0 {
        return Err(field(name, "a signed head of that very log, not an empty one"));
    }
    Ok(Some(ClosingHead { head, note: note.clone() }))
}

/// Reads any JSON and refuses a key that stands twice in one object: two readers would see two descriptors.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = UniqueKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((key, _)) = map.next_entry::<String, UniqueKeys>()? {
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("the key {key:?} stands twice")));
            }
            seen.insert(key);
        }
        Ok(UniqueKeys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UniqueKeys, A::Error> {
        while seq.next_element::<UniqueKeys>()?.is_some() {}
        Ok(UniqueKeys)
    }

    fn visit_bool<E>(self, _: bool) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }
    fn visit_i64<E>(self, _: i64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }
    fn visit_u64<E>(self, _: u64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }
    fn visit_f64<E>(self, _: f64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }
    fn visit_str<E>(self, _: &str) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }
    fn visit_unit<E>(self) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }
}
