//! The disk under a journal: what a reader sees, what a power cut would leave, and the writes between the two.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ewtp_store::{Disk, SegmentFile};

use super::chance::Chance;
use super::fuse::Fuse;

#[derive(Clone, Default)]
struct Content {
    /// As the page cache shows it.
    seen: Vec<u8>,
    /// As the platter holds it.
    durable: Vec<u8>,
    /// Writes since the last sync.
    dirty: Vec<(usize, Vec<u8>)>,
    size: u64,
}

fn put(into: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if into.len() < at + bytes.len() {
        into.resize(at + bytes.len(), 0);
    }
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Content {
    /// Of the unsynced writes some prefix reaches the platter, or some of them whatever their order.
    fn lose(&mut self, chance: &mut Chance) {
        if chance.happens(250) {
            let writes: Vec<_> = self.dirty.drain(..).filter(|_| chance.happens(500)).collect();
            writes.iter().for_each(|(at, bytes)| put(&mut self.durable, *at, bytes));
            return;
        }
        let total: usize = self.dirty.iter().map(|(_, b)| b.len()).sum();
        let mut kept = match chance.below(4) {
            0 => 0,
            1 => total,
            _ => chance.index(total + 1),
        };
        for (at, bytes) in self.dirty.drain(..) {
            let n = kept.min(bytes.len());
            put(&mut self.durable, at, &bytes[..n]);
            kept -= n;
        }
    }
}

/// The files of one hub, over all its incarnations.
#[derive(Clone, Default)]
pub(crate) struct Platter {
    files: BTreeMap<String, Content>,
    /// Counts what changed durably, so that a checker knows when to look.
    pub(crate) changes: u64,
    /// Syncs until one fails; 0 while none is due.
    pub(crate) fails_in: u64,
    pub(crate) chance: Option<Chance>,
}

impl Platter {
    /// Power goes: the page cache is gone, and of what was not synced some prefix is there.
    pub(crate) fn cut_power(&mut self, chance: &mut Chance) {
        for content in self.files.values_mut() {
            content.lose(chance);
            content.seen.clone_from(&content.durable);
        }
        self.changes += 1;
    }

    /// Durable bytes of each segment, in order.
    pub(crate) fn durable(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, c)| (name.as_str(), c.durable.as_slice()))
    }
}

/// The disk as one incarnation of a hub sees it.
#[derive(Clone)]
pub(crate) struct SimDisk {
    pub(crate) platter: Arc<Mutex<Platter>>,
    pub(crate) fuse: Arc<Fuse>,
}

impl SimDisk {
    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> io::Error {
    io::Error::other("the machine has crashed")
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn SegmentFile>> {
        if self.fuse.burn() {
            return Err(gone());
        }
        let content = Content { size: bytes, ..Content::default() };
        let mut platter = self.lock();
        if platter.files.insert(name.to_owned(), content).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        drop(platter);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(SimFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        if self.fuse.burn() {
            return Err(gone());
        }
        let (seen, durable) = (content.to_vec(), content.to_vec());
        let content = Content { size: content.len() as u64, seen, durable, ..Content::default() };
        let mut platter = self.lock();
        platter.files.insert(name.to_owned(), content);
        platter.changes += 1;
        drop(platter);
        self.open(name)
    }
}

struct SimFile {
    disk: SimDisk,
    name: String,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut Content) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.disk.lock();
        let content = platter.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        work(content)
    }
}

impl SegmentFile for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|content| {
            if offset + into.len() as u64 > content.size.max(content.seen.len() as u64) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into.fill(0);
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            if let Some(there) = content.seen.get(at..) {
                let n = there.len().min(into.len());
                into[..n].copy_from_slice(&there[..n]);
            }
            Ok(())
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.disk.fuse.burn() {
            return Err(gone());
        }
        self.with(|content| {
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            put(&mut content.seen, at, bytes);
            content.size = content.size.max(content.seen.len() as u64);
            content.dirty.push((at, bytes.to_vec()));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        if self.disk.fuse.burn() {
            return Err(gone());
        }
        let mut platter = self.disk.lock();
        let fails = platter.fails_in == 1;
        platter.fails_in = platter.fails_in.saturating_sub(1);
        let mut chance = platter.chance.clone().unwrap_or_else(|| Chance::new(0));
        let content = platter.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        if fails {
            // Some of it was written, none of it is known, and the page cache calls it clean from now on.
            content.lose(&mut chance);
        } else {
            for (at, bytes) in content.dirty.drain(..) {
                put(&mut content.durable, at, &bytes);
            }
        }
        platter.chance = Some(chance);
        platter.changes += 1;
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    fn cut(&self, bytes: u64, room: u64) -> io::Result<()> {
        if self.disk.fuse.burn() {
            return Err(gone());
        }
        self.with(|content| {
            content.seen.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
            content.size = room.max(bytes);
            content.durable.clone_from(&content.seen);
            content.dirty.clear();
            Ok(())
        })?;
        self.disk.lock().changes += 1;
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|content| Ok(content.size.max(content.seen.len() as u64)))
    }
}
