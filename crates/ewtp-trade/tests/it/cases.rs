use ewtp_proto::store::v1::{
    AnswerRecord, CaseRecord, DecisionRecord, FilingRecord, RequestRecord, Stands,
};
use ewtp_proto::v1;
use ewtp_trade::{act, case, scope};
use proptest::prelude::*;
use v1::{CaseState, DecisionCode, Effect};

fn advance(version: u32) -> CaseRecord {
    let filing = FilingRecord {
        filing_id: "F".into(),
        r#type: v1::FilingType::Advance as i32,
        stands: stands("KE", 0),
        assessed_by: "BE".into(),
        version,
        ..Default::default()
    };
    CaseRecord { filings: vec![filing], ..Default::default() }
}

fn stands(hub: &str, log_index: u64) -> Option<Stands> {
    Some(Stands { hub: hub.into(), log_index, ..Default::default() })
}

fn decision(effect: Effect, code: DecisionCode, version: u32, hub: &str) -> DecisionRecord {
    DecisionRecord {
        stands: stands(hub, 0),
        filing_id: "F".into(),
        filing_version: version,
        effect: effect as i32,
        code: code as i32,
        ..Default::default()
    }
}

fn state(decisions: &[DecisionRecord]) -> CaseState {
    let mut decisions = decisions.to_vec();
    for (n, decision) in (1..).zip(&mut decisions) {
        decision.stands.as_mut().unwrap().log_index = n;
    }
    case::state(&CaseRecord { decisions, ..advance(1) }, 0)
}

#[test]
fn cleared_needs_every_effect_and_do_not_load_beats_everything() {
    use DecisionCode::{Clear, ClearPostAudit, Dnl, PhysControl, Refuse};
    let security = |code| decision(Effect::Security, code, 1, "BE");
    let admissibility = |code| decision(Effect::Admissibility, code, 1, "BE");
    assert_eq!(state(&[]), CaseState::Pending);
    assert_eq!(state(&[security(Clear)]), CaseState::Pending);
    assert_eq!(state(&[security(Clear), admissibility(ClearPostAudit)]), CaseState::Cleared);
    assert_eq!(
        state(&[security(PhysControl), admissibility(Clear)]),
        CaseState::ClearedConditional
    );
    assert_eq!(state(&[security(Clear), admissibility(Refuse)]), CaseState::Refused);
    assert_eq!(
        state(&[security(Dnl)]),
        CaseState::DoNotLoad,
        "also before the other effect is decided"
    );
    assert_eq!(state(&[security(Dnl), admissibility(Refuse)]), CaseState::DoNotLoad);
    let foreign = decision(Effect::Security, Dnl, 1, "SG");
    assert_eq!(state(&[foreign]), CaseState::Pending, "only the hub that assesses decides");
    assert_eq!(
        state(&[security(Dnl), security(Clear), admissibility(Clear)]),
        CaseState::Cleared,
        "the newest counts"
    );
}

#[test]
fn a_decision_on_an_older_version_releases_nothing() {
    let both = [Effect::Security, Effect::Admissibility]
        .map(|e| decision(e, DecisionCode::Clear, 1, "BE"));
    let amended = CaseRecord { decisions: both.to_vec(), ..advance(2) };
    assert_eq!(case::state(&amended, 0), CaseState::Pending);
}

#[test]
fn a_question_is_open_until_it_is_answered() {
    let mut record = advance(1);
    record.requests.push(RequestRecord {
        stands: stands("BE", 1),
        filing_id: "F".into(),
        filing_version: 1,
        ..Default::default()
    });
    assert_eq!(case::state(&record, 0), CaseState::InfoRequested);
    record.answers.push(AnswerRecord { stands: stands("KE", 1), ..Default::default() });
    assert_eq!(case::state(&record, 0), CaseState::Pending);
    record.filings[0].assessed_by.clear();
    assert_eq!(case::state(&record, 0), CaseState::NotConnected);
}

proptest! {
    /// A record is a set: the order in which decisions arrived doesn't matter.
    #[test]
    fn order_of_arrival_does_not_matter(
        codes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6),
        shift in 0usize..6,
    ) {
        let mut decisions = Vec::new();
        for (n, (code, security)) in codes.iter().enumerate() {
            let effect = if *security { Effect::Security } else { Effect::Admissibility };
            let mut decision = decision(effect, *code.get(act::codes_of(effect)), 1, "BE");
            decision.stands = stands("BE", n as u64);
            decisions.push(decision);
        }
        let arrived = |decisions: &[DecisionRecord]| {
            case::state(&CaseRecord { decisions: decisions.to_vec(), ..advance(1) }, 0)
        };
        let first = arrived(&decisions);
        let by = shift.min(decisions.len());
        decisions.rotate_left(by);
        prop_assert_eq!(arrived(&decisions), first);
        decisions.reverse();
        prop_assert_eq!(arrived(&decisions), first);
    }
}

#[test]
fn internal_is_in_no_scope() {
    let mut scope = scope::full();
    scope.parts.push("internal".into());
    assert!(scope::check(&scope).is_err());
    assert!(!scope::shows_part(&scope, "internal"));
    assert!(!scope::shows_part(&scope::acdd(), "value"));
    let narrow = v1::DataScope { hs_prefixes: vec!["09".into()], ..scope::full() };
    let core = crate::filings::export().core.unwrap();
    assert!(scope::shows_statement(&narrow, "filing", Some(&core)));
    let other = v1::DataScope { hs_prefixes: vec!["61".into()], ..scope::full() };
    assert!(!scope::shows_statement(&other, "filing", Some(&core)));
}
