//! One time for all simulated machines. Each runs on a paused clock of its own runtime; this maps them onto one line.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

thread_local! {
    static BASE: Cell<(u64, Option<Instant>)> = const { Cell::new((0, None)) };
}

/// Milliseconds since the simulation began.
pub(crate) fn now() -> u64 {
    let (at, origin) = BASE.get();
    let passed = origin.map_or(Duration::ZERO, |origin| Instant::now() - origin);
    at + u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// Called inside a runtime whose turn begins at `at`.
pub(crate) fn enter(at: u64) {
    BASE.set((at, Some(Instant::now())));
}

/// Called when no runtime has its turn.
pub(crate) fn leave(at: u64) {
    BASE.set((at, None));
}
