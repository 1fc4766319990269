//! The simulation, some hundreds of seeds of it, and what it found before.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Mutex;

use ewtp_testnet::sim::{self, Options};

fn options(first: u64, count: u64) -> Options {
    Options { first, count, threads: 2, trace: false, twice: false }
}

/// Runs seeds and fails with everything that they told; gives the kinds of fault that there were.
fn clean(options: &Options) -> Vec<&'static str> {
    let told = Mutex::new(Vec::new());
    let total = sim::seeds(options, &|line| told.lock().unwrap().push(line.to_owned())).unwrap();
    let told = told.into_inner().unwrap().join("\n");
    assert_eq!((total.seeds, total.failed), (options.count, 0), "{told}");
    let faults: u64 = total.faults.values().sum();
    assert!(faults > 10 * total.seeds, "so few faults are no test: {:?}", total.faults);
    assert!(total.acknowledged > 10 * total.seeds, "so few filings: {}", total.acknowledged);
    total.faults.into_keys().collect()
}

/// Every kind of fault that there is; one that never happens would test nothing.
const FAULTS: [&str; 12] = [
    "clock jump",
    "desk cancelled",
    "desk cancelled with a full queue",
    "failed sync",
    "kill",
    "link between hubs",
    "link to clients",
    "power cut",
    "slow bytes",
    "slow disk",
    "state lost",
    "state stale",
];

#[test]
fn every_promise_holds_in_hundreds_of_networks_with_faults() {
    let faults = clean(&options(1, 200));
    assert_eq!(faults, FAULTS);
}

/// Crashes among them while 120 clients are connected: a runtime that ends closes connections in an order of its own.
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
    (
        20_415,
        "of the checker: a question fell due while the hubs were compared, and the event was still on its way",
    ),
    (
        54,
        "a decision in one page with the import filing that it is about was not honoured, as if only a filer could follow itself",
    ),
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
    let mut told: Vec<(String, &str)> =
        caught.iter().map(|c| (format!("{:?}", c.bug), c.promise.as_str())).collect();
    told.sort();
    let wanted = [
        ("AnswerBeforeSync", "acknowledged means durable"),
        ("ForgetLastFrame", "log and heads are append-only"),
        ("LaneGap", "lanes are gapless"),
        ("LrnTwice", "one decision per work item, one filing per LRN"),
        ("PageBeforeSync", "nothing is shown that is not durable"),
        ("ReceiverGivesUp", "everything is delivered and decided once faults end"),
        ("ScopeIgnored", "no part leaves its audience"),
        ("SpentTwice", "nothing is spent twice"),
        ("StateDiffers", "both hubs compute the same state"),
        ("SumsShort", "value and mass are conserved"),
        ("TimeBackwards", "logged times never decrease"),
        ("WorkTwice", "one decision per work item, one filing per LRN"),
    ];
    assert_eq!(told, wanted.map(|(bug, promise)| (bug.to_owned(), promise)));
}
