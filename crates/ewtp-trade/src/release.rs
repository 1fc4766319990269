//! What release at the destination still needs.

use ewtp_proto::store::v1::{CaseRecord, DecisionRecord, FilingRecord};
use ewtp_proto::v1;
use v1::{ConditionOutcome, DecisionCode, Effect, EventCode, GoodsState, ReleaseNeed};

use crate::case::{
    CONTROLS, adoption, code, counting_decision, effects_of, goods, goods_released, hub,
    import_filing, leading_filing, open_request, outcome, place, with_officer,
};

/// One thing that release still needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// What.
    pub what: ReleaseNeed,
    /// Effect that it concerns; unspecified where none.
    pub effect: Effect,
    /// Commitment of the decision that imposed the condition, and the condition's id.
    pub condition: Option<(Vec<u8>, String)>,
}

impl Need {
    const fn of(what: ReleaseNeed, effect: Effect) -> Self {
        Self { what, effect, condition: None }
    }
}

/// Codes that let the goods go on, as far as their effect is concerned.
#[must_use]
pub fn favourable(code: DecisionCode) -> bool {
    let clear = [
        DecisionCode::Clear,
        DecisionCode::ClearConditional,
        DecisionCode::ClearPostAudit,
        DecisionCode::NoAction,
    ];
    clear.contains(&code) || CONTROLS.contains(&code)
}

/// Everything that is missing, in a fixed order; empty where nothing is, or where the goods were released or withdrawn.
#[must_use]
pub fn needs(case: &CaseRecord) -> Vec<Need> {
    let Some(filing) = leading_filing(case) else { return Vec::new() };
    let import = import_filing(case);
    if goods_released(case) {
        return Vec::new();
    }
    let mut out = Vec::new();
    match (import, adoption(case, filing)) {
        (None, _) => out.push(Need::of(ReleaseNeed::Adoption, Effect::Unspecified)),
        (_, Some(a)) if a.filing_version != filing.version => {
            out.push(Need::of(ReleaseNeed::AdoptionOfNewest, Effect::Unspecified));
        }
        _ => {}
    }
    let apart = import.filter(|i| i.filing_id != filing.filing_id);
    for filing in std::iter::once(filing).chain(apart) {
        of_filing(case, filing, &mut out);
    }
    // A hold on release is lifted by another word on release, which is the release itself once an officer says so.
    let stopped = std::iter::once(filing).chain(apart).any(|f| {
        let stops = [DecisionCode::Refuse, DecisionCode::Detain, DecisionCode::Seize];
        counting_decision(case, f, Effect::Release).is_some_and(|d| stops.contains(&code(d)))
    });
    if stopped {
        out.push(Need::of(ReleaseNeed::Officer, Effect::Release));
    }
    let on = filing.assessed_by.as_str();
    let presented = case.events.iter().any(|e| {
        hub(e.stands.as_ref()) == on
            && [EventCode::Presented as i32, EventCode::Inspected as i32].contains(&e.code)
    });
    if !presented {
        out.push(Need::of(ReleaseNeed::Presentation, Effect::Unspecified));
    }
    if matches!(goods(case, on), GoodsState::Held | GoodsState::Detained | GoodsState::Seized) {
        out.push(Need::of(ReleaseNeed::Officer, Effect::Unspecified));
    }
    out.sort();
    out.dedup();
    out
}

fn of_filing(case: &CaseRecord, filing: &FilingRecord, out: &mut Vec<Need>) {
    for effect in effects_of(filing) {
        match counting_decision(case, filing, *effect) {
            Some(decision) if favourable(code(decision)) => {
                of_decision(case, filing, decision, *effect, out);
            }
            _ => out.push(Need::of(ReleaseNeed::Clearance, *effect)),
        }
    }
    if open_request(case, filing) {
        out.push(Need::of(ReleaseNeed::Answer, Effect::Unspecified));
    }
    if with_officer(case, filing) {
        out.push(Need::of(ReleaseNeed::Officer, Effect::Unspecified));
    }
}

fn of_decision(
    case: &CaseRecord,
    filing: &FilingRecord,
    decision: &DecisionRecord,
    effect: Effect,
    out: &mut Vec<Need>,
) {
    let inspected = || {
        let after = |stands| place(stands) > place(decision.stands.as_ref());
        case.events.iter().any(|e| {
            e.code == EventCode::Inspected as i32
                && hub(e.stands.as_ref()) == filing.assessed_by
                && after(e.stands.as_ref())
        })
    };
    if CONTROLS.contains(&code(decision)) && !inspected() {
        out.push(Need::of(ReleaseNeed::Control, effect));
    }
    for id in &decision.conditions {
        let settled = [ConditionOutcome::Met, ConditionOutcome::Waived];
        if !settled.contains(&outcome(case, decision, id)) {
            let by = decision.stands.as_ref().map(|s| s.commitment.clone()).unwrap_or_default();
            let condition = Some((by, id.clone()));
            out.push(Need { condition, ..Need::of(ReleaseNeed::Condition, effect) });
        }
    }
}
