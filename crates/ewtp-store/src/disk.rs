//! The seam under the journal: files of a directory, as few calls as the journal needs. Tests and the simulation put a
//! disk here that loses what was not synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A directory of segment files.
pub trait Disk: Send + Sync + 'static {
    /// Names of all segments, sorted.
    ///
    /// # Errors
    /// Reading the directory.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a segment with room for `bytes`, and makes its name durable.
    ///
    /// # Errors
    /// Also if it exists.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn SegmentFile>>;

    /// Opens a segment for reading and writing.
    ///
    /// # Errors
    /// Opening.
    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// Puts a segment with this content in the place of one, durably: after a crash it is the old one or the new one.
    ///
    /// # Errors
    /// Writing; the old one stands then.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<Box<dyn SegmentFile>>;
}

/// One segment file.
pub trait SegmentFile: Send + Sync {
    /// Reads exactly `into.len()` bytes at `offset`; past the end is `UnexpectedEof`.
    ///
    /// # Errors
    /// Reading.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Writing; what reached the file is unknown then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// `fdatasync`: the commit point.
    ///
    /// # Errors
    /// A failed sync is never retried on the same file: what it dropped may look clean afterwards.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file at `bytes`, then makes room up to `room` zeros.
    ///
    /// # Errors
    /// Cutting.
    fn cut(&self, bytes: u64, room: u64) -> io::Result<()>;

    /// Length in bytes, room included.
    ///
    /// # Errors
    /// Asking.
    fn size(&self) -> io::Result<u64>;
}

/// Files of the operating system.
pub struct RealDisk {
    dir: PathBuf,
}

impl RealDisk {
    /// Files in `dir`, which is made if absent.
    ///
    /// # Errors
    /// Making it.
    pub fn new(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        // The directory's own name has to be durable before anything in it is.
        if let Some(parent) = dir.parent().filter(|p| p.exists()) {
            File::open(parent)?.sync_all()?;
        }
        // What was to take a segment's place and did not.
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == NEXT) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Self { dir: dir.to_owned() })
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// Room ahead saves the file system from growing the file at each sync (30–50% here); where it isn't offered, the file
/// grows.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string()
                && name.ends_with(".seg")
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn SegmentFile>> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let made =
            reserve(&file, bytes).and_then(|()| file.sync_all()).and_then(|()| self.sync_dir());
        if let Err(error) = made {
            // An empty segment under that number would hide the frames that go on in the one before it.
            std::fs::remove_file(path)?;
            return Err(error);
        }
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        let next = self.dir.join(name).with_extension(NEXT);
        let mut file = File::create(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&next, self.dir.join(name))?;
        self.sync_dir()?;
        self.open(name)
    }
}

/// Extension of a segment that is to take another's place.
const NEXT: &str = "next";

struct RealFile(File);

impl SegmentFile for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&self, bytes: u64, room: u64) -> io::Result<()> {
        self.0.set_len(bytes)?;
        reserve(&self.0, room.max(bytes))?;
        self.0.sync_all()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
