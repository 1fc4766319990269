//! The state of a case, computed from its tracks: nobody writes it, and all hubs compute it from the same statements.
//!
//! The functions here don't depend on the order in which statements arrived. Within one log order is known (place), and who
//! said what decides what it means; where statements of two logs cross, the rules of `docs/decisions/0009` say which counts.

use ewtp_proto::store::v1::{
    AdoptionRecord, AnswerRecord, CaseRecord, DecisionRecord, EventRecord, FilingRecord,
    RequestRecord, Stands,
};
use ewtp_proto::v1;
use v1::{
    AssessmentState, CaseState, ConditionOutcome, DecisionCode, Effect, EventCode, FilingState,
    FilingType, GoodsState,
};

use crate::act::may_follow;
use crate::expiry::is_expired;

/// Effects that exist before adoption: that is pre-clearance.
pub const ADVANCE_EFFECTS: &[Effect] = &[Effect::Security, Effect::Admissibility];
/// Effect that the hub of export decides on an export filing.
pub const EXPORT_EFFECTS: &[Effect] = &[Effect::Admissibility];
/// Effect that rules decide on an import filing that came from an adoption; release is said by an officer or a system.
pub const ADOPTED_EFFECTS: &[Effect] = &[Effect::Fiscal];
/// The same on an import filing that was lodged apart.
pub const IMPORT_EFFECTS: &[Effect] = &[Effect::Security, Effect::Admissibility, Effect::Fiscal];

/// Effects that are assessed on a filing, release left out.
#[must_use]
pub const fn effects(kind: FilingType, adopted: bool) -> &'static [Effect] {
    match kind {
        FilingType::Export => EXPORT_EFFECTS,
        FilingType::Import if adopted => ADOPTED_EFFECTS,
        FilingType::Import => IMPORT_EFFECTS,
        FilingType::Advance | FilingType::Transit | FilingType::Unspecified => ADVANCE_EFFECTS,
    }
}

/// Effects that are assessed on a filing of a record.
#[must_use]
pub fn effects_of(filing: &FilingRecord) -> &'static [Effect] {
    effects(kind(filing), !filing.adopts.is_empty())
}

/// What a filing is for.
#[must_use]
pub fn kind(filing: &FilingRecord) -> FilingType {
    FilingType::try_from(filing.r#type).unwrap_or_default()
}

/// Hub that said a statement.
#[must_use]
pub fn hub(stands: Option<&Stands>) -> &str {
    stands.map_or("", |s| &s.hub)
}

/// Order within one log; over several logs it only breaks ties.
pub(crate) fn place(stands: Option<&Stands>) -> (u64, u64, &str) {
    stands.map_or((0, 0, ""), |s| (s.logged_ms, s.log_index, s.hub.as_str()))
}

/// A filing of a case by id.
#[must_use]
pub fn filing<'a>(case: &'a CaseRecord, id: &str) -> Option<&'a FilingRecord> {
    case.filings.iter().find(|f| f.filing_id == id)
}

/// The decision that counts for a filing and effect: the newest on its newest version by the hub that assesses it.
#[must_use]
pub fn counting_decision<'a>(
    case: &'a CaseRecord,
    filing: &FilingRecord,
    effect: Effect,
) -> Option<&'a DecisionRecord> {
    let counts = |d: &&DecisionRecord| {
        d.filing_id == filing.filing_id
            && d.filing_version == filing.version
            && d.effect == effect as i32
            && hub(d.stands.as_ref()) == filing.assessed_by
    };
    case.decisions.iter().filter(counts).max_by_key(|d| place(d.stands.as_ref()))
}

/// Code of a decision.
#[must_use]
pub fn code(decision: &DecisionRecord) -> DecisionCode {
    DecisionCode::try_from(decision.code).unwrap_or_default()
}

/// The answer that counts for a request: the first by the hub of the filing.
#[must_use]
pub fn answer<'a>(case: &'a CaseRecord, request: &RequestRecord) -> Option<&'a AnswerRecord> {
    let asked = request.stands.as_ref().map(|s| s.commitment.as_slice()).unwrap_or_default();
    let filer = filing(case, &request.filing_id).map(|f| hub(f.stands.as_ref()));
    let counts = |a: &&AnswerRecord| {
        a.request == asked && filer.is_some_and(|f| f == hub(a.stands.as_ref()))
    };
    case.answers.iter().filter(counts).min_by_key(|a| place(a.stands.as_ref()))
}

/// Questions about the newest version of a filing, by the hub that assesses it.
fn requests<'a>(
    case: &'a CaseRecord,
    filing: &'a FilingRecord,
) -> impl Iterator<Item = &'a RequestRecord> {
    case.requests.iter().filter(|r| {
        r.filing_id == filing.filing_id
            && r.filing_version == filing.version
            && hub(r.stands.as_ref()) == filing.assessed_by
    })
}

/// Whether a question about the newest version waits for its answer. Who decided on every effect after asking wants none any
/// more.
#[must_use]
pub fn open_request(case: &CaseRecord, filing: &FilingRecord) -> bool {
    let overtaken = |r: &RequestRecord| {
        effects_of(filing).iter().all(|effect| {
            counting_decision(case, filing, *effect)
                .is_some_and(|d| place(d.stands.as_ref()) > place(r.stands.as_ref()))
        })
    };
    requests(case, filing).any(|r| answer(case, r).is_none() && !overtaken(r))
}

/// Whether an officer has to look at the newest version: rules failed, or an answer did not come in time, by the time at
/// which the filer's hub logged it; and not every effect is decided.
#[must_use]
pub fn with_officer(case: &CaseRecord, filing: &FilingRecord) -> bool {
    let late = |commitment: &[u8]| {
        let said = |r: &&RequestRecord| {
            r.stands.as_ref().is_some_and(|s| s.commitment.as_slice() == commitment)
        };
        requests(case, filing).find(said).is_none_or(|request| {
            let given = answer(case, request).and_then(|a| a.stands.as_ref());
            given.is_none_or(|s| s.logged_ms > request.deadline_ms)
        })
    };
    let handed_over = case.events.iter().any(|e| {
        let about = e.filing_id == filing.filing_id && e.filing_version == filing.version;
        let by_assessor = hub(e.stands.as_ref()) == filing.assessed_by;
        about
            && by_assessor
            && match event_code(e) {
                EventCode::RuleError => true,
                EventCode::AnswerOverdue => late(&e.request),
                _ => false,
            }
    });
    let undecided =
        |effect: &Effect| counting_decision(case, filing, *effect).is_none_or(is_revoked);
    handed_over && effects_of(filing).iter().any(undecided)
}

fn event_code(event: &EventRecord) -> EventCode {
    EventCode::try_from(event.code).unwrap_or_default()
}

fn is_revoked(decision: &DecisionRecord) -> bool {
    code(decision) == DecisionCode::Revoke
}

/// Whether the goods of a filing were released: by a decision of effect release of the hub that assesses it, on this filing or
/// on an import filing that came from it. Once said it stays, whatever version is filed later: what comes after opens a check.
#[must_use]
pub fn is_released(case: &CaseRecord, filing: &FilingRecord) -> bool {
    let on = |filing: &FilingRecord| {
        case.decisions.iter().any(|d| {
            d.effect == Effect::Release as i32
                && code(d) == DecisionCode::Release
                && d.filing_id == filing.filing_id
                && hub(d.stands.as_ref()) == filing.assessed_by
        })
    };
    on(filing) || case.filings.iter().any(|f| f.adopts == filing.filing_id && on(f))
}

/// Whether the goods of a case were released at their destination.
#[must_use]
pub fn goods_released(case: &CaseRecord) -> bool {
    case.filings.iter().any(|f| {
        matches!(kind(f), FilingType::Advance | FilingType::Import) && is_released(case, f)
    })
}

fn withdrawn(case: &CaseRecord, filing: &FilingRecord) -> bool {
    let by_its_hub = |i: &ewtp_proto::store::v1::InvalidationRecord| {
        i.filing_id == filing.filing_id && hub(i.stands.as_ref()) == hub(filing.stands.as_ref())
    };
    case.invalidations.iter().any(by_its_hub)
}

/// The adoption of an advance filing that counts: the newest by the hub that assesses it whose import filing stands.
#[must_use]
pub fn adoption<'a>(case: &'a CaseRecord, advance: &FilingRecord) -> Option<&'a AdoptionRecord> {
    let counts = |a: &&AdoptionRecord| {
        let import = filing(case, &a.import_filing_id);
        a.filing_id == advance.filing_id
            && hub(a.stands.as_ref()) == advance.assessed_by
            && !import.is_some_and(|i| withdrawn(case, i) && !is_released(case, i))
    };
    case.adoptions.iter().filter(counts).max_by_key(|a| place(a.stands.as_ref()))
}

/// Whether a filing is withdrawn. A withdrawal that crosses a release or an adoption comes too late: it stays on record and
/// changes nothing.
#[must_use]
pub fn is_invalidated(case: &CaseRecord, filing: &FilingRecord) -> bool {
    withdrawn(case, filing) && !is_released(case, filing) && adoption(case, filing).is_none()
}

/// Whether another filing completed this partial one.
#[must_use]
pub fn is_completed(case: &CaseRecord, filing: &FilingRecord) -> bool {
    let completes =
        |f: &&FilingRecord| f.completes == filing.filing_id && f.filing_id != filing.filing_id;
    let whole = |f: &FilingRecord| !f.partial && f.r#type == filing.r#type;
    let mut others = case.filings.iter().filter(completes);
    filing.partial && others.any(|f| whole(f) && !is_invalidated(case, f))
}

/// The filing that a case's state is about: the newest advance filing that stands, else an import filing, else the first
/// export filing of a case that never had another. `None` if everything was withdrawn.
#[must_use]
pub fn leading_filing(case: &CaseRecord) -> Option<&FilingRecord> {
    let live = |wanted: FilingType| {
        case.filings.iter().filter(move |f| {
            kind(f) == wanted && !is_invalidated(case, f) && !is_completed(case, f)
        })
    };
    let newest =
        |wanted| live(wanted).max_by_key(|f| (place(f.stands.as_ref()), f.filing_id.as_str()));
    let told = |f: &FilingRecord| !matches!(kind(f), FilingType::Export | FilingType::Transit);
    newest(FilingType::Advance).or_else(|| newest(FilingType::Import)).or_else(|| {
        if case.filings.iter().any(told) {
            return None;
        }
        let first = live(FilingType::Export)
            .min_by_key(|f| (place(f.stands.as_ref()), f.filing_id.as_str()));
        first.or_else(|| newest(FilingType::Transit))
    })
}

/// The import filing of a case that stands: the one that a counting adoption made, else the newest.
#[must_use]
pub fn import_filing(case: &CaseRecord) -> Option<&FilingRecord> {
    let adopted = leading_filing(case).and_then(|f| adoption(case, f));
    let by_adoption = adopted.and_then(|a| filing(case, &a.import_filing_id));
    by_adoption.or_else(|| {
        let live = |f: &&FilingRecord| {
            kind(f) == FilingType::Import && f.adopts.is_empty() && !is_invalidated(case, f)
        };
        case.filings.iter().filter(live).max_by_key(|f| place(f.stands.as_ref()))
    })
}

/// State of one assessment track at an instant, Unix milliseconds.
#[must_use]
pub fn assessment(
    case: &CaseRecord,
    filing: &FilingRecord,
    effect: Effect,
    at_ms: u64,
) -> AssessmentState {
    if filing.assessed_by.is_empty() {
        return AssessmentState::NotConnected;
    }
    let Some(decision) = counting_decision(case, filing, effect) else {
        let asked = open_request(case, filing);
        return if asked { AssessmentState::InfoRequested } else { AssessmentState::Pending };
    };
    if is_revoked(decision) {
        AssessmentState::Revoked
    } else if lapsed(decision, at_ms) && !is_released(case, filing) {
        AssessmentState::Lapsed
    } else {
        AssessmentState::Decided
    }
}

fn lapsed(decision: &DecisionRecord, at_ms: u64) -> bool {
    decision.valid_until_ms != 0 && decision.valid_until_ms <= at_ms
}

/// State of the filing track.
#[must_use]
pub fn filing_state(case: &CaseRecord, filing: &FilingRecord) -> FilingState {
    if is_invalidated(case, filing) {
        match is_expired(case, filing) {
            true => FilingState::Expired,
            false => FilingState::Invalidated,
        }
    } else if is_completed(case, filing) || is_released(case, filing) {
        FilingState::Closed
    } else {
        FilingState::Registered
    }
}

/// Outcome of a condition: the newest word of the hub that imposed it; unspecified while it is open.
#[must_use]
pub fn outcome(case: &CaseRecord, decision: &DecisionRecord, condition: &str) -> ConditionOutcome {
    let Some(imposed) = &decision.stands else { return ConditionOutcome::Unspecified };
    let said = case.outcomes.iter().filter(|o| {
        o.decision == imposed.commitment
            && o.condition_id == condition
            && hub(o.stands.as_ref()) == imposed.hub
    });
    let newest = said.max_by_key(|o| place(o.stands.as_ref())).map(|o| o.outcome);
    newest.and_then(|o| ConditionOutcome::try_from(o).ok()).unwrap_or_default()
}

/// Whether every condition of a decision is met or waived; a decision without any has nothing to meet.
#[must_use]
pub fn conditions_settled(case: &CaseRecord, decision: &DecisionRecord) -> bool {
    decision.conditions.iter().all(|id| {
        matches!(outcome(case, decision, id), ConditionOutcome::Met | ConditionOutcome::Waived)
    })
}

/// Whether the goods left the filer's country before a decision kept them from it, as its hub says: whatever was said about
/// this case alone, and what its conveyance did before the decision was logged. An aircraft that departs later may have left
/// them behind.
#[must_use]
pub fn has_departed(case: &CaseRecord, filing: &FilingRecord, decided_ms: u64) -> bool {
    let left = |e: &EventRecord| {
        let logged_ms = e.stands.as_ref().map_or(0, |s| s.logged_ms);
        matches!(event_code(e), EventCode::Departed | EventCode::Exited)
            && hub(e.stands.as_ref()) == hub(filing.stands.as_ref())
            && (!e.selects || logged_ms <= decided_ms)
    };
    case.events.iter().any(left)
}

/// The goods track on one hub's ground: its words in their order. What was said about many cases at once moves those that it
/// fits: a container that arrives frees nothing that was seized.
#[must_use]
pub fn goods(case: &CaseRecord, on: &str) -> GoodsState {
    let events = case.events.iter().filter(|e| hub(e.stands.as_ref()) == on);
    let events = events.filter_map(|e| {
        Some((place(e.stands.as_ref()), goods_after(e)?, e.selects.then(|| event_code(e))))
    });
    let decisions = case.decisions.iter().filter(|d| hub(d.stands.as_ref()) == on);
    let decisions = decisions.filter_map(|d| {
        let state = match code(d) {
            DecisionCode::Release => GoodsState::Released,
            DecisionCode::Detain => GoodsState::Detained,
            DecisionCode::Seize => GoodsState::Seized,
            _ => return None,
        };
        Some((place(d.stands.as_ref()), state, None))
    });
    let mut words: Vec<_> = events.chain(decisions).collect();
    words.sort_by_key(|(place, state, _)| (*place, *state));
    words.into_iter().fold(GoodsState::Expected, |now, (_, next, selecting)| match selecting {
        Some(code) if !may_follow(now, code) => now,
        _ => next,
    })
}

/// Whether the transit that the goods are to take is refused: the newest over each hub's ground, while they have neither ended it nor come to
/// their destination.
fn refused_on_the_way(case: &CaseRecord) -> bool {
    let live = |f: &&FilingRecord| {
        kind(f) == FilingType::Transit && !is_invalidated(case, f) && !is_completed(case, f)
    };
    let newest = |f: &&FilingRecord| {
        let over = case.filings.iter().filter(live).filter(|o| o.assessed_by == f.assessed_by);
        over.max_by_key(|o| place(o.stands.as_ref())).is_some_and(|o| o.filing_id == f.filing_id)
    };
    let refused = |f: &FilingRecord| {
        let effects = effects_of(f).iter().chain(&[Effect::Release]);
        let mut counting = effects.filter_map(|e| counting_decision(case, f, *e));
        counting.any(|d| {
            matches!(code(d), DecisionCode::Refuse | DecisionCode::Dnl | DecisionCode::Seize)
        })
    };
    let ended = |f: &FilingRecord| {
        matches!(goods(case, &f.assessed_by), GoodsState::Exited | GoodsState::Released)
    };
    let destination = leading_filing(case)
        .filter(|f| matches!(kind(f), FilingType::Advance | FilingType::Import))
        .map(|f| f.assessed_by.as_str());
    let arrived = |f: &FilingRecord| {
        destination.is_some_and(|hub| {
            use GoodsState::{Departed, Expected, Incident};
            hub != f.assessed_by && !matches!(goods(case, hub), Expected | Departed | Incident)
        })
    };
    let mut ways = case.filings.iter().filter(live).filter(newest);
    ways.any(|f| refused(f) && !ended(f) && !arrived(f))
}

fn goods_after(event: &EventRecord) -> Option<GoodsState> {
    Some(match event_code(event) {
        EventCode::Departed => GoodsState::Departed,
        EventCode::Incident => GoodsState::Incident,
        EventCode::Arrived => GoodsState::Arrived,
        EventCode::Presented => GoodsState::Presented,
        EventCode::Inspected => GoodsState::UnderControl,
        EventCode::Released => GoodsState::Released,
        EventCode::Held => GoodsState::Held,
        EventCode::Detained => GoodsState::Detained,
        EventCode::Seized => GoodsState::Seized,
        EventCode::Exited => GoodsState::Exited,
        EventCode::Returned => GoodsState::Returned,
        EventCode::Destroyed => GoodsState::Destroyed,
        // They say something of seals, a guarantee or time, and move no goods.
        EventCode::SealsChecked
        | EventCode::Resealed
        | EventCode::GuaranteeReleased
        | EventCode::TimeLimitPassed
        | EventCode::AnswerOverdue
        | EventCode::RuleError
        | EventCode::DecisionOverdue
        | EventCode::Unspecified => return None,
    })
}

/// The goods tracks of a case, by hub.
#[must_use]
pub fn legs(case: &CaseRecord) -> Vec<(&str, GoodsState)> {
    let filings = case.filings.iter().flat_map(|f| [hub(f.stands.as_ref()), &f.assessed_by]);
    let mut hubs: Vec<&str> =
        filings.chain(case.events.iter().map(|e| hub(e.stands.as_ref()))).collect();
    hubs.retain(|h| !h.is_empty());
    hubs.sort_unstable();
    hubs.dedup();
    hubs.into_iter().map(|h| (h, goods(case, h))).collect()
}

/// Codes that announce a control at the destination.
pub(crate) const CONTROLS: &[DecisionCode] =
    &[DecisionCode::DocControl, DecisionCode::ScanControl, DecisionCode::PhysControl];

/// The state that is shown at an instant, Unix milliseconds. What happened to the goods beats what was decided before it,
/// *do not load* beats every other decision, and *cleared* needs every effect.
#[must_use]
pub fn state(case: &CaseRecord, at_ms: u64) -> CaseState {
    if case.filings.is_empty() {
        return CaseState::Unspecified;
    }
    let Some(filing) = leading_filing(case) else { return CaseState::Invalidated };
    if filing.assessed_by.is_empty() {
        return CaseState::NotConnected;
    }
    match goods(case, &filing.assessed_by) {
        GoodsState::Seized => return CaseState::Seized,
        GoodsState::Returned => return CaseState::Returned,
        GoodsState::Destroyed => return CaseState::Destroyed,
        _ => {}
    }
    let counting: Vec<&DecisionRecord> =
        effects_of(filing).iter().filter_map(|e| counting_decision(case, filing, *e)).collect();
    let any = |wanted: &[DecisionCode]| counting.iter().any(|d| wanted.contains(&code(d)));
    // What is said against the goods at the destination counts on whatever filing it is said.
    let import = import_filing(case).filter(|i| i.filing_id != filing.filing_id);
    let against = |wanted: &[DecisionCode]| {
        let release = counting_decision(case, filing, Effect::Release);
        let there = import.into_iter().flat_map(|i| {
            let effects = effects_of(i).iter().chain(&[Effect::Release]);
            effects.filter_map(|e| counting_decision(case, i, *e)).collect::<Vec<_>>()
        });
        there.chain(release).any(|d| wanted.contains(&code(d))) || any(wanted)
    };
    if goods_released(case) {
        return released_state(case);
    }
    let dnl = counting.iter().filter(|d| code(d) == DecisionCode::Dnl);
    if let Some(said) = dnl.filter_map(|d| d.stands.as_ref()).min_by_key(|s| s.logged_ms) {
        let left = has_departed(case, filing, said.logged_ms);
        return if left { CaseState::ControlOnArrival } else { CaseState::DoNotLoad };
    }
    if against(&[DecisionCode::Refuse, DecisionCode::Seize]) || refused_on_the_way(case) {
        return CaseState::Refused;
    }
    let held = matches!(goods(case, &filing.assessed_by), GoodsState::Held | GoodsState::Detained);
    let failed = |d: &DecisionRecord| {
        d.conditions.iter().any(|id| outcome(case, d, id) == ConditionOutcome::Failed)
    };
    let stopped = [DecisionCode::Hold, DecisionCode::Detain, DecisionCode::Revoke];
    let asked_there = import.is_some_and(|i| open_request(case, i));
    if held || with_officer(case, filing) || against(&stopped) || counting.iter().any(|d| failed(d))
    {
        return CaseState::Held;
    }
    if asked_there || open_request(case, filing) {
        return CaseState::InfoRequested;
    }
    if counting.len() < effects_of(filing).len() || any(&[DecisionCode::Unspecified]) {
        return CaseState::Pending;
    }
    if counting.iter().any(|d| lapsed(d, at_ms)) {
        return CaseState::Lapsed;
    }
    let conditional = |d: &DecisionRecord| {
        code(d) == DecisionCode::ClearConditional
            && (d.conditions.is_empty() || !conditions_settled(case, d))
    };
    if any(CONTROLS) || counting.iter().any(|d| conditional(d)) {
        CaseState::ClearedConditional
    } else {
        CaseState::Cleared
    }
}

/// A revocation after release takes nothing back: it opens a check, until the effect is decided anew.
fn released_state(case: &CaseRecord) -> CaseState {
    let all = [Effect::Security, Effect::Admissibility, Effect::Fiscal, Effect::Release];
    let revoked = case
        .filings
        .iter()
        .any(|f| all.iter().filter_map(|e| counting_decision(case, f, *e)).any(is_revoked));
    if revoked { CaseState::PostReleaseCheck } else { CaseState::Released }
}
