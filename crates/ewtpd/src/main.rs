//! `ewtpd`: the hub daemon. The same as `ewtp hub run`.
#![expect(clippy::print_stderr, reason = "before logging is set up, errors go to standard error")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// glibc gives what one thread freed for another back slowly: a quarter of a busy hub's time (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs one hub of an eWTP network.
#[derive(Parser)]
#[command(name = "ewtpd", version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "hub.toml")]
    config: PathBuf,
    /// Check configuration and keys, then stop.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match ewtp_hub::run_daemon(&arguments.config, arguments.check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
