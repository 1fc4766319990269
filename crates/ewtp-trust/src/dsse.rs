//! DSSE 1.0.2 envelopes with Ed25519 signatures.
//!
//! Order of work: verify, check that the type is the one expected here, then parse those same payload bytes. A `keyid` is
//! a hint outside the signature and decides nothing; a threshold counts distinct public keys that verify, not entries.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::{Signer as _, SigningKey};
use ewtp_log::hash::sha256;
use ewtp_log::note::{strong_key, verify_ed25519};
use serde::{Deserialize, Serialize};

/// Longest envelope read, bytes.
pub const ENVELOPE_BYTES_MAX: usize = 64 << 10;

/// Why an envelope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    /// Longer than 64 KiB.
    #[error("the envelope has {0} bytes; at most {ENVELOPE_BYTES_MAX} are read")]
    TooLong(usize),
    /// Not an envelope.
    #[error("not a DSSE envelope: {0}")]
    Syntax(String),
    /// Another type than the one expected.
    #[error("the payload is of type {got:?}, expected {expected:?}")]
    Type {
        /// Expected.
        expected: String,
        /// Found.
        got: String,
    },
    /// Too few keys signed.
    #[error("{got} of the {needed} signatures needed verify")]
    Threshold {
        /// Distinct keys needed.
        needed: usize,
        /// Distinct keys that verify.
        got: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct EnvelopeJson {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<SignatureJson>,
}

#[derive(Serialize, Deserialize)]
struct SignatureJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// An envelope; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

/// What is signed: `DSSEv1 len type len body`.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// Parses JSON; standard and URL-safe base64 are taken, unknown fields ignored.
    ///
    /// # Errors
    /// [`DsseError::TooLong`], [`DsseError::Syntax`].
    pub fn parse(json: &str) -> Result<Self, DsseError> {
        if json.len() > ENVELOPE_BYTES_MAX {
            return Err(DsseError::TooLong(json.len()));
        }
        let raw: EnvelopeJson =
            serde_json::from_str(json).map_err(|e| DsseError::Syntax(e.to_string()))?;
        let decode = |text: &str| {
            STANDARD
                .decode(text)
                .or_else(|_| URL_SAFE.decode(text))
                .map_err(|e| DsseError::Syntax(e.to_string()))
        };
        Ok(Self {
            payload: decode(&raw.payload)?,
            payload_type: raw.payload_type,
            signatures: raw.signatures.iter().map(|s| decode(&s.sig)).collect::<Result<_, _>>()?,
        })
    }

    /// Signs a payload with each key.
    #[must_use]
    pub fn sign(payload_type: &str, payload: &[u8], keys: &[&SigningKey]) -> String {
        let message = pae(payload_type, payload);
        let signature = |key: &&SigningKey| SignatureJson {
            keyid: Some(sha256(&[key.verifying_key().as_bytes()]).to_hex()),
            sig: STANDARD.encode(key.sign(&message).to_bytes()),
        };
        let raw = EnvelopeJson {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: keys.iter().map(signature).collect(),
        };
        // Strings alone: serialisation can't fail.
        serde_json::to_string(&raw).unwrap_or_default()
    }

    /// The payload, not yet trusted: a descriptor names the keys that its own first version is checked with.
    #[must_use]
    pub fn untrusted_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Gives the payload if at least `threshold` distinct `keys` signed it and its type is `expected`.
    ///
    /// # Errors
    /// [`DsseError::Threshold`], then [`DsseError::Type`].
    pub fn verify(
        &self,
        expected: &str,
        keys: &[[u8; 32]],
        threshold: usize,
    ) -> Result<&[u8], DsseError> {
        let message = pae(&self.payload_type, &self.payload);
        let mut distinct: Vec<&[u8; 32]> = keys.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let signed = |key: &&&[u8; 32]| {
            let Some(key) = strong_key(key) else { return false };
            self.signatures.iter().any(|s| verify_ed25519(&key, &message, s))
        };
        let got = distinct.iter().filter(signed).count();
        if threshold == 0 || got < threshold {
            return Err(DsseError::Threshold { needed: threshold.max(1), got });
        }
        if self.payload_type != expected {
            return Err(DsseError::Type {
                expected: expected.into(),
                got: self.payload_type.clone(),
            });
        }
        Ok(&self.payload)
    }
}
