//! `ewtp demo`: three hubs on this machine play a story from filing to proof.
//!
//! The demo has only the public API and process signals; what it counts, it counts by its own ledger of acknowledgements.

pub(crate) mod filings;
mod life;
pub(crate) mod stage;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use crate::args::Demo;
use crate::error::CliError;
use crate::output::Output;
use crate::session::block_on;

/// What the demo saw, by its own count.
#[derive(Default)]
pub(crate) struct Score {
    pub(crate) filed: usize,
    pub(crate) cleared: usize,
    pub(crate) do_not_load: usize,
    pub(crate) info_requests: u32,
    pub(crate) pages_verified: u64,
    pub(crate) restarts: u32,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) receipts_verified: u32,
    pub(crate) conditional: u32,
    pub(crate) adopted: u32,
    pub(crate) released: u32,
    pub(crate) amended: u32,
    pub(crate) invalidated: u32,
    pub(crate) not_connected: u32,
}

pub(crate) fn run(command: &Demo, out: &Output) -> Result<ExitCode, CliError> {
    let started = Instant::now();
    let temporary = tempfile::Builder::new()
        .prefix("ewtp-demo-")
        .tempdir()
        .map_err(CliError::io(Path::new("/tmp")))?;
    let dir: PathBuf = command.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir).map_err(CliError::io(&dir))?;
    let mut stage = stage::Stage::build(&dir, out)?;
    let mut score = Score::default();
    let played = block_on(async {
        let receipts = story::play(&mut stage, &mut score, command.backlog, out).await?;
        life::play(&stage, &mut score, out).await?;
        Ok(receipts)
    });
    let ended = played.and_then(|receipts| {
        stage.stop_all(out)?;
        story::verify_offline(&stage, &receipts, &mut score, out)
    });
    if command.keep {
        stage.how_to_go_on(out);
        if command.dir.is_none() {
            let _kept = temporary.keep();
        }
    }
    ended?;
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    out.say(&format!("\nDone in {:.1} s.", started.elapsed().as_secs_f32()));
    if out.is_json() {
        out.json_line(&json!({
            "filed": score.filed,
            "decided": {
                "cleared": score.cleared,
                "do_not_load": score.do_not_load,
                "conditional": score.conditional,
            },
            "info_requests": score.info_requests,
            "pages_verified": score.pages_verified,
            "restarts": score.restarts,
            "lost": score.lost,
            "doubled": score.doubled,
            "receipts_verified": score.receipts_verified,
            "adopted": score.adopted,
            "released": score.released,
            "amended": score.amended,
            "invalidated": score.invalidated,
            "not_connected": score.not_connected,
            "elapsed_ms": elapsed_ms,
        }));
    }
    let good = score.lost == 0 && score.doubled == 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
