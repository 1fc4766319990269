//! `ewtp receipt`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_proto::v1;
use serde_json::json;

use crate::args::ReceiptCommand;
use crate::commands::{case, case_file, chain_file, proof_words};
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
        ReceiptCommand::Case { case, out: file, with_lane } => {
            block_on(case_file::export(profile.as_deref(), &case, &file, with_lane, out))
        }
        ReceiptCommand::Verify { receipt, descriptor, fingerprint } => {
            verify(&receipt, descriptor.as_deref(), &fingerprint, out)
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
    for a in &case.adoptions {
        out.extend(a.statement.clone().map(|s| ("adoption".to_owned(), s)));
    }
    for d in &case.drawings {
        out.extend(d.statement.clone().map(|s| ("ledger".to_owned(), s)));
    }
    for i in &case.invalidations {
        out.extend(i.statement.clone().map(|s| ("invalidation".to_owned(), s)));
    }
    out
}

/// What the hub proves of a statement.
pub(crate) async fn ask(
    session: &Session,
    case_id: &str,
    statement: &v1::StatementRef,
    with_lane: bool,
) -> Result<v1::GetReceiptResponse, CliError> {
    let request = v1::GetReceiptRequest {
        case_id: case_id.to_owned(),
        commitment: statement.commitment.clone(),
        with_lane,
        ..Default::default()
    };
    Ok(session.trade().get_receipt(request).await?.into_inner())
}

/// Writes a receipt and its issuer's descriptors into a directory; where they are.
pub(crate) fn write_pair(
    dir: &Path,
    name: &str,
    descriptors: &str,
    response: &v1::GetReceiptResponse,
) -> Result<(PathBuf, PathBuf), CliError> {
    std::fs::create_dir_all(dir).map_err(CliError::io(dir))?;
    let receipt = dir.join(format!("{name}.ewtp-receipt"));
    let chain = dir.join(format!("{descriptors}.jsonl"));
    std::fs::write(&receipt, &response.receipt).map_err(CliError::io(&receipt))?;
    std::fs::write(&chain, &response.descriptors).map_err(CliError::io(&chain))?;
    Ok((receipt, chain))
}

/// Fetches one receipt: its text and the issuer's chain file.
pub(crate) async fn fetch(
    session: &Session,
    case_id: &str,
    statement: &v1::StatementRef,
    with_lane: bool,
) -> Result<(String, String), CliError> {
    let response = ask(session, case_id, statement, with_lane).await?;
    Ok((response.receipt, response.descriptors))
}

/// Refuses a case of which nothing is left that a receipt could be about.
pub(crate) fn something_left(case: &v1::Case) -> Result<(), CliError> {
    if !statements(case).is_empty() {
        return Ok(());
    }
    let problem = match case.erased.first() {
        Some(gone) => {
            format!("all that was said in it is erased, by {} of {}", gone.reason, gone.by)
        }
        None => "nothing that you may see was said in it".to_owned(),
    };
    let hint = "`ewtp case show` tells what was, `ewtp case replay` that its decisions still stand in the log";
    Err(CliError::usage(&case.case_id, problem, hint))
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
    something_left(&case)?;
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

/// Verifies a receipt, or every receipt of a case file.
fn verify(
    path: &Path,
    descriptor: Option<&Path>,
    fingerprints: &[String],
    out: &Output,
) -> Result<ExitCode, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
    if text.starts_with("ewtp-case/v1\n") {
        return case_file::verify(path, &text, fingerprints, out);
    }
    let hint = "the issuer's descriptor file; `ewtp receipt export` writes it beside the receipts";
    let descriptor = descriptor.ok_or_else(|| {
        CliError::usage("--descriptor", "a receipt needs its issuer's keys", hint)
    })?;
    if fingerprints.len() > 1 {
        return Err(CliError::usage("--fingerprint", "one receipt has one issuer", "give one"));
    }
    let fingerprint = fingerprints.first().map(String::as_str);
    let chain = chain_file::read(descriptor, fingerprint)?;
    let verified = proof_words::verify(&text, &chain, fingerprint.is_some())?;
    let mut facts = vec![("verified", path.display().to_string())];
    facts.extend(verified.facts());
    facts.extend(verified.open_questions().into_iter().map(|q| ("not proven", q)));
    out.facts(&facts, &verified.json());
    Ok(ExitCode::SUCCESS)
}
