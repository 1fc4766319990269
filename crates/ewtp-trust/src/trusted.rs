//! What a verifier of evidence trusts of one hub: its chain, and nothing else.

use ewtp_log::evidence::{DescriptorClaim, EvidenceTrust};
use ewtp_log::note::{Verified, VerifierKey};
use ewtp_log::{Checkpoint, HubId};

use crate::chain::Chain;
use crate::retired::{KeyStanding, standing};

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
        match standing(self.chain, head, signed_by) {
            KeyStanding::InUse => true,
            KeyStanding::Retired { vouched, .. } => vouched,
            KeyStanding::Misuse => false,
        }
    }

    fn descriptor(&self, envelope: &str) -> Option<DescriptorClaim> {
        let rival = self.chain.open_rival(envelope).ok()?;
        let (hub, version, digest) = (rival.hub.to_string(), rival.version, rival.digest);
        Some(DescriptorClaim { hub, version, digest })
    }
}
