//! What a case is after something in it was erased.

use ewtp_proto::store::v1::{
    CaseRecord, DecisionRecord, FilingRecord, ForgottenRecord, Locator, RefusalRecord, Stands,
};
use ewtp_proto::v1;
use ewtp_trade::forget::{erased_numbers, forget, is_forgotten, is_over, note, said_in};
use proptest::prelude::*;

fn stands(hub: &str, index: u64) -> Stands {
    Stands {
        hub: hub.into(),
        commitment: vec![u8::try_from(index).unwrap(); 32],
        at: Some(Locator { peer: hub.into(), generation: 1, number: index }),
        log_index: index,
        ..Default::default()
    }
}

/// A filing in two versions, two decisions on it, and a refusal that quotes it.
fn case() -> CaseRecord {
    let decision = |index| DecisionRecord {
        stands: Some(stands("BE", index)),
        filing_id: "KE-F".into(),
        ..Default::default()
    };
    let reason = v1::Finding { code: "lrn".into(), value: "QUOTED".into(), ..Default::default() };
    CaseRecord {
        case_id: "KE-C".into(),
        filings: vec![FilingRecord {
            stands: Some(stands("KE", 3)),
            earlier: vec![stands("KE", 1)],
            filing_id: "KE-F".into(),
            r#type: v1::FilingType::Advance as i32,
            version: 2,
            assessed_by: "BE".into(),
            carrier_id: "KE123".into(),
            fiscal_reference: "IM123".into(),
            summary: Some(v1::CaseSummary {
                lrn: "LRN-1".into(),
                value: vec![v1::Money::default()],
                ..Default::default()
            }),
            ..Default::default()
        }],
        decisions: vec![decision(4), decision(5)],
        refusals: vec![RefusalRecord {
            reasons: vec![reason],
            refused: Some(stands("KE", 6)),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn erase(case: &mut CaseRecord, at: &Stands, kind: &str, number: u64, parts: &[String]) {
    forget(case, at.at.as_ref().unwrap(), parts);
    let subject = "KE-F".into();
    let (stands, kind, parts) = (Some(at.clone()), kind.into(), parts.to_vec());
    note(case, ForgottenRecord { stands, kind, parts, subject, number, ..Default::default() });
}

#[test]
fn numbers_of_erased_statements_stay_used() {
    let mut case = case();
    erase(&mut case, &stands("BE", 4), "decision", 1, &[]);
    assert_eq!(case.decisions.len(), 1);
    let used: Vec<u64> = erased_numbers(&case, "decision", "KE-F").collect();
    assert_eq!(used, [1]);
    // One that lost a part is still there, and is counted there.
    erase(&mut case, &stands("BE", 5), "decision", 11, &["trader".into()]);
    assert_eq!(erased_numbers(&case, "decision", "KE-F").count(), 1);
    assert_eq!(erased_numbers(&case, "decision", "KE-G").count(), 0);
}

#[test]
fn a_part_takes_with_it_what_the_record_has_of_it() {
    let mut case = case();
    erase(&mut case, &stands("KE", 3), "filing", 2, &["parties".into(), "value".into()]);
    let filing = &case.filings[0];
    assert_eq!((filing.carrier_id.as_str(), filing.fiscal_reference.as_str()), ("", ""));
    let summary = filing.summary.as_ref().unwrap();
    assert_eq!((summary.lrn.as_str(), summary.value.len()), ("LRN-1", 0));
    assert_eq!(case.refusals[0].reasons[0].value, "", "a refusal quotes what it refuses");
    // Said twice, or first in part and then whole, it is whole.
    erase(&mut case, &stands("KE", 3), "filing", 2, &[]);
    assert_eq!((case.forgotten.len(), case.forgotten[0].parts.len()), (1, 0));
}

#[test]
fn a_case_is_over_when_nothing_of_its_business_is_left() {
    assert!(!is_over(&case(), 0));
    assert!(is_over(&CaseRecord::default(), 0));
}

proptest! {
    /// In whatever order its statements go, older versions first, nothing is left but where they stood.
    #[test]
    fn a_case_of_which_all_is_erased_is_a_shell(order in Just((0..5usize).collect::<Vec<_>>()).prop_shuffle()) {
        let place = |n: usize| order.iter().position(|at| *at == n);
        prop_assume!(place(0) < place(1));
        let mut case = case();
        let said = said_in(&case);
        prop_assert_eq!(said.len(), order.len());
        for at in order {
            prop_assert!(!is_forgotten(&case));
            erase(&mut case, &said[at].stands, said[at].kind, 1, &[]);
        }
        prop_assert!(is_forgotten(&case));
        prop_assert_eq!(case.forgotten.len(), 5);
    }
}
