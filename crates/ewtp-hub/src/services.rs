//! The gRPC services: each call authenticates, parses, makes one call, maps the error.

mod desk_service;
mod federation_service;
mod operator_service;
mod pieces;
mod publish_ruleset;
mod status;
mod trade_service;
mod watch;

use std::io;
use std::sync::Arc;

use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_server::DeskServiceServer;
use ewtp_proto::v1::federation_service_server::FederationServiceServer;
use ewtp_proto::v1::operator_service_server::OperatorServiceServer;
use ewtp_proto::v1::trade_service_server::TradeServiceServer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Status};

use crate::listener::{Caller, Connection};
use crate::shared::Shared;

use desk_service::Desk;
use federation_service::Federation;
use operator_service::Operator;
use trade_service::Trade;

/// Streams at once per connection.
const STREAMS_MAX: u32 = 1024;

/// A gRPC server with a hub's settings, without services.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(Some(STREAMS_MAX))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(20)))
        .tcp_nodelay(true)
}

/// Serves peers.
pub(crate) async fn federation(
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<io::Result<Connection>>,
) -> Result<(), tonic::transport::Error> {
    let stop = shared.stop.clone();
    let service = FederationServiceServer::new(Federation { shared })
        .max_encoding_message_size(ewtp_log::page::PAGE_BYTES_MAX * 2);
    server()
        .add_service(service)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
            stop.cancelled().await
        })
        .await
}

/// Serves accounts.
pub(crate) async fn clients(
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<io::Result<Connection>>,
) -> Result<(), tonic::transport::Error> {
    let stop = shared.stop.clone();
    let limit = shared.config.limits.message_bytes;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<TradeServiceServer<Trade>>().await;
    health.set_serving::<OperatorServiceServer<Operator>>().await;
    health.set_serving::<DeskServiceServer<Desk>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .build_v1();
    let reflection = match reflection {
        Ok(service) => Some(service),
        Err(error) => {
            tracing::warn!(%error, "reflection is not offered");
            None
        }
    };
    server()
        .add_service(health_service)
        .add_optional_service(reflection)
        .add_service(
            TradeServiceServer::new(Trade { shared: Arc::clone(&shared) })
                .max_decoding_message_size(limit),
        )
        .add_service(
            DeskServiceServer::new(Desk { shared: Arc::clone(&shared) })
                .max_decoding_message_size(limit),
        )
        .add_service(
            OperatorServiceServer::new(Operator { shared }).max_decoding_message_size(limit),
        )
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
            stop.cancelled().await
        })
        .await
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .copied()
        .ok_or_else(|| Status::unauthenticated("no TLS key"))
}

fn account<T>(shared: &Shared, request: &Request<T>) -> Result<Arc<v1::AccountRecord>, Status> {
    let caller = caller(request)?;
    let known = shared.directory.load().account(&caller.spki).cloned();
    known.ok_or_else(|| Status::unauthenticated("this key is of no account, or was revoked"))
}
