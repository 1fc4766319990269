//! The public listener: read-only HTTP for health, metrics and descriptors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use axum::{Router, serve};
use tokio_util::sync::CancellationToken;

use crate::network::{Bytes, Socket};
use crate::shared::Shared;

/// Serves until `stop` fires.
///
/// # Errors
/// Serving.
pub async fn run(
    socket: Box<dyn Socket>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let mut router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/descriptors", get(descriptors));
    if shared.config.listen.metrics {
        router = router.route("/metrics", get(metrics));
    }
    let listener = Http { socket, address: shared.config.listen.public };
    serve(listener, router.with_state(shared))
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}

struct Http {
    socket: Box<dyn Socket>,
    address: SocketAddr,
}

impl Listener for Http {
    type Io = Bytes;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Bytes, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    if shared.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or stopping\n")
    }
}

async fn descriptors(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/jsonl")], shared.chain.load().to_file())
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    crate::metrics::queue_depth("accounts", shared.accounts.depth());
    crate::metrics::queue_depth("own", shared.own.depth());
    let (head, directory) = (shared.head.borrow().clone(), shared.directory.load_full());
    for hub in directory.peers.keys() {
        // A lane that can't be read is told by the calls that need it; here it only lacks its gauge.
        if let Ok(lane) = shared.lane_out(&head, hub).await {
            crate::metrics::lane_lag(
                hub.as_str(),
                "out",
                lane.behind,
                lane.oldest_ms as f64 / 1000.0,
            );
        }
    }
    let text = crate::metrics::install().map(metrics_exporter_prometheus::PrometheusHandle::render);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text.unwrap_or_default())
}
