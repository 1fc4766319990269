//! Intake: filings become durable and are answered, over single calls, streams with an answer awaited each, and bulk streams.

use std::time::{Duration, Instant};

use ewtp_proto::v1;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::echo::{Rate, closed_loop, connections, unique};
use super::filing::Template;
use super::report::Latencies;
use super::stage::Hub;
use super::{Plan, report};
use crate::error::CliError;
use crate::session::block_on;

/// Filings in flight on the bulk stream.
const BULK: usize = 2048;

pub(super) fn run(plan: &mut Plan<'_>) -> Result<(), CliError> {
    let dir = plan.dir.join("intake");
    // The destination's hub is known and down: filings are addressed, nothing of the other half is measured.
    let (ke, mut be) = block_on(super::stage::pair(&dir, ""))?;
    be.process.stop().map_err(crate::demo::stage::failed)?;
    for in_flight in [1, 16, 128] {
        measure(plan, "unary", in_flight, |long| block_on(unary(&ke, in_flight, long)))?;
    }
    measure(plan, "stream", 128, |long| block_on(streams(&ke, 128, 1, long)))?;
    measure(plan, "bulk", BULK, |long| block_on(streams(&ke, 1, BULK, long)))?;
    std::fs::remove_dir_all(&dir).map_err(CliError::io(&dir))?;
    Ok(())
}

fn measure(
    plan: &mut Plan<'_>,
    mode: &str,
    in_flight: usize,
    once: impl Fn(Duration) -> Result<Rate, CliError>,
) -> Result<(), CliError> {
    let long = Duration::from_secs(plan.args.seconds);
    let rates = (0..plan.args.repeats).map(|_| once(long)).collect::<Result<Vec<_>, _>>()?;
    let (p50, p99) = rates.last().map_or((0, 0), |r| (r.p50, r.p99));
    let (per_s, spread) = report::median(rates.iter().map(|r| r.per_s).collect());
    let floor = format!("mtls_unary_echo_{}", in_flight.min(128));
    let floor_per_s = plan.report.floor(&floor).unwrap_or_default();
    plan.report.row(json!({
        "bench": "intake", "mode": mode, "in_flight": in_flight, "per_s": per_s.round(),
        "p50_us": p50, "p99_us": p99, "loop": "closed", "floor": "mtls_unary_echo",
        "floor_in_flight": in_flight.min(128), "floor_per_s": floor_per_s,
        "share": per_s / floor_per_s, "repeats": rates.len(), "spread": spread,
    }));
    Ok(())
}

pub(super) fn accepted(answer: Option<v1::SubmitResponse>) -> Result<(), tonic::Status> {
    match answer.and_then(|a| a.result) {
        Some(v1::submit_response::Result::Accepted(_)) => Ok(()),
        other => Err(tonic::Status::failed_precondition(format!("not accepted: {other:?}"))),
    }
}

/// Single calls.
pub(super) async fn unary(hub: &Hub, in_flight: usize, long: Duration) -> Result<Rate, CliError> {
    let mut clients = Vec::new();
    for _ in 0..connections(in_flight) {
        clients.push(hub.channel().await?);
    }
    closed_loop(in_flight, long, &clients, |channel: Channel, request| async move {
        let answer = TradeServiceClient::new(channel).submit(request).await?;
        accepted(Some(answer.into_inner()))
    })
    .await
}

/// `streams` streams over a few connections, each with `window` filings in flight.
pub(super) async fn streams(
    hub: &Hub,
    streams: usize,
    window: usize,
    long: Duration,
) -> Result<Rate, CliError> {
    streams_over(hub, streams, connections(streams), window, long).await
}

/// The same over so many connections.
pub(super) async fn streams_over(
    hub: &Hub,
    streams: usize,
    connections: usize,
    window: usize,
    long: Duration,
) -> Result<Rate, CliError> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(hub.trade().await?);
    }
    let begin = Instant::now() + Duration::from_secs(1);
    let end = begin + long;
    let mut set = tokio::task::JoinSet::new();
    for n in 0..streams {
        let client = clients[n % clients.len()].clone();
        #[expect(clippy::disallowed_methods, reason = "owned by this set and joined below")]
        set.spawn(one_stream(client, window, begin, end));
    }
    let (mut count, mut latencies) = (0, Latencies::new()?);
    while let Some(ended) = set.join_next().await {
        let (n, more) = ended.map_err(|e| CliError::Bench(e.to_string()))??;
        count += n;
        latencies.merge(&more);
    }
    Ok(Rate {
        per_s: count as f64 / long.as_secs_f64(),
        p50: latencies.at(50.0),
        p99: latencies.at(99.0),
    })
}

async fn one_stream(
    mut client: TradeServiceClient<Channel>,
    window: usize,
    begin: Instant,
    end: Instant,
) -> Result<(u64, Latencies), CliError> {
    let mut template = Template::new("BE", &format!("S{}-{}", std::process::id(), unique()));
    let (sender, receiver) = mpsc::channel(window);
    let mut sent = std::collections::HashMap::with_capacity(window);
    let mut next = 0;
    let mut item = |sent: &mut std::collections::HashMap<u64, Instant>| {
        next += 1;
        sent.insert(next, Instant::now());
        v1::SubmitStreamRequest { sequence: next, request: Some(template.next(next)) }
    };
    for _ in 0..window {
        // The channel holds the window, so this never waits.
        let _ = sender.send(item(&mut sent)).await;
    }
    let mut answers = client.submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
    let (mut count, mut latencies) = (0, Latencies::new()?);
    while let Some(answer) = answers.message().await? {
        accepted(answer.response)?;
        let now = Instant::now();
        if let Some(at) = sent.remove(&answer.sequence)
            && at >= begin
        {
            // The slow ones that are still on their way at the end count as latency, not as throughput.
            latencies.add(now - at);
            count += u64::from(now <= end);
        }
        if now < end {
            let _ = sender.send(item(&mut sent)).await;
        } else if sent.is_empty() {
            break;
        }
    }
    Ok((count, latencies))
}

/// Files `count` filings as fast as they go, over one stream; gives the rate.
pub(super) async fn fill(hub: &Hub, count: u64) -> Result<f64, CliError> {
    let mut client = hub.trade().await?;
    let mut template = Template::new("BE", &format!("F{}-{}", std::process::id(), unique()));
    let (sender, receiver) = mpsc::channel(BULK);
    let room = super::stage::window(BULK);
    let (gate, started) = (std::sync::Arc::clone(&room), Instant::now());
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
    let listen = async {
        let mut answers = client.submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
        let mut got = 0;
        while let Some(answer) = answers.message().await? {
            accepted(answer.response)?;
            got += 1;
            room.add_permits(1);
        }
        Ok::<u64, CliError>(got)
    };
    let ((), got) = tokio::join!(feed, listen);
    let got = got?;
    if got != count {
        return Err(CliError::Bench(format!("{got} of {count} filings were answered")));
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
