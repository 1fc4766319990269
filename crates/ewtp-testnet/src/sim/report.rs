//! Runs many seeds and tells what came of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use ewtp_store::planted::Bug;

use super::machines::{HUBS, Home, copy_home};
use super::run::{Outcome, Stage};
use crate::TestnetError;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// First seed.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Threads, each with a network of its own.
    pub threads: usize,
    /// Tell what happened in every seed.
    pub trace: bool,
    /// Run each seed twice and compare what happened.
    pub twice: bool,
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds run.
    pub seeds: u64,
    /// Seeds in which a promise was broken.
    pub failed: u64,
    /// Seeds a minute.
    pub per_minute: u64,
    /// Faults injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Filings acknowledged.
    pub acknowledged: u64,
}

/// What became of a planted bug.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The bug.
    pub bug: Bug,
    /// Seeds that it took, if it was caught.
    pub seeds: Option<u64>,
    /// The promise whose breach told it.
    pub promise: String,
}

fn homes(dir: &Path) -> Result<Vec<Home>, TestnetError> {
    // Making a root key measures the machine and takes a second: all at once.
    let mut homes: Vec<Home> = std::thread::scope(|scope| {
        let making: Vec<_> =
            (0..HUBS.len()).map(|at| scope.spawn(move || Home::make(dir, at))).collect();
        making
            .into_iter()
            .map(|m| m.join().map_err(|_| crate::io("keys")(std::io::Error::other("panic")))?)
            .collect::<Result<_, TestnetError>>()
    })?;
    // Each names the others as its witnesses.
    let witnesses: Vec<_> = homes.iter().filter_map(|h| h.chain.newest().witness.clone()).collect();
    std::thread::scope(|scope| {
        let naming: Vec<_> = homes
            .iter_mut()
            .map(|home| {
                let others: Vec<_> = witnesses
                    .iter()
                    .filter(|k| home.chain.newest().witness.as_ref() != Some(k))
                    .cloned()
                    .collect();
                scope.spawn(move || home.name_witnesses(&others))
            })
            .collect();
        naming.into_iter().try_for_each(|n| {
            n.join().map_err(|_| crate::io("witnesses")(std::io::Error::other("panic")))?
        })
    })?;
    Ok(homes)
}

fn stage(homes: &[Home], dir: &Path) -> Result<Stage, TestnetError> {
    Ok(Stage::new(homes.iter().map(|h| copy_home(h, dir)).collect::<Result<_, _>>()?))
}

/// Runs seeds; `tell` gets what a person should read.
///
/// # Errors
/// If no network could be made.
pub fn seeds(options: &Options, tell: &(dyn Fn(&str) + Sync)) -> Result<Summary, TestnetError> {
    let dir = tempfile::tempdir().map_err(crate::io("a temporary directory"))?;
    let homes = homes(&dir.path().join("made"))?;
    let started = Instant::now();
    let (next, stop) = (AtomicU64::new(options.first), AtomicBool::new(false));
    let total = Mutex::new(Summary::default());
    let work = |thread: usize| -> Result<(), TestnetError> {
        let mut stage = stage(&homes, &dir.path().join(thread.to_string()))?;
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= options.first + options.count {
                return Ok(());
            }
            let outcome = stage.run(seed, None)?;
            let again = options.twice.then(|| stage.run(seed, None)).transpose()?;
            let same = again.as_ref().is_none_or(|again| again.digest == outcome.digest);
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            total.seeds += 1;
            for (kind, count) in &outcome.faults {
                *total.faults.entry(kind).or_default() += count;
            }
            total.acknowledged += outcome.acknowledged as u64;
            if !outcome.breaches.is_empty() || !same {
                total.failed += 1;
            }
            tell_of(seed, &outcome, options.trace, tell);
            if let Some(again) = again.filter(|_| !same) {
                tell(&format!("seed {seed} happened differently when it was run again:"));
                let mut lines = outcome.trace.iter().zip(&again.trace);
                if let Some((first, second)) = lines.find(|(a, b)| a != b) {
                    tell(&format!("  first  {first}\n  second {second}"));
                }
            }
            if total.seeds.is_multiple_of(100) {
                let rate = total.seeds as f64 / started.elapsed().as_secs_f64() * 60.0;
                tell(&format!(
                    "{} seeds, {} failed, {rate:.0} a minute",
                    total.seeds, total.failed
                ));
            }
        }
        Ok(())
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..options.threads.max(1)).map(|n| scope.spawn(move || work(n))).collect();
        let mut first = Ok(());
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(crate::io("a seed")(std::io::Error::other("panic"))));
            if ended.is_err() {
                stop.store(true, Ordering::Relaxed);
                first = ended;
            }
        }
        first
    })?;
    let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.per_minute =
        (total.seeds as f64 / started.elapsed().as_secs_f64().max(0.001) * 60.0) as u64;
    Ok(total)
}

fn tell_of(seed: u64, outcome: &Outcome, trace: bool, tell: &(dyn Fn(&str) + Sync)) {
    if trace || !outcome.breaches.is_empty() {
        outcome.trace.iter().for_each(|line| tell(line));
    }
    if outcome.breaches.is_empty() {
        return;
    }
    let faults: u64 = outcome.faults.values().sum();
    tell(&format!("seed {seed} failed after {faults} faults:"));
    for breach in &outcome.breaches {
        tell(&format!("  broken: {}: {}", breach.promise, breach.what));
    }
    tell(&format!(
        "replay it: cargo run --release -p ewtp-testnet -- sim --seeds 1 --first {seed} --trace"
    ));
}

/// Most seeds that a planted bug may take.
const PLANTED_SEEDS_MAX: u64 = 300;

/// Plants each bug in turn and counts the seeds until a promise is seen broken.
///
/// # Errors
/// If no network could be made.
pub fn planted(
    threads: usize,
    tell: &(dyn Fn(&Caught) + Sync),
) -> Result<Vec<Caught>, TestnetError> {
    let dir = tempfile::tempdir().map_err(crate::io("a temporary directory"))?;
    let homes = homes(&dir.path().join("made"))?;
    let (next, all) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = |thread: usize| -> Result<(), TestnetError> {
        let mut stage = stage(&homes, &dir.path().join(thread.to_string()))?;
        loop {
            let n = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
            let Some(bug) = Bug::ALL.get(n).copied() else { return Ok(()) };
            let mut caught = Caught { bug, seeds: None, promise: String::new() };
            for seed in 1..=PLANTED_SEEDS_MAX {
                let outcome = stage.run(seed, Some(bug))?;
                if let Some(breach) = outcome.breaches.first() {
                    caught.seeds = Some(seed);
                    caught.promise = breach.promise.to_owned();
                    break;
                }
            }
            tell(&caught);
            all.lock().unwrap_or_else(PoisonError::into_inner).push(caught);
        }
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().try_for_each(|t| {
            t.join().unwrap_or_else(|_| Err(crate::io("a seed")(std::io::Error::other("panic"))))
        })
    })?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}
