//! placeholder
use std::process::ExitCode;
use crate::args::Demo;
use crate::error::CliError;
use crate::output::Output;
pub(crate) fn run(_: &Demo, _: &Output) -> Result<ExitCode, CliError> { Ok(ExitCode::SUCCESS) }
