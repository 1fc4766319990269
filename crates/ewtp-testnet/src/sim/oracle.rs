//! The checkers: what must hold after every step, computed from durable bytes, from what clients were told, and from nothing
//! else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ewtp_proto::store::v1::{HeardPage, OwnStatement};
use ewtp_proto::{Message as _, v1};

use super::disk::Platter;
use super::goods::QUOTA_KG;
use super::reading::{Found, Hash, Tree, frame_at, id_of, millionths, sha256};

/// The promises, by the name under which a breach is told.
pub(crate) mod promise {
    pub(crate) const ACKNOWLEDGED: &str = "acknowledged means durable";
    pub(crate) const SHOWN: &str = "nothing is shown that is not durable";
    pub(crate) const ONCE: &str = "one decision per work item, one filing per LRN";
    pub(crate) const GAPLESS: &str = "lanes are gapless";
    pub(crate) const APPEND_ONLY: &str = "log and heads are append-only";
    pub(crate) const TIME: &str = "logged times never decrease";
    pub(crate) const SAME_STATE: &str = "both hubs compute the same state";
    pub(crate) const CONSERVED: &str = "value and mass are conserved";
    pub(crate) const AUDIENCE: &str = "no part leaves its audience";
    pub(crate) const SPENT: &str = "nothing is spent twice";
    pub(crate) const QUIET: &str = "everything is delivered and decided once faults end";
    pub(crate) const INNOCENT: &str = "nothing is proven against an honest hub";
    pub(crate) const WITNESS: &str = "a witness cosigns no smaller head";
    pub(crate) const ALIVE: &str = "hubs start again by themselves and answer";
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    pub(crate) promise: &'static str,
    pub(crate) what: String,
}

/// A statement that a hub said.
pub(crate) struct Own {
    pub(crate) commitment: Hash,
    /// Lane number by peer.
    pub(crate) audience: BTreeMap<String, u64>,
    /// Value and net mass in millionths, of filings.
    pub(crate) sums: Option<(i128, i128)>,
}

/// Work that nobody has done yet.
pub(crate) struct Open {
    /// Unix milliseconds; 0 if it can be done at once.
    waits_until_ms: u64,
    with_officer: bool,
}

/// What falls due this soon is waited for: it would be done while the hubs are compared.
const SOON_MS: u64 = 30_000;

/// What one hub has made durable.
pub(crate) struct Facts {
    /// Size cosigned last, by origin.
    witnessed: BTreeMap<String, u64>,
    pub(crate) hub: String,
    platter: Arc<Mutex<Platter>>,
    seen: u64,
    frames: u64,
    last: Option<(String, usize, Hash, usize)>,
    tree: Tree,
    time_ms: u64,
    pub(crate) own: BTreeMap<u64, Own>,
    /// Statements said, by peer.
    pub(crate) said: BTreeMap<String, u64>,
    /// Statements heard, by peer.
    pub(crate) heard: BTreeMap<String, u64>,
    pub(crate) heard_commitments: BTreeSet<Hash>,
    decisions: BTreeSet<(String, u32, i32)>,
    lrns: BTreeSet<Vec<u8>>,
    consumed: BTreeSet<String>,
    ledgers: BTreeMap<String, Ledger>,
    pub(crate) open: BTreeMap<String, Open>,
}

/// What the ledger of a certificate comes to, by its entries alone.
#[derive(Default)]
struct Ledger {
    entries: u64,
    /// Millionths of a kilogram that a case holds, and whether they are written off.
    held: BTreeMap<String, (i128, bool)>,
}

impl Ledger {
    fn take(
        &mut self,
        number: u64,
        core: &v1::LedgerCore,
        goods: &v1::LedgerGoods,
    ) -> Result<(), String> {
        use v1::LedgerEntry::{Refused, Released, Reserved, Unspecified, WrittenOff};
        let before = self.held.get(&core.case_id).copied();
        let mass = millionths(goods.quantities.iter().map(|q| q.value.as_str()));
        let sound = number == self.entries + 1
            && match core.entry() {
                Reserved => before.is_none_or(|(_, spent)| !spent),
                // Freed before its release was heard: it is spent all the same.
                WrittenOff => before.is_none() || before == Some((mass, false)),
                Released => before.is_some_and(|(_, spent)| !spent),
                Refused => true,
                Unspecified => false,
            };
        self.entries = number;
        match core.entry() {
            Reserved => drop(self.held.insert(core.case_id.clone(), (mass, false))),
            WrittenOff if before.is_none() => {}
            WrittenOff => drop(self.held.insert(core.case_id.clone(), (mass, true))),
            Released => drop(self.held.remove(&core.case_id)),
            Refused | Unspecified => {}
        }
        let sum: i128 = self.held.values().map(|(mass, _)| mass).sum();
        if sum > i128::from(QUOTA_KG) * 1_000_000 {
            return Err(format!("{sum} millionths of {QUOTA_KG} kg are held"));
        }
        if sound { Ok(()) } else { Err(format!("{:?} after {before:?}", core.entry())) }
    }
}

/// All hubs and what is wrong.
pub(crate) struct Oracle {
    pub(crate) hubs: Vec<Facts>,
    /// Parts that a hub shows another, by (from, to).
    pub(crate) scopes: BTreeMap<(String, String), Vec<&'static str>>,
    pub(crate) breaches: Vec<Breach>,
}

impl Oracle {
    pub(crate) fn new(
        hubs: Vec<(String, Arc<Mutex<Platter>>)>,
        scopes: BTreeMap<(String, String), Vec<&'static str>>,
    ) -> Self {
        let facts = |(hub, platter)| Facts {
            witnessed: BTreeMap::new(),
            hub,
            platter,
            seen: u64::MAX,
            frames: 0,
            last: None,
            tree: Tree::default(),
            time_ms: 0,
            own: BTreeMap::new(),
            said: BTreeMap::new(),
            heard: BTreeMap::new(),
            heard_commitments: BTreeSet::new(),
            decisions: BTreeSet::new(),
            lrns: BTreeSet::new(),
            consumed: BTreeSet::new(),
            ledgers: BTreeMap::new(),
            open: BTreeMap::new(),
        };
        Self { hubs: hubs.into_iter().map(facts).collect(), scopes, breaches: Vec::new() }
    }

    pub(crate) fn breach(&mut self, promise: &'static str, what: String) {
        if self.breaches.len() < 20 {
            self.breaches.push(Breach { promise, what });
        }
    }

    pub(crate) fn facts(&self, hub: &str) -> Option<&Facts> {
        self.hubs.iter().find(|f| f.hub == hub)
    }

    /// Reads what has become durable since it looked last, at all hubs.
    pub(crate) fn look(&mut self) {
        // What was said everywhere first: what one hub heard another has said before.
        let mut heard = Vec::new();
        for at in 0..self.hubs.len() {
            let changes =
                self.hubs[at].platter.lock().unwrap_or_else(PoisonError::into_inner).changes;
            if changes != self.hubs[at].seen {
                self.hubs[at].seen = changes;
                self.read(at, &mut heard);
            }
        }
        for (at, found) in heard {
            found.frame.heard.iter().for_each(|page| self.heard(at, &found, page));
        }
    }

    fn read(&mut self, at: usize, heard: &mut Vec<(usize, Found)>) {
        let platter = Arc::clone(&self.hubs[at].platter);
        let platter = platter.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.hubs[at].last.clone();
        if let Some((segment, offset, digest, length)) = &last {
            let bytes = platter.durable().find(|(name, _)| name == segment).map(|(_, b)| b);
            let there = bytes.and_then(|b| b.get(*offset..offset + length));
            if there.is_none_or(|b| sha256(&[b]) != *digest) {
                let what = format!(
                    "{}: durable frame {} is gone",
                    self.hubs[at].hub,
                    self.hubs[at].frames - 1
                );
                self.breach(promise::APPEND_ONLY, what);
                return;
            }
        }
        for (name, bytes) in platter.durable() {
            let mut offset = match &last {
                Some((segment, ..)) if name < segment.as_str() => continue,
                Some((segment, offset, _, length)) if name == segment => offset + length,
                _ => 0,
            };
            while let Some(found) = frame_at(name, bytes, offset) {
                if found.frame.sequence != self.hubs[at].frames {
                    break; // an older frame's remains behind the last good one
                }
                offset += found.bytes.len();
                self.take(at, &found);
                if !found.frame.heard.is_empty() {
                    heard.push((at, found));
                }
            }
        }
    }

    fn take(&mut self, at: usize, found: &Found) {
        let (frame, hub) = (&found.frame, self.hubs[at].hub.clone());
        if frame.time_ms < self.hubs[at].time_ms {
            let what = format!(
                "{hub}: frame {} is logged {} ms before the one before it",
                frame.sequence,
                self.hubs[at].time_ms - frame.time_ms
            );
            self.breach(promise::TIME, what);
        }
        let facts = &mut self.hubs[at];
        facts.time_ms = facts.time_ms.max(frame.time_ms);
        facts.frames += 1;
        facts.last =
            Some((found.segment.clone(), found.offset, sha256(&[&found.bytes]), found.bytes.len()));
        frame.raw_entries.iter().for_each(|e| facts.tree.push(e));
        for statement in &frame.own {
            self.own(at, found, statement);
        }
        if let Some(head) = &frame.head {
            let tree = &mut self.hubs[at].tree;
            tree.push(&head.table_entry);
            if tree.size != head.size || tree.head().as_slice() != head.root {
                let what = format!(
                    "{hub}: the head of frame {} is not that of its entries",
                    frame.sequence
                );
                self.breach(promise::APPEND_ONLY, what);
            }
        }
        for evidence in &frame.evidence {
            let what = format!("{hub}: {} is proven against {}", evidence.kind, evidence.against);
            self.breach(promise::INNOCENT, what);
        }
        for head in &frame.witnessed {
            let last = self.hubs[at].witnessed.insert(head.origin.clone(), head.size);
            if last.unwrap_or_default() != head.before || head.size <= head.before {
                let what = format!(
                    "{hub}: cosigned {} of {} after {last:?}, from {}",
                    head.size, head.origin, head.before
                );
                self.breach(promise::WITNESS, what);
            }
        }
        for id in &frame.work_consumed {
            if !self.hubs[at].consumed.insert(id.clone()) {
                self.breach(promise::ONCE, format!("{hub}: work {id} was done twice"));
            }
            self.hubs[at].open.remove(id);
        }
        for item in &frame.work_made {
            let with_officer = !item.officer_reason.is_empty();
            let open = Open { waits_until_ms: item.waits_until_ms, with_officer };
            self.hubs[at].open.insert(item.id.clone(), open);
        }
    }

    fn own(&mut self, at: usize, found: &Found, s: &OwnStatement) {
        let hub = self.hubs[at].hub.clone();
        let (commitment, id) = (sha256(&[&s.header]), id_of(&s.header));
        if s.index != self.hubs[at].tree.size {
            let what =
                format!("{hub}: statement {} stands at {}", s.index, self.hubs[at].tree.size);
            self.breach(promise::APPEND_ONLY, what);
        }
        self.hubs[at].tree.push(&commitment);
        if !s.lrn_key.is_empty() && !self.hubs[at].lrns.insert(s.lrn_key.clone()) {
            let what = format!("{hub}: two filings under one LRN, the second at {}", s.index);
            self.breach(promise::ONCE, what);
        }
        let mut audience = BTreeMap::new();
        for lane in &s.audience {
            let said = self.hubs[at].said.entry(lane.peer.clone()).or_default();
            *said += 1;
            if *said != lane.number {
                let what = format!(
                    "{hub}: lane number {} to {} comes after {}",
                    lane.number,
                    lane.peer,
                    *said - 1
                );
                *said = lane.number;
                self.breach(promise::GAPLESS, what);
            }
            audience.insert(lane.peer.clone(), lane.number);
        }
        let part = |name: &str| {
            let part = s.parts.iter().find(|p| p.name == name)?;
            found.content(part).map(<[u8]>::to_vec)
        };
        let core = part("core").unwrap_or_default();
        if id.kind == "decision"
            && let Ok(core) = v1::DecisionCore::decode(core.as_slice())
            && core.source() == v1::DecisionSource::Rules
        {
            let key = (core.filing_id, core.filing_version, core.effect);
            if !self.hubs[at].decisions.insert(key.clone()) {
                let what = format!(
                    "{hub}: a second decision on {} version {}, effect {}",
                    key.0, key.1, key.2
                );
                self.breach(promise::ONCE, what);
            }
        }
        if id.kind == "ledger"
            && let Ok(core) = v1::LedgerCore::decode(core.as_slice())
        {
            let goods = part("goods").and_then(|g| v1::LedgerGoods::decode(g.as_slice()).ok());
            let ledger = self.hubs[at].ledgers.entry(core.certificate_id.clone()).or_default();
            if let Err(wrong) = ledger.take(id.number, &core, &goods.unwrap_or_default()) {
                let what = format!("{hub}: {} entry {}: {wrong}", core.certificate_id, id.number);
                self.breach(promise::SPENT, what);
            }
        }
        let mut sums = None;
        if id.kind == "filing"
            && let (Some(goods), Some(value)) = (part("goods"), part("value"))
            && let (Ok(goods), Ok(value)) = (
                v1::FilingGoods::decode(goods.as_slice()),
                v1::FilingValue::decode(value.as_slice()),
            )
        {
            let values = value.items.iter().filter_map(|i| i.value.as_ref());
            sums = Some((
                millionths(values.map(|m| m.amount.as_str())),
                millionths(goods.items.iter().map(|i| i.net_mass_kg.as_str())),
            ));
        }
        self.hubs[at].own.insert(s.index, Own { commitment, audience, sums });
    }

    fn heard(&mut self, at: usize, found: &Found, page: &HeardPage) {
        let (me, peer) = (self.hubs[at].hub.clone(), page.peer.clone());
        let before = self.hubs[at].heard.get(&peer).copied().unwrap_or_default();
        if page.first != before + 1 {
            let what = format!("{me}: hears {} of {peer} after {before}", page.first);
            self.breach(promise::GAPLESS, what);
        }
        let after = before + page.statements.len() as u64;
        let state = page.state.clone().unwrap_or_default();
        if state.cursor != after {
            let what =
                format!("{me}: cursor {} at {peer} with {after} statements held", state.cursor);
            self.breach(promise::GAPLESS, what);
        }
        self.hubs[at].heard.insert(peer.clone(), after);
        let sender = self.hubs.iter().position(|f| f.hub == peer);
        let Some(sender) = sender else { return };
        let root = self.hubs[sender].tree.roots.get(&state.head_size);
        if root.is_none_or(|r| r.as_slice() != state.head_root) {
            let what = format!(
                "{me} holds a head of {peer} at size {} that {peer} never made durable",
                state.head_size
            );
            self.breach(promise::SHOWN, what);
        }
        let allowed = self.scopes.get(&(peer.clone(), me.clone())).cloned().unwrap_or_default();
        for (number, statement) in (page.first..).zip(&page.statements) {
            let commitment = sha256(&[&statement.header]);
            self.hubs[at].heard_commitments.insert(commitment);
            let own = self.hubs[sender].own.get(&statement.index);
            let durable = own.is_some_and(|o| {
                o.commitment == commitment && o.audience.get(&me) == Some(&number)
            });
            if !durable {
                let what = format!(
                    "{me} holds statement {} of {peer} (lane number {number}) that {peer} never made durable for it",
                    statement.index
                );
                self.breach(promise::SHOWN, what);
            }
            let surplus = statement
                .parts
                .iter()
                .find(|p| !allowed.contains(&p.name.as_str()) && found.content(p).is_some());
            if let Some(part) = surplus {
                let what = format!(
                    "{me} holds part {} of statement {} of {peer}",
                    part.name, statement.index
                );
                self.breach(promise::AUDIENCE, what);
            }
        }
    }

    /// A client was told that its filing is logged.
    pub(crate) fn acknowledged(&mut self, hub: usize, accepted: &v1::Accepted, sums: (i128, i128)) {
        self.look();
        let facts = &self.hubs[hub];
        let own = facts.own.get(&accepted.log_index);
        let held = own.filter(|o| o.commitment.as_slice() == accepted.commitment);
        let (name, index) = (facts.hub.clone(), accepted.log_index);
        match held {
            None => self.breach(
                promise::ACKNOWLEDGED,
                format!("{name} acknowledged log entry {index}, which is not durable"),
            ),
            Some(own) if own.sums != Some(sums) => {
                let what =
                    format!("{name}: entry {index} holds {:?}, filed was {sums:?}", own.sums);
                self.breach(promise::CONSERVED, what);
            }
            Some(_) => {}
        }
    }

    /// A running hub shows a head.
    pub(crate) fn shown(&mut self, hub: usize, size: u64) {
        let durable = self.hubs[hub].tree.size;
        if size > durable {
            let what =
                format!("{} shows a head of size {size}, {durable} is durable", self.hubs[hub].hub);
            self.breach(promise::SHOWN, what);
        }
    }

    /// What is still under way at an instant: lanes that are behind, work that nobody did.
    pub(crate) fn under_way(&self, now_ms: u64) -> Vec<String> {
        let mut out = Vec::new();
        for facts in &self.hubs {
            for (peer, said) in &facts.said {
                let heard = self.facts(peer).and_then(|f| f.heard.get(&facts.hub)).copied();
                if heard.unwrap_or_default() != *said {
                    out.push(format!(
                        "{peer} holds {} of {said} that {} said",
                        heard.unwrap_or_default(),
                        facts.hub
                    ));
                }
            }
            let due = |o: &Open| !o.with_officer && o.waits_until_ms <= now_ms + SOON_MS;
            let open = facts.open.iter().find(|(_, o)| due(o));
            if let Some((id, _)) = open {
                out.push(format!("{}: work {id} is not done", facts.hub));
            }
        }
        out
    }
}
