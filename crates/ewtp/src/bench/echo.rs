//! The floor of a call: a server in a process of its own that answers with what it was sent, over the hub's own listener and
//! with the hub's own gRPC settings.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ewtp_hub::client::dial;
use ewtp_hub::listener::{Connections, Listener};
use ewtp_hub::network::{Network as _, Tcp};
use ewtp_proto::v1;
use ewtp_tls::{TlsIdentity, server_config};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::Channel;

use super::filing::Template;
use super::report::Latencies;
use crate::error::CliError;
use crate::session::block_on;

const PATH: &str = "/ewtp.bench.Echo/Echo";

/// What a closed loop of callers got.
pub(crate) struct Rate {
    pub(crate) per_s: f64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

#[derive(Clone)]
struct Echo;

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "ewtp.bench.Echo";
}

impl tonic::server::UnaryService<v1::SubmitRequest> for Echo {
    type Response = v1::SubmitRequest;
    type Future = std::future::Ready<Result<tonic::Response<v1::SubmitRequest>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<v1::SubmitRequest>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let codec = tonic_prost::ProstCodec::<v1::SubmitRequest, v1::SubmitRequest>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Echo, request).await)
        })
    }
}

/// The server's process: writes its port beside its keys, and runs until it is killed.
pub(super) fn serve(dir: &Path) -> Result<ExitCode, CliError> {
    let of = |name: &str| {
        TlsIdentity::load(&dir.join(format!("{name}.crt")), &dir.join(format!("{name}.key")))
    };
    let (server, client) = (of("server")?, of("client")?.spki());
    block_on(async {
        let tls = server_config(&server, Arc::new(move |k: &[u8; 32]| *k == client))
            .map_err(|e| CliError::Bench(e.to_string()))?;
        let port = ewtp_testnet::free_ports().map_err(crate::demo::stage::failed)?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let socket = Tcp.listen(address).await.map_err(CliError::io(dir))?;
        let listener = Listener {
            name: "echo",
            socket,
            tls: Arc::new(tls),
            connections_max: 4096,
            handshake: Duration::from_secs(5),
            connections: Connections::default(),
        };
        let (sender, incoming) = tokio::sync::mpsc::channel(64);
        std::fs::write(dir.join("address"), address.to_string()).map_err(CliError::io(dir))?;
        let served = ewtp_hub::serving::server()
            .add_service(Echo)
            .serve_with_incoming(ReceiverStream::new(incoming));
        let (served, listened) =
            tokio::join!(served, listener.run(sender, CancellationToken::new()));
        served.map_err(|e| CliError::Bench(e.to_string()))?;
        listened.map_err(CliError::io(dir))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// A running echo server; it is killed when dropped.
struct Server {
    child: Child,
    dir: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is a child of ours and holds nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Calls in a closed loop for a while.
pub(super) fn measure(dir: &Path, in_flight: usize, long: Duration) -> Result<Rate, CliError> {
    let dir = dir.join("echo");
    std::fs::create_dir_all(&dir).map_err(CliError::io(&dir))?;
    let save = |name: &str| -> Result<TlsIdentity, CliError> {
        let identity = TlsIdentity::generate(name, &["127.0.0.1".to_owned()])?;
        identity.save(&dir.join(format!("{name}.crt")), &dir.join(format!("{name}.key")))?;
        Ok(identity)
    };
    let (server, client) = (save("server")?, save("client")?);
    let program = std::env::current_exe().map_err(CliError::io(Path::new("ewtp")))?;
    let child = Command::new(&program)
        .args(["bench", "--serve-echo"])
        .arg(&dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(CliError::io(&program))?;
    let running = Server { child, dir: dir.clone() };
    let started = Instant::now();
    let address = loop {
        match std::fs::read_to_string(dir.join("address")) {
            Ok(address) if !address.is_empty() => break address,
            _ if started.elapsed() > Duration::from_secs(10) => {
                return Err(CliError::Bench("the echo server did not start".into()));
            }
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let rate = block_on(async {
        let mut channels = Vec::new();
        for _ in 0..connections(in_flight) {
            channels.push(dial(&client, &address, vec![server.spki()]).await?);
        }
        closed_loop(in_flight, long, &channels, |channel, request| async move {
            let mut grpc = tonic::client::Grpc::new(channel);
            grpc.ready().await.map_err(|e| tonic::Status::unavailable(e.to_string()))?;
            let codec = tonic_prost::ProstCodec::<v1::SubmitRequest, v1::SubmitRequest>::default();
            let path = http::uri::PathAndQuery::from_static(PATH);
            grpc.unary(tonic::Request::new(request), path, codec).await.map(|_| ())
        })
        .await
    });
    drop(running);
    rate
}

/// Connections for so many calls in flight: a platform holds a few.
pub(super) fn connections(in_flight: usize) -> usize {
    in_flight.min(4)
}

/// Seconds of load before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// `in_flight` callers, each with one call at a time.
pub(super) async fn closed_loop<F>(
    in_flight: usize,
    long: Duration,
    channels: &[Channel],
    call: impl Fn(Channel, v1::SubmitRequest) -> F + Clone + Send + Sync + 'static,
) -> Result<Rate, CliError>
where
    F: Future<Output = Result<(), tonic::Status>> + Send,
{
    let begin = Instant::now() + WARM_UP;
    let end = begin + long;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..in_flight {
        let (channel, call) = (channels[caller % channels.len()].clone(), call.clone());
        let run = format!("{}-{caller}", std::process::id() ^ begin.elapsed().subsec_nanos());
        let mut template = Template::new("BE", &format!("{run}{:x}", unique()));
        #[expect(clippy::disallowed_methods, reason = "owned by this set and joined below")]
        callers.spawn(async move {
            let mut latencies = Latencies::new()?;
            let mut count = 0_u64;
            for n in 0.. {
                let sent = Instant::now();
                if sent >= end {
                    break;
                }
                call(channel.clone(), template.next(n)).await?;
                if sent >= begin {
                    // The slow ones that are still on their way at the end count as latency, not as throughput.
                    latencies.add(sent.elapsed());
                    count += u64::from(Instant::now() <= end);
                }
            }
            Ok::<_, CliError>((count, latencies))
        });
    }
    let (mut count, mut latencies) = (0, Latencies::new()?);
    while let Some(ended) = callers.join_next().await {
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

/// A number that no other run of this process has.
pub(super) fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
