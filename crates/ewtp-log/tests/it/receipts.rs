use ewtp_log::hash::sha256;
use ewtp_log::note::VerifierKey;
use ewtp_log::receipt::{DescriptorRef, Receipt, ReceiptTrust};
use ewtp_log::{Hash, HubId};

use crate::vectors::{hash, json, ours, text};

fn trust() -> ReceiptTrust {
    let worked = json(&ours("worked_examples.json"));
    let history = json(&ours("lanes/history.json"));
    let vkey = |n: &str| VerifierKey::parse(text(&worked["vkeys"][n])).unwrap();
    ReceiptTrust {
        keys: vec![vkey("log"), vkey("witness")],
        descriptors: vec![DescriptorRef {
            hub: "DK".into(),
            version: 1,
            digest: hash(&history["entries"][0]["entry"]),
        }],
    }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(ours(&format!("lanes/receipts/{name}.ewtp-receipt"))).unwrap()
}

fn verdict(text: &str) -> &'static str {
    match Receipt::parse(text).and_then(|r| r.verify(&trust())) {
        Ok(_) => "accept",
        Err(refusal) => refusal.code(),
    }
}

#[test]
fn receipts_get_their_verdicts() {
    let verdicts = json(&ours("lanes/receipts/verdicts.json"));
    assert!(verdicts.as_object().unwrap().len() >= 19);
    for (name, want) in verdicts.as_object().unwrap() {
        assert_eq!(verdict(&read(name)), text(want), "{name}");
    }
}

#[test]
fn a_good_receipt_says_what_it_proves_and_is_written_back() {
    let file = read("decision-for-the-trader");
    let receipt = Receipt::parse(&file).unwrap();
    assert_eq!(receipt.to_text(), file);
    let proven = receipt.verify(&trust()).unwrap();
    assert_eq!(proven.header.id.kind, "decision");
    assert_eq!(proven.commitment, sha256(&[receipt.header.as_bytes()]));
    let (peer, number) = proven.lane.unwrap();
    assert_eq!((peer, number.unwrap().0), ("SG".parse::<HubId>().unwrap(), 2));
    assert_eq!(proven.signed_by.witnesses.len(), 1);
}

#[test]
fn every_subset_of_parts_verifies() {
    let receipt = Receipt::parse(&read("decision-for-the-trader")).unwrap();
    for keep in 0..1u32 << receipt.parts.len() {
        let mut subset = receipt.clone();
        let mut at = 0;
        subset.parts.retain(|_| {
            at += 1;
            keep >> (at - 1) & 1 == 1
        });
        assert_eq!(verdict(&subset.to_text()), "accept");
    }
}

#[test]
fn no_flipped_bit_of_a_receipt_is_accepted() {
    for name in ["decision-for-the-trader", "with-attachment", "internal-no-lane"] {
        let file = read(name).into_bytes();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut flipped = file.clone();
                flipped[at] ^= 1 << bit;
                let Ok(text) = String::from_utf8(flipped) else { continue };
                assert_ne!(verdict(&text), "accept", "{name}: byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn another_descriptor_chain_is_refused() {
    let receipt = Receipt::parse(&read("internal-no-lane")).unwrap();
    let mut other = trust();
    other.descriptors[0].digest = Hash::EMPTY_ROOT;
    assert_eq!(receipt.verify(&other).unwrap_err().code(), "descriptor");
}
