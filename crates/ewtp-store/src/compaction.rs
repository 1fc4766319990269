//! Compaction: what was erased leaves the disk. Segments are written anew without it, and the state is built anew from them
//! beside the old one, because a map that erases a key keeps its bytes until it happens to write there again.
//!
//! ```text
//! forgotten += positions, sync ─▶ segments ─▶ fresh state ─▶ takes the old one's place ─▶ old one removed ─▶ compacted
//! ```
//!
//! What the list says and `compacted` does not is carried out when the store opens: after a crash in between, and where an
//! older copy of the directory was restored beside the list, which belongs outside of backups.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ewtp_proto::Message as _;
use ewtp_proto::store::v1::{CompactionNote, Erasure, Locator, NotedErasure};

use crate::derived::Derived;
use crate::directory::{self, StateDirs};
use crate::journal::Journal;
use crate::keys::{Key, Kind, last_number};
use crate::state::State;
use crate::store::{Inner, StoreError};
use crate::views::Compacted;

const LIST_FILE: &str = "forgotten";
const DONE_FILE: &str = "compacted";
/// Rows looked at in one go.
const ROWS: usize = 1000;
/// Readers of the old state end within moments; this long they are waited for.
const READERS_WAIT: Duration = Duration::from_secs(60);

/// What is erased, by the frame that holds it.
pub(crate) type Due = BTreeMap<u64, Vec<Erasure>>;

type Make<S> = Box<dyn Fn() -> Result<S, StoreError> + Send + Sync>;
type Retire = Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

/// How a state is built anew.
pub(crate) struct Renew<S> {
    pub(crate) orders: Orders,
    /// An empty state beside the one in use.
    pub(crate) fresh: Make<S>,
    /// Removes all but the newest.
    pub(crate) retire: Retire,
    /// Removes the newest, which was not finished.
    pub(crate) abandon: Retire,
}

/// The list of what was ordered to be carried out, and how far it was.
pub(crate) struct Orders {
    dir: PathBuf,
}

impl Orders {
    pub(crate) fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The order up to which all is carried out.
    fn done(&self) -> Result<u64, StoreError> {
        let path = self.dir.join(DONE_FILE);
        match fs::read_to_string(&path) {
            // One that can't be read makes everything be carried out again, which changes nothing.
            Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
            Err(source) => Err(directory::error(&path, source)),
        }
    }

    fn set_done(&self, upto: u64) -> Result<(), StoreError> {
        directory::write_whole(&self.dir, DONE_FILE, &format!("{upto}\n"))
            .map_err(|source| directory::error(&self.dir.join(DONE_FILE), source))
    }

    /// Notes what is about to be carried out: positions and cases, no names.
    fn note(&self, upto: u64, due: &Due) -> Result<(), StoreError> {
        let each = due.iter().flat_map(|(frame, erasures)| erasures.iter().map(|e| (*frame, e)));
        let erasures = each.map(|(frame, e)| NotedErasure { frame, erasure: Some(e.clone()) });
        let record = CompactionNote { upto, erasures: erasures.collect() }.encode_to_vec();
        let path = self.dir.join(LIST_FILE);
        let length =
            u32::try_from(record.len()).map_err(|_| StoreError::Value(LIST_FILE.into()))?;
        let head = [MAGIC, &length.to_be_bytes(), &crc32fast::hash(&record).to_be_bytes()].concat();
        let write = || {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(&[head, record].concat())?;
            file.sync_all()?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| directory::error(&path, source))
    }

    /// What was noted behind the order `done`, and the last order among it. What a torn write left is passed over.
    fn noted(&self, done: u64) -> Result<(u64, Due), StoreError> {
        let path = self.dir.join(LIST_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(directory::error(&path, source)),
        };
        let (mut upto, mut due, mut rest) = (done, Due::new(), bytes.as_slice());
        while !rest.is_empty() {
            let Some((note, after)) = read_note(rest) else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            rest = after;
            for noted in note.erasures.into_iter().filter(|_| note.upto > done) {
                due.entry(noted.frame).or_default().extend(noted.erasure);
            }
            upto = upto.max(note.upto);
        }
        Ok((upto, due))
    }

    /// Ends what was interrupted.
    pub(crate) fn carry_out_interrupted(
        &self,
        journal: &Journal,
        dirs: &StateDirs,
    ) -> Result<(), StoreError> {
        let done = self.done()?;
        let (upto, due) = self.noted(done)?;
        if upto == done {
            return Ok(());
        }
        journal.rewrite(&due)?;
        dirs.remove()?;
        // The journal of a restored copy may be shorter than what was noted: its own later orders are not done.
        self.set_done(upto.min(journal.next_sequence()).max(done))
    }
}

/// `EWL1`, length, CRC-32, and the note.
const MAGIC: &[u8] = b"EWL1";

fn read_note(bytes: &[u8]) -> Option<(CompactionNote, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (record, after) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let whole = crc32fast::hash(record) == u32::from_be_bytes(*crc);
    let note = CompactionNote::decode(record).ok().filter(|_| whole)?;
    Some((note, after))
}

impl<S: State> Inner<S> {
    /// Takes up what was ordered and not carried out when the store was closed.
    pub(crate) fn hide_ordered(&self) -> Result<(), StoreError> {
        let done = match &self.renew {
            Some(renew) => renew.orders.done()?,
            None => 0,
        };
        let prefix = Key::new(Kind::Forgetting);
        let mut from = prefix.clone().number(done).finish();
        loop {
            let rows = self.derived().scan(&from, &prefix.clone().end(), ROWS)?;
            for (_, value) in &rows {
                let order = Erasure::decode(value.as_slice());
                let order = order.map_err(|e| StoreError::Value(e.to_string()))?;
                self.hide(std::slice::from_ref(&order))?;
            }
            match rows.last() {
                Some((key, _)) if rows.len() == ROWS => from = [key.as_slice(), &[0]].concat(),
                _ => return Ok(()),
            }
        }
    }

    /// Reads nothing of what is erased any more.
    pub(crate) fn hide(&self, erasures: &[Erasure]) -> Result<(), StoreError> {
        for erasure in erasures {
            let at = erasure.at.clone().unwrap_or_default();
            if let Some(frame) = frame_of(&self.derived(), &at)? {
                self.pending.add(frame, erasure.clone());
            }
        }
        Ok(())
    }

    /// Carries out what was erased so far.
    pub(crate) fn compact(&self, settle: usize) -> Result<Compacted, StoreError> {
        let renew = self.renew.as_ref().ok_or(StoreError::NotRenewable)?;
        let _one_at_a_time = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        let (upto, due) = self.ordered_so_far()?;
        if due.is_empty() {
            return Ok(Compacted::default());
        }
        renew.orders.note(upto, &due)?;
        let segments = self.journal.rewrite(&due)?;
        self.frames.forget();
        let fresh = Derived::new((renew.fresh)()?, self.derived().own_hub());
        let old = match self.replace(fresh, settle) {
            Ok(old) => old,
            Err(error) => {
                // It was begun and is of no use: what is in use has to have room.
                (renew.abandon)()?;
                return Err(error);
            }
        };
        let mut waited = Duration::ZERO;
        while Arc::strong_count(&old) > 1 && waited < READERS_WAIT {
            let moment = Duration::from_millis(5);
            std::thread::sleep(moment);
            waited += moment;
        }
        drop(old);
        (renew.retire)()?;
        renew.orders.set_done(upto)?;
        self.pending.carried_out(&due);
        let statements = due.values().map(|erasures| erasures.len() as u64).sum();
        Ok(Compacted { statements, segments })
    }
}

/// The frame that holds a statement.
fn frame_of<S: State>(derived: &Derived<S>, at: &Locator) -> Result<Option<u64>, StoreError> {
    let prefix = match at.peer.is_empty() {
        true => Key::new(Kind::OwnFrame),
        false => Key::new(Kind::HeardFrame).text(&at.peer).number(at.generation),
    };
    let past = prefix.clone().number(at.number).byte(0).finish();
    let row = derived.last_before(&prefix.finish(), &past)?;
    Ok(row.and_then(|(_, value)| last_number(&value)))
}
