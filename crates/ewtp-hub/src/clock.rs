//! Time and randomness come in here, so that tests and the simulation can replace them.

use std::cell::RefCell;
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

/// The machine's clock, some time ahead: a day to come is played.
pub struct AheadClock {
    /// Milliseconds.
    pub ahead_ms: u64,
}

impl Clock for AheadClock {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms().saturating_add(self.ahead_ms)
    }
}

/// Random bytes of the operating system.
///
/// # Errors
/// If the system has none: nothing may be salted then.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    #[cfg(feature = "simulation")]
    if seeded::fill(&mut bytes) {
        return Ok(bytes);
    }
    POOL.with_borrow_mut(|pool| pool.take(&mut bytes))?;
    Ok(bytes)
}

/// Randomness of the operating system, fetched a page at a time: a filing takes a dozen salts and ids, and a system call for
/// each was a fiftieth of its whole cost. What was handed out is wiped.
struct Pool {
    bytes: [u8; 1024],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; 1024], used: 1024 }) };
}

impl Pool {
    fn take(&mut self, out: &mut [u8]) -> Result<(), getrandom::Error> {
        if out.len() > self.bytes.len() - self.used {
            getrandom::fill(&mut self.bytes)?;
            self.used = 0;
        }
        let Some(fresh) = self.bytes.get_mut(self.used..self.used + out.len()) else {
            return getrandom::fill(out); // longer than the pool
        };
        out.copy_from_slice(fresh);
        fresh.fill(0);
        self.used += out.len();
        Ok(())
    }
}

/// Numbers that a seed gives, so that a simulated hub does the same thing twice.
#[cfg(feature = "simulation")]
pub mod seeded {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Makes [`super::random`] on this thread a function of the seed; `None` gives the system's randomness back.
    pub fn seed(seed: Option<u64>) {
        STATE.set(seed);
    }

    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        let Some(mut state) = STATE.get() else { return false };
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        STATE.set(Some(state));
        true
    }
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
