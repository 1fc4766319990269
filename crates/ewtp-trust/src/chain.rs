//! Descriptor chains: version n + 1 counts if it names n's digest and is signed by n's root keys; a root change by the
//! old *and* the new root (TUF 1.0.34 section 5.3).

use ewtp_log::note::VerifierKey;
use ewtp_log::receipt::{DescriptorRef, ReceiptTrust};
use ewtp_log::{Hash, HubId, Origin};

use crate::descriptor::{Descriptor, DescriptorError, PAYLOAD_TYPE};
use crate::dsse::{DsseError, Envelope};
use crate::retired::{RetirementRefused, check_retirement};

/// Most versions taken in one update.
pub const STEPS_MAX: usize = 1024;

/// Why a chain was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No descriptor at all.
    #[error("the chain is empty; a descriptor file has one envelope a line")]
    Empty,
    /// More than 1024 steps.
    #[error("the chain has {0} versions; at most {STEPS_MAX} are read")]
    TooLong(usize),
    /// An envelope fails.
    #[error("version {version}: {source}")]
    Envelope {
        /// Version expected there.
        version: u64,
        /// Why.
        source: DsseError,
    },
    /// A payload fails.
    #[error("version {version}: {source}")]
    Descriptor {
        /// Version expected there.
        version: u64,
        /// Why.
        source: DescriptorError,
    },
    /// A version is missing or goes back.
    #[error("version {got} where {expected} is due: {hint}")]
    Version {
        /// Due.
        expected: u64,
        /// Found.
        got: u64,
        /// Rollback or gap.
        hint: &'static str,
    },
    /// The digest of the version before doesn't match.
    #[error("version {0} does not name the digest of the version before")]
    Prev(u64),
    /// Hub or environment changed.
    #[error("version {version} changes {what}")]
    Changed {
        /// Version.
        version: u64,
        /// Hub or environment.
        what: &'static str,
    },
    /// A key is retired as nobody may take it.
    #[error("version {version}: {source}")]
    Retirement {
        /// Version.
        version: u64,
        /// Why.
        source: RetirementRefused,
    },
    /// The fingerprint is another.
    #[error("the descriptor's fingerprint is {}, the operator said {}", got.to_hex(), expected.to_hex())]
    Fingerprint {
        /// Said.
        expected: Hash,
        /// Computed.
        got: Hash,
    },
}

/// A verified chain from version 1 to the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    envelopes: Vec<String>,
    descriptors: Vec<Descriptor>,
    newest: Descriptor,
}

impl Chain {
    /// Verifies a chain from its first version.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify<S: AsRef<str>>(envelopes: &[S]) -> Result<Self, ChainError> {
        if envelopes.len() > STEPS_MAX {
            return Err(ChainError::TooLong(envelopes.len()));
        }
        let (first, rest) = envelopes.split_first().ok_or(ChainError::Empty)?;
        let descriptor = open(first.as_ref(), 1, None)?;
        let mut chain = Self {
            envelopes: vec![first.as_ref().trim().to_owned()],
            descriptors: vec![descriptor.clone()],
            newest: descriptor,
        };
        for envelope in rest {
            chain.push(envelope.as_ref())?;
        }
        Ok(chain)
    }

    /// Verifies a chain file: one envelope a line.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify_file(text: &str) -> Result<Self, ChainError> {
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        Self::verify(&lines)
    }

    /// Appends the next version.
    ///
    /// # Errors
    /// [`ChainError`]; the chain is then unchanged.
    pub fn push(&mut self, envelope: &str) -> Result<(), ChainError> {
        if self.envelopes.len() >= STEPS_MAX {
            return Err(ChainError::TooLong(self.envelopes.len() + 1));
        }
        let next = open(envelope, self.newest.version + 1, Some(&self.newest))?;
        self.envelopes.push(envelope.trim().to_owned());
        self.descriptors.push(next.clone());
        self.newest = next;
        Ok(())
    }

    /// Takes what is new in a longer chain of the same hub.
    ///
    /// # Errors
    /// [`ChainError`]. A chain that is no extension is refused; a shorter one adds nothing.
    pub fn extend<S: AsRef<str>>(&mut self, envelopes: &[S]) -> Result<bool, ChainError> {
        let longer = Self::verify(envelopes)?;
        let shared = self.descriptors.len().min(longer.descriptors.len());
        for (mine, theirs) in self.descriptors.iter().zip(&longer.descriptors).take(shared) {
            if mine.digest != theirs.digest {
                return Err(ChainError::Prev(theirs.version));
            }
        }
        let grows = longer.descriptors.len() > self.descriptors.len();
        if grows {
            *self = longer;
        }
        Ok(grows)
    }

    /// Newest descriptor.
    #[must_use]
    pub const fn newest(&self) -> &Descriptor {
        &self.newest
    }

    /// The hub.
    #[must_use]
    pub const fn hub(&self) -> &HubId {
        &self.newest.hub
    }

    /// Fingerprint: SHA-256 of version 1's payload, which operators read out to each other.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        self.descriptors.first().map_or(Hash::EMPTY_ROOT, |d| d.digest)
    }

    /// Checks the fingerprint that an operator was told.
    ///
    /// # Errors
    /// [`ChainError::Fingerprint`].
    pub fn expect_fingerprint(&self, expected: &Hash) -> Result<(), ChainError> {
        let got = self.fingerprint();
        if got == *expected {
            Ok(())
        } else {
            Err(ChainError::Fingerprint { expected: *expected, got })
        }
    }

    /// Envelopes, oldest first.
    #[must_use]
    pub fn envelopes(&self) -> &[String] {
        &self.envelopes
    }

    /// The chain file: one envelope a line.
    #[must_use]
    pub fn to_file(&self) -> String {
        self.envelopes.iter().map(|e| format!("{e}\n")).collect()
    }

    /// Origin of the generation in use.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.newest.generation().map(|g| &g.origin)
    }

    /// Log keys of the generation in use that count at `at_ms`.
    #[must_use]
    pub fn log_keys(&self, at_ms: u64) -> Vec<VerifierKey> {
        let counts = |k: &&crate::descriptor::LogKey| {
            k.from_ms <= at_ms && k.to_ms.is_none_or(|to| at_ms < to)
        };
        self.newest
            .generation()
            .map(|g| g.keys.iter().filter(counts).map(|k| k.vkey.clone()).collect())
            .unwrap_or_default()
    }

    /// What offline verification of receipts trusts: every key and witness that the chain ever named.
    #[must_use]
    pub fn receipt_trust(&self) -> ReceiptTrust {
        let mut keys: Vec<VerifierKey> = Vec::new();
        for d in &self.descriptors {
            let log_keys = d.generations.iter().flat_map(|g| g.keys.iter().map(|k| &k.vkey));
            for key in log_keys.chain(&d.witnesses) {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
        }
        let descriptors = self
            .descriptors
            .iter()
            .map(|d| DescriptorRef { hub: d.hub.to_string(), version: d.version, digest: d.digest })
            .collect();
        ReceiptTrust { keys, descriptors }
    }

    /// All descriptors, oldest first.
    #[must_use]
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    /// A log key as the newest descriptor has it.
    #[must_use]
    pub fn log_key(&self, key: &VerifierKey) -> Option<&crate::descriptor::LogKey> {
        self.newest.generations.iter().flat_map(|g| &g.keys).find(|k| k.vkey == *key)
    }

    /// A descriptor of this hub that is signed as its place in the chain demands: by the root keys of the version before, which
    /// this chain must hold, and by its own. It need not be the one that the chain holds.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn open_rival(&self, envelope: &str) -> Result<Descriptor, ChainError> {
        let opened = Envelope::parse(envelope.trim());
        let opened = opened.map_err(|source| ChainError::Envelope { version: 0, source })?;
        let claimed = Descriptor::parse(opened.untrusted_payload())
            .map_err(|source| ChainError::Descriptor { version: 0, source })?;
        let version = claimed.version;
        let at = |v: u64| self.descriptors.iter().find(|d| d.version == v);
        match version.checked_sub(1).filter(|v| *v > 0) {
            Some(before) => {
                let gap = ChainError::Version {
                    expected: self.newest.version + 1,
                    got: version,
                    hint: "a version is missing",
                };
                open(envelope, version, Some(at(before).ok_or(gap)?))
            }
            None => {
                // Anybody can make a first version; only one by the same root keys is this hub's.
                let rival = open(envelope, version, None)?;
                let same = at(1).is_some_and(|d| d.root_keys == rival.root_keys);
                if same {
                    Ok(rival)
                } else {
                    Err(ChainError::Changed { version, what: "the root keys" })
                }
            }
        }
    }

    /// How receipts name the newest descriptor.
    #[must_use]
    pub fn newest_ref(&self) -> DescriptorRef {
        let d = &self.newest;
        DescriptorRef { hub: d.hub.to_string(), version: d.version, digest: d.digest }
    }
}

/// Logs and their keys are never taken back: a generation and a key stay, what was closed stays closed at that very head, and
/// a key is closed as the version before it demands.
fn keys_stay(before: &Descriptor, next: &Descriptor, version: u64) -> Result<(), ChainError> {
    let changed = |what| Err(ChainError::Changed { version, what });
    for old in &before.generations {
        let Some(new) = next.generations.iter().find(|g| g.origin == old.origin) else {
            return changed("a log that it had");
        };
        if old.closing.is_some() && old.closing != new.closing {
            return changed("the head at which a log was closed");
        }
        for key in &old.keys {
            let Some(now) = new.keys.iter().find(|k| k.vkey == key.vkey) else {
                return changed("a log key that it had");
            };
            let ended = key.closing.is_some() || key.to_ms.is_some();
            if ended && (&key.closing, key.to_ms) != (&now.closing, now.to_ms) {
                return changed("the end of a log key");
            }
            if key.closing.is_none() {
                check_retirement(before, now, &[])
                    .map_err(|source| ChainError::Retirement { version, source })?;
            }
        }
    }
    Ok(())
}

fn open(
    envelope: &str,
    version: u64,
    before: Option<&Descriptor>,
) -> Result<Descriptor, ChainError> {
    let wrap = |source| ChainError::Envelope { version, source };
    let opened = Envelope::parse(envelope.trim()).map_err(wrap)?;
    if let Some(before) = before {
        opened.verify(PAYLOAD_TYPE, &before.root_keys, before.root_threshold).map_err(wrap)?;
    }
    let next = Descriptor::parse(opened.untrusted_payload())
        .map_err(|source| ChainError::Descriptor { version, source })?;
    opened.verify(PAYLOAD_TYPE, &next.root_keys, next.root_threshold).map_err(wrap)?;
    if next.version != version {
        let hint = if next.version < version { "a rollback" } else { "a version is missing" };
        return Err(ChainError::Version { expected: version, got: next.version, hint });
    }
    if let Some(before) = before {
        if next.prev != Some(before.digest) {
            return Err(ChainError::Prev(version));
        }
        let changed = |what| Err(ChainError::Changed { version, what });
        if next.hub != before.hub {
            return changed("the hub id");
        }
        if next.environment != before.environment {
            return changed("the environment");
        }
        keys_stay(before, &next, version)?;
    }
    Ok(next)
}
