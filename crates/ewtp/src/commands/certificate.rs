//! `ewtp certificate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_proto::v1::{self, CertificateState, CertificateUse};
use serde_json::json;

use crate::args_certificate::{CertificateCommand, Changed};
use crate::commands::arrangement::tell_faults;
use crate::commands::receipt::write_pair;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: &CertificateCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    let change = |changed: &Changed, state: CertificateState, by: &str| {
        let request = v1::ChangeCertificateRequest {
            certificate_id: changed.id.clone(),
            state: state as i32,
            replaced_by: by.to_owned(),
            reason: changed.reason.clone(),
        };
        block_on(changed_to(request, profile, out))
    };
    match command {
        CertificateCommand::Issue { file } => block_on(issue(file, profile, out)),
        CertificateCommand::Suspend(changed) => change(changed, CertificateState::Suspended, ""),
        CertificateCommand::Reinstate(changed) => change(changed, CertificateState::Valid, ""),
        CertificateCommand::Revoke(changed) => change(changed, CertificateState::Revoked, ""),
        CertificateCommand::Replace { changed, by } => {
            change(changed, CertificateState::Replaced, by)
        }
        CertificateCommand::List { hub, holder } => block_on(list(hub, holder, profile, out)),
        CertificateCommand::Ledger { id } => block_on(ledger(id, profile, out)),
        CertificateCommand::Free { id, case, reason } => {
            let request = v1::FreeHoldingRequest {
                certificate_id: id.clone(),
                case_id: case.clone(),
                reason: reason.clone(),
            };
            block_on(free(request, profile, out))
        }
        CertificateCommand::Prove { id, parts, out: dir } => {
            block_on(prove(id, parts, dir, profile, out))
        }
    }
}

async fn issue(file: &Path, profile: Option<&Path>, out: &Output) -> Result<ExitCode, CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::io(file))?;
    let wrong = |problem: String| {
        let hint = "see samples/certificate-inspection.toml";
        CliError::usage(&file.display().to_string(), problem, hint)
    };
    let mut document: toml::Table = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    if let Some(toml::Value::Table(core)) = document.get_mut("core")
        && let Some(used) = core.get_mut("use")
    {
        let name = match used.as_str() {
            Some("once") => CertificateUse::Once,
            Some("quantity") => CertificateUse::Quantity,
            _ => return Err(wrong(format!("core.use is {used}; allowed: \"once\", \"quantity\""))),
        };
        *used = name.as_str_name().into();
    }
    let request: v1::IssueCertificateRequest =
        document.try_into().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    let session = Session::open(profile).await?;
    let response = session.desk().issue_certificate(request).await?.into_inner();
    Ok(told(&response.violations, response.certificate, out))
}

async fn changed_to(
    request: v1::ChangeCertificateRequest,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let response = session.desk().change_certificate(request).await?.into_inner();
    Ok(told(&response.violations, response.certificate, out))
}

/// Says what became of a certificate, or why nothing was said.
fn told(
    violations: &[v1::Finding],
    certificate: Option<v1::CertificateView>,
    out: &Output,
) -> ExitCode {
    let Some(certificate) = certificate else {
        tell_faults(violations, out);
        out.note("nothing was said");
        return ExitCode::from(1);
    };
    let core = certificate.core.clone().unwrap_or_default();
    let hubs = match certificate.told.as_slice() {
        [] => "no peer recognises it yet; whoever begins to is told".to_owned(),
        hubs => hubs.join(", "),
    };
    let facts = [
        ("certificate", core.certificate_id.clone()),
        ("state", state(&core)),
        ("told", hubs),
        ("stands at", format!("{} log entry {}", certificate.hub, certificate.log_index)),
    ];
    out.facts(&facts, &json!(certificate));
    ExitCode::SUCCESS
}

fn state(core: &v1::CertificateCore) -> String {
    let word = core.state().as_str_name().trim_start_matches("CERTIFICATE_STATE_");
    let word = word.to_ascii_lowercase();
    match (core.replaced_by.as_str(), core.reason.as_str()) {
        ("", "") => word,
        ("", reason) => format!("{word}: {reason}"),
        (by, reason) => format!("{word} by {by}: {reason}"),
    }
}

async fn list(
    hub: &str,
    holder: &str,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListCertificatesRequest {
            hub: hub.to_owned(),
            holder_id: holder.to_owned(),
            page_size: 1000,
            page_token,
        };
        let page = session.desk().list_certificates(request).await?.into_inner();
        all.extend(page.certificates);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let row = |c: &v1::CertificateView| {
        let core = c.core.clone().unwrap_or_default();
        let until = if core.valid_until.is_empty() { "open" } else { &core.valid_until };
        let holder = c.holder.as_ref().map_or("not shown", |h| h.name.as_str());
        vec![
            core.certificate_id.clone(),
            core.kind.clone(),
            core.reference.clone(),
            holder.to_owned(),
            format!("{} to {until}", core.valid_from),
            state(&core),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let headers = ["certificate", "kind", "reference", "holder", "days", "state"];
    out.table(&headers, &rows, &json!(all));
    Ok(ExitCode::SUCCESS)
}

async fn ledger(id: &str, profile: Option<&Path>, out: &Output) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let (mut whole, mut page_token) = (v1::ShowLedgerResponse::default(), String::new());
    loop {
        let request = v1::ShowLedgerRequest {
            certificate_id: id.to_owned(),
            page_size: 1000,
            page_token: std::mem::take(&mut page_token),
        };
        let mut page = session.desk().show_ledger(request).await?.into_inner();
        page.holdings.splice(0..0, std::mem::take(&mut whole.holdings));
        page_token.clone_from(&page.next_page_token);
        whole = page;
        if page_token.is_empty() {
            break;
        }
    }
    let row = |h: &v1::CaseDrawing| {
        let core = h.core.clone().unwrap_or_default();
        let held = h.goods.as_ref().map(|g| g.quantities.as_slice()).unwrap_or_default();
        vec![core.case_id.clone(), entry_name(core.entry()), quantities(held), h.number.to_string()]
    };
    let rows: Vec<Vec<String>> = whole.holdings.iter().map(row).collect();
    out.table(&["case", "state", "holds", "entry"], &rows, &json!(whole));
    out.note(&format!(
        "{} held of {}; {} entries in the ledger",
        quantities(&whole.taken),
        quantities(&whole.total),
        whole.entries
    ));
    Ok(ExitCode::SUCCESS)
}

/// What an entry of a ledger says, in a word.
pub(crate) fn entry_name(entry: v1::LedgerEntry) -> String {
    match entry {
        v1::LedgerEntry::Unspecified => "asked in vain",
        v1::LedgerEntry::Reserved => "reserved",
        v1::LedgerEntry::WrittenOff => "written off",
        v1::LedgerEntry::Released => "released",
        v1::LedgerEntry::Refused => "refused",
    }
    .to_owned()
}

/// Quantities of the lines of a certificate.
pub(crate) fn quantities(all: &[v1::Quantity]) -> String {
    match all {
        [] => "nothing".to_owned(),
        all => {
            let each = all.iter().map(|q| format!("{} {}", q.value, q.unit));
            each.collect::<Vec<_>>().join(" + ")
        }
    }
}

async fn free(
    request: v1::FreeHoldingRequest,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let (id, case) = (request.certificate_id.clone(), request.case_id.clone());
    let response = session.desk().free_holding(request).await?.into_inner();
    if response.violations.is_empty() {
        out.facts(&[("freed", id), ("held by", case)], &json!({"freed": true}));
        return Ok(ExitCode::SUCCESS);
    }
    tell_faults(&response.violations, out);
    out.note("nothing was freed");
    Ok(ExitCode::from(1))
}

async fn prove(
    id: &str,
    parts: &[String],
    dir: &Path,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let request = v1::GetReceiptRequest {
        certificate_id: id.to_owned(),
        parts: parts.to_vec(),
        ..Default::default()
    };
    let response = session.trade().get_receipt(request).await?.into_inner();
    let hub = id.rsplit_once('-').map_or(id, |(hub, _)| hub);
    let (receipt, descriptors) = write_pair(dir, id, &format!("{hub}.descriptors"), &response)?;
    let shown = if parts.is_empty() { "all of it".to_owned() } else { parts.join(", ") };
    let facts = [
        ("receipt", receipt.display().to_string()),
        ("descriptors", descriptors.display().to_string()),
        ("shows", shown),
    ];
    out.facts(&facts, &json!({"receipt": receipt, "descriptors": descriptors, "parts": parts}));
    out.note("It proves what was said of the certificate up to its head, not that nothing was said since, and never what is left of a quantity.");
    Ok(ExitCode::SUCCESS)
}
