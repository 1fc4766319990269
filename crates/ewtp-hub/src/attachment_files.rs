//! Attachments as files beside the log, named by their digests. Nothing in them is ever parsed.
//!
//! An upload grows a file `<digest>.part` and is renamed once its digest is right: a file without that ending is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ewtp_log::Hash;
use ewtp_log::statement::ATTACHMENT_PREFIX;
use ewtp_proto::v1;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// Bytes of one message.
pub const CHUNK_BYTES: usize = 64 << 10;
/// An upload that nobody went on with for so long is dropped at the next start, seconds.
const ABANDONED_S: u64 = 7 * 86_400;

/// Why bytes were not taken or given.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// The chunk is not the next one.
    #[error("{held} bytes are held; go on from there")]
    Offset {
        /// Bytes held.
        held: u64,
    },
    /// More bytes than were announced, or a chunk too large.
    #[error("more bytes than announced, or more than 64 KiB in a chunk")]
    TooMuch,
    /// What came is something else.
    #[error(
        "the bytes have another digest; what was held is dropped: upload it again from the beginning"
    )]
    Digest,
    /// Somebody is at it.
    #[error("this attachment is being uploaded by another call; try again in a moment")]
    Busy,
    /// The account's day is used up.
    #[error("the account's {mib} MiB of attachments of this day (UTC) are used up")]
    Daily {
        /// Limit.
        mib: u64,
    },
    /// Files.
    #[error("attachment {name}: {source}")]
    Io {
        /// File.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}

/// How much of an attachment is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Bytes.
    pub bytes: u64,
    /// All of it, with the right digest.
    pub complete: bool,
}

/// The files.
pub struct AttachmentFiles {
    dir: PathBuf,
    busy: Mutex<BTreeSet<[u8; 32]>>,
    /// Bytes that each account uploaded on a day.
    used: Mutex<BTreeMap<String, (u64, u64)>>,
    daily_bytes: u64,
}

/// An attachment that is being written, by one call alone.
pub struct Writing<'a> {
    files: &'a AttachmentFiles,
    key: [u8; 32],
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.files.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn name(digest: &[u8; 32]) -> String {
    Hash(*digest).to_hex()
}

impl AttachmentFiles {
    /// Files in a directory, which is made if need be; each account may upload so many MiB a day.
    #[must_use]
    pub fn new(dir: PathBuf, daily_mib: u64) -> Self {
        let daily_bytes = daily_mib.saturating_mul(1 << 20);
        Self { dir, busy: Mutex::default(), used: Mutex::default(), daily_bytes }
    }

    fn whole(&self, digest: &[u8; 32]) -> PathBuf {
        self.dir.join(name(digest))
    }

    fn part(&self, digest: &[u8; 32]) -> PathBuf {
        self.dir.join(format!("{}.part", name(digest)))
    }

    fn io(digest: &[u8; 32]) -> impl Fn(std::io::Error) -> AttachmentError {
        let name = name(digest);
        move |source| AttachmentError::Io { name: name.clone(), source }
    }

    /// How much is held.
    pub async fn held(&self, digest: &[u8; 32]) -> Held {
        if let Ok(whole) = tokio::fs::metadata(self.whole(digest)).await {
            return Held { bytes: whole.len(), complete: true };
        }
        let part = tokio::fs::metadata(self.part(digest)).await;
        Held { bytes: part.map_or(0, |p| p.len()), complete: false }
    }

    /// Takes an attachment for writing, until what is returned is dropped.
    ///
    /// # Errors
    /// [`AttachmentError::Busy`].
    pub fn write(&self, key: [u8; 32]) -> Result<Writing<'_>, AttachmentError> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.insert(key) { Ok(Writing { files: self, key }) } else { Err(AttachmentError::Busy) }
    }

    /// Counts bytes that an account uploads.
    ///
    /// # Errors
    /// [`AttachmentError::Daily`].
    pub fn take(&self, account: &str, now_ms: u64, bytes: usize) -> Result<(), AttachmentError> {
        let day = now_ms / 86_400_000;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, so_far) = used.entry(account.to_owned()).or_insert((day, 0));
        if *of != day {
            (*of, *so_far) = (day, 0);
        }
        if *so_far + bytes as u64 > self.daily_bytes {
            return Err(AttachmentError::Daily { mib: self.daily_bytes >> 20 });
        }
        *so_far += bytes as u64;
        Ok(())
    }

    /// At most one chunk of a whole attachment from an offset; empty at its end.
    ///
    /// # Errors
    /// Reading.
    pub async fn read(&self, digest: &[u8; 32], offset: u64) -> Result<Vec<u8>, AttachmentError> {
        let io = Self::io(digest);
        let mut file = tokio::fs::File::open(self.whole(digest)).await.map_err(&io)?;
        file.seek(SeekFrom::Start(offset)).await.map_err(&io)?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        file.take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await.map_err(&io)?;
        Ok(chunk)
    }

    /// Erases an attachment, whole or begun.
    ///
    /// # Errors
    /// Removing.
    pub async fn erase(&self, digest: &[u8; 32]) -> Result<(), AttachmentError> {
        for path in [self.whole(digest), self.part(digest)] {
            match tokio::fs::remove_file(&path).await {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Self::io(digest)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Drops uploads that were abandoned; at start, before anybody is served.
    ///
    /// # Errors
    /// Reading the directory.
    pub fn drop_abandoned(&self) -> Result<(), std::io::Error> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "part") && age.as_secs() > ABANDONED_S {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Writing<'_> {
    /// Adds the next chunk.
    ///
    /// # Errors
    /// [`AttachmentError`].
    pub async fn append(
        &self,
        size: u64,
        offset: u64,
        chunk: &[u8],
    ) -> Result<(), AttachmentError> {
        let (io, files) = (AttachmentFiles::io(&self.key), self.files);
        let held = files.held(&self.key).await;
        if held.complete {
            return Ok(()); // said again after it was done
        }
        if offset != held.bytes {
            return Err(AttachmentError::Offset { held: held.bytes });
        }
        if chunk.len() > CHUNK_BYTES || offset + chunk.len() as u64 > size {
            return Err(AttachmentError::TooMuch);
        }
        tokio::fs::create_dir_all(&files.dir).await.map_err(&io)?;
        let open = tokio::fs::OpenOptions::new().create(true).append(true).to_owned();
        let mut file = open.open(files.part(&self.key)).await.map_err(&io)?;
        file.write_all(chunk).await.map_err(&io)?;
        file.flush().await.map_err(&io)
    }

    /// Whether it is whole; what has all its bytes is checked, synced and kept.
    ///
    /// # Errors
    /// [`AttachmentError::Digest`]: what was held is gone then.
    pub async fn finish(
        &self,
        reference: &v1::AttachmentReference,
    ) -> Result<Held, AttachmentError> {
        let (io, files) = (AttachmentFiles::io(&self.key), self.files);
        let held = files.held(&self.key).await;
        if held.complete || held.bytes < reference.size {
            return Ok(held);
        }
        let path = files.part(&self.key);
        let mut file = tokio::fs::File::open(&path).await.map_err(&io)?;
        let mut hash = Sha256::new();
        hash.update(ATTACHMENT_PREFIX);
        hash.update(&reference.salt);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut chunk).await.map_err(&io)?;
            if read == 0 {
                break;
            }
            hash.update(chunk.get(..read).unwrap_or_default());
        }
        if hash.finalize().as_slice() != self.key {
            tokio::fs::remove_file(&path).await.map_err(&io)?;
            return Err(AttachmentError::Digest);
        }
        file.sync_all().await.map_err(&io)?;
        tokio::fs::rename(&path, files.whole(&self.key)).await.map_err(&io)?;
        let dir = tokio::fs::File::open(&files.dir).await.map_err(&io)?;
        dir.sync_all().await.map_err(&io)?;
        Ok(Held { complete: true, ..held })
    }
}
