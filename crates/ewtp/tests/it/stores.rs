//! The store under a hub that is killed, and the tools for it.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};

use crate::stage::{Hub, advance, all_cases, file};

fn journal(hub: &Hub) -> std::path::PathBuf {
    hub.process.dir.join("data/store/journal/00000000000000000000.seg")
}

/// Offset behind the last frame, by the lengths in the frames' heads: padding may end a frame with zeros.
fn end_of(path: &std::path::Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut at = 0;
    while bytes[at..].starts_with(b"EWF1") {
        at += 24 + word(at + 12) + word(at + 16);
    }
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_rebuilt_to_the_same_keys_and_values_also_after_kills_inside_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(dir.path(), "KE");
    hub.publish("ke-export");
    hub.add_account("platform", "platform");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let mut trade = hub.trade("platform").await;
        for n in 0..20 {
            acknowledged.push(
                file(&mut trade, advance(&format!("R{round}-{n}"), "KE", "BE")).await.case_id,
            );
        }
        hub.process.kill().unwrap();
        if round == 1 {
            // A frame that the kill cut in half: good magic and sequence, but not all of it.
            let path = journal(&hub);
            let mut file = OpenOptions::new().write(true).open(&path).unwrap();
            file.seek(SeekFrom::Start(end_of(&path) as u64)).unwrap();
            file.write_all(b"EWF1\0\0\0\0\0\0\0\x40\0\0\x10\0\0\0\0\0torn").unwrap();
            file.sync_all().unwrap();
        }
        let home = hub.process.dir.display().to_string();
        let checked = hub.json("operator", &["store", "check", "--dir", &home]);
        assert_eq!(checked["differences"], serde_json::json!([]));
        assert_eq!(checked["journal_differences"], serde_json::json!([]));
        assert!(checked["heads"].as_u64().unwrap() > 20);
        if round == 2 {
            let rebuilt = hub.json("operator", &["store", "rebuild", "--dir", &home]);
            assert!(rebuilt["frames"].as_u64().unwrap() > 60);
            let checked = hub.json("operator", &["store", "check", "--dir", &home]);
            assert_eq!(checked["differences"], serde_json::json!([]));
        }
        hub.process.start().unwrap();
    }
    let cases = all_cases(&mut hub.trade("platform").await).await;
    let listed: Vec<String> = cases.into_iter().map(|c| c.case_id).collect();
    assert_eq!(listed, acknowledged, "all of them, once, in order");
}

#[test]
fn a_newer_schema_and_a_readable_key_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(dir.path(), "KE");
    assert!(hub.process.stop().unwrap(), "SIGTERM ends well");
    let config = hub.process.config().display().to_string();
    let schema = hub.process.dir.join("data/store/schema");
    let known = ewtp_store::SCHEMA_VERSION;
    std::fs::write(&schema, format!("{}\n", known + 1)).unwrap();
    let refused = hub.run("operator", &["hub", "run", "--config", &config]);
    let why = format!("schema {}, this program knows {known}", known + 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&why));
    std::fs::write(&schema, "1\n").unwrap();
    let key = hub.process.dir.join("data/keys/log.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let refused = hub.run("operator", &["hub", "run", "--config", &config, "--check"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chmod 600"));
    // The state of an older schema is built anew from the journal.
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    hub.process.start().unwrap();
    assert_eq!(std::fs::read_to_string(&schema).unwrap(), format!("{known}\n"));
}

#[test]
fn configuration_is_checked_and_the_environment_overrides_it() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::make(dir.path(), "KE");
    let config = hub.process.config().display().to_string();
    let check = |key: &str, value: &str| {
        let output = std::process::Command::new(crate::stage::EWTP)
            .args(["hub", "run", "--check", "--config", &config])
            .env(key, value)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(check("EWTP_LIMITS__BATCH", "64").0);
    let (good, said) = check("EWTP_LIMITS__BATCH", "0");
    assert!(!good && said.contains("limits.batch") && said.contains("1 to 1000000"), "{said}");
    let (good, said) = check("EWTP_LIMITS__BATSH", "1");
    assert!(!good && said.contains("batsh"), "{said}");
    let (good, said) = check("EWTP_HUB", "ke");
    assert!(!good && said.contains("CC or CC-NAME"), "{said}");
}
