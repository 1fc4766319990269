//! The journal on a disk that loses what was not synced, and the state beside it.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod forgetting;
mod packed;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use ewtp_proto::store::v1::{BlobRef, Frame, OwnStatement};
use ewtp_store::journal::JournalError;
use ewtp_store::{Disk, Journal, SegmentFile};
use proptest::prelude::*;

/// What a file holds, and what of it a power cut would leave.
#[derive(Clone, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Clone, Default)]
struct LossyDisk {
    files: Arc<Mutex<BTreeMap<String, Content>>>,
    /// Syncs that succeed before one fails.
    syncs_left: Arc<Mutex<Option<u32>>>,
}

impl LossyDisk {
    /// A power cut: of what was written after the last sync, the first `kept` bytes of each file's change survive.
    fn power_cut(&self, kept: usize) -> Self {
        let mut files = self.files.lock().unwrap().clone();
        for content in files.values_mut() {
            let changed = content.written.iter().zip(&content.synced).position(|(a, b)| a != b);
            let mut left = content.synced.clone();
            if let Some(at) = changed {
                let end = (at + kept).min(content.written.len());
                left[at..end].copy_from_slice(&content.written[at..end]);
            }
            *content = Content { written: left.clone(), synced: left };
        }
        Self { files: Arc::new(Mutex::new(files)), syncs_left: Arc::default() }
    }
}

struct LossyFile {
    disk: LossyDisk,
    name: String,
}

impl Disk for LossyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn SegmentFile>> {
        let room = vec![0; usize::try_from(bytes).unwrap()];
        let content = Content { written: room.clone(), synced: room };
        self.files.lock().unwrap().insert(name.to_owned(), content);
        self.open(name)
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(LossyFile { disk: self.clone(), name: name.to_owned() }))
    }
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        let content = Content { written: bytes.to_vec(), synced: bytes.to_vec() };
        self.files.lock().unwrap().insert(name.to_owned(), content);
        self.open(name)
    }
}

impl SegmentFile for LossyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let files = self.disk.files.lock().unwrap();
        let bytes = &files[&self.name].written;
        let at = usize::try_from(offset).unwrap();
        let from = bytes.get(at..at + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(from);
        Ok(())
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut files = self.disk.files.lock().unwrap();
        let content = files.get_mut(&self.name).unwrap();
        let at = usize::try_from(offset).unwrap();
        let end = at + bytes.len();
        if content.written.len() < end {
            content.written.resize(end, 0);
            content.synced.resize(end, 0);
        }
        content.written[at..end].copy_from_slice(bytes);
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        if let Some(left) = self.disk.syncs_left.lock().unwrap().as_mut() {
            *left = left.checked_sub(1).ok_or(io::Error::other("no space left on device"))?;
        }
        let mut files = self.disk.files.lock().unwrap();
        let content = files.get_mut(&self.name).unwrap();
        content.synced.clone_from(&content.written);
        Ok(())
    }
    fn cut(&self, bytes: u64, room: u64) -> io::Result<()> {
        let mut files = self.disk.files.lock().unwrap();
        let content = files.get_mut(&self.name).unwrap();
        content.written.truncate(usize::try_from(bytes).unwrap());
        content.written.resize(usize::try_from(room.max(bytes)).unwrap(), 0);
        content.synced.clone_from(&content.written);
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.files.lock().unwrap()[&self.name].written.len() as u64)
    }
}

const SEGMENT: u64 = 4096;

fn open(disk: &LossyDisk) -> Result<Journal, JournalError> {
    Journal::open(Arc::new(disk.clone()), SEGMENT)
}

/// A frame with one blob; zeros at its end, as padding has them.
fn frame(sequence: u64, size: usize) -> (Frame, Vec<u8>) {
    let mut blob = vec![0; size];
    blob[..8].copy_from_slice(&(sequence + 1).to_be_bytes());
    let part = BlobRef {
        name: "core".into(),
        offset: 0,
        length: size as u32,
        crc: crc32fast::hash(&blob),
    };
    let own = OwnStatement { index: sequence, parts: vec![part], ..Default::default() };
    (Frame { sequence, own: vec![own], ..Default::default() }, blob)
}

fn append(journal: &Journal, size: usize) -> Result<(), JournalError> {
    let (frame, blobs) = frame(journal.next_sequence(), size);
    journal.append(&frame, &blobs)
}

/// The first frame's `next_sequence` frames are all there and hold.
fn holds(journal: &Journal) -> bool {
    (0..journal.next_sequence()).all(|n| journal.read(n).is_ok_and(|f| f.frame.sequence == n))
}

proptest! {
    /// Whatever prefix of the unsynced bytes a power cut leaves: what was acknowledged is there, whole, and goes on.
    #[test]
    fn acknowledged_frames_survive_any_power_cut(sizes in prop::collection::vec(8usize..900, 1..20), last in 8usize..900, kept in 0usize..1200) {
        let disk = LossyDisk::default();
        let journal = open(&disk).unwrap();
        for size in &sizes {
            append(&journal, *size).unwrap();
        }
        *disk.syncs_left.lock().unwrap() = Some(0);
        prop_assert!(append(&journal, last).is_err(), "the sync fails: not acknowledged");
        let after = open(&disk.power_cut(kept)).unwrap();
        let acknowledged = sizes.len() as u64;
        prop_assert!(after.next_sequence() == acknowledged || after.next_sequence() == acknowledged + 1);
        prop_assert!(holds(&after));
        append(&after, 100).unwrap();
        prop_assert!(holds(&after));
    }
}

#[test]
fn what_a_start_shows_a_later_power_cut_does_not_take() {
    let disk = LossyDisk::default();
    let journal = open(&disk).unwrap();
    append(&journal, 100).unwrap();
    // Written, never synced, and the process ends: the next start finds it in the page cache.
    *disk.syncs_left.lock().unwrap() = Some(0);
    assert!(append(&journal, 100).is_err());
    *disk.syncs_left.lock().unwrap() = None;
    let shown = open(&disk).unwrap().next_sequence();
    assert_eq!(shown, 2);
    let after = open(&disk.power_cut(0)).unwrap();
    assert_eq!(after.next_sequence(), shown);
    assert!(holds(&after));
}

#[test]
fn a_text_that_looks_like_a_frame_does_not_keep_a_torn_tail_from_being_cut() {
    let disk = LossyDisk::default();
    let journal = open(&disk).unwrap();
    append(&journal, 100).unwrap();
    let mut fake = b"EWF1".to_vec();
    fake.extend(9_999u64.to_be_bytes());
    fake.extend([0; 8]);
    fake.extend(crc32fast::hash(&fake).to_be_bytes());
    let (mut frame, mut blobs) = frame(1, 400);
    blobs[100..100 + fake.len()].copy_from_slice(&fake);
    blobs[399] = 1; // the end of the frame, which the power cut takes
    frame.own[0].parts[0].crc = crc32fast::hash(&blobs);
    *disk.syncs_left.lock().unwrap() = Some(0);
    assert!(journal.append(&frame, &blobs).is_err());
    // All but the frame's last bytes reached the disk: torn, with the fake inside.
    let after = open(&disk.power_cut(420)).unwrap();
    assert_eq!(after.next_sequence(), 1);
}

#[test]
fn after_a_failed_sync_nothing_is_tried_again_on_that_file() {
    let disk = LossyDisk::default();
    let journal = open(&disk).unwrap();
    append(&journal, 100).unwrap();
    *disk.syncs_left.lock().unwrap() = Some(0);
    assert!(matches!(append(&journal, 100), Err(JournalError::Io { .. })));
    *disk.syncs_left.lock().unwrap() = None;
    assert!(
        matches!(append(&journal, 100), Err(JournalError::Poisoned)),
        "also when the disk is well again"
    );
    assert_eq!(journal.next_sequence(), 1);
}

#[test]
fn damage_before_good_frames_is_refused_and_not_cut() {
    let disk = LossyDisk::default();
    let journal = open(&disk).unwrap();
    for _ in 0..5 {
        append(&journal, 200).unwrap();
    }
    drop(journal);
    disk.files.lock().unwrap().values_mut().next().unwrap().written[300] ^= 1;
    let verdict = open(&disk).map(|j| holds(&j));
    assert!(matches!(verdict, Err(JournalError::Corrupt { .. }) | Ok(false)), "{verdict:?}");
}

#[test]
fn a_damaged_blob_is_told_when_it_is_read() {
    let disk = LossyDisk::default();
    let journal = open(&disk).unwrap();
    append(&journal, 400).unwrap();
    append(&journal, 400).unwrap();
    let at = {
        let files = disk.files.lock().unwrap();
        let bytes = &files.values().next().unwrap().written;
        bytes.windows(8).position(|w| w == 1u64.to_be_bytes()).unwrap() + 20
    };
    disk.files.lock().unwrap().values_mut().next().unwrap().written[at] ^= 1;
    assert!(matches!(journal.read(0), Err(JournalError::Blob { sequence: 0 })));
    assert!(journal.read(1).is_ok());
}
