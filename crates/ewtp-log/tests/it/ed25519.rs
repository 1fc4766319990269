use ewtp_log::note::{strong_key, verify_ed25519};
use serde_json::Value;

use crate::vectors::{hex, json, public, text};

/// The strict verdict on any 32 bytes as a key: `VerifyingKey` is parsed without pinning rules here.
fn verify(key: &str, message: &[u8], signature: &str) -> bool {
    let Ok(key) = <[u8; 32]>::try_from(hex(key)) else { return false };
    ed25519_dalek::VerifyingKey::from_bytes(&key)
        .is_ok_and(|k| verify_ed25519(&k, message, &hex(signature)))
}

#[test]
fn wycheproof_accepts_exactly_the_valid_ones() {
    let Some(path) = public("wycheproof/ed25519_test.json") else { return };
    let v = json(&path);
    let mut seen = 0;
    for group in v["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let verdict = verify(
                text(&group["publicKey"]["pk"]),
                &hex(text(&test["msg"])),
                text(&test["sig"]),
            );
            assert_eq!(verdict, text(&test["result"]) == "valid", "{test}");
            seen += 1;
        }
    }
    assert_eq!(seen, 151);
}

#[test]
fn speccheck_accepts_case_3_alone() {
    let Some(path) = public("ed25519-speccheck/cases.json") else { return };
    let cases = json(&path);
    let accepted: Vec<usize> = cases
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, c)| {
            verify(text(&c["pub_key"]), &hex(text(&c["message"])), text(&c["signature"]))
        })
        .map(|(i, _)| i)
        .collect();
    assert_eq!(accepted, [3]);
}

#[test]
fn cctv_edge_cases_follow_strict_verification_and_flagged_keys_are_not_pinned() {
    let Some(path) = public("cctv-ed25519/ed25519vectors.json") else { return };
    let mut accepted = 0;
    for case in json(&path).as_array().unwrap() {
        let flags: Vec<&str> = match &case["flags"] {
            Value::Null => Vec::new(),
            v => v.as_array().unwrap().iter().map(text).collect(),
        };
        let harmless = |f: &&str| matches!(*f, "low_order_component_A" | "low_order_component_R");
        let verdict = verify(text(&case["key"]), text(&case["msg"]).as_bytes(), text(&case["sig"]));
        assert_eq!(verdict, flags.iter().all(harmless), "{case}");
        accepted += usize::from(verdict);
        if flags.iter().any(|f| f.ends_with("_A")) {
            let key: [u8; 32] = hex(text(&case["key"])).try_into().unwrap();
            assert!(strong_key(&key).is_none(), "{case}");
        }
    }
    assert_eq!(accepted, 43);
}
