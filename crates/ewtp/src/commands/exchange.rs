//! `ewtp desk exchange`: open work as files in a folder, and decisions as files in another, for a national system that reads and writes
//! files. It calls nothing but `DeskService`, so it is also an example of how such a system is connected (docs/agency-systems.md).
//!
//! ```text
//! FOLDER/out/WORK.json       work that waits for an officer, with its case; gone once it is done
//! FOLDER/in/NAME.json        a decision, as DecideRequest in JSON; written elsewhere first and moved here
//! FOLDER/done/NAME.json      what became of it: where it stands
//! FOLDER/refused/NAME.json   why it was not said: every violation
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ewtp_log::hash::sha256;
use ewtp_proto::v1;
use serde_json::json;
use v1::decide_response::Result as Outcome;

use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

struct Folder {
    out: PathBuf,
    inbox: PathBuf,
    done: PathBuf,
    refused: PathBuf,
}

impl Folder {
    fn at(path: &Path) -> Result<Self, CliError> {
        let folder = Self {
            out: path.join("out"),
            inbox: path.join("in"),
            done: path.join("done"),
            refused: path.join("refused"),
        };
        for dir in [&folder.out, &folder.inbox, &folder.done, &folder.refused] {
            fs::create_dir_all(dir).map_err(CliError::io(dir))?;
        }
        Ok(folder)
    }
}

/// Exchanges once, or again and again.
pub(crate) async fn run(
    profile: Option<&Path>,
    path: &Path,
    every_s: Option<u64>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let folder = Folder::at(path)?;
    let session = Session::open(profile).await?;
    let mut given = BTreeMap::new();
    loop {
        let round = async {
            let (said, refused) = take(&session, &folder).await?;
            Ok::<_, CliError>((said, refused, give(&session, &folder, &mut given).await?))
        };
        let (said, refused, waiting) = match (round.await, every_s) {
            (Ok(counts), _) => counts,
            (Err(error), None) => return Err(error),
            // A hub that is away for a while comes back.
            (Err(error), Some(_)) => {
                out.error(&error);
                (0, 0, 0)
            }
        };
        if said + refused > 0 || every_s.is_none() {
            let facts = [
                ("said", said.to_string()),
                ("refused", refused.to_string()),
                ("waiting", waiting.to_string()),
            ];
            out.facts(&facts, &json!({"said": said, "refused": refused, "waiting": waiting}));
        }
        let Some(every) = every_s else { return Ok(ExitCode::SUCCESS) };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(Duration::from_secs(every.max(1))) => {}
        }
    }
}

/// Says the decisions that lie there; how many were said and refused. A file stays until its answer is written: after a crash it is said
/// again under the same key, which has no second effect.
async fn take(session: &Session, folder: &Folder) -> Result<(usize, usize), CliError> {
    let (mut said, mut refused) = (0, 0);
    for path in json_files(&folder.inbox)? {
        let name = path.file_name().unwrap_or_default().to_owned();
        let text = fs::read(&path).map_err(CliError::io(&path))?;
        let (answer, is_said) = match serde_json::from_slice::<v1::DecideRequest>(&text) {
            Err(error) => (json!({"not_read": error.to_string()}), false),
            Ok(mut request) => {
                if request.idempotency_key.is_empty() {
                    request.idempotency_key = key(&path, &text)?;
                }
                match session.desk().decide(request).await?.into_inner().result {
                    Some(Outcome::Logged(at)) => (json!({"logged": at}), true),
                    Some(Outcome::Proposed(proposed)) => (json!({"proposed": proposed}), true),
                    Some(Outcome::Refused(no)) => (json!({"violations": no.violations}), false),
                    None => (json!({"violations": []}), false),
                }
            }
        };
        let asked = String::from_utf8_lossy(&text).into_owned();
        let answer = match is_said {
            true => answer,
            false => json!({"asked": asked, "answer": answer}),
        };
        let to = if is_said { &folder.done } else { &folder.refused };
        write_whole(&to.join(&name), &answer)?;
        fs::remove_file(&path).map_err(CliError::io(&path))?;
        if is_said { said += 1 } else { refused += 1 }
    }
    Ok((said, refused))
}

/// Key of a file: the same after a crash, another one for the next file of the same words.
fn key(path: &Path, text: &[u8]) -> Result<String, CliError> {
    let modified = fs::metadata(path).and_then(|m| m.modified()).map_err(CliError::io(path))?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let name = path.as_os_str().as_encoded_bytes();
    Ok(sha256(&[text, b"\n", name, b"\n", &since.as_nanos().to_be_bytes()]).to_hex())
}

/// Writes what waits for an officer anew where its case moved, and removes what doesn't any more; how many wait.
async fn give(
    session: &Session,
    folder: &Folder,
    given: &mut BTreeMap<PathBuf, u64>,
) -> Result<usize, CliError> {
    let mut open = BTreeSet::new();
    let mut request =
        v1::ListInboxRequest { officers_only: true, page_size: 1000, ..Default::default() };
    loop {
        let page = session.desk().list_inbox(request.clone()).await?.into_inner();
        for item in page.items {
            let path = folder.out.join(format!("{}.json", item.work_id.replace('/', "_")));
            open.insert(path.clone());
            let summary = page.cases.iter().find(|c| c.case_id == item.case_id);
            let revision = summary.map_or(0, |c| c.revision);
            if given.get(&path) == Some(&revision) && path.exists() {
                continue;
            }
            let asked = v1::GetCaseRequest { case_id: item.case_id.clone() };
            let case = session.trade().get_case(asked).await?.into_inner().case;
            write_whole(&path, &json!({"work": item, "case": case}))?;
            given.insert(path, revision);
        }
        if page.next.is_empty() {
            break;
        }
        request.after = page.next;
    }
    for path in json_files(&folder.out)?.into_iter().filter(|p| !open.contains(p)) {
        fs::remove_file(&path).map_err(CliError::io(&path))?;
        given.remove(&path);
    }
    Ok(open.len())
}

/// Files that are whole: writers move them here.
fn json_files(dir: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(CliError::io(dir))? {
        let path = entry.map_err(CliError::io(dir))?.path();
        if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn write_whole(path: &Path, content: &serde_json::Value) -> Result<(), CliError> {
    let next = path.with_extension("next");
    let mut file = fs::File::create(&next).map_err(CliError::io(&next))?;
    file.write_all(format!("{content:#}\n").as_bytes()).map_err(CliError::io(&next))?;
    file.sync_all().map_err(CliError::io(&next))?;
    fs::rename(&next, path).map_err(CliError::io(path))
}
