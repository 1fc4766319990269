//! Prometheus metrics: names and places in one file.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder once per process.
pub fn install() -> Option<&'static PrometheusHandle> {
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().ok()).as_ref()
}

/// One commit.
pub fn committed(statements: usize, took: Duration) {
    metrics::counter!("ewtp_statements_logged_total").increment(statements as u64);
    metrics::histogram!("ewtp_commit_seconds").record(took.as_secs_f64());
}

/// Bytes of statements, headers and parts, that became durable: said and heard.
pub fn statement_bytes(bytes: u64) {
    metrics::counter!("ewtp_statement_bytes_total").increment(bytes);
}

/// A filing was accepted.
pub fn accepted() {
    metrics::counter!("ewtp_filings_accepted_total").increment(1);
}

/// A filing was refused; the reason is the first violation's code.
pub fn refused(reason: &str) {
    metrics::counter!("ewtp_refused_total", "reason" => reason.to_owned()).increment(1);
}

/// A head of a peer was cosigned.
pub fn cosigned(peer: &str) {
    metrics::counter!("ewtp_cosigned_total", "peer" => peer.to_owned()).increment(1);
}

/// Own log entries that no settled head covers yet.
pub fn settled_lag(entries: u64) {
    metrics::gauge!("ewtp_settled_lag_entries").set(entries as f64);
}

/// Misconduct was proven.
pub fn evidence(kind: &'static str) {
    metrics::counter!("ewtp_evidence_total", "kind" => kind).increment(1);
}

/// Something that proves nothing and should be looked at.
pub fn alarm(topic: &'static str) {
    metrics::counter!("ewtp_alarms_total", "topic" => topic).increment(1);
}

/// What was erased has left the disk, statements.
pub fn forgotten(statements: u64) {
    metrics::counter!("ewtp_forgotten_statements_total").increment(statements);
}

/// A decision was logged.
pub fn decided(code: &'static str) {
    metrics::counter!("ewtp_decisions_total", "code" => code).increment(1);
}

/// A page was verified and committed.
pub fn page_verified(peer: &str, statements: usize) {
    metrics::counter!("ewtp_pages_verified_total", "peer" => peer.to_owned()).increment(1);
    metrics::counter!("ewtp_statements_heard_total", "peer" => peer.to_owned())
        .increment(statements as u64);
}

/// A page was refused.
pub fn page_refused(peer: &str, code: &'static str) {
    metrics::counter!("ewtp_pages_refused_total", "peer" => peer.to_owned(), "code" => code)
        .increment(1);
}

/// Lag of a lane in statements and seconds.
pub fn lane_lag(peer: &str, direction: &'static str, statements: u64, seconds: f64) {
    let peer = peer.to_owned();
    metrics::gauge!("ewtp_lane_lag_statements", "peer" => peer.clone(), "direction" => direction)
        .set(statements as f64);
    metrics::gauge!("ewtp_lane_lag_seconds", "peer" => peer, "direction" => direction).set(seconds);
}

/// Depth of the queues before the committer.
pub fn queue_depth(queue: &'static str, depth: usize) {
    metrics::gauge!("ewtp_queue_depth", "queue" => queue).set(depth as f64);
}
