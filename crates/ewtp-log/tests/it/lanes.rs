use ewtp_log::hash::leaf_hash;
use ewtp_log::lane::{LaneTable, Slot, lane_leaf, slot_blind};
use ewtp_log::note::{NoteSigner, VerifierKey};
use ewtp_log::page::{
    EntryBody, HeadPart, LaneState, LaneTrust, Page, PageEntry, PageRefusal, PageVerdict,
    verify_page,
};
use ewtp_log::tree::Frontier;
use ewtp_log::{Checkpoint, Hash, HubId, LaneNumber, LogIndex, Origin, TreeSize};
use serde_json::Value;

use crate::vectors::{bytes, hash, json, ours, text};

fn frontier(v: &Value) -> Frontier {
    let nodes =
        v.as_array().unwrap().iter().map(|n| (n[0].as_u64().unwrap(), hash(&n[1]))).collect();
    Frontier::from_nodes(nodes).unwrap()
}

fn state(v: &Value) -> LaneState {
    LaneState {
        head_size: TreeSize(v["m"].as_u64().unwrap()),
        head_root: hash(&v["root"]),
        log: frontier(&v["log"]),
        cursor: v["k"].as_u64().unwrap(),
        lane: frontier(&v["lane"]),
        slot: v["slot"].as_u64().map(|s| u16::try_from(s).unwrap()),
        depth: u8::try_from(v["d"].as_u64().unwrap()).unwrap(),
        lane_size: v["lane_size"].as_u64().unwrap(),
        lane_root: hash(&v["lane_root"]),
    }
}

/// A page as the wire gives it: a hash of another length than 32 bytes is out of bounds before anything else.
fn page(v: &Value) -> Result<Page, PageRefusal> {
    let strict = |v: &Value| -> Result<Vec<Hash>, PageRefusal> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|h| Hash::from_slice(&bytes(h)).ok_or(PageRefusal::Bounds))
            .collect()
    };
    let entry = |e: &Value| {
        let body = match e.get("header") {
            Some(h) => EntryBody::Statement {
                header: text(h).as_bytes().to_vec(),
                parts: e["parts"]
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(|(n, b)| (n.clone(), bytes(b)))
                    .collect(),
            },
            None => EntryBody::Tombstone(
                Hash::from_slice(&bytes(&e["commitment"])).ok_or(PageRefusal::Bounds)?,
            ),
        };
        Ok(PageEntry { index: LogIndex(e["index"].as_u64().unwrap()), body })
    };
    let head = match v.get("head") {
        Some(h) if !h.is_null() => Some(HeadPart {
            checkpoint: text(&h["checkpoint"]).as_bytes().to_vec(),
            slot: u16::try_from(h["slot"].as_u64().unwrap()).map_err(|_| PageRefusal::Depth)?,
            blind: bytes(&h["blind"]).try_into().map_err(|_| PageRefusal::Bounds)?,
            lane_size: h["lane_size"].as_u64().unwrap(),
            slot_path: strict(&h["slot_path"])?,
            log_range: strict(&h["log_range"])?,
        }),
        _ => None,
    };
    Ok(Page {
        first: LaneNumber(v["first"].as_u64().unwrap()),
        head,
        entries: v["entries"].as_array().unwrap().iter().map(entry).collect::<Result<_, _>>()?,
        lane_range: strict(&v["lane_range"])?,
    })
}

struct Trusted {
    origin: Origin,
    keys: Vec<VerifierKey>,
}

impl Trusted {
    fn load() -> Self {
        let h = json(&ours("lanes/history.json"));
        Self {
            origin: text(&h["origin"]).parse().unwrap(),
            keys: vec![VerifierKey::parse(text(&h["log_vkey"])).unwrap()],
        }
    }

    fn judge(&self, state: &LaneState, page: &Value, me: &str) -> Result<PageVerdict, PageRefusal> {
        self.judge_page(state, &self::page(page)?, me)
    }

    fn judge_page(
        &self,
        state: &LaneState,
        page: &Page,
        me: &str,
    ) -> Result<PageVerdict, PageRefusal> {
        let me: HubId = me.parse().unwrap();
        verify_page(state, page, &LaneTrust { me: &me, origin: &self.origin, log_keys: &self.keys })
    }
}

#[test]
fn history_is_rebuilt_to_the_same_tables_roots_and_checkpoints() {
    let h = json(&ours("lanes/history.json"));
    let slot_key: [u8; 32] = bytes(&h["slot_key"]).try_into().unwrap();
    let signer = NoteSigner::log(text(&h["origin"]), &[1; 32]).unwrap();
    assert_eq!(signer.vkey().to_text(), text(&h["log_vkey"]));
    let entries: Vec<Hash> =
        h["entries"].as_array().unwrap().iter().map(|e| hash(&e["entry"])).collect();
    for head in h["heads"].as_array().unwrap() {
        let size = head["size"].as_u64().unwrap();
        let mut log = Frontier::default();
        entries.iter().take(size as usize).for_each(|e| log.push_leaf(leaf_hash(&e.0)));
        assert_eq!(log.root(), hash(&head["root"]));
        let table_index = LogIndex(head["table_index"].as_u64().unwrap());
        let depth = u8::try_from(head["d"].as_u64().unwrap()).unwrap();
        let mut slots = Vec::new();
        for (peer, s) in head["slots"].as_object().unwrap() {
            let slot = u16::try_from(s["slot"].as_u64().unwrap()).unwrap();
            assert_eq!(slot_blind(&slot_key, table_index, slot).as_slice(), bytes(&s["blind"]));
            let lane_size = s["lane_size"].as_u64().unwrap();
            let mut lane = Frontier::default();
            for e in h["lanes"][peer].as_array().unwrap().iter().take(lane_size as usize) {
                lane.push_leaf(lane_leaf(
                    LogIndex(e["log_index"].as_u64().unwrap()),
                    &hash(&e["commitment"]),
                ));
            }
            assert_eq!(lane.root(), hash(&s["lane_root"]), "{peer}");
            slots.push(Slot {
                slot,
                peer: peer.parse().unwrap(),
                lane_size,
                lane_root: lane.root(),
            });
        }
        let table = LaneTable::new(&slot_key, table_index, depth, &slots);
        assert_eq!(table.entry(), hash(&head["table_entry"]));
        for (peer, s) in head["slots"].as_object().unwrap() {
            let slot = s["slot"].as_u64().unwrap() as usize;
            assert_eq!(table.leaves()[slot], hash(&s["slot_leaf"]), "{peer}");
        }
        let checkpoint = Checkpoint {
            origin: text(&h["origin"]).into(),
            size: TreeSize(size),
            root: log.root(),
        };
        assert_eq!(signer.sign(&checkpoint.to_text()), text(&head["checkpoint"]));
    }
}

#[test]
fn pages_reach_the_states_of_the_vectors() {
    let trusted = Trusted::load();
    let runs = json(&ours("lanes/pages.json"));
    let mut pages = 0;
    for (name, run) in runs.as_object().unwrap() {
        let mut at = state(&run["start"]);
        for step in run["pages"].as_array().unwrap() {
            assert_eq!(text(&step["verdict"]), "accept");
            match trusted.judge(&at, &step["page"], text(&run["peer"])) {
                Ok(PageVerdict::Accept(next)) => at = *next,
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(at, state(&step["after"]), "{name}");
            pages += 1;
        }
    }
    assert!(pages >= 10);
}

#[test]
fn pages_to_refuse_get_their_verdicts() {
    let trusted = Trusted::load();
    let v = json(&ours("lanes/refuse.json"));
    let cases = v["cases"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let from = state(&v["states"][text(&case["state"])]);
        let verdict = match trusted.judge(&from, &case["page"], "SG") {
            Ok(PageVerdict::Accept(_)) => "accept",
            Ok(PageVerdict::Drop) => "drop",
            Err(refusal) => refusal.code(),
        };
        assert_eq!(verdict, text(&case["verdict"]), "{}", text(&case["why"]));
    }
}

#[test]
fn no_flipped_bit_of_a_good_page_is_accepted() {
    let trusted = Trusted::load();
    let v = json(&ours("lanes/refuse.json"));
    for name in ["s2", "s6"] {
        let from = state(&v["states"][name]);
        let good = page(&v["good"][name]).unwrap();
        assert!(matches!(trusted.judge_page(&from, &good, "SG"), Ok(PageVerdict::Accept(_))));
        let mut flipped = 0;
        for bad in flips(&good) {
            let verdict = trusted.judge_page(&from, &bad, "SG");
            assert!(!matches!(verdict, Ok(PageVerdict::Accept(_))), "{bad:?}");
            flipped += 1;
        }
        assert!(flipped > 4000, "{flipped}");
    }
}

/// Every single-bit change of every byte string and number of a page.
fn flips(good: &Page) -> Vec<Page> {
    let mut out = Vec::new();
    let mut each = |change: &dyn Fn(&mut Page, usize, u8) -> bool| {
        for byte in 0.. {
            let mut any = false;
            for bit in 0..8 {
                let mut page = good.clone();
                any = change(&mut page, byte, 1 << bit);
                if any {
                    out.push(page);
                }
            }
            if !any {
                break;
            }
        }
    };
    let flip =
        |bytes: &mut [u8], at: usize, mask: u8| bytes.get_mut(at).map(|b| *b ^= mask).is_some();
    for i in 0..good.lane_range.len() {
        each(&|p, at, m| flip(&mut p.lane_range[i].0, at, m));
    }
    if let Some(head) = &good.head {
        each(&|p, at, m| flip(&mut p.head.as_mut().unwrap().checkpoint, at, m));
        each(&|p, at, m| flip(&mut p.head.as_mut().unwrap().blind, at, m));
        for i in 0..head.slot_path.len() {
            each(&|p, at, m| flip(&mut p.head.as_mut().unwrap().slot_path[i].0, at, m));
        }
        for i in 0..head.log_range.len() {
            each(&|p, at, m| flip(&mut p.head.as_mut().unwrap().log_range[i].0, at, m));
        }
    }
    for i in 0..good.entries.len() {
        each(&|p, at, m| match &mut p.entries[i].body {
            EntryBody::Statement { header, .. } => flip(header, at, m),
            EntryBody::Tombstone(h) => flip(&mut h.0, at, m),
        });
        if let EntryBody::Statement { parts, .. } = &good.entries[i].body {
            for part in 0..parts.len() {
                each(&|p, at, m| match &mut p.entries[i].body {
                    // A blob beside a header that does not parse has no digest to match; the header's own flips cover it.
                    EntryBody::Statement { parts, .. } => flip(&mut parts[part].1, at, m),
                    EntryBody::Tombstone(_) => false,
                });
            }
        }
    }
    out
}
