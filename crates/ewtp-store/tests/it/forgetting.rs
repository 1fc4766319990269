//! What is erased leaves the disk whatever interrupts it, and takes nothing else with it.

use std::path::Path;
use std::sync::Arc;

use ewtp_log::Hash;
use ewtp_log::hash::sha256;
use ewtp_log::statement::{Header, StatementId, part_digest, seal_part};
use ewtp_proto::store::v1::{BlobRef, Erasure, Frame, Locator, LogHead, OwnStatement};
use ewtp_proto::{Message as _, v1};
use ewtp_store::{RealDisk, SledStore, Store as _, Views};
use proptest::prelude::*;
use tempfile::tempdir;

/// Small segments, so that few frames fill several.
const SEGMENT: u64 = 8 << 10;

fn secret(index: u64) -> String {
    format!("SECRET-OF-{index:04}-ENDS")
}

fn salt(index: u64) -> [u8; 16] {
    sha256(&[b"salt", &index.to_be_bytes()]).0[..16].try_into().unwrap()
}

fn case_id(index: u64) -> String {
    format!("KE-CASE{index:09}")
}

/// A frame with one filing, in its own case, and the table entry that ends its batch.
fn filing(sequence: u64) -> (Frame, Vec<u8>) {
    filing_in(sequence, case_id(sequence * 2))
}

/// The same in a case of its own or another's.
fn filing_in(sequence: u64, case_id_of: String) -> (Frame, Vec<u8>) {
    let index = sequence * 2;
    let core = v1::FilingCore {
        case_id: case_id_of,
        filing_id: case_id(index),
        version: 1,
        lrn: secret(index),
        ..Default::default()
    };
    let blob = seal_part("core", &core.encode_to_vec(), salt(index));
    let header = Header {
        hub: "KE".into(),
        origin: "example.org/ke/g1".into(),
        nonce: [7; 16],
        id: StatementId { kind: "filing".into(), subject: case_id(index), number: 1 },
        time: "2026-01-01T00:00:00.000Z".into(),
        refs: Vec::new(),
        parts: vec![("core".into(), part_digest("core", &blob))],
        later: Vec::new(),
    };
    let part = BlobRef {
        name: "core".into(),
        offset: 0,
        length: blob.len() as u32,
        crc: crc32fast::hash(&blob),
    };
    let own = OwnStatement {
        index,
        header: header.to_text().unwrap().into_bytes(),
        parts: vec![part],
        lrn_key: sha256(&[secret(index).as_bytes()]).0.to_vec(),
        submission_digest: sha256(&[b"submission", secret(index).as_bytes()]).0.to_vec(),
        account: "platform".into(),
        ..Default::default()
    };
    let head = LogHead { size: index + 2, table_entry: vec![9; 32], ..Default::default() };
    (Frame { sequence, own: vec![own], head: Some(head), ..Default::default() }, blob)
}

/// A frame that erases the filing at a log index.
fn order(sequence: u64, index: u64) -> Frame {
    let erasure = Erasure {
        at: Some(Locator { number: index, ..Default::default() }),
        case_id: case_id(index),
        reason: "ORDER-1".into(),
        by: "KE".into(),
        kind: "filing".into(),
        subject: case_id(index),
        number: 1,
        ..Default::default()
    };
    Frame { sequence, erasures: vec![erasure], ..Default::default() }
}

fn open(dir: &Path) -> SledStore {
    let disk = Arc::new(RealDisk::new(&dir.join("journal")).unwrap());
    SledStore::open_on(dir, "KE", disk, SEGMENT, 16 << 10).unwrap()
}

async fn file(store: &SledStore) {
    let (frame, blobs) = filing(store.next_sequence());
    store.commit(frame, blobs).await.unwrap();
}

async fn erase(store: &SledStore, index: u64) {
    store.commit(order(store.next_sequence(), index), Vec::new()).await.unwrap();
}

/// Whether a directory holds these bytes anywhere.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, needle),
            false => std::fs::read(&path).unwrap().windows(needle.len()).any(|w| w == needle),
        }
    })
}

/// Whether anything of a filing is on disk: its text, its salt, and what would confirm a guess.
fn traces(dir: &Path, index: u64) -> [bool; 4] {
    let text = secret(index);
    let digests = [sha256(&[text.as_bytes()]), sha256(&[b"submission", text.as_bytes()])];
    [
        holds(dir, text.as_bytes()),
        holds(dir, &salt(index)),
        holds(dir, &digests[0].0[..16]),
        holds(dir, &digests[1].0[..16]),
    ]
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

/// All entries of the log.
async fn entries(store: &SledStore) -> Vec<Hash> {
    let size = Views(store).head().await.unwrap().unwrap().size;
    Views(store).log_entries(0, size).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_shown_no_more_and_leaves_the_disk_with_the_next_compaction() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..60 {
        file(&store).await;
    }
    let before = entries(&store).await;
    assert!(Views(&store).own(20).await.unwrap().unwrap().blob("core").is_some());
    for index in [0, 20, 118] {
        erase(&store, index).await;
        let gone = Views(&store).own(index).await.unwrap().unwrap();
        assert_eq!((gone.header.len(), gone.parts.len()), (0, 0));
        assert_eq!(gone.tombstone, Some(before[index as usize]));
    }
    store.close().await.unwrap();
    assert_eq!(traces(dir.path(), 20), [true; 4], "until then it is there to be found");
    let done = store.compact().await.unwrap();
    assert_eq!((done.statements, done.segments), (3, 2));
    for index in [0, 20, 118] {
        assert_eq!(traces(dir.path(), index), [false; 4]);
    }
    assert_eq!(traces(dir.path(), 22), [true; 4], "others stay");
    assert_eq!(entries(&store).await, before);
    let case = Views(&store).case(&case_id(20)).await.unwrap().unwrap();
    assert_eq!(case.filings, []);
    assert_eq!((case.forgotten[0].reason.as_str(), case.accounts.len()), ("ORDER-1", 1));
    assert_eq!(
        Views(&store).case(&case_id(22)).await.unwrap().unwrap().ordinal,
        11,
        "numbers stay"
    );
    // It goes on, and nothing is done twice.
    file(&store).await;
    assert_eq!(store.compact().await.unwrap().statements, 0);
    drop(store);
    let again = open(dir.path());
    assert_eq!(again.check(tempdir().unwrap().path()).unwrap(), Vec::<String>::new());
    assert_eq!(again.compact().await.unwrap().statements, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_was_interrupted_or_lost_with_a_restored_copy_is_carried_out_at_the_next_start()
 {
    let (dir, copied) = (tempdir().unwrap(), tempdir().unwrap());
    let store = open(dir.path());
    for _ in 0..60 {
        file(&store).await;
    }
    // A copy from before the order, as a backup is.
    store.close().await.unwrap();
    copy(dir.path(), copied.path());
    erase(&store, 20).await;
    store.compact().await.unwrap();
    drop(store);
    // The list is kept outside of backups. What a crash leaves behind it looks the same: noted, and not carried out.
    std::fs::copy(dir.path().join("forgotten"), copied.path().join("forgotten")).unwrap();
    assert_eq!(traces(copied.path(), 20), [true; 4]);
    let restored = open(copied.path());
    assert_eq!(traces(copied.path(), 20), [false; 4]);
    assert_eq!(restored.next_sequence(), 60);
    assert_eq!(entries(&restored).await.len(), 120);
    assert_eq!(restored.check(tempdir().unwrap().path()).unwrap(), Vec::<String>::new());
    // A note whose end was torn says nothing, nor does one that is damaged; what follows it counts.
    let list = std::fs::read(dir.path().join("forgotten")).unwrap();
    let damaged = [&list[..list.len() - 1], &list[..40]].concat();
    std::fs::write(copied.path().join("forgotten"), damaged).unwrap();
    std::fs::remove_file(copied.path().join("compacted")).unwrap();
    drop(restored);
    drop(open(copied.path()));
    assert!(!copied.path().join("compacted").exists());
}

#[test]
fn an_empty_segment_that_would_hide_frames_is_refused_and_not_used() {
    let dir = tempdir().unwrap();
    let journal = dir.path().join("journal");
    let make = || {
        ewtp_store::Journal::open(Arc::new(RealDisk::new(&journal).unwrap()), 1 << 20).map(|j| {
            for _ in 0..3 {
                let (frame, blobs) = filing(j.next_sequence());
                j.append(&frame, &blobs).unwrap();
            }
            j.next_sequence()
        })
    };
    assert_eq!(make().unwrap(), 3);
    // What a compaction left that found no room, before it cleaned up behind itself.
    std::fs::write(journal.join("00000000000000000001.seg"), [0; 64]).unwrap();
    let refused = make().unwrap_err().to_string();
    assert!(refused.contains("remove the empty one"), "{refused}");
    std::fs::remove_file(journal.join("00000000000000000001.seg")).unwrap();
    assert_eq!(make().unwrap(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_committed_and_read_while_a_compaction_runs() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..200 {
        file(&store).await;
    }
    for index in (0..400).step_by(20) {
        erase(&store, index).await;
    }
    let committing = async {
        let mut size = 0;
        for n in 0..200u64 {
            let sequence = store.next_sequence();
            // The log goes on behind the frames that said nothing.
            let (mut frame, blobs) = filing(sequence - 20);
            frame.sequence = sequence;
            size = frame.head.as_ref().unwrap().size;
            store.commit(frame, blobs).await.unwrap();
            assert!(Views(&store).own(2 * n).await.unwrap().is_some());
        }
        size
    };
    let (compacted, size) = tokio::join!(store.compact(), committing);
    assert_eq!(compacted.unwrap().statements, 20);
    assert_eq!(entries(&store).await.len() as u64, size);
    assert_eq!(traces(dir.path(), 40), [false; 4]);
    assert_eq!(store.check(tempdir().unwrap().path()).unwrap(), Vec::<String>::new());
}

proptest! {
    /// Erasing twice, or in another order, is erasing once; entries of the log stay.
    #[test]
    fn redaction_is_idempotent_and_moves_no_entry(parts in prop::collection::vec(any::<bool>(), 1..6)) {
        let (frame, blobs) = filing(3);
        let read = ewtp_store::journal::ReadFrame { frame, blobs };
        let erasures: Vec<Erasure> = parts.iter().map(|whole| Erasure {
            parts: if *whole { Vec::new() } else { vec!["core".into()] },
            ..order(9, 6).erasures[0].clone()
        }).collect();
        let once = ewtp_store::forgetting::redact(&read, &erasures);
        let twice = ewtp_store::forgetting::redact(&once, &erasures);
        prop_assert_eq!(&once.frame, &twice.frame);
        prop_assert_eq!(&once.blobs, &twice.blobs);
        prop_assert_eq!(once.log_entries(), read.log_entries());
        let backwards: Vec<Erasure> = erasures.iter().rev().cloned().collect();
        prop_assert_eq!(once.frame, ewtp_store::forgetting::redact(&read, &backwards).frame);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_listed_by_the_first_filing_that_is_left() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..2 {
        let (frame, blobs) = filing_in(store.next_sequence(), case_id(0));
        store.commit(frame, blobs).await.unwrap();
    }
    erase(&store, 0).await;
    let listed = || async {
        let case = Views(&store).case(&case_id(0)).await.unwrap().unwrap();
        case.filings[0].summary.as_ref().unwrap().lrn.clone()
    };
    assert_eq!(listed().await, secret(2));
    store.close().await.unwrap();
    assert_eq!(store.check(tempdir().unwrap().path()).unwrap(), Vec::<String>::new());
    store.compact().await.unwrap();
    assert_eq!(listed().await, secret(2));
    assert_eq!(store.check(tempdir().unwrap().path()).unwrap(), Vec::<String>::new());
}
