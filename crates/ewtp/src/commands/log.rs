//! `ewtp log`: what a hub says of its own log, and what strangers check.

mod audit;
mod follow;
mod keys;
mod source;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;

use ewtp_log::Checkpoint;
use ewtp_proto::v1;
use serde_json::json;

use crate::args_log::LogCommand;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};
use keys::Keys;

pub(crate) fn run(
    command: &LogCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        LogCommand::Head => block_on(async {
            let session = Session::open(profile.as_deref()).await?;
            let head = session
                .operator()
                .get_head(v1::OperatorServiceGetHeadRequest {})
                .await?
                .into_inner();
            let note = String::from_utf8_lossy(&head.checkpoint).into_owned();
            if out.is_json() {
                let parsed = Checkpoint::parse_note(&head.checkpoint);
                let size = parsed.as_ref().map(|(c, _)| c.size.0).unwrap_or_default();
                out.json_line(&json!({"size": size, "checkpoint": note}));
            } else {
                out.data(&note);
            }
            Ok(ExitCode::SUCCESS)
        }),
        LogCommand::Audit { log, keys, state, parallel } => {
            audit::audit(log, &Keys::of(keys)?, state.as_deref(), *parallel, out)
        }
        LogCommand::Mirror { log, dir, keys, parallel } => {
            audit::mirror(log, dir, &Keys::of(keys)?, *parallel, out)
        }
        LogCommand::Tail { log, keys, every, entries, looks } => {
            follow::tail(log, &Keys::of(keys)?, *every, *entries, *looks, out)
        }
        LogCommand::Consistency { a, b, keys, evidence } => {
            follow::consistency(a, b, &Keys::of(keys)?, evidence.as_deref(), out)
        }
    }
}
