//! `ewtp evidence`.

use std::path::Path;
use std::process::ExitCode;

use ewtp_log::evidence::{Evidence, EvidenceKind};
use ewtp_trust::ChainTrust;
use serde_json::json;

use crate::args_log::EvidenceCommand;
use crate::commands::chain_file;
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(command: &EvidenceCommand, out: &Output) -> Result<ExitCode, CliError> {
    match command {
        EvidenceCommand::Verify { evidence, descriptor, fingerprint } => {
            verify(evidence, descriptor, fingerprint.as_deref(), out)
        }
    }
}

fn verify(
    path: &Path,
    descriptor: &Path,
    fingerprint: Option<&str>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let chain = chain_file::read(descriptor, fingerprint)?;
    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
    let evidence = Evidence::parse(&text)?;
    let trust = ChainTrust::new(&chain);
    evidence.verify(&trust)?;
    let guilty = match evidence.kind {
        EvidenceKind::Witness => evidence.convicted_witnesses(&trust).join(", "),
        _ => evidence.hub.to_string(),
    };
    let mut facts = vec![
        ("proven", format!("{}: {}", evidence.kind.word(), evidence.kind.meaning())),
        ("against", guilty.clone()),
        ("log", evidence.origin.to_string()),
        ("fingerprint", chain.fingerprint().to_hex()),
        ("not proven", "who at that hub did it, and why".into()),
    ];
    if fingerprint.is_none() {
        let what = "also not proven: that this descriptor is the hub's; compare the fingerprint with its operator";
        facts.push(("", what.into()));
    }
    let json = json!({
        "proven": true, "kind": evidence.kind.word(), "against": guilty, "hub": evidence.hub.as_str(),
        "origin": evidence.origin.as_str(), "fingerprint": chain.fingerprint().to_hex(),
    });
    out.facts(&facts, &json);
    Ok(ExitCode::SUCCESS)
}
