//! `ewtp store`: works on a stopped hub's directory.

use std::path::Path;
use std::process::ExitCode;

use ewtp_hub::Config;
use ewtp_hub::init::Files;
use ewtp_hub::journal_audit::audit;
use ewtp_store::{SledStore, Store as _};
use ewtp_tls::keyfile::read_seed;
use serde_json::json;

use crate::args::StoreCommand;
use crate::commands::chain_file;
use crate::error::CliError;
use crate::output::Output;
use crate::session::block_on;

pub(crate) fn run(command: &StoreCommand, out: &Output) -> Result<ExitCode, CliError> {
    match command {
        StoreCommand::Check { dir } => check(dir, out),
        StoreCommand::Compact { dir } => compact(dir, out),
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
    let chain = chain_file::read(&files.descriptor(), None)?;
    let slot_key = read_seed(&files.slot_key()).map_err(ewtp_hub::HubError::from)?;
    let journal = block_on(async { Ok(audit(&store, &chain, &slot_key).await?) })?;
    let words = |differences: &[String]| match differences {
        [] => "the same".to_owned(),
        all => all.join("\n"),
    };
    let good = differences.is_empty() && journal.differences.is_empty();
    out.facts(
        &[
            ("journal", format!("{} frames, {} own statements", journal.frames, journal.statements)),
            ("derived again", format!("{} heads with lanes, tables, roots and signatures: {}", journal.heads, words(&journal.differences))),
            ("state", format!("{keys} keys")),
            ("rebuilt beside it", words(&differences)),
        ],
        &json!({
            "keys": keys, "differences": differences, "frames": journal.frames, "heads": journal.heads,
            "statements": journal.statements, "journal_differences": journal.differences,
        }),
    );
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn compact(dir: &Path, out: &Output) -> Result<ExitCode, CliError> {
    let (config, files, _lock) = open(dir)?;
    let store = SledStore::open(&files.store(), &config.hub)?;
    let done = block_on(async {
        let done = store.compact().await?;
        store.close().await?;
        Ok(done)
    })?;
    let (statements, segments) = (done.statements, done.segments);
    out.facts(
        &[(
            "left the disk",
            format!("parts of {statements} statements; {segments} segments written anew"),
        )],
        &json!({"statements": statements, "segments": segments}),
    );
    Ok(ExitCode::SUCCESS)
}

fn rebuild(dir: &Path, out: &Output) -> Result<ExitCode, CliError> {
    let (config, files, _lock) = open(dir)?;
    let frames = SledStore::rebuild(&files.store(), &config.hub)?;
    out.facts(&[("rebuilt from", format!("{frames} frames"))], &json!({"frames": frames}));
    Ok(ExitCode::SUCCESS)
}
