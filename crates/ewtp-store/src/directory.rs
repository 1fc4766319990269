//! The data directory: its schema, and the directories of states of which the newest counts.
//!
//! ```text
//! schema   journal/   state/<n>/   forgotten   compacted
//! ```

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::sled_state::StateError;
use crate::store::StoreError;

const STATE_DIR: &str = "state";
const SCHEMA_FILE: &str = "schema";

pub(crate) fn error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Dir { path: path.display().to_string(), source }
}

/// Writes a file whole or not at all: a power cut must not leave one that no program knows.
pub(crate) fn write_whole(dir: &Path, name: &str, content: &str) -> io::Result<()> {
    let next = dir.join(format!("{name}.next"));
    let mut file = fs::File::create(&next)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, dir.join(name))?;
    fs::File::open(dir)?.sync_all()
}

pub(crate) fn check_schema(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(SCHEMA_FILE);
    let known = crate::SCHEMA_VERSION;
    let write = || {
        write_whole(dir, SCHEMA_FILE, &format!("{known}\n")).map_err(|source| error(&path, source))
    };
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == known.to_string() => Ok(()),
        Ok(text) if text.trim().parse().is_ok_and(|found: u32| found < known) => {
            StateDirs::new(dir).remove()?;
            write()
        }
        Ok(text) => {
            Err(StoreError::Schema { found: text.trim().chars().take(20).collect(), known })
        }
        Err(e) if e.kind() == ErrorKind::NotFound => write(),
        Err(source) => Err(error(&path, source)),
    }
}

/// Directories of states, numbered; all but the newest are what an interrupted change left.
#[derive(Clone)]
pub(crate) struct StateDirs(PathBuf);

impl StateDirs {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.join(STATE_DIR))
    }

    fn io(&self, source: io::Error) -> StateError {
        StateError::Io { path: self.0.display().to_string(), source }
    }

    fn numbers(&self) -> Result<Vec<u64>, StateError> {
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| self.io(e))?,
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| self.io(e))?.file_name();
            numbers.extend(name.to_str().and_then(|n| n.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn of(&self, number: u64) -> PathBuf {
        self.0.join(number.to_string())
    }

    /// The newest, made if there is none.
    pub(crate) fn newest(&self) -> Result<PathBuf, StateError> {
        let newest = self.numbers()?.last().copied().unwrap_or(0);
        let dir = self.of(newest);
        fs::create_dir_all(&dir).map_err(|e| self.io(e))?;
        self.retire()?;
        Ok(dir)
    }

    /// One more.
    pub(crate) fn next(&self) -> Result<PathBuf, StateError> {
        let next = self.numbers()?.last().map_or(0, |n| n + 1);
        let dir = self.of(next);
        fs::create_dir_all(&dir).map_err(|e| self.io(e))?;
        Ok(dir)
    }

    /// Removes all but the newest.
    pub(crate) fn retire(&self) -> Result<(), StateError> {
        let mut numbers = self.numbers()?;
        numbers.pop();
        for number in numbers {
            fs::remove_dir_all(self.of(number)).map_err(|e| self.io(e))?;
        }
        Ok(())
    }

    /// Removes the newest, if an older one is in use.
    pub(crate) fn abandon(&self) -> Result<(), StateError> {
        match self.numbers()?.as_slice() {
            [.., _, newest] => fs::remove_dir_all(self.of(*newest)).map_err(|e| self.io(e)),
            _ => Ok(()),
        }
    }

    /// Removes all: the state is built anew.
    pub(crate) fn remove(&self) -> Result<(), StateError> {
        match fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.io(e)),
            _ => Ok(()),
        }
    }
}
