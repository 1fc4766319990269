//! One target for each parser of something from outside. A target says whether it parsed, and panics where a promise is broken:
//! what parses is written back to what means the same, and what was changed is not taken for what was signed.

use std::sync::LazyLock;

use ewtp_log::case_file::CaseFile;
use ewtp_log::evidence::Evidence;
use ewtp_log::note::{Note, VerifierKey};
use ewtp_log::opening::LanePath;
use ewtp_log::page::{LaneState, LaneTrust, verify_page};
use ewtp_log::proof::TlogProof;
use ewtp_log::receipt::{Receipt, ReceiptTrust};
use ewtp_log::tile::{TilePath, TileTree, bundle_leaves, open_bundle};
use ewtp_log::witness::AddCheckpoint;
use ewtp_log::{Checkpoint, Header, HubId, Origin};
use ewtp_proto::{Message as _, v1};
use ewtp_trust::descriptor::Descriptor;
use ewtp_trust::dsse::Envelope;
use ewtp_trust::{Chain, ChainTrust};

use crate::seeds;

/// A parser under test.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Whether the input parsed.
    pub(crate) check: fn(&[u8]) -> bool,
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "note", check: note },
    Target { name: "checkpoint", check: checkpoint },
    Target { name: "vkey", check: vkey },
    Target { name: "tile-path", check: tile_path },
    Target { name: "bundle", check: bundle },
    Target { name: "tlog-proof", check: tlog_proof },
    Target { name: "witness", check: witness },
    Target { name: "header", check: header },
    Target { name: "page", check: page },
    Target { name: "receipt", check: receipt },
    Target { name: "evidence", check: evidence },
    Target { name: "case-file", check: case_file },
    Target { name: "descriptor", check: descriptor },
    Target { name: "chain", check: chain },
    Target { name: "cds", check: cds },
    Target { name: "ceb", check: ceb },
    Target { name: "tariff", check: tariff },
    Target { name: "arrangement", check: arrangement },
];

static KEYS: LazyLock<Vec<VerifierKey>> = LazyLock::new(|| {
    let worked = seeds::worked();
    let vkeys = worked["vkeys"].as_object().cloned().unwrap_or_default();
    vkeys.values().filter_map(|v| VerifierKey::parse(v.as_str()?).ok()).collect()
});

/// The text of each known key's good notes: nothing else may verify.
static SIGNED: LazyLock<Vec<String>> = LazyLock::new(|| {
    ["note", "checkpoint", "witness", "tlog-proof"]
        .iter()
        .flat_map(|t| seeds::of(t))
        .filter_map(|s| String::from_utf8(s).ok())
        .collect()
});

fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

fn note(input: &[u8]) -> bool {
    let Ok(note) = Note::parse(input) else { return false };
    if note.verify(&KEYS).is_ok() {
        let signed = SIGNED.iter().any(|s| s.contains(&note.text));
        assert!(signed, "a text that nobody signed verifies");
    }
    let kept = note.keep(&KEYS);
    assert!(kept.starts_with(&note.text), "the text is kept");
    true
}

fn checkpoint(input: &[u8]) -> bool {
    let Ok((head, note)) = Checkpoint::parse_note(input) else { return false };
    assert!(note.text.starts_with(&head.to_text()), "one reading of a head");
    true
}

fn vkey(input: &[u8]) -> bool {
    let Some(Ok(key)) = text(input).map(VerifierKey::parse) else { return false };
    assert_eq!(VerifierKey::parse(&key.to_text()).as_ref(), Ok(&key));
    true
}

fn tile_path(input: &[u8]) -> bool {
    let Some(Ok(path)) = text(input).map(str::parse::<TilePath>) else { return false };
    assert_eq!(text(input), Some(path.to_string().as_str()), "one path for each tile");
    true
}

fn bundle(input: &[u8]) -> bool {
    let Some(entries) = open_bundle(input) else { return false };
    let total: usize = entries.iter().map(|e| e.len() + 2).sum();
    assert_eq!(total, input.len());
    if let Ok(width) = u16::try_from(entries.len())
        && let Some(leaves) = bundle_leaves(input, width)
    {
        let mut tree = TileTree::default();
        tree.push(&leaves);
        assert_eq!(tree.size(), entries.len() as u64);
    }
    true
}

fn tlog_proof(input: &[u8]) -> bool {
    let Some(Ok(proof)) = text(input).map(TlogProof::parse) else { return false };
    assert_eq!(text(input), Some(proof.to_text().as_str()));
    true
}

fn witness(input: &[u8]) -> bool {
    let Ok(request) = AddCheckpoint::parse(input) else { return false };
    assert_eq!(text(input), Some(request.to_text().as_str()));
    if let Ok(head) = request.decide(&KEYS, None) {
        assert!(
            SIGNED.iter().any(|s| s.contains(&head.to_text())),
            "a head that nobody signed is cosigned"
        );
    }
    true
}

fn header(input: &[u8]) -> bool {
    let Ok(header) = Header::parse(input) else { return false };
    let written = header.to_text().unwrap_or_default();
    assert_eq!(text(input), Some(written.as_str()), "one text for each header");
    true
}

fn page(input: &[u8]) -> bool {
    let Ok(wire) = v1::Page::decode(input) else { return false };
    let Ok(page) = ewtp_hub::page_wire::from_wire(wire) else { return false };
    let (Ok(me), Ok(origin)) = ("SG".parse::<HubId>(), "dk.hub.example/log/g1".parse::<Origin>())
    else {
        return false;
    };
    let state = LaneState::default();
    let trust = LaneTrust { me: &me, origin: &origin, log_keys: &KEYS };
    // Whatever it says: no panic, and the state is the caller's.
    let _ = verify_page(&state, &page, &trust);
    true
}

fn receipt(input: &[u8]) -> bool {
    let Some(Ok(receipt)) = text(input).map(Receipt::parse) else { return false };
    assert_eq!(text(input), Some(receipt.to_text().as_str()), "one text for each receipt");
    let _ = receipt
        .verify(&ReceiptTrust { keys: KEYS.clone(), descriptors: receipt.descriptors.clone() });
    if let Some(lane) = &receipt.lane {
        assert_eq!(LanePath::parse(&lane.to_text()).as_ref(), Some(lane));
    }
    true
}

fn evidence(input: &[u8]) -> bool {
    static HUB: LazyLock<Option<Chain>> = LazyLock::new(|| {
        let seeds = seeds::of("chain");
        Chain::verify_file(std::str::from_utf8(seeds.first()?).ok()?).ok()
    });
    let Some(Ok(evidence)) = text(input).map(Evidence::parse) else { return false };
    assert_eq!(text(input), Some(evidence.to_text().as_str()), "one text for each evidence");
    if let Some(chain) = &*HUB {
        // The vectors' keys are none of this hub's.
        assert!(evidence.verify(&ChainTrust::new(chain)).is_err(), "a stranger is convicted");
    }
    true
}

fn case_file(input: &[u8]) -> bool {
    let Some(Ok(case)) = text(input).map(CaseFile::parse) else { return false };
    assert_eq!(text(input), Some(case.to_text().as_str()));
    for hub in case.hubs() {
        let _ = case.descriptors(hub);
    }
    case.receipts().for_each(|(_, text)| drop(Receipt::parse(text)));
    true
}

fn descriptor(input: &[u8]) -> bool {
    let Ok(descriptor) = Descriptor::parse(input) else { return false };
    assert!(
        descriptor.root_threshold >= 1 && descriptor.root_threshold <= descriptor.root_keys.len()
    );
    assert!(descriptor.witnesses.len() <= 15 && !descriptor.generations.is_empty());
    true
}

fn chain(input: &[u8]) -> bool {
    let Some(text) = text(input) else { return false };
    let _ = Envelope::parse(text.lines().next().unwrap_or_default());
    let Ok(chain) = Chain::verify_file(text) else { return false };
    let versions: Vec<u64> = chain.descriptors().iter().map(|d| d.version).collect();
    let counted: Vec<u64> = (1..=versions.len() as u64).collect();
    assert_eq!(versions, counted);
    true
}

/// A declaration that is read is written, and reads as the same filing again.
fn cds(input: &[u8]) -> bool {
    let Ok(filing) = ewtp_formats::cds::read(input) else { return false };
    let written = ewtp_formats::cds::write(&filing);
    let written = written.unwrap_or_else(|e| panic!("what was read isn't written: {e}"));
    assert!(written.lost.is_empty(), "lost: {:?}", written.lost);
    let again = ewtp_formats::cds::read(written.xml.as_bytes());
    let again = again.unwrap_or_else(|e| panic!("what was written isn't read: {e}"));
    assert!(again == filing, "another filing comes back");
    true
}

/// A message that is read is written, and by way of filings nothing of it gets lost.
fn ceb(input: &[u8]) -> bool {
    use ewtp_formats::ceb;
    let Ok(message) = ceb::read(input) else { return false };
    let xml = ceb::write(&message).unwrap_or_else(|e| panic!("what was read isn't written: {e}"));
    if message.is_filed() {
        let joined = ceb::join(std::slice::from_ref(&message));
        let filings: Vec<_> = joined.into_iter().flatten().map(|j| j.filing).collect();
        let made = ceb::messages(&filings).unwrap_or_default();
        assert!(made.lost.is_empty(), "lost: {:?}", made.lost);
        let back = made.messages.first().map(ceb::write);
        assert!(back == Some(Ok(xml)), "another message comes back");
    }
    true
}

/// An arrangement's document is refused with every fault, or reads as text and differs from itself in nothing.
fn arrangement(input: &[u8]) -> bool {
    use ewtp_clearance::arrangement::{Arrangement, differences, for_people};
    let Some(text) = text(input) else { return false };
    match Arrangement::parse(text) {
        Ok(document) => {
            assert!(for_people(&document).contains("Article 1"));
            assert!(differences(&document, &document).is_empty());
            true
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a fault");
            false
        }
    }
}

/// A ruleset or tariff is read or refused with every fault; a second look at one that is read ends.
fn tariff(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match ewtp_clearance::Ruleset::parse(text) {
        Ok(ruleset) => {
            let _ = ewtp_clearance::review::review(&ruleset);
            true
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a fault");
            false
        }
    }
}
