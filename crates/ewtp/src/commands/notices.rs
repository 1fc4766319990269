//! `ewtp case notices`: a case as notifications of HMRC's CDS or receipts of China's CEB, for software that reads those.

use std::path::Path;
use std::process::ExitCode;

use ewtp_formats::{ceb, dms};
use ewtp_proto::v1;
use serde_json::json;

use crate::args_documents::NoticeForm;
use crate::commands::case::{self, instant};
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Writes one document a notification, in the order in which things were said.
pub(crate) async fn run(
    profile: Option<&Path>,
    name: &str,
    filing: Option<&str>,
    form: NoticeForm,
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
    let notices = match form {
        NoticeForm::Cds => notifications(&case, &filing)?,
        NoticeForm::Ceb => receipts(&case, &filing)?,
    };
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for (number, notice) in (1..).zip(notices) {
        let path = dir.join(format!("{number:02}_{}.xml", notice.name));
        std::fs::write(&path, notice.xml).map_err(CliError::io(&path))?;
        let file = path.display().to_string();
        lines.push(
            json!({"issued_ms": notice.issued_ms, "code": notice.code, "name": notice.name, "file": file}),
        );
        rows.push(vec![instant(notice.issued_ms), notice.code, notice.name.into(), file]);
    }
    out.table(&["said", "code", "notification", "file"], &rows, &json!(lines));
    Ok(ExitCode::SUCCESS)
}

/// A document that says something of a filing.
struct Document {
    issued_ms: i64,
    code: String,
    name: &'static str,
    xml: String,
}

fn notifications(case: &v1::Case, filing: &str) -> Result<Vec<Document>, CliError> {
    let one = |notification: dms::Notification| {
        let (code, name) = (notification.notice.code().to_owned(), notification.notice.name());
        let xml = dms::write(&notification);
        let xml = xml.map_err(|e| {
            CliError::usage(&notification.reference, e.to_string(), "CDS can't say this")
        })?;
        Ok(Document { issued_ms: notification.issued_ms, code, name, xml })
    };
    dms::of_case(case, filing).into_iter().map(one).collect()
}

fn receipts(case: &v1::Case, filing: &str) -> Result<Vec<Document>, CliError> {
    let refused = |e: ceb::CebError| CliError::usage(filing, e.to_string(), "CEB can't say this");
    let one = |receipt: ceb::receipts::Receipt| {
        let (issued_ms, code) = (receipt.issued_ms, receipt.status.to_owned());
        let xml = ceb::write(&receipt.message).map_err(refused)?;
        Ok(Document { issued_ms, code, name: receipt.message.kind(), xml })
    };
    ceb::receipts::of_case(case, filing).map_err(refused)?.into_iter().map(one).collect()
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
