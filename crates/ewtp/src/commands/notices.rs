//! `ewtp case notices`: a case as notifications of HMRC's CDS, for software that reads those.

use std::path::Path;
use std::process::ExitCode;

use ewtp_formats::dms;
use ewtp_proto::v1;
use serde_json::json;

use crate::commands::case::{self, instant};
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Writes one document a notification, in the order in which things were said.
pub(crate) async fn run(
    profile: Option<&Path>,
    name: &str,
    filing: Option<&str>,
    dir: &Path,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let case = case::find(&session, name).await?;
    let filing = match filing {
        Some(id) => id.to_owned(),
        None => only_filing(&case)?,
    };
    std::fs::create_dir_all(dir).map_err(CliError::io(dir))?;
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for (number, notification) in (1..).zip(dms::of_case(&case, &filing)) {
        let (code, word) = (notification.notice.code(), notification.notice.name());
        let xml = dms::write(&notification).map_err(|e| {
            CliError::usage(&notification.reference, e.to_string(), "CDS can't say this")
        })?;
        let path = dir.join(format!("{number:02}_{word}.xml"));
        std::fs::write(&path, xml).map_err(CliError::io(&path))?;
        let file = path.display().to_string();
        rows.push(vec![instant(notification.issued_ms), code.into(), word.into(), file.clone()]);
        lines.push(
            json!({"issued_ms": notification.issued_ms, "code": code, "name": word, "file": file}),
        );
    }
    out.table(&["said", "code", "notification", "file"], &rows, &json!(lines));
    Ok(ExitCode::SUCCESS)
}

fn only_filing(case: &v1::Case) -> Result<String, CliError> {
    let cores = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
    let all: Vec<&v1::FilingCore> = cores.collect();
    match all.as_slice() {
        [one] => Ok(one.filing_id.clone()),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|c| format!("{} ({})", c.filing_id, c.r#type().as_str_name()))
                .collect();
            let problem = format!("the case has {} filings", several.len());
            let hint = format!("name one with --filing: {}", ids.join(", "));
            Err(CliError::usage(&case.case_id, problem, &hint))
        }
    }
}
