//! A ledger gives no more than there is, whatever is filed, amended, withdrawn and released in whatever order.

use std::collections::BTreeMap;

use ewtp_clearance::ledger::{Ask, Entry, HeldState, Holding, Share, entries, taken_after};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn of(numbers: &[u32]) -> Vec<Decimal> {
    numbers.iter().map(|n| Decimal::from(*n)).collect()
}

fn ask(filing: &str, version: u32, numbers: &[u32]) -> Ask {
    Ask { filing_id: filing.into(), version, kind: 0, quantities: Some(of(numbers)) }
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
        let mut late = of(&[0, 0]);
        for deed in deeds {
            let at = match deed {
                Deed::File { case, filing, lines } => {
                    let id = format!("{case}/{filing}");
                    let version = versions.entry(id.clone()).or_insert(0);
                    *version += 1;
                    let quantities = lines.map(|l| of(&l));
                    // The first two filings of a case are of one kind, and add up.
                    let kind = i32::from(filing == 2);
                    let ask = Ask { filing_id: id.clone(), version: *version, kind, quantities };
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
                    Entry::Reserved { quantities, shares } => {
                        taken = taken_after(&taken, &held, &quantities).unwrap();
                        case.holding.state = HeldState::Reserved;
                        (case.holding.last, case.holding.quantities) =
                            (quantities.clone(), quantities);
                        case.holding.shares = shares;
                    }
                    Entry::WrittenOff { quantities } => {
                        let most = quantities.iter().zip(&case.holding.last).all(|(q, last)| q <= last);
                        prop_assert!(most, "no more than was reserved");
                        if case.holding.state == HeldState::Released {
                            // It was freed before its release was heard: it is spent all the same.
                            late = taken_after(&late, &[], &quantities).unwrap();
                        }
                        taken = taken_after(&taken, &held, &quantities).unwrap();
                        case.holding.state = HeldState::WrittenOff;
                        case.holding.quantities = quantities;
                    }
                    Entry::Released => {
                        taken = taken_after(&taken, &held, &[]).unwrap();
                        case.holding.state = HeldState::Released;
                        case.holding.quantities.clear();
                        case.holding.shares.clear();
                    }
                    Entry::Refused { filing, asked, left } => {
                        // Alone it may fit; what the filings of its kind ask for together doesn't.
                        let kind = asks.iter().find(|a| a.filing_id == filing.0).unwrap().kind;
                        let of_kind = asks.iter().filter(|a| a.kind == kind);
                        let sum = |i: usize| -> Decimal {
                            of_kind.clone().filter_map(|a| Some(a.quantities.as_ref()?[i])).sum()
                        };
                        prop_assert!(
                            asked.is_empty() || (0..2).any(|i| sum(i) > left[i]),
                            "what would have fitted is not refused"
                        );
                        case.holding.settled.push(filing);
                    }
                }
            }
            let given = taken_after(&taken, &late, &[]).unwrap();
            prop_assert!(given.iter().zip(&total).all(|(t, most)| t <= most), "{taken:?} {late:?}");
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
                let mine = |s: &&Share| s.filing == (ask.filing_id.clone(), ask.version);
                let share = case.holding.shares.iter().find(mine);
                let covered = share.is_some_and(|s| Some(&s.quantities) == ask.quantities.as_ref());
                prop_assert!(refused || zero || (covered && case.holding.state == HeldState::Reserved));
            }
        }
    }
}

#[test]
fn of_two_that_want_the_last_of_it_the_first_gets_it_and_the_second_is_told_what_is_left() {
    let total = of(&[100]);
    let first = entries(&total, &of(&[0]), &Holding::default(), &[ask("A", 1, &[80])], false);
    assert!(matches!(&first[..], [Entry::Reserved { quantities, .. }] if *quantities == of(&[80])));
    let second = entries(&total, &of(&[80]), &Holding::default(), &[ask("B", 1, &[30])], false);
    let refused = Entry::Refused { filing: ("B".into(), 1), asked: of(&[30]), left: of(&[20]) };
    assert_eq!(second, [refused]);
}

#[test]
fn filings_of_one_type_add_up_and_those_of_others_are_about_the_same_goods() {
    let of_kind = |filing: &str, kind: i32, kg: u32| Ask { kind, ..ask(filing, 1, &[kg]) };
    let asks = [of_kind("export", 1, 50), of_kind("advance", 2, 30), of_kind("second", 2, 25)];
    let next = entries(&of(&[60]), &of(&[0]), &Holding::default(), &asks, false);
    let [Entry::Reserved { quantities, shares }] = &next[..] else { panic!("{next:?}") };
    assert_eq!(
        *quantities,
        of(&[55]),
        "the two advance filings together, which is more than the export"
    );
    let each: Vec<_> = shares.iter().map(|s| (s.filing.0.as_str(), s.quantities.clone())).collect();
    assert_eq!(each, [("export", of(&[50])), ("advance", of(&[30])), ("second", of(&[25]))]);
    let third = [&asks[..], &[of_kind("third", 2, 10)]].concat();
    let holding = Holding {
        state: HeldState::Reserved,
        quantities: quantities.clone(),
        last: quantities.clone(),
        shares: shares.clone(),
        settled: Vec::new(),
    };
    let more = entries(&of(&[60]), &of(&[55]), &holding, &third, false);
    assert!(
        matches!(&more[..], [Entry::Refused { filing, .. }] if filing.0 == "third"),
        "{more:?}"
    );
}

#[test]
fn what_is_released_is_spent_though_it_was_freed_if_a_filing_that_stands_asks_for_it() {
    let freed = Holding { state: HeldState::Released, last: of(&[40]), ..Holding::default() };
    let late =
        |holding: &Holding, asks: &[Ask]| entries(&of(&[60]), &of(&[60]), holding, asks, true);
    let spent = Entry::WrittenOff { quantities: of(&[40]) };
    assert_eq!(late(&freed, &[ask("A", 1, &[40])]), [spent]);
    assert_eq!(late(&freed, &[]), [], "amended to another certificate, or withdrawn");
    let by_hand = Holding { settled: vec![("A".into(), 1)], ..freed };
    assert_eq!(
        late(&by_hand, &[ask("A", 1, &[40])]),
        [],
        "an officer freed what wasn't the holder's"
    );
}

#[test]
fn what_is_granted_stays_granted_when_more_is_spent_than_there_is() {
    let share = Share { filing: ("B".into(), 1), quantities: of(&[60]) };
    let holding = Holding {
        state: HeldState::Reserved,
        quantities: of(&[60]),
        last: of(&[60]),
        shares: vec![share],
        settled: Vec::new(),
    };
    assert_eq!(entries(&of(&[60]), &of(&[100]), &holding, &[ask("B", 1, &[60])], false), []);
}
