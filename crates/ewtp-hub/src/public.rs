//! The public listener: read-only HTTP for health, metrics, descriptors and the log. It is open to anybody, so connections are
//! counted, in all and by address, and slow senders are dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

use crate::network::{Bytes, Socket};
use crate::shared::Shared;
use crate::{public_log, public_witness};

/// A caller has to send its request line and headers within this time.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// Serves until `stop` fires.
///
/// # Errors
/// None: a failed accept is logged and the loop goes on.
pub async fn run(
    mut socket: Box<dyn Socket>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let limits = &shared.config.limits;
    let room = Arc::new(Semaphore::new(limits.connections));
    let by_address = ByAddress::new(limits.connections_per_address);
    let service = TowerToHyperService::new(router(&shared));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = socket.accept() => accepted,
        };
        let (bytes, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let permits = (Arc::clone(&room).try_acquire_owned(), by_address.enter(from.ip()));
        let (Ok(permit), Some(place)) = permits else {
            crate::metrics::refused("public-connections");
            continue;
        };
        let (service, stop) = (service.clone(), stop.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "owned by this loop's JoinSet, which is drained below"
        )]
        connections.spawn(async move {
            let _held = (permit, place);
            serve(bytes, service, stop).await;
        });
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn serve(bytes: Bytes, service: TowerToHyperService<Router>, stop: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(bytes), service);
    tokio::pin!(connection);
    // A caller that sends nonsense or leaves is no event for operators.
    tokio::select! {
        _ = &mut connection => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn router(shared: &Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/descriptors", get(descriptors))
        .merge(public_log::routes(shared));
    if shared.config.witness.public {
        router = router.merge(public_witness::routes());
    }
    if shared.config.listen.metrics {
        router = router.route("/metrics", get(metrics));
    }
    router.layer(CompressionLayer::new()).with_state(Arc::clone(shared))
}

/// Open connections of each address.
#[derive(Clone)]
struct ByAddress {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    limit: usize,
}

/// A connection that counts until it is dropped.
struct Place {
    all: ByAddress,
    address: IpAddr,
}

impl ByAddress {
    fn new(limit: usize) -> Self {
        Self { open: Arc::default(), limit }
    }

    fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { all: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.all.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    if shared.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or stopping\n")
    }
}

pub(crate) async fn descriptors(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
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
