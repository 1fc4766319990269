//! The derived state as a map in memory, which a crash may leave as it was, make older, or lose; and the steps of a commit, with
//! time between them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ewtp_store::{Changes, Row, State, StateError, Step, Steps, StoreError};
use tokio::sync::oneshot;

use super::chance::Chance;
use super::fuse::Fuse;

/// What a hub's state directory holds, over all its incarnations.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) now: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Older ones, as a copy or a file system would bring back.
    pub(crate) older: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    sets: u64,
}

impl Held {
    pub(crate) fn lose(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn go_stale(&mut self, chance: &mut Chance) {
        if !self.older.is_empty() {
            self.now = self.older.swap_remove(chance.index(self.older.len()));
        }
        self.older.clear();
    }
}

/// The state as one incarnation sees it.
pub(crate) struct SimState {
    pub(crate) held: Arc<Mutex<Held>>,
    pub(crate) fuse: Arc<Fuse>,
}

impl SimState {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every so many sets a copy is kept.
const COPY_EVERY: u64 = 3;

impl State for SimState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.lock().now.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let held = self.lock();
        let range = held.now.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(range.take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StateError> {
        if from >= to {
            return Ok(None);
        }
        let held = self.lock();
        let mut range = held.now.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(range.next_back().map(|(k, v)| (k.clone(), v.clone())))
    }

    fn write(&self, changes: &Changes) -> Result<(), StateError> {
        if self.fuse.burn() {
            return Ok(());
        }
        let mut held = self.lock();
        held.sets += 1;
        if held.sets.is_multiple_of(COPY_EVERY) {
            let copy = held.now.clone();
            held.older.push(copy);
            if held.older.len() > 2 {
                held.older.remove(0);
            }
        }
        for (key, value) in changes {
            match value {
                Some(value) => drop(held.now.insert(key.clone(), value.clone())),
                None => drop(held.now.remove(key)),
            }
        }
        Ok(())
    }
}

/// Time between the steps of a commit.
pub(crate) struct SimSteps {
    pub(crate) chance: Mutex<Chance>,
    pub(crate) fuse: Arc<Fuse>,
    /// Longest pause before a step, milliseconds.
    pub(crate) pause: Arc<AtomicU64>,
}

#[async_trait]
impl Steps for SimSteps {
    async fn run(&self, steps: Vec<Step>) -> Result<(), StoreError> {
        for step in steps {
            let wait = {
                let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
                chance.between(0, self.pause.load(Ordering::Relaxed))
            };
            if wait > 0 {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            if self.fuse.burn() {
                std::future::pending::<()>().await;
            }
            step()?;
        }
        Ok(())
    }

    /// Readers and commits go on while a set settles, and a crash may find it on its way.
    fn aside(&self, step: Step) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, outcome) = oneshot::channel();
        let wait = {
            let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
            chance.between(0, 10 * self.pause.load(Ordering::Relaxed))
        };
        let fuse = Arc::clone(&self.fuse);
        #[expect(clippy::disallowed_methods, reason = "owned by the machine's runtime")]
        drop(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if fuse.burn() {
                std::future::pending::<()>().await;
            }
            let _ = done.send(step()); // whoever dropped the receiver went down with the store
        }));
        outcome
    }
}
