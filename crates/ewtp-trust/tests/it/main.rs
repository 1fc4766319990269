//! DSSE vectors, and chains that count and chains that don't.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use ed25519_dalek::SigningKey;
use ewtp_log::base64;
use ewtp_log::note::NoteSigner;
use ewtp_trust::chain::{Chain, ChainError};
use ewtp_trust::descriptor::{Descriptor, Environment, PAYLOAD_TYPE, Template};
use ewtp_trust::dsse::{Envelope, pae};
use serde_json::Value;

fn worked() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors/worked_examples.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn public(v: &Value, name: &str) -> [u8; 32] {
    let hex = v["keys"][name]["public_hex"].as_str().unwrap();
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
}

#[test]
fn dsse_envelopes_and_root_rotation_get_their_verdicts() {
    let v = worked();
    let d = &v["dsse"];
    assert_eq!(pae("", b""), d["pae_empty"].as_str().unwrap().as_bytes());
    let kind = "application/vnd.example.descriptor+json";
    let (old, new) = ([public(&v, "root1")], [public(&v, "root2")]);
    let open = |name: &str| Envelope::parse(&d[name].to_string()).unwrap();
    let first = open("v1_signed_by_root1");
    let payload = first.verify(kind, &old, 1).unwrap();
    assert_eq!(pae(kind, payload), d["pae_v1"].as_str().unwrap().as_bytes());
    let both = open("v2_signed_by_root1_and_root2");
    assert!(both.verify(kind, &old, 1).is_ok() && both.verify(kind, &new, 1).is_ok());
    assert!(both.verify("application/other", &old, 1).is_err(), "another type");
    assert!(open("v2_refuse_old_key_missing").verify(kind, &old, 1).is_err());
    assert!(open("v2_refuse_new_key_missing").verify(kind, &new, 1).is_err());
    let twice = open("v2_refuse_one_key_twice");
    assert!(twice.verify(kind, &[old[0], new[0]], 2).is_err(), "one key counted twice");
    let signed = Envelope::sign(kind, payload, &[&SigningKey::from_bytes(&[4; 32])]);
    assert_eq!(
        serde_json::from_str::<Value>(&signed).unwrap(),
        d["v1_signed_by_root1"],
        "byte for byte"
    );
}

struct Hub {
    root: SigningKey,
    payload: Value,
}

impl Hub {
    fn new() -> Self {
        let root = SigningKey::from_bytes(&[4; 32]);
        let log = NoteSigner::log("dk.hub.example/log/g1", &[1; 32]).unwrap();
        let payload = Descriptor::first_payload(&Template {
            hub: "DK".parse().unwrap(),
            environment: Environment::Test,
            window_ms: (1_767_225_600_000, 1_798_761_600_000),
            root_keys: vec![root.verifying_key().to_bytes()],
            log_key: log.vkey().clone(),
            witness: None,
            tls_pins: vec![[9; 32]],
            endpoints: vec!["dk.hub.example:7443".into()],
            log_url: "https://dk.hub.example/log".into(),
            territories: vec!["DK".into()],
            offices: vec!["DK*".into()],
            competences: vec!["customs".into()],
            contact: "ops@dk.example".into(),
        });
        Self { root, payload: serde_json::from_slice(&payload).unwrap() }
    }

    fn sign(&self, payload: &Value, keys: &[&SigningKey]) -> String {
        Envelope::sign(PAYLOAD_TYPE, payload.to_string().as_bytes(), keys)
    }

    /// The version after `before`, changed by `change`.
    fn next(&self, before: &Value, change: impl FnOnce(&mut Value)) -> Value {
        let digest = ewtp_log::hash::sha256(&[before.to_string().as_bytes()]);
        let mut next = before.clone();
        next["version"] = (before["version"].as_u64().unwrap() + 1).into();
        next["prev"] = digest.to_base64().into();
        change(&mut next);
        next
    }
}

#[test]
fn a_chain_grows_by_the_rule_and_by_nothing_else() {
    let hub = Hub::new();
    let v1 = hub.payload.clone();
    let e1 = hub.sign(&v1, &[&hub.root]);
    let v2 = hub.next(&v1, |v| v["contact"] = "night@dk.example".into());
    let e2 = hub.sign(&v2, &[&hub.root]);
    let chain = Chain::verify(&[&e1, &e2]).unwrap();
    assert_eq!(chain.newest().contact, "night@dk.example");
    assert_eq!(Chain::verify_file(&chain.to_file()).unwrap(), chain);
    chain.expect_fingerprint(&ewtp_log::hash::sha256(&[v1.to_string().as_bytes()])).unwrap();

    let stranger = SigningKey::from_bytes(&[5; 32]);
    let verdict =
        |next: &Value, keys: &[&SigningKey]| Chain::verify(&[e1.clone(), hub.sign(next, keys)]);
    assert!(matches!(verdict(&v2, &[&stranger]), Err(ChainError::Envelope { version: 2, .. })));
    let gap = hub.next(&v1, |v| v["version"] = 3.into());
    assert!(matches!(
        verdict(&gap, &[&hub.root]),
        Err(ChainError::Version { expected: 2, got: 3, .. })
    ));
    let forged = hub.next(&v1, |v| v["prev"] = base64::encode(&[0; 32]).into());
    assert_eq!(verdict(&forged, &[&hub.root]).unwrap_err(), ChainError::Prev(2));
    let moved = hub.next(&v1, |v| v["environment"] = "live".into());
    assert!(matches!(verdict(&moved, &[&hub.root]), Err(ChainError::Changed { .. })));
}

#[test]
fn a_root_changes_only_by_the_old_and_the_new_root() {
    let hub = Hub::new();
    let e1 = hub.sign(&hub.payload, &[&hub.root]);
    let new_root = SigningKey::from_bytes(&[5; 32]);
    let v2 = hub.next(&hub.payload, |v| {
        v["root"]["keys"] = vec![base64::encode(new_root.verifying_key().as_bytes())].into();
    });
    let verdict = |keys: &[&SigningKey]| Chain::verify(&[e1.clone(), hub.sign(&v2, keys)]).is_ok();
    assert!(verdict(&[&hub.root, &new_root]));
    assert!(!verdict(&[&hub.root]) && !verdict(&[&new_root]));
}

#[test]
fn duplicate_keys_and_wrong_fields_are_refused() {
    let hub = Hub::new();
    let good = hub.payload.to_string();
    assert!(Descriptor::parse(good.as_bytes()).is_ok());
    let twice = good.replacen("\"hub\":", "\"hub\":\"SE\",\"hub\":", 1);
    assert!(Descriptor::parse(twice.as_bytes()).unwrap_err().to_string().contains("twice"));
    for (name, value) in [
        ("hub", Value::from("dk")),
        ("environment", "prod".into()),
        ("version", 0.into()),
        ("prev", base64::encode(&[0; 32]).into()),
        ("issued", "yesterday".into()),
        ("tls_pins", vec!["abc"].into()),
        ("generations", Value::Array(Vec::new())),
    ] {
        let mut bad = hub.payload.clone();
        bad[name] = value;
        assert!(Descriptor::parse(bad.to_string().as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn log_keys_count_within_their_windows() {
    let mut hub = Hub::new();
    hub.payload["generations"][0]["keys"][0]["to"] = "2026-06-01T00:00:00Z".into();
    let chain = Chain::verify(&[hub.sign(&hub.payload, &[&hub.root])]).unwrap();
    assert_eq!(chain.log_keys(1_767_225_600_000).len(), 1);
    assert_eq!(chain.log_keys(1_767_225_599_999).len(), 0, "before its window");
    assert_eq!(chain.log_keys(1_780_272_000_000).len(), 0, "after its window");
    assert_eq!(chain.receipt_trust().keys.len(), 1, "old receipts stay verifiable");
}

mod retirement;
