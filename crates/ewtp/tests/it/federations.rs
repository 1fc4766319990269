//! Federations of one hub and of two hundred: nothing waits for a cosignature.

use std::path::Path;

use ed25519_dalek::SigningKey;
use ewtp_log::hash::sha256;
use ewtp_log::note::NoteSigner;
use ewtp_proto::v1;
use ewtp_testnet::http_get;
use ewtp_tls::TlsIdentity;
use ewtp_trade::Country;
use ewtp_trust::descriptor::{Descriptor, Environment, PAYLOAD_TYPE, Template};
use ewtp_trust::dsse::Envelope;
use v1::CaseState;

use crate::stage::{Hub, advance, case, file, pin, shows, until};
use crate::watching::watchful;

/// Hubs of a federation.
const ALL: usize = 200;

/// The descriptor of a hub of another country that nobody reaches: its verifier key as a witness, and the file.
fn away(dir: &Path, country: &str) -> (String, String) {
    let seed = sha256(&[country.as_bytes()]).0;
    let (root, lower) = (SigningKey::from_bytes(&seed), country.to_lowercase());
    let base = format!("log.{lower}.hub.example/ewtp");
    let witness = NoteSigner::witness(&format!("{base}/witness"), &seed).unwrap();
    let tls = TlsIdentity::generate(country, &["127.0.0.1".into()]).unwrap();
    let payload = Descriptor::first_payload(&Template {
        hub: country.parse().unwrap(),
        environment: Environment::Test,
        window_ms: (1_700_000_000_000, 5_000_000_000_000),
        root_keys: vec![root.verifying_key().to_bytes()],
        log_key: NoteSigner::log(&format!("{base}/g1"), &seed).unwrap().vkey().clone(),
        witness: Some(witness.vkey().clone()),
        tls_pins: vec![tls.spki()],
        // A port where nobody listens.
        endpoints: vec!["127.0.0.1:9".into()],
        log_url: format!("https://{base}"),
        territories: vec![country.to_owned()],
        offices: Vec::new(),
        competences: vec!["customs".into()],
        contact: String::new(),
    });
    let file = dir.join(format!("{country}.jsonl"));
    std::fs::write(&file, Envelope::sign(PAYLOAD_TYPE, &payload, &[&root])).unwrap();
    (witness.vkey().to_text(), file.display().to_string())
}

/// Codes of countries that have no hub here.
fn elsewhere() -> Vec<String> {
    let pairs = ('A'..='Z').flat_map(|a| ('A'..='Z').map(move |b| format!("{a}{b}")));
    pairs
        .filter(|c| Country::parse(c).is_some() && !["KE", "BE", "EU"].contains(&c.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_hubs_of_which_nearly_all_are_away_hold_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let others: Vec<(String, String, String)> = elsewhere()
        .into_iter()
        .take(ALL - 2)
        .map(|country| {
            let (witness, file) = away(dir.path(), &country);
            (country, witness, file)
        })
        .collect();
    assert_eq!(others.len(), ALL - 2);
    // As many witnesses as a hub may name, none of which answers, and a policy that wants all of them.
    let witnesses = &others[..15];
    let names: Vec<&str> = witnesses.iter().map(|(country, ..)| country.as_str()).collect();
    let policy = format!("quorum = \"15 of {}\"", names.join(", "));
    let (ke, be) = (watchful(dir.path(), "KE", &policy), watchful(dir.path(), "BE", &policy));
    for (_, _, file) in &others {
        let fingerprint = ewtp_trust::Chain::verify_file(&std::fs::read_to_string(file).unwrap());
        let fingerprint = fingerprint.unwrap().fingerprint().to_hex();
        ke.json(
            "operator",
            &["peer", "add", file, "--fingerprint", &fingerprint, "--scope", "full"],
        );
    }
    pin(&ke, &be, "full");
    let keys: Vec<&str> = witnesses.iter().map(|(_, key, _)| key.as_str()).collect();
    ke.signs(&[&["hub", "witnesses"], &keys[..]].concat());
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    let mut trade = ke.trade("platform").await;
    for n in 0..20 {
        let filed = file(&mut trade, advance(&format!("MANY-{n}"), "KE", "BE")).await;
        let cleared = shows(&ke, "platform", &filed.case_id, CaseState::Cleared).await;
        assert_eq!(cleared.decisions[0].settlement(), v1::Settlement::NotYet);
    }
    // To those that are away it is owed.
    let away = file(&mut trade, advance("MANY-AWAY", "KE", &others[100].0)).await;
    assert_eq!(away.audience, [others[100].0.clone()]);
    let peers = ke.json("operator", &["peer", "list"]);
    assert_eq!(peers.as_array().unwrap().len(), ALL - 1);
    let metrics = http_get(&ke.process.public(), "/metrics").unwrap();
    assert!(metrics.contains("ewtp_lane_lag_statements"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_alone_in_its_federation_decides_what_concerns_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let be: Hub = watchful(dir.path(), "BE", "quorum = \"1 of SG, KE\"");
    be.publish("be-advance");
    be.add_account("platform", "platform");
    let filed = file(&mut be.trade("platform").await, advance("ALONE-1", "BE", "BE")).await;
    until("a decision", || async {
        let case = case(&be, "platform", &filed.case_id).await?;
        (!case.decisions.is_empty()).then_some(())
    })
    .await;
    let out = dir.path().join("receipts").display().to_string();
    let rows = be.json("platform", &["receipt", "export", &filed.case_id, "--out", &out]);
    let row = &rows.as_array().unwrap()[0];
    let (receipt, chain) = (row["receipt"].as_str().unwrap(), row["descriptors"].as_str().unwrap());
    let told = be.json("platform", &["receipt", "verify", receipt, "--descriptor", chain]);
    let not_proven = told["not_proven"].as_array().unwrap();
    let unwitnessed = |n: &serde_json::Value| n.as_str().unwrap().contains("not witnessed");
    assert!(not_proven.iter().any(unwitnessed), "{told}");
}
