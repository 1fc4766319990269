//! The simulation, some hundreds of seeds of it, and what it found before.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Mutex;

use ewtp_testnet::sim::{self, Options};

fn options(first: u64, count: u64) -> Options {
    Options { first, count, threads: 2, trace: false, twice: false }
}

/// Runs seeds and fails with everything that they told.
fn clean(options: &Options) {
    let told = Mutex::new(Vec::new());
    let total = sim::seeds(options, &|line| told.lock().unwrap().push(line.to_owned())).unwrap();
    let told = told.into_inner().unwrap().join("\n");
    assert_eq!((total.seeds, total.failed), (options.count, 0), "{told}");
    let faults: u64 = total.faults.values().sum();
    assert!(faults > 10 * total.seeds, "so few faults are no test: {:?}", total.faults);
    assert!(total.acknowledged > 10 * total.seeds, "so few filings: {}", total.acknowledged);
}

#[test]
fn every_promise_holds_in_hundreds_of_networks_with_faults() {
    clean(&options(1, 300));
}

#[test]
fn a_seed_happens_the_same_way_twice() {
    clean(&Options { twice: true, ..options(5_000, 6) });
}

/// Seeds that broke a promise once, by the bug that they showed.
const FOUND: &[(u64, &str)] = &[
    (
        7,
        "frames that only hear carried times of their own, forgotten at a restart: the next frame was earlier",
    ),
    (20, "the same, over a clock that jumped back by half an hour"),
];

#[test]
fn what_broke_once_holds() {
    for (seed, bug) in FOUND {
        let told = Mutex::new(Vec::new());
        let total =
            sim::seeds(&options(*seed, 1), &|l| told.lock().unwrap().push(l.to_owned())).unwrap();
        assert_eq!(total.failed, 0, "{bug}: {}", told.into_inner().unwrap().join("\n"));
    }
}

#[test]
fn every_planted_bug_is_caught() {
    let caught = sim::planted(2, &|_| ()).unwrap();
    let missed: Vec<_> = caught.iter().filter(|c| c.seeds.is_none()).collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert_eq!(caught.len(), 11);
}
