//! Hubs that hear each other's logs late: what the crossing tests play on.

use ewtp_proto::store::v1::{CaseRecord, Stands};
use ewtp_proto::v1;
use ewtp_trade::act::{self, Act, Untimely};
use ewtp_trade::case;
use ewtp_trade::record::{Fact, put};
use ewtp_trade::release::{Need, needs};
use v1::{ConditionOutcome, DecisionCode, Effect, EventCode, FilingType};

pub(crate) const ORIGIN: &str = "KE";
pub(crate) const DESTINATION: &str = "BE";
pub(crate) const CASE: &str = "KE-CASE";
pub(crate) const ADVANCE: &str = "KE-ADVANCE";
/// When all views are compared, Unix milliseconds.
pub(crate) const AT: u64 = 1_000_000;

#[derive(Clone)]
pub(crate) struct Hub {
    pub(crate) id: &'static str,
    pub(crate) case: CaseRecord,
    log: Vec<(Stands, Fact)>,
    heard: Vec<usize>,
    clock: u64,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) hubs: Vec<Hub>,
}

/// Everything that people are shown of a case.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) state: v1::CaseState,
    filings: Vec<(String, u32, v1::FilingState, Vec<v1::AssessmentState>, bool)>,
    legs: Vec<(String, v1::GoodsState)>,
    needs: Vec<Need>,
}

pub(crate) fn shown(case: &CaseRecord) -> Shown {
    let mut filings: Vec<_> = case
        .filings
        .iter()
        .map(|f| {
            let each = case::effects_of(f).iter().map(|e| case::assessment(case, f, *e, AT));
            let state = case::filing_state(case, f);
            (f.filing_id.clone(), f.version, state, each.collect(), case::with_officer(case, f))
        })
        .collect();
    filings.sort_by(|a, b| a.0.cmp(&b.0));
    let legs = case::legs(case).into_iter().map(|(h, g)| (h.to_owned(), g)).collect();
    Shown { state: case::state(case, AT), filings, legs, needs: needs(case) }
}

impl World {
    pub(crate) fn new(hubs: &[(&'static str, u64)]) -> Self {
        let hub = |(id, clock): &(&'static str, u64)| Hub {
            id,
            case: CaseRecord { case_id: CASE.into(), ..Default::default() },
            log: Vec::new(),
            heard: vec![0; hubs.len()],
            clock: *clock,
        };
        Self { hubs: hubs.iter().map(hub).collect() }
    }

    /// Origin and destination that both know the first version of an advance filing.
    pub(crate) fn filed() -> Self {
        let mut world = Self::new(&[(ORIGIN, 5_000), (DESTINATION, 1_000)]);
        world.say(0, advance(1, false));
        world.settle();
        world
    }

    pub(crate) fn say(&mut self, at: usize, fact: Fact) -> Vec<u8> {
        let hub = &mut self.hubs[at];
        hub.clock += 10;
        let commitment = format!("{}#{}", hub.id, hub.log.len()).into_bytes();
        let stands = Stands {
            hub: hub.id.into(),
            commitment: commitment.clone(),
            log_index: hub.log.len() as u64,
            logged_ms: hub.clock,
            ..Default::default()
        };
        put(&mut hub.case, stands.clone(), fact.clone());
        hub.log.push((stands, fact));
        commitment
    }

    /// Lets a hub hear one statement more of another.
    pub(crate) fn hear(&mut self, at: usize, from: usize) -> bool {
        let next = self.hubs[at].heard[from];
        let Some((stands, fact)) = self.hubs[from].log.get(next).cloned() else { return false };
        if at == from {
            return false;
        }
        put(&mut self.hubs[at].case, stands, fact);
        self.hubs[at].heard[from] += 1;
        true
    }

    /// Everybody hears everything.
    pub(crate) fn settle(&mut self) {
        for at in 0..self.hubs.len() {
            for from in 0..self.hubs.len() {
                while self.hear(at, from) {}
            }
        }
    }

    pub(crate) fn try_say(
        &mut self,
        at: usize,
        act: Act<'_>,
        fact: Fact,
    ) -> Result<Vec<u8>, Untimely> {
        act::check(&self.hubs[at].case, self.hubs[at].id, act)?;
        Ok(self.say(at, fact))
    }

    pub(crate) fn version(&self, at: usize, filing: &str) -> u32 {
        case::filing(&self.hubs[at].case, filing).map_or(0, |f| f.version)
    }
}

pub(crate) fn advance(version: u32, partial: bool) -> Fact {
    let core = v1::FilingCore {
        r#type: FilingType::Advance as i32,
        case_id: CASE.into(),
        filing_id: ADVANCE.into(),
        assessed_by: DESTINATION.into(),
        version,
        partial,
        ..Default::default()
    };
    Fact::Filing {
        core: Box::new(core),
        account: String::new(),
        parties: Box::default(),
        goods: Box::default(),
    }
}

pub(crate) fn import(id: &str, version: u32) -> Fact {
    let core = v1::FilingCore {
        r#type: FilingType::Import as i32,
        case_id: CASE.into(),
        filing_id: id.into(),
        assessed_by: DESTINATION.into(),
        adopts: ADVANCE.into(),
        version,
        ..Default::default()
    };
    Fact::Filing {
        core: Box::new(core),
        account: String::new(),
        parties: Box::default(),
        goods: Box::default(),
    }
}

pub(crate) fn decision(
    filing: &str,
    version: u32,
    effect: Effect,
    code: DecisionCode,
    conditions: &[&str],
) -> Fact {
    let condition = |id: &&str| v1::Condition { id: (*id).into(), what: None };
    Fact::Decision(Box::new(v1::DecisionCore {
        case_id: CASE.into(),
        filing_id: filing.into(),
        filing_version: version,
        effect: effect as i32,
        code: code as i32,
        conditions: conditions.iter().map(condition).collect(),
        ..Default::default()
    }))
}

pub(crate) fn event(code: EventCode, version: u32, request: &[u8]) -> Fact {
    let by = v1::event_selector::By::CaseId(CASE.into());
    Fact::Event(Box::new(v1::EventCore {
        code: code as i32,
        selector: Some(v1::EventSelector { by: Some(by) }),
        filing_id: ADVANCE.into(),
        filing_version: version,
        request: request.to_vec(),
        ..Default::default()
    }))
}

/// An event about all cases of a container, this one among them.
pub(crate) fn selecting(code: EventCode) -> Fact {
    let by = v1::event_selector::By::Container("TEMU0000000".into());
    Fact::Event(Box::new(v1::EventCore {
        code: code as i32,
        selector: Some(v1::EventSelector { by: Some(by) }),
        ..Default::default()
    }))
}

/// The first version of an advance filing that nobody could assess yet.
pub(crate) fn unconnected() -> Fact {
    match advance(1, false) {
        Fact::Filing { mut core, account, parties, goods } => {
            core.assessed_by.clear();
            Fact::Filing { core, account, parties, goods }
        }
        other => other,
    }
}

/// Who assesses it from now on.
pub(crate) fn route(version: u32) -> Fact {
    Fact::Route(Box::new(v1::RouteCore {
        case_id: CASE.into(),
        filing_id: ADVANCE.into(),
        filing_version: version,
        country: DESTINATION.into(),
        assessed_by: DESTINATION.into(),
        ..Default::default()
    }))
}

pub(crate) fn question(version: u32, deadline_ms: i64) -> Fact {
    Fact::Request(Box::new(v1::InfoRequestCore {
        case_id: CASE.into(),
        filing_id: ADVANCE.into(),
        filing_version: version,
        deadline_ms,
        ..Default::default()
    }))
}

pub(crate) fn answer(request: &[u8]) -> Fact {
    Fact::Answer(Box::new(v1::InfoAnswerCore {
        case_id: CASE.into(),
        filing_id: ADVANCE.into(),
        request: request.to_vec(),
        ..Default::default()
    }))
}

pub(crate) fn invalidation(filing: &str) -> Fact {
    Fact::Invalidation(Box::new(v1::InvalidationCore {
        case_id: CASE.into(),
        filing_id: filing.into(),
        ..Default::default()
    }))
}

pub(crate) fn adoption(version: u32, import: &str) -> Fact {
    Fact::Adoption(Box::new(v1::AdoptionCore {
        case_id: CASE.into(),
        filing_id: ADVANCE.into(),
        filing_version: version,
        import_filing_id: import.into(),
        ..Default::default()
    }))
}

pub(crate) fn settled(decision: &[u8], id: &str, outcome: ConditionOutcome) -> Fact {
    Fact::Outcome(Box::new(v1::ConditionOutcomeCore {
        case_id: CASE.into(),
        decision: decision.to_vec(),
        condition_id: id.into(),
        outcome: outcome as i32,
        ..Default::default()
    }))
}
