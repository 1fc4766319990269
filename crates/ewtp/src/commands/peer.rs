//! `ewtp peer`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_proto::v1;
use ewtp_trade::scope;
use serde::Deserialize;
use serde_json::json;

use crate::args::PeerCommand;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: PeerCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    block_on(async {
        match command {
            PeerCommand::Add { descriptor, fingerprint, scope } => {
                add(profile, &descriptor, &fingerprint, &scope, out).await
            }
            PeerCommand::List => list(profile, None, out).await,
            PeerCommand::Show { hub } => list(profile, Some(&hub), out).await,
            PeerCommand::Suspend { hub, reason } => {
                set(profile, hub, v1::PeerState::Suspended, reason, out).await
            }
            PeerCommand::Resume { hub, reason } => {
                set(profile, hub, v1::PeerState::Active, reason, out).await
            }
            PeerCommand::Remove { hub, reason } => {
                set(profile, hub, v1::PeerState::Removed, reason, out).await
            }
        }
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeFile {
    name: String,
    parts: Vec<String>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    hs_prefixes: Vec<String>,
    #[serde(default)]
    legal_basis: String,
}

/// `acdd`, `full` or a TOML file.
pub(crate) fn parse_scope(text: &str) -> Result<v1::DataScope, CliError> {
    let scope = match text {
        "acdd" => scope::acdd(),
        "full" => scope::full(),
        path => {
            let file = Path::new(path);
            if !file.exists() {
                let hint =
                    "allowed: acdd, full, or a TOML file with name, parts, kinds, hs_prefixes";
                return Err(CliError::usage("--scope", format!("{path:?} is no scope"), hint));
            }
            let content = std::fs::read_to_string(file).map_err(CliError::io(file))?;
            let hint =
                "a scope file has name, parts, and optionally kinds, hs_prefixes, legal_basis";
            let f: ScopeFile =
                toml::from_str(&content).map_err(|e| CliError::usage(path, e.to_string(), hint))?;
            v1::DataScope {
                name: f.name,
                parts: f.parts,
                kinds: f.kinds,
                hs_prefixes: f.hs_prefixes,
                legal_basis: f.legal_basis,
            }
        }
    };
    scope::check(&scope)
        .map_err(|e| CliError::usage("--scope", e.to_string(), "e.g. --scope full"))?;
    Ok(scope)
}

async fn add(
    profile: Option<&Path>,
    descriptor: &Path,
    fingerprint: &str,
    scope: &str,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let scope = parse_scope(scope)?;
    let text = std::fs::read_to_string(descriptor).map_err(CliError::io(descriptor))?;
    let chain = ewtp_trust::Chain::verify_file(&text)?;
    let hint = "64 hexadecimal digits, read out by the peer's operator on another channel";
    let fingerprint = Hash::from_hex(fingerprint)
        .ok_or_else(|| CliError::usage("--fingerprint", "not a fingerprint", hint))?;
    chain.expect_fingerprint(&fingerprint)?;
    let session = Session::open(profile).await?;
    let request = v1::AddPeerRequest {
        descriptors: chain.envelopes().to_vec(),
        fingerprint: fingerprint.0.to_vec(),
        scope: Some(scope.clone()),
    };
    session.operator().add_peer(request).await?;
    let json = json!({"hub": chain.hub().as_str(), "scope": scope.name, "parts": scope.parts});
    let facts = [
        ("pinned", chain.hub().to_string()),
        ("may be shown", format!("{} ({})", scope.name, scope.parts.join(", "))),
        ("endpoints", chain.newest().endpoints.join(", ")),
    ];
    out.facts(&facts, &json);
    Ok(ExitCode::SUCCESS)
}

fn state_name(state: i32) -> &'static str {
    match v1::PeerState::try_from(state).unwrap_or_default() {
        v1::PeerState::Unspecified => "unknown",
        v1::PeerState::Active => "active",
        v1::PeerState::Suspended => "suspended",
        v1::PeerState::Removed => "removed",
        v1::PeerState::Quarantined => "quarantined",
    }
}

async fn list(
    profile: Option<&Path>,
    only: Option<&str>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let all = session.operator().list_peers(v1::ListPeersRequest {}).await?.into_inner().peers;
    let hub_of = |p: &v1::PeerStatus| p.peer.as_ref().map(|r| r.hub.clone()).unwrap_or_default();
    let peers: Vec<_> =
        all.into_iter().filter(|p| only.is_none_or(|hub| hub_of(p) == hub)).collect();
    if let (Some(hub), true) = (only, peers.is_empty()) {
        return Err(CliError::usage(hub, "no such peer", "list them: ewtp peer list"));
    }
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for p in &peers {
        let record = p.peer.clone().unwrap_or_default();
        let scope = record.scope.clone().unwrap_or_default();
        let link = if p.connected { "connected" } else { "not connected" };
        rows.push(vec![
            record.hub.clone(),
            state_name(record.state).into(),
            scope.name.clone(),
            format!("{} ({} behind, {} ms)", p.lane_out, p.lane_out_lag, p.lag_ms),
            format!("{} ({} behind)", p.lane_in, p.lane_in_lag),
            if p.last_error.is_empty() || p.connected {
                link.into()
            } else {
                format!("{link}: {}", p.last_error)
            },
        ]);
        lines.push(json!({
            "hub": record.hub, "state": state_name(record.state), "scope": scope.name, "parts": scope.parts,
            "lane_out": p.lane_out, "lane_out_lag": p.lane_out_lag, "lag_ms": p.lag_ms, "lane_in": p.lane_in,
            "lane_in_lag": p.lane_in_lag, "connected": p.connected, "last_error": p.last_error,
            "reason": record.reason,
        }));
    }
    out.table(
        &["peer", "state", "scope", "said to it", "heard from it", "link"],
        &rows,
        &json!(lines),
    );
    Ok(ExitCode::SUCCESS)
}

async fn set(
    profile: Option<&Path>,
    hub: String,
    state: v1::PeerState,
    reason: String,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let request = v1::SetPeerStateRequest { hub: hub.clone(), state: state as i32, reason };
    session.operator().set_peer_state(request).await?;
    let name = state_name(state as i32);
    out.facts(
        &[("peer", hub.clone()), ("state", name.into())],
        &json!({"hub": hub, "state": name}),
    );
    Ok(ExitCode::SUCCESS)
}
