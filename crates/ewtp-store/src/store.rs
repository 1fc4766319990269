//! The store on one machine: the journal, and the state derived from it.
//!
//! ```text
//! commit: write ─▶ sync (the commit point) ─▶ apply ─▶ recent ─┬─ readers
//!                                                 └─▶ settle ─▶ state
//! ```
//!
//! What is applied is seen at once and reaches the state later, in sets: the journal is true, so the state may lag, be stale
//! or be lost; opening applies the frames that it has not seen.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use ewtp_proto::store::v1::Frame;
use tokio::sync::oneshot;

use crate::compaction::{Due, Orders, Renew};
use crate::derived::Derived;
use crate::directory::{self, StateDirs};
use crate::disk::{Disk, RealDisk};
use crate::forgetting::Pending;
use crate::frames::Frames;
use crate::journal::{Journal, JournalError, ReadFrame, SEGMENT_BYTES, Written};
use crate::packed::Packed;
use crate::planted::{self, Bug};
use crate::sled_state::{SledState, StateError};
use crate::state::{Row, State};
use crate::steps::{Step, Steps, Threads};
use crate::views::{Compacted, Store};

const JOURNAL_DIR: &str = "journal";
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
    /// The store is closed: what was begun is done at the next start.
    #[error("the store is closing")]
    Closing,
    /// A task ended.
    #[error("the store's task ended: {0}")]
    Task(String),
    /// This store can't build its state anew beside the old one.
    #[error(
        "this store's state can't be built anew while it is in use; rebuild it: ewtp store rebuild"
    )]
    NotRenewable,
}

/// Journal and state.
pub struct JournaledStore<S> {
    pub(crate) inner: Arc<Inner<S>>,
    steps: Arc<dyn Steps>,
    /// The end of the set that is settling.
    settling: Mutex<Option<Settling>>,
    settle_bytes: usize,
}

type Settling = oneshot::Receiver<Result<(), StoreError>>;

/// Journal and sled in one directory.
pub type SledStore = JournaledStore<Packed<SledState>>;

pub(crate) struct Inner<S> {
    pub(crate) journal: Journal,
    derived: RwLock<Arc<Derived<S>>>,
    /// Held while a frame is applied, and while another state takes the place of this one.
    applying: Mutex<()>,
    /// Held while a compaction runs.
    pub(crate) compacting: Mutex<()>,
    /// The store is to be closed: what can be begun again stops.
    closing: AtomicBool,
    pub(crate) frames: Frames,
    pub(crate) pending: Pending,
    pub(crate) renew: Option<Renew<S>>,
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
        let disk = RealDisk::new(&dir.join(JOURNAL_DIR))
            .map_err(|source| directory::error(dir, source))?;
        Self::open_on(dir, own_hub, Arc::new(disk), SEGMENT_BYTES, settle)
    }

    /// Opens a data directory with another disk under the journal. A compaction that was interrupted is ended first.
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
        std::fs::create_dir_all(dir).map_err(|source| directory::error(dir, source))?;
        directory::check_schema(dir)?;
        let journal = Journal::open(disk, segment_bytes)?;
        let (orders, dirs) = (Orders::open(dir), StateDirs::new(dir));
        orders.carry_out_interrupted(&journal, &dirs)?;
        let state = Packed::open(SledState::open(&dirs.newest()?)?)?;
        let (fresh, abandoned) = (dirs.clone(), dirs.clone());
        let renew = Renew {
            orders,
            fresh: Box::new(move || Ok(Packed::open(SledState::open(&fresh.next()?)?)?)),
            retire: Box::new(move || Ok(dirs.retire()?)),
            abandon: Box::new(move || Ok(abandoned.abandon()?)),
        };
        Self::open_whole(journal, state, own_hub, Arc::new(Threads), settle_bytes, Some(renew))
    }

    /// Deletes the state and builds it anew from the journal. Gives the number of frames.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rebuild(dir: &Path, own_hub: &str) -> Result<u64, StoreError> {
        directory::check_schema(dir)?;
        StateDirs::new(dir).remove()?;
        let store = Self::open(dir, own_hub)?;
        store.inner.derived().settle_step()()?;
        Ok(store.inner.journal.next_sequence())
    }

    /// Compares the state with one rebuilt in `scratch`: keys that differ, at most 100, as hexadecimal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(&self, scratch: &Path) -> Result<Vec<String>, StoreError> {
        let mine = self.inner.derived();
        let fresh = Derived::new(Packed::open(SledState::open(scratch)?)?, mine.own_hub());
        fresh.catch_up(&self.inner.journal, SETTLE_BYTES)?;
        let mut mine = Rows::new(|from: &[u8]| mine.scan(from, LAST_KEY, ROWS));
        let mut theirs = Rows::new(|from: &[u8]| fresh.scan(from, LAST_KEY, ROWS));
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
        self.inner.derived().state().below().keys()
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
        Self::open_whole(journal, state, own_hub, steps, settle_bytes, None)
    }

    fn open_whole(
        journal: Journal,
        state: S,
        own_hub: &str,
        steps: Arc<dyn Steps>,
        settle_bytes: usize,
        renew: Option<Renew<S>>,
    ) -> Result<Self, StoreError> {
        let derived = Derived::new(state, own_hub);
        derived.catch_up(&journal, settle_bytes)?;
        let inner = Inner {
            journal,
            derived: RwLock::new(Arc::new(derived)),
            applying: Mutex::new(()),
            compacting: Mutex::new(()),
            closing: AtomicBool::new(false),
            frames: Frames::default(),
            pending: Pending::default(),
            renew,
        };
        inner.hide_ordered()?;
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
        if self.inner.derived().waits() < due {
            return Ok(());
        }
        self.settled().await?;
        let next = self.steps.aside(self.inner.derived().settle_step());
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

/// So many frames are applied while commits wait.
const FEW_FRAMES: u64 = 64;

impl<S: State> Inner<S> {
    /// Orders that are applied, all of them before a frame, and not carried out.
    pub(crate) fn ordered_so_far(&self) -> Result<(u64, Due), StoreError> {
        let _none_is_applied = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((self.derived().next()?, self.pending.all()))
    }

    pub(crate) fn derived(&self) -> Arc<Derived<S>> {
        Arc::clone(&self.derived.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&self, frame: &Arc<ReadFrame>) -> Result<(), StoreError> {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let derived = self.derived();
        // A state that took this one's place has read the frame from the journal.
        if derived.next()? <= frame.frame.sequence {
            derived.apply(frame)?;
        }
        self.frames.keep(self.frames.epoch(), frame);
        self.hide(&frame.frame.erasures)
    }

    /// Another state takes the place of this one, once it has seen all frames.
    pub(crate) fn replace(
        &self,
        fresh: Derived<S>,
        settle: usize,
    ) -> Result<Arc<Derived<S>>, StoreError> {
        // Nearly all of it while frames are committed, the little that is left while none is applied.
        while self.journal.next_sequence() > fresh.next()? + FEW_FRAMES {
            fresh.catch_up_until(&self.journal, settle, || self.closing.load(Ordering::Relaxed))?;
        }
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.catch_up(&self.journal, settle)?;
        let mut derived = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut derived, Arc::new(fresh)))
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
        self.settled().await?;
        // Nobody else may open the directory while a compaction is at work on it.
        self.inner.closing.store(true, Ordering::Relaxed);
        let inner = Arc::clone(&self.inner);
        let ended: Step = Box::new(move || {
            drop(inner.compacting.lock().unwrap_or_else(PoisonError::into_inner));
            Ok(())
        });
        self.steps.run(vec![ended]).await
    }

    async fn compact(&self) -> Result<Compacted, StoreError> {
        // A set that settles now belongs to the state that is replaced.
        let (inner, settle) = (Arc::clone(&self.inner), self.settle_bytes);
        let (done, outcome) = oneshot::channel();
        let step: Step = Box::new(move || {
            let compacted = inner.compact(settle)?;
            // Nobody waits any more: it is done all the same.
            let _ = done.send(compacted);
            Ok(())
        });
        let ended = self.steps.aside(step).await.map_err(|e| StoreError::Task(e.to_string()))?;
        ended?;
        outcome.await.map_err(|e| StoreError::Task(e.to_string()))
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.derived().get(key)
    }

    async fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.derived().scan(from, to, limit)
    }

    async fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StoreError> {
        self.inner.derived().last_before(from, to)
    }

    async fn frame(&self, sequence: u64) -> Result<Arc<ReadFrame>, StoreError> {
        let read = match self.inner.frames.get(sequence) {
            Some(kept) => kept,
            None => {
                let epoch = self.inner.frames.epoch();
                let read = Arc::new(self.inner.journal.read(sequence)?);
                self.inner.frames.keep(epoch, &read);
                read
            }
        };
        Ok(self.inner.pending.without(read))
    }

    fn next_sequence(&self) -> u64 {
        self.inner.journal.next_sequence()
    }
}

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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
