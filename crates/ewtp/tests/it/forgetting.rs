//! Erasure: by order and by rule, at the hub that was given the data and at those that were told; what is left proves its place
//! and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use ewtp_log::hash::sha256;
use ewtp_log::receipt::Receipt;
use ewtp_log::statement::{attachment_digest, open_part};
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::{Message as _, v1};
use ewtp_store::{SledStore, Store as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use v1::CaseState;

use crate::canaries::{COUNT, canary, filing, found, texts};
use crate::stage::{EWTP, Hub, advance, case, file, pin, shows, until};

const ERASED: &str = "GONE";
const KEPT: &str = "STAYS";

/// The first filing of a set, with the document that it cites.
fn given(set: &str) -> (v1::Filing, Vec<u8>) {
    let mut given = filing(set, "KE", "BE");
    let bytes = format!("%PDF {}", canary(set, 33)).into_bytes();
    let salt: [u8; 16] = sha256(&[set.as_bytes()]).0[..16].try_into().unwrap();
    given.goods.as_mut().unwrap().attachments = vec![v1::AttachmentReference {
        digest: attachment_digest(&salt, &bytes).0.to_vec(),
        size: bytes.len() as u64,
        media_type: "application/pdf".into(),
        salt: salt.to_vec(),
    }];
    (given, bytes)
}

/// What anybody wrote into the case of a set, up to a decision and its condition. Gives its id.
async fn play(ke: &Hub, be: &Hub, set: &str) -> String {
    let text = |n: usize| canary(set, n);
    let (mut given, bytes) = given(set);
    let attached = given.goods.as_ref().unwrap().attachments.first().cloned();
    let piece = v1::UploadAttachmentRequest { attachment: attached, offset: 0, chunk: bytes };
    let mut trade = ke.trade("platform").await;
    trade.upload_attachment(tokio_stream::iter(vec![piece])).await.unwrap();
    let filed = file(&mut trade, given.clone()).await;
    let id = filed.case_id.clone();
    // The rules ask, and are answered.
    let asked = shows(be, "officer", &id, CaseState::InfoRequested).await;
    let request = asked.info_requests[0].statement.clone().unwrap().commitment;
    until("the question at the filer's hub", || async {
        case(ke, "platform", &id).await.filter(|c| !c.info_requests.is_empty())
    })
    .await;
    let question = asked.info_requests[0].trader.as_ref().unwrap().questions[0].code.clone();
    let answer = v1::AnswerInformationRequestRequest {
        case_id: id.clone(),
        request,
        answers: vec![v1::Answer { code: question, value: text(34) }],
        ..Default::default()
    };
    trade.answer_information_request(answer).await.unwrap();
    // It is amended: both versions hold texts.
    let core = given.core.as_mut().unwrap();
    (core.case_id, core.filing_id) = (id.clone(), filed.filing_id.clone());
    (core.lrn, core.function) = (text(35), v1::FilingFunction::Amendment as i32);
    given.goods.as_mut().unwrap().items[0].description = text(36);
    file(&mut trade, given).await;
    until("the second version at the destination", || async {
        let case = case(be, "officer", &id).await?;
        (case.filings[0].filing.as_ref()?.core.as_ref()?.version == 2).then_some(())
    })
    .await;
    decide(be, &id, &filed.filing_id, set).await;
    id
}

/// An officer decides under a condition, says what became of it, and records an event.
async fn decide(be: &Hub, id: &str, filing_id: &str, set: &str) {
    let text = |n: usize| canary(set, n);
    let mut desk = DeskServiceClient::new(be.channel("officer").await);
    let reason = |code: &str, note: String| v1::Reason {
        code: code.into(),
        params: [("text".to_owned(), note)].into(),
        ..Default::default()
    };
    let request = v1::DecideRequest {
        case_id: id.into(),
        filing_id: filing_id.into(),
        filing_version: 2,
        effect: v1::Effect::Admissibility as i32,
        code: v1::DecisionCode::ClearConditional as i32,
        reasons: vec![reason("OFFICER", text(37))],
        authority_reasons: vec![reason("OFFICER", text(38))],
        conditions: vec![v1::Condition {
            id: "C-1".into(),
            what: Some(reason("OFFICER", text(37))),
        }],
        legal_basis: "UCC-46".into(),
        note: text(39),
        idempotency_key: format!("{set}-decide"),
        ..Default::default()
    };
    let decided = desk.decide(request).await.unwrap().into_inner().result.unwrap();
    let v1::decide_response::Result::Logged(decision) = decided else { panic!("{decided:?}") };
    let settled = v1::SettleConditionRequest {
        case_id: id.into(),
        decision: decision.commitment,
        condition_id: "C-1".into(),
        outcome: v1::ConditionOutcome::Met as i32,
        reference: text(40),
        idempotency_key: format!("{set}-settle"),
    };
    let settled = desk.settle_condition(settled).await.unwrap().into_inner().result.unwrap();
    assert!(matches!(settled, v1::settle_condition_response::Result::Logged(_)), "{settled:?}");
}

/// Salts and contents of every part that a stopped hub holds of the statements with these commitments.
async fn parts(hub: &Hub, id: &str, commitments: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let store = SledStore::open(&hub.process.dir.join("data/store"), id).unwrap();
    let mut out = Vec::new();
    for sequence in 0..store.next_sequence() {
        let read = store.frame(sequence).await.unwrap();
        let own = read.frame.own.iter().map(|s| (&s.header, &s.parts));
        let heard = read.frame.heard.iter().flat_map(|p| &p.statements);
        let heard = heard.map(|s| (&s.header, &s.parts));
        for (header, parts) in own.chain(heard) {
            if commitments.contains(&sha256(&[header]).0.to_vec()) {
                let blob = |p| read.blob(p).unwrap().to_vec();
                out.extend(parts.iter().map(|p| (p.name.clone(), blob(p))));
            }
        }
    }
    out
}

/// Commitments of everything in a case.
fn commitments(case: &v1::Case) -> Vec<Vec<u8>> {
    let filings = case.filings.iter().map(|f| &f.statement);
    let decisions = case.decisions.iter().map(|d| &d.statement);
    let requests = case.info_requests.iter().flat_map(|r| [&r.statement, &r.answer_statement]);
    let all =
        filings.chain(decisions).chain(requests).chain(case.events.iter().map(|e| &e.statement));
    all.flatten().map(|s| s.commitment.clone()).collect()
}

/// What somebody who knows the true texts would look for: their digests, bare, as parts with a guessed salt, and under every
/// key that lies about; in whole and in the halves that rows hold.
fn guesses(dir: &Path, parts: &[(String, Vec<u8>)], set: &str) -> BTreeMap<String, Vec<u8>> {
    let mut truths: Vec<(String, Vec<u8>)> =
        (1..=COUNT).map(|n| canary(set, n)).map(|t| (t.clone(), t.into_bytes())).collect();
    for n in [1, 35] {
        let lrn = canary(set, n);
        truths.push((format!("platform's {lrn}"), [b"platform\0", lrn.as_bytes()].concat()));
    }
    for (i, (name, blob)) in parts.iter().enumerate() {
        let content = open_part(name, blob).unwrap();
        truths.push((format!("content {i} {name}"), content.to_vec()));
        let unsalted = &blob[16..];
        truths.push((format!("blob {i} {name}"), unsalted.to_vec()));
        let guessed = [b"ewtp-part/v1\n", name.as_bytes(), &[0], &[0; 16], unsalted].concat();
        truths.push((format!("part {i} {name}"), guessed));
    }
    let submitted = v1::SubmitRequest { filing: Some(given(set).0), ..Default::default() };
    truths.push(("submission".into(), submitted.encode_to_vec()));
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(dir.join("data/keys")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        keys.extend(text.lines().last().and_then(ewtp_log::base64::decode));
        keys.push(bytes);
    }
    let mut out = BTreeMap::new();
    for (what, truth) in truths.into_iter().filter(|(_, truth)| truth.len() > 8) {
        out.insert(format!("digest of {what}"), sha256(&[&truth]).0[..16].to_vec());
        for (k, key) in keys.iter().enumerate() {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(&truth);
            let digest = mac.finalize().into_bytes()[..16].to_vec();
            out.insert(format!("digest of {what} under key {k}"), digest);
        }
    }
    out
}

fn run(args: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(EWTP).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_case_nothing_is_found_at_any_hub_and_all_else_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let mut hubs = ["KE", "BE"].map(|id| Hub::make(dir.path(), id));
    for hub in &mut hubs {
        hub.process.configure("\n[retention]\ncadence_s = 1\n[log]\npublish_s = 1\n").unwrap();
        hub.process.start().unwrap();
        hub.save_profile("operator");
    }
    let [mut ke, mut be] = hubs;
    // A hub that joins the story only when all is over.
    let mut late = Hub::start(dir.path(), "NL");
    pin(&ke, &be, "full");
    pin(&ke, &late, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    for hub in [&ke, &be] {
        hub.add_account("officer", "officer");
    }
    late.process.stop().unwrap();
    // What the late one would have been told.
    let to_late = file(&mut ke.trade("platform").await, filing("LATE", "KE", "NL")).await;
    let (kept, erased) = (play(&ke, &be, KEPT).await, play(&ke, &be, ERASED).await);
    until("the outcome at the filer's hub", || async {
        let case = case(&ke, "officer", &erased).await?;
        case.decisions
            .iter()
            .flat_map(|d| &d.conditions)
            .any(|c| !c.reference.is_empty())
            .then_some(())
    })
    .await;
    let seen = [
        case(&ke, "officer", &erased).await.unwrap(),
        case(&be, "officer", &erased).await.unwrap(),
    ];
    let mut said: Vec<Vec<u8>> = seen.iter().flat_map(commitments).collect();
    said.sort();
    said.dedup();
    let receipts = dir.path().join("receipts");
    ke.json("officer", &["receipt", "export", &kept, "--out", receipts.to_str().unwrap()]);

    // All of it is there to be found before: the search is one that finds.
    let mut secrets: BTreeMap<String, Vec<u8>> = texts(ERASED);
    let mut guessed = BTreeMap::new();
    for (hub, id) in [(&mut ke, "KE"), (&mut be, "BE")] {
        hub.process.stop().unwrap();
        let held = parts(hub, id, &said).await;
        assert!(held.len() > 20, "{} parts at {id}", held.len());
        for (i, (name, blob)) in held.iter().enumerate() {
            secrets.insert(format!("{id} salt {i} {name}"), blob[..16].to_vec());
        }
        let guesses = guesses(&hub.process.dir, &held, ERASED).into_iter();
        guessed.extend(guesses.map(|(what, digest)| (format!("{id}: {what}"), digest)));
    }
    let salt = sha256(&[ERASED.as_bytes()]).0[..16].to_vec();
    secrets.insert("salt of the attachment".into(), salt);
    let mut before = found(&ke.process.dir, &secrets);
    before.extend(found(&be.process.dir, &secrets));
    assert_eq!(before.len(), secrets.len());
    let planted = texts(ERASED).into_keys();
    let missing: Vec<String> = planted.filter(|k| !before.contains_key(k)).collect();
    assert!(missing.is_empty(), "planted and not to be found: {missing:?}");
    let confirmed = found(&ke.process.dir, &guessed);
    let confirms = |what: &str| confirmed.keys().any(|k| k.contains(what));
    assert!(confirms("platform's GONECANARY01 under") && confirms("submission"), "{confirmed:?}");
    for hub in [&mut ke, &mut be] {
        hub.process.start().unwrap();
    }

    let open = ke.run("officer", &["case", "erase", &erased, "--reason", "COURT-2026-117"]);
    let open = String::from_utf8_lossy(&open.stdout).into_owned();
    assert!(open.contains("case-open"), "{open}");
    // While the case is open the destination ends nothing at another hub's word; it is withdrawn.
    withdraw(&ke, &be, &erased).await;
    // The order.
    let order = ["case", "erase", &erased, "--reason", "COURT-2026-117"];
    let ordered = ke.run("officer", &order);
    let told = String::from_utf8_lossy(&ordered.stdout).into_owned();
    assert!(ordered.status.success() && told.contains("BE"), "{told}");
    ke.json("platform", &["invalidate", &to_late.case_id, "--reason", "ORDER-CANCELLED"]);
    ke.json("officer", &["case", "erase", &to_late.case_id, "--reason", "COURT-2026-118"]);
    for hub in [&ke, &be] {
        let gone = until("an erased case", || async {
            case(hub, "officer", &erased)
                .await
                .filter(|c| c.filings.is_empty() && c.decisions.is_empty())
        })
        .await;
        assert!(gone.erased.iter().all(|e| e.reason == "COURT-2026-117"), "{:?}", gone.erased);
        let shown = hub.run("officer", &["case", "show", &erased]);
        assert!(
            String::from_utf8_lossy(&shown.stdout).contains("erased: filing at KE"),
            "{shown:?}"
        );
        let replay = hub.run("officer", &["case", "replay", &erased]);
        let replay = String::from_utf8_lossy(&replay.stdout).into_owned();
        assert!(replay.contains("still verifies"), "{replay}");
    }
    // It leaves the disk on the cadence, while the hubs run.
    for hub in [&ke, &be] {
        until("nothing to be found", || async {
            found(&hub.process.dir.join("data"), &secrets).is_empty().then_some(())
        })
        .await;
    }
    // The late one hears tombstones where the case was, and all that follows.
    late.process.start().unwrap();
    let after = file(&mut ke.trade("platform").await, advance("AFTER", "KE", "NL")).await;
    until("what follows at the late hub", || async {
        case(&late, "operator", &after.case_id).await
    })
    .await;
    assert!(found(&late.process.dir, &texts("LATE")).is_empty());
    let mut whole = found(&ke.process.dir, &texts(KEPT));
    whole.extend(found(&be.process.dir, &texts(KEPT)));
    assert_eq!(whole.len(), COUNT, "the other case is untouched");

    // Logs, stores and others' receipts verify; a copy opened elsewhere tells no more.
    for entry in std::fs::read_dir(&receipts).unwrap() {
        let path = entry.unwrap().path();
        let hub = path.file_name().unwrap().to_str().unwrap()[..2].to_owned();
        if path.extension().is_some_and(|e| e == "ewtp-receipt") {
            let receipt = Receipt::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert!(!receipt.parts.is_empty());
            let chain = receipts.join(format!("{hub}.descriptors.jsonl"));
            let (good, text) = run(&[
                "receipt",
                "verify",
                path.to_str().unwrap(),
                "--descriptor",
                chain.to_str().unwrap(),
            ]);
            assert!(good, "{text}");
        }
    }
    let vkey = ke.process.chain.log_keys(u64::MAX).first().unwrap().to_text();
    let url = format!("http://{}/ewtp/g1", ke.process.public());
    let (good, text) = run(&["log", "audit", &url, "--vkey", &vkey]);
    assert!(good, "{text}");
    for hub in [&mut ke, &mut be] {
        hub.process.stop().unwrap();
        let copied = dir
            .path()
            .join(format!("copy-{}", hub.process.dir.file_name().unwrap().to_str().unwrap()));
        copy(&hub.process.dir, &copied);
        for place in [&hub.process.dir, &copied] {
            let (good, text) = run(&["store", "check", "--dir", place.to_str().unwrap()]);
            assert!(good, "{text}");
            assert_eq!(found(place, &secrets), BTreeMap::new());
            assert_eq!(found(place, &guessed), BTreeMap::new());
        }
    }
}

/// The platform withdraws its filing; both hubs know it then.
async fn withdraw(ke: &Hub, be: &Hub, id: &str) {
    ke.json("platform", &["invalidate", id, "--reason", "ORDER-CANCELLED"]);
    for hub in [ke, be] {
        shows(hub, "officer", id, CaseState::Invalidated).await;
    }
}

/// Two hubs that know each other, with these retention rules.
fn with_rules(dir: &Path, rules: [&str; 2]) -> (Hub, Hub) {
    let hubs = [("KE", rules[0]), ("BE", rules[1])].map(|(id, rules)| {
        let mut hub = Hub::make(dir, id);
        hub.process.configure(&format!("\n[retention]\ncadence_s = 1\n{rules}")).unwrap();
        hub.process.start().unwrap();
        hub.save_profile("operator");
        hub.add_account("officer", "officer");
        hub
    });
    hubs[0].add_account("platform", "platform");
    pin(&hubs[0], &hubs[1], "full");
    hubs[1].publish("be-advance");
    hubs.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_has_to_keep_something_says_by_which_rule_until_when_and_an_order_above_it_ends_it()
 {
    let dir = tempfile::tempdir().unwrap();
    let rule = "[[retention.rules]]\ncode = \"UCC-51\"\nparts = [\"value\"]\ncountries = [\"BE\"]\nkeep_days = 1095\n";
    let (ke, be) = with_rules(dir.path(), ["", rule]);
    let filed = file(&mut ke.trade("platform").await, advance("KEEP-1", "KE", "BE")).await;
    let id = filed.case_id.as_str();
    shows(&ke, "officer", id, CaseState::Cleared).await;
    // Parts alone: the header stays, and says what is gone. Belgium keeps them as long as the case is open, and says so.
    ke.json("officer", &["case", "erase", id, "--reason", "GDPR-17", "--part", "parties"]);
    until("Belgium's answer", || async {
        let case = case(&ke, "officer", id).await?;
        let kept = case.kept.first()?.kept.first()?.clone();
        (kept.rule == "OPEN-CASE" && kept.until_ms == 0).then_some(())
    })
    .await;
    let held = case(&be, "officer", id).await.unwrap();
    assert!(held.filings[0].withheld_parts.iter().all(|p| p != "parties"));
    withdraw(&ke, &be, id).await;
    for hub in [&ke, &be] {
        until("parties to go", || async {
            let case = case(hub, "officer", id).await?;
            let filing = case.filings.first()?;
            let gone = filing.withheld_parts.iter().any(|p| p == "parties");
            (gone && filing.filing.as_ref()?.value.is_some()).then_some(())
        })
        .await;
    }
    // All of it: Belgium keeps the value, and says so.
    ke.json("officer", &["case", "erase", id, "--reason", "GDPR-17"]);
    let told = until("Belgium's answer", || async {
        let case = case(&ke, "officer", id).await?;
        let rule = |k: &v1::CaseKept| k.kept.iter().any(|k| k.rule == "UCC-51");
        case.kept.iter().any(rule).then_some(case)
    })
    .await;
    let answer = told.kept.iter().find(|k| k.kept.iter().any(|k| k.rule == "UCC-51")).unwrap();
    let kept = &answer.kept[0];
    assert_eq!((answer.hub.as_str(), kept.rule.as_str()), ("BE", "UCC-51"));
    assert_eq!(kept.parts, ["value", "core"], "the core stays as long as something does");
    let years = (kept.until_ms - told.created_ms) / 86_400_000;
    assert!((1094..=1095).contains(&years), "{years}");
    let shown = ke.run("officer", &["case", "show", id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("BE keeps value, core of KE log entry"), "{shown}");
    let there = case(&be, "officer", id).await.unwrap();
    let filing = there.filings[0].filing.as_ref().unwrap();
    assert!(filing.value.is_some() && filing.goods.is_none() && filing.core.is_some());
    // The withdrawal stays as long as the filing does: without it the case would be alive again.
    assert_eq!(there.state(), CaseState::Invalidated);
    // Belgium's own officer can't end it either, but for an order that stands above the rule.
    let refused = be.run("officer", &["case", "erase", id, "--reason", "COURT-1"]);
    let refused = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(refused.contains("kept-by-rule") && refused.contains("UCC-51 until"), "{refused}");
    let order = ["case", "erase", id, "--reason", "COURT-1", "--override-rules"];
    be.json("officer", &order);
    until("the end", || async { case(&be, "officer", id).await.filter(|c| c.filings.is_empty()) })
        .await;
    let refused = be.run("officer", &order);
    let refused = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(refused.contains("nothing-to-erase"), "{refused}");
    let rows = be.json("officer", &["case", "list"]);
    assert!(rows[0]["erased"].as_bool().unwrap(), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_keeps_any_more_goes_by_itself_at_both_hubs() {
    let dir = tempfile::tempdir().unwrap();
    // Kenya keeps parties of consignments to Belgium no day longer than it needs them.
    let rule = "[[retention.rules]]\ncode = \"KE-DPA-39\"\nparts = [\"parties\"]\ncountries = [\"BE\"]\nkeep_days = 0\n";
    let (ke, be) = with_rules(dir.path(), [rule, ""]);
    let mut trade = ke.trade("platform").await;
    let (to_be, home) = (advance("DUE-1", "KE", "BE"), advance("DUE-2", "KE", "KE"));
    let (to_be, home) = (file(&mut trade, to_be).await, file(&mut trade, home).await);
    shows(&ke, "officer", &to_be.case_id, CaseState::Cleared).await;
    withdraw(&ke, &be, &to_be.case_id).await;
    for hub in [&ke, &be] {
        let gone = until("the end of retention", || async {
            case(hub, "officer", &to_be.case_id).await.filter(|c| !c.erased.is_empty())
        })
        .await;
        let erased = &gone.erased[0];
        assert_eq!((erased.reason.as_str(), erased.by.as_str()), ("KE-DPA-39", "KE"));
        assert_eq!(erased.parts, ["parties"]);
        assert!(gone.filings[0].filing.as_ref().unwrap().value.is_some());
    }
    let other = case(&ke, "officer", &home.case_id).await.unwrap();
    assert!(other.erased.is_empty(), "another jurisdiction: {:?}", other.erased);
    // A receipt of what is left verifies, with a part less.
    let receipts = dir.path().join("receipts");
    ke.json("officer", &["receipt", "export", &to_be.case_id, "--out", receipts.to_str().unwrap()]);
    let mut files = std::fs::read_dir(&receipts).unwrap().map(|e| e.unwrap().path());
    let receipt = files.find(|p| p.to_string_lossy().contains("advance-filing")).unwrap();
    let chain = receipts.join("KE.descriptors.jsonl");
    let (receipt, chain) = (receipt.to_str().unwrap(), chain.to_str().unwrap());
    let (good, text) = run(&["receipt", "verify", receipt, "--descriptor", chain]);
    assert!(
        good && !std::fs::read_to_string(receipt).unwrap().contains("# part parties"),
        "{text}"
    );
}
