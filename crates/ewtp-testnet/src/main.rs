//! `cargo run --release -p ewtp-testnet -- sim`: simulations of whole networks, from seeds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers prints")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ewtp_testnet::sim::{self, Options};

/// Test networks of eWTP hubs.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulates whole networks with faults, checked after every step.
    Sim {
        /// How many seeds to run.
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Plant each known bug in turn and count the seeds until it is caught.
        #[arg(long)]
        planted: bool,
        /// Tell what happens in every seed.
        #[arg(long)]
        trace: bool,
        /// Run every seed twice and compare.
        #[arg(long)]
        twice: bool,
        /// Threads; as many as there are cores if 0.
        #[arg(long, default_value_t = 0)]
        threads: usize,
        /// Print JSON alone on standard output.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Command::Sim { seeds, first, planted, trace, twice, threads, json } = Args::parse().command;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores } else { threads };
    let outcome = match planted {
        true => run_planted(threads, json),
        false => run_seeds(&Options { first, count: seeds, threads, trace, twice }, json),
    };
    outcome.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::FAILURE
    })
}

fn run_seeds(options: &Options, json: bool) -> Result<ExitCode, ewtp_testnet::TestnetError> {
    let tell = |line: &str| if json { eprintln!("{line}") } else { println!("{line}") };
    let total = sim::seeds(options, &tell)?;
    if !json {
        println!(
            "{} filings were acknowledged, {} seeds a minute; faults:",
            total.acknowledged, total.per_minute
        );
        for (kind, count) in &total.faults {
            println!("  {count:>8} {kind}");
        }
    }
    println!(
        "{}",
        serde_json::json!({
            "seeds": total.seeds,
            "failed": total.failed,
            "per_minute": total.per_minute,
            "faults_injected": total.faults.values().sum::<u64>(),
        })
    );
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_planted(threads: usize, json: bool) -> Result<ExitCode, ewtp_testnet::TestnetError> {
    let tell = |caught: &sim::Caught| {
        let seeds = caught.seeds.map_or_else(|| "not caught".to_owned(), |n| format!("seed {n}"));
        let line = format!("{:<20} {seeds:<12} {}", format!("{:?}", caught.bug), caught.promise);
        if json { eprintln!("{line}") } else { println!("{line}") }
    };
    let all = sim::planted(threads, &tell)?;
    let caught = all.iter().filter(|c| c.seeds.is_some()).count();
    println!("{}", serde_json::json!({"planted": all.len(), "caught": caught}));
    Ok(if caught == all.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
