use ewtp_log::case_file::CaseFile;
use ewtp_log::evidence::{DescriptorClaim, Evidence, EvidenceKind, EvidenceTrust};
use ewtp_log::hash::sha256;
use ewtp_log::note::{Verified, VerifierKey};
use ewtp_log::receipt::Receipt;
use ewtp_log::{Checkpoint, HubId, base64};
use serde_json::Value;

use crate::vectors::{json, ours, text};

/// The vectors' stand-in descriptors: signed by one root key, of a shape of their own.
struct StandIns {
    hub: HubId,
    keys: Vec<VerifierKey>,
    root: ed25519_dalek::VerifyingKey,
}

impl EvidenceTrust for StandIns {
    fn hub(&self) -> &HubId {
        &self.hub
    }

    fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    fn counts(&self, _: &Checkpoint, _: &Verified) -> bool {
        true
    }

    fn descriptor(&self, envelope: &str) -> Option<DescriptorClaim> {
        let envelope: Value = serde_json::from_str(envelope).ok()?;
        let kind = envelope["payloadType"].as_str()?;
        let payload = base64::decode(envelope["payload"].as_str()?)?;
        let mut pae = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        pae.extend_from_slice(&payload);
        let sig = base64::decode(envelope["signatures"][0]["sig"].as_str()?)?;
        let good = ewtp_log::note::verify_ed25519(&self.root, &pae, &sig);
        let parsed: Value = serde_json::from_slice(&payload).ok().filter(|_| good)?;
        Some(DescriptorClaim {
            hub: parsed["hub"].as_str()?.to_owned(),
            version: parsed["version"].as_u64()?,
            digest: sha256(&[&payload]),
        })
    }
}

fn trust() -> StandIns {
    let v = json(&ours("worked_examples.json"));
    let key = |name: &str| VerifierKey::parse(text(&v["vkeys"][name])).unwrap();
    let root = ed25519_dalek::SigningKey::from_bytes(&[4; 32]).verifying_key();
    StandIns { hub: "DK".parse().unwrap(), keys: vec![key("log"), key("witness")], root }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(ours(&format!("lanes/evidence/{name}.ewtp-evidence"))).unwrap()
}

fn verdict(text: &str) -> &'static str {
    match Evidence::parse(text).and_then(|e| e.verify(&trust())) {
        Ok(()) => "proven",
        Err(why) => why.code(),
    }
}

#[test]
fn every_kind_of_evidence_gets_its_verdict_and_is_written_back() {
    let verdicts = json(&ours("lanes/evidence/verdicts.json"));
    for (name, want) in verdicts.as_object().unwrap() {
        let file = read(name);
        assert_eq!(verdict(&file), text(want), "{name}");
        assert_eq!(Evidence::parse(&file).unwrap().to_text(), file, "{name}");
    }
    let proven = |k: &EvidenceKind| text(&verdicts[k.word()]) == "proven";
    assert!(EvidenceKind::ALL.iter().all(proven), "one of each kind");
    let witness = Evidence::parse(&read("witness")).unwrap();
    assert_eq!(witness.convicted_witnesses(&trust()), [trust().keys[1].clone()]);
}

#[test]
fn no_flipped_bit_turns_innocence_into_guilt_nor_keeps_a_proof_of_another_text() {
    let verdicts = json(&ours("lanes/evidence/verdicts.json"));
    for name in verdicts.as_object().unwrap().keys() {
        let file = read(name).into_bytes();
        for at in (0..file.len()).step_by(2) {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << (at / 2 % 8);
            let Ok(text) = String::from_utf8(flipped) else { continue };
            let proven = verdict(&text) == "proven";
            // A descriptor's key id is a hint outside the signature, and another log of the same hub said the same: identity and
            // descriptor are about the hub.
            let beside = matches!(name.as_str(), "identity" | "descriptor");
            assert!(!proven || beside, "{name}: byte {at}");
        }
    }
}

#[test]
fn evidence_against_another_hub_or_log_proves_nothing() {
    for kind in EvidenceKind::ALL {
        let file = read(kind.word());
        let other_log =
            file.replace("against DK dk.hub.example/log/g1", "against DK dk.hub.example/log/g2");
        let holds = matches!(kind, EvidenceKind::Identity | EvidenceKind::Descriptor);
        assert_eq!(verdict(&other_log) == "proven", holds, "{kind:?}");
    }
    for kind in EvidenceKind::ALL {
        let other = read(kind.word()).replace("against DK", "against SE");
        assert_eq!(verdict(&other), "head", "{kind:?}");
    }
}

#[test]
fn a_case_file_is_taken_apart_and_put_together() {
    let file = std::fs::read_to_string(ours("lanes/case.ewtp-case")).unwrap();
    let case = CaseFile::parse(&file).unwrap();
    assert_eq!(case.to_text(), file);
    assert_eq!((case.hubs(), case.descriptors("DK").len()), (vec!["DK"], 1));
    let receipts: Vec<_> =
        case.receipts().map(|(name, text)| (name, Receipt::parse(text))).collect();
    assert_eq!(receipts.len(), 2);
    assert!(receipts.iter().all(|(_, r)| r.is_ok()));
    for bad in [
        file.replace("## end\n", ""),
        file.replace("## receipts/DK-g1-5", "## receipts/DK-g1-4"),
        file.replace("## receipts/DK-g1-5", "## ../DK-g1-5"),
        file.replace("ewtp-case/v1", "ewtp-case/v2"),
    ] {
        assert!(CaseFile::parse(&bad).is_err());
    }
}
