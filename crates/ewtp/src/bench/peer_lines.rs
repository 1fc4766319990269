//! The same work unit as the peers' scripts: a statement of 1 KiB from each of so many clients, every client with a connection
//! of its own and one statement in flight, durable at the sender before the answer, and then durable at a second hub.

use std::time::{Duration, Instant};

use ewtp_proto::v1;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use serde_json::json;
use tonic::transport::Channel;

use super::echo::{Rate, closed_loop};
use super::intake::{fill, streams_over};
use super::stage::{Hub, heard, pair, until};
use super::{Plan, report};
use crate::demo::stage::failed;
use crate::error::CliError;
use crate::session::block_on;

const CLIENTS: [usize; 3] = [1, 16, 128];
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) fn run(plan: &mut Plan<'_>) -> Result<(), CliError> {
    for clients in CLIENTS {
        live(plan, "hub", clients)?;
    }
    live(plan, "hub-streams", 128)?;
    catchup(plan)
}

/// The desk is on: what is decided goes back over the other lane, on the same two cores.
fn live(plan: &Plan<'_>, peer: &str, clients: usize) -> Result<(), CliError> {
    let dir = plan.dir.join("peer-lines");
    let long = Duration::from_secs(plan.args.seconds);
    let (ke, be) = block_on(pair(&dir, ""))?;
    let (rate, stored, drain, count) = block_on(async {
        let mut operator = be.operate().await?;
        let started = Instant::now();
        let rate = match peer {
            "hub" => calls(&ke, clients, long).await?,
            _ => streams_over(&ke, clients, clients, 1, long).await?,
        };
        let at_end = started.elapsed();
        let said = said(&ke).await?;
        until("the rest", PATIENCE, || {
            let mut operator = operator.clone();
            async move { Ok(heard(&mut operator).await? >= said) }
        })
        .await?;
        let drain = started.elapsed() - at_end;
        let all = heard(&mut operator).await?;
        Ok((rate, all as f64 / started.elapsed().as_secs_f64(), drain, said))
    })?;
    plan.report.line(&json!({
        "peer": peer, "version": env!("CARGO_PKG_VERSION"), "measure": "live", "clients": clients,
        "acked_per_s": rate.per_s, "ack_p50_ms": rate.p50 as f64 / 1000.0, "ack_p99_ms": rate.p99 as f64 / 1000.0,
        "stored_per_s": stored, "drain_s": drain.as_secs_f64(),
        "disk_bytes_per_statement_sender": ke.disk_bytes() / count.max(1),
        "disk_bytes_per_statement_subscriber": be.disk_bytes() / count.max(1),
    }));
    drop((ke, be));
    std::fs::remove_dir_all(&dir).map_err(CliError::io(&dir))
}

/// Statements in the lane of the one peer.
async fn said(hub: &Hub) -> Result<u64, CliError> {
    let peers = hub.operate().await?.list_peers(v1::ListPeersRequest {}).await?.into_inner();
    Ok(peers.peers.iter().map(|p| p.lane_out).sum())
}

async fn calls(hub: &Hub, clients: usize, long: Duration) -> Result<Rate, CliError> {
    let mut channels = Vec::new();
    for _ in 0..clients {
        channels.push(hub.channel().await?);
    }
    closed_loop(clients, long, &channels, |channel: Channel, request| async move {
        TradeServiceClient::new(channel).submit(request).await.map(|_| ())
    })
    .await
}

fn catchup(plan: &Plan<'_>) -> Result<(), CliError> {
    let n = plan.args.backlog;
    let dir = plan.dir.join("peer-lines");
    let (ke, mut be) = block_on(pair(&dir, "\n[desk]\npaused = true\n"))?;
    be.process.stop().map_err(failed)?;
    block_on(fill(&ke, n))?;
    let started = Instant::now();
    be.process.start().map_err(failed)?;
    block_on(async {
        let operator = be.operate().await?;
        until("catching up", PATIENCE, || {
            let mut operator = operator.clone();
            async move { Ok(heard(&mut operator).await? >= n) }
        })
        .await
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let (per_s, _) = report::median(vec![n as f64 / seconds]);
    plan.report.line(&json!({
        "peer": "hub", "version": env!("CARGO_PKG_VERSION"), "measure": "catchup", "statements": n,
        "seconds": seconds, "catchup_per_s": per_s,
    }));
    drop((ke, be));
    std::fs::remove_dir_all(&dir).map_err(CliError::io(&dir))
}
