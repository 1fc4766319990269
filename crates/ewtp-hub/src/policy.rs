//! When a head is settled: `quorum = "2 of BE, MY, KR"`. It withholds reliance, never delivery.

use std::fmt;
use std::str::FromStr;

use ewtp_log::HubId;

/// So many of these must have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    needed: usize,
    of: Vec<String>,
}

/// Not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no policy such as \"2 of BE, MY, KR\"; the number is 1 to the count of distinct names"
)]
pub struct QuorumError(String);

impl FromStr for Quorum {
    type Err = QuorumError;

    fn from_str(text: &str) -> Result<Self, QuorumError> {
        let fail = || QuorumError(text.to_owned());
        let (needed, of) = text.split_once(" of ").ok_or_else(fail)?;
        let needed: usize = needed.trim().parse().map_err(|_| fail())?;
        let of: Vec<String> = of.split(',').map(|n| n.trim().to_owned()).collect();
        let twice = of.iter().enumerate().any(|(at, n)| of[..at].contains(n));
        if twice || of.iter().any(String::is_empty) || !(1..=of.len()).contains(&needed) {
            return Err(fail());
        }
        Ok(Self { needed, of })
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.needed, self.of.join(", "))
    }
}

impl Quorum {
    /// Whether these cosigners, hubs or other witnesses by name, are enough for a head of `issuer` at `receiver`: neither of the
    /// two vouches for itself.
    #[must_use]
    pub fn is_met(&self, cosigners: &[String], issuer: &HubId, receiver: &HubId) -> bool {
        let counts = |name: &&String| {
            cosigners.contains(name) && *name != issuer.as_str() && *name != receiver.as_str()
        };
        self.of.iter().filter(counts).count() >= self.needed
    }
}
