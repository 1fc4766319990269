//! The network: streams whose bytes arrive in order, late, in pieces, or not at all.
//!
//! As TCP does, a stream never loses or swaps bytes of its own: it stalls, or it breaks. Streams overtake each other.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use ewtp_hub::network::{Bytes, Network, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::chance::Chance;
use super::fuse::Fuse;
use super::time;

/// A machine on the network: hubs first, then the clients of each.
pub(crate) type Place = usize;

/// Bytes on their way in one direction before the writer has to wait.
const WINDOW_BYTES: usize = 256 << 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How two machines reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Bytes arrive.
    Open,
    /// Nothing arrives, nobody is told; what was sent arrives later.
    Stalled,
    /// Streams broke, and no new one is made.
    Broken,
}

#[derive(Default)]
struct Pipe {
    queue: VecDeque<(u64, Vec<u8>)>,
    queued: usize,
    last_at: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
    ended: bool,
    broken: bool,
}

impl Pipe {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// An end that nobody holds yet.
struct Half {
    pair: (Place, Place),
    reads: Arc<Mutex<Pipe>>,
    writes: Arc<Mutex<Pipe>>,
}

impl Half {
    fn stream(self, net: &Net, fuse: &Arc<Fuse>) -> Stream {
        let (net, fuse) = (net.clone(), Arc::clone(fuse));
        let Self { pair, reads, writes } = self;
        Stream { net, pair, reads, writes, timer: None, fuse }
    }
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<(u64, Half, SocketAddr)>,
    waker: Option<Waker>,
}

/// A direction of a stream, between two machines.
type Wire = ((Place, Place), Weak<Mutex<Pipe>>);

struct Wires {
    chance: Chance,
    owners: BTreeMap<SocketAddr, Place>,
    sockets: BTreeMap<SocketAddr, Arc<Mutex<Backlog>>>,
    links: BTreeMap<(Place, Place), Link>,
    pipes: Vec<Wire>,
    latency: (u64, u64),
}

fn pair(a: Place, b: Place) -> (Place, Place) {
    (a.min(b), a.max(b))
}

/// All wires.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<Wires>>);

impl Net {
    pub(crate) fn new(chance: Chance, owners: BTreeMap<SocketAddr, Place>) -> Self {
        let (sockets, links) = (BTreeMap::new(), BTreeMap::new());
        let latency = (1, 5);
        Self(Arc::new(Mutex::new(Wires {
            chance,
            owners,
            sockets,
            links,
            pipes: Vec::new(),
            latency,
        })))
    }

    /// Milliseconds that bytes need.
    pub(crate) fn set_latency(&self, from: u64, to: u64) {
        lock(&self.0).latency = (from, to);
    }

    pub(crate) fn set_link(&self, a: Place, b: Place, link: Link) {
        let mut wires = lock(&self.0);
        wires.links.insert(pair(a, b), link);
        wires.pipes.retain(|(_, pipe)| pipe.strong_count() > 0);
        let between = wires.pipes.iter().filter(|(p, _)| *p == pair(a, b));
        for pipe in between.filter_map(|(_, pipe)| pipe.upgrade()) {
            let mut pipe = lock(&pipe);
            pipe.broken |= link == Link::Broken;
            pipe.wake();
        }
    }

    /// Breaks all streams of a machine, as its next packets would after it started again.
    pub(crate) fn reset(&self, place: Place) {
        let mut wires = lock(&self.0);
        wires.sockets.retain(|_, backlog| Arc::strong_count(backlog) > 1);
        for (_, pipe) in wires.pipes.iter().filter(|((a, b), _)| *a == place || *b == place) {
            if let Some(pipe) = pipe.upgrade() {
                let mut pipe = lock(&pipe);
                pipe.broken = true;
                pipe.wake();
            }
        }
    }

    fn link(&self, a: Place, b: Place) -> Link {
        lock(&self.0).links.get(&pair(a, b)).copied().unwrap_or(Link::Open)
    }

    fn delay(&self) -> u64 {
        let mut wires = lock(&self.0);
        let (from, to) = wires.latency;
        wires.chance.between(from, to)
    }

    /// The network as one machine sees it.
    pub(crate) fn at(&self, place: Place, fuse: &Arc<Fuse>) -> Arc<dyn Network> {
        Arc::new(NetAt { net: self.clone(), place, fuse: Arc::clone(fuse) })
    }
}

struct NetAt {
    net: Net,
    place: Place,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Network for NetAt {
    async fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Socket>> {
        let backlog = Arc::new(Mutex::new(Backlog::default()));
        lock(&self.net.0).sockets.insert(address, Arc::clone(&backlog));
        let (net, fuse) = (self.net.clone(), Arc::clone(&self.fuse));
        Ok(Box::new(SimSocket { net, address, backlog, fuse, timer: None }))
    }

    async fn connect(&self, address: &str) -> io::Result<Bytes> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let address: SocketAddr = address.parse().map_err(|_| refused())?;
        if self.fuse.burn() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(self.net.delay())).await;
        let owner = lock(&self.net.0).owners.get(&address).copied().ok_or_else(refused)?;
        let link = self.net.link(self.place, owner);
        if link != Link::Open {
            // Whoever dials gives up by itself.
            std::future::pending::<()>().await;
        }
        let (there, back) = (Arc::<Mutex<Pipe>>::default(), Arc::<Mutex<Pipe>>::default());
        {
            let mut wires = lock(&self.net.0);
            let pair = pair(self.place, owner);
            wires.pipes.push((pair, Arc::downgrade(&there)));
            wires.pipes.push((pair, Arc::downgrade(&back)));
        }
        let backlog = lock(&self.net.0).sockets.get(&address).cloned().ok_or_else(refused)?;
        let from = SocketAddr::from(([10, 0, 0, self.place as u8], 40_000));
        let delay = self.net.delay();
        {
            let mut backlog = lock(&backlog);
            let half =
                Half { pair: (self.place, owner), reads: there.clone(), writes: back.clone() };
            backlog.waiting.push_back((time::now() + delay, half, from));
            backlog.waker.take().into_iter().for_each(Waker::wake);
        }
        let half = Half { pair: (self.place, owner), reads: back, writes: there };
        Ok(Box::new(half.stream(&self.net, &self.fuse)))
    }
}

struct SimSocket {
    net: Net,
    address: SocketAddr,
    backlog: Arc<Mutex<Backlog>>,
    fuse: Arc<Fuse>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl SimSocket {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(Stream, SocketAddr)> {
        if self.fuse.burn() {
            return Poll::Pending;
        }
        let mut backlog = lock(&self.backlog);
        let due = backlog.waiting.front().map(|(at, ..)| at.saturating_sub(time::now()));
        match due {
            Some(0) => {}
            None => {
                backlog.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Some(wait) => {
                backlog.waker = Some(cx.waker().clone());
                let mut timer = Box::pin(tokio::time::sleep(Duration::from_millis(wait)));
                if timer.as_mut().poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                self.timer = Some(timer);
                return Poll::Pending;
            }
        }
        match backlog.waiting.pop_front() {
            Some((_, half, from)) => Poll::Ready((half.stream(&self.net, &self.fuse), from)),
            None => Poll::Pending,
        }
    }
}

#[async_trait]
impl Socket for SimSocket {
    async fn accept(&mut self) -> io::Result<(Bytes, SocketAddr)> {
        let (stream, from) = poll_fn(|cx| self.poll_accept(cx)).await;
        Ok((Box::new(stream), from))
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut wires = lock(&self.net.0);
        let mine = wires.sockets.get(&self.address).is_some_and(|b| Arc::ptr_eq(b, &self.backlog));
        if mine {
            wires.sockets.remove(&self.address);
        }
    }
}

/// One end of a stream.
struct Stream {
    net: Net,
    pair: (Place, Place),
    reads: Arc<Mutex<Pipe>>,
    writes: Arc<Mutex<Pipe>>,
    timer: Option<Pin<Box<Sleep>>>,
    fuse: Arc<Fuse>,
}

impl Stream {
    fn burn(&self) -> bool {
        self.fuse.burn()
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.burn() {
            return Poll::Pending;
        }
        let stalled = self.net.link(self.pair.0, self.pair.1) != Link::Open;
        let reads = Arc::clone(&self.reads);
        let mut pipe = lock(&reads);
        if pipe.broken {
            return Poll::Ready(Err(reset()));
        }
        let Some((at, _)) = pipe.queue.front().filter(|_| !stalled) else {
            if pipe.ended && pipe.queue.is_empty() && !stalled {
                return Poll::Ready(Ok(()));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let (at, now) = (*at, time::now());
        if at > now {
            let wait = Duration::from_millis(at - now);
            pipe.reader = Some(cx.waker().clone());
            drop(pipe);
            let mut timer = Box::pin(tokio::time::sleep(wait));
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            self.timer = Some(timer);
            return Poll::Pending;
        }
        if let Some((_, bytes)) = pipe.queue.front_mut() {
            let n = bytes.len().min(into.remaining());
            into.put_slice(&bytes[..n]);
            bytes.drain(..n);
            let empty = bytes.is_empty();
            pipe.queued -= n;
            if empty {
                pipe.queue.pop_front();
            }
        }
        pipe.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.burn() {
            return Poll::Pending;
        }
        let delay = self.net.delay();
        let mut pipe = lock(&self.writes);
        if pipe.broken {
            return Poll::Ready(Err(reset()));
        }
        let room = WINDOW_BYTES.saturating_sub(pipe.queued);
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = bytes.len().min(room);
        let at = (time::now() + delay).max(pipe.last_at);
        pipe.last_at = at;
        pipe.queued += n;
        pipe.queue.push_back((at, bytes[..n].to_vec()));
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.writes);
        pipe.ended = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.fuse.is_silent() {
            return; // a machine without power says nothing
        }
        let crashed = self.fuse.is_blown();
        let mut writes = lock(&self.writes);
        writes.ended = true;
        writes.broken |= crashed;
        writes.wake();
        drop(writes);
        let mut reads = lock(&self.reads);
        reads.broken = true; // whoever goes on writing here is told
        reads.wake();
    }
}
