//! `ewtp bench`: what this machine does with hubs as they ship, beside what it can do at all.
//!
//! Hubs are processes of their own with real disks and mutual TLS; the client shares the machine with them. Each figure stands
//! beside a floor that was measured in the same run, because figures of different runs don't compare.

mod echo;
mod exchange;
mod filing;
mod floors;
mod growth;
mod intake;
mod peer_lines;
mod report;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::args::{Bench, BenchKind};
use crate::error::CliError;
use crate::output::Output;

use report::Report;

/// What the kinds share.
pub(crate) struct Plan<'a> {
    pub(crate) dir: PathBuf,
    pub(crate) args: &'a Bench,
    pub(crate) report: Report<'a>,
}

pub(crate) fn run(args: &Bench, out: &Output) -> Result<ExitCode, CliError> {
    if let Some(listen) = &args.serve_echo {
        return echo::serve(listen);
    }
    let temporary = tempfile::Builder::new()
        .prefix("ewtp-bench-")
        .tempdir()
        .map_err(CliError::io(Path::new("/tmp")))?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir).map_err(CliError::io(&dir))?;
    refuse_memory(&dir)?;
    let mut plan = Plan { dir, args, report: Report::new(out) };
    if args.peer_lines {
        peer_lines::run(&mut plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    plan.report.machine(&plan.dir);
    let all = [
        BenchKind::Floors,
        BenchKind::Intake,
        BenchKind::Exchange,
        BenchKind::Catchup,
        BenchKind::Restart,
        BenchKind::Rebuild,
        BenchKind::Growth,
    ];
    let kinds = if args.kinds.is_empty() { &all[..] } else { &args.kinds[..] };
    // First and always: what else is measured stands beside them.
    floors::run(&mut plan)?;
    for kind in kinds {
        match kind {
            BenchKind::Floors => {}
            BenchKind::Intake => intake::run(&mut plan)?,
            BenchKind::Exchange => exchange::run(&mut plan)?,
            BenchKind::Catchup => growth::catchup(&mut plan)?,
            BenchKind::Restart => growth::restart(&mut plan)?,
            BenchKind::Rebuild => growth::rebuild(&mut plan)?,
            BenchKind::Growth => growth::growth(&mut plan)?,
        }
    }
    plan.report.table();
    Ok(ExitCode::SUCCESS)
}

/// A disk in memory answers a sync at once: every figure would be better and none would be true.
fn refuse_memory(dir: &Path) -> Result<(), CliError> {
    let kind = report::file_system(dir);
    if kind == "tmpfs" || kind == "ramfs" {
        return Err(CliError::usage(
            &dir.display().to_string(),
            format!("is a {kind}: nothing is durable there"),
            "choose a directory on a disk with --dir",
        ));
    }
    Ok(())
}
