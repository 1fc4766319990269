use ewtp_proto::store::v1::{CaseRecord, DecisionRecord, FilingRecord, RequestRecord};
use ewtp_proto::v1;
use ewtp_trade::{case, scope};
use proptest::prelude::*;
use v1::{CaseState, DecisionCode, Effect};

fn advance(version: u32) -> CaseRecord {
    let filing = FilingRecord {
        filing_id: "F".into(),
        r#type: v1::FilingType::Advance as i32,
        hub: "KE".into(),
        assessed_by: "BE".into(),
        version,
        ..Default::default()
    };
    CaseRecord { filings: vec![filing], ..Default::default() }
}

fn decision(effect: Effect, code: DecisionCode, version: u32, hub: &str) -> DecisionRecord {
    DecisionRecord {
        filing_id: "F".into(),
        filing_version: version,
        effect: effect as i32,
        code: code as i32,
        hub: hub.into(),
        ..Default::default()
    }
}

fn state(decisions: &[DecisionRecord]) -> CaseState {
    case::state(&CaseRecord { decisions: decisions.to_vec(), ..advance(1) })
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
    assert_eq!(case::state(&amended), CaseState::Pending);
}

#[test]
fn a_question_is_open_until_it_is_answered() {
    let mut record = advance(1);
    record.requests.push(RequestRecord {
        filing_id: "F".into(),
        filing_version: 1,
        ..Default::default()
    });
    assert_eq!(case::state(&record), CaseState::InfoRequested);
    record.requests[0].answer_commitment = vec![1];
    assert_eq!(case::state(&record), CaseState::Pending);
    record.filings[0].assessed_by.clear();
    assert_eq!(case::state(&record), CaseState::NotConnected);
}

proptest! {
    /// Decisions on different effects commute: both hubs compute one state whatever the order of arrival.
    #[test]
    fn order_between_effects_does_not_matter(security in 1i32..14, admissibility in 1i32..14) {
        let code = |c| DecisionCode::try_from(c).unwrap();
        let a = decision(Effect::Security, code(security), 1, "BE");
        let b = decision(Effect::Admissibility, code(admissibility), 1, "BE");
        prop_assert_eq!(state(&[a.clone(), b.clone()]), state(&[b, a]));
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
