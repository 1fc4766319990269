//! Exchange: filed at one hub, verified, decided and stored at the other, the decision verified back at the first.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ewtp_proto::v1;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::echo::unique;
use super::filing::Template;
use super::intake::accepted;
use super::report::Latencies;
use super::stage::{Hub, pair};
use super::{Plan, report};
use crate::error::CliError;
use crate::session::block_on;

/// Filings whose decision isn't known yet, at most, when measuring what goes through.
const WINDOW: usize = 4096;
/// Rates at which latency is measured, per second.
const RATES: [u64; 4] = [50, 500, 1500, 3000];

pub(super) fn run(plan: &mut Plan<'_>) -> Result<(), CliError> {
    let dir = plan.dir.join("exchange");
    let (ke, be) = block_on(pair(&dir, ""))?;
    let (count, repeats) = (plan.args.exchange, plan.args.repeats);
    block_on(through(&ke, count / 4))?; // warm-up
    let rates =
        (0..repeats).map(|_| block_on(through(&ke, count))).collect::<Result<Vec<_>, _>>()?;
    let (per_s, spread) = report::median(rates);
    plan.report.row(json!({
        "bench": "exchange", "mode": "throughput", "filings": count, "per_s": per_s.round(),
        "repeats": repeats, "spread": spread, "memory_mib_filing": ke.memory_mib().round(), "memory_mib_deciding": be.memory_mib().round(),
    }));
    for rate in RATES.iter().filter(|r| (**r as f64) < per_s) {
        let seconds = Duration::from_secs(plan.args.seconds);
        let latencies = block_on(at_rate(&ke, *rate, seconds))?;
        plan.report.row(json!({
            "bench": "exchange", "mode": "latency", "rate": rate, "per_s": rate,
            "p50_us": latencies.at(50.0), "p99_us": latencies.at(99.0), "p999_us": latencies.at(99.9),
        }));
    }
    drop((ke, be));
    std::fs::remove_dir_all(&dir).map_err(CliError::io(&dir))
}

/// Whether a row has a decision of the destination.
fn is_decided(row: &v1::CaseSummary) -> bool {
    !row.decisions.is_empty()
}

/// Where a hub's changes stand now.
async fn newest_change(hub: &Hub) -> Result<u64, CliError> {
    // The stream begins at a cursor; the newest is found by skipping what was before.
    let mut cursor = 0;
    let mut changes =
        hub.trade().await?.watch_cases(v1::WatchCasesRequest { cursor }).await?.into_inner();
    while let Ok(Ok(Some(change))) =
        tokio::time::timeout(Duration::from_millis(500), changes.message()).await
    {
        cursor = change.cursor;
    }
    Ok(cursor)
}

/// Files as fast as decisions come back; gives decided filings a second.
pub(super) async fn through(hub: &Hub, count: u64) -> Result<f64, CliError> {
    let cursor = newest_change(hub).await?;
    let mut template = Template::new("BE", &format!("X{}-{}", std::process::id(), unique()));
    let (sender, receiver) = mpsc::channel(WINDOW);
    let room = super::stage::window(WINDOW);
    let (gate, started) = (std::sync::Arc::clone(&room), Instant::now());
    let mut filer = hub.trade().await?;
    let mut watcher = hub.trade().await?;
    let feed = async move {
        for sequence in 0..count {
            let Ok(permit) = gate.acquire().await else { return };
            permit.forget();
            let request = Some(template.next(sequence));
            if sender.send(v1::SubmitStreamRequest { sequence, request }).await.is_err() {
                return;
            }
        }
    };
    let answers = async move {
        let mut answers = filer.submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            accepted(answer.response)?;
        }
        Ok::<(), CliError>(())
    };
    let known = async {
        let request = v1::WatchCasesRequest { cursor };
        let mut changes = watcher.watch_cases(request).await?.into_inner();
        let mut decided = HashSet::new();
        while (decided.len() as u64) < count {
            let Some(change) = changes.message().await? else { break };
            if let Some(row) = change.case.filter(is_decided)
                && decided.insert(row.case_id)
            {
                room.add_permits(1);
            }
        }
        Ok::<(), CliError>(())
    };
    let ((), answered, known) = tokio::join!(feed, answers, known);
    answered?;
    known?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Files at a fixed rate whatever comes back, and counts each latency from the instant at which it was due: a stall makes
/// all that waited behind it late, as it does for people.
async fn at_rate(hub: &Hub, rate: u64, long: Duration) -> Result<Latencies, CliError> {
    let cursor = newest_change(hub).await?;
    let run = format!("L{}-{}", std::process::id(), unique());
    let mut template = Template::new("BE", &run);
    let count = rate * long.as_secs();
    let (sender, receiver) = mpsc::channel(usize::try_from(count).unwrap_or(usize::MAX).max(1));
    let mut filer = hub.trade().await?;
    let mut watcher = hub.trade().await?;
    let started = Instant::now() + Duration::from_millis(50);
    let due = move |n: u64| started + Duration::from_nanos(n * 1_000_000_000 / rate);
    let feed = async move {
        for sequence in 0..count {
            tokio::time::sleep_until(due(sequence).into()).await;
            let request = Some(template.next(sequence));
            if sender.send(v1::SubmitStreamRequest { sequence, request }).await.is_err() {
                return;
            }
        }
    };
    let answers = async move {
        let mut answers = filer.submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok::<(), CliError>(())
    };
    let known = async {
        let mut latencies = Latencies::new()?;
        let request = v1::WatchCasesRequest { cursor };
        let mut changes = watcher.watch_cases(request).await?.into_inner();
        let mut decided = HashSet::new();
        while (decided.len() as u64) < count {
            let Some(change) = changes.message().await? else { break };
            let Some(row) = change.case.filter(is_decided) else { continue };
            let number = row.lrn.strip_prefix(&format!("{run}-")).and_then(|n| n.parse().ok());
            if let Some(number) = number
                && decided.insert(row.case_id)
            {
                latencies.add(due(number).elapsed());
            }
        }
        Ok::<Latencies, CliError>(latencies)
    };
    let ((), answered, latencies) = tokio::join!(feed, answers, known);
    answered?;
    latencies
}
