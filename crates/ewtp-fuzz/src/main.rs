//! Fuzzes every parser of something from outside, briefly or for long: seeds from the kept corpus are changed at random, and each
//! target checks what must hold of any input. No instrumentation, so that it runs wherever the project builds.
//!
//! `cargo run --release -p ewtp-fuzz -- [TARGET] [--seconds N] [--seed S]`. An input that breaks a promise is written to
//! `tests/corpus/<target>/` and named; it stays there as a seed once it is mended.
#![expect(clippy::print_stdout, reason = "a tool for developers prints")]

mod changes;
mod seeds;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use changes::Changes;
use targets::{TARGETS, Target};

struct Options {
    only: Option<String>,
    seconds: u64,
    seed: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { only: None, seconds: 2, seed: 1 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().and_then(|v| v.parse().ok());
            value.ok_or_else(|| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()?,
            name if TARGETS.iter().any(|t| t.name == name) => options.only = Some(name.to_owned()),
            other => {
                let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
                return Err(format!(
                    "{other:?}: a target ({}), --seconds N or --seed S",
                    names.join(", ")
                ));
            }
        }
    }
    Ok(options)
}

/// Runs one target; gives the number of inputs, and of those that parsed.
fn run(target: &Target, options: &Options) -> Result<(u64, u64), String> {
    let seeds = seeds::of(target.name);
    if seeds.is_empty() {
        return Err(format!("{}: no seeds in tests/vectors or tests/corpus", target.name));
    }
    let mut changes = Changes::new(options.seed);
    let (mut inputs, mut parsed) = (0, 0);
    let mut one = |input: &[u8]| match catch_unwind(AssertUnwindSafe(|| (target.check)(input))) {
        Ok(accepted) => {
            inputs += 1;
            parsed += u64::from(accepted);
            Ok(())
        }
        Err(_) => Err(format!("{}: broken by {}", target.name, seeds::keep(target.name, input))),
    };
    seeds.iter().try_for_each(|s| one(s))?;
    let until = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < until {
        for _ in 0..64 {
            one(&changes.of(&seeds))?;
        }
    }
    Ok((inputs, parsed))
}

fn main() -> ExitCode {
    let outcome = options().and_then(|options| {
        for target in TARGETS.iter().filter(|t| options.only.as_deref().is_none_or(|o| o == t.name))
        {
            let (inputs, parsed) = run(target, &options)?;
            println!(
                "{:12} {inputs:>9} inputs, {parsed} of them accepted by the parser",
                target.name
            );
        }
        Ok(())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("{problem}");
            ExitCode::from(1)
        }
    }
}
