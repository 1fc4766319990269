//! `ewtp declare`: export and advance filings from one document, typed once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_proto::v1;
use serde_json::json;
use v1::submit_response::Result as Outcome;

use crate::args::{Declare, FilingKind};
use crate::commands::{attachment, precheck};
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: &Declare,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let mut document = read_document(&command.document)?;
    block_on(async {
        let session = Session::open(profile.as_deref()).await?;
        let mut case_id = document.core.as_ref().map(|c| c.case_id.clone()).unwrap_or_default();
        let (mut lines, mut good) = (Vec::new(), true);
        for file in &command.attach {
            let reference = attachment::upload(&session, file, None).await?;
            document.goods.get_or_insert_default().attachments.push(reference);
        }
        let both = [FilingKind::Export, FilingKind::Advance];
        let kinds = command.only.map_or(both.to_vec(), |only| vec![only]);
        for kind in kinds {
            let filing = filing_of(&document, kind, &case_id, command.only.is_some());
            let lrn = filing.core.as_ref().map(|c| c.lrn.clone()).unwrap_or_default();
            if command.dry_run {
                let (could, line) = precheck::ask(&session, name_of(kind), filing, out).await?;
                good &= could;
                lines.push(line);
                continue;
            }
            let request = v1::SubmitRequest { filing: Some(filing), ..Default::default() };
            let response = session.trade().submit(request).await?.into_inner();
            let name = name_of(kind);
            match response.result {
                Some(Outcome::Accepted(accepted)) => {
                    case_id.clone_from(&accepted.case_id);
                    show_accepted(name, &lrn, &accepted, out);
                    lines.push(json!({"filing": name, "lrn": lrn, "accepted": accepted}));
                }
                Some(Outcome::Refused(refused)) => {
                    good = false;
                    show_refused(name, &lrn, &refused, out);
                    lines.push(json!({"filing": name, "lrn": lrn, "refused": refused}));
                    break; // an advance filing without its export filing helps nobody
                }
                None => good = false,
            }
        }
        if out.is_json() {
            out.json_line(&json!(lines));
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    })
}

const fn name_of(kind: FilingKind) -> &'static str {
    match kind {
        FilingKind::Export => "export",
        FilingKind::Advance => "advance",
        FilingKind::Transit => "transit",
        FilingKind::Import => "import",
    }
}

/// A filing document: JSON by its extension, else TOML.
pub(crate) fn read_document(path: &Path) -> Result<v1::Filing, CliError> {
    let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
    let hint = "the fields are those of ewtp.v1.Filing in proto/ewtp/v1/filing.proto; see samples/coffee.toml";
    let bad = |problem: String| CliError::usage(&path.display().to_string(), problem, hint);
    if path.extension().is_some_and(|e| e == "json") {
        serde_json::from_str(&text).map_err(|e| bad(e.to_string()))
    } else {
        toml::from_str(&text).map_err(|e| bad(e.to_string()))
    }
}

/// One Submit is one filing with one LRN: the document's LRN with /E or /A.
fn filing_of(document: &v1::Filing, kind: FilingKind, case_id: &str, alone: bool) -> v1::Filing {
    let mut filing = document.clone();
    let mut core = filing.core.take().unwrap_or_default();
    let (kind, suffix) = match kind {
        FilingKind::Export => (v1::FilingType::Export, "/E"),
        FilingKind::Advance => (v1::FilingType::Advance, "/A"),
        FilingKind::Transit => (v1::FilingType::Transit, ""),
        FilingKind::Import => (v1::FilingType::Import, ""),
    };
    core.r#type = kind as i32;
    if !alone {
        core.lrn.push_str(suffix);
    }
    case_id.clone_into(&mut core.case_id);
    if core.function == 0 {
        core.function = v1::FilingFunction::Original as i32;
    }
    filing.core = Some(core);
    filing
}

pub(crate) fn show_accepted(name: &str, lrn: &str, accepted: &v1::Accepted, out: &Output) {
    if out.is_json() {
        return;
    }
    let repeated =
        if accepted.repeated_submission { " (filed before; this is the first answer)" } else { "" };
    let to = if accepted.repeated_submission {
        "as then".into()
    } else if accepted.audience.is_empty() && name == "import" {
        "no other hub: it is assessed here, and is in no case that began elsewhere".into()
    } else if accepted.audience.is_empty() {
        "no hub yet: the destination has none that is pinned here".into()
    } else {
        accepted.audience.join(", ")
    };
    out.facts(
        &[
            ("filing", format!("{name} {lrn}: accepted{repeated}")),
            ("case", accepted.case_id.clone()),
            ("MRN", accepted.mrn.clone()),
            ("UCR", accepted.ucr.clone()),
            ("log entry", accepted.log_index.to_string()),
            ("said to", to),
        ],
        &json!(null),
    );
    if !accepted.one_time_code.is_empty() {
        out.say(&format!(
            "  who adopts it at the destination without being its importer shows: case {}, filing {}, version {}, code {}",
            accepted.case_id, accepted.filing_id, accepted.version, accepted.one_time_code
        ));
    }
    for w in &accepted.warnings {
        out.say(&format!("  warning {}", ewtp_trade::finding::line(w)));
    }
    out.say("");
}

pub(crate) fn show_refused(name: &str, lrn: &str, refused: &v1::Refused, out: &Output) {
    if out.is_json() {
        return;
    }
    out.say(&format!("filing  {name} {lrn}: refused, {} violation(s)", refused.violations.len()));
    for v in &refused.violations {
        out.say(&format!("  {}", ewtp_trade::finding::line(v)));
    }
    if !refused.first_receipt.is_empty() {
        out.say("  the answer holds the receipt of the filing that used this LRN first: see it with --json");
    }
}
