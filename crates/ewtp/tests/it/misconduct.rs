//! Hubs that lie, each in its way: who catches it, what is proven of it, and what follows.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ewtp_log::HubId;
use ewtp_log::page::Page;
use ewtp_log::receipt::{DescriptorRef, Receipt};
use ewtp_proto::v1;
use serde_json::Value;
use tokio::sync::watch;

use crate::liar_kit::{Face, Identity, Liar, Log, serve};
use crate::stage::{EWTP, Hub, pin, until};
use crate::watching::watchful;

/// One caller's view, as the test moves it.
struct View {
    to: HubId,
    pages: watch::Sender<Option<Page>>,
    log: Arc<Mutex<Option<Log>>>,
}

impl View {
    /// Shows a page, and answers questions about proofs from this log from now on.
    fn show(&self, page: Page, log: &Log) {
        *self.log.lock().unwrap() = Some(log.clone());
        self.pages.send_replace(Some(page));
    }
}

/// KE lies to BE and SG, which know each other.
struct Stage {
    be: Hub,
    sg: Hub,
    liar: Identity,
    to_be: View,
    to_sg: View,
    dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    stage_with("").await
}

/// The same with more lines in BE's configuration.
async fn stage_with(more: &str) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let (be, sg) = (watchful(dir.path(), "BE", more), watchful(dir.path(), "SG", ""));
    pin(&be, &sg, "full");
    let liar = Identity::new(dir.path());
    let view = |hub: &Hub| {
        let (pages, page) = watch::channel(None);
        let keys = hub.process.dir.join("data/keys");
        let tls =
            ewtp_tls::TlsIdentity::load(&keys.join("tls.crt"), &keys.join("tls.key")).unwrap();
        let to: HubId = hub.process.hub.parse().unwrap();
        let log: Arc<Mutex<Option<Log>>> = Arc::default();
        let face = Face { to: to.clone(), spki: Some(tls.spki()), page, log: Arc::clone(&log) };
        (View { to, pages, log }, face)
    };
    let ((to_be, a), (to_sg, b)) = (view(&be), view(&sg));
    serve(&liar, Liar { faces: vec![a, b] }).await;
    liar.pinned_by(&be);
    liar.pinned_by(&sg);
    Stage { be, sg, liar, to_be, to_sg, dir }
}

fn peer(hub: &Hub, id: &str) -> Value {
    hub.json("operator", &["peer", "show", id])[0].clone()
}

async fn heard(hub: &Hub, count: u64) {
    until("the page", || async { (peer(hub, "KE")["lane_in"] == count).then_some(()) }).await;
}

/// Waits until the hub holds evidence of a kind against KE and regards it accordingly; gives the file.
async fn caught(stage: &Stage, hub: &Hub, kind: &str) -> String {
    let out = stage.dir.path().join(format!("evidence-{}", hub.process.hub)).display().to_string();
    let file = until("the evidence", || async {
        let held = hub.json("operator", &["evidence", "list", "--out", &out]);
        let found = held.as_array().unwrap().iter().find(|e| e["kind"] == kind)?;
        assert_eq!(found["against"], "KE");
        Some(found["file"].as_str().unwrap().to_owned())
    })
    .await;
    until("quarantine", || async { (peer(hub, "KE")["state"] == "quarantined").then_some(()) })
        .await;
    proven_offline(&file, &stage.liar.file, kind);
    file
}

/// In a fresh process, with nothing but the descriptors.
fn proven_offline(evidence: &str, descriptor: &Path, kind: &str) {
    let descriptor = descriptor.display().to_string();
    let output = std::process::Command::new(EWTP)
        .args(["--json", "evidence", "verify", evidence, "--descriptor", &descriptor])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["kind"], &said["against"]), (&kind.into(), &"KE".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_equal_size_is_proven_when_its_two_victims_meet_and_an_operator_reinstates() {
    let stage = stage().await;
    let mut a = Log::new(stage.liar.fingerprint);
    let mut b = a.clone();
    a.say(1, |_| {});
    b.say(2, |_| {});
    let mut trade = stage.be.trade("operator").await;
    let watch = v1::WatchCasesRequest::default();
    let mut changes = trade.watch_cases(watch).await.unwrap().into_inner();
    stage.to_be.show(a.page(&stage.to_be.to), &a);
    stage.to_sg.show(b.page(&stage.to_sg.to), &b);
    heard(&stage.be, 1).await;
    heard(&stage.sg, 1).await;
    caught(&stage, &stage.be, "split").await;
    caught(&stage, &stage.sg, "split").await;
    // Who watches the case is told: once of the filing, once of the hub that said it.
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(changes.message().await.unwrap().unwrap().case.unwrap());
    }
    assert_eq!(told[0].case_id, told[1].case_id);
    assert_eq!((told[1].standings[0].hub.as_str(), told[1].standings[0].quarantined), ("KE", true));
    let shown = stage.be.run("operator", &["case", "show", &told[1].case_id]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("KE is in quarantine"), "{shown:?}");

    // Service goes on: what it says is kept, and marked.
    a.say(3, |_| {});
    stage.to_be.show(a.page_from(&stage.to_be.to, 1, 3), &a);
    heard(&stage.be, 2).await;
    let refused = stage.be.run("operator", &["peer", "resume", "KE"]);
    assert!(!refused.status.success(), "a reason is demanded");
    stage.be.json("operator", &["peer", "resume", "KE", "--reason", "a new operator there"]);
    assert_eq!(peer(&stage.be, "KE")["state"], "active");
    assert_eq!(peer(&stage.be, "KE")["reason"], "a new operator there");
    // The same proof, told again by SG, doesn't put it back.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(peer(&stage.be, "KE")["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_unequal_size_is_an_alarm_and_becomes_a_proof_where_both_branches_open_one_range()
{
    let stage = stage().await;
    let mut a = Log::new(stage.liar.fingerprint);
    a.say(1, |_| {});
    let mut b = a.clone();
    // 3 entries for both, so that each accepts its lane.
    stage.to_be.show(a.page(&stage.to_be.to), &a);
    stage.to_sg.show(b.page(&stage.to_sg.to), &b);
    heard(&stage.be, 1).await;
    heard(&stage.sg, 1).await;
    // 5 entries and 9: no subtree is a node of both frontiers, so nothing can be proven yet.
    a.say(2, |_| {});
    (3..=7).for_each(|n| b.say(n, |_| {}));
    stage.to_be.show(a.page_from(&stage.to_be.to, 1, 3), &a);
    stage.to_sg.show(b.page_from(&stage.to_sg.to, 1, 3), &b);
    heard(&stage.be, 2).await;
    heard(&stage.sg, 6).await;
    until("the alarm", || async {
        let warnings = stage.be.status().await.warnings;
        warnings.iter().any(|w| w.contains("an alarm, no proof")).then_some(())
    })
    .await;
    let held = stage.be.json("operator", &["evidence", "list"]);
    assert_eq!(held, serde_json::json!([]), "what can't be proven is no evidence");
    assert_eq!(peer(&stage.be, "KE")["state"], "active");
    // 11 entries: now both frontiers have [0, 8).
    (8..=12).for_each(|n| a.say(n, |_| {}));
    stage.to_be.show(a.page_from(&stage.to_be.to, 2, 5), &a);
    heard(&stage.be, 7).await;
    caught(&stage, &stage.be, "fork").await;
    caught(&stage, &stage.sg, "fork").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renumbered_lane_and_a_withheld_last_statement_are_proven_from_the_opening_that_is_held()
{
    for withhold in [false, true] {
        let stage = stage().await;
        let mut log = Log::new(stage.liar.fingerprint);
        (1..=2).for_each(|n| log.say(n, |_| {}));
        stage.to_be.show(log.page(&stage.to_be.to), &log);
        heard(&stage.be, 2).await;
        let held = log.entries.len() as u64;
        // The log only grows; what it said to BE is another story now.
        log.say(3, |_| {});
        match withhold {
            true => log.lane.truncate(1),
            false => drop(log.lane.remove(1)),
        }
        let page = log.page_from(&stage.to_be.to, 2, held);
        stage.to_be.show(page, &log);
        caught(&stage, &stage.be, "lane").await;
        // SG was never lied to, and hears of it.
        caught(&stage, &stage.sg, "lane").await;
        assert_eq!(peer(&stage.be, "KE")["lane_in"], 2, "nothing of the page is stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_statements_under_one_identity_are_proven_with_their_places_in_the_log() {
    let stage = stage().await;
    let mut log = Log::new(stage.liar.fingerprint);
    log.say(1, |_| {});
    log.say_again(1);
    stage.to_be.show(log.page(&stage.to_be.to), &log);
    caught(&stage, &stage.be, "identity").await;
    caught(&stage, &stage.sg, "identity").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_for_the_trader_and_another_for_the_peer_is_proven_by_whoever_holds_both_receipts()
{
    let dir = tempfile::tempdir().unwrap();
    let liar = Identity::new(dir.path());
    let mut log = Log::new(liar.fingerprint);
    log.say(1, |_| {});
    log.say_again(1);
    let _ = log.page(&Log::be());
    let receipt = |number: u64| {
        let (proof, _) = log.prove(&Log::be(), number);
        let (_, header, parts) = &log.lane[number as usize - 1];
        let receipt = Receipt {
            header: String::from_utf8(header.clone()).unwrap(),
            parts: parts.clone(),
            attachments: Vec::new(),
            log: proof,
            lane: None,
            descriptors: vec![DescriptorRef {
                hub: "KE".into(),
                version: 1,
                digest: liar.fingerprint,
            }],
        };
        let path = dir.path().join(format!("{number}.ewtp-receipt"));
        std::fs::write(&path, receipt.to_text()).unwrap();
        path.display().to_string()
    };
    let (a, b) = (receipt(1), receipt(2));
    let out = dir.path().join("both.ewtp-evidence").display().to_string();
    let descriptor = liar.file.display().to_string();
    let join = |a: &str, b: &str| {
        std::process::Command::new(EWTP)
            .args(["evidence", "join", a, b, "--out", &out, "--descriptor", &descriptor])
            .output()
            .unwrap()
    };
    assert_eq!(join(&a, &a).status.code(), Some(1), "the same receipt twice shows nothing");
    let joined = join(&a, &b);
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    proven_offline(&out, &liar.file, "identity");
}

/// Serves the public files of a log over plain HTTP, as long as the test runs.
fn publish(log: Arc<Mutex<Option<Log>>>) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap().trim_start_matches("/ewtp/g1/").to_owned();
            let log = log.lock().unwrap().clone();
            let (status, body) = match log.and_then(|log| log.public_file(&path)) {
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // Who hung up needs no answer.
            let _ = stream.write_all(&[head.into_bytes(), body].concat());
        }
    });
    format!("http://{address}/ewtp")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_says_what_the_log_does_not_hold_is_proven_from_the_public_log() {
    let public: Arc<Mutex<Option<Log>>> = Arc::default();
    let url = publish(Arc::clone(&public));
    let stage = stage_with(&format!("[peers.KE]\npublic = \"{url}\"\n")).await;
    let mut log = Log::new(stage.liar.fingerprint);
    log.say(1, |_| {});
    log.log_another(1);
    let page = log.page(&stage.to_be.to);
    *public.lock().unwrap() = Some(log.clone());
    stage.to_be.show(page, &log);
    // The page itself is in order: its log and its lane follow from the head.
    heard(&stage.be, 1).await;
    caught(&stage, &stage.be, "lane-log").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_removed_comes_back_with_a_new_identity_and_the_hub_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut be = watchful(dir.path(), "BE", "");
    Identity::new(dir.path()).pinned_by(&be);
    be.json("operator", &["peer", "remove", "KE", "--reason", "it begins anew"]);
    // Same hub, same log, other descriptor: nothing joins the two.
    let again = Identity::new(dir.path());
    again.pinned_by(&be);
    be.process.stop().unwrap();
    be.process.start().unwrap();
    assert_eq!(peer(&be, "KE")["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_had_its_first_statement_erased_is_convicted_by_the_second_all_the_same() {
    let stage = stage().await;
    let mut log = Log::new(stage.liar.fingerprint);
    // Not honoured, so that it is of no open case and goes at once.
    log.say(1, |core| core.items.clear());
    stage.to_be.show(log.page(&stage.to_be.to), &log);
    heard(&stage.be, 1).await;
    let (index, header, _) = log.lane[0].clone();
    let core = v1::ErasureCore {
        case_id: "KE-BBBBBBBBBBB01".into(),
        reason: "ORDER-1".into(),
        statements: vec![v1::ErasedStatement {
            statement: Some(v1::StatementRef {
                hub: "KE".into(),
                commitment: ewtp_log::statement::commitment(&header).0.to_vec(),
                log_index: index.0,
            }),
            parts: Vec::new(),
        }],
        ..Default::default()
    };
    log.say_core("erasure", "KE-FFFFFFFFFFFF1", &core);
    stage.to_be.show(log.page_from(&stage.to_be.to, 1, 3), &log);
    heard(&stage.be, 2).await;
    log.say_again(1);
    stage.to_be.show(log.page_from(&stage.to_be.to, 2, 5), &log);
    heard(&stage.be, 3).await;
    caught(&stage, &stage.be, "identity").await;
}
