//! Time and randomness come in here, so that tests and the simulation can replace them.

use std::time::{SystemTime, UNIX_EPOCH};

/// The hub's clock.
pub trait Clock: Send + Sync + 'static {
    /// Unix milliseconds.
    fn now_ms(&self) -> u64;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Random bytes of the operating system.
///
/// # Errors
/// If the system has none: nothing may be salted then.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// `<hub>-<13 random base32 characters>`: never a trader's text, because headers are seen by every holder.
///
/// # Errors
/// If the system has no randomness.
pub fn new_id(hub: &str) -> Result<String, getrandom::Error> {
    let symbols = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random: String =
        random::<13>()?.iter().map(|b| char::from(symbols[usize::from(b & 31)])).collect();
    Ok(format!("{hub}-{random}"))
}
