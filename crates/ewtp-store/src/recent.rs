//! What was applied and is not in the state yet: readers look here first. Work that is made and done within moments, and a
//! case that is written three times, reach the state once or never; that is where the rate comes from.

use std::ops::Bound;
use std::sync::Arc;

use crate::keys::is_written_once;
use crate::sled_state::StateError;
use crate::state::{Changes, Row, State};

/// Rows that one look into the state fetches.
const CHUNK: usize = 512;

/// Changes on their way into the state.
#[derive(Default)]
pub(crate) struct Recent {
    live: Changes,
    /// Being written into the state.
    settling: Option<Arc<Changes>>,
    bytes: usize,
}

impl Recent {
    /// Adds the changes of one frame: readers see all of them from here on.
    pub(crate) fn add(&mut self, changes: Changes) {
        for (key, value) in changes {
            if value.is_none() && self.forget(&key) {
                continue;
            }
            self.bytes += key.len() + value.as_ref().map_or(0, Vec::len) + OVERHEAD_BYTES;
            if let Some(before) = self.live.get(&key) {
                self.bytes -= key.len() + before.as_ref().map_or(0, Vec::len) + OVERHEAD_BYTES;
            }
            self.live.insert(key, value);
        }
    }

    /// Takes back what has not been on its way into the state: nobody there has to be told that it is gone.
    fn forget(&mut self, key: &[u8]) -> bool {
        let settling = self.settling.as_ref().is_some_and(|s| s.contains_key(key));
        if settling || !is_written_once(key) || !matches!(self.live.get(key), Some(Some(_))) {
            return false;
        }
        let value = self.live.remove(key).flatten();
        self.bytes -= key.len() + value.map_or(0, |v| v.len()) + OVERHEAD_BYTES;
        true
    }

    /// Bytes that wait, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what waits, to be written; readers see it here until [`Recent::settled`].
    pub(crate) fn settle(&mut self) -> Arc<Changes> {
        let changes = Arc::new(std::mem::take(&mut self.live));
        self.bytes = 0;
        self.settling = Some(Arc::clone(&changes));
        changes
    }

    /// What settled is in the state.
    pub(crate) fn settled(&mut self) {
        self.settling = None;
    }

    /// The newest change of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.live
            .get(key)
            .or_else(|| self.settling.as_ref().and_then(|settling| settling.get(key)))
            .cloned()
    }

    /// At most `limit` pairs with `from <= key < to`, over the state's.
    pub(crate) fn scan(
        &self,
        state: &impl State,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StateError> {
        let mut out: Vec<Row> = Vec::new();
        let mut from = from.to_vec();
        while out.len() < limit && from.as_slice() < to {
            let wanted = (limit - out.len()).min(CHUNK);
            let below = state.scan(&from, to, wanted)?;
            // The state's rows reach up to here; what is recent up to there is merged in.
            let end = match below.last() {
                Some((key, _)) if below.len() == wanted => after(key),
                _ => to.to_vec(),
            };
            self.merge(&below, (&from, &end), limit, &mut out);
            from = end;
        }
        Ok(out)
    }

    /// Rows of the state with what is recent over them, in order, until `out` holds `limit`.
    fn merge(&self, below: &[Row], (from, to): (&[u8], &[u8]), limit: usize, out: &mut Vec<Row>) {
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut live = self.live.range::<[u8], _>(range).peekable();
        let mut settling = self.settling.iter().flat_map(|s| s.range::<[u8], _>(range)).peekable();
        let mut below = below.iter().peekable();
        while out.len() < limit {
            let heads = [live.peek().map(|(k, _)| *k), settling.peek().map(|(k, _)| *k)];
            let least = heads.into_iter().chain([below.peek().map(|(k, _)| k)]).flatten().min();
            let Some(least) = least.cloned() else { break };
            // The newest of those at one key counts.
            let lowest = below.next_if(|(k, _)| *k == least).map(|(_, v)| Some(v.clone()));
            let middle = settling.next_if(|(k, _)| **k == least).map(|(_, v)| v.clone());
            let newest = live.next_if(|(k, _)| **k == least).map(|(_, v)| v.clone());
            if let Some(Some(value)) = newest.or(middle).or(lowest) {
                out.push((least, value));
            }
        }
    }

    /// Last pair with `from <= key < to`, over the state's.
    pub(crate) fn last_before(
        &self,
        state: &impl State,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<Row>, StateError> {
        let mut to = to.to_vec();
        while from < to.as_slice() {
            let range = (Bound::Included(from), Bound::Excluded(to.as_slice()));
            let newest =
                |c: &Changes| c.range::<[u8], _>(range).next_back().map(|(k, _)| k.clone());
            let recent = newest(&self.live).max(self.settling.as_deref().and_then(newest));
            let below = state.last_before(from, &to)?;
            let Some(recent) = recent.filter(|k| below.as_ref().is_none_or(|(b, _)| k >= b)) else {
                return Ok(below);
            };
            if let Some(Some(value)) = self.get(&recent) {
                return Ok(Some((recent, value)));
            }
            to = recent; // erased: look before it
        }
        Ok(None)
    }
}

/// What a change costs in memory beside its bytes.
const OVERHEAD_BYTES: usize = 96;

/// The first key behind one.
fn after(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}
