//! What strangers check of a hub: its public log, with nothing but HTTP and a verifier key.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use ewtp_log::tile::TilePath;
use serde_json::Value;

use crate::stage::{EWTP, Hub, advance, file, until};

/// One GET with extra header lines: status, headers and body.
fn get(hub: &Hub, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(hub.process.public()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n{headers}\r\n")
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), bytes[split + 4..].to_vec())
}

fn run(args: &[&str]) -> (Option<i32>, Value, String) {
    let output = std::process::Command::new(EWTP).arg("--json").args(args).output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), json, String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn filings(hub: &Hub, prefix: &str, count: usize) {
    let mut trade = hub.trade("platform").await;
    for n in 0..count {
        file(&mut trade, advance(&format!("{prefix}-{n}"), "KE", "BE")).await;
    }
}

/// Size of the published head.
fn published(hub: &Hub) -> u64 {
    let (_, _, body) = get(hub, "/ewtp/g1/checkpoint", "");
    let note = String::from_utf8(body).unwrap();
    note.lines().nth(1).and_then(|l| l.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_verifies_the_whole_log_from_its_public_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut ke = Hub::make(dir.path(), "KE");
    ke.process.configure("\n[log]\npublish_s = 1\n").unwrap();
    ke.process.start().unwrap();
    ke.save_profile("operator");
    ke.add_account("platform", "platform");
    filings(&ke, "A", 150).await;
    let size =
        until("more than a tile", || async { Some(published(&ke)).filter(|s| *s > 300) }).await;

    let (status, head, _) = get(&ke, "/ewtp/g1/checkpoint", "");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    let (status, head, whole) = get(&ke, "/ewtp/g1/tile/0/000", "");
    assert_eq!((status, whole.len()), (200, 8192));
    assert!(head.contains("max-age=31536000, immutable"), "{head}");
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    let tag = head.lines().find_map(|l| l.strip_prefix("etag: ")).unwrap().to_owned();
    let (status, _, body) = get(&ke, "/ewtp/g1/tile/0/000", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((status, body.len()), (304, 0));
    // Any width that an older checkpoint needed stays there.
    let (_, _, part) = get(&ke, "/ewtp/g1/tile/0/000.p/7", "");
    assert_eq!(part, whole[..7 * 32]);
    let (_, _, bundle) = get(&ke, "/ewtp/g1/tile/entries/000.p/7", "");
    assert_eq!(bundle.len(), 7 * 34);
    let (_, head, _) = get(&ke, "/descriptors", "Accept-Encoding: gzip\r\n");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    for path in [
        "tile/0/001",
        "tile/0/009.p/1",
        "tile/entries/x001/000",
        "tile/0/000.p/256",
        "tile/9/000",
        "statements",
        "",
    ] {
        assert_eq!(get(&ke, &format!("/ewtp/g1/{path}"), "").0, 404, "{path}");
    }

    let base = format!("http://{}/ewtp/g1", ke.process.public());
    let vkey = ke.process.chain.log_keys(u64::MAX).first().unwrap().to_text();
    let state = dir.path().join("state.json").display().to_string();
    let audit = ["log", "audit", &base, "--vkey", &vkey, "--state", &state];
    let (code, first, said) = run(&audit);
    assert_eq!(code, Some(0), "{said}");
    assert!(first["size"].as_u64().unwrap() >= size && first["checked_before"] == 0);

    let mirror = dir.path().join("mirror");
    let copy = mirror.display().to_string();
    let (code, _, said) = run(&["log", "mirror", &base, &copy, "--vkey", &vkey]);
    assert_eq!(code, Some(0), "{said}");
    let old = dir.path().join("old-checkpoint");
    std::fs::copy(mirror.join("checkpoint"), &old).unwrap();

    filings(&ke, "B", 150).await;
    until("a second tile", || async { Some(published(&ke)).filter(|s| *s > size + 250) }).await;
    let (code, second, said) = run(&audit);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(second["checked_before"], first["size"], "it went on where it had stopped");
    let (code, _, said) = run(&["log", "mirror", &base, &copy, "--vkey", &vkey]);
    assert_eq!(code, Some(0), "{said}");
    let old = old.display().to_string();
    for larger in [&base, &copy] {
        let (code, said, _) = run(&["log", "consistency", &old, larger, "--vkey", &vkey]);
        assert_eq!((code, &said["consistent"]), (Some(0), &Value::Bool(true)), "{said}");
    }

    // A client that shares no code with this one comes to the same, over HTTP and from the copy.
    let older = std::fs::read(&old).unwrap();
    for place in [&base, &copy] {
        let verified = crate::stranger::verify(place, &vkey, Some(&older)).unwrap();
        assert!(verified >= size, "{place}");
    }
    // The copy stands alone.
    assert!(ke.process.stop().unwrap());
    let (code, alone, said) = run(&["log", "audit", &copy, "--vkey", &vkey]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(alone["size"], second["size"]);
    tampered(&mirror, &copy, &vkey);
}

/// No changed file of a copy is taken for the log.
fn tampered(mirror: &Path, copy: &str, vkey: &str) {
    for path in
        ["tile/entries/000", "tile/entries/001", "tile/0/000", "tile/0/001", "tile/1/000.p/2"]
    {
        let path: TilePath = path.parse().unwrap();
        let file = mirror.join(path.to_string());
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        let (code, _, said) = run(&["log", "audit", copy, "--vkey", vkey]);
        assert_eq!(code, Some(1), "{path}: {said}");
        assert!(said.contains("log not verified"), "{path}: {said}");
        assert!(crate::stranger::verify(copy, vkey, None).is_err(), "{path}");
        std::fs::write(&file, good).unwrap();
    }
    let checkpoint = mirror.join("checkpoint");
    let good = std::fs::read_to_string(&checkpoint).unwrap();
    let root = good.lines().nth(2).unwrap();
    std::fs::write(&checkpoint, good.replace(root, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="))
        .unwrap();
    let (code, _, said) = run(&["log", "audit", copy, "--vkey", vkey]);
    assert_eq!(code, Some(1), "{said}");
    std::fs::write(&checkpoint, good).unwrap();
    assert_eq!(run(&["log", "audit", copy, "--vkey", vkey]).0, Some(0), "as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_view_becomes_evidence_that_a_fresh_process_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::make(dir.path(), "KE");
    let origin = hub.process.chain.origin().unwrap().to_string();
    let seed = ewtp_tls::keyfile::read_seed(&hub.process.dir.join("data/keys/log.key")).unwrap();
    let signer = ewtp_log::note::NoteSigner::log(&origin, &seed).unwrap();
    let write = |name: &str, fill: u8, size: u64| {
        let root = ewtp_log::Hash([fill; 32]);
        let path = dir.path().join(name);
        std::fs::write(&path, signer.sign(&format!("{origin}\n{size}\n{root}\n"))).unwrap();
        path.display().to_string()
    };
    let (a, b, later) = (write("a", 1, 9), write("b", 2, 9), write("c", 3, 10));
    let descriptor = hub.process.descriptor().display().to_string();
    let fingerprint = hub.process.chain.fingerprint().to_hex();
    let trust = ["--descriptor", &descriptor, "--fingerprint", &fingerprint];
    let out = dir.path().join("split.ewtp-evidence").display().to_string();
    let args = ["log", "consistency", &a, &b, "--evidence", &out];
    let (code, said, _) = run(&[&args[..], &trust].concat());
    assert_eq!((code, &said["consistent"]), (Some(1), &Value::Bool(false)));
    let (code, proven, said) = run(&[&["evidence", "verify", &out][..], &trust].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&proven["kind"], &proven["against"]), (&"split".into(), &"KE".into()));
    // Two files of two sizes show nothing without tiles.
    let (code, _, said) = run(&[&["log", "consistency", &a, &later][..], &trust].concat());
    assert_eq!(code, Some(2), "{said}");
    // Against another hub's descriptor it is nothing.
    let other = Hub::make(dir.path(), "SE").process.descriptor().display().to_string();
    let (code, _, said) = run(&["evidence", "verify", &out, "--descriptor", &other]);
    assert_eq!(code, Some(1), "{said}");
}
