//! Retired keys: the table of formats.md section 13, closing heads that deny what was said, and evidence by stolen keys.

use std::cmp::Ordering;

use ed25519_dalek::SigningKey;
use ewtp_log::evidence::Evidence;
use ewtp_log::note::{Note, NoteSigner};
use ewtp_log::{Checkpoint, Hash, HubId, Origin, TreeSize};
use ewtp_trust::chain::{Chain, ChainError};
use ewtp_trust::descriptor::{Descriptor, Environment, PAYLOAD_TYPE, Template};
use ewtp_trust::dsse::Envelope;
use ewtp_trust::retired::{
    Cosigned, KeyStanding, RetiredVerdict, RetirementRefused, check_retirement, standing, verdict,
};
use ewtp_trust::revision::Revision;
use ewtp_trust::{ChainTrust, retired};
use serde_json::Value;

const ORIGIN: &str = "dk.hub.example/log/g1";
const START_MS: u64 = 1_767_225_600_000;
/// When the old key is retired.
const END_MS: u64 = START_MS + 1_000_000;

#[test]
fn the_table_of_verdicts_is_that_of_the_vectors() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors/lanes/encodings.json");
    let v: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let rows = v["retired_key"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    for row in rows {
        let size = match row["size_against_closing_head"].as_str().unwrap() {
            "below" => Ordering::Less,
            "equal" => Ordering::Equal,
            _ => Ordering::Greater,
        };
        let cosigned = match row["quorum_cosigned"].as_str() {
            None => Cosigned::No,
            Some("before") => Cosigned::Before,
            Some(_) => Cosigned::After,
        };
        let got = verdict(size, row["joined_to_it"].as_bool().unwrap(), cosigned);
        let words = match got {
            RetiredVerdict::Counts => "counts",
            RetiredVerdict::Misconduct => "misconduct",
            RetiredVerdict::RefuseRetirement => "refuse the retirement",
            RetiredVerdict::MisconductAndRefuse => "misconduct, refuse the retirement",
            RetiredVerdict::KeyMisuse => "key misuse",
        };
        assert_eq!(words, row["verdict"].as_str().unwrap(), "{row}");
        assert_eq!(got.counts(), got != RetiredVerdict::KeyMisuse);
    }
}

/// A hub that names three witnesses, with its old and its next log key.
struct Hub {
    root: SigningKey,
    chain: Chain,
    old: NoteSigner,
    next: NoteSigner,
    witnesses: Vec<NoteSigner>,
}

impl Hub {
    fn new() -> Self {
        let root = SigningKey::from_bytes(&[4; 32]);
        let log = |seed: u8| NoteSigner::log(ORIGIN, &[seed; 32]).unwrap();
        let (old, next) = (log(1), log(2));
        let witness = |n: u8| NoteSigner::witness(&format!("w{n}.example/witness"), &[10 + n; 32]);
        let witnesses: Vec<NoteSigner> = (0..3).map(|n| witness(n).unwrap()).collect();
        let first = Descriptor::first_payload(&Template {
            hub: "DK".parse().unwrap(),
            environment: Environment::Test,
            window_ms: (START_MS, START_MS + 100_000_000_000),
            root_keys: vec![root.verifying_key().to_bytes()],
            log_key: old.vkey().clone(),
            witness: None,
            tls_pins: vec![[9; 32]],
            endpoints: vec!["dk.hub.example:7443".into()],
            log_url: "https://dk.hub.example/log".into(),
            territories: vec!["DK".into()],
            offices: vec!["DK*".into()],
            competences: vec!["customs".into()],
            contact: "ops@dk.example".into(),
        });
        let chain = Chain::verify(&[Envelope::sign(PAYLOAD_TYPE, &first, &[&root])]).unwrap();
        let mut hub = Self { root, chain, old, next, witnesses };
        let (keys, next) = (
            hub.witnesses.iter().map(|w| w.vkey().clone()).collect::<Vec<_>>(),
            hub.next.vkey().clone(),
        );
        hub.revise(|r| {
            r.set_witnesses(&keys);
            r.add_log_key(&next, START_MS);
        });
        hub
    }

    fn revise(&mut self, change: impl FnOnce(&mut Revision)) {
        self.try_revise(change).unwrap();
    }

    fn try_revise(&mut self, change: impl FnOnce(&mut Revision)) -> Result<(), ChainError> {
        let mut revision = Revision::of(&self.chain, START_MS, START_MS + 100_000_000_000).unwrap();
        change(&mut revision);
        let (payload, _) = revision.payload().unwrap();
        self.chain.push(&Envelope::sign(PAYLOAD_TYPE, &payload, &[&self.root]))
    }

    /// A head of a size on a branch, by the old key, cosigned by so many witnesses at a time.
    fn head(&self, size: u64, branch: u8, cosigned: usize, at_ms: u64) -> String {
        let root = Hash([branch; 32]);
        let head = Checkpoint { origin: ORIGIN.into(), size: TreeSize(size), root }.to_text();
        let lines: String = self
            .witnesses
            .iter()
            .take(cosigned)
            .map(|w| w.cosign_line(&head, at_ms / 1000))
            .collect();
        self.old.sign(&head) + &lines
    }

    /// Retires the old key at a head.
    fn retire(&mut self, closing: &str) -> Result<(), RetirementRefused> {
        let key = self.old.vkey().clone();
        match self.try_revise(|r| r.retire_log_key(&key, END_MS, closing).unwrap()) {
            Err(ChainError::Retirement { source, .. }) => Err(source),
            other => {
                other.unwrap();
                Ok(())
            }
        }
    }

    fn standing(&self, note: &str) -> KeyStanding {
        let (head, parsed) = Checkpoint::parse_note(note.as_bytes()).unwrap();
        let verified = parsed.verify(&self.chain.receipt_trust().keys).unwrap();
        standing(&self.chain, &head, &verified)
    }
}

#[test]
fn a_closing_head_needs_its_key_and_a_quorum_and_denies_nothing_that_was_seen() {
    let closing = |cosigned| Hub::new().head(100, 1, cosigned, START_MS);
    assert!(Hub::new().retire(&closing(2)).is_ok());
    let few = Hub::new().retire(&closing(1)).unwrap_err();
    assert!(matches!(few, RetirementRefused::Quorum { needed: 2, got: 1, .. }), "{few}");
    let mut hub = Hub::new();
    let text = Note::parse(closing(2).as_bytes()).unwrap().text;
    let unsigned = hub.next.sign(&text);
    let unsigned = hub.retire(&unsigned).unwrap_err();
    assert!(matches!(unsigned, RetirementRefused::Unsigned(_)), "{unsigned}");
    // A verifier saw a head of the old key alone that the closing head denies.
    let hub = Hub::new();
    let before = hub.chain.newest().clone();
    let mut after = Hub::new();
    after.retire(&closing(2)).unwrap();
    let key = after.chain.log_key(hub.old.vkey()).unwrap().clone();
    let check = |note: String| {
        let (head, parsed) = Checkpoint::parse_note(note.as_bytes()).unwrap();
        let verified = parsed.verify(&hub.chain.receipt_trust().keys).unwrap();
        check_retirement(&before, &key, &[(head, verified)])
    };
    assert!(check(hub.head(99, 7, 0, START_MS)).is_ok(), "only the log itself could join it");
    assert!(check(hub.head(100, 1, 0, START_MS)).is_ok(), "the closing head itself");
    for denied in [hub.head(100, 7, 0, START_MS), hub.head(101, 1, 0, START_MS)] {
        assert!(matches!(check(denied), Err(RetirementRefused::Repudiates { closing: 100, .. })));
    }
    // Heads of the overlap carry the next key's signature too: they stand whatever becomes of the old one.
    let text = Note::parse(hub.head(101, 1, 0, START_MS).as_bytes()).unwrap().text;
    let both = hub.old.sign(&text) + &hub.next.sign_line(&text);
    assert!(check(both).is_ok());
}

#[test]
fn what_was_closed_stays_closed_and_no_key_is_taken_back() {
    let mut hub = Hub::new();
    let closing = hub.head(100, 1, 2, START_MS);
    hub.retire(&closing).unwrap();
    let key = hub.old.vkey().clone();
    // A later version that would unsay what the old key signed: by another closing head, or without the witnesses.
    let earlier = hub.head(1, 1, 3, START_MS);
    let moved = hub.try_revise(|r| r.retire_log_key(&key, END_MS, &earlier).unwrap());
    assert!(matches!(moved, Err(ChainError::Changed { .. })), "{moved:?}");
    hub.revise(|r| r.set_witnesses(&[]));
    // The witnesses that were named then go on vouching for what they cosigned then.
    let vouched = hub.head(50, 7, 2, END_MS - 1000);
    assert!(matches!(hub.standing(&vouched), KeyStanding::Retired { vouched: true, .. }));
}

#[test]
fn a_stolen_dead_key_convicts_nobody_and_what_a_quorum_cosigned_stays_said() {
    let mut hub = Hub::new();
    let closing = hub.head(100, 1, 2, START_MS);
    hub.retire(&closing).unwrap();
    let (dk, origin): (HubId, Origin) = ("DK".parse().unwrap(), ORIGIN.parse().unwrap());
    let (before, after) = (END_MS - 1000, END_MS + 60_000);
    for size in [50, 100, 101] {
        for cosigned in [0, 1, 2] {
            for at in [before, after] {
                // The thief's fork beside an honest head that a quorum cosigned in time.
                let (honest, forged) =
                    (hub.head(size, 1, 2, before), hub.head(size, 7, cosigned, at));
                let evidence = Evidence::split(&dk, &origin, &honest, &forged);
                let proven = evidence.verify(&ChainTrust::new(&hub.chain)).is_ok();
                let in_time = cosigned == 2 && at == before;
                assert_eq!(
                    proven, in_time,
                    "size {size}, {cosigned} cosignatures, in time: {in_time}"
                );
                let stands = hub.standing(&forged);
                match (size > 100, in_time) {
                    (_, true) => {
                        assert!(matches!(stands, KeyStanding::Retired { vouched: true, .. }))
                    }
                    (true, false) => assert_eq!(stands, KeyStanding::Misuse),
                    (false, false) => {
                        assert!(matches!(stands, KeyStanding::Retired { vouched: false, .. }));
                    }
                }
            }
        }
    }
    assert_eq!(retired::quorum_of(hub.chain.newest()), 2);
}

#[test]
fn a_descriptor_of_a_stranger_is_no_rival_and_two_of_one_version_are_evidence() {
    let mut hub = Hub::new();
    let honest = hub.chain.envelopes()[1].clone();
    let mut other = Hub::new();
    other.chain = Chain::verify(&hub.chain.envelopes()[..1]).unwrap();
    other.revise(|r| r.set_endpoints(&["elsewhere.example:7443".into()]));
    let rival = other.chain.envelopes()[1].clone();
    let (dk, origin): (HubId, Origin) = ("DK".parse().unwrap(), ORIGIN.parse().unwrap());
    let both = Evidence::descriptors(&dk, &origin, &honest, &rival);
    assert!(both.verify(&ChainTrust::new(&hub.chain)).is_ok());
    // Anybody can make a hub of that name with keys of their own.
    let mut stranger = Hub::new();
    stranger.root = SigningKey::from_bytes(&[99; 32]);
    let payload = Envelope::parse(&rival).unwrap().untrusted_payload().to_vec();
    let forged = Envelope::sign(PAYLOAD_TYPE, &payload, &[&stranger.root]);
    let framed = Evidence::descriptors(&dk, &origin, &honest, &forged);
    assert_eq!(framed.verify(&ChainTrust::new(&hub.chain)).unwrap_err().code(), "signature");
    hub.revise(|r| r.set_endpoints(&["third.example:7443".into()]));
    let later = Evidence::descriptors(&dk, &origin, &honest, &hub.chain.envelopes()[2]);
    assert_eq!(later.verify(&ChainTrust::new(&hub.chain)).unwrap_err().code(), "no contradiction");
}
