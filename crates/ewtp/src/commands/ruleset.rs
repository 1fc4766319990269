//! `ewtp ruleset`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_proto::v1;
use serde_json::json;

use crate::args::RulesetCommand;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: RulesetCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    block_on(async {
        match command {
            RulesetCommand::Publish { file, draft } => publish(profile, &file, draft, out).await,
            RulesetCommand::List => list(profile, out).await,
            RulesetCommand::Show { name, version } => show(profile, name, version, out).await,
        }
    })
}

fn hex(digest: &[u8]) -> String {
    Hash::from_slice(digest).map(Hash::to_hex).unwrap_or_default()
}

async fn publish(
    profile: Option<&Path>,
    file: &Path,
    draft_id: String,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let text = std::fs::read_to_string(file).map_err(CliError::io(file))?;
    let session = Session::open(profile).await?;
    let response = session
        .operator()
        .publish_ruleset(v1::PublishRulesetRequest { text, draft_id })
        .await?
        .into_inner();
    let Some(ruleset) = response.ruleset else {
        if out.is_json() {
            out.json_line(&json!({"violations": response.violations}));
        }
        for v in &response.violations {
            out.note(&format!(
                "{}
  is: {}
  allowed: {}",
                v.path, v.value, v.allowed
            ));
        }
        out.note(&format!("{}: not published", file.display()));
        return Ok(ExitCode::from(1));
    };
    let kind = if ruleset.confidential { "confidential" } else { "public" };
    let facts = [
        ("published", format!("{} version {} ({kind})", ruleset.name, ruleset.version)),
        ("digest", hex(&ruleset.digest)),
    ];
    out.facts(
        &facts,
        &json!({"name": ruleset.name, "version": ruleset.version, "digest": hex(&ruleset.digest)}),
    );
    Ok(ExitCode::SUCCESS)
}

async fn list(profile: Option<&Path>, out: &Output) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let all =
        session.operator().list_rulesets(v1::ListRulesetsRequest {}).await?.into_inner().rulesets;
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for r in &all {
        let kind = if r.confidential { "confidential" } else { "public" };
        rows.push(vec![
            r.name.clone(),
            r.version.to_string(),
            kind.into(),
            r.valid_from.clone(),
            r.time_zone.clone(),
            hex(&r.digest),
        ]);
        lines.push(json!({"name": r.name, "version": r.version, "visibility": kind, "valid_from": r.valid_from,
            "time_zone": r.time_zone, "digest": hex(&r.digest)}));
    }
    out.table(
        &["ruleset", "version", "visibility", "valid from", "zone", "digest"],
        &rows,
        &json!(lines),
    );
    Ok(ExitCode::SUCCESS)
}

async fn show(
    profile: Option<&Path>,
    name: String,
    version: u32,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let r = session
        .trade()
        .get_ruleset(v1::GetRulesetRequest { name: name.clone(), version, ..Default::default() })
        .await?
        .into_inner();
    if out.is_json() {
        out.json_line(
            &json!({"name": name, "version": r.version, "digest": hex(&r.digest), "text": r.text}),
        );
    } else {
        out.data(&r.text);
    }
    Ok(ExitCode::SUCCESS)
}
