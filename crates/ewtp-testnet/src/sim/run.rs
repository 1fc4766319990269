//! One simulation: a seed makes the network, the traffic and the faults; after every step the checkers look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use ewtp_hub::clock::seeded;
use ewtp_proto::v1;
use ewtp_store::planted::{self, Bug};

use super::boot::{Booted, boot, scopes};
use super::chance::Chance;
use super::clients::{Acked, Door, Platform, Trace, Yard};
use super::faults::Faults;
use super::fuse::Fuse;
use super::machines::{BEGIN_MS, Ended, HUBS, Home, Machine, Size, owners, run_for, runtime};
use super::net::Net;
use super::oracle::{Breach, Oracle, promise};
use super::reading::{millionths, sha256};
use crate::TestnetError;

/// Simulated milliseconds in which everything has to come to rest once faults end.
const REST: u64 = 120_000;

/// What a seed came to.
pub(crate) struct Outcome {
    pub(crate) breaches: Vec<Breach>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) acknowledged: usize,
    pub(crate) trace: Vec<String>,
    /// Digest of the trace: the same seed gives the same one.
    pub(crate) digest: [u8; 32],
}

/// Networks to begin with, made when first wanted.
pub(crate) struct Stage {
    pub(crate) homes: Vec<Home>,
    booted: BTreeMap<usize, Booted>,
}

impl Stage {
    pub(crate) fn new(homes: Vec<Home>) -> Self {
        Self { homes, booted: BTreeMap::new() }
    }

    fn network(&mut self, count: usize) -> Result<&Booted, TestnetError> {
        if !self.booted.contains_key(&count) {
            let booted = boot(&self.homes, count)?;
            self.booted.insert(count, booted);
        }
        self.booted
            .get(&count)
            .ok_or_else(|| crate::io("boot")(std::io::ErrorKind::NotFound.into()))
    }

    /// Runs one seed, with a bug or without.
    pub(crate) fn run(&mut self, seed: u64, bug: Option<Bug>) -> Result<Outcome, TestnetError> {
        let mut chance = Chance::new(seed);
        let count = 2 + chance.index(4);
        let booted = self.network(count)?;
        let (belongings, took) =
            (booted.belongings.iter().map(|b| b.copy()).collect::<Vec<_>>(), booted.took);
        seeded::seed(Some(seed));
        planted::plant(bug);
        let run = Run::new(&self.homes[..count], belongings, took, chance);
        let outcome = run.and_then(Run::finish);
        planted::plant(None);
        seeded::seed(None);
        outcome
    }
}

struct Run<'a> {
    homes: &'a [Home],
    machines: Vec<Machine>,
    net: Net,
    clients: tokio::runtime::Runtime,
    client_fuse: Arc<Fuse>,
    yard: Arc<Yard>,
    chance: Chance,
    faults: Faults,
    now: u64,
    /// Faults end.
    calm_at: u64,
    step: u64,
}

impl<'a> Run<'a> {
    fn new(
        homes: &'a [Home],
        belongings: Vec<super::machines::Belongings>,
        took: u64,
        mut chance: Chance,
    ) -> Result<Self, TestnetError> {
        let net = Net::new(chance.fork(), owners(homes));
        let size = Size {
            queue: [16, 64, 2048][chance.index(3)],
            batch: [4, 64, 512][chance.index(3)],
            desk_batch: [1, 16, 256][chance.index(3)],
            segment_bytes: [8 << 10, 128 << 10, 1 << 20][chance.index(3)],
            settle_bytes: [2 << 10, 64 << 10, 1 << 20][chance.index(3)],
        };
        let platters = homes.iter().zip(&belongings);
        let platters =
            platters.map(|(h, b)| (h.hub.clone(), Arc::clone(&b.platter))).collect::<Vec<_>>();
        let oracle = Arc::new(Mutex::new(Oracle::new(platters, scopes(homes.len()))));
        let mut machines = Vec::new();
        for ((at, home), belongings) in homes.iter().enumerate().zip(belongings) {
            machines.push(Machine::new(at, home, belongings, size));
        }
        let yard = Yard { oracle, acked: Mutex::default(), trace: Arc::new(Trace::default()) };
        let faults = Faults::new(chance.fork(), homes.len());
        super::time::leave(took);
        yard.trace.say(format!("{} hubs, {size:?}", homes.len()));
        Ok(Self {
            homes,
            machines,
            net,
            clients: runtime(&mut chance)?,
            client_fuse: Arc::default(),
            yard: Arc::new(yard),
            faults,
            now: took,
            calm_at: took + chance.between(2_000, 12_000),
            step: [1, 2, 5, 10][chance.index(4)],
            chance,
        })
    }

    fn door(&self, at: usize, identity: &ewtp_tls::TlsIdentity) -> Door {
        let network = self.net.at(self.homes.len() + at, &self.client_fuse);
        Door::new(network, &self.homes[at], identity)
    }

    fn platforms(&mut self) -> Vec<Platform> {
        let mut out = Vec::new();
        for at in 0..self.homes.len() {
            let country = self.homes[at].hub.clone();
            for n in 0..=self.chance.index(2) {
                out.push(Platform {
                    hub: at,
                    others: self
                        .homes
                        .iter()
                        .map(|h| h.hub.clone())
                        .filter(|h| *h != country)
                        .collect(),
                    door: self.door(at, &self.homes[at].platform),
                    officer: self.door(at, &self.homes[at].officer),
                    yard: Arc::clone(&self.yard),
                    name: format!("{country}{n}"),
                    country: country.clone(),
                    acts: self.chance.between(3, 14),
                    chance: self.chance.fork(),
                });
            }
        }
        out
    }

    fn finish(mut self) -> Result<Outcome, TestnetError> {
        self.yard.oracle().look();
        for machine in &mut self.machines {
            machine.start(&self.net, &mut self.chance)?;
        }
        let platforms = self.platforms();
        let traffic = self
            .clients
            .spawn(futures_util::future::join_all(platforms.into_iter().map(Platform::run)));
        let mut calm = false;
        loop {
            self.advance(calm)?;
            if !self.yard.oracle().breaches.is_empty() {
                break;
            }
            if !calm && self.now >= self.calm_at {
                self.yard.trace.say("from here on nothing goes wrong any more");
                calm = true;
            }
            let all_up = self.machines.iter().all(Machine::is_up);
            if calm
                && traffic.is_finished()
                && all_up
                && self.yard.oracle().under_way(BEGIN_MS + self.now).is_empty()
            {
                self.inspect()?;
                break;
            }
            if self.now > self.calm_at + REST {
                let mut what = self.yard.oracle().under_way(BEGIN_MS + self.now);
                if !traffic.is_finished() {
                    what.push("clients still wait for answers".into());
                }
                self.yard.oracle().breach(promise::QUIET, what.join("; "));
                break;
            }
        }
        if traffic.is_finished()
            && let Err(panic) = self.clients.block_on(traffic)
        {
            self.yard.oracle().breach(promise::ALIVE, format!("a client ended: {panic}"));
        }
        let trace = self.yard.trace.lines();
        let digest = sha256(&[trace.join("\n").as_bytes()]);
        let breaches = self.yard.oracle().breaches.clone();
        let acknowledged = self.yard.acked().len();
        Ok(Outcome { breaches, faults: self.faults.counts, acknowledged, trace, digest })
    }

    /// One step of everything, in an order that the seed gives.
    fn advance(&mut self, calm: bool) -> Result<(), TestnetError> {
        let (from, until) = (self.now, self.now + self.step);
        let trace = Arc::clone(&self.yard.trace);
        if !calm {
            self.faults.inject(from, &self.machines, &self.net, &trace);
        }
        for at in self.faults.mend(from, calm, &self.machines, &self.net, &trace) {
            self.machines[at].start(&self.net, &mut self.chance)?;
        }
        let first = self.chance.index(self.machines.len() + 1);
        for n in 0..=self.machines.len() {
            let at = (first + n) % (self.machines.len() + 1);
            if at == self.machines.len() {
                run_for(&self.clients, from, until);
                continue;
            }
            let ended = self.machines[at].turn(&self.net, from, until);
            if !matches!(ended, Ended::Not) {
                let machine = &self.machines[at];
                if let Some(what) = self.faults.ended(until, machine, ended, &trace) {
                    self.yard.oracle().breach(promise::ALIVE, what);
                }
            }
        }
        self.now = until;
        let mut oracle = self.yard.oracle();
        oracle.look();
        for (at, machine) in self.machines.iter().enumerate() {
            if let Some(shared) = machine.shared() {
                oracle.shown(at, shared.head.borrow().size);
            }
        }
        Ok(())
    }

    /// At rest: what officers see at all hubs is held against each other and against what was filed.
    fn inspect(&mut self) -> Result<(), TestnetError> {
        let doors: Vec<Door> =
            (0..self.homes.len()).map(|at| self.door(at, &self.homes[at].officer)).collect();
        let views = self.clients.spawn(futures_util::future::join_all(doors.into_iter().map(view)));
        let deadline = self.now + REST;
        while !views.is_finished() && self.now < deadline {
            self.advance(true)?;
        }
        if !views.is_finished() {
            self.yard.oracle().breach(promise::ALIVE, "officers get no answers".into());
            return Ok(());
        }
        let views = self.clients.block_on(views);
        let views = views.map_err(|e| crate::io("views")(std::io::Error::other(e)))?;
        let acked = self.yard.acked().clone();
        let mut oracle = self.yard.oracle();
        for (at, view) in views.iter().enumerate() {
            match view {
                Ok(view) => compare(&mut oracle, at, view, &views),
                Err(e) => oracle.breach(promise::ALIVE, format!("{}: {e}", HUBS[at])),
            }
        }
        for acked in &acked {
            delivered(&mut oracle, acked, &views);
        }
        Ok(())
    }
}

type View = BTreeMap<String, (v1::CaseSummary, v1::Case)>;

/// All cases of a hub, as an officer sees them.
async fn view(mut door: Door) -> Result<View, tonic::Status> {
    let mut out = View::new();
    let mut token = String::new();
    loop {
        let request =
            v1::ListCasesRequest { page_size: 500, page_token: token, ..Default::default() };
        let page = door
            .trade(|mut t| {
                let request = request.clone();
                async move { t.list_cases(request).await }
            })
            .await?;
        for row in page.cases {
            let request = v1::GetCaseRequest { case_id: row.case_id.clone() };
            let got = door
                .trade(|mut t| {
                    let request = request.clone();
                    async move { t.get_case(request).await }
                })
                .await?;
            out.insert(row.case_id.clone(), (row, got.case.unwrap_or_default()));
        }
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(out);
        }
    }
}

/// What both hubs of a case must agree on.
#[derive(Debug, PartialEq, Eq)]
struct Agreed {
    state: i32,
    filings: BTreeSet<Vec<u8>>,
    states: BTreeSet<(Vec<u8>, i32)>,
    decisions: BTreeSet<Vec<u8>>,
    requests: BTreeSet<(Vec<u8>, bool)>,
    /// Adoptions and withdrawals that count; one that came too late is not honoured where it came too late.
    acts: BTreeSet<Vec<u8>>,
    goods: Vec<(String, i32)>,
    needs: Vec<(i32, i32)>,
    refused: usize,
}

fn agreed(case: &v1::Case) -> Agreed {
    let commitment = |s: &Option<v1::StatementRef>| s.clone().unwrap_or_default().commitment;
    Agreed {
        state: case.state,
        filings: case.filings.iter().map(|f| commitment(&f.statement)).collect(),
        states: case.filings.iter().map(|f| (commitment(&f.statement), f.state)).collect(),
        decisions: case.decisions.iter().map(|d| commitment(&d.statement)).collect(),
        requests: case
            .info_requests
            .iter()
            .map(|r| (commitment(&r.statement), r.answer_statement.is_some()))
            .collect(),
        acts: {
            let adopted = case.adoptions.iter().filter(|a| a.counts).map(|a| &a.statement);
            let gone = case.invalidations.iter().filter(|i| i.counts).map(|i| &i.statement);
            adopted.chain(gone).map(commitment).collect()
        },
        goods: case.goods.iter().map(|g| (g.hub.clone(), g.state)).collect(),
        needs: case.needs.iter().map(|n| (n.what, n.effect)).collect(),
        refused: case.not_honoured.len(),
    }
}

fn compare(oracle: &mut Oracle, at: usize, view: &View, all: &[Result<View, tonic::Status>]) {
    let me = HUBS[at];
    for (id, (_, case)) in view.iter().filter(|(_, (row, _))| row.filed_at == me) {
        let first = case.filings.first().and_then(|f| f.statement.as_ref()).map(|s| s.log_index);
        let sums = first.and_then(|i| oracle.facts(me)?.own.get(&i)?.sums);
        for (there, other) in all.iter().enumerate() {
            let Some((theirs, their_case)) = other.as_ref().ok().and_then(|v| v.get(id)) else {
                continue;
            };
            let (mine, others) = (agreed(case), agreed(their_case));
            if mine != others {
                let what = format!("{id}: {me} has {mine:?}, {} has {others:?}", HUBS[there]);
                oracle.breach(promise::SAME_STATE, what);
            }
            let names = (me.to_owned(), HUBS[there].to_owned());
            let full =
                there == at || oracle.scopes.get(&names).is_some_and(|s| s.contains(&"value"));
            let shown = (
                millionths(theirs.value.iter().map(|m| m.amount.as_str())),
                millionths(std::iter::once(theirs.net_mass_kg.as_str())),
            );
            if full && sums.is_some_and(|s| s != shown) {
                let what = format!("{id}: filed {sums:?} at {me}, {} shows {shown:?}", HUBS[there]);
                oracle.breach(promise::CONSERVED, what);
            }
        }
    }
}

/// An acknowledged filing is at its destination, and decided.
fn delivered(oracle: &mut Oracle, acked: &Acked, all: &[Result<View, tonic::Status>]) {
    let Some(there) = HUBS.iter().position(|h| *h == acked.destination) else { return };
    let Some(Ok(view)) = all.get(there) else { return };
    let id = &acked.accepted.case_id;
    let Some((_, case)) = view.get(id) else {
        let what = format!("{id}, acknowledged at {}, is not at {}", HUBS[acked.hub], HUBS[there]);
        oracle.breach(promise::QUIET, what);
        return;
    };
    // An amended version need not be decided any more; the newest one must be, or be asked about, or lie with an officer.
    let (filing, version) = (&acked.accepted.filing_id, acked.accepted.version);
    let newest = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
    if newest.filter(|c| c.filing_id == *filing).any(|c| c.version > version) {
        return;
    }
    // What was withdrawn, and what became of released goods, needs no decision.
    let over = |f: &v1::CaseFiling| {
        let registered = f.state() == v1::FilingState::Registered;
        let of = f.filing.as_ref().and_then(|f| f.core.as_ref());
        of.is_some_and(|c| c.filing_id == *filing) && !registered
    };
    if case.filings.iter().any(over) {
        return;
    }
    let about = |id: &str, v: u32| id == filing && v == version;
    let decisions = case.decisions.iter().filter_map(|d| d.core.as_ref());
    let mut decisions = decisions.filter(|c| about(&c.filing_id, c.filing_version));
    let effects: BTreeSet<i32> = decisions.clone().map(|c| c.effect).collect();
    // Who decided by hand took the work over: what is left is an officer's.
    let by_hand = decisions.any(|c| c.source() != v1::DecisionSource::Rules);
    // Security and admissibility of an advance filing.
    let decided = [1, 2].iter().all(|effect| effects.contains(effect));
    let mut asked = case.info_requests.iter().filter_map(|r| r.core.as_ref());
    let mut events = case.events.iter().filter_map(|e| e.core.as_ref());
    let waits = asked.any(|c| about(&c.filing_id, c.filing_version))
        || events.any(|c| about(&c.filing_id, c.filing_version));
    if !decided && !waits && !by_hand {
        let what = format!(
            "{filing} version {version} of {id} has decisions on {effects:?} alone at {}",
            HUBS[there]
        );
        oracle.breach(promise::QUIET, what);
    }
}
