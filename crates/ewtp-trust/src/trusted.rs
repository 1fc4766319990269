//! What a verifier of evidence trusts of one hub: its chain, and nothing else.

use ewtp_log::evidence::{DescriptorClaim, EvidenceTrust};
use ewtp_log::note::{KeyKind, Verified, VerifierKey};
use ewtp_log::{Checkpoint, HubId};

use crate::chain::Chain;

/// A chain as trust for evidence.
pub struct ChainTrust<'a> {
    chain: &'a Chain,
    keys: Vec<VerifierKey>,
}

impl<'a> ChainTrust<'a> {
    /// Every key that the chain ever named.
    #[must_use]
    pub fn new(chain: &'a Chain) -> Self {
        Self { chain, keys: chain.receipt_trust().keys }
    }
}

/// More than half of the witnesses that a descriptor names must have vouched: one alone may be in league with a thief.
fn quorum_of(chain: &Chain) -> usize {
    chain.newest().witnesses.len() / 2 + 1
}

impl EvidenceTrust for ChainTrust<'_> {
    fn hub(&self) -> &HubId {
        self.chain.hub()
    }

    fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// A head by a key that is in use counts. One by retired keys alone counts if it is the closing head itself or a quorum
    /// cosigned it before: no proof in the file can join it to the closing head, so nothing else shows when it was signed.
    fn counts(&self, head: &Checkpoint, signed_by: &Verified) -> bool {
        let signers = signed_by
            .log_keys
            .iter()
            .filter(|k| k.kind() == KeyKind::Log && k.name() == head.origin);
        signers.filter_map(|k| self.chain.log_key(k)).any(|key| match (&key.closing, key.to_ms) {
            (Some(closing), Some(to_ms)) => {
                let before =
                    |(_, seconds): &&(VerifierKey, u64)| seconds.saturating_mul(1000) < to_ms;
                let own = self.chain.newest().witness.as_ref();
                let others = signed_by.witnesses.iter().filter(|(k, _)| Some(k) != own);
                closing.head == *head || others.filter(before).count() >= quorum_of(self.chain)
            }
            _ => true,
        })
    }

    fn descriptor(&self, envelope: &str) -> Option<DescriptorClaim> {
        let rival = self.chain.open_rival(envelope).ok()?;
        let (hub, version, digest) = (rival.hub.to_string(), rival.version, rival.digest);
        Some(DescriptorClaim { hub, version, digest })
    }
}
