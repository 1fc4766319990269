//! Arrangements between two hubs over real lanes: agreed, amended while the two can't hear each other, suspended, ended.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::stage::{Hub, pin, repository, stops_whole, until};

fn show(hub: &Hub, peer: &str) -> Value {
    hub.json("operator", &["arrangement", "show", "--peer", peer])
}

/// What both conclude: documents, what is open, who suspends.
fn concluded(state: &Value) -> Value {
    let mut out = serde_json::json!({});
    for key in ["agreed", "open", "governs", "suspended_by"] {
        let plain = |mut document: Value| {
            if let Some(map) = document.as_object_mut() {
                map.remove("agreed_ms");
            }
            document
        };
        out[key] = match &state[key] {
            Value::Array(all) => all.iter().cloned().map(plain).collect(),
            one => plain(one.clone()),
        };
    }
    out
}

async fn same_at_both(be: &Hub, ke: &Hub, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until(what, || async {
        let (at_be, at_ke) = (concluded(&show(be, "KE")), concluded(&show(ke, "BE")));
        (at_be == at_ke && holds(&at_be)).then_some(at_be)
    })
    .await
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn propose(hub: &Hub, peer: &str, file: &Path) {
    hub.json("operator", &["arrangement", "propose", file.to_str().unwrap(), "--peer", peer]);
}

/// Digest of the open proposal, as it is accepted.
pub(crate) fn open_digest(state: &Value) -> String {
    let bytes = ewtp_log::base64::decode(state["open"]["digest"].as_str().unwrap()).unwrap();
    ewtp_log::Hash::from_slice(&bytes).unwrap().to_hex()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_agree_amend_across_a_partition_suspend_and_end_and_end_with_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let [mut be, mut ke] = ["BE", "KE"].map(|id| Hub::start(dir.path(), id));
    pin(&be, &ke, "full");
    let first = repository("samples/arrangement-be-ke.toml");
    let text = std::fs::read_to_string(&first).unwrap();

    // Refused with all that is wrong, before anything is said.
    let bad = write(dir.path(), "bad.toml", &text.replace("\"BE\", \"KE\"", "\"BE\", \"NL\""));
    let refused =
        ke.run("operator", &["arrangement", "propose", bad.to_str().unwrap(), "--peer", "BE"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), told.contains("one of BE, NL")), (Some(1), true), "{told}");

    propose(&ke, "BE", &first);
    let open = same_at_both(&be, &ke, "the proposal", |s| s["open"]["number"] == "1").await;
    assert_eq!(open["open"]["proposed_by"], "KE");
    let wrong = be.run("operator", &["arrangement", "accept", &"0".repeat(64), "--peer", "KE"]);
    assert_eq!(wrong.status.code(), Some(1), "nothing else than what was read is accepted");
    let digest = open_digest(&open);
    be.json("operator", &["arrangement", "accept", &digest, "--peer", "KE"]);
    same_at_both(&be, &ke, "the agreement", |s| s["governs"] == "1").await;
    let before_ms =
        be.json("operator", &["arrangement", "show", "--peer", "KE"])["steps"][0]["known_ms"]
            .as_str()
            .unwrap()
            .parse::<i64>()
            .unwrap();

    // As known when only the proposal was.
    let then = jiff::Timestamp::from_millisecond(before_ms).unwrap().to_string();
    let known = be.json("operator", &["arrangement", "show", "--peer", "KE", "--as-of", &then]);
    assert_eq!(
        (known["governs"].as_str(), known["why_not"].as_str()),
        (None, Some("nothing is agreed yet"))
    );

    // Both amend while neither hears the other.
    let next = ke.run("operator", &["arrangement", "show", "--peer", "BE", "--next"]);
    let next = String::from_utf8(next.stdout).unwrap();
    let ours = write(dir.path(), "ours.toml", &next.replace("20000 EUR", "30000 EUR"));
    let theirs = write(dir.path(), "theirs.toml", &next.replace("20000 EUR", "35000 EUR"));
    be.process.stop().unwrap();
    propose(&ke, "BE", &theirs);
    ke.process.stop().unwrap();
    be.process.start().unwrap();
    propose(&be, "KE", &ours);
    ke.process.start().unwrap();
    let crossed = same_at_both(&be, &ke, "the crossing", |s| s["open"]["number"] == "2").await;
    assert_eq!(crossed["open"]["proposed_by"], "BE", "the smaller id's stands");
    let diff = ke.json("operator", &["arrangement", "diff", "--peer", "BE"]);
    let lines: Vec<&str> =
        diff["differences"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(lines.len() == 2 && lines[1].contains("at most 30000 EUR"), "{lines:?}");
    // The counter-proposal names what it takes the place of, and stands at both.
    propose(&ke, "BE", &theirs);
    let countered =
        same_at_both(&be, &ke, "the counter-proposal", |s| s["open"]["proposed_by"] == "KE").await;
    be.json("operator", &["arrangement", "accept", &open_digest(&countered), "--peer", "KE"]);
    let amended = same_at_both(&be, &ke, "the amendment", |s| s["governs"] == "2").await;
    assert_eq!(amended["agreed"].as_array().unwrap().len(), 2);
    let lawyers = be.run("operator", &["arrangement", "show", "--peer", "KE", "--text"]);
    let lawyers = String::from_utf8(lawyers.stdout).unwrap();
    assert!(lawyers.contains("at most 35000 EUR") && lawyers.contains("Document 2"), "{lawyers}");

    ke.json("operator", &["arrangement", "suspend", "--peer", "BE", "--reason", "audit"]);
    let suspended =
        |s: &Value| s["suspended_by"] == serde_json::json!(["KE"]) && s["governs"].is_null();
    same_at_both(&be, &ke, "the suspension", suspended).await;
    let not_ours = be.run("operator", &["arrangement", "resume", "--peer", "KE", "--reason", "-"]);
    assert_eq!(not_ours.status.code(), Some(1), "a suspension is its sayer's to take back");
    ke.json("operator", &["arrangement", "resume", "--peer", "BE", "--reason", "audit passed"]);
    same_at_both(&be, &ke, "the resumption", |s| s["governs"] == "2").await;
    be.json("operator", &["arrangement", "end", "--peer", "KE", "--reason", "notice of 1 March"]);
    let ended = same_at_both(&be, &ke, "the end", |s| s["governs"].is_null()).await;
    assert!(ended["agreed"].as_array().unwrap().iter().all(|d| d["ended"] == true));
    let told = show(&ke, "BE");
    assert_eq!(told["why_not"], "it was ended");
    assert_eq!(told["steps"].as_array().unwrap().len(), 9, "{told}");

    [be, ke].into_iter().for_each(stops_whole);
}
