//! A crash between any two things that the outside could notice: each such thing burns the fuse by one, and from the moment
//! that it is blown nothing of the machine reaches disk or network any more.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// One incarnation of a hub.
#[derive(Default)]
pub(crate) struct Fuse {
    /// Things left; 0 while no crash is due.
    left: AtomicI64,
    blown: AtomicBool,
    /// Its connections fall silent instead of being closed: the machine has lost power.
    silent: AtomicBool,
}

impl Fuse {
    /// A crash after `things` more.
    pub(crate) fn arm(&self, things: u64, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
        self.left.store(i64::try_from(things).unwrap_or(i64::MAX).max(1), Ordering::Relaxed);
    }

    pub(crate) fn blow(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
        self.blown.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_blown(&self) -> bool {
        self.blown.load(Ordering::Relaxed)
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.is_blown() && self.silent.load(Ordering::Relaxed)
    }

    /// True if nothing more happens.
    pub(crate) fn burn(&self) -> bool {
        if self.left.load(Ordering::Relaxed) > 0 && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.blown.store(true, Ordering::Relaxed);
        }
        self.is_blown()
    }
}
