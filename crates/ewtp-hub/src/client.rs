//! Dials hubs: gRPC over pinned TLS. Used by receivers, and by the command line for accounts.

use std::sync::Arc;
use std::time::Duration;

use ewtp_tls::pinned::NOT_PINNED;
use ewtp_tls::{TlsIdentity, client_config};
use ewtp_trust::Chain;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::network::{Network, Tcp};

/// Longest time for connection and handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pings on idle streams, so that a dead peer is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Why a hub couldn't be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is none.
    #[error("{0:?} is no address such as hub.example:7443")]
    Address(String),
    /// The descriptor names no endpoint.
    #[error("the descriptor of {0} names no endpoint")]
    NoEndpoint(String),
    /// TLS configuration.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The other side shows a key that isn't pinned.
    #[error("{address} shows another key than its descriptor names: {problem}")]
    Key {
        /// Where.
        address: String,
        /// Which key.
        problem: String,
    },
    /// Connection or handshake.
    #[error("{address} can't be reached: {problem}")]
    Connect {
        /// Where.
        address: String,
        /// Why, with causes.
        problem: String,
    },
}

/// Dials `host:port` and accepts a server with one of the `pins`.
///
/// # Errors
/// [`DialError`].
pub async fn dial(
    identity: &TlsIdentity,
    address: &str,
    pins: Vec<[u8; 32]>,
) -> Result<Channel, DialError> {
    dial_over(&(Arc::new(Tcp) as Arc<dyn Network>), identity, address, pins).await
}

/// Dials over a network of the caller's.
///
/// # Errors
/// [`DialError`].
pub async fn dial_over(
    network: &Arc<dyn Network>,
    identity: &TlsIdentity,
    address: &str,
    pins: Vec<[u8; 32]>,
) -> Result<Channel, DialError> {
    let (host, _) = address.rsplit_once(':').ok_or_else(|| DialError::Address(address.into()))?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| DialError::Address(address.into()))?;
    let check = move |spki: &[u8; 32]| pins.contains(spki);
    let tls = TlsConnector::from(Arc::new(client_config(identity, Arc::new(check))?));
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| DialError::Address(address.into()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        // Adaptive windows would make both the same: a stream that its caller doesn't read would then hold up every other
        // call of the connection, such as those that a watcher makes about what it sees.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(32 << 20);
    let (network, target) = (Arc::clone(network), address.to_owned());
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, name, target) = (tls.clone(), name.clone(), target.clone());
        let network = Arc::clone(&network);
        async move {
            let bytes = network.connect(&target).await?;
            Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, bytes).await?))
        }
    });
    let connected =
        tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect_with_connector(connector)).await;
    let fail = |problem: String| DialError::Connect { address: address.into(), problem };
    match connected {
        Err(_) => Err(fail(format!("no answer within {CONNECT_TIMEOUT:?}"))),
        Ok(Err(e)) => {
            let problem = causes(&e);
            match problem.contains(NOT_PINNED) {
                true => Err(DialError::Key { address: address.into(), problem }),
                false => Err(fail(problem)),
            }
        }
        Ok(Ok(channel)) => Ok(channel),
    }
}

/// Dials a peer by its descriptor.
///
/// # Errors
/// [`DialError`], of the last endpoint tried.
pub async fn dial_peer(
    network: &Arc<dyn Network>,
    identity: &TlsIdentity,
    chain: &Chain,
) -> Result<Channel, DialError> {
    let newest = chain.newest();
    let mut last = DialError::NoEndpoint(newest.hub.to_string());
    for endpoint in &newest.endpoints {
        match dial_over(network, identity, endpoint, newest.tls_pins.clone()).await {
            Ok(channel) => return Ok(channel),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// An error with its causes, the innermost last; repeated texts once.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        next = cause.source();
    }
    out
}
