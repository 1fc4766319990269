//! sled 0.34 as the state.
//!
//! Neither sled's `flush` nor its batches are relied on: `flush` does not reach the disk on Linux, and a large batch costs more
//! memory and twice the time of inserts in order (both measured). So a set of changes is written to a file of its own and
//! synced first; only then are its keys inserted, and an interrupted set is inserted again when the state opens.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::state::{Changes, Row, State};

/// sled's page cache, bytes: keeps memory bounded at no loss of rate (measured).
const CACHE_BYTES: u64 = 128 << 20;
/// How long a killed predecessor's lock on sled may linger.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const REDO_MAGIC: &[u8; 4] = b"EWR1";

/// Why the state can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// sled.
    #[error("state: {0}; it can be rebuilt: ewtp store rebuild")]
    Sled(#[from] sled::Error),
    /// Files beside it.
    #[error("state: {path}: {source}; it can be rebuilt: ewtp store rebuild")]
    Io {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// sled in a directory.
pub struct SledState {
    db: sled::Db,
    dir: PathBuf,
}

impl SledState {
    /// Opens the directory, and ends a set of changes that was interrupted.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let state = Self { db: open_sled(dir)?, dir: dir.to_owned() };
        let path = state.redo();
        match fs::read(&path) {
            // A torn file was not synced, so none of its changes was begun.
            Ok(bytes) => {
                if let Some(changes) = decode_redo(&bytes) {
                    state.insert(&changes)?;
                }
                fs::remove_file(&path).map_err(|e| state.io(&path, e))?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(state.io(&path, e)),
        }
        Ok(state)
    }

    fn redo(&self) -> PathBuf {
        self.dir.join("redo")
    }

    fn io(&self, path: &Path, source: io::Error) -> StateError {
        StateError::Io { path: path.display().to_string(), source }
    }

    /// Inserts in the order of keys, and makes it durable.
    fn insert(&self, changes: &Changes) -> Result<(), StateError> {
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.db.insert(key, value.as_slice())?),
                None => drop(self.db.remove(key)?),
            }
        }
        self.db.flush()?;
        let path = self.dir.join("db");
        File::open(&path).and_then(|f| f.sync_data()).map_err(|e| self.io(&path, e))
    }

    /// Keys held: fewer than the rows of the state, which are packed.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.db.len()
    }
}

impl State for SledState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.db.get(key)?.map(|v| v.to_vec()))
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StateError> {
        let rows = self.db.range(from.to_vec()..to.to_vec()).take(limit);
        rows.map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(StateError::from))
            .collect()
    }

    fn last_before(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, StateError> {
        let row = self.db.range(from.to_vec()..to.to_vec()).next_back().transpose()?;
        Ok(row.map(|(k, v)| (k.to_vec(), v.to_vec())))
    }

    fn write(&self, changes: &Changes) -> Result<(), StateError> {
        let path = self.redo();
        let write = || -> io::Result<()> {
            let mut file = BufWriter::new(File::create(&path)?);
            encode_redo(changes, &mut file)?;
            file.into_inner()?.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|e| self.io(&path, e))?;
        self.insert(changes)?;
        fs::remove_file(&path).map_err(|e| self.io(&path, e))
    }
}

fn open_sled(dir: &Path) -> Result<sled::Db, StateError> {
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

/// `EWR1`, CRC-32 of the rest, then for each key: u32 length, key, u32 length of the value plus one or 0 for none, value.
fn encode_redo(changes: &Changes, out: &mut impl Write) -> io::Result<()> {
    let each = |sink: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
        for (key, value) in changes {
            sink(&(key.len() as u32).to_be_bytes())?;
            sink(key)?;
            sink(&value.as_ref().map_or(0, |v| v.len() as u32 + 1).to_be_bytes())?;
            sink(value.as_deref().unwrap_or_default())?;
        }
        Ok(())
    };
    let mut checksum = crc32fast::Hasher::new();
    each(&mut |bytes| {
        checksum.update(bytes);
        Ok(())
    })?;
    out.write_all(REDO_MAGIC)?;
    out.write_all(&checksum.finalize().to_be_bytes())?;
    each(&mut |bytes| out.write_all(bytes))
}

fn decode_redo(bytes: &[u8]) -> Option<Changes> {
    let (crc, mut rest) = bytes.strip_prefix(REDO_MAGIC)?.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) != u32::from_be_bytes(*crc) {
        return None;
    }
    fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
        let (taken, left) = rest.split_at_checked(n)?;
        *rest = left;
        Some(taken)
    }
    let length = |rest: &mut &[u8]| {
        let word = take(rest, 4)?.try_into().ok().map(u32::from_be_bytes)?;
        usize::try_from(word).ok()
    };
    let mut changes = Changes::new();
    while !rest.is_empty() {
        let n = length(&mut rest)?;
        let key = take(&mut rest, n)?.to_vec();
        let value = match length(&mut rest)? {
            0 => None,
            n => Some(take(&mut rest, n - 1)?.to_vec()),
        };
        changes.insert(key, value);
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Changes {
        (0..100u32)
            .map(|n| (n.to_be_bytes().to_vec(), (n % 3 != 0).then(|| vec![n as u8; n as usize])))
            .collect()
    }

    #[test]
    fn an_interrupted_set_of_changes_is_ended_and_a_torn_one_was_never_begun() {
        let dir = tempfile::tempdir().unwrap();
        let state = SledState::open(dir.path()).unwrap();
        let before: Changes =
            (0..100u32).map(|n| (n.to_be_bytes().to_vec(), Some(vec![7]))).collect();
        state.write(&before).unwrap();
        let wanted: Vec<Row> = changes().into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
        // The set is on disk and half of it inserted when the process ends.
        let encoded = |changes: &Changes| {
            let mut out = Vec::new();
            encode_redo(changes, &mut out).unwrap();
            out
        };
        fs::write(state.redo(), encoded(&changes())).unwrap();
        for (key, value) in changes().into_iter().take(50) {
            match value {
                Some(value) => drop(state.db.insert(key, value).unwrap()),
                None => drop(state.db.remove(key).unwrap()),
            }
        }
        drop(state);
        let state = SledState::open(dir.path()).unwrap();
        assert_eq!(state.scan(&[0], &[255], 1000).unwrap(), wanted);
        let mut torn = encoded(&before);
        torn.truncate(torn.len() - 3);
        fs::write(state.redo(), torn).unwrap();
        drop(state);
        let state = SledState::open(dir.path()).unwrap();
        assert_eq!(state.scan(&[0], &[255], 1000).unwrap(), wanted);
        assert!(!state.redo().exists());
    }
}
