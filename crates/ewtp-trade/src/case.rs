//! The state of a case, computed from its tracks: nobody writes it, both sides compute it from the same statements.

use ewtp_proto::store::v1::{CaseRecord, DecisionRecord, FilingRecord};
use ewtp_proto::v1;
use v1::{AssessmentState, CaseState, DecisionCode, Effect, FilingState, FilingType};

/// Effects that exist before adoption: that is pre-clearance.
pub const ADVANCE_EFFECTS: &[Effect] = &[Effect::Security, Effect::Admissibility];
/// Effect that the hub of export decides on an export filing.
pub const EXPORT_EFFECTS: &[Effect] = &[Effect::Admissibility];

/// Effects that are assessed on a filing of this type.
#[must_use]
pub const fn effects(kind: FilingType) -> &'static [Effect] {
    match kind {
        FilingType::Export => EXPORT_EFFECTS,
        FilingType::Advance
        | FilingType::Transit
        | FilingType::Import
        | FilingType::Unspecified => ADVANCE_EFFECTS,
    }
}

/// The filing that a case's state is about: the newest advance filing, else the first filing.
#[must_use]
pub fn leading_filing(case: &CaseRecord) -> Option<&FilingRecord> {
    let advance = |f: &&FilingRecord| f.r#type == FilingType::Advance as i32;
    case.filings.iter().rev().find(advance).or_else(|| case.filings.first())
}

/// The decision that counts for a filing and effect: the newest on its newest version by the hub that assesses it.
#[must_use]
pub fn counting_decision<'a>(
    case: &'a CaseRecord,
    filing: &FilingRecord,
    effect: Effect,
) -> Option<&'a DecisionRecord> {
    case.decisions.iter().rev().find(|d| {
        d.filing_id == filing.filing_id
            && d.filing_version == filing.version
            && d.effect == effect as i32
            && d.hub == filing.assessed_by
    })
}

fn code(decision: &DecisionRecord) -> DecisionCode {
    DecisionCode::try_from(decision.code).unwrap_or_default()
}

/// State of one assessment track.
#[must_use]
pub fn assessment(case: &CaseRecord, filing: &FilingRecord, effect: Effect) -> AssessmentState {
    if filing.assessed_by.is_empty() {
        return AssessmentState::NotConnected;
    }
    match counting_decision(case, filing, effect).map(code) {
        Some(DecisionCode::Revoke) => AssessmentState::Revoked,
        Some(_) => AssessmentState::Decided,
        None if open_request(case, filing) => AssessmentState::InfoRequested,
        None => AssessmentState::Pending,
    }
}

/// Whether a question about the newest version waits for its answer.
#[must_use]
pub fn open_request(case: &CaseRecord, filing: &FilingRecord) -> bool {
    case.requests.iter().any(|r| {
        r.filing_id == filing.filing_id
            && r.filing_version == filing.version
            && r.answer_commitment.is_empty()
    })
}

/// State of the filing track: what the spine of the product knows of it.
#[must_use]
pub const fn filing_state(_: &FilingRecord) -> FilingState {
    FilingState::Registered
}

/// The state that is shown. *Do not load* beats everything; *cleared* needs every effect.
#[must_use]
pub fn state(case: &CaseRecord) -> CaseState {
    let Some(filing) = leading_filing(case) else { return CaseState::Unspecified };
    if filing.assessed_by.is_empty() {
        return CaseState::NotConnected;
    }
    let kind = FilingType::try_from(filing.r#type).unwrap_or_default();
    let effects = effects(kind);
    let decided: Vec<DecisionCode> =
        effects.iter().filter_map(|e| counting_decision(case, filing, *e)).map(code).collect();
    let any = |wanted: &[DecisionCode]| decided.iter().any(|c| wanted.contains(c));
    if any(&[DecisionCode::Dnl]) {
        return CaseState::DoNotLoad;
    }
    if any(&[DecisionCode::Refuse, DecisionCode::Seize]) {
        return CaseState::Refused;
    }
    let with_officer = filing.officer_version == filing.version;
    if with_officer || any(&[DecisionCode::Hold, DecisionCode::Detain]) {
        return CaseState::Held;
    }
    if open_request(case, filing) {
        return CaseState::InfoRequested;
    }
    if decided.len() < effects.len() || any(&[DecisionCode::Revoke, DecisionCode::Unspecified]) {
        return CaseState::Pending;
    }
    let controls = [
        DecisionCode::ClearConditional,
        DecisionCode::DocControl,
        DecisionCode::ScanControl,
        DecisionCode::PhysControl,
    ];
    if any(&controls) { CaseState::ClearedConditional } else { CaseState::Cleared }
}
