//! `ewtp receipt`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::receipt::{Proven, Receipt};
use ewtp_log::statement::open_part;
use ewtp_proto::{Message as _, v1};
use ewtp_trust::Chain;
use serde_json::json;

use crate::args::ReceiptCommand;
use crate::commands::{case, chain_file};
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: ReceiptCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        ReceiptCommand::Export { case, out: dir, with_lane } => {
            block_on(export(profile.as_deref(), &case, &dir, with_lane, out))
        }
        ReceiptCommand::Verify { receipt, descriptor, fingerprint } => {
            verify(&receipt, &descriptor, fingerprint.as_deref(), out)
        }
    }
}

/// Statements of a case in order, with a short name for each file.
pub(crate) fn statements(case: &v1::Case) -> Vec<(String, v1::StatementRef)> {
    let mut out = Vec::new();
    for f in &case.filings {
        let kind = f.filing.as_ref().and_then(|f| f.core.as_ref()).map(|c| c.r#type());
        let name = kind
            .unwrap_or_default()
            .as_str_name()
            .trim_start_matches("FILING_TYPE_")
            .to_ascii_lowercase();
        out.extend(f.statement.clone().map(|s| (format!("{name}-filing"), s)));
    }
    for r in &case.info_requests {
        out.extend(r.statement.clone().map(|s| ("info-request".to_owned(), s)));
        out.extend(r.answer_statement.clone().map(|s| ("info-answer".to_owned(), s)));
    }
    for d in &case.decisions {
        let effect = d.core.as_ref().map(v1::DecisionCore::effect).unwrap_or_default();
        let name = effect.as_str_name().trim_start_matches("EFFECT_").to_ascii_lowercase();
        out.extend(d.statement.clone().map(|s| (format!("decision-{name}"), s)));
    }
    for e in &case.events {
        out.extend(e.statement.clone().map(|s| ("event".to_owned(), s)));
    }
    out
}

/// Fetches one receipt: its text and the issuer's chain file.
pub(crate) async fn fetch(
    session: &Session,
    case_id: &str,
    statement: &v1::StatementRef,
    with_lane: bool,
) -> Result<(String, String), CliError> {
    let request = v1::GetReceiptRequest {
        case_id: case_id.to_owned(),
        commitment: statement.commitment.clone(),
        with_lane,
        ..Default::default()
    };
    let response = session.trade().get_receipt(request).await?.into_inner();
    Ok((response.receipt, response.descriptors))
}

async fn export(
    profile: Option<&Path>,
    name: &str,
    dir: &Path,
    with_lane: bool,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let case = case::find(&session, name).await?;
    std::fs::create_dir_all(dir).map_err(CliError::io(dir))?;
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for (kind, statement) in statements(&case) {
        let (receipt, descriptors) = fetch(&session, &case.case_id, &statement, with_lane).await?;
        let file =
            dir.join(format!("{}-{}-{kind}.ewtp-receipt", statement.hub, statement.log_index));
        std::fs::write(&file, receipt).map_err(CliError::io(&file))?;
        let chain = dir.join(format!("{}.descriptors.jsonl", statement.hub));
        std::fs::write(&chain, descriptors).map_err(CliError::io(&chain))?;
        rows.push(vec![
            kind.clone(),
            statement.hub.clone(),
            file.display().to_string(),
            chain.display().to_string(),
        ]);
        lines.push(
            json!({"kind": kind, "hub": statement.hub, "receipt": file, "descriptors": chain}),
        );
    }
    out.table(&["statement", "said by", "receipt", "descriptors"], &rows, &json!(lines));
    Ok(ExitCode::SUCCESS)
}

/// Verifies a receipt file against a chain file.
fn verify_files(
    receipt: &Path,
    descriptor: &Path,
    fingerprint: Option<&str>,
) -> Result<(Receipt, Proven, Chain), CliError> {
    let chain = chain_file::read(descriptor, fingerprint)?;
    let text = std::fs::read_to_string(receipt).map_err(CliError::io(receipt))?;
    let receipt = Receipt::parse(&text)?;
    let proven = receipt.verify(&chain.receipt_trust())?;
    Ok((receipt, proven, chain))
}

fn verify(
    receipt: &Path,
    descriptor: &Path,
    fingerprint: Option<&str>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let (file, proven, chain) = verify_files(receipt, descriptor, fingerprint)?;
    let h = &proven.header;
    let witnesses = proven.signed_by.witnesses.len();
    let mut facts = vec![
        ("verified", receipt.display().to_string()),
        ("who", format!("{} (descriptor fingerprint {})", h.hub, chain.fingerprint().to_hex())),
        ("what", format!("{} {} number {}", h.id.kind, h.id.subject, h.id.number)),
        ("when", format!("{} by that hub's log", h.time)),
        (
            "where",
            format!(
                "entry {} of {}, under its signed head of {}",
                proven.index, h.origin, proven.log_size
            ),
        ),
    ];
    if let Some((peer, number)) = &proven.lane {
        let place = number.map_or(String::new(), |n| format!(" as number {n}"));
        facts.push(("said to", format!("{peer}{place}")));
    }
    if let Some(text) = content(&file, &h.id.kind) {
        facts.push(("content", text));
    }
    let shown: Vec<&str> = file.parts.iter().map(|(n, _)| n.as_str()).collect();
    let hidden: Vec<&str> =
        h.parts.iter().map(|(n, _)| n.as_str()).filter(|n| !shown.contains(n)).collect();
    facts.push(("shown", shown.join(", ")));
    facts.push(("withheld", hidden.join(", ")));
    let time =
        if witnesses == 0 { "no: time not witnessed".into() } else { format!("by {witnesses}") };
    facts.push(("witnessed", time));
    if fingerprint.is_none() {
        facts.push((
            "not proven",
            "that this descriptor is the hub's: compare the fingerprint with its operator".into(),
        ));
    }
    let json = json!({
        "verified": true, "hub": h.hub, "kind": h.id.kind, "subject": h.id.subject, "number": h.id.number,
        "time": h.time, "origin": h.origin, "index": proven.index.0, "log_size": proven.log_size.0,
        "shown": shown, "withheld": hidden, "witnesses": proven.signed_by.witnesses.iter().map(|(k, t)| json!({"name": k.name(), "time": t})).collect::<Vec<_>>(),
        "lane": proven.lane.as_ref().map(|(p, n)| json!({"peer": p.as_str(), "number": n.map(|n| n.0)})),
    });
    out.facts(&facts, &json);
    Ok(ExitCode::SUCCESS)
}

/// What a decision or filing says, in a line.
fn content(receipt: &Receipt, kind: &str) -> Option<String> {
    let (_, blob) = receipt.parts.iter().find(|(n, _)| n == "core")?;
    let core = open_part("core", blob).ok()?;
    match kind {
        "decision" => {
            let core = v1::DecisionCore::decode(core).ok()?;
            let effect =
                core.effect().as_str_name().trim_start_matches("EFFECT_").to_ascii_lowercase();
            let code = core.code().as_str_name().trim_start_matches("DECISION_CODE_");
            Some(format!(
                "{effect}: {code} on filing {} version {}",
                core.filing_id, core.filing_version
            ))
        }
        "filing" => {
            let core = v1::FilingCore::decode(core).ok()?;
            Some(format!(
                "LRN {}, MRN {}, {} items, {} to {}",
                core.lrn,
                core.mrn,
                core.items.len(),
                core.country_of_export,
                core.country_of_destination
            ))
        }
        _ => None,
    }
}
