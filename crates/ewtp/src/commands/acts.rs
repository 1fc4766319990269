//! `ewtp adopt`, `invalidate`, `event`, `mandate`: what traders, importers and carriers do beside filing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_proto::v1;
use serde_json::json;

use crate::args_acts::{Adopt, EventArg, MandateCommand, ReportedEvent, Withdraw};
use crate::commands::case;
use crate::commands::declare::{read_document, show_accepted, show_refused};
use crate::commands::desk::key_or_new;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

/// Tells where an act stands, or why it was refused.
pub(crate) fn told(
    what: &str,
    logged: Option<&v1::StatementRef>,
    refused: Option<&v1::Refused>,
    out: &Output,
) -> ExitCode {
    match (logged, refused) {
        (Some(at), _) => {
            let commitment = Hash::from_slice(&at.commitment).map(Hash::to_hex).unwrap_or_default();
            let facts = [
                (what, format!("logged at {} as entry {}", at.hub, at.log_index)),
                ("commitment", commitment.clone()),
            ];
            let json = json!({"hub": at.hub, "log_index": at.log_index, "commitment": commitment});
            out.facts(&facts, &json);
            ExitCode::SUCCESS
        }
        (None, Some(refused)) => {
            if out.is_json() {
                out.json_line(&json!({"refused": refused}));
            } else {
                out.say(&format!("{what}: refused"));
                for violation in &refused.violations {
                    out.say(&format!("  {}", ewtp_trade::finding::line(violation)));
                }
            }
            ExitCode::from(1)
        }
        (None, None) => ExitCode::from(4),
    }
}

/// The same for a response whose `oneof` is `logged` or `refused`.
macro_rules! tell {
    ($what:expr, $response:expr, $outcome:path, $out:expr) => {{
        use $outcome as Outcome;
        match $response.into_inner().result {
            Some(Outcome::Logged(at)) => $crate::commands::acts::told($what, Some(&at), None, $out),
            Some(Outcome::Refused(no)) => {
                $crate::commands::acts::told($what, None, Some(&no), $out)
            }
            None => $crate::commands::acts::told($what, None, None, $out),
        }
    }};
}
pub(crate) use tell;

fn filings(case: &v1::Case, kind: Option<v1::FilingType>) -> impl Iterator<Item = v1::FilingCore> {
    let cores = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.clone());
    cores.filter(move |c| kind.is_none_or(|k| c.r#type() == k))
}

/// The one filing that is meant: by its id, else by the LRN under which the case was named.
fn the_filing(
    case: &v1::Case,
    called: &str,
    named: Option<&String>,
    kind: Option<v1::FilingType>,
) -> Result<v1::FilingCore, CliError> {
    let mut all: Vec<v1::FilingCore> =
        filings(case, kind).filter(|c| named.is_none_or(|n| *n == c.filing_id)).collect();
    if all.iter().any(|c| c.lrn == called) {
        all.retain(|c| c.lrn == called);
    }
    match all.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(CliError::usage("--filing", "the case has no such filing", "ewtp case show")),
        _ => {
            let one = |c: &v1::FilingCore| format!("{} ({})", c.filing_id, c.lrn);
            let ids: Vec<String> = all.iter().map(one).collect();
            let hint = format!("name one of them with --filing: {}", ids.join(", "));
            Err(CliError::usage("--filing", "the case has several filings", &hint))
        }
    }
}

pub(crate) fn adopt(
    command: &Adopt,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    use v1::adopt_response::Result as Outcome;
    let document = command.document.as_deref().map(read_document).transpose()?;
    block_on(async {
        let session = Session::open(profile.as_deref()).await?;
        let (case_id, filing_id, version) = adopted(&session, command).await?;
        let mut filing = document.unwrap_or_default();
        let core = filing.core.get_or_insert_default();
        core.lrn.clone_from(&command.lrn);
        core.declarant_id.clone_from(&command.declarant);
        let request = v1::AdoptRequest {
            case_id,
            filing_id,
            filing_version: version,
            one_time_code: command.code.clone().unwrap_or_default(),
            filing: Some(filing),
        };
        match session.trade().adopt(request).await?.into_inner().result {
            Some(Outcome::Accepted(accepted)) => {
                show_accepted("import", &command.lrn, &accepted, out);
                if out.is_json() {
                    out.json_line(&json!({"accepted": accepted}));
                }
                Ok(ExitCode::SUCCESS)
            }
            Some(Outcome::Refused(refused)) => {
                show_refused("import", &command.lrn, &refused, out);
                if out.is_json() {
                    out.json_line(&json!({"refused": refused}));
                }
                Ok(ExitCode::from(1))
            }
            None => Ok(ExitCode::from(4)),
        }
    })
}

/// What is adopted: named by hand where the code is all that one has, else looked up in the case.
async fn adopted(session: &Session, command: &Adopt) -> Result<(String, String, u32), CliError> {
    if let (Some(_), Some(filing), Some(version)) =
        (&command.code, &command.filing, command.version)
    {
        return Ok((command.case.clone(), filing.clone(), version));
    }
    let case = case::find(session, &command.case).await.map_err(|e| match command.code {
        None => e,
        Some(_) => CliError::usage(
            &command.case,
            "you don't see this case yet",
            "with --code give the case id, --filing and --version as the exporter passed them on",
        ),
    })?;
    let core =
        the_filing(&case, &command.case, command.filing.as_ref(), Some(v1::FilingType::Advance))?;
    Ok((case.case_id, core.filing_id, command.version.unwrap_or(core.version)))
}

pub(crate) fn withdraw(
    command: &Withdraw,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    block_on(async {
        let session = Session::open(profile.as_deref()).await?;
        let case = case::find(&session, &command.case).await?;
        let core = the_filing(&case, &command.case, command.filing.as_ref(), None)?;
        let request = v1::InvalidateRequest {
            case_id: case.case_id,
            filing_id: core.filing_id,
            reason: command.reason.clone(),
        };
        let response = session.trade().invalidate(request).await?;
        Ok(tell!("invalidation", response, v1::invalidate_response::Result, out))
    })
}

pub(crate) const fn event_code(what: EventArg) -> v1::EventCode {
    match what {
        EventArg::Departed => v1::EventCode::Departed,
        EventArg::Incident => v1::EventCode::Incident,
        EventArg::Arrived => v1::EventCode::Arrived,
        EventArg::Presented => v1::EventCode::Presented,
        EventArg::Inspected => v1::EventCode::Inspected,
        EventArg::Held => v1::EventCode::Held,
        EventArg::Released => v1::EventCode::Released,
        EventArg::Detained => v1::EventCode::Detained,
        EventArg::Seized => v1::EventCode::Seized,
        EventArg::Exited => v1::EventCode::Exited,
        EventArg::Returned => v1::EventCode::Returned,
        EventArg::Destroyed => v1::EventCode::Destroyed,
        EventArg::SealsChecked => v1::EventCode::SealsChecked,
        EventArg::Resealed => v1::EventCode::Resealed,
        EventArg::GuaranteeReleased => v1::EventCode::GuaranteeReleased,
    }
}

/// One case by its id or LRN, or a selector of many as `conveyance=KL566/2026-11-30`.
pub(crate) async fn one_or_many(
    session: &Session,
    named: &str,
) -> Result<(String, Option<v1::EventSelector>), CliError> {
    use v1::event_selector::By;
    let by = match named.split_once('=') {
        None => return Ok((case::find(session, named).await?.case_id, None)),
        Some(("conveyance", id)) => By::Conveyance(id.to_owned()),
        Some(("document", id)) => By::TransportDocument(id.to_owned()),
        Some(("receptacle", id)) => By::Receptacle(id.to_owned()),
        Some(("container", id)) => By::Container(id.to_owned()),
        Some((other, _)) => {
            let hint = "conveyance=, document=, receptacle= or container=";
            return Err(CliError::usage(other, "selects nothing", hint));
        }
    };
    Ok((String::new(), Some(v1::EventSelector { by: Some(by) })))
}

pub(crate) fn event(
    command: &ReportedEvent,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    block_on(async {
        let session = Session::open(profile.as_deref()).await?;
        let told = &command.event;
        let (case_id, selector) = one_or_many(&session, &told.case).await?;
        let request = v1::ReportEventRequest {
            case_id,
            selector,
            code: event_code(told.what) as i32,
            time_ms: 0,
            office: told.office.clone().unwrap_or_default(),
            idempotency_key: key_or_new(command.key.as_deref())?,
        };
        let response = session.trade().report_event(request).await?;
        Ok(tell!("event", response, v1::report_event_response::Result, out))
    })
}

pub(crate) fn mandate(
    command: MandateCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    block_on(async {
        match command {
            MandateCommand::Give {
                mut principal,
                principals,
                account,
                kinds,
                from,
                until,
                zone,
            } => {
                if let Some(file) = &principals {
                    let text = std::fs::read_to_string(file).map_err(CliError::io(file))?;
                    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
                    principal.extend(lines.map(str::to_owned));
                }
                let core = v1::MandateCore {
                    principal_id: String::new(),
                    account,
                    filing_types: kinds,
                    valid_from: from,
                    valid_until: until,
                    time_zone: zone,
                    revoked: false,
                };
                give(&Session::open(profile).await?, &core, &principal, out).await
            }
            MandateCommand::Revoke { principal, account } => {
                let session = Session::open(profile).await?;
                let all = mandates(&session, &account).await?;
                let given = all.into_iter().filter_map(|m| m.core);
                let core = given.into_iter().find(|c| c.principal_id == principal);
                let hint = "list them: ewtp mandate list --account ID";
                let core =
                    core.ok_or_else(|| CliError::usage(&principal, "gave no such mandate", hint))?;
                put(&session, v1::MandateCore { revoked: true, ..core }, out).await
            }
            MandateCommand::List { account } => {
                list(profile, &account.unwrap_or_default(), out).await
            }
        }
    })
}

/// One mandate a party; what was given before a refusal stays given.
async fn give(
    session: &Session,
    core: &v1::MandateCore,
    principals: &[String],
    out: &Output,
) -> Result<ExitCode, CliError> {
    let of = |party: &String| v1::MandateCore { principal_id: party.clone(), ..core.clone() };
    if let [one] = principals {
        return put(session, of(one), out).await;
    }
    for (given, party) in principals.iter().enumerate() {
        let request = v1::PutMandateRequest { mandate: Some(of(party)) };
        let answer = session.trade().put_mandate(request).await?.into_inner().result;
        if let Some(v1::put_mandate_response::Result::Refused(refused)) = answer {
            out.note(&format!("{given} mandates were given before that of {party}"));
            return Ok(told("mandate", None, Some(&refused), out));
        }
    }
    let count = principals.len();
    out.facts(&[("mandates", count.to_string())], &json!({"mandates": count}));
    Ok(ExitCode::SUCCESS)
}

async fn put(session: &Session, core: v1::MandateCore, out: &Output) -> Result<ExitCode, CliError> {
    let request = v1::PutMandateRequest { mandate: Some(core) };
    let response = session.trade().put_mandate(request).await?;
    Ok(tell!("mandate", response, v1::put_mandate_response::Result, out))
}

async fn mandates(session: &Session, account: &str) -> Result<Vec<v1::Mandate>, CliError> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let request = v1::ListMandatesRequest {
            account: account.to_owned(),
            after: after.clone(),
            page_size: 1000,
        };
        let page = session.trade().list_mandates(request).await?.into_inner().mandates;
        let last = page.last().and_then(|m| m.core.as_ref()).map(|c| c.principal_id.clone());
        all.extend(page);
        match last {
            Some(last) => after = last,
            None => return Ok(all),
        }
    }
}

async fn list(profile: Option<&Path>, account: &str, out: &Output) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let all = mandates(&session, account).await?;
    let state = |m: &v1::Mandate| match (m.in_force, m.core.as_ref().is_some_and(|c| c.revoked)) {
        (_, true) => "revoked",
        (true, _) => "in force",
        (false, _) => "not in force today",
    };
    let row = |m: &v1::Mandate| {
        let c = m.core.clone().unwrap_or_default();
        vec![
            c.principal_id,
            c.account,
            c.filing_types.join(", "),
            format!("{} to {} ({})", c.valid_from, c.valid_until, c.time_zone),
            state(m).to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    out.table(&["party", "account", "for", "days", "state"], &rows, &json!(all));
    Ok(ExitCode::SUCCESS)
}
