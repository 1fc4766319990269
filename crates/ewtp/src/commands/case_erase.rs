//! `ewtp case erase`, and how an erased case is shown and replayed.

use std::path::Path;
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_log::proof::TlogProof;
use ewtp_log::receipt::verify_entry;
use ewtp_proto::v1;
use ewtp_trust::Chain;
use serde_json::json;

use crate::commands::acts::told;
use crate::commands::case::{self, instant};
use crate::commands::desk::key_or_new;
use crate::commands::receipt;
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// What is ordered.
pub(crate) struct Order {
    pub(crate) parts: Vec<String>,
    pub(crate) reason: String,
    pub(crate) override_rules: bool,
}

pub(crate) async fn run(
    profile: Option<&Path>,
    name: &str,
    order: Order,
    out: &Output,
) -> Result<ExitCode, CliError> {
    use v1::erase_case_response::Result as Outcome;
    let session = Session::open(profile).await?;
    let case = case::find(&session, name).await?;
    let request = v1::EraseCaseRequest {
        case_id: case.case_id,
        parts: order.parts,
        reason: order.reason,
        override_rules: order.override_rules,
        idempotency_key: key_or_new(None)?,
    };
    let response = session.desk().erase_case(request).await?.into_inner();
    let at = match &response.result {
        Some(Outcome::Logged(at)) => at,
        Some(Outcome::Refused(no)) => return Ok(told("erasure", None, Some(no), out)),
        None => return Ok(told("erasure", None, None, out)),
    };
    let hubs = match response.told.as_slice() {
        [] => "nobody: no other hub was told anything in this case".to_owned(),
        hubs => hubs.join(", "),
    };
    let within = response.compacted_within_s;
    let mut facts = vec![
        ("erasure", format!("logged at {} as entry {}", at.hub, at.log_index)),
        ("erased", format!("of {} statements; nobody is shown it any more", response.statements)),
        (
            "off the disk",
            format!("within {within} s, or now with a stopped hub: ewtp store compact"),
        ),
        ("told", hubs),
    ];
    facts.extend(response.kept.iter().map(|k| ("kept", kept(k))));
    let json = json!({
        "hub": at.hub, "log_index": at.log_index, "statements": response.statements,
        "told": response.told, "kept": response.kept, "compacted_within_s": within,
    });
    out.facts(&facts, &json);
    Ok(ExitCode::SUCCESS)
}

/// What a rule keeps, in words.
fn kept(kept: &v1::Kept) -> String {
    let at = kept.statement.clone().unwrap_or_default();
    let until = match kept.until_ms {
        0 => "until its business is over".to_owned(),
        ms => format!("until {}", instant(ms)),
    };
    let parts = kept.parts.join(", ");
    format!("{parts} of {} log entry {}, by {} {until}", at.hub, at.log_index, kept.rule)
}

/// What was erased in a case, and what others keep of it.
pub(crate) fn show(case: &v1::Case, out: &Output) {
    for gone in &case.erased {
        let at = gone.statement.clone().unwrap_or_default();
        let what = match gone.parts.as_slice() {
            [] => String::new(),
            parts => format!(": {}", parts.join(", ")),
        };
        out.say(&format!(
            "erased{what}: {} at {} log entry {}, by {} of {}, {}",
            gone.kind,
            at.hub,
            at.log_index,
            gone.reason,
            gone.by,
            instant(gone.erased_ms)
        ));
    }
    for answer in &case.kept {
        for one in &answer.kept {
            out.say(&format!("{} keeps {}", answer.hub, kept(one)));
        }
    }
}

/// What still verifies of a statement that was erased: that it stood where it stood.
pub(crate) async fn still_proven(
    session: &Session,
    case_id: &str,
    gone: &v1::CaseErased,
) -> Result<String, CliError> {
    let statement = gone.statement.clone().unwrap_or_default();
    let response = receipt::ask(session, case_id, &statement, false).await?;
    let commitment = Hash::from_slice(&statement.commitment)
        .ok_or_else(|| CliError::Log("the hub names no commitment".to_owned()))?;
    let proof =
        TlogProof::parse(&response.erased_proof).map_err(|e| CliError::Log(e.to_string()))?;
    let keys = Chain::verify_file(&response.descriptors)?.receipt_trust().keys;
    let (head, _) = verify_entry(&proof, &commitment, None, &keys)?;
    Ok(format!(
        "{} of {} by {}; log entry {} under the signed head of {} still verifies",
        gone.reason,
        instant(gone.erased_ms),
        gone.by,
        proof.index,
        head.size
    ))
}
