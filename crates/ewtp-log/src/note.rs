//! Signed notes (C2SP `signed-note` v1.0.0): a text, a blank line, signature lines; and the keys that check them.
//!
//! Stricter than the standard where it leaves a choice: a failing or repeated line of a known key refuses the note,
//! base64 is canonical, and Ed25519 is checked by `verify_strict` alone, so that all verifiers agree.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::base64;
use crate::hash::sha256;

/// Longest note read, bytes.
pub const NOTE_BYTES_MAX: usize = 256 << 10;
/// Most signature lines read.
pub const SIGNATURES_MAX: usize = 100;

/// The kinds of key that we know (signed-note, "Verifier keys").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// 01: Ed25519 over the note text.
    Log,
    /// 04: Ed25519 `cosignature/v1` with a timestamp.
    Witness,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }
}

/// Why a verifier key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VkeyError {
    /// Not `name+hex+base64`.
    #[error("a verifier key is written name+8 hex digits+base64")]
    Syntax,
    /// The name is empty or holds `+` or a space.
    #[error("a key name is not empty and holds neither + nor a space")]
    Name,
    /// The key id does not recompute.
    #[error("the key id does not match name and key")]
    KeyId,
    /// An unknown type or a wrong length.
    #[error("key type {0} is unknown or has another length")]
    Kind(u8),
    /// A point of small or mixed order, or one that is not canonical; no honest signer makes it.
    #[error("the Ed25519 public key is weak or not canonical")]
    Weak,
}

/// A named public key: C2SP's vkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: VerifyingKey,
    id: [u8; 4],
}

impl VerifierKey {
    /// Names a public key.
    ///
    /// # Errors
    /// [`VkeyError::Name`] for a name that notes can't carry, [`VkeyError::Weak`] for a key nobody may pin.
    pub fn new(name: &str, kind: KeyKind, public: &[u8; 32]) -> Result<Self, VkeyError> {
        if !name_is_valid(name) {
            return Err(VkeyError::Name);
        }
        let key = strong_key(public).ok_or(VkeyError::Weak)?;
        let id = key_id(name, kind.byte(), public);
        Ok(Self { name: name.to_owned(), kind, key, id })
    }

    /// Parses `name+keyid+base64(type || key)`.
    ///
    /// # Errors
    /// [`VkeyError`].
    pub fn parse(text: &str) -> Result<Self, VkeyError> {
        let mut pieces = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(VkeyError::Syntax);
        };
        let id_ok = id.len() == 8 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let raw = base64::decode(key).filter(|_| id_ok).ok_or(VkeyError::Syntax)?;
        let Some((kind_byte, public)) = raw.split_first() else { return Err(VkeyError::Syntax) };
        if !name_is_valid(name) {
            return Err(VkeyError::Name);
        }
        if u32::from_str_radix(id, 16).ok()
            != Some(u32::from_be_bytes(key_id(name, *kind_byte, public)))
        {
            return Err(VkeyError::KeyId);
        }
        let kind = match kind_byte {
            1 => KeyKind::Log,
            4 => KeyKind::Witness,
            other => return Err(VkeyError::Kind(*other)),
        };
        let public: &[u8; 32] = public.try_into().map_err(|_| VkeyError::Kind(*kind_byte))?;
        Self::new(name, kind, public)
    }

    /// The vkey as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut raw = vec![self.kind.byte()];
        raw.extend_from_slice(self.key.as_bytes());
        format!("{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), base64::encode(&raw))
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Log key or witness key.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }
}

/// A public key that may be pinned: canonical, of prime order, not weak.
#[must_use]
pub fn strong_key(public: &[u8; 32]) -> Option<VerifyingKey> {
    let key = VerifyingKey::from_bytes(public).ok()?;
    let point = key.to_edwards();
    let canonical = point.compress().as_bytes() == public;
    (!key.is_weak() && point.is_torsion_free() && canonical).then_some(key)
}

/// The one verdict on an Ed25519 signature: `verify_strict`, never a batch.
#[must_use]
pub fn verify_ed25519(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    key.verify_strict(message, &signature).is_ok()
}

fn key_id(name: &str, kind: u8, public: &[u8]) -> [u8; 4] {
    let digest = sha256(&[name.as_bytes(), b"\n", &[kind], public]);
    [digest.0[0], digest.0[1], digest.0[2], digest.0[3]]
}

fn name_is_valid(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c == '+' || c.is_whitespace())
}

/// Signs notes under one name.
pub struct NoteSigner {
    key: SigningKey,
    vkey: VerifierKey,
}

impl NoteSigner {
    /// A log's signer (type 01).
    ///
    /// # Errors
    /// [`VkeyError`] if the name can't stand in a note.
    pub fn log(name: &str, seed: &[u8; 32]) -> Result<Self, VkeyError> {
        let key = SigningKey::from_bytes(seed);
        let vkey = VerifierKey::new(name, KeyKind::Log, key.verifying_key().as_bytes())?;
        Ok(Self { key, vkey })
    }

    /// A witness's signer (type 04); its key signs nothing else.
    ///
    /// # Errors
    /// [`VkeyError`] if the name can't stand in a note.
    pub fn witness(name: &str, seed: &[u8; 32]) -> Result<Self, VkeyError> {
        let key = SigningKey::from_bytes(seed);
        let vkey = VerifierKey::new(name, KeyKind::Witness, key.verifying_key().as_bytes())?;
        Ok(Self { key, vkey })
    }

    /// A cosignature line over a checkpoint's text at a time in POSIX seconds (C2SP `tlog-cosignature`).
    #[must_use]
    pub fn cosign_line(&self, text: &str, seconds: u64) -> String {
        let mut body = self.vkey.id.to_vec();
        body.extend_from_slice(&seconds.to_be_bytes());
        let message = cosigned_message(text, seconds);
        body.extend_from_slice(&self.key.sign(message.as_bytes()).to_bytes());
        format!("— {} {}\n", self.vkey.name, base64::encode(&body))
    }

    /// The key that checks what this signer signs.
    #[must_use]
    pub const fn vkey(&self) -> &VerifierKey {
        &self.vkey
    }

    /// Signature line over `text` (RFC 8032: the same text gives the same bytes).
    #[must_use]
    pub fn sign_line(&self, text: &str) -> String {
        let mut body = self.vkey.id.to_vec();
        body.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("— {} {}\n", self.vkey.name, base64::encode(&body))
    }

    /// The whole note.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        format!("{text}\n{}", self.sign_line(text))
    }
}

/// Why a note was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not the form of a note.
    #[error("not a signed note: {0}")]
    Syntax(&'static str),
    /// A line of a known key fails or is repeated.
    #[error("the signature line of {0} fails or is repeated")]
    Signature(String),
    /// A line is by a key that the verifier doesn't know, where all must be known.
    #[error("a signature line is by the unknown key {0}")]
    UnknownKey(String),
    /// No known key signed.
    #[error("no known key signed this note")]
    Unsigned,
}

/// A note split into its text and signature lines; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The signed text, with its final LF.
    pub text: String,
    /// Signature lines in order.
    pub lines: Vec<SignatureLine>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// Key name.
    pub name: String,
    /// First four bytes: the key id.
    pub key_id: [u8; 4],
    /// The rest: type-specific.
    pub body: Vec<u8>,
}

impl SignatureLine {
    /// The line with its LF.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut body = self.key_id.to_vec();
        body.extend_from_slice(&self.body);
        format!("— {} {}\n", self.name, base64::encode(&body))
    }

    /// Time in POSIX seconds that a cosignature names; nothing is verified. `None` for a line that is none.
    #[must_use]
    pub fn cosigned_at(&self) -> Option<u64> {
        let (time, _) = self.body.split_first_chunk::<8>().filter(|_| self.body.len() == 72)?;
        Some(u64::from_be_bytes(*time))
    }

    /// Reads lines that follow a note, such as a witness's answer.
    ///
    /// # Errors
    /// [`NoteError::Syntax`].
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        let body = text.strip_suffix('\n').ok_or(NoteError::Syntax("no final newline"))?;
        let lines = body.split('\n').map(parse_line).collect::<Result<Vec<_>, _>>()?;
        if lines.len() > SIGNATURES_MAX {
            return Err(NoteError::Syntax("more than 100 signature lines"));
        }
        Ok(lines)
    }
}

/// What verified on a note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Log keys (type 01) that signed.
    pub log_keys: Vec<VerifierKey>,
    /// Witnesses that cosigned, with their POSIX seconds.
    pub witnesses: Vec<(VerifierKey, u64)>,
}

impl Note {
    /// Parses a note within the bounds above.
    ///
    /// # Errors
    /// [`NoteError::Syntax`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        use NoteError::Syntax;
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Syntax("longer than 256 KiB"));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| Syntax("not UTF-8"))?;
        if whole.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(Syntax("control character"));
        }
        let split = whole.rfind("\n\n").ok_or(Syntax("no blank line before the signatures"))?;
        let (text, signatures) = whole.split_at(split + 1);
        let signatures = signatures.get(1..).unwrap_or_default();
        let lines = SignatureLine::parse_lines(signatures)?;
        Ok(Self { text: text.to_owned(), lines })
    }

    /// The note with those of its lines whose keys are among `known`, log keys first, then witnesses by (name, key id): what
    /// is stored and passed on, so that nobody spoils a good note by appending junk.
    #[must_use]
    pub fn keep(&self, known: &[VerifierKey]) -> String {
        let of = |line: &&SignatureLine| {
            known.iter().find(|k| k.name == line.name && k.id == line.key_id)
        };
        let mut kept: Vec<(bool, &SignatureLine)> = self
            .lines
            .iter()
            .filter_map(|line| of(&line).map(|key| (key.kind == KeyKind::Witness, line)))
            .collect();
        kept.sort_by(|(a, x), (b, y)| (a, &x.name, x.key_id).cmp(&(b, &y.name, y.key_id)));
        kept.dedup_by(|(_, x), (_, y)| (&x.name, x.key_id) == (&y.name, y.key_id));
        let mut out = format!("{}\n", self.text);
        kept.into_iter().for_each(|(_, line)| out.push_str(&line.to_text()));
        out
    }

    /// Checks every line of a known key; ignores lines of unknown ones.
    ///
    /// # Errors
    /// [`NoteError::Signature`] if a known key's line fails or repeats, [`NoteError::Unsigned`] if none verified.
    pub fn verify(&self, known: &[VerifierKey]) -> Result<Verified, NoteError> {
        self.verify_lines(known, UnknownLines::Ignored)
    }

    /// Like [`Note::verify`], but refuses a line of an unknown key: in a receipt no flipped bit may pass.
    ///
    /// # Errors
    /// As [`Note::verify`], and [`NoteError::UnknownKey`].
    pub fn verify_all_known(&self, known: &[VerifierKey]) -> Result<Verified, NoteError> {
        self.verify_lines(known, UnknownLines::Refused)
    }

    fn verify_lines(
        &self,
        known: &[VerifierKey],
        unknown: UnknownLines,
    ) -> Result<Verified, NoteError> {
        let mut verified = Verified::default();
        let mut seen: Vec<&VerifierKey> = Vec::new();
        for line in &self.lines {
            let Some(key) = known.iter().find(|k| k.name == line.name && k.id == line.key_id)
            else {
                match unknown {
                    UnknownLines::Ignored => continue,
                    UnknownLines::Refused => return Err(NoteError::UnknownKey(line.name.clone())),
                }
            };
            let bad = || NoteError::Signature(line.name.clone());
            if seen.contains(&key) {
                return Err(bad());
            }
            seen.push(key);
            match key.kind {
                KeyKind::Log => {
                    if !verify_ed25519(&key.key, self.text.as_bytes(), &line.body) {
                        return Err(bad());
                    }
                    verified.log_keys.push(key.clone());
                }
                KeyKind::Witness => {
                    let time =
                        verify_cosignature(&self.text, &key.key, &line.body).ok_or_else(bad)?;
                    verified.witnesses.push((key.clone(), time));
                }
            }
        }
        if seen.is_empty() { Err(NoteError::Unsigned) } else { Ok(verified) }
    }
}

enum UnknownLines {
    Ignored,
    Refused,
}

/// C2SP `tlog-cosignature`: `u64 big-endian seconds || Ed25519` over a text that repeats the time.
fn verify_cosignature(text: &str, key: &VerifyingKey, body: &[u8]) -> Option<u64> {
    let (time, signature) = body.split_at_checked(8)?;
    let time = u64::from_be_bytes(time.try_into().ok()?);
    let message = cosigned_message(text, time);
    let in_range = (1..=crate::id::DECIMAL_MAX).contains(&time);
    (in_range && verify_ed25519(key, message.as_bytes(), signature)).then_some(time)
}

fn cosigned_message(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

fn parse_line(line: &str) -> Result<SignatureLine, NoteError> {
    use NoteError::Syntax;
    let rest = line
        .strip_prefix("— ")
        .ok_or(Syntax("a signature line starts with an em dash and a space"))?;
    let (name, body) =
        rest.split_once(' ').ok_or(Syntax("a signature line has a name and a body"))?;
    if !name_is_valid(name) {
        return Err(Syntax("key name"));
    }
    let raw = base64::decode(body).ok_or(Syntax("base64 of a signature line"))?;
    match raw.split_at_checked(4) {
        Some((id, body)) if !body.is_empty() => Ok(SignatureLine {
            name: name.to_owned(),
            key_id: [id[0], id[1], id[2], id[3]],
            body: body.to_vec(),
        }),
        _ => Err(Syntax("a signature body has at least 5 bytes")),
    }
}
