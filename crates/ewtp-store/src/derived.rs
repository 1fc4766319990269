//! The state that is derived from the journal, and the frames on their way into it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use ewtp_proto::Message as _;
use ewtp_proto::store::v1::Counters;

use crate::apply::apply;
use crate::journal::{Journal, ReadFrame};
use crate::keys::{Key, Kind};
use crate::recent::Recent;
use crate::state::{Changes, Row, State};
use crate::steps::Step;
use crate::store::StoreError;
use crate::trees::Cells;

/// Rows of a scan under one lock.
const PAGE: usize = 512;

/// A state with what was applied and has not reached it yet.
pub(crate) struct Derived<S> {
    state: S,
    recent: RwLock<Recent>,
    own_hub: String,
}

impl<S: State> Derived<S> {
    pub(crate) fn new(state: S, own_hub: &str) -> Self {
        Self { state, recent: RwLock::default(), own_hub: own_hub.to_owned() }
    }

    pub(crate) fn state(&self) -> &S {
        &self.state
    }

    pub(crate) fn own_hub(&self) -> &str {
        &self.own_hub
    }

    fn recent(&self) -> RwLockWriteGuard<'_, Recent> {
        self.recent.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait for the state, about.
    pub(crate) fn waits(&self) -> usize {
        self.recent.read().unwrap_or_else(PoisonError::into_inner).bytes()
    }

    /// Takes what waits; the step brings it to the state.
    pub(crate) fn settle_step(self: &Arc<Self>) -> Step {
        let changes = self.recent().settle();
        let me = Arc::clone(self);
        Box::new(move || {
            me.state.write(&changes)?;
            me.recent().settled();
            Ok(())
        })
    }

    /// The first frame that the state has not seen.
    ///
    /// # Errors
    /// Reading.
    pub(crate) fn next(&self) -> Result<u64, StoreError> {
        let counters = match self.get(&Key::new(Kind::Counters).finish())? {
            Some(bytes) => {
                Counters::decode(bytes.as_slice()).map_err(|e| StoreError::Value(e.to_string()))?
            }
            None => Counters::default(),
        };
        Ok(if counters.any { counters.applied.saturating_add(1) } else { 0 })
    }

    /// Applies the frames that the state has not seen, up to where the journal ends now.
    pub(crate) fn catch_up(
        &self,
        journal: &Journal,
        settle_bytes: usize,
    ) -> Result<(), StoreError> {
        self.catch_up_until(journal, settle_bytes, || false)
    }

    /// The same, unless it is told to end.
    pub(crate) fn catch_up_until(
        &self,
        journal: &Journal,
        settle_bytes: usize,
        ends: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let (from, frames) = (self.next()?, journal.next_sequence());
        if from > frames {
            return Err(StoreError::Ahead { applied: from, frames });
        }
        for sequence in from..frames {
            if ends() {
                return Err(StoreError::Closing);
            }
            self.apply(&journal.read(sequence)?)?;
            if self.waits() >= settle_bytes {
                let changes = self.recent().settle();
                self.state.write(&changes)?;
                self.recent().settled();
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&self, read: &ReadFrame) -> Result<(), StoreError> {
        let mut cells = Overlay { derived: self, writes: BTreeMap::new() };
        apply(&mut cells, &self.own_hub, read)?;
        let writes = cells.writes;
        self.recent().add(writes);
        Ok(())
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner).get(key);
        match recent {
            Some(value) => Ok(value),
            None => Ok(self.state.get(key)?),
        }
    }

    /// The lock is held for a page at a time: a long scan must not keep a commit from being applied.
    pub(crate) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (mut out, mut from) = (Vec::new(), from.to_vec());
        loop {
            let wanted = PAGE.min(limit - out.len());
            let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
            let page = recent.scan(&self.state, &from, to, wanted)?;
            drop(recent);
            let ended = page.len() < wanted;
            if let Some((last, _)) = page.last() {
                from.clone_from(last);
                from.push(0);
            }
            out.extend(page);
            if ended || out.len() == limit {
                return Ok(out);
            }
        }
    }

    pub(crate) fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StoreError> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        Ok(recent.last_before(&self.state, from, to)?)
    }
}

struct Overlay<'a, S> {
    derived: &'a Derived<S>,
    writes: Changes,
}

impl<S: State> Cells for Overlay<'_, S> {
    type Error = StoreError;

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.derived.get(key),
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    fn erase(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }
}
