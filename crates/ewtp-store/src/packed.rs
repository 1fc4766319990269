//! The state's rows in fewer and larger ones. What bounds a hub's rate is the number of keys that its ordered map takes, nearly
//! whatever they weigh (measured), so rows that grow at one end are packed by number, and rows at random places (ids, LRNs,
//! identities) are kept in sorted runs:
//!
//! ```text
//! case 0 … 3, account's cases 0 … 63 ─▶ one row under the key of the first
//! random rows of a set ─▶ a run: sorted, cut into chunks ─▶ 8 runs become one ─▶ a filter in memory a run
//! ```
//!
//! Nobody else sees this: to its readers it is the same ordered map. Each set of changes becomes one set below, so the map
//! below alone answers for crashes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::filter::{self, Filter};
use crate::keys::{Key, Kind, last_number};
use crate::sled_state::StateError;
use crate::state::{Changes, Row, State};

/// Bytes of a chunk, about: what the map below takes best.
const CHUNK_BYTES: usize = 4 << 10;
/// Runs of a level that are merged into one of the next.
const FAN: usize = 8;
/// Runs of this level stay: merging them would rewrite more at once than a set should.
const LEVEL_MAX: u8 = 1;
/// Chunks fetched at once.
const PAGE: usize = 256;

/// How the rows of a kind are kept.
enum Layout {
    Plain,
    /// So many consecutive numbers in one row; a power of two.
    Packed(u64),
    Run,
    /// Rows of this file's own, which nobody else sees.
    Hidden,
}

fn layout(kind: u8) -> Layout {
    const CASE: u8 = Kind::Case as u8;
    const ACCOUNT_CASES: u8 = Kind::AccountCases as u8;
    const CASE_ID: u8 = Kind::CaseId as u8;
    const PARTY_CASES: u8 = Kind::PartyCases as u8;
    const SELECTED: u8 = Kind::Selected as u8;
    const LRN: u8 = Kind::Lrn as u8;
    const IDENTITY: u8 = Kind::Identity as u8;
    const RUN: u8 = Kind::Run as u8;
    const FILTER: u8 = Kind::Filter as u8;
    const RUNS: u8 = Kind::Runs as u8;
    match kind {
        CASE => Layout::Packed(4),
        ACCOUNT_CASES => Layout::Packed(64),
        CASE_ID | PARTY_CASES | SELECTED | LRN | IDENTITY => Layout::Run,
        RUN | FILTER | RUNS => Layout::Hidden,
        _ => Layout::Plain,
    }
}

fn layout_of(key: &[u8]) -> Layout {
    key.first().map_or(Layout::Plain, |kind| layout(*kind))
}

/// A sorted run.
#[derive(Clone)]
struct Run {
    number: u64,
    level: u8,
    filter: Filter,
}

#[derive(Default)]
struct Runs {
    /// Oldest first.
    runs: Vec<Run>,
    /// Merged into others: nobody looks there any more, and the next set erases them.
    gone: Vec<u64>,
    next: u64,
}

/// Stands in the list of runs for the level of one that is gone.
const GONE: u8 = u8::MAX;

/// An ordered map over another, in larger rows.
pub struct Packed<S> {
    below: S,
    runs: RwLock<Runs>,
}

impl<S: State> Packed<S> {
    /// Reads what runs there are.
    ///
    /// # Errors
    /// Reading.
    pub fn open(below: S) -> Result<Self, StateError> {
        let listed = below.get(&Key::new(Kind::Runs).finish())?.unwrap_or_default();
        let mut runs = Runs::default();
        for entry in listed.chunks_exact(9) {
            let Some((number, level)) = entry.split_first_chunk::<8>() else { continue };
            let (number, level) = (u64::from_be_bytes(*number), level[0]);
            runs.next = runs.next.max(number + 1);
            if level == GONE {
                runs.gone.push(number);
                continue;
            }
            let prefix = Key::new(Kind::Filter).number(number);
            let rows = below.scan(&prefix.clone().finish(), &prefix.end(), usize::MAX)?;
            let filter = Filter::from_rows(rows.into_iter().map(|(_, bytes)| bytes));
            runs.runs.push(Run { number, level, filter });
        }
        Ok(Self { below, runs: RwLock::new(runs) })
    }

    /// The map below.
    pub fn below(&self) -> &S {
        &self.below
    }

    fn runs(&self) -> RwLockReadGuard<'_, Runs> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_hold(&self, key: &[u8]) -> bool {
        let hash = filter::hash(key);
        self.runs().runs.iter().any(|run| run.filter.may_hold(hash))
    }

    /// The newest row under a key in any run; `Some(None)` if it was erased.
    fn find(&self, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, StateError> {
        let hash = filter::hash(key);
        for run in self.runs().runs.iter().rev().filter(|r| r.filter.may_hold(hash)) {
            let prefix = Key::new(Kind::Run).number(run.number);
            let past = prefix.clone().bytes(key).byte(0).finish();
            let Some((_, chunk)) = self.below.last_before(&prefix.finish(), &past)? else {
                continue;
            };
            if let Some((_, value)) = rows_of(&chunk).find(|(k, _)| *k == key) {
                return Ok(Some(value.map(<[u8]>::to_vec)));
            }
        }
        Ok(None)
    }

    /// Rows of all runs with `from <= key < to`, the newest of each key: at most `limit` keys of each run are looked at, so at
    /// least the first `limit` keys are complete.
    fn merged(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Changes, StateError> {
        let mut out = Changes::new();
        for run in &self.runs().runs {
            let cursor = Cursor::new(&self.below, run.number, from)?;
            for row in cursor.take(limit) {
                let (key, value) = row?;
                if key.as_slice() >= to {
                    break;
                }
                out.insert(key, value);
            }
        }
        Ok(out)
    }

    fn scan_runs(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StateError> {
        let (mut out, mut from) = (Vec::new(), from.to_vec());
        loop {
            let wanted = limit - out.len();
            let merged = self.merged(&from, to, wanted)?;
            let seen = merged.len();
            for (key, value) in merged.into_iter().take(wanted) {
                from.clone_from(&key);
                from.push(0);
                out.extend(value.map(|v| (key, v)));
            }
            // Fewer than a run may have been asked for: there is nothing more.
            if seen < wanted || out.len() == limit {
                return Ok(out);
            }
        }
    }

    fn scan_packed(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StateError> {
        let mut out = Vec::new();
        let mut rows = Vec::from_iter(self.below.last_before(&from[..1], from)?);
        let mut next = from.to_vec();
        loop {
            let page = self.below.scan(&next, to, PAGE.min(limit))?;
            let ended = page.len() < PAGE.min(limit);
            rows.extend(page);
            for (key, pack) in rows.drain(..) {
                let each = slots_of(&pack).map(|(slot, value)| (slot_key(&key, slot), value));
                let within = each.filter(|(k, _)| k.as_slice() >= from && k.as_slice() < to);
                out.extend(within.map(|(k, v)| (k, v.to_vec())).take(limit - out.len()));
                next = key;
                next.push(0);
            }
            if ended || out.len() == limit {
                return Ok(out);
            }
        }
    }

    /// What a set of changes is below.
    fn lay_out(&self, changes: &Changes) -> Result<(Changes, Option<Runs>), StateError> {
        let mut below = Changes::new();
        let mut packs: BTreeMap<Vec<u8>, Pack> = BTreeMap::new();
        let mut rows: Vec<(&[u8], Option<&[u8]>)> = Vec::new();
        for (key, value) in changes {
            match layout_of(key) {
                Layout::Plain | Layout::Hidden => drop(below.insert(key.clone(), value.clone())),
                // What no run may hold need not be erased from any.
                Layout::Run if value.is_none() && !self.may_hold(key) => {}
                Layout::Run => rows.push((key, value.as_deref())),
                Layout::Packed(width) => {
                    let (row, slot) = place(key, width);
                    if !packs.contains_key(&row) {
                        packs.insert(row.clone(), Pack::read(self.below.get(&row)?));
                    }
                    if let Some(pack) = packs.get_mut(&row) {
                        pack.set(slot, value.as_deref());
                    }
                }
            }
        }
        below.extend(packs.into_iter().map(|(row, pack)| (row, pack.encode())));
        if rows.is_empty() {
            return Ok((below, None));
        }
        let runs = self.add_run(rows, &mut below)?;
        Ok((below, Some(runs)))
    }

    /// Adds a run, and merges older ones where a level is full.
    fn add_run(
        &self,
        rows: Vec<(&[u8], Option<&[u8]>)>,
        below: &mut Changes,
    ) -> Result<Runs, StateError> {
        let (mut kept, erased, mut next) = {
            let runs = self.runs();
            (runs.runs.clone(), runs.gone.clone(), runs.next)
        };
        for number in erased {
            for kind in [Kind::Run, Kind::Filter] {
                let prefix = Key::new(kind).number(number);
                let rows = self.below.scan(&prefix.clone().finish(), &prefix.end(), usize::MAX)?;
                below.extend(rows.into_iter().map(|(key, _)| (key, None)));
            }
        }
        let mut gone = Vec::new();
        if let Some(level) = full_level(&kept) {
            let (merged, others): (Vec<Run>, Vec<Run>) =
                kept.into_iter().partition(|r| r.level == level);
            let mut all = Changes::new();
            for run in &merged {
                for row in Cursor::new(&self.below, run.number, &[])? {
                    let (key, value) = row?;
                    all.insert(key, value);
                }
                gone.push(run.number);
            }
            let rows = all.iter().map(|(k, v)| (k.as_slice(), v.as_deref()));
            let run = write_run(next, level + 1, rows.collect(), below);
            // What stays of that level or below is newer than what was merged, what is above is older.
            kept = others;
            let at = kept.iter().position(|r| r.level <= level).unwrap_or(kept.len());
            kept.insert(at, run);
            next += 1;
        }
        kept.push(write_run(next, 0, rows, below));
        let mut listed = Vec::with_capacity(kept.len() * 9);
        let each = kept.iter().map(|r| (r.number, r.level));
        for (number, level) in each.chain(gone.iter().map(|number| (*number, GONE))) {
            listed.extend_from_slice(&number.to_be_bytes());
            listed.push(level);
        }
        below.insert(Key::new(Kind::Runs).finish(), Some(listed));
        Ok(Runs { runs: kept, gone, next: next + 1 })
    }
}

impl<S: State> State for Packed<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match layout_of(key) {
            Layout::Plain => self.below.get(key),
            Layout::Hidden => Ok(None),
            Layout::Run => Ok(self.find(key)?.flatten()),
            Layout::Packed(width) => {
                let (row, slot) = place(key, width);
                let pack = self.below.get(&row)?;
                let found = pack.as_deref().and_then(|p| slots_of(p).find(|(s, _)| *s == slot));
                Ok(found.map(|(_, value)| value.to_vec()))
            }
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StateError> {
        let mut out = Vec::new();
        let (first, last) = (from.first().copied().unwrap_or(0), to.first().copied().unwrap_or(0));
        for kind in (first..=last).take_while(|_| from < to) {
            let left = limit - out.len();
            let (begin, end) = ([kind], [kind.saturating_add(1)]);
            let (low, high) = (from.max(&begin), to.min(&end));
            if left == 0 || low >= high {
                continue;
            }
            out.extend(match layout(kind) {
                Layout::Plain => self.below.scan(low, high, left)?,
                Layout::Packed(_) => self.scan_packed(low, high, left)?,
                Layout::Run => self.scan_runs(low, high, left)?,
                Layout::Hidden => Vec::new(),
            });
        }
        Ok(out)
    }

    fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StateError> {
        match layout_of(from) {
            Layout::Plain => self.below.last_before(from, to),
            Layout::Hidden => Ok(None),
            // Asked for by nobody where rows stand at random; right all the same.
            Layout::Run => Ok(self.scan_runs(from, to, usize::MAX)?.pop()),
            Layout::Packed(_) => {
                let mut to = to.to_vec();
                while let Some((key, pack)) = self.below.last_before(&from[..1], &to)? {
                    let each = slots_of(&pack).map(|(slot, value)| (slot_key(&key, slot), value));
                    if let Some((k, v)) = each.filter(|(k, _)| *k < to).last() {
                        return Ok((k.as_slice() >= from).then(|| (k, v.to_vec())));
                    }
                    to = key;
                }
                Ok(None)
            }
        }
    }

    fn write(&self, changes: &Changes) -> Result<(), StateError> {
        let (below, runs) = self.lay_out(changes)?;
        // Readers find the changes among those that settle until this returns, and the runs that they know stay until the next set.
        self.below.write(&below)?;
        if let Some(runs) = runs {
            *self.runs.write().unwrap_or_else(PoisonError::into_inner) = runs;
        }
        Ok(())
    }
}

fn full_level(runs: &[Run]) -> Option<u8> {
    (0..LEVEL_MAX).find(|level| runs.iter().filter(|r| r.level == *level).count() >= FAN)
}

/// Lays a run's chunks and filter out.
fn write_run(
    number: u64,
    level: u8,
    rows: Vec<(&[u8], Option<&[u8]>)>,
    below: &mut Changes,
) -> Run {
    let mut filter = Filter::for_keys(rows.len());
    let (mut first, mut chunk): (&[u8], Vec<u8>) = (&[], Vec::new());
    for (key, value) in rows {
        filter.add(key);
        if chunk.len() >= CHUNK_BYTES {
            let row = Key::new(Kind::Run).number(number).bytes(first).finish();
            below.insert(row, Some(std::mem::take(&mut chunk)));
        }
        if chunk.is_empty() {
            first = key;
        }
        push_bytes(&mut chunk, key);
        chunk.push(u8::from(value.is_some()));
        push_bytes(&mut chunk, value.unwrap_or_default());
    }
    below.insert(Key::new(Kind::Run).number(number).bytes(first).finish(), Some(chunk));
    for (at, bytes) in (0u64..).zip(filter.rows(CHUNK_BYTES)) {
        let row = Key::new(Kind::Filter).number(number).number(at).finish();
        below.insert(row, Some(bytes.to_vec()));
    }
    Run { number, level, filter }
}

fn push_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    into.extend_from_slice(bytes);
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (taken, left) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = left;
    Some(taken)
}

/// Rows of a chunk, in order.
fn rows_of(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    std::iter::from_fn(move || {
        let key = take_bytes(&mut rest)?;
        let (present, after) = rest.split_first()?;
        rest = after;
        let value = take_bytes(&mut rest)?;
        Some((key, (*present == 1).then_some(value)))
    })
}

/// Reads a run from a key on, a page of chunks at a time.
struct Cursor<'a, S> {
    below: &'a S,
    next: Vec<u8>,
    end: Vec<u8>,
    chunks: VecDeque<Row>,
    rows: std::vec::IntoIter<(Vec<u8>, Option<Vec<u8>>)>,
    from: Vec<u8>,
}

impl<'a, S: State> Cursor<'a, S> {
    fn new(below: &'a S, number: u64, from: &[u8]) -> Result<Self, StateError> {
        let prefix = Key::new(Kind::Run).number(number);
        let (start, end) = (prefix.clone().finish(), prefix.clone().end());
        let wanted = prefix.bytes(from).finish();
        // The chunk that a key lies in begins at or before it.
        let before = below.last_before(&start, &wanted)?;
        let next = before.map_or(start, |(key, _)| key);
        let (chunks, rows) = (VecDeque::new(), Vec::new().into_iter());
        Ok(Self { below, next, end, chunks, rows, from: from.to_vec() })
    }
}

impl<S: State> Iterator for Cursor<'_, S> {
    type Item = Result<(Vec<u8>, Option<Vec<u8>>), StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.find(|(key, _)| *key >= self.from) {
                return Some(Ok(row));
            }
            if self.chunks.is_empty() {
                match self.below.scan(&self.next, &self.end, PAGE) {
                    Ok(page) => self.chunks.extend(page),
                    Err(e) => return Some(Err(e)),
                }
            }
            let (key, chunk) = self.chunks.pop_front()?;
            self.next = key;
            self.next.push(0);
            let rows = rows_of(&chunk).map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec)));
            self.rows = rows.collect::<Vec<_>>().into_iter();
        }
    }
}

/// The row that a number is packed in, and its slot there.
fn place(key: &[u8], width: u64) -> (Vec<u8>, u8) {
    let number = last_number(key).unwrap_or_default();
    (with_number(key, number & !(width - 1)), (number & (width - 1)) as u8)
}

fn slot_key(row: &[u8], slot: u8) -> Vec<u8> {
    with_number(row, last_number(row).unwrap_or_default() | u64::from(slot))
}

fn with_number(key: &[u8], number: u64) -> Vec<u8> {
    let mut out = key.to_vec();
    out.truncate(key.len().saturating_sub(8));
    out.extend_from_slice(&number.to_be_bytes());
    out
}

/// Slots of a pack with their values, in order.
fn slots_of(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (slot, after) = rest.split_first()?;
        rest = after;
        Some((*slot, take_bytes(&mut rest)?))
    })
}

/// Values of consecutive numbers.
struct Pack(BTreeMap<u8, Vec<u8>>);

impl Pack {
    fn read(bytes: Option<Vec<u8>>) -> Self {
        let bytes = bytes.unwrap_or_default();
        Self(slots_of(&bytes).map(|(slot, value)| (slot, value.to_vec())).collect())
    }

    fn set(&mut self, slot: u8, value: Option<&[u8]>) {
        match value {
            Some(value) => drop(self.0.insert(slot, value.to_vec())),
            None => drop(self.0.remove(&slot)),
        }
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for (slot, value) in &self.0 {
            out.push(*slot);
            push_bytes(&mut out, value);
        }
        (!out.is_empty()).then_some(out)
    }
}
