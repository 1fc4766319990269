//! `ewtp log audit` and `ewtp log mirror`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ewtp_log::Hash;
use ewtp_log::note::Verified;
use ewtp_log::tile::TileTree;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::{Keys, witnessed};
use super::source::{Source, write_whole};
use super::walk;
use crate::error::CliError;
use crate::output::Output;

/// Entries of one run.
const RUN: u64 = 1 << 20;

/// How far a check came.
#[derive(Serialize, Deserialize)]
struct State {
    origin: String,
    size: u64,
    root: String,
    levels: Vec<(u64, Vec<String>)>,
}

impl State {
    fn of(origin: &str, tree: &TileTree) -> Self {
        let hashes = |h: &Vec<Hash>| h.iter().map(|h| h.to_base64()).collect();
        let levels = tree.levels().iter().map(|(full, h)| (*full, hashes(h))).collect();
        Self { origin: origin.into(), size: tree.size(), root: tree.root().to_base64(), levels }
    }

    fn tree(&self) -> Option<TileTree> {
        let hashes = |h: &Vec<String>| -> Option<Vec<Hash>> {
            h.iter().map(|h| Hash::from_base64(h)).collect()
        };
        let levels = self.levels.iter().map(|(full, h)| Some((*full, hashes(h)?)));
        let tree = TileTree::resume(levels.collect::<Option<_>>()?)?;
        (tree.size() == self.size && tree.root().to_base64() == self.root).then_some(tree)
    }

    fn read(path: &Path) -> Result<Option<Self>, CliError> {
        let damaged = || {
            CliError::Log(format!(
                "{} is damaged; delete it, and the check starts from the first entry",
                path.display()
            ))
        };
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(CliError::io(path)(e)),
        }
    }
}

/// What a check did.
struct Checked {
    origin: String,
    size: u64,
    from: u64,
    root: Hash,
    note: String,
    verified: Verified,
    took: std::time::Duration,
}

fn check(
    source: &Source,
    keys: &Keys,
    state: Option<&Path>,
    parallel: usize,
    out: &Output,
) -> Result<Checked, CliError> {
    let started = Instant::now();
    let note = source.checkpoint()?;
    let (head, verified) = keys.open(&note)?;
    let before = state.map(State::read).transpose()?.flatten();
    let mut tree = TileTree::default();
    if let (Some(before), Some(path)) = (before, state) {
        if before.origin != head.origin {
            let problem = format!("{} is of {}", path.display(), before.origin);
            return Err(CliError::usage("--state", problem, "one file for each log"));
        }
        let damaged = || CliError::Log(format!("{} is damaged; delete it", path.display()));
        tree = before.tree().ok_or_else(damaged)?;
    }
    let from = tree.size();
    if from > head.size.0 {
        return Err(CliError::Log(format!(
            "the signed head of {} is older than the {from} entries checked before: entries were taken back, or an old head is shown",
            head.size
        )));
    }
    let bar = if out.is_json() { ProgressBar::hidden() } else { ProgressBar::new(head.size.0) };
    bar.set_style(style());
    bar.set_position(from);
    let mut saved = Instant::now();
    let save_at = |tree: &TileTree| match state {
        Some(path) => save(path, &head.origin, tree),
        None => Ok(()),
    };
    // In runs, so that a check that is interrupted goes on near where it stopped.
    while head.size.0 - tree.size() > RUN {
        let goal = tree.size() + RUN;
        walk::grow_to(source, &mut tree, goal, &head, parallel, |at| bar.set_position(at))?;
        if saved.elapsed().as_secs() >= 10 {
            save_at(&tree)?;
            saved = Instant::now();
        }
    }
    walk::grow(source, &mut tree, &head, parallel, |at| bar.set_position(at))?;
    save_at(&tree)?;
    bar.finish_and_clear();
    let took = started.elapsed();
    let (origin, size, root) = (head.origin, head.size.0, head.root);
    Ok(Checked { origin, size, from, root, note, verified, took })
}

fn save(path: &Path, origin: &str, tree: &TileTree) -> Result<(), CliError> {
    let text = serde_json::to_vec(&State::of(origin, tree)).unwrap_or_default();
    Ok(write_whole(path, &text)?)
}

fn style() -> ProgressStyle {
    let form = "{bar:30} {human_pos}/{human_len} entries, {per_sec}, {eta} left";
    ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn report(checked: &Checked, out: &Output, more: &[(&str, String)]) -> ExitCode {
    let new = checked.size - checked.from;
    let rate = new as f64 / checked.took.as_secs_f64().max(0.001);
    let mut facts = vec![
        ("verified", checked.origin.clone()),
        (
            "entries",
            match checked.from {
                0 => format!("{}, all of them", checked.size),
                from => format!("{}, of which {from} were checked before", checked.size),
            },
        ),
        ("root", checked.root.to_base64()),
        (
            "signed by",
            checked.verified.log_keys.iter().map(|k| k.to_text()).collect::<Vec<_>>().join(", "),
        ),
        ("cosigned", witnessed(&checked.verified)),
        ("took", format!("{:.2} s, {rate:.0} entries/s", checked.took.as_secs_f64())),
    ];
    facts.extend(more.iter().map(|(k, v)| (*k, v.clone())));
    let json = json!({
        "verified": true, "origin": checked.origin, "size": checked.size, "checked_before": checked.from,
        "root": checked.root.to_base64(), "witnesses": checked.verified.witnesses.iter().map(|(k, t)| json!({"name": k.name(), "time": t})).collect::<Vec<_>>(),
        "seconds": checked.took.as_secs_f64(),
    });
    out.facts(&facts, &json);
    ExitCode::SUCCESS
}

pub(crate) fn audit(
    log: &str,
    keys: &Keys,
    state: Option<&Path>,
    parallel: usize,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let checked = check(&Source::parse(log), keys, state, parallel, out)?;
    Ok(report(&checked, out, &[]))
}

pub(crate) fn mirror(
    log: &str,
    dir: &Path,
    keys: &Keys,
    parallel: usize,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let source = Source::mirror(Source::parse(log), dir);
    let state: PathBuf = dir.join(".ewtp-mirror.json");
    let checked = check(&source, keys, Some(&state), parallel, out)?;
    // The checkpoint comes last: what it promises is there.
    write_whole(&dir.join("checkpoint"), checked.note.as_bytes())?;
    Ok(report(&checked, out, &[("mirror", dir.display().to_string())]))
}
