//! A ledger gives no more than there is, whatever is filed, amended, withdrawn and released in whatever order.

use std::collections::BTreeMap;

use ewtp_clearance::ledger::{Ask, Entry, HeldState, Holding, entries, taken_after};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn of(numbers: &[u32]) -> Vec<Decimal> {
    numbers.iter().map(|n| Decimal::from(*n)).collect()
}

fn ask(filing: &str, version: u32, numbers: &[u32]) -> Ask {
    Ask { filing_id: filing.into(), version, quantities: Some(of(numbers)) }
}

/// One case's filings, by id: the newest version and what it asks for; `None` once withdrawn.
#[derive(Default)]
struct Case {
    filings: BTreeMap<String, Option<Ask>>,
    released: bool,
    holding: Holding,
}

#[derive(Clone, Debug)]
enum Deed {
    File { case: usize, filing: usize, lines: Option<[u32; 2]> },
    Withdraw { case: usize, filing: usize },
    Release { case: usize },
    Look { case: usize },
}

fn deed() -> impl Strategy<Value = Deed> {
    let case = 0..4usize;
    let lines = proptest::option::weighted(0.9, [0..80u32, 0..80u32]);
    prop_oneof![
        6 => (case.clone(), 0..3usize, lines)
            .prop_map(|(case, filing, lines)| Deed::File { case, filing, lines }),
        2 => (case.clone(), 0..3usize).prop_map(|(case, filing)| Deed::Withdraw { case, filing }),
        1 => case.clone().prop_map(|case| Deed::Release { case }),
        2 => case.prop_map(|case| Deed::Look { case }),
    ]
}

proptest! {
    #[test]
    fn no_more_is_given_than_there_is(deeds in proptest::collection::vec(deed(), 1..60)) {
        let total = of(&[100, 60]);
        let mut taken = of(&[0, 0]);
        let mut cases: Vec<Case> = (0..4).map(|_| Case::default()).collect();
        let mut versions = BTreeMap::new();
        for deed in deeds {
            let at = match deed {
                Deed::File { case, filing, lines } => {
                    let id = format!("{case}/{filing}");
                    let version = versions.entry(id.clone()).or_insert(0);
                    *version += 1;
                    let quantities = lines.map(|l| of(&l));
                    let ask = Ask { filing_id: id.clone(), version: *version, quantities };
                    cases[case].filings.insert(id, Some(ask));
                    case
                }
                Deed::Withdraw { case, filing } => {
                    cases[case].filings.insert(format!("{case}/{filing}"), None);
                    case
                }
                Deed::Release { case } => {
                    cases[case].released = true;
                    case
                }
                Deed::Look { case } => case,
            };
            let case = &mut cases[at];
            let asks: Vec<Ask> = case.filings.values().flatten().cloned().collect();
            let was_final = case.holding.state == HeldState::WrittenOff;
            let next = entries(&total, &taken, &case.holding, &asks, case.released);
            prop_assert!(!was_final || next.is_empty(), "what is written off stays");
            for entry in next {
                let held = case.holding.quantities.clone();
                match entry {
                    Entry::Reserved { quantities, .. } => {
                        taken = taken_after(&taken, &held, &quantities).unwrap();
                        case.holding.state = HeldState::Reserved;
                        case.holding.quantities = quantities;
                    }
                    Entry::WrittenOff => case.holding.state = HeldState::WrittenOff,
                    Entry::Released => {
                        taken = taken_after(&taken, &held, &[]).unwrap();
                        case.holding.state = HeldState::Released;
                        case.holding.quantities.clear();
                    }
                    Entry::Refused { filing, asked, left } => {
                        prop_assert!(
                            asked.is_empty() || asked.iter().zip(&left).any(|(a, l)| a > l),
                            "what would have fitted is not refused"
                        );
                        case.holding.settled.push(filing);
                    }
                }
            }
            prop_assert!(taken.iter().zip(&total).all(|(t, most)| t <= most), "{taken:?}");
            let sum = |line: usize| {
                cases.iter().filter_map(|c| c.holding.quantities.get(line)).sum::<Decimal>()
            };
            prop_assert_eq!(&taken, &vec![sum(0), sum(1)], "the sum is what the cases hold");
            // Looked at again nothing is missing; every filing that stands is covered or was refused.
            let case = &cases[at];
            let again = entries(&total, &taken, &case.holding, &asks, case.released);
            prop_assert!(again.is_empty(), "{again:?}");
            for ask in asks.iter().filter(|_| !case.released) {
                let refused = case.holding.settled.contains(&(ask.filing_id.clone(), ask.version));
                let zero = ask.quantities.iter().flatten().all(Decimal::is_zero);
                let covered = ask.quantities.as_ref().is_some_and(|asked| {
                    asked.iter().zip(&case.holding.quantities).all(|(a, held)| a <= held)
                });
                prop_assert!(refused || zero || (covered && case.holding.state == HeldState::Reserved));
            }
        }
    }
}

#[test]
fn of_two_that_want_the_last_of_it_the_first_gets_it_and_the_second_is_told_what_is_left() {
    let total = of(&[100]);
    let first = entries(&total, &of(&[0]), &Holding::default(), &[ask("A", 1, &[80])], false);
    let got = Entry::Reserved { filing: ("A".into(), 1), quantities: of(&[80]) };
    assert_eq!(first, [got]);
    let second = entries(&total, &of(&[80]), &Holding::default(), &[ask("B", 1, &[30])], false);
    let refused = Entry::Refused { filing: ("B".into(), 1), asked: of(&[30]), left: of(&[20]) };
    assert_eq!(second, [refused]);
}

#[test]
fn filings_of_one_case_are_about_the_same_goods() {
    let asks = [ask("export", 1, &[50]), ask("advance", 1, &[50]), ask("import", 1, &[40])];
    let next = entries(&of(&[60]), &of(&[0]), &Holding::default(), &asks, false);
    let once = Entry::Reserved { filing: ("export".into(), 1), quantities: of(&[50]) };
    assert_eq!(next, [once]);
}
