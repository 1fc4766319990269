//! The store on one machine: the journal, and the state derived from it.
//!
//! ```text
//! commit: write ─▶ sync (the commit point) ─▶ apply ─▶ recent ─┬─ readers
//!                                                 └─▶ settle ─▶ state
//! ```
//!
//! What is applied is seen at once and reaches the state later, in sets: the journal is true, so the state may lag, be stale
//! or be lost; opening applies the frames that it has not seen.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use ewtp_proto::Message as _;
use ewtp_proto::store::v1::{Counters, Frame};
use tokio::sync::oneshot;

use crate::apply::apply;
use crate::disk::{Disk, RealDisk};
use crate::frames::Frames;
use crate::journal::{Journal, JournalError, ReadFrame, SEGMENT_BYTES, Written};
use crate::keys::{Key, Kind};
use crate::packed::Packed;
use crate::planted::{self, Bug};
use crate::recent::Recent;
use crate::sled_state::{SledState, StateError};
use crate::state::{Changes, Row, State};
use crate::steps::{Step, Steps, Threads};
use crate::trees::Cells;
use crate::views::Store;

const STATE_DIR: &str = "state";
const JOURNAL_DIR: &str = "journal";
const SCHEMA_FILE: &str = "schema";
/// Changes settle when they weigh this much: about 5,000 statements, which are applied again after a crash. Larger sets go
/// through memory that no cache holds, and cost a third more (docs/performance.md).
pub const SETTLE_BYTES: usize = 6 << 20;

/// Why the store can't go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A value that doesn't decode.
    #[error("state: {0} is damaged; it can be rebuilt: ewtp store rebuild")]
    Value(String),
    /// The data directory.
    #[error("data directory {path}: {source}")]
    Dir {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Written by a later version of the software.
    #[error(
        "the data directory has schema {found}, this program knows {known}; use the newer program"
    )]
    Schema {
        /// Found.
        found: String,
        /// Known.
        known: u32,
    },
    /// The state knows more than the journal: the journal was restored or cut.
    #[error(
        "the state has applied {applied} frames, the journal holds {frames}: the journal is older than what was said; restore it, \
         or run `ewtp store rebuild` if its tail is known to be lost"
    )]
    Ahead {
        /// Frames that the state has applied.
        applied: u64,
        /// Frames in the journal.
        frames: u64,
    },
    /// A task ended.
    #[error("the store's task ended: {0}")]
    Task(String),
}

/// Journal and state.
pub struct JournaledStore<S> {
    inner: Arc<Inner<S>>,
    steps: Arc<dyn Steps>,
    /// The end of the set that is settling.
    settling: Mutex<Option<Settling>>,
    settle_bytes: usize,
}

type Settling = oneshot::Receiver<Result<(), StoreError>>;

/// Journal and sled in one directory.
pub type SledStore = JournaledStore<Packed<SledState>>;

struct Inner<S> {
    journal: Journal,
    state: S,
    recent: RwLock<Recent>,
    frames: Frames,
    own_hub: String,
}

impl SledStore {
    /// Opens a data directory on the real disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(dir: &Path, own_hub: &str) -> Result<Self, StoreError> {
        Self::open_in_sets(dir, own_hub, SETTLE_BYTES)
    }

    /// The same with changes that settle when they weigh so much.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_in_sets(dir: &Path, own_hub: &str, settle: usize) -> Result<Self, StoreError> {
        let disk =
            RealDisk::new(&dir.join(JOURNAL_DIR)).map_err(|source| dir_error(dir, source))?;
        Self::open_on(dir, own_hub, Arc::new(disk), SEGMENT_BYTES, settle)
    }

    /// Opens a data directory with another disk under the journal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_on(
        dir: &Path,
        own_hub: &str,
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        settle_bytes: usize,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| dir_error(dir, source))?;
        check_schema(dir)?;
        let journal = Journal::open(disk, segment_bytes)?;
        let state = Packed::open(SledState::open(&dir.join(STATE_DIR))?)?;
        Self::open_with(journal, state, own_hub, Arc::new(Threads), settle_bytes)
    }

    /// Deletes the state and builds it anew from the journal. Gives the number of frames.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rebuild(dir: &Path, own_hub: &str) -> Result<u64, StoreError> {
        check_schema(dir)?;
        let state = dir.join(STATE_DIR);
        if state.exists() {
            std::fs::remove_dir_all(&state).map_err(|source| dir_error(&state, source))?;
        }
        let store = Self::open(dir, own_hub)?;
        store.inner.settle_now()?;
        Ok(store.inner.journal.next_sequence())
    }

    /// Compares the state with one rebuilt in `scratch`: keys that differ, at most 100, as hexadecimal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(&self, scratch: &Path) -> Result<Vec<String>, StoreError> {
        let fresh = Packed::open(SledState::open(scratch)?)?;
        let recent = RwLock::new(Recent::default());
        let replay = Replay { state: &fresh, recent: &recent, own_hub: &self.inner.own_hub };
        replay.all(&self.inner.journal, SETTLE_BYTES)?;
        let mut mine = Rows::new(|from: &[u8]| self.inner.scan(from, LAST_KEY, ROWS));
        let recent = recent.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut theirs = Rows::new(|from: &[u8]| Ok(recent.scan(&fresh, from, LAST_KEY, ROWS)?));
        let mut differences = Vec::new();
        while differences.len() < 100 {
            match (mine.peek()?, theirs.peek()?) {
                (None, None) => break,
                (Some((a, x)), Some((b, y))) if a == b => {
                    if x != y {
                        differences.push(format!("another value at {}", hex(&a)));
                    }
                    mine.skip();
                    theirs.skip();
                }
                (Some((a, _)), b) if b.as_ref().is_none_or(|(b, _)| a < *b) => {
                    differences.push(format!("surplus {}", hex(&a)));
                    mine.skip();
                }
                (_, b) => {
                    differences.push(format!("missing {}", hex(&b.unwrap_or_default().0)));
                    theirs.skip();
                }
            }
        }
        Ok(differences)
    }

    /// Keys in the state, those that are on their way into it left out.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.inner.state.below().keys()
    }
}

impl<S: State> JournaledStore<S> {
    /// Puts journal and state together and applies the frames that the state has not seen. Changes settle in sets of about
    /// `settle_bytes`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_with(
        journal: Journal,
        state: S,
        own_hub: &str,
        steps: Arc<dyn Steps>,
        settle_bytes: usize,
    ) -> Result<Self, StoreError> {
        let recent = RwLock::new(Recent::default());
        Replay { state: &state, recent: &recent, own_hub }.all(&journal, settle_bytes)?;
        let frames = Frames::default();
        let inner = Inner { journal, state, recent, frames, own_hub: own_hub.to_owned() };
        let settling = Mutex::new(None);
        Ok(Self { inner: Arc::new(inner), steps, settling, settle_bytes })
    }

    /// The bug of showing a frame that is written and not synced.
    fn show_early(&self, slot: Arc<Mutex<Option<Written>>>, apply: Step) -> Step {
        let inner = Arc::clone(&self.inner);
        Box::new(move || {
            if let Some(written) = &*slot.lock().unwrap_or_else(PoisonError::into_inner) {
                inner.journal.show(written);
            }
            apply()
        })
    }

    /// Starts a set on its way into the state, if one is due; waits for the one before it.
    async fn settle_if_due(&self, due: usize) -> Result<(), StoreError> {
        let waits = self.inner.recent.read().unwrap_or_else(PoisonError::into_inner).bytes();
        if waits < due {
            return Ok(());
        }
        self.settled().await?;
        let next = self.steps.aside(self.inner.settle_step());
        *self.settling.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        Ok(())
    }

    /// Waits for the set that is settling.
    async fn settled(&self) -> Result<(), StoreError> {
        let before = self.settling.lock().unwrap_or_else(PoisonError::into_inner).take();
        match before {
            Some(before) => before.await.map_err(|e| StoreError::Task(e.to_string()))?,
            None => Ok(()),
        }
    }
}

impl<S: State> Inner<S> {
    fn settle_step(self: &Arc<Self>) -> Step {
        let changes = self.recent.write().unwrap_or_else(PoisonError::into_inner).settle();
        let inner = Arc::clone(self);
        Box::new(move || {
            inner.state.write(&changes)?;
            inner.recent.write().unwrap_or_else(PoisonError::into_inner).settled();
            Ok(())
        })
    }

    fn settle_now(self: &Arc<Self>) -> Result<(), StoreError> {
        self.settle_step()()
    }

    fn apply(&self, frame: &Arc<ReadFrame>) -> Result<(), StoreError> {
        self.frames.keep(frame);
        Replay { state: &self.state, recent: &self.recent, own_hub: &self.own_hub }.one(frame)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner).get(key);
        match recent {
            Some(value) => Ok(value),
            None => Ok(self.state.get(key)?),
        }
    }

    /// The lock is held for a page at a time: a long scan must not keep a commit from being applied.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
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
}

/// Applies frames onto a state.
struct Replay<'a, S> {
    state: &'a S,
    recent: &'a RwLock<Recent>,
    own_hub: &'a str,
}

impl<S: State> Replay<'_, S> {
    fn all(&self, journal: &Journal, settle_bytes: usize) -> Result<(), StoreError> {
        let counters = match self.state.get(&Key::new(Kind::Counters).finish())? {
            Some(bytes) => {
                Counters::decode(bytes.as_slice()).map_err(|e| StoreError::Value(e.to_string()))?
            }
            None => Counters::default(),
        };
        let from = if counters.any { counters.applied.saturating_add(1) } else { 0 };
        let frames = journal.next_sequence();
        if from > frames {
            return Err(StoreError::Ahead { applied: from, frames });
        }
        for sequence in from..frames {
            self.one(&journal.read(sequence)?)?;
            let recent = || self.recent.write().unwrap_or_else(PoisonError::into_inner);
            if recent().bytes() >= settle_bytes {
                let changes = recent().settle();
                self.state.write(&changes)?;
                recent().settled();
            }
        }
        Ok(())
    }

    fn one(&self, read: &ReadFrame) -> Result<(), StoreError> {
        let writes = BTreeMap::new();
        let mut cells = Overlay { state: self.state, recent: self.recent, writes };
        apply(&mut cells, self.own_hub, read)?;
        self.recent.write().unwrap_or_else(PoisonError::into_inner).add(cells.writes);
        Ok(())
    }
}

struct Overlay<'a, S> {
    state: &'a S,
    recent: &'a RwLock<Recent>,
    writes: Changes,
}

impl<S: State> Cells for Overlay<'_, S> {
    type Error = StoreError;

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(value) = self.writes.get(key) {
            return Ok(value.clone());
        }
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner).get(key);
        match recent {
            Some(value) => Ok(value),
            None => Ok(self.state.get(key)?),
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    fn erase(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }
}

#[async_trait]
impl<S: State> Store for JournaledStore<S> {
    async fn commit(&self, frame: Frame, blobs: Vec<u8>) -> Result<(), StoreError> {
        let read = Arc::new(ReadFrame { frame, blobs });
        let written = Arc::new(Mutex::new(None));
        let take = |written: &Mutex<Option<_>>| {
            written.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let (inner, frame, slot) =
            (Arc::clone(&self.inner), Arc::clone(&read), Arc::clone(&written));
        let write: Step = Box::new(move || {
            let on_its_way = inner.journal.write(&frame.frame, &frame.blobs)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(on_its_way);
            Ok(())
        });
        let (inner, slot) = (Arc::clone(&self.inner), Arc::clone(&written));
        let sync: Step = Box::new(move || match take(&slot) {
            Some(written) => Ok(inner.journal.sync(written)?),
            None => Err(JournalError::Poisoned.into()),
        });
        let (inner, frame) = (Arc::clone(&self.inner), Arc::clone(&read));
        // Durable from here on: only now may the state show it.
        let apply: Step = Box::new(move || inner.apply(&frame));
        let steps = match planted::is(Bug::PageBeforeSync) {
            true => vec![write, self.show_early(written, apply), sync],
            false => vec![write, sync, apply],
        };
        self.steps.run(steps).await?;
        self.settle_if_due(self.settle_bytes).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.settle_if_due(1).await?;
        self.settled().await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(from, to, limit)
    }

    async fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StoreError> {
        let recent = self.inner.recent.read().unwrap_or_else(PoisonError::into_inner);
        Ok(recent.last_before(&self.inner.state, from, to)?)
    }

    async fn frame(&self, sequence: u64) -> Result<Arc<ReadFrame>, StoreError> {
        if let Some(kept) = self.inner.frames.get(sequence) {
            return Ok(kept);
        }
        let read = Arc::new(self.inner.journal.read(sequence)?);
        self.inner.frames.keep(&read);
        Ok(read)
    }

    fn next_sequence(&self) -> u64 {
        self.inner.journal.next_sequence()
    }
}

/// Rows of a scan under one lock.
const PAGE: usize = 512;
/// Rows fetched at once by a comparison.
const ROWS: usize = 1000;
/// No key begins with this byte.
const LAST_KEY: &[u8] = &[0xff];

/// All rows of a state, fetched in pages.
struct Rows<F> {
    fetch: F,
    page: std::collections::VecDeque<Row>,
    from: Vec<u8>,
    done: bool,
}

impl<F: FnMut(&[u8]) -> Result<Vec<Row>, StoreError>> Rows<F> {
    fn new(fetch: F) -> Self {
        Self { fetch, page: Default::default(), from: Vec::new(), done: false }
    }

    fn peek(&mut self) -> Result<Option<Row>, StoreError> {
        if self.page.is_empty() && !self.done {
            self.page = (self.fetch)(&self.from)?.into();
            self.done = self.page.len() < ROWS;
            if let Some((key, _)) = self.page.back() {
                self.from = [key.as_slice(), &[0]].concat();
            }
        }
        Ok(self.page.front().cloned())
    }

    fn skip(&mut self) {
        self.page.pop_front();
    }
}

fn dir_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Dir { path: path.display().to_string(), source }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whole or not at all: a power cut must not leave a file that no program knows.
fn write_schema(dir: &Path) -> std::io::Result<()> {
    let (path, next) = (dir.join(SCHEMA_FILE), dir.join("schema.next"));
    let mut file = std::fs::File::create(&next)?;
    file.write_all(format!("{}\n", crate::SCHEMA_VERSION).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&next, &path)?;
    std::fs::File::open(dir)?.sync_all()
}

fn check_schema(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(SCHEMA_FILE);
    let known = crate::SCHEMA_VERSION;
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == known.to_string() => Ok(()),
        Ok(text) if text.trim().parse().is_ok_and(|found: u32| found < known) => {
            let state = dir.join(STATE_DIR);
            if state.exists() {
                std::fs::remove_dir_all(&state).map_err(|source| dir_error(&state, source))?;
            }
            write_schema(dir).map_err(|source| dir_error(&path, source))
        }
        Ok(text) => {
            Err(StoreError::Schema { found: text.trim().chars().take(20).collect(), known })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            write_schema(dir).map_err(|source| dir_error(&path, source))
        }
        Err(source) => Err(dir_error(&path, source)),
    }
}
