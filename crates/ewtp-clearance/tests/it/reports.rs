//! Reports: what is counted, and what is not shown.

use std::collections::BTreeSet;

use ewtp_clearance::report::{Figures, fairness};

fn filings(size: &str, count: usize) -> Vec<Figures> {
    let one = Figures {
        size: size.into(),
        origin: "KE".into(),
        channel: "trader".into(),
        ..Figures::default()
    };
    vec![one; count]
}

fn shown(all: &[Figures]) -> BTreeSet<String> {
    let cells = fairness(all).by_size.into_iter();
    cells.filter(|c| c.shown.is_some()).map(|c| c.name).collect()
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn a_cell_that_could_be_worked_out_from_the_others_is_not_shown_either() {
    let all = [filings("micro", 40), filings("small", 12), filings("large", 3)].concat();
    assert_eq!(shown(&all), names(&["micro"]), "40 and 12 of 55 would tell of the 3");
    let two = [filings("micro", 40), filings("small", 9), filings("large", 3)].concat();
    assert_eq!(shown(&two), names(&["micro"]));
    let none = [filings("micro", 40), filings("small", 12)].concat();
    assert_eq!(shown(&none), names(&["micro", "small"]));
}

#[test]
fn times_are_those_of_half_and_of_nine_in_ten() {
    let timed = |ms: u64| Figures { decided_after_ms: Some(ms), ..filings("micro", 1).remove(0) };
    let mut all: Vec<Figures> = (1..=20).map(|n| timed(n * 100)).collect();
    all.extend(filings("micro", 5));
    let report = fairness(&all);
    let cell = report.by_size[0].shown.clone().unwrap();
    assert_eq!((cell.filings, cell.times.decided), (25, 20));
    assert_eq!((cell.times.median_ms, cell.times.p90_ms), (1000, 1800));
}
