//! Hubs to measure: set up as operators would, with limits that don't bind.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ewtp_proto::v1;
use ewtp_proto::v1::operator_service_client::OperatorServiceClient;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use ewtp_testnet::HubProcess;
use ewtp_tls::TlsIdentity;
use ewtp_trade::scope;
use tonic::transport::Channel;

use crate::demo::stage::failed;
use crate::error::CliError;

/// Rulesets that decide: as shipped.
const BE_RULES: &str = include_str!("../../../../rulesets/be-advance.toml");

/// A hub with its operator and a platform.
pub(crate) struct Hub {
    pub(crate) process: HubProcess,
    operator: TlsIdentity,
    platform: TlsIdentity,
}

/// Limits so wide that the machine is what bounds.
const LIMITS: &str = "\n[limits]\nfilings_per_second = 1000000\nfilings_burst = 1000000\ndaily_log_budget = 100000000\nconnections = 4096\n\n[log]\nlevel = \"warn\"\n";

impl Hub {
    /// Makes a hub and starts it.
    pub(crate) fn start(dir: &Path, id: &str, more: &str) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(CliError::io(Path::new("ewtp")))?;
        let mut process =
            HubProcess::init(&program, &dir.join(id), id, "only a measurement").map_err(failed)?;
        process.configure(LIMITS).map_err(failed)?;
        process.configure(more).map_err(failed)?;
        process.start().map_err(failed)?;
        let of = |name: &str| {
            TlsIdentity::load(
                &process.dir.join(format!("{name}.crt")),
                &process.dir.join(format!("{name}.key")),
            )
        };
        let operator = of("operator")?;
        let platform = TlsIdentity::generate("platform", &["platform.invalid".to_owned()])?;
        Ok(Self { process, operator, platform })
    }

    async fn dial(&self, identity: &TlsIdentity) -> Result<Channel, CliError> {
        let pins = vec![self.process.server_spki];
        Ok(ewtp_hub::client::dial(identity, &self.process.clients(), pins).await?)
    }

    pub(crate) async fn channel(&self) -> Result<Channel, CliError> {
        self.dial(&self.platform).await
    }

    pub(crate) async fn trade(&self) -> Result<TradeServiceClient<Channel>, CliError> {
        Ok(TradeServiceClient::new(self.dial(&self.platform).await?))
    }

    pub(crate) async fn operate(&self) -> Result<OperatorServiceClient<Channel>, CliError> {
        Ok(OperatorServiceClient::new(self.dial(&self.operator).await?))
    }

    /// Opens the platform's account.
    pub(crate) async fn open_account(&self) -> Result<(), CliError> {
        let request = v1::PutAccountRequest {
            id: "platform".into(),
            name: "Platform".into(),
            roles: vec![v1::Role::Platform as i32],
            add_credentials: vec![v1::Credential {
                kind: v1::CredentialKind::ClientCertificate as i32,
                spki_sha256: self.platform.spki().to_vec(),
                label: "platform".into(),
                revoked: false,
            }],
            registered_ids: vec![crate::demo::filings::EXPORTER.to_owned()],
            ..Default::default()
        };
        self.operate().await?.put_account(request).await?;
        Ok(())
    }

    pub(crate) async fn knows(&self, peer: &Self) -> Result<(), CliError> {
        let chain = &peer.process.chain;
        let request = v1::AddPeerRequest {
            descriptors: chain.envelopes().to_vec(),
            fingerprint: chain.fingerprint().0.to_vec(),
            scope: Some(scope::full()),
        };
        self.operate().await?.add_peer(request).await?;
        Ok(())
    }

    pub(crate) async fn publish_rules(&self) -> Result<(), CliError> {
        let request = v1::PublishRulesetRequest { text: BE_RULES.to_owned(), ..Default::default() };
        let published = self.operate().await?.publish_ruleset(request).await?.into_inner();
        match published.ruleset {
            Some(_) => Ok(()),
            None => Err(CliError::Bench(format!("{:?}", published.violations))),
        }
    }

    /// Resident memory, MiB.
    pub(crate) fn memory_mib(&self) -> f64 {
        let Some(pid) = self.process.pid() else { return 0.0 };
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
        kib / 1024.0
    }

    /// Bytes on disk of journal and state: blocks that are in use, preallocated ones too.
    pub(crate) fn disk_bytes(&self) -> u64 {
        blocks(&self.process.dir.join("data").join("store"))
    }

    /// Bytes of all statements held: headers and parts, as the journal has them.
    pub(crate) fn statement_bytes(&self) -> u64 {
        let status = ewtp_testnet::http_get(&self.process.public(), "/metrics").unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("ewtp_statement_bytes_total "));
        line.and_then(|n| n.trim().parse::<f64>().ok()).map_or(0, |n| n as u64)
    }
}

fn blocks(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => blocks(&e.path()),
            Ok(m) => m.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// KE files, BE decides; both know each other.
pub(crate) async fn pair(dir: &Path, more_at_be: &str) -> Result<(Hub, Hub), CliError> {
    let (ke, be) = (Hub::start(dir, "KE", "")?, Hub::start(dir, "BE", more_at_be)?);
    be.publish_rules().await?;
    ke.open_account().await?;
    ke.knows(&be).await?;
    be.knows(&ke).await?;
    Ok((ke, be))
}

/// Waits until `ready` holds.
pub(crate) async fn until<F: Future<Output = Result<bool, CliError>>>(
    what: &str,
    patience: Duration,
    mut ready: impl FnMut() -> F,
) -> Result<Duration, CliError> {
    let started = Instant::now();
    while !ready().await? {
        if started.elapsed() > patience {
            return Err(CliError::Bench(format!("{what} did not happen within {patience:?}")));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(started.elapsed())
}

/// Statements that a hub has heard of its one peer: verified, durable, visible.
pub(crate) async fn heard(operator: &mut OperatorServiceClient<Channel>) -> Result<u64, CliError> {
    let peers = operator.list_peers(v1::ListPeersRequest {}).await?.into_inner();
    Ok(peers.peers.iter().map(|p| p.lane_in).sum())
}

/// A semaphore that bounds what is in flight.
pub(crate) fn window(size: usize) -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(size))
}
