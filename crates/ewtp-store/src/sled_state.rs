//! The store on one machine: the journal, and sled 0.34 as the state derived from it.
//!
//! sled's own `flush` does not reach the disk on Linux, so nothing rests on it: the frame to replay from is written in the
//! same batch as what it changes, and on start later frames are applied again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ewtp_proto::Message as _;
use ewtp_proto::store::v1::{Counters, Frame};

use crate::apply::apply;
use crate::disk::{Disk, RealDisk};
use crate::journal::{Journal, JournalError, ReadFrame, SEGMENT_BYTES};
use crate::keys::{Key, Kind};
use crate::trees::Cells;
use crate::views::Store;

/// sled's page cache, bytes: keeps memory bounded at no loss of rate (measured).
const CACHE_BYTES: u64 = 128 << 20;
/// How long a killed predecessor's lock on sled may linger.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const STATE_DIR: &str = "state";
const JOURNAL_DIR: &str = "journal";
const SCHEMA_FILE: &str = "schema";

/// Why the store can't go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// sled.
    #[error("state: {0}; it can be rebuilt: ewtp store rebuild")]
    Sled(#[from] sled::Error),
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

/// Journal and sled in one directory.
#[derive(Clone)]
pub struct SledStore {
    journal: Arc<Journal>,
    db: sled::Db,
    own_hub: Arc<str>,
}

impl SledStore {
    /// Opens a data directory on the real disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(dir: &Path, own_hub: &str) -> Result<Self, StoreError> {
        let disk =
            RealDisk::new(&dir.join(JOURNAL_DIR)).map_err(|source| dir_error(dir, source))?;
        Self::open_with(dir, own_hub, Arc::new(disk), SEGMENT_BYTES)
    }

    /// Opens a data directory with another disk under the journal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_with(
        dir: &Path,
        own_hub: &str,
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| dir_error(dir, source))?;
        check_schema(dir)?;
        let journal = Arc::new(Journal::open(disk, segment_bytes)?);
        let db = open_sled(&dir.join(STATE_DIR))?;
        let store = Self { journal, db, own_hub: own_hub.into() };
        store.replay()?;
        Ok(store)
    }

    /// Applies the frames that sled has not seen.
    fn replay(&self) -> Result<(), StoreError> {
        let counters = match self.db.get(Key::new(Kind::Counters).finish())? {
            Some(bytes) => {
                Counters::decode(&*bytes).map_err(|e| StoreError::Value(e.to_string()))?
            }
            None => Counters::default(),
        };
        let from = if counters.any { counters.applied.saturating_add(1) } else { 0 };
        if from > self.journal.next_sequence() {
            return Err(StoreError::Ahead { applied: from, frames: self.journal.next_sequence() });
        }
        for sequence in from..self.journal.next_sequence() {
            self.apply(&self.journal.read(sequence)?)?;
        }
        Ok(())
    }

    fn apply(&self, read: &ReadFrame) -> Result<(), StoreError> {
        let mut cells = Overlay { db: &self.db, writes: BTreeMap::new() };
        apply(&mut cells, &self.own_hub, read)?;
        let mut batch = sled::Batch::default();
        for (key, value) in cells.writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch)?;
        Ok(())
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
        store.db.flush()?;
        Ok(store.journal.next_sequence())
    }

    /// Compares the state with one rebuilt in `scratch`: keys that differ, at most 100, as hexadecimal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check(&self, scratch: &Path) -> Result<Vec<String>, StoreError> {
        let db = open_sled(scratch)?;
        let fresh =
            Self { journal: Arc::clone(&self.journal), db, own_hub: Arc::clone(&self.own_hub) };
        fresh.replay()?;
        let mut differences = Vec::new();
        let (mut mine, mut theirs) = (self.db.iter().peekable(), fresh.db.iter().peekable());
        while differences.len() < 100 {
            let (a, b) = match (mine.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(Err(_)), _) => return Err(StoreError::Value("iteration".into())),
                (_, Some(Err(_))) => return Err(StoreError::Value("iteration".into())),
                (a, b) => (
                    a.and_then(|r| r.as_ref().ok()).map(|(k, _)| k.clone()),
                    b.and_then(|r| r.as_ref().ok()).map(|(k, _)| k.clone()),
                ),
            };
            let order = match (&a, &b) {
                (Some(a), Some(b)) => a.cmp(b),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, _) => std::cmp::Ordering::Greater,
            };
            match order {
                std::cmp::Ordering::Less => {
                    let _ = mine.next();
                    differences.push(format!("surplus {}", hex(&a.unwrap_or_default())));
                }
                std::cmp::Ordering::Greater => {
                    let _ = theirs.next();
                    differences.push(format!("missing {}", hex(&b.unwrap_or_default())));
                }
                std::cmp::Ordering::Equal => {
                    let (x, y) = (mine.next().transpose()?, theirs.next().transpose()?);
                    if x.as_ref().map(|(_, v)| v) != y.as_ref().map(|(_, v)| v) {
                        differences
                            .push(format!("another value at {}", hex(&a.unwrap_or_default())));
                    }
                }
            }
        }
        Ok(differences)
    }

    /// Keys in the state.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.db.len()
    }
}

fn dir_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Dir { path: path.display().to_string(), source }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn check_schema(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(SCHEMA_FILE);
    let known = crate::SCHEMA_VERSION;
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == known.to_string() => Ok(()),
        Ok(text) => {
            Err(StoreError::Schema { found: text.trim().chars().take(20).collect(), known })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&path, format!("{known}\n")).map_err(|source| dir_error(&path, source))
        }
        Err(source) => Err(dir_error(&path, source)),
    }
}

fn open_sled(dir: &Path) -> Result<sled::Db, StoreError> {
    let started = std::time::Instant::now();
    loop {
        match sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).open() {
            // A predecessor that was killed a moment ago may still hold the lock.
            Err(sled::Error::Io(e))
                if started.elapsed() < LOCK_WAIT && e.to_string().contains("lock") =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            other => return Ok(other?),
        }
    }
}

struct Overlay<'a> {
    db: &'a sled::Db,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Cells for Overlay<'_> {
    type Error = StoreError;

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.db.get(key)?.map(|v| v.to_vec())),
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
impl Store for SledStore {
    async fn commit(&self, frame: Frame, blobs: Vec<u8>) -> Result<(), StoreError> {
        let store = self.clone();
        let work = move || {
            store.journal.append(&frame, &blobs)?;
            // Durable from here on: only now may the state show it.
            store.apply(&ReadFrame { frame, blobs })
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Task(e.to_string()))?
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(key)?.map(|v| v.to_vec()))
    }

    async fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let rows = self.db.range(from.to_vec()..to.to_vec()).take(limit);
        rows.map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(StoreError::from))
            .collect()
    }

    async fn last_at(
        &self,
        from: &[u8],
        at: &[u8],
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError> {
        let row = self.db.range(from.to_vec()..=at.to_vec()).next_back().transpose()?;
        Ok(row.map(|(k, v)| (k.to_vec(), v.to_vec())))
    }

    async fn frame(&self, sequence: u64) -> Result<ReadFrame, StoreError> {
        Ok(self.journal.read(sequence)?)
    }

    fn next_sequence(&self) -> u64 {
        self.journal.next_sequence()
    }
}
