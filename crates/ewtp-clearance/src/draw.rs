//! The random draw: nobody can foresee it, the hub can't choose it, and an auditor can check it afterwards.
//!
//! It is HMAC-SHA-256 of a filing's commitment under the key of a period. The key's digest is logged before the period, the key
//! itself is shown to auditors once the period is over; the commitment is fixed by the log that the filing stands in.

use ewtp_log::Hash;
use ewtp_log::hash::sha256;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

/// Draws lie in `[0, DRAWS)`.
pub const DRAWS: u32 = 1_000_000;

/// Key of one period, 32 bytes.
pub type PeriodKey = [u8; 32];

fn mac(key: &[u8], text: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    // HMAC takes a key of any length, so this never fails.
    if let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) {
        text.iter().for_each(|t| mac.update(t));
        out.copy_from_slice(&mac.finalize().into_bytes());
    }
    out
}

/// Key of the period that begins at an instant, Unix milliseconds: made from a secret of the hub, which it doesn't betray.
#[must_use]
pub fn period_key(secret: &[u8], from_ms: u64) -> PeriodKey {
    mac(secret, &[b"ewtp/1 draw key\n", &from_ms.to_be_bytes()])
}

/// Digest of a period's key, as it is logged before the period.
#[must_use]
pub fn key_digest(key: &PeriodKey) -> Hash {
    sha256(&[b"ewtp/1 draw key digest\n", key])
}

/// The draw for a filing, by its commitment. Taking a 64-bit number modulo 10⁶ favours no draw by more than 10⁻¹³.
#[must_use]
pub fn draw(key: &PeriodKey, commitment: &Hash) -> u32 {
    let bytes = mac(key, &[b"ewtp/1 draw\n", &commitment.0]);
    let (head, _) = bytes.split_at(8);
    let number = head.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
    u32::try_from(number % u64::from(DRAWS)).unwrap_or_default()
}
