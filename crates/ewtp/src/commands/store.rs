//! `ewtp store`: works on a stopped hub's directory.

use std::path::Path;
use std::process::ExitCode;

use ewtp_hub::Config;
use ewtp_hub::init::Files;
use ewtp_store::SledStore;
use serde_json::json;

use crate::args::StoreCommand;
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(command: &StoreCommand, out: &Output) -> Result<ExitCode, CliError> {
    match command {
        StoreCommand::Check { dir } => check(dir, out),
        StoreCommand::Rebuild { dir } => rebuild(dir, out),
    }
}

/// Takes the hub's lock, so that nothing runs on the directory meanwhile.
fn open(dir: &Path) -> Result<(Config, Files, std::fs::File), CliError> {
    let config = Config::load(&dir.join("hub.toml")).map_err(ewtp_hub::HubError::from)?;
    let files = Files::new(&config.data_dir);
    let lock = ewtp_hub::hub::lock(&files)?;
    Ok((config, files, lock))
}

fn check(dir: &Path, out: &Output) -> Result<ExitCode, CliError> {
    let (config, files, _lock) = open(dir)?;
    let store = SledStore::open(&files.store(), &config.hub)?;
    let scratch = tempfile::tempdir().map_err(CliError::io(dir))?;
    let differences = store.check(scratch.path())?;
    let keys = store.keys();
    let verdict = if differences.is_empty() { "the same".into() } else { differences.join("\n") };
    out.facts(
        &[("keys", keys.to_string()), ("rebuilt beside it", verdict)],
        &json!({"keys": keys, "differences": differences}),
    );
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn rebuild(dir: &Path, out: &Output) -> Result<ExitCode, CliError> {
    let (config, files, _lock) = open(dir)?;
    let frames = SledStore::rebuild(&files.store(), &config.hub)?;
    out.facts(&[("rebuilt from", format!("{frames} frames"))], &json!({"frames": frames}));
    Ok(ExitCode::SUCCESS)
}
