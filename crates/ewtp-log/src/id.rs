//! The names of hubs and logs, and the three numbers that must not be mixed up: index, size and lane number.

use std::fmt;
use std::str::FromStr;

/// Largest decimal that any format of the hub carries: 2^63 − 1.
pub const DECIMAL_MAX: u64 = i64::MAX as u64;

/// Position of an entry in a log, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIndex(pub u64);

/// Count of leaves of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeSize(pub u64);

/// Position of a statement in a lane, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneNumber(pub u64);

macro_rules! number_display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
number_display!(LogIndex, TreeSize, LaneNumber);

/// Why a text is not the name that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}; allowed: {allowed}")]
pub struct NameError {
    /// The text seen, cut to 80 characters.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// The syntax allowed.
    pub allowed: &'static str,
}

impl NameError {
    fn new(text: &str, what: &'static str, allowed: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), what, allowed }
    }
}

/// Id of a hub: an ISO 3166-1 alpha-2 code, or that code, `-` and 1–12 of A–Z and 0–9.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubId(String);

impl HubId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The country code that the id begins with.
    #[must_use]
    pub fn country(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }

    /// The id padded with zeros to 16 bytes, as slot leaves hold it.
    #[must_use]
    pub fn padded(&self) -> [u8; 16] {
        let mut out = [0; 16];
        for (to, from) in out.iter_mut().zip(self.0.bytes()) {
            *to = from;
        }
        out
    }
}

impl FromStr for HubId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (country, name) = match text.split_once('-') {
            Some((c, n)) => (c, Some(n)),
            None => (text, None),
        };
        let country_ok = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let name_ok = name.is_none_or(|n| {
            (1..=12).contains(&n.len())
                && n.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        });
        if country_ok && name_ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(text, "a hub id", "CC or CC-NAME, NAME of 1-12 A-Z 0-9"))
        }
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Origin of a log: its public URL without scheme, then `/g<N>` for the generation; at most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The origin as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The generation that the origin ends with, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.rsplit_once("/g").and_then(|(_, n)| n.parse().ok()).unwrap_or(1)
    }
}

impl FromStr for Origin {
    type Err = NameError;

    /// Parses `[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?(/[a-z0-9._-]+)*/g[1-9][0-9]*`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = || {
            NameError::new(
                text,
                "a log origin",
                "host.with.a.dot[/path]/gN in lower case, <= 255 bytes",
            )
        };
        let mut segments = text.split('/');
        let host_port = segments.next().ok_or_else(fail)?;
        let (host, port) = match host_port.split_once(':') {
            Some((h, p)) => (h, Some(p)),
            None => (host_port, None),
        };
        let label = |l: &str| {
            !l.is_empty()
                && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let host_ok = host.contains('.') && host.split('.').all(label);
        let port_ok = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        let segments: Vec<&str> = segments.collect();
        let path_ok = segments.iter().all(|s| {
            !s.is_empty()
                && s.bytes().all(|b| {
                    b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
                })
        });
        let generation_ok = segments.last().and_then(|s| s.strip_prefix('g')).is_some_and(|n| {
            !n.starts_with('0') && n.parse::<u64>().is_ok_and(|n| n <= DECIMAL_MAX)
        });
        if text.len() <= 255 && host_ok && port_ok && path_ok && generation_ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(fail())
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a decimal as every format of the hub writes it: ASCII digits, no sign, no leading zero, at most 2^63 − 1.
#[must_use]
pub fn parse_decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok().filter(|n| *n <= DECIMAL_MAX)
}
