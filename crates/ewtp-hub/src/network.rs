//! The seam under TLS: streams of bytes between addresses. The simulation puts a network here that delays, cuts and stalls.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// A connection before TLS.
pub type Bytes = Box<dyn ByteStream>;

/// Where addresses lead.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Binds a listening socket.
    ///
    /// # Errors
    /// If the address is taken.
    async fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Socket>>;

    /// Connects to `host:port`.
    ///
    /// # Errors
    /// If nobody answers.
    async fn connect(&self, address: &str) -> io::Result<Bytes>;
}

/// A listening socket.
#[async_trait]
pub trait Socket: Send + 'static {
    /// The next connection and where it comes from.
    ///
    /// # Errors
    /// Accepting.
    async fn accept(&mut self) -> io::Result<(Bytes, SocketAddr)>;
}

/// TCP.
pub struct Tcp;

#[async_trait]
impl Network for Tcp {
    async fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Socket>> {
        Ok(Box::new(TcpListener::bind(address).await?))
    }

    async fn connect(&self, address: &str) -> io::Result<Bytes> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

#[async_trait]
impl Socket for TcpListener {
    async fn accept(&mut self) -> io::Result<(Bytes, SocketAddr)> {
        let (stream, from) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), from))
    }
}
