//! `ewtp log tail` and `ewtp log consistency`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ewtp_log::Checkpoint;
use ewtp_log::evidence::Evidence;
use ewtp_log::hash::leaf_hash;
use ewtp_log::tile::{TILE_WIDTH, TileKind, TilePath, open_bundle, width_at};
use serde_json::json;

use super::keys::{Keys, witnessed};
use super::source::Source;
use super::walk;
use crate::error::CliError;
use crate::output::Output;

/// Follows a log from its head of now.
pub(crate) fn tail(
    log: &str,
    keys: &Keys,
    every: u64,
    entries: bool,
    looks: u64,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let source = Source::parse(log);
    let (mut head, verified) = keys.open(&source.checkpoint()?)?;
    let mut tree = walk::edge(&source, &head)?;
    say(&head, 0, &witnessed(&verified), out);
    let mut look = 1;
    while looks == 0 || look < looks {
        std::thread::sleep(Duration::from_secs(every));
        look += 1;
        // A server that is away is waited for; what it says when it is back has to fit.
        let note = match source.checkpoint() {
            Ok(note) => note,
            Err(error) => {
                out.note(&format!("{error}; trying again"));
                continue;
            }
        };
        let (next, verified) = keys.open(&note)?;
        if next.origin != head.origin || next.size < head.size {
            return Err(CliError::Log(format!(
                "the head went back from {} to {}",
                head.size, next.size
            )));
        }
        if next.size == head.size {
            if next.root != head.root {
                return Err(CliError::Log(format!(
                    "two signed roots of size {}: a split view",
                    next.size
                )));
            }
            continue;
        }
        let before = head.size.0;
        walk::grow(&source, &mut tree, &next, 4, |_| ())?;
        say(&next, next.size.0 - before, &witnessed(&verified), out);
        if entries {
            print_entries(&source, before, next.size.0, out)?;
        }
        head = next;
    }
    Ok(ExitCode::SUCCESS)
}

fn say(head: &Checkpoint, new: u64, witnessed: &str, out: &Output) {
    if out.is_json() {
        out.json_line(&json!({"origin": head.origin, "size": head.size.0, "root": head.root.to_base64(), "new": new}));
    } else {
        out.data(&format!("{}  +{new}  {}  cosigned {witnessed}\n", head.size, head.root));
    }
}

fn print_entries(source: &Source, from: u64, to: u64, out: &Output) -> Result<(), CliError> {
    for index in from / TILE_WIDTH..to.div_ceil(TILE_WIDTH) {
        let width = width_at(TileKind::Entries, index, to);
        let bytes = source.tile(TilePath { kind: TileKind::Entries, index, width })?;
        for (at, entry) in (index * TILE_WIDTH..).zip(open_bundle(&bytes).unwrap_or_default()) {
            if at < from {
                continue;
            }
            if out.is_json() {
                out.json_line(&json!({"index": at, "entry": ewtp_log::base64::encode(entry), "leaf": leaf_hash(entry).to_base64()}));
            } else {
                out.data(&format!("  {at}  {}\n", ewtp_log::base64::encode(entry)));
            }
        }
    }
    Ok(())
}

/// One of the two heads, and where its tiles are if it is more than a file.
fn side(text: &str) -> Result<(String, Option<Source>), CliError> {
    let path = Path::new(text);
    if path.is_file() {
        return Ok((std::fs::read_to_string(path).map_err(CliError::io(path))?, None));
    }
    let source = Source::parse(text);
    Ok((source.checkpoint()?, Some(source)))
}

pub(crate) fn consistency(
    a: &str,
    b: &str,
    keys: &Keys,
    evidence: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let (first, second) = (side(a)?, side(b)?);
    let ((x, _), (y, _)) = (keys.open(&first.0)?, keys.open(&second.0)?);
    if x.origin != y.origin {
        return Err(CliError::Log(format!("{} and {} are two logs", x.origin, y.origin)));
    }
    let (small, large, tiles) =
        if x.size <= y.size { (&x, &y, second.1) } else { (&y, &x, first.1) };
    let consistent = if small.size == large.size {
        small.root == large.root
    } else {
        let tiles = tiles.ok_or_else(|| {
            CliError::usage(
                "the larger head",
                "its tiles are needed",
                "name a URL or directory instead of the file",
            )
        })?;
        // Both roots from one set of tiles: the smaller tree is then a part of the larger one.
        walk::root_at(&tiles, large.size.0, large.size.0)? == large.root
            && walk::root_at(&tiles, small.size.0, large.size.0)? == small.root
    };
    let verdict = match (consistent, small.size == large.size) {
        (true, true) => "the same head".to_owned(),
        (true, false) => format!("the log of {} extends the log of {}", large.size, small.size),
        (false, true) => format!("SPLIT VIEW: two signed roots of size {}", small.size),
        (false, false) => format!(
            "NOT PROVEN: the head of {} is no part of the tiles of the head of {}",
            small.size, large.size
        ),
    };
    out.facts(
        &[("log", x.origin.clone()), ("sizes", format!("{} and {}", x.size, y.size)), ("verdict", verdict.clone())],
        &json!({"origin": x.origin, "sizes": [x.size.0, y.size.0], "consistent": consistent, "verdict": verdict}),
    );
    if consistent {
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(path), true) = (evidence, small.size == large.size) {
        let hint = "evidence names the hub: give its --descriptor";
        let hub = keys
            .hub()
            .ok_or_else(|| CliError::usage("--evidence", "which hub is it against?", hint))?;
        let origin = x.origin.parse().map_err(|e| CliError::Log(format!("origin: {e}")))?;
        let text = Evidence::split(hub, &origin, &first.0, &second.0).to_text();
        std::fs::write(path, text).map_err(CliError::io(path))?;
        out.note(&format!("evidence written to {}", path.display()));
    }
    Ok(ExitCode::from(1))
}
