//! `ewtp evidence`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::HubId;
use ewtp_log::evidence::{Evidence, EvidenceKind, NotProven};
use ewtp_log::hash::sha256;
use ewtp_log::receipt::Receipt;
use ewtp_proto::v1;
use ewtp_trust::{Chain, ChainTrust};
use serde_json::json;

use crate::args_log::EvidenceCommand;
use crate::commands::chain_file;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: &EvidenceCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        EvidenceCommand::List { out: dir } => {
            block_on(list(profile.as_deref(), dir.as_deref(), out))
        }
        EvidenceCommand::Join { a, b, out: file, descriptor } => join(a, b, file, descriptor, out),
        EvidenceCommand::Verify { evidence, descriptor, fingerprint } => {
            let chain = chain_file::read(descriptor, fingerprint.as_deref())?;
            let text = std::fs::read_to_string(evidence).map_err(CliError::io(evidence))?;
            verify(&Evidence::parse(&text)?, &chain, fingerprint.is_some(), out)
        }
    }
}

fn verify(
    evidence: &Evidence,
    chain: &Chain,
    confirmed: bool,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let trust = ChainTrust::new(chain);
    evidence.verify(&trust)?;
    let guilty = match evidence.kind {
        EvidenceKind::Witness => {
            let keys = evidence.convicted_witnesses(&trust);
            keys.iter().map(|k| k.to_text()).collect::<Vec<_>>().join(", ")
        }
        _ => evidence.hub.to_string(),
    };
    let mut facts = vec![
        ("proven", format!("{}: {}", evidence.kind.word(), evidence.kind.meaning())),
        ("against", guilty.clone()),
        ("log", evidence.origin.to_string()),
        ("fingerprint", chain.fingerprint().to_hex()),
        ("not proven", "who at that hub did it, and why".into()),
    ];
    if !confirmed {
        let what = "that this descriptor is the hub's: compare the fingerprint with its operator";
        facts.push(("nor", what.into()));
    }
    let json = json!({
        "proven": true, "kind": evidence.kind.word(), "against": guilty, "hub": evidence.hub.as_str(),
        "origin": evidence.origin.as_str(), "fingerprint": chain.fingerprint().to_hex(),
    });
    out.facts(&facts, &json);
    Ok(ExitCode::SUCCESS)
}

/// What one was told and what another was told, under one identity.
fn join(
    a: &Path,
    b: &Path,
    file: &Path,
    descriptor: &Path,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let chain = chain_file::read(descriptor, None)?;
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
        Ok::<Receipt, CliError>(Receipt::parse(&text)?)
    };
    let (x, y) = (read(a)?, read(b)?);
    let hub: &HubId = chain.hub();
    let origin = chain.origin().ok_or(NotProven::Format("the descriptor names no log"))?;
    let evidence = Evidence::identity(hub, origin, (&x.header, &x.log), (&y.header, &y.log));
    let code = verify(&evidence, &chain, false, out)?;
    std::fs::write(file, evidence.to_text()).map_err(CliError::io(file))?;
    out.note(&format!("written to {}", file.display()));
    Ok(code)
}

async fn list(
    profile: Option<&Path>,
    dir: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let held = session.operator().list_evidence(v1::ListEvidenceRequest {}).await?.into_inner();
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for e in held.evidence {
        let digest = sha256(&[e.text.as_bytes()]).to_hex();
        let from =
            if e.from.is_empty() { "found here".to_owned() } else { format!("told by {}", e.from) };
        let found = ewtp_log::statement::format_time(u64::try_from(e.found_ms).unwrap_or_default());
        let mut file = None;
        if let Some(dir) = dir {
            std::fs::create_dir_all(dir).map_err(CliError::io(dir))?;
            let path = dir.join(format!("{}-{}-{}.ewtp-evidence", e.against, e.kind, &digest[..8]));
            std::fs::write(&path, &e.text).map_err(CliError::io(&path))?;
            file = Some(path);
        }
        let shown = file.as_ref().map_or_else(String::new, |p| p.display().to_string());
        lines.push(json!({"against": e.against, "kind": e.kind, "found": found, "from": e.from, "digest": digest, "file": file}));
        rows.push(vec![e.against, e.kind, found, from, shown]);
    }
    out.table(&["against", "kind", "when", "how", "file"], &rows, &json!(lines));
    Ok(ExitCode::SUCCESS)
}
