//! No honest history yields evidence, whatever is put side by side from it: 100,000 pairs out of generated logs with several peers,
//! late addressing, replays of old heads, two log keys, and restores that repeat the last batch.

use ewtp_log::evidence::{DescriptorClaim, Evidence, EvidenceTrust, Subtree};
use ewtp_log::hash::leaf_hash;
use ewtp_log::lane::{LaneTable, Slot, lane_leaf, slot_blind};
use ewtp_log::note::{NoteSigner, Verified, VerifierKey};
use ewtp_log::opening::{LaneEntry, LanePath};
use ewtp_log::proof::TlogProof;
use ewtp_log::statement::{Header, StatementId, commitment};
use ewtp_log::tree::{Frontier, compact_range, inclusion_path, range_hashes};
use ewtp_log::{Checkpoint, Hash, HubId, LaneNumber, LogIndex, Origin, TreeSize};

const ORIGIN: &str = "dk.hub.example/log/g1";
const SLOT_KEY: [u8; 32] = [7; 32];
const PEERS: [&str; 3] = ["SG", "KR", "NZ"];

struct Trust {
    hub: HubId,
    keys: Vec<VerifierKey>,
}

impl EvidenceTrust for Trust {
    fn hub(&self) -> &HubId {
        &self.hub
    }
    fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }
    fn counts(&self, _: &Checkpoint, _: &Verified) -> bool {
        true
    }
    fn descriptor(&self, _: &str) -> Option<DescriptorClaim> {
        None
    }
}

/// xorshift64*: the same histories each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n.max(1) as u64) as usize
    }
}

/// A head as its hub signed it, with all that it can show under it.
struct Head {
    note: String,
    leaves: Vec<Hash>,
    lanes: Vec<Vec<(LogIndex, Hash)>>,
}

struct History {
    entries: Vec<Hash>,
    headers: Vec<(usize, String)>,
    lanes: Vec<Vec<(LogIndex, Hash)>>,
    heads: Vec<Head>,
}

fn signers() -> [NoteSigner; 2] {
    [1, 2].map(|seed| NoteSigner::log(ORIGIN, &[seed; 32]).unwrap())
}

fn witness() -> NoteSigner {
    NoteSigner::witness("kr.hub.example/witness", &[3; 32]).unwrap()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|l| tree.push_leaf(*l));
    tree.root()
}

impl History {
    fn new() -> Self {
        Self {
            entries: vec![Hash([9; 32])],
            headers: Vec::new(),
            lanes: vec![Vec::new(); 3],
            heads: Vec::new(),
        }
    }

    fn say(&mut self, chance: &mut Chance) {
        let number = self.headers.len() as u64 + 1;
        let header = Header {
            hub: "DK".into(),
            origin: ORIGIN.into(),
            nonce: [number as u8; 16],
            id: StatementId { kind: "decision".into(), subject: "DK-1".into(), number },
            time: "2026-01-01T00:00:00.000Z".into(),
            refs: Vec::new(),
            parts: vec![("core".into(), Hash([number as u8; 32]))],
            later: Vec::new(),
        };
        let text = header.to_text().unwrap();
        let (index, entry) = (self.entries.len(), commitment(text.as_bytes()));
        self.entries.push(entry);
        self.headers.push((index, text));
        for lane in &mut self.lanes {
            if chance.below(2) == 0 {
                lane.push((LogIndex(index as u64), entry));
            }
        }
    }

    /// An old entry for a peer that joined since; nothing is said twice.
    fn say_late(&mut self, chance: &mut Chance) {
        let peer = chance.below(3);
        let told = |i: usize| self.lanes[peer].iter().any(|(index, _)| index.0 == i as u64);
        let late = self.headers.iter().map(|(i, _)| *i).find(|i| !told(*i));
        if let Some(index) = late {
            self.lanes[peer].push((LogIndex(index as u64), self.entries[index]));
        }
    }

    fn table(lanes: &[Vec<(LogIndex, Hash)>], index: u64) -> (LaneTable, Vec<Slot>) {
        let slot = |(at, lane): (usize, &Vec<(LogIndex, Hash)>)| {
            let leaves: Vec<Hash> = lane.iter().map(|(i, c)| lane_leaf(*i, c)).collect();
            let peer = PEERS[at].parse().unwrap();
            Slot {
                slot: at as u16 + 2,
                peer,
                lane_size: leaves.len() as u64,
                lane_root: root(&leaves),
            }
        };
        let slots: Vec<Slot> = lanes.iter().enumerate().map(slot).collect();
        (LaneTable::new(&SLOT_KEY, LogIndex(index), 4, &slots), slots)
    }

    fn close(&mut self, chance: &mut Chance) {
        let (table, _) = Self::table(&self.lanes, self.entries.len() as u64);
        self.entries.push(table.entry());
        let leaves: Vec<Hash> = self.entries.iter().map(|e| leaf_hash(&e.0)).collect();
        let size = TreeSize(leaves.len() as u64);
        let text = Checkpoint { origin: ORIGIN.into(), size, root: root(&leaves) }.to_text();
        let [first, second] = signers();
        // Before, during and after the overlap of two keys.
        let mut note = match chance.below(3) {
            0 => first.sign(&text),
            1 => second.sign(&text),
            _ => first.sign(&text) + &second.sign_line(&text),
        };
        if chance.below(2) == 0 {
            note.push_str(&witness().cosign_line(&text, 1_767_225_600 + size.0));
        }
        self.heads.push(Head { note, leaves, lanes: self.lanes.clone() });
        // A restore that lost nothing signs the newest head again, maybe with another key.
        if chance.below(8) == 0 {
            let head = self.heads.last().unwrap();
            let again = Head {
                note: second.sign(&text),
                leaves: head.leaves.clone(),
                lanes: head.lanes.clone(),
            };
            self.heads.push(again);
        }
    }
}

impl Head {
    fn opening(&self, peer: usize, entry: Option<usize>) -> LanePath {
        let index = self.leaves.len() as u64 - 1;
        let (table, slots) = History::table(&self.lanes, index);
        let (slot, lane) = (&slots[peer], &self.lanes[peer]);
        let leaves: Vec<Hash> = lane.iter().map(|(i, c)| lane_leaf(*i, c)).collect();
        let path = |leaves: &[Hash], at: u64| {
            let Ok(path) = inclusion_path(leaves, at, leaves.len() as u64);
            path
        };
        LanePath {
            peer: slot.peer.clone(),
            slot: slot.slot,
            blind: slot_blind(&SLOT_KEY, LogIndex(index), slot.slot),
            size: slot.lane_size,
            root: slot.lane_root,
            table: table.path(slot.slot),
            log: path(&self.leaves, index),
            entry: entry.and_then(|at| lane.get(at).map(|e| (at, e))).map(
                |(at, (index, entry))| LaneEntry {
                    number: LaneNumber(at as u64 + 1),
                    index: *index,
                    commitment: *entry,
                    path: path(&leaves, at as u64),
                },
            ),
        }
    }

    fn proof(&self, index: usize) -> Option<TlogProof> {
        (index < self.leaves.len()).then(|| {
            let Ok(path) =
                inclusion_path(self.leaves.as_slice(), index as u64, self.leaves.len() as u64);
            TlogProof { extra: None, index: index as u64, path, checkpoint: self.note.clone() }
        })
    }

    fn subtree(&self, lo: u64, width: u64) -> Option<Subtree> {
        let (size, hi) = (self.leaves.len() as u64, lo + width);
        let hashes = |a: u64, b: u64| {
            let Ok(hashes) = range_hashes(self.leaves.as_slice(), a, b);
            hashes
        };
        (hi <= size).then(|| Subtree {
            lo,
            hi,
            hash: hashes(lo, hi)[0],
            left: hashes(0, lo),
            right: compact_range(hi, size).iter().flat_map(|(a, b)| hashes(*a, *b)).collect(),
        })
    }
}

#[test]
fn a_hundred_thousand_pairs_from_honest_histories_prove_nothing() {
    let (dk, origin): (HubId, Origin) = ("DK".parse().unwrap(), ORIGIN.parse().unwrap());
    let [first, second] = signers();
    let keys = vec![first.vkey().clone(), second.vkey().clone(), witness().vkey().clone()];
    let trust = Trust { hub: dk.clone(), keys };
    let mut chance = Chance(0x5eed);
    let (mut tried, mut opened) = (0, 0);
    while tried < 100_000 {
        let mut history = History::new();
        for _ in 0..3 + chance.below(6) {
            for _ in 0..chance.below(4) {
                history.say(&mut chance);
            }
            if chance.below(3) == 0 {
                history.say_late(&mut chance);
            }
            history.close(&mut chance);
        }
        for _ in 0..200 {
            let pick = |chance: &mut Chance| chance.below(history.heads.len());
            let (a, b) = (&history.heads[pick(&mut chance)], &history.heads[pick(&mut chance)]);
            let (peer, other) = (chance.below(3), chance.below(3));
            let (n, m) = (chance.below(6), chance.below(6));
            let evidence = match chance.below(6) {
                0 => Evidence::split(&dk, &origin, &a.note, &b.note),
                1 => Evidence::witness(&dk, &origin, &a.note, &b.note),
                2 => {
                    let width = 1 << chance.below(4);
                    let lo = width * chance.below(4) as u64;
                    let (Some(x), Some(y)) = (a.subtree(lo, width), b.subtree(lo, width)) else {
                        continue;
                    };
                    Evidence::fork(&dk, &origin, (&a.note, &x), (&b.note, &y))
                }
                3 => {
                    let (x, y) = (a.opening(peer, Some(n)), b.opening(other, Some(m)));
                    Evidence::lane(&dk, &origin, (&a.note, &x), (&b.note, &y))
                }
                4 => {
                    let lane = a.opening(peer, Some(n));
                    let Some(entry) = &lane.entry else { continue };
                    let at = if chance.below(2) == 0 { entry.index.0 as usize } else { m };
                    let (Some(proof), Some(held)) = (b.proof(at), history.entries.get(at)) else {
                        continue;
                    };
                    Evidence::lane_log(&dk, &origin, (&a.note, &lane), Some((held, &proof)))
                }
                _ => {
                    let said = |n: usize| history.headers.get(n);
                    let (Some(x), Some(y)) = (said(n), said(m)) else { continue };
                    let (Some(p), Some(q)) = (a.proof(x.0), b.proof(y.0)) else { continue };
                    Evidence::identity(&dk, &origin, (&x.1, &p), (&y.1, &q))
                }
            };
            tried += 1;
            let verdict = evidence.verify(&trust).unwrap_err();
            opened += u64::from(verdict.code() == "no contradiction");
        }
    }
    // What is tried has to open, else the test shows nothing; one kind in six needs both heads cosigned to say anything.
    assert!(opened * 10 > tried * 9, "{opened} of {tried} opened");
}
