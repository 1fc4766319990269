use ewtp_log::Checkpoint;
use ewtp_log::note::{Note, NoteSigner, SignatureLine, VerifierKey};
use ewtp_log::witness::{AddCheckpoint, LastHead};

use crate::vectors::{hex, json, ours, public, text};

/// A witness as a caller sees it: one log, statuses, and the head it cosigned last.
struct Witness {
    log: VerifierKey,
    signer: NoteSigner,
    last: Option<LastHead>,
}

impl Witness {
    fn add(&mut self, body: &[u8]) -> (u16, String) {
        let answer = AddCheckpoint::parse(body).and_then(|request| {
            let origin = request.head()?.origin;
            let keys: Vec<_> =
                [self.log.clone()].into_iter().filter(|k| k.name() == origin).collect();
            request.decide(&keys, self.last)
        });
        match answer {
            Ok(head) => {
                self.last = Some(LastHead { size: head.size.0, root: head.root });
                (200, self.signer.cosign_line(&head.to_text(), 1_767_225_600))
            }
            Err(ewtp_log::witness::WitnessRefusal::Conflict(size)) => (409, format!("{size}\n")),
            Err(refusal) => (refusal.status(), String::new()),
        }
    }
}

#[test]
fn the_recorded_dialogue_gets_its_statuses() {
    let Some(path) = public("witness/dialogue.json") else { return };
    let v = json(&path);
    let seed = hex(text(&v["witness_seed_hex"])).try_into().unwrap();
    let vkey = VerifierKey::parse(text(&v["witness_vkey"])).unwrap();
    let signer = NoteSigner::witness(vkey.name(), &seed).unwrap();
    assert_eq!(*signer.vkey(), vkey);
    let log = VerifierKey::parse(text(&v["log_vkey"])).unwrap();
    let mut witness = Witness { log: log.clone(), signer, last: None };
    for step in v["steps"].as_array().unwrap() {
        let (status, answer) = witness.add(text(&step["request"]).as_bytes());
        let also = step["also_status"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fits = u64::from(status) == step["status"].as_u64().unwrap()
            || also.iter().any(|s| s.as_u64() == Some(status.into()));
        assert!(fits, "{}: {status}", step["why"]);
        if let Some(want) = step["response"].as_str() {
            assert_eq!(answer, want, "{}", step["why"]);
        }
        if status == 200 {
            let request = AddCheckpoint::parse(text(&step["request"]).as_bytes()).unwrap();
            let cosigned = format!("{}{answer}", request.checkpoint);
            let note = Note::parse(cosigned.as_bytes()).unwrap();
            let verified = note.verify(&[log.clone(), vkey.clone()]).unwrap();
            assert_eq!(verified.witnesses.len(), 1);
        }
    }
    assert_eq!(Some(witness.last.unwrap().size), v["final_size"].as_u64());
}

#[test]
fn requests_and_cosignatures_are_made_byte_for_byte() {
    let v = json(&ours("worked_examples.json"));
    let w = &v["witness"];
    for name in ["add_checkpoint_request", "first_request"] {
        let request = AddCheckpoint::parse(text(&w[name]).as_bytes()).unwrap();
        assert_eq!(request.to_text(), text(&w[name]));
    }
    let seed = hex(text(&v["keys"]["witness"]["seed_hex"])).try_into().unwrap();
    let signer = NoteSigner::witness(text(&v["witness_name"]), &seed).unwrap();
    let log = VerifierKey::parse(text(&v["vkeys"]["log"])).unwrap();
    let of = |size: u64| {
        let all = v["checkpoints"].as_array().unwrap();
        let note = all.iter().find(|c| c["size"] == size).map(|c| text(&c["note"]));
        Checkpoint::parse_note(note.unwrap_or_default().as_bytes()).ok().map(|(head, _)| head)
    };
    let mut witness = Witness { log, signer, last: None };
    assert_eq!(witness.add(text(&w["first_request"]).as_bytes()).1, text(&w["response_200"]));
    // From size 3 on, with its proof.
    let three = v["consistency"].as_array().unwrap();
    let three = three.iter().find(|c| c["old"] == 3 && c["new"] == 5).unwrap();
    let root = crate::vectors::hash(&three["old_root"]);
    witness.last = Some(LastHead { size: 3, root });
    let (status, line) = witness.add(text(&w["add_checkpoint_request"]).as_bytes());
    assert_eq!((status, line.as_str()), (200, text(&w["response_200"])));
    witness.last = Some(LastHead { size: 3, root });
    let conflict = witness.add(text(&w["first_request"]).as_bytes());
    assert_eq!(conflict, (409, text(&w["response_409_when_latest_is_3"]).to_owned()));
    assert!(of(5).is_some());
}

#[test]
fn cosignature_fields_of_other_implementations_are_read() {
    let Some(path) = public("cosignature/cases.json") else { return };
    let v = json(&path);
    for case in v["timestamps"].as_array().unwrap() {
        let line = format!("— w.example {}\n", text(&case["signature_base64"]));
        let line = SignatureLine::parse_lines(&line).unwrap().remove(0);
        assert_eq!(line.cosigned_at(), case["posix_seconds"].as_u64(), "{case}");
    }
    for key in v["witness_keys"].as_array().unwrap() {
        let plain = VerifierKey::parse(text(&key["plain_vkey"])).unwrap();
        let seed = text(&key["signing_key"]).rsplit('+').next().unwrap();
        let seed: [u8; 33] = ewtp_log::base64::decode_array(seed).unwrap();
        let signer = NoteSigner::witness(plain.name(), seed[1..].try_into().unwrap()).unwrap();
        assert_eq!(signer.vkey().public(), plain.public());
        assert_ne!(signer.vkey().to_text(), plain.to_text(), "another type, another key id");
    }
}

#[test]
fn stored_notes_keep_known_lines_alone_and_in_order() {
    let log = NoteSigner::log("dk.hub.example/log/g1", &[1; 32]).unwrap();
    let [kr, be, junk] = ["kr.hub.example/witness", "be.hub.example/witness", "junk.example/w"]
        .map(|name| NoteSigner::witness(name, &[3; 32]).unwrap());
    let text = "dk.hub.example/log/g1\n1\nmRvwvwHC71nnzE1ZYW9rRaQk2Ddv3flDJ3tx/Nh0GFo=\n";
    let lines = [&kr, &junk, &be].map(|s| s.cosign_line(text, 7)).concat() + &log.sign_line(text);
    let note = Note::parse(format!("{text}\n{lines}").as_bytes()).unwrap();
    let known = [log.vkey(), kr.vkey(), be.vkey()].map(Clone::clone);
    let kept = note.keep(&known);
    let want = [log.sign_line(text), be.cosign_line(text, 7), kr.cosign_line(text, 7)].concat();
    assert_eq!(kept, format!("{text}\n{want}"));
    assert_eq!(SignatureLine::parse_lines(&want).unwrap().len(), 3);
    assert!(SignatureLine::parse_lines("— a b").is_err());
}
