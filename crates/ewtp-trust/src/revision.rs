//! The next version of a descriptor: what changes, and nothing else. Fields that this version of the software doesn't know stay.

use ewtp_log::note::VerifierKey;
use ewtp_log::statement::format_time;
use ewtp_log::{Hash, base64};
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::descriptor::{Descriptor, DescriptorError};
use crate::dsse::Envelope;

/// Changes on top of a chain's newest descriptor.
pub struct Revision {
    payload: Value,
}

/// A revision that is no descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// The newest envelope can't be read again.
    #[error("the newest descriptor can't be read")]
    Newest,
    /// The key is not in the generation in use.
    #[error("the generation in use has no log key {0}")]
    NoKey(String),
    /// What came out is refused.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
}

impl Revision {
    /// Begins with the newest descriptor, as version n + 1, valid from `issued_ms` to `expires_ms` (Unix milliseconds).
    ///
    /// # Errors
    /// [`RevisionError::Newest`].
    pub fn of(chain: &Chain, issued_ms: u64, expires_ms: u64) -> Result<Self, RevisionError> {
        let newest = chain.envelopes().last().ok_or(RevisionError::Newest)?;
        let envelope = Envelope::parse(newest).map_err(|_| RevisionError::Newest)?;
        let mut payload: Value = serde_json::from_slice(envelope.untrusted_payload())
            .map_err(|_| RevisionError::Newest)?;
        payload["version"] = json!(chain.newest().version + 1);
        payload["prev"] = json!(chain.newest().digest.to_base64());
        payload["issued"] = json!(format_time(issued_ms));
        payload["expires"] = json!(format_time(expires_ms));
        Ok(Self { payload })
    }

    fn keys(&mut self) -> Option<&mut Vec<Value>> {
        self.payload["generations"].as_array_mut()?.last_mut()?["keys"].as_array_mut()
    }

    /// Adds a log key to the generation in use; the present one goes on beside it.
    pub fn add_log_key(&mut self, key: &VerifierKey, from_ms: u64) {
        let entry = json!({"vkey": key.to_text(), "from": format_time(from_ms), "to": null});
        if let Some(keys) = self.keys() {
            keys.push(entry);
        }
    }

    /// Retires a log key at a closing head.
    ///
    /// # Errors
    /// [`RevisionError::NoKey`].
    pub fn retire_log_key(
        &mut self,
        key: &VerifierKey,
        to_ms: u64,
        closing: &str,
    ) -> Result<(), RevisionError> {
        let text = key.to_text();
        let missing = || RevisionError::NoKey(text.clone());
        let keys = self.keys().ok_or_else(missing)?;
        let entry = keys.iter_mut().find(|k| k["vkey"] == *text).ok_or_else(missing)?;
        entry["to"] = json!(format_time(to_ms));
        entry["closing"] = json!(closing);
        Ok(())
    }

    /// Names the hub's own witness key.
    pub fn set_witness(&mut self, key: &VerifierKey) {
        self.payload["witness"] = json!(key.to_text());
    }

    /// Names the witnesses that cosign this hub's heads.
    pub fn set_witnesses(&mut self, keys: &[VerifierKey]) {
        let texts: Vec<String> = keys.iter().map(VerifierKey::to_text).collect();
        self.payload["witnesses"] = json!(texts);
    }

    /// Names the TLS keys that the hub's ends may show.
    pub fn set_tls_pins(&mut self, pins: &[[u8; 32]]) {
        let texts: Vec<String> = pins.iter().map(|p| base64::encode(p)).collect();
        self.payload["tls_pins"] = json!(texts);
    }

    /// Names the federation listener's addresses.
    pub fn set_endpoints(&mut self, endpoints: &[String]) {
        self.payload["endpoints"] = json!(endpoints);
    }

    /// Changes the root: it takes the signatures of the old and of the new one.
    pub fn set_root(&mut self, keys: &[[u8; 32]], threshold: usize) {
        let texts: Vec<String> = keys.iter().map(|k| base64::encode(k)).collect();
        self.payload["root"] = json!({"keys": texts, "threshold": threshold});
    }

    /// The payload to sign, and its digest.
    ///
    /// # Errors
    /// [`RevisionError::Descriptor`]: what came out would be refused by everybody.
    pub fn payload(&self) -> Result<(Vec<u8>, Hash), RevisionError> {
        let bytes = self.payload.to_string().into_bytes();
        let parsed = Descriptor::parse(&bytes)?;
        Ok((bytes, parsed.digest))
    }
}
