//! TLS listeners: each handshake is a task with a deadline, connections are counted and bounded, and every connection
//! ends when its key is no longer known.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ewtp_tls::spki_sha256;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::network::{Bytes, Socket};

/// The TLS key of a connection: all that a request knows of its caller before it looks it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// SHA-256 of the SPKI.
    pub spki: [u8; 32],
}

/// Open connections by key, so that removing a key ends them.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<HashMap<[u8; 32], CancellationToken>>>);

impl Connections {
    fn token(&self, spki: [u8; 32]) -> CancellationToken {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.entry(spki).or_default().child_token()
    }

    /// Ends the connections of every key that `known` no longer knows.
    pub fn retain(&self, known: impl Fn(&[u8; 32]) -> bool) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.retain(|spki, token| {
            let keep = known(spki);
            if !keep {
                token.cancel();
            }
            keep
        });
    }
}

/// A TLS connection that ends when its token fires.
pub struct Connection {
    stream: TlsStream<Bytes>,
    caller: Caller,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the key was removed",
            )));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the key was removed",
            )));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A TLS listener.
pub struct Listener {
    /// `federation` or `clients`, for logs.
    pub name: &'static str,
    /// Bound socket.
    pub socket: Box<dyn Socket>,
    /// TLS configuration.
    pub tls: Arc<ServerConfig>,
    /// Most connections, handshakes included.
    pub connections_max: usize,
    /// Longest handshake.
    pub handshake: Duration,
    /// Open connections.
    pub connections: Connections,
}

impl Listener {
    /// Accepts until `stop` fires; good connections come out of the channel.
    ///
    /// # Errors
    /// None: a failed accept is logged and the loop goes on.
    pub async fn run(
        mut self,
        out: mpsc::Sender<io::Result<Connection>>,
        stop: CancellationToken,
    ) -> Result<(), io::Error> {
        let room = Arc::new(Semaphore::new(self.connections_max));
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let mut handshakes = JoinSet::new();
        let told = Told::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(_) = handshakes.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            let (bytes, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: pausing lets others close.
                    tracing::warn!(listener = self.name, %error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                tracing::warn!(listener = self.name, %from, limit = self.connections_max, "connection refused: all in use");
                continue;
            };
            let (acceptor, out, connections) =
                (acceptor.clone(), out.clone(), self.connections.clone());
            let (name, deadline, told) = (self.name, self.handshake, told.clone());
            #[expect(
                clippy::disallowed_methods,
                reason = "owned by this loop's JoinSet, which aborts it on drop"
            )]
            handshakes.spawn(async move {
                match tokio::time::timeout(
                    deadline,
                    handshake(&acceptor, bytes, permit, &connections),
                )
                .await
                {
                    Ok(Ok(connection)) => drop(out.send(Ok(connection)).await),
                    Ok(Err(error)) => told.refused(name, from, &error),
                    Err(_) => {
                        tracing::info!(listener = name, %from, ?deadline, "handshake timed out")
                    }
                }
            });
        }
    }
}

/// Refusals that were logged already: a peer that redials for ever must not fill the log.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeSet<String>>>);

/// Most refusals remembered; past it the memory starts anew.
const TOLD_MAX: usize = 256;

impl Told {
    /// Logs a refusal once per reason; the reason names the fingerprint of a key that isn't pinned.
    fn refused(&self, listener: &'static str, from: SocketAddr, error: &io::Error) {
        crate::metrics::refused("handshake");
        let is_new = {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() >= TOLD_MAX {
                told.clear();
            }
            told.insert(error.to_string())
        };
        if is_new {
            tracing::warn!(listener, %from, %error, "handshake refused; it is not logged again");
        } else {
            tracing::debug!(listener, %from, %error, "handshake refused");
        }
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    bytes: Bytes,
    permit: OwnedSemaphorePermit,
    connections: &Connections,
) -> io::Result<Connection> {
    let stream = acceptor.accept(bytes).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
    let spki = certificate
        .and_then(|c| spki_sha256(c))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no client certificate"))?;
    let ended = Box::pin(connections.token(spki).cancelled_owned());
    Ok(Connection { stream, caller: Caller { spki }, ended, _permit: permit })
}
