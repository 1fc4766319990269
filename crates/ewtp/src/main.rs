//! `ewtp`: the command line of operators and traders.
//!
//! Only data goes to standard output; progress, questions and errors go to standard error. Exit codes: 0 done,
//! 1 refused or not verified, 2 wrong call, 3 the hub can't be reached, 4 something here failed.

mod args;
mod args_acts;
mod args_arrangement;
mod args_certificate;
mod args_documents;
mod args_log;
mod args_report;
mod args_rules;
mod bench;
mod commands;
mod demo;
mod error;
mod output;
mod profile;
mod session;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};

/// glibc gives what one thread freed for another back slowly: a quarter of a busy hub's time (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        // Whatever a test runs first finds a grammar that contradicts itself.
        Cli::command().debug_assert();
    }
    let cli = Cli::parse();
    let out = output::Output::new(cli.json);
    let outcome = match cli.command {
        Command::Hub(command) => commands::hub::run(command, &cli.profile, &out),
        Command::Peer(command) => commands::peer::run(command, &cli.profile, &out),
        Command::Account(command) => commands::account::run(command, &cli.profile, &out),
        Command::Rules(command) => commands::rules::run(&command, &cli.profile, &out),
        Command::Ruleset(command) => commands::ruleset::run(command, &cli.profile, &out),
        Command::Arrangement(command) => commands::arrangement::run(&command, &cli.profile, &out),
        Command::Certificate(command) => commands::certificate::run(&command, &cli.profile, &out),
        Command::Report(command) => commands::report::run(&command, &cli.profile, &out),
        Command::Declare(command) => commands::declare::run(&command, &cli.profile, &out),
        Command::Codes(command) => commands::codes::run(&command, &cli.profile, &out),
        Command::Convert(command) => commands::convert::run(&command, &out),
        Command::Duties(command) => commands::duties::run(&command, &out),
        Command::Import(command) => commands::import::run(&command, &cli.profile, &out),
        Command::Case(command) => commands::case::run(command, &cli.profile, &out),
        Command::Adopt(command) => commands::acts::adopt(&command, &cli.profile, &out),
        Command::Invalidate(command) => commands::acts::withdraw(&command, &cli.profile, &out),
        Command::Event(command) => commands::acts::event(&command, &cli.profile, &out),
        Command::Mandate(command) => commands::acts::mandate(command, &cli.profile, &out),
        Command::Desk(command) => commands::desk::run(command, &cli.profile, &out),
        Command::Attachment(command) => commands::attachment::run(command, &cli.profile, &out),
        Command::Receipt(command) => commands::receipt::run(command, &cli.profile, &out),
        Command::Log(command) => commands::log::run(&command, &cli.profile, &out),
        Command::Evidence(command) => commands::evidence::run(&command, &cli.profile, &out),
        Command::Audit(command) => commands::audit::run(&command, &cli.profile, &out),
        Command::Store(command) => commands::store::run(&command, &out),
        Command::Demo(command) => demo::run(&command, &out),
        Command::Bench(command) => bench::run(&command, &out),
    };
    match outcome {
        Ok(_) if output::is_broken() => ExitCode::from(4),
        Ok(code) => code,
        Err(error) => {
            out.error(&error);
            error.exit_code()
        }
    }
}
