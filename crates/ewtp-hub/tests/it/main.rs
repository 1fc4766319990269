//! The committer over a disk that is slow, full or broken: nothing is answered or shown before the sync.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod bounds;

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use ewtp_hub::clock::SystemClock;
use ewtp_hub::committer::Committer;
use ewtp_hub::directory::Directory;
use ewtp_hub::draft::{Draft, DraftError, LrnClaim, NewStatement};
use ewtp_hub::durable::{DurableHead, LogIdentity};
use ewtp_hub::queue::Submitter;
use ewtp_log::note::NoteSigner;
use ewtp_proto::v1;
use ewtp_store::{Disk, RealDisk, SegmentFile, SledStore, Store, Views};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Works,
    Waits,
    Fails,
}

/// Real files whose sync can be held back or made to fail.
struct Gate {
    real: RealDisk,
    state: Arc<(Mutex<(Sync, u32)>, Condvar)>,
}

struct GatedFile {
    real: Box<dyn SegmentFile>,
    state: Arc<(Mutex<(Sync, u32)>, Condvar)>,
}

impl Disk for Gate {
    fn list(&self) -> io::Result<Vec<String>> {
        self.real.list()
    }
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn SegmentFile>> {
        let real = self.real.create(name, bytes)?;
        Ok(Box::new(GatedFile { real, state: Arc::clone(&self.state) }))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let real = self.real.open(name)?;
        Ok(Box::new(GatedFile { real, state: Arc::clone(&self.state) }))
    }
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        let real = self.real.replace(name, content)?;
        Ok(Box::new(GatedFile { real, state: Arc::clone(&self.state) }))
    }
}

impl SegmentFile for GatedFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.real.read_at(into, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.real.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        let (lock, changed) = &*self.state;
        let mut state = lock.lock().unwrap();
        state.1 += 1; // a sync was asked for: everything is written by now
        changed.notify_all();
        while state.0 == Sync::Waits {
            state = changed.wait(state).unwrap();
        }
        match state.0 {
            Sync::Fails => Err(io::Error::from_raw_os_error(28)), // ENOSPC
            Sync::Works | Sync::Waits => self.real.sync(),
        }
    }
    fn cut(&self, bytes: u64, room: u64) -> io::Result<()> {
        self.real.cut(bytes, room)
    }
    fn size(&self) -> io::Result<u64> {
        self.real.size()
    }
}

struct Rig {
    accounts: Submitter,
    head: watch::Receiver<DurableHead>,
    store: Arc<dyn Store>,
    state: Arc<(Mutex<(Sync, u32)>, Condvar)>,
    committer: JoinHandle<Result<(), ewtp_hub::committer::CommitError>>,
}

impl Rig {
    async fn open(dir: &std::path::Path) -> Self {
        let state = Arc::new((Mutex::new((Sync::Works, 0)), Condvar::new()));
        let disk =
            Gate { real: RealDisk::new(&dir.join("journal")).unwrap(), state: Arc::clone(&state) };
        let store =
            SledStore::open_on(dir, "KE", Arc::new(disk), 1 << 20, ewtp_store::SETTLE_BYTES)
                .unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let origin = "log.ke.example/g1";
        let identity = LogIdentity {
            hub: "KE".parse().unwrap(),
            origin: origin.parse().unwrap(),
            signers: ArcSwap::from_pointee(vec![NoteSigner::log(origin, &[1; 32]).unwrap()]),
            slot_key: [2; 32],
        };
        let directory = Arc::new(ArcSwap::from_pointee(Directory::default()));
        let first = ewtp_log::hash::sha256(&[b"descriptor"]);
        let (mut committer, head) = Committer::open(
            Arc::clone(&store),
            Arc::new(SystemClock),
            Arc::new(identity),
            directory,
            64,
        )
        .await
        .unwrap();
        let first = Draft { raw_entries: vec![first], ..Draft::default() };
        committer.open_log(vec![first]).await.unwrap();
        let ([accounts, _own], queues) = Committer::queues(64);
        #[expect(clippy::disallowed_methods, reason = "its handle is kept and joined")]
        let committer = tokio::spawn(committer.run(queues, CancellationToken::new()));
        Self { accounts, head, store, state, committer }
    }

    fn set(&self, sync: Sync) {
        self.state.0.lock().unwrap().0 = sync;
        self.state.1.notify_all();
    }

    fn syncs(&self) -> u32 {
        self.state.0.lock().unwrap().1
    }
}

fn draft(n: u8) -> Draft {
    let core = v1::AckCore { log_index: u64::from(n), ..Default::default() };
    let statement =
        NewStatement::new("x-test", &format!("S-{n}"), 1).unwrap().part("core", &core).unwrap();
    let lrn = LrnClaim { key: [n; 32], digest: [n; 32] };
    Draft { statements: vec![statement], lrn: Some(lrn), ..Draft::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_and_no_head_precede_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path()).await;
    let before = rig.head.borrow().size;
    rig.set(Sync::Waits);
    let synced = rig.syncs();
    let accounts = rig.accounts.clone();
    #[expect(clippy::disallowed_methods, reason = "joined below")]
    let answer = tokio::spawn(async move { accounts.submit(draft(1)).await });
    while rig.syncs() == synced {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Written and handed to the sync, and no further: whoever looks now sees the state before.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!answer.is_finished(), "an answer before the sync");
    assert_eq!(rig.head.borrow().size, before, "a head before the sync");
    assert!(
        Views(&*rig.store).lrn(&[1; 32], &[2; 32]).await.unwrap().is_none(),
        "a view before the sync"
    );
    rig.set(Sync::Works);
    let logged = answer.await.unwrap().unwrap();
    assert_eq!(logged.statements[0].0, before);
    assert!(Views(&*rig.store).lrn(&[1; 32], &[2; 32]).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filed_again_is_known_by_its_lrn_also_where_the_case_has_moved_since() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path()).await;
    let first = rig.accounts.submit(draft(1)).await.unwrap().statements[0].0;
    let again = Draft { revisions: vec![("KE-MOVED".into(), 7)], ..draft(1) };
    let outcome = rig.accounts.submit(again).await;
    assert_eq!(outcome, Err(DraftError::LrnTaken { index: first, same: true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_and_ends_the_committer_and_start_up_reads_what_is_true() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path()).await;
    rig.accounts.submit(draft(1)).await.unwrap();
    let before = rig.head.borrow().size;
    rig.set(Sync::Fails);
    assert_eq!(rig.accounts.submit(draft(2)).await, Err(DraftError::InDoubt));
    assert_eq!(rig.head.borrow().size, before);
    let ended = rig.committer.await.unwrap().unwrap_err().to_string();
    assert!(
        ended.contains("nothing more can be stored") && ended.contains("No space left"),
        "{ended}"
    );
    drop((rig.accounts, rig.store));
    let again = Rig::open(dir.path()).await;
    assert!(
        Views(&*again.store).lrn(&[1; 32], &[2; 32]).await.unwrap().is_some(),
        "what was acknowledged is there"
    );
    // What was in doubt is asked again by its LRN: either it is there, or it is filed now; never twice.
    match again.accounts.submit(draft(2)).await {
        Ok(_) => {}
        Err(DraftError::LrnTaken { same, .. }) => assert!(same),
        Err(e) => panic!("{e}"),
    }
    let twice = again.accounts.submit(draft(2)).await;
    assert!(matches!(twice, Err(DraftError::LrnTaken { same: true, .. })), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_whose_work_is_gone_is_dropped_and_a_statement_that_is_too_large_is_never_said() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path()).await;
    let before = rig.head.borrow().size;
    let gone = Draft { consumes: vec!["F/1/0".into()], ..draft(1) };
    assert_eq!(rig.accounts.submit(gone).await, Err(DraftError::WorkGone("F/1/0".into())));
    let moved = Draft { revisions: vec![("CASE".into(), 3)], ..draft(1) };
    let refused = Err(DraftError::CaseMoved { case: "CASE".into(), seen: 3, now: 0 });
    assert_eq!(rig.accounts.submit(moved).await, refused);
    let huge = v1::InfoAnswerTrader {
        answers: vec![v1::Answer { code: "Q".into(), value: "x".repeat(300 << 10) }],
        ..Default::default()
    };
    let statement = NewStatement::new("x-test", "S", 1).unwrap().part("core", &huge).unwrap();
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    assert!(matches!(rig.accounts.submit(draft).await, Err(DraftError::TooLarge { .. })));
    assert_eq!(rig.head.borrow().size, before, "nothing of it is in the log");
}

#[test]
fn a_log_url_becomes_an_origin_only_if_its_name_can_stay_for_ever() {
    let origin = |url: &str| ewtp_hub::init::origin_of(url).map(|o| o.to_string());
    assert_eq!(origin("https://log.be.example/ewtp/").unwrap(), "log.be.example/ewtp/g1");
    for bad in [
        "https://localhost/log",
        "https://log.be.example:8443/x",
        "log.be.example",
        "https://LOG.be.example",
    ] {
        let refused = origin(bad).unwrap_err().to_string();
        assert!(refused.contains("host.with.a.dot"), "{bad}: {refused}");
    }
}
