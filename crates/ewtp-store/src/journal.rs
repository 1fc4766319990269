//! The journal: frames in segments, appended and synced; a torn last frame is cut off on start.
//!
//! ```text
//! frame = "EWF1" || u64 sequence || u32 meta length || u32 blob length || u32 CRC-32 of all that and meta || meta || blobs
//! ```
//!
//! The checksum covers the metadata, in which each blob has a checksum of its own, so that erasing a blob rewrites a
//! segment and moves no number. Segments are named by their first sequence. Nothing outside refers to offsets.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ewtp_log::Hash;
use ewtp_proto::Message as _;
use ewtp_proto::store::v1::{BlobRef, Erasure, Frame};

use crate::disk::{Disk, SegmentFile};
use crate::forgetting::{own_entry, redact};
use crate::planted::{self, Bug};

const MAGIC: &[u8; 4] = b"EWF1";
const HEADER_BYTES: usize = 24;
/// Longest metadata or blob area of one frame, bytes; bounds what a damaged length can make us read.
pub const AREA_BYTES_MAX: u32 = 1 << 30;
/// A frame that is on its way is waited for this long.
const COMMIT_WAIT: Duration = Duration::from_secs(30);
/// Room of a segment, bytes.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Why the journal can't go on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk said no.
    #[error(
        "journal {segment}: {source}; the hub stops, and reads what is true when it starts again"
    )]
    Io {
        /// Segment.
        segment: String,
        /// Why.
        source: io::Error,
    },
    /// A frame before the last is damaged: more than a crash can do.
    #[error(
        "journal {segment}: the frame at byte {offset} is damaged and later frames follow it; restore the file from a copy"
    )]
    Corrupt {
        /// Segment.
        segment: String,
        /// Where.
        offset: u64,
    },
    /// Frames are missing.
    #[error("journal: frame {expected} is missing; {segment} begins with {got}")]
    Gap {
        /// Segment.
        segment: String,
        /// Due.
        expected: u64,
        /// Found.
        got: u64,
    },
    /// A blob's bytes don't match its checksum.
    #[error("journal: frame {sequence}: a blob is damaged")]
    Blob {
        /// Frame.
        sequence: u64,
    },
    /// An earlier write or sync failed; nothing is tried again on that file.
    #[error("the journal failed before; the hub has to start again")]
    Poisoned,
    /// A frame that could not be read back; nothing was written.
    #[error("journal: a frame of {bytes} bytes is larger than can be read back")]
    TooLarge {
        /// Size of its blobs or its metadata.
        bytes: usize,
    },
    /// An empty segment behind one that goes on past its number: it would hide acknowledged frames.
    #[error(
        "journal {segment} is empty, and the segment before it holds frame {holds} already; remove the empty one and start again"
    )]
    Stray {
        /// Segment.
        segment: String,
        /// Last frame of the one before.
        holds: u64,
    },
    /// No such frame.
    #[error("journal: there is no frame {0}")]
    Absent(u64),
}

/// A frame with its blob area.
#[derive(Clone, Debug)]
pub struct ReadFrame {
    /// Metadata.
    pub frame: Frame,
    /// Blobs, one after the other.
    pub blobs: Vec<u8>,
}

impl ReadFrame {
    /// The blob that a reference names.
    #[must_use]
    pub fn blob(&self, at: &BlobRef) -> Option<&[u8]> {
        self.blobs.get(at.offset as usize..(at.offset as usize).checked_add(at.length as usize)?)
    }

    /// What the frame appended to the own log, in order.
    #[must_use]
    pub fn log_entries(&self) -> Vec<Hash> {
        let Some(head) = &self.frame.head else { return Vec::new() };
        let hash = |bytes: &Vec<u8>| Hash::from_slice(bytes).unwrap_or(Hash::EMPTY_ROOT);
        let raw = self.frame.raw_entries.iter().map(hash);
        let own = self.frame.own.iter().map(own_entry);
        raw.chain(own).chain([hash(&head.table_entry)]).collect()
    }

    fn blobs_hold(&self) -> bool {
        let own = self.frame.own.iter().flat_map(|s| &s.parts);
        let heard = self.frame.heard.iter().flat_map(|p| &p.statements).flat_map(|s| &s.parts);
        own.chain(heard).all(|b| self.blob(b).is_some_and(|bytes| crc32fast::hash(bytes) == b.crc))
    }
}

struct Segment {
    name: String,
    first: u64,
    file: Arc<dyn SegmentFile>,
    /// Offset of each frame, found when the segment is first read.
    offsets: Vec<u64>,
    scanned: bool,
}

struct Inner {
    segments: BTreeMap<u64, Segment>,
    next: u64,
    /// Where the next frame goes in the last segment.
    end: u64,
    /// Set while a frame is on its way and for ever if it fails: nothing is tried again on that file.
    poisoned: bool,
}

/// A frame that is written and not yet durable.
pub struct Written {
    file: Arc<dyn SegmentFile>,
    segment: String,
    sequence: u64,
    offset: u64,
    bytes: u64,
}

/// An append-only sequence of frames.
pub struct Journal {
    disk: Arc<dyn Disk>,
    inner: Mutex<Inner>,
    segment_bytes: u64,
}

fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

enum Scan {
    Frame { bytes: u64 },
    End,
    Damaged,
}

impl Journal {
    /// Opens a journal: only the last segment is read, its torn tail is cut off.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(disk: Arc<dyn Disk>, segment_bytes: u64) -> Result<Self, JournalError> {
        let io = |segment: &str| {
            let segment = segment.to_owned();
            move |source| JournalError::Io { segment, source }
        };
        let mut segments = BTreeMap::new();
        for name in disk.list().map_err(io("directory"))? {
            let Some(first) = name.strip_suffix(".seg").and_then(|n| n.parse().ok()) else {
                continue;
            };
            let file: Arc<dyn SegmentFile> = Arc::from(disk.open(&name).map_err(io(&name))?);
            segments
                .insert(first, Segment { name, first, file, offsets: Vec::new(), scanned: false });
        }
        refuse_stray(&mut segments)?;
        let mut inner = Inner { segments, next: 0, end: 0, poisoned: false };
        if let Some(last) = inner.segments.values_mut().next_back() {
            let mut end = scan_segment(last)?;
            let mut cut = damaged_tail(last, end)?;
            if planted::is(Bug::ForgetLastFrame) {
                end = last.offsets.pop().unwrap_or(end);
                cut = true;
            }
            if cut {
                last.file.cut(end, segment_bytes).map_err(io(&last.name))?;
            }
            // What is in the page cache alone must not be shown: the last frame may have been written and never synced, or its
            // sync may have failed and its pages look clean. Writing it again makes them dirty, and syncing makes them durable.
            if let Some(at) = last.offsets.last().copied() {
                let mut bytes = vec![0; usize::try_from(end - at).unwrap_or(0)];
                last.file.read_at(&mut bytes, at).map_err(io(&last.name))?;
                last.file.write_at(&bytes, at).map_err(io(&last.name))?;
            }
            last.file.sync().map_err(io(&last.name))?;
            inner.next = last.first + last.offsets.len() as u64;
            inner.end = end;
        }
        Ok(Self { disk, inner: Mutex::new(inner), segment_bytes })
    }

    /// Sequence of the next frame.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.lock().next
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while the lock was held leaves offsets that were not yet added: harmless, the frame isn't there.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one frame and syncs it. When this returns, the frame is durable; when it fails, nothing is known, and
    /// every later call fails too.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn append(&self, frame: &Frame, blobs: &[u8]) -> Result<(), JournalError> {
        let written = self.write(frame, blobs)?;
        self.sync(written)
    }

    /// Writes one frame behind the last one; nobody sees it before [`Journal::sync`].
    ///
    /// # Errors
    /// [`JournalError`]; also if a frame is written already that waits for its sync.
    pub fn write(&self, frame: &Frame, blobs: &[u8]) -> Result<Written, JournalError> {
        let (sequence, end) = {
            let mut inner = self.lock();
            if std::mem::replace(&mut inner.poisoned, true) {
                return Err(JournalError::Poisoned);
            }
            (inner.next, inner.end)
        };
        let bytes = blobs.len().max(frame.encoded_len());
        if bytes > AREA_BYTES_MAX as usize {
            self.lock().poisoned = false;
            return Err(JournalError::TooLarge { bytes });
        }
        let head = encode(sequence, frame, blobs.len());
        let bytes = (head.len() + blobs.len()) as u64;
        let (file, segment, offset) = self.place(sequence, end, bytes)?;
        // Two writes and no copy: until the sync it is one torn frame or another.
        file.write_at(&head, offset)
            .and_then(|()| file.write_at(blobs, offset + head.len() as u64))
            .map_err(|source| JournalError::Io { segment: segment.clone(), source })?;
        Ok(Written { file, segment, sequence, offset, bytes })
    }

    /// Where a frame goes: behind the last one, or into a new segment.
    fn place(
        &self,
        sequence: u64,
        end: u64,
        bytes: u64,
    ) -> Result<(Arc<dyn SegmentFile>, String, u64), JournalError> {
        {
            let inner = self.lock();
            let fits = end == 0 || end + bytes <= self.segment_bytes;
            if let Some(last) = inner.segments.values().next_back().filter(|_| fits) {
                return Ok((Arc::clone(&last.file), last.name.clone(), end));
            }
        }
        let name = segment_name(sequence);
        let file: Arc<dyn SegmentFile> = self
            .disk
            .create(&name, self.segment_bytes.max(bytes))
            .map(Arc::from)
            .map_err(|source| JournalError::Io { segment: name.clone(), source })?;
        let segment = Segment {
            name: name.clone(),
            first: sequence,
            file: Arc::clone(&file),
            offsets: Vec::new(),
            scanned: true,
        };
        self.lock().segments.insert(sequence, segment);
        Ok((file, name, 0))
    }

    /// Makes a written frame durable: the commit point. From here on it can be read.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal takes nothing more then.
    pub fn sync(&self, written: Written) -> Result<(), JournalError> {
        // Readers go on meanwhile: no lock is held.
        written
            .file
            .sync()
            .map_err(|source| JournalError::Io { segment: written.segment.clone(), source })?;
        self.show(&written);
        Ok(())
    }

    pub(crate) fn show(&self, written: &Written) {
        let mut inner = self.lock();
        if let Some(segment) = inner.segments.values_mut().next_back() {
            segment.offsets.push(written.offset);
        }
        inner.end = written.offset + written.bytes;
        inner.next = written.sequence + 1;
        inner.poisoned = false;
    }

    /// Reads one frame and checks all its checksums.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(&self, sequence: u64) -> Result<ReadFrame, JournalError> {
        let (file, offset, name) = {
            let mut inner = self.lock();
            let next = inner.next;
            let found = inner.segments.range_mut(..=sequence).next_back();
            let Some((_, segment)) = found.filter(|_| sequence < next) else {
                return Err(JournalError::Absent(sequence));
            };
            if !segment.scanned {
                scan_segment(segment)?;
            }
            let at = usize::try_from(sequence - segment.first).unwrap_or(usize::MAX);
            let Some(offset) = segment.offsets.get(at) else {
                return Err(JournalError::Absent(sequence));
            };
            (Arc::clone(&segment.file), *offset, segment.name.clone())
        };
        let corrupt = || JournalError::Corrupt { segment: name.clone(), offset };
        let (read, frame) = read_frame(&*file, offset)
            .map_err(|source| JournalError::Io { segment: name.clone(), source })?
            .ok_or_else(corrupt)?;
        if read != sequence {
            return Err(corrupt());
        }
        if !frame.blobs_hold() {
            return Err(JournalError::Blob { sequence });
        }
        Ok(frame)
    }
}

impl Journal {
    /// Writes the segments that hold what is erased anew, without it: each of them as a whole or not at all. Frames keep their
    /// numbers. Gives how many were written; frames that are not there are passed over.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn rewrite(&self, due: &BTreeMap<u64, Vec<Erasure>>) -> Result<u64, JournalError> {
        self.roll(due)?;
        let firsts: Vec<u64> = self.lock().segments.keys().copied().collect();
        let mut written = 0;
        for (at, first) in firsts.iter().enumerate() {
            let end = firsts.get(at + 1).copied().unwrap_or_else(|| self.next_sequence());
            if due.range(*first..end).next().is_some() {
                self.rewrite_segment(*first, end, due)?;
                written += 1;
            }
        }
        Ok(written)
    }

    /// Lets the next frame begin a segment, if the last one has to be written anew.
    fn roll(&self, due: &BTreeMap<u64, Vec<Erasure>>) -> Result<(), JournalError> {
        let started = Instant::now();
        loop {
            let mut inner = self.lock();
            let next = inner.next;
            let Some(first) = inner.segments.keys().next_back().copied() else { return Ok(()) };
            if first == next || due.range(first..next).next().is_none() {
                return Ok(());
            }
            if inner.poisoned {
                // A frame is on its way into that segment, or one failed and the hub is about to stop.
                drop(inner);
                if started.elapsed() > COMMIT_WAIT {
                    return Err(JournalError::Poisoned);
                }
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let name = segment_name(next);
            let file = self.disk.create(&name, self.segment_bytes);
            let file: Arc<dyn SegmentFile> = Arc::from(
                file.map_err(|source| JournalError::Io { segment: name.clone(), source })?,
            );
            let offsets = Vec::new();
            inner
                .segments
                .insert(next, Segment { name, first: next, file, offsets, scanned: true });
            inner.end = 0;
            return Ok(());
        }
    }

    fn rewrite_segment(
        &self,
        first: u64,
        end: u64,
        due: &BTreeMap<u64, Vec<Erasure>>,
    ) -> Result<(), JournalError> {
        let (mut content, mut offsets) = (Vec::new(), Vec::new());
        for sequence in first..end {
            let mut read = self.read(sequence)?;
            if let Some(erasures) = due.get(&sequence) {
                read = redact(&read, erasures);
            }
            offsets.push(content.len() as u64);
            content.extend_from_slice(&encode(sequence, &read.frame, read.blobs.len()));
            content.extend_from_slice(&read.blobs);
        }
        let name = segment_name(first);
        let file = self.disk.replace(&name, &content);
        let file = file.map_err(|source| JournalError::Io { segment: name.clone(), source })?;
        let segment = Segment { name, first, file: Arc::from(file), offsets, scanned: true };
        self.lock().segments.insert(first, segment);
        Ok(())
    }
}

/// A frame up to its blobs.
fn encode(sequence: u64, frame: &Frame, blob_len: usize) -> Vec<u8> {
    let meta_len = frame.encoded_len();
    let mut out = Vec::with_capacity(HEADER_BYTES + meta_len);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&(meta_len as u32).to_be_bytes());
    out.extend_from_slice(&(blob_len as u32).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    frame.encode_raw(&mut out);
    let crc = checksum(&out[..HEADER_BYTES - 4], &out[HEADER_BYTES..]);
    out[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    out
}

fn checksum(head: &[u8], meta: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(meta);
    hasher.finalize()
}

struct FrameHead {
    sequence: u64,
    meta_len: u32,
    blob_len: u32,
    crc: u32,
    raw: [u8; HEADER_BYTES],
}

fn read_head(file: &dyn SegmentFile, offset: u64) -> io::Result<Option<FrameHead>> {
    let mut raw = [0; HEADER_BYTES];
    match file.read_at(&mut raw, offset) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let word = |at: usize| u32::from_be_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    let head = FrameHead {
        sequence: u64::from(word(4)) << 32 | u64::from(word(8)),
        meta_len: word(12),
        blob_len: word(16),
        crc: word(20),
        raw,
    };
    let sane = raw.starts_with(MAGIC)
        && head.meta_len <= AREA_BYTES_MAX
        && head.blob_len <= AREA_BYTES_MAX;
    Ok(sane.then_some(head))
}

/// The frame at an offset if all its metadata is there and holds; blobs are read but not checked.
fn read_frame(file: &dyn SegmentFile, offset: u64) -> io::Result<Option<(u64, ReadFrame)>> {
    let Some(head) = read_head(file, offset)? else { return Ok(None) };
    if offset + HEADER_BYTES as u64 + u64::from(head.meta_len) + u64::from(head.blob_len)
        > file.size()?
    {
        return Ok(None);
    }
    let mut meta = vec![0; head.meta_len as usize];
    let mut blobs = vec![0; head.blob_len as usize];
    file.read_at(&mut meta, offset + HEADER_BYTES as u64)?;
    if checksum(&head.raw[..20], &meta) != head.crc {
        return Ok(None);
    }
    file.read_at(&mut blobs, offset + HEADER_BYTES as u64 + u64::from(head.meta_len))?;
    Ok(Frame::decode(meta.as_slice()).ok().map(|frame| (head.sequence, ReadFrame { frame, blobs })))
}

fn scan_at(file: &dyn SegmentFile, offset: u64, sequence: u64, is_last: bool) -> io::Result<Scan> {
    let Some(head) = read_head(file, offset)? else {
        let mut probe = [0; HEADER_BYTES];
        let empty = match file.read_at(&mut probe, offset) {
            Ok(()) => probe == [0; HEADER_BYTES],
            Err(_) => offset >= file.size()?,
        };
        return Ok(if empty { Scan::End } else { Scan::Damaged });
    };
    let bytes = HEADER_BYTES as u64 + u64::from(head.meta_len) + u64::from(head.blob_len);
    let whole = match is_last {
        // Frames before the last one were synced before it was written; only their place matters here.
        false => head.sequence == sequence,
        true => {
            head.sequence == sequence
                && read_frame(file, offset)?.is_some_and(|(_, frame)| frame.blobs_hold())
        }
    };
    Ok(if whole { Scan::Frame { bytes } } else { Scan::Damaged })
}

/// Finds the frames of a segment; gives the end of the last good one.
fn scan_segment(segment: &mut Segment) -> Result<u64, JournalError> {
    let name = segment.name.clone();
    let io = |source| JournalError::Io { segment: name.clone(), source };
    segment.offsets.clear();
    let mut at = 0;
    loop {
        let sequence = segment.first + segment.offsets.len() as u64;
        match scan_at(&*segment.file, at, sequence, false).map_err(io)? {
            Scan::Frame { bytes }
                if next_is_frame(segment, at + bytes, sequence + 1).map_err(io)? =>
            {
                segment.offsets.push(at);
                at += bytes;
            }
            // The last one that can be seen: it may be torn, so it is read whole.
            Scan::Frame { bytes } => {
                match scan_at(&*segment.file, at, sequence, true).map_err(io)? {
                    Scan::Frame { .. } => {
                        segment.offsets.push(at);
                        at += bytes;
                        break;
                    }
                    Scan::End | Scan::Damaged => break,
                }
            }
            Scan::End | Scan::Damaged => break,
        }
    }
    segment.scanned = true;
    Ok(at)
}

fn next_is_frame(segment: &Segment, at: u64, sequence: u64) -> io::Result<bool> {
    Ok(matches!(scan_at(&*segment.file, at, sequence, false)?, Scan::Frame { .. }))
}

/// An empty last segment is what begins next; where the one before it goes on past its number, something went wrong.
fn refuse_stray(segments: &mut BTreeMap<u64, Segment>) -> Result<(), JournalError> {
    let mut newest = segments.values_mut().rev();
    let (Some(last), Some(before)) = (newest.next(), newest.next()) else { return Ok(()) };
    scan_segment(last)?;
    if !last.offsets.is_empty() {
        return Ok(());
    }
    scan_segment(before)?;
    let next = before.first + before.offsets.len() as u64;
    match next > last.first {
        true => Err(JournalError::Stray { segment: last.name.clone(), holds: next - 1 }),
        false => Ok(()),
    }
}

/// Whether there is a torn tail to cut. Good frames behind a damaged one mean more than a crash, and nothing is cut.
fn damaged_tail(segment: &Segment, end: u64) -> Result<bool, JournalError> {
    let io = |source| JournalError::Io { segment: segment.name.clone(), source };
    let len = segment.file.size().map_err(io)?;
    let mut tail = vec![0; usize::try_from(len.saturating_sub(end)).unwrap_or(0)];
    if !tail.is_empty() {
        segment.file.read_at(&mut tail, end).map_err(io)?;
    }
    let due = segment.first + segment.offsets.len() as u64;
    // A torn frame says itself how far it would have reached: what looks like a frame inside it is somebody's text.
    let own = read_head(&*segment.file, end).map_err(io)?.filter(|h| h.sequence == due);
    let reach = own.map_or(1, |h| HEADER_BYTES + h.meta_len as usize + h.blob_len as usize);
    for at in
        (reach..tail.len().saturating_sub(HEADER_BYTES)).filter(|at| tail[*at..].starts_with(MAGIC))
    {
        let later = read_frame(&*segment.file, end + at as u64).map_err(io)?;
        if later.is_some_and(|(sequence, _)| sequence > due) {
            return Err(JournalError::Corrupt { segment: segment.name.clone(), offset: end });
        }
    }
    Ok(tail.iter().any(|b| *b != 0))
}
