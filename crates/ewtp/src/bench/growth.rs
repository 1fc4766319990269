//! What a long log costs: catching up with it, starting again with it, rebuilding from it, and how all that grows.

use std::time::{Duration, Instant};

use serde_json::json;

use super::intake::fill;
use super::stage::{Hub, heard, pair, until};
use super::{Plan, report};
use crate::demo::stage::failed;
use crate::error::CliError;
use crate::session::block_on;

/// Filings before a SIGKILL: one set and a half.
const UNSETTLED: u64 = 8_000;
const PATIENCE: Duration = Duration::from_secs(900);

/// A peer joins with a backlog: until all of it is verified, durable and visible there.
pub(super) fn catchup(plan: &mut Plan<'_>) -> Result<(), CliError> {
    for (desk, more) in [("paused", "\n[desk]\npaused = true\n"), ("deciding", "")] {
        let n = plan.args.backlog;
        let dir = plan.dir.join("catchup");
        let (ke, mut be) = block_on(pair(&dir, more))?;
        let mut rates = Vec::new();
        for _ in 0..plan.args.repeats {
            let before = block_on(async { heard(&mut be.operate().await?).await })?;
            be.process.stop().map_err(failed)?;
            block_on(fill(&ke, n))?;
            be.process.start().map_err(failed)?;
            let started = Instant::now();
            block_on(async {
                let mut operator = be.operate().await?;
                until("catching up", PATIENCE, || {
                    let mut operator = operator.clone();
                    async move { Ok(heard(&mut operator).await? >= before + n) }
                })
                .await?;
                let _ = heard(&mut operator).await?;
                Ok(())
            })?;
            rates.push(n as f64 / started.elapsed().as_secs_f64());
        }
        let (per_s, spread) = report::median(rates);
        plan.report.row(json!({
            "bench": "catchup", "desk": desk, "statements": n, "per_s": per_s.round(),
            "repeats": plan.args.repeats, "spread": spread, "memory_mib": be.memory_mib().round(),
        }));
        drop((ke, be));
        std::fs::remove_dir_all(&dir).map_err(CliError::io(&dir))?;
    }
    Ok(())
}

/// A hub that holds `n` filings addressed to a peer that is down.
fn filled(plan: &Plan<'_>, name: &str, n: u64) -> Result<Hub, CliError> {
    let dir = plan.dir.join(name);
    let (ke, mut be) = block_on(pair(&dir, ""))?;
    be.process.stop().map_err(failed)?;
    block_on(fill(&ke, n))?;
    Ok(ke)
}

/// Stops and starts; gives milliseconds until it is ready.
fn start_again(hub: &mut Hub, clean: bool) -> Result<f64, CliError> {
    if clean {
        hub.process.stop().map_err(failed)?;
    } else {
        // What a busy hub has applied and not settled is applied again.
        block_on(fill(hub, UNSETTLED))?;
        hub.process.kill().map_err(failed)?;
    }
    let started = Instant::now();
    hub.process.start().map_err(failed)?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

/// Start with `n` statements, after a clean stop and after SIGKILL.
pub(super) fn restart(plan: &mut Plan<'_>) -> Result<(), CliError> {
    let n = plan.args.statements;
    let mut ke = filled(plan, "restart", n)?;
    for (after, clean) in [("clean stop", true), ("SIGKILL", false)] {
        let times = (0..plan.args.repeats)
            .map(|_| start_again(&mut ke, clean))
            .collect::<Result<Vec<_>, _>>()?;
        let (ms, spread) = report::median(times);
        plan.report.row(json!({
            "bench": "restart", "statements": n, "after": after, "ready_ms": ms.round(),
            "repeats": plan.args.repeats, "spread": spread,
        }));
    }
    drop(ke);
    std::fs::remove_dir_all(plan.dir.join("restart")).map_err(CliError::io(&plan.dir))
}

/// The state built anew from the journal.
pub(super) fn rebuild(plan: &mut Plan<'_>) -> Result<(), CliError> {
    let n = plan.args.statements;
    let mut ke = filled(plan, "rebuild", n)?;
    ke.process.stop().map_err(failed)?;
    let program = std::env::current_exe().map_err(CliError::io(&plan.dir))?;
    let mut rates = Vec::new();
    for _ in 0..plan.args.repeats {
        let started = Instant::now();
        let done = std::process::Command::new(&program)
            .args(["store", "rebuild", "--dir"])
            .arg(&ke.process.dir)
            .output()
            .map_err(CliError::io(&program))?;
        if !done.status.success() {
            return Err(CliError::Bench(String::from_utf8_lossy(&done.stderr).into_owned()));
        }
        rates.push(n as f64 / started.elapsed().as_secs_f64());
    }
    let (per_s, spread) = report::median(rates);
    plan.report.row(json!({
        "bench": "rebuild", "statements": n, "per_s": per_s.round(), "seconds": n as f64 / per_s,
        "repeats": plan.args.repeats, "spread": spread,
    }));
    drop(ke);
    std::fs::remove_dir_all(plan.dir.join("rebuild")).map_err(CliError::io(&plan.dir))
}

/// 10⁴, 10⁵, … filings: rate of the last ones, memory, disk, and the time to start.
pub(super) fn growth(plan: &mut Plan<'_>) -> Result<(), CliError> {
    let dir = plan.dir.join("growth");
    let (mut ke, mut be) = block_on(pair(&dir, ""))?;
    be.process.stop().map_err(failed)?;
    let (mut held, mut n, mut bytes) = (0, 10_000, 0);
    while n <= plan.args.statements {
        let per_s = block_on(fill(&ke, n - held))?;
        held = n;
        bytes += ke.statement_bytes(); // since the hub started
        let memory = ke.memory_mib();
        let open = start_again(&mut ke, true)?;
        let disk = ke.disk_bytes();
        plan.report.row(json!({
            "bench": "growth", "statements": n, "per_s": per_s.round(), "memory_mib": memory.round(),
            "disk_bytes": disk, "disk_bytes_per_statement": disk / n,
            "disk_share": disk as f64 / bytes.max(1) as f64, "open_ms": open.round(),
        }));
        n *= 10;
    }
    drop((ke, be));
    std::fs::remove_dir_all(&dir).map_err(CliError::io(&dir))
}
