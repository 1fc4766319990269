//! Statements: a small canonical header and salted parts (formats.md section 11).
//!
//! ```text
//! content ─salt, pad─▶ blob ─SHA-256─▶ digest ─▶ header line ─SHA-256─▶ commitment = the log's entry
//! ```
//!
//! The header is text because every verifier must read the same from the same bytes. Contents need not be canonical:
//! they are kept, never re-encoded. Who may not see a part holds its digest, and every proof still verifies.

use std::fmt::Write as _;

use crate::base64;
use crate::hash::{Hash, sha256};
use crate::id::parse_decimal;

/// Longest header, bytes.
pub const HEADER_BYTES_MAX: usize = 4096;
/// Longest header and parts together, bytes: a constant of `ewtp/1`.
pub const STATEMENT_BYTES_MAX: usize = 256 << 10;
/// Most `ref` lines.
pub const REFS_MAX: usize = 8;
/// Most `part` lines.
pub const PARTS_MAX: usize = 48;
/// Smallest blob of a part called `authority`: its existence and size must say nothing.
const AUTHORITY_BLOB_MIN: usize = 1024;
/// Part whose blob is padded to powers of two.
const AUTHORITY: &str = "authority";

/// Why a header or a part was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The header is not canonical `ewtp-statement/v1`.
    #[error("header refused at {0}")]
    Header(&'static str),
    /// A blob is not salt, length, content and zeros of the right total.
    #[error("part {0} is not salt, length, content and zeros")]
    Blob(String),
}

/// What a statement is: its kind, what it is about, and which of a series. With the hub, its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementId {
    /// `filing`, `decision`, …
    pub kind: String,
    /// What it is about, e.g. a filing id.
    pub subject: String,
    /// Version or running number, from 1.
    pub number: u64,
}

/// A parsed header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Id of the hub that says it. Verified hubs are checked against the lane's peer.
    pub hub: String,
    /// Origin of its log generation.
    pub origin: String,
    /// 16 random bytes, so that headers can't be guessed.
    pub nonce: [u8; 16],
    /// Kind, subject, number.
    pub id: StatementId,
    /// `2026-01-01T00:00:00.000Z`.
    pub time: String,
    /// Commitments of the statements that it answers or replaces.
    pub refs: Vec<Hash>,
    /// Digest of each part, in order.
    pub parts: Vec<(String, Hash)>,
    /// Lines of a later version, kept as they are.
    pub later: Vec<String>,
}

impl Header {
    /// Parses canonical header bytes; anything else is refused.
    ///
    /// # Errors
    /// [`StatementError::Header`] naming the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let fail = StatementError::Header;
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(fail("its length: more than 4096 bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| fail("its encoding"))?;
        let body = text.strip_suffix('\n').ok_or(fail("its end: no final newline"))?;
        let mut lines = body.split('\n').peekable();
        if lines.next() != Some("ewtp-statement/v1") {
            return Err(fail("the first line"));
        }
        let mut value = |prefix: &str| lines.next().and_then(|l| l.strip_prefix(prefix));
        let hub = value("hub ").filter(|h| h.parse::<crate::HubId>().is_ok()).ok_or(fail("hub"))?;
        let origin = value("origin ").filter(|o| origin_is_plausible(o)).ok_or(fail("origin"))?;
        let nonce = value("nonce ").and_then(base64::decode_array).ok_or(fail("nonce"))?;
        let id = value("id ").and_then(parse_id).ok_or(fail("id"))?;
        let time = value("time ").filter(|t| time_is_valid(t)).ok_or(fail("time"))?;
        let mut header = Self {
            hub: hub.to_owned(),
            origin: origin.to_owned(),
            nonce,
            id,
            time: time.to_owned(),
            refs: Vec::new(),
            parts: Vec::new(),
            later: Vec::new(),
        };
        while let Some(line) = lines.next_if(|l| l.starts_with("ref ")) {
            let commitment =
                line.strip_prefix("ref ").and_then(Hash::from_base64).ok_or(fail("ref"))?;
            header.refs.push(commitment);
        }
        while let Some(line) = lines.next_if(|l| l.starts_with("part ")) {
            let (name, digest) =
                line.strip_prefix("part ").and_then(parse_part).ok_or(fail("part"))?;
            if header.part_digest(name).is_some() {
                return Err(fail("part: one name twice"));
            }
            header.parts.push((name.to_owned(), digest));
        }
        for line in lines {
            if !later_is_valid(line) {
                return Err(fail("a later line"));
            }
            header.later.push(line.to_owned());
        }
        if header.refs.len() > REFS_MAX || header.parts.is_empty() || header.parts.len() > PARTS_MAX
        {
            return Err(fail("the number of ref or part lines"));
        }
        Ok(header)
    }

    /// Writes the canonical text.
    ///
    /// # Errors
    /// [`StatementError::Header`] if a field can't stand in a header.
    pub fn to_text(&self) -> Result<String, StatementError> {
        let mut out = String::with_capacity(512);
        let nonce = base64::encode(&self.nonce);
        let StatementId { kind, subject, number } = &self.id;
        let mut write = || -> std::fmt::Result {
            write!(
                out,
                "ewtp-statement/v1\nhub {}\norigin {}\nnonce {nonce}\n",
                self.hub, self.origin
            )?;
            write!(out, "id {kind} {subject} {number}\ntime {}\n", self.time)?;
            self.refs.iter().try_for_each(|r| writeln!(out, "ref {r}"))?;
            self.parts
                .iter()
                .try_for_each(|(name, digest)| writeln!(out, "part {name} {digest}"))?;
            self.later.iter().try_for_each(|line| writeln!(out, "{line}"))
        };
        write().map_err(|_| StatementError::Header("writing"))?;
        Self::parse(out.as_bytes())?;
        Ok(out)
    }

    /// Digest of the part of that name.
    #[must_use]
    pub fn part_digest(&self, name: &str) -> Option<&Hash> {
        self.parts.iter().find(|(n, _)| n == name).map(|(_, d)| d)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z of the time line; `None` where it names no real instant.
    #[must_use]
    pub fn time_ms(&self) -> Option<u64> {
        parse_time(&self.time)
    }
}

/// Commitment of a statement: SHA-256 of its header.
#[must_use]
pub fn commitment(header: &[u8]) -> Hash {
    sha256(&[header])
}

fn origin_is_plausible(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase()
                || b.is_ascii_digit()
                || matches!(b, b'.' | b':' | b'/' | b'_' | b'-')
        })
}

/// `[a-z][a-z0-9-]{0,31}`: names of kinds and parts.
#[must_use]
pub fn name_is_valid(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn parse_id(text: &str) -> Option<StatementId> {
    let mut words = text.split(' ');
    let (kind, subject, number) = (words.next()?, words.next()?, words.next()?);
    let subject_ok = (1..=64).contains(&subject.len())
        && subject
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'-'));
    if words.next().is_some() || !name_is_valid(kind) || !subject_ok {
        return None;
    }
    Some(StatementId {
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        number: parse_decimal(number)?,
    })
}

fn parse_part(text: &str) -> Option<(&str, Hash)> {
    let (name, digest) = text.split_once(' ')?;
    name_is_valid(name).then_some(())?;
    Some((name, Hash::from_base64(digest)?))
}

fn later_is_valid(line: &str) -> bool {
    (1..=256).contains(&line.len())
        && line.starts_with(|c: char| c.is_ascii_lowercase())
        && line.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !line.starts_with("part ")
        && !line.starts_with("ref ")
}

const TIME_FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddZ";

fn time_is_valid(text: &str) -> bool {
    text.len() == TIME_FORM.len()
        && text
            .bytes()
            .zip(TIME_FORM)
            .all(|(b, f)| if *f == b'd' { b.is_ascii_digit() } else { b == *f })
}

/// Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn parse_time(text: &str) -> Option<u64> {
    let n = |at: std::ops::Range<usize>| text.get(at)?.parse::<i64>().ok();
    let (year, month, day) = (n(0..4)?, n(5..7)?, n(8..10)?);
    let (hour, minute, second, ms) = (n(11..13)?, n(14..16)?, n(17..19)?, n(20..23)?);
    let days = days_from_civil(year, month, day);
    let real = (1..=12).contains(&month) && day >= 1 && hour < 24 && minute < 60 && second < 60;
    let total = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms;
    let total = u64::try_from(total).ok().filter(|_| real)?;
    (format_time(total) == text).then_some(total)
}

/// Writes milliseconds since 1970 as a header's time line has it. Times past the year 9999 are cut to its end.
#[must_use]
pub fn format_time(ms: u64) -> String {
    let ms = ms.min(253_402_300_799_999) as i64;
    let days = ms.div_euclid(86_400_000);
    let in_day = ms.rem_euclid(86_400_000);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", in_day % 1000)
}

/// Wraps a part's content: salt, u32 big-endian length, content, zeros to a multiple of 64
/// (`authority`: to 1024, 2048, 4096 …).
#[must_use]
pub fn seal_part(name: &str, content: &[u8], salt: [u8; 16]) -> Vec<u8> {
    seal_part_with(name, content.len(), salt, |blob| blob.extend_from_slice(content))
}

/// The same for content of a known length that `write` appends: encoded once, where it stays.
#[must_use]
pub fn seal_part_with(
    name: &str,
    content_len: usize,
    salt: [u8; 16],
    write: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let total = blob_len(name, content_len);
    let mut blob = Vec::with_capacity(total);
    blob.extend_from_slice(&salt);
    blob.extend_from_slice(&u32::try_from(content_len).unwrap_or(u32::MAX).to_be_bytes());
    write(&mut blob);
    blob.resize(total, 0);
    blob
}

fn blob_len(name: &str, content_len: usize) -> usize {
    let raw = 20 + content_len;
    if name == AUTHORITY {
        raw.next_power_of_two().max(AUTHORITY_BLOB_MIN)
    } else {
        raw.div_ceil(64) * 64
    }
}

/// The content inside a blob; padding of another length or with other bytes than zero is refused.
///
/// # Errors
/// [`StatementError::Blob`].
pub fn open_part<'a>(name: &str, blob: &'a [u8]) -> Result<&'a [u8], StatementError> {
    let open = || {
        let (_salt, rest) = blob.split_at_checked(16)?;
        let (len, rest) = rest.split_at_checked(4)?;
        let len = u32::from_be_bytes(len.try_into().ok()?) as usize;
        let (content, padding) = rest.split_at_checked(len)?;
        let exact = blob.len() == blob_len(name, len) && padding.iter().all(|b| *b == 0);
        exact.then_some(content)
    };
    open().ok_or_else(|| StatementError::Blob(name.to_owned()))
}

/// Digest that a header holds of a part.
#[must_use]
pub fn part_digest(name: &str, blob: &[u8]) -> Hash {
    sha256(&[b"ewtp-part/v1\n", name.as_bytes(), &[0], blob])
}

/// What the digest of an attachment begins with, before its salt and its bytes; for who hashes the bytes as they come.
pub const ATTACHMENT_PREFIX: &[u8] = b"ewtp-attachment/v1\n";

/// Digest by which a part cites an attachment.
#[must_use]
pub fn attachment_digest(salt: &[u8; 16], bytes: &[u8]) -> Hash {
    sha256(&[ATTACHMENT_PREFIX, salt, bytes])
}
