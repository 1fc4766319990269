//! Filings that end without use.

use ewtp_proto::store::v1::{CaseRecord, Stands};
use ewtp_proto::v1;
use ewtp_trade::case::filing_state;
use ewtp_trade::expiry::{EXPIRED, Terms};
use ewtp_trade::record::{Fact, put};

const DAY_MS: u64 = 86_400_000;

fn stands(hub: &str, logged_ms: u64) -> Stands {
    Stands { hub: hub.into(), logged_ms, ..Default::default() }
}

fn filed(kind: v1::FilingType, version: u32) -> Fact {
    Fact::Filing {
        core: Box::new(v1::FilingCore {
            case_id: "C".into(),
            filing_id: "F".into(),
            r#type: kind as i32,
            version,
            ..Default::default()
        }),
        account: "platform".into(),
        parties: Box::default(),
        goods: Box::default(),
    }
}

fn case_of(kind: v1::FilingType) -> CaseRecord {
    let mut case = CaseRecord { case_id: "C".into(), ..Default::default() };
    put(&mut case, stands("KE", 0), filed(kind, 1));
    case
}

fn ended(case: &CaseRecord, day: u64) -> bool {
    Terms::default().ended(case, &case.filings[0], "KE", day * DAY_MS)
}

#[test]
fn each_type_has_its_term_and_an_amendment_begins_it_anew() {
    for (kind, days) in [
        (v1::FilingType::Import, 30),
        (v1::FilingType::Export, 150),
        (v1::FilingType::Advance, 200),
    ] {
        let mut case = case_of(kind);
        assert!(!ended(&case, days - 1) && ended(&case, days), "{kind:?}");
        assert!(!Terms::default().ended(&case, &case.filings[0], "BE", 1000 * DAY_MS), "another's");
        put(&mut case, stands("KE", 20 * DAY_MS), filed(kind, 2));
        assert!(!ended(&case, days) && ended(&case, days + 20), "{kind:?} amended");
    }
    assert!(!ended(&case_of(v1::FilingType::Transit), 10_000), "transit has its own time limit");
    let never = Terms { export_ms: 0, advance_ms: 0, import_ms: 0, transit_ms: 0 };
    assert_eq!((never.shortest_ms(), Terms::default().shortest_ms()), (None, Some(30 * DAY_MS)));
}

fn event_of(case: &str) -> Option<v1::EventSelector> {
    Some(v1::EventSelector { by: Some(v1::event_selector::By::CaseId(case.into())) })
}

#[test]
fn goods_that_moved_and_filings_that_were_used_dont_end() {
    let mut moved = case_of(v1::FilingType::Export);
    let event = v1::EventCore {
        code: v1::EventCode::Presented as i32,
        selector: event_of("C"),
        ..Default::default()
    };
    put(&mut moved, stands("KE", DAY_MS), Fact::Event(Box::new(event)));
    assert!(!ended(&moved, 151));
    // An import whose goods left there, and were never presented here, ends all the same.
    let mut left = case_of(v1::FilingType::Import);
    let there = |code: v1::EventCode| v1::EventCode::try_from(code as i32).unwrap() as i32;
    let departed = v1::EventCore {
        code: there(v1::EventCode::Departed),
        selector: event_of("C"),
        ..Default::default()
    };
    put(&mut left, stands("BE", DAY_MS), Fact::Event(Box::new(departed)));
    assert!(ended(&left, 31));
    let mut withdrawn = case_of(v1::FilingType::Export);
    let core = |reason: &str| v1::InvalidationCore {
        case_id: "C".into(),
        filing_id: "F".into(),
        filing_version: 1,
        reason: reason.into(),
    };
    put(
        &mut withdrawn,
        stands("KE", DAY_MS),
        Fact::Invalidation(Box::new(core("ORDER-CANCELLED"))),
    );
    assert!(!ended(&withdrawn, 151));
    assert_eq!(filing_state(&withdrawn, &withdrawn.filings[0]), v1::FilingState::Invalidated);
    let mut over = case_of(v1::FilingType::Export);
    put(&mut over, stands("KE", 150 * DAY_MS), Fact::Invalidation(Box::new(core(EXPIRED))));
    assert_eq!(filing_state(&over, &over.filings[0]), v1::FilingState::Expired);
    assert!(!ended(&over, 400), "said once");
}
