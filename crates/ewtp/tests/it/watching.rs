//! Hubs watch each other: cosignatures, settled heads, rotated keys and what becomes of a hub that is caught lying.

use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_testnet::http_get;

use crate::stage::{Hub, advance, case, file, pin, until};

const PASSPHRASE: &str = "a passphrase for tests";

/// A hub that looks every second.
pub(crate) fn watchful(dir: &std::path::Path, id: &str, more: &str) -> Hub {
    let mut hub = Hub::make(dir, id);
    let lines = format!("\n[witness]\ncadence_s = 1\n{more}\n[log]\npublish_s = 1\n");
    hub.process.configure(&lines).unwrap();
    hub.process.start().unwrap();
    hub.save_profile("operator");
    hub
}

impl Hub {
    /// `ewtp hub …` with the root key.
    pub(crate) fn signs(&self, args: &[&str]) -> serde_json::Value {
        let passphrase = self.process.dir.join("passphrase");
        std::fs::write(&passphrase, PASSPHRASE).unwrap();
        let (dir, file) =
            (self.process.dir.display().to_string(), passphrase.display().to_string());
        self.json("operator", &[args, &["--dir", &dir, "--passphrase-file", &file]].concat())
    }

    async fn descriptor_is(&self, version: u32) {
        until("the new descriptor", || async {
            (self.status().await.descriptor_version == version).then_some(())
        })
        .await;
    }
}

/// Decision on the case that the hub shows.
async fn decision(hub: &Hub, profile: &str, id: &str) -> v1::CaseDecision {
    until("a decision", || async { case(hub, profile, id).await?.decisions.into_iter().next() })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_cosigned_and_settled_and_nothing_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let ke = watchful(dir.path(), "KE", "quorum = \"1 of SG, KE, BE\"");
    let be = watchful(dir.path(), "BE", "");
    let mut sg = watchful(dir.path(), "SG", "");
    for (a, b) in [(&ke, &be), (&ke, &sg), (&be, &sg)] {
        pin(a, b, "full");
    }
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    let accepted = file(&mut ke.trade("platform").await, advance("W-1", "KE", "BE")).await;
    let first = decision(&ke, "platform", &accepted.case_id).await;
    assert_eq!(first.settlement(), v1::Settlement::NotYet, "delivered, and not yet relied upon");

    // BE names SG as its witness: what BE said settles at KE.
    let named = sg.process.descriptor().display().to_string();
    assert_eq!(be.signs(&["hub", "witnesses", &named])["version"], 2);
    be.descriptor_is(2).await;
    until("the decision settles", || async {
        let decision = decision(&ke, "platform", &accepted.case_id).await;
        (decision.settlement() == v1::Settlement::Settled).then_some(())
    })
    .await;
    // The receipt carries the cosignature, and is verified with BE's descriptors alone.
    let out = dir.path().join("receipts").display().to_string();
    ke.json("platform", &["receipt", "export", &accepted.case_id, "--out", &out]);
    let receipt = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path());
    let receipt =
        receipt.into_iter().find(|p| p.display().to_string().contains("decision-")).unwrap();
    let chain = be.process.descriptor().display().to_string();
    let receipt = receipt.display().to_string();
    let verified = ke.json("platform", &["receipt", "verify", &receipt, "--descriptor", &chain]);
    assert_eq!(verified["witnesses"].as_array().unwrap().len(), 1, "{verified}");
    // The whole case in one file: both hubs' receipts, in order, with nothing but fingerprints from elsewhere.
    let bundle = dir.path().join("case.ewtp-case").display().to_string();
    ke.json("platform", &["receipt", "case", &accepted.case_id, "--out", &bundle, "--with-lane"]);
    let confirm = |hub: &Hub| {
        format!("--fingerprint={}={}", hub.process.hub, hub.process.chain.fingerprint().to_hex())
    };
    let (of_ke, of_be) = (confirm(&ke), confirm(&be));
    let told = ke.json("platform", &["receipt", "verify", &bundle, &of_ke, &of_be]);
    let said: Vec<_> =
        told["receipts"].as_array().unwrap().iter().map(|r| (&r["hub"], &r["kind"])).collect();
    assert_eq!(said[0], (&"KE".into(), &"filing".into()), "{told}");
    assert!(said.contains(&(&"BE".into(), &"decision".into())), "{told}");
    assert_eq!(told["fingerprints_not_confirmed"], serde_json::json!([]));
    let first = &told["receipts"][0];
    assert_eq!(first["lane"]["peer"], "BE", "{first}");
    assert!(
        first["not_proven"]
            .as_array()
            .unwrap()
            .iter()
            .any(|n| n.as_str().unwrap().contains("not witnessed"))
    );
    let text = std::fs::read_to_string(&bundle).unwrap();
    let (at, _) = text.match_indices("# part core\n").next().unwrap();
    let (head, tail) = text.split_at(at + 20);
    let changed = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
    std::fs::write(&bundle, changed).unwrap();
    assert_eq!(ke.run("platform", &["receipt", "verify", &bundle]).status.code(), Some(1));
    // The public head has it too.
    until("a cosigned public head", || async {
        let text = http_get(&be.process.public(), "/ewtp/g1/checkpoint")?;
        text.contains("log.sg.hub.example/ewtp/witness").then_some(())
    })
    .await;

    // Without the witness everything is delivered all the same.
    sg.process.kill().unwrap();
    let accepted = file(&mut ke.trade("platform").await, advance("W-2", "KE", "BE")).await;
    let second = decision(&ke, "platform", &accepted.case_id).await;
    assert_eq!(second.settlement(), v1::Settlement::NotYet);
    let metrics = http_get(&be.process.public(), "/metrics").unwrap();
    assert!(metrics.contains("ewtp_settled_lag_entries"), "{metrics}");
    sg.process.start().unwrap();
    until("it settles when the witness is back", || async {
        let decision = decision(&ke, "platform", &accepted.case_id).await;
        (decision.settlement() == v1::Settlement::Settled).then_some(())
    })
    .await;
}

/// A cosignature that left and was not stored would stand against the witness once its clock goes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_was_cosigned_is_cosigned_again_with_the_same_bytes_and_never_a_smaller_one() {
    let dir = tempfile::tempdir().unwrap();
    let ke = watchful(dir.path(), "KE", "");
    let mut sg = watchful(dir.path(), "SG", "");
    pin(&ke, &sg, "full");
    let head = |hub: &Hub| {
        hub.json("operator", &["log", "head"])["checkpoint"].as_str().unwrap().to_owned()
    };
    let size = |note: &str| note.lines().nth(1).unwrap().parse::<u64>().unwrap();
    let keys = ke.process.dir.join("data/keys");
    let tls = ewtp_tls::TlsIdentity::load(&keys.join("tls.crt"), &keys.join("tls.key")).unwrap();
    let ask = async |hub: &Hub, old_size: u64, note: &str| {
        let pins = vec![hub.process.server_spki];
        let channel = ewtp_hub::client::dial(&tls, &hub.process.federation(), pins).await.unwrap();
        let checkpoint = note.as_bytes().to_vec();
        let request = v1::AddCheckpointRequest { old_size, proof: Vec::new(), checkpoint };
        FederationServiceClient::new(channel)
            .add_checkpoint(request)
            .await
            .map(|r| r.into_inner().lines)
    };
    let early = head(&ke);
    let first = ask(&sg, 0, &early).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(ask(&sg, size(&early), &early).await.unwrap(), first);
    // Durable before it left: a killed witness knows what it signed.
    sg.process.kill().unwrap();
    sg.process.start().unwrap();
    assert_eq!(ask(&sg, size(&early), &early).await.unwrap(), first);
    ke.add_account("another", "platform");
    let late = head(&ke);
    let unproven = ask(&sg, size(&early), &late).await.unwrap_err();
    assert_eq!(unproven.code(), tonic::Code::FailedPrecondition, "{unproven}");
    let conflict = ask(&sg, 0, &late).await.unwrap_err();
    assert_eq!(conflict.code(), tonic::Code::Aborted, "{conflict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_slept_over_rotations_of_all_keys_finds_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut ke = watchful(dir.path(), "KE", "");
    let mut be = watchful(dir.path(), "BE", "");
    pin(&ke, &be, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    let early = file(&mut ke.trade("platform").await, advance("R-1", "KE", "BE")).await;
    decision(&ke, "platform", &early.case_id).await;
    let early_receipts = dir.path().join("early").display().to_string();
    ke.json("platform", &["receipt", "export", &early.case_id, "--out", &early_receipts]);
    // Where KE reads what BE publishes: here no web server stands before it.
    let public = format!("\n[peers.BE]\npublic = \"http://{}/ewtp\"\n", be.process.public());
    ke.process.configure(&public).unwrap();
    assert!(ke.process.stop().unwrap());

    let versions = [
        be.signs(&["hub", "rotate", "log"]),
        be.signs(&["hub", "rotate", "witness"]),
        be.signs(&["hub", "rotate", "root"]),
        be.signs(&["hub", "rotate", "tls", "--name", "127.0.0.1"]),
    ];
    assert_eq!(versions.map(|v| v["version"].as_u64().unwrap()), [2, 3, 4, 5]);
    be.descriptor_is(5).await;
    be.add_account("someone", "platform"); // a head under both log keys
    let head = be.json("operator", &["log", "head"]);
    assert_eq!(
        head["checkpoint"].as_str().unwrap().matches("— ").count(),
        2,
        "both keys sign: {head}"
    );
    be.signs(&["hub", "rotate", "log", "--finish"]);
    be.descriptor_is(6).await;
    be.add_account("somebody", "platform");
    let head = be.json("operator", &["log", "head"]);
    assert_eq!(head["checkpoint"].as_str().unwrap().matches("— ").count(), 1, "{head}");
    be.signs(&["hub", "rotate", "tls", "--finish"]);
    assert!(be.process.stop().unwrap());
    be.process.start().unwrap();
    // The operator's profile pins the listener's key.
    be.repin();

    ke.process.start().unwrap();
    let late = file(&mut ke.trade("platform").await, advance("R-2", "KE", "BE")).await;
    decision(&ke, "platform", &late.case_id).await;
    until("KE holds the whole chain", || async {
        let receipts = dir.path().join("late").display().to_string();
        let exported =
            ke.run("platform", &["receipt", "export", &late.case_id, "--out", &receipts]);
        let chain = std::fs::read_to_string(dir.path().join("late/BE.descriptors.jsonl")).ok()?;
        (exported.status.success() && chain.lines().count() == 7).then_some(())
    })
    .await;
    // What was proven before stays so under the longer chain.
    let chain = dir.path().join("late/BE.descriptors.jsonl").display().to_string();
    let fingerprint = be.process.chain.fingerprint().to_hex();
    for folder in ["early", "late"] {
        for entry in std::fs::read_dir(dir.path().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("BE-") {
                let args = [
                    "receipt",
                    "verify",
                    &path.display().to_string(),
                    "--descriptor",
                    &chain,
                    "--fingerprint",
                    &fingerprint,
                ];
                let verified = ke.run("platform", &args);
                assert!(
                    verified.status.success(),
                    "{name}: {}",
                    String::from_utf8_lossy(&verified.stderr)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_no_peer_cosigns_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let sg = watchful(dir.path(), "SG", "public = true");
    let key = sg.process.chain.newest().witness.clone().unwrap();
    let (vkey, name) = (key.to_text(), key.name().to_owned());
    let external = format!(
        "quorum = \"1 of {name}\"\n[[witness.external]]\nvkey = \"{vkey}\"\nurl = \"http://{}/witness\"",
        sg.process.public()
    );
    let ke = watchful(dir.path(), "KE", &external);
    // SG knows the log that it is asked about; KE knows SG as a key and an address alone.
    sg.add_peer(&ke, "full");
    ke.signs(&["hub", "witnesses", &vkey]);
    let note = until("a head that the witness cosigned", || async {
        let text = http_get(&ke.process.public(), "/ewtp/g1/checkpoint")?;
        text.contains(&name).then_some(text)
    })
    .await;
    let (head, note) =
        ewtp_log::Checkpoint::parse_note(note.split("\r\n\r\n").last().unwrap().as_bytes())
            .unwrap();
    assert!(head.size.0 > 1);
    assert_eq!(note.verify(&[key]).unwrap().witnesses.len(), 1);
    // Monitors read what it cosigned last.
    let log = ewtp_log::hash::sha256(&[head.origin.as_bytes()]).to_hex();
    let seen = http_get(&sg.process.public(), &format!("/witness/{log}/checkpoint")).unwrap();
    assert!(seen.contains(&head.origin) && seen.contains(&name), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_keys_that_broke_off_is_ended_and_two_at_once_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut ke = Hub::start(dir.path(), "KE");
    let keys = ke.process.dir.join("data/keys");
    ke.signs(&["hub", "rotate", "tls"]);
    // The power went after the certificate was moved, before its key was.
    std::fs::rename(keys.join("tls.next.crt"), keys.join("tls.crt")).unwrap();
    let held = std::fs::File::create(keys.join("lock")).unwrap();
    held.lock().unwrap();
    let root = ke.process.dir.join("passphrase").display().to_string();
    let at = ke.process.dir.display().to_string();
    let finish = ["hub", "rotate", "tls", "--finish", "--dir", &at, "--passphrase-file", &root];
    let refused = ke.run("operator", &finish);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("wait until it has ended"), "{told}");
    drop(held);
    ke.signs(&["hub", "rotate", "tls", "--finish"]);
    assert!(!keys.join("tls.next.key").exists());
    ke.process.stop().unwrap();
    ke.process.start().unwrap();
    ke.repin();
    ke.descriptor_is(3).await;
}
