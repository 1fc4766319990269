//! `ewtp hub rotate` and `ewtp hub witnesses`: new descriptors, signed with the root key.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_hub::Config;
use ewtp_hub::clock::{Clock as _, SystemClock};
use ewtp_hub::rotate::Rotation;
use ewtp_log::note::{KeyKind, VerifierKey};
use ewtp_proto::v1;
use serde_json::json;

use crate::args_log::{RotatedKey, SignArgs};
use crate::commands::{chain_file, hub};
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

fn open(sign: &SignArgs) -> Result<Rotation, CliError> {
    let config = Config::load(&sign.dir.join("hub.toml")).map_err(ewtp_hub::HubError::from)?;
    let passphrase = hub::known_passphrase(sign.passphrase_file.as_deref())?;
    let now = SystemClock.now_ms();
    Ok(Rotation::open(&config.data_dir, sign.root_key.as_deref(), &passphrase, now)?)
}

pub(crate) fn rotate(
    key: RotatedKey,
    finish: bool,
    names: &[String],
    sign: &SignArgs,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let mut rotation = open(sign)?;
    let next = match (key, finish) {
        (RotatedKey::Log, false) => {
            let key = rotation.log()?;
            format!(
                "{} signs beside the old key; end it with: ewtp hub rotate log --finish",
                key.to_text()
            )
        }
        (RotatedKey::Log, true) => {
            let closing = block_on(closing_head(profile))?;
            let key = rotation.finish_log(&closing)?;
            format!("{} is retired", key.to_text())
        }
        (RotatedKey::Witness, false) => {
            let key = rotation.witness()?;
            format!("{} cosigns; tell the hubs that name this witness", key.to_text())
        }
        (RotatedKey::Tls, false) => {
            let names =
                if names.is_empty() { vec!["localhost".to_owned()] } else { names.to_vec() };
            rotation.tls(&names)?;
            "both keys are pinned; when all peers have heard of it: ewtp hub rotate tls --finish"
                .into()
        }
        (RotatedKey::Tls, true) => {
            rotation.finish_tls()?;
            "restart the daemon: it shows the new key from its next start on".into()
        }
        (RotatedKey::Root, false) => {
            rotation.root()?;
            "the new root key is in the old one's place; move it offline".into()
        }
        (RotatedKey::Witness | RotatedKey::Root, true) => {
            let hint = "log and tls keys overlap; witness and root keys change at once";
            return Err(CliError::usage("--finish", "nothing to finish", hint));
        }
    };
    report(&rotation, &next, out)
}

pub(crate) fn witnesses(
    named: &[String],
    sign: &SignArgs,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let keys: Vec<VerifierKey> = named.iter().map(|n| witness_key(n)).collect::<Result<_, _>>()?;
    let mut rotation = open(sign)?;
    rotation.witnesses(&keys)?;
    let names: Vec<&str> = keys.iter().map(VerifierKey::name).collect();
    let text = if names.is_empty() { "none".into() } else { names.join(", ") };
    report(&rotation, &format!("witnesses: {text}"), out)
}

/// A verifier key, or the descriptor file of a hub.
fn witness_key(text: &str) -> Result<VerifierKey, CliError> {
    let path = PathBuf::from(text);
    if path.is_file() {
        let chain = chain_file::read(&path, None)?;
        let hint = "its operator makes one: ewtp hub rotate witness";
        let key = chain.newest().witness.clone();
        return key.ok_or_else(|| CliError::usage(text, "this hub has no witness key", hint));
    }
    let hint = "a witness's verifier key, or the descriptor file of a hub";
    let key = VerifierKey::parse(text).map_err(|e| CliError::usage(text, e.to_string(), hint))?;
    if key.kind() == KeyKind::Witness {
        return Ok(key);
    }
    Err(CliError::usage(text, "the key of a log, not of a witness", hint))
}

/// The head that a key is retired at: cosigned, if the hub has one.
async fn closing_head(profile: Option<&Path>) -> Result<String, CliError> {
    let session = Session::open(profile).await?;
    let head =
        session.operator().get_head(v1::OperatorServiceGetHeadRequest {}).await?.into_inner();
    let note = if head.cosigned.is_empty() { head.checkpoint } else { head.cosigned };
    Ok(String::from_utf8_lossy(&note).into_owned())
}

fn report(rotation: &Rotation, next: &str, out: &Output) -> Result<ExitCode, CliError> {
    let version = rotation.chain().newest().version;
    out.facts(
        &[
            ("descriptor", format!("version {version}; a running daemon takes it within seconds")),
            ("fingerprint", format!("{} (unchanged)", rotation.chain().fingerprint().to_hex())),
            ("next", next.to_owned()),
        ],
        &json!({"version": version, "next": next}),
    );
    Ok(ExitCode::SUCCESS)
}
