//! `ewtp audit draws`: were the random draws those that the key gives whose digest was logged before?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_clearance::draw::{PeriodKey, draw, key_digest};
use ewtp_log::Hash;
use ewtp_log::receipt::Receipt;
use ewtp_log::statement::open_part;
use ewtp_proto::{Message, v1};
use ewtp_trust::Chain;
use serde_json::json;

use crate::args::AuditCommand;
use crate::commands::case::instant;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: &AuditCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        AuditCommand::Draws => block_on(draws(profile.as_deref(), out)),
    }
}

/// What an auditor finds in one period.
struct Found {
    decisions: usize,
    wrong: Vec<v1::Draw>,
    problem: Option<String>,
}

async fn draws(profile: Option<&Path>, out: &Output) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let request = v1::ListDrawPeriodsRequest {};
    let periods = session.operator().list_draw_periods(request).await?.into_inner().periods;
    let (mut rows, mut lines, mut good) = (Vec::new(), Vec::new(), true);
    for period in &periods {
        let core = period.core.clone().unwrap_or_default();
        let (word, detail) = match <PeriodKey>::try_from(period.key.as_slice()) {
            Err(_) => ("not over", "its key is shown when it is".to_owned()),
            Ok(key) => {
                let found = check(&session, period, &core, &key).await?;
                good &= found.problem.is_none() && found.wrong.is_empty();
                let (word, mut detail) = verdict(&found);
                if period.logged_ms > core.from_ms {
                    detail.push_str(
                        "; its digest was logged when it had begun, before its first draw",
                    );
                }
                (word, detail)
            }
        };
        let (from, until) = (instant(core.from_ms), instant(core.until_ms));
        let logged = instant(period.logged_ms);
        lines.push(json!({"from": from, "until": until, "key_digest_logged": logged,
            "verdict": word, "detail": detail}));
        rows.push(vec![from, until, logged, word.to_owned(), detail]);
    }
    out.table(&["from", "until", "digest logged", "draws", "detail"], &rows, &json!(lines));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn verdict(found: &Found) -> (&'static str, String) {
    if let Some(problem) = &found.problem {
        return ("wrong", problem.clone());
    }
    match found.wrong.as_slice() {
        [] => (
            "right",
            format!("{} decisions, each with the draw that the key gives", found.decisions),
        ),
        wrong => {
            let cases: Vec<&str> = wrong.iter().map(|d| d.case_id.as_str()).take(10).collect();
            (
                "wrong",
                format!("{} of {} decisions: {}", wrong.len(), found.decisions, cases.join(", ")),
            )
        }
    }
}

async fn check(
    session: &Session,
    period: &v1::DrawPeriod,
    core: &v1::DrawKeyCore,
    key: &PeriodKey,
) -> Result<Found, CliError> {
    let mut found = Found { decisions: 0, wrong: Vec::new(), problem: logged(period, core, key)? };
    let mut page_token = String::new();
    loop {
        let request = v1::ListDrawsRequest { from_ms: core.from_ms, page_token };
        let page = session.operator().list_draws(request).await?.into_inner();
        for drawn in page.draws {
            found.decisions += 1;
            let filing = Hash::from_slice(&drawn.filing);
            if filing.is_none_or(|f| draw(key, &f) != drawn.draw) {
                found.wrong.push(drawn);
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

/// What is wrong with the statement that holds the key's digest: the receipt proves what it says and when it was logged.
fn logged(
    period: &v1::DrawPeriod,
    core: &v1::DrawKeyCore,
    key: &PeriodKey,
) -> Result<Option<String>, CliError> {
    let receipt = Receipt::parse(&period.receipt)?;
    receipt.verify(&Chain::verify_file(&period.descriptors)?.receipt_trust())?;
    let blob = receipt.parts.iter().find(|(name, _)| name == "core").map(|(_, blob)| blob);
    let said = blob.and_then(|b| open_part("core", b).ok());
    let said = said.and_then(|c| v1::DrawKeyCore::decode(c).ok()).unwrap_or_default();
    Ok(if said != *core {
        Some("the receipt is of another period".to_owned())
    } else if said.digest != key_digest(key).0 {
        Some("the key is not the one whose digest was logged".to_owned())
    } else if period.logged_ms >= core.until_ms {
        Some("the digest was logged after the period".to_owned())
    } else {
        None
    })
}
