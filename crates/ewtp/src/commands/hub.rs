//! `ewtp hub`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_hub::clock::{Clock as _, SystemClock};
use ewtp_hub::init::{Files, InitOptions, init};
use ewtp_log::Hash;
use ewtp_log::note::VerifierKey;
use ewtp_proto::v1;
use ewtp_trade::route::{COMPETENCES, CUSTOMS};
use ewtp_trust::Chain;
use ewtp_trust::descriptor::{Environment, LogKey};
use serde_json::json;

use crate::args::{HubCommand, HubInit};
use crate::commands::rotate;
use crate::error::CliError;
use crate::output::Output;
use crate::profile::Profile;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: HubCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    match command {
        HubCommand::Init(args) => init_command(&args, out),
        HubCommand::Run { config, check } => {
            ewtp_hub::run_daemon(&config, check)?;
            if check {
                out.note(&format!("{}: configuration and keys are good", config.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
        HubCommand::Descriptor { dir } => descriptor(&dir, out),
        HubCommand::Rotate { key, finish, names, sign } => {
            rotate::rotate(key, finish, &names, &sign, profile.as_deref(), out)
        }
        HubCommand::Witnesses { witnesses, sign } => rotate::witnesses(&witnesses, &sign, out),
        HubCommand::Status => block_on(status(profile.as_deref(), out)),
    }
}

/// The passphrase that a key has already.
pub(crate) fn known_passphrase(file: Option<&Path>) -> Result<String, CliError> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path).map_err(CliError::io(path))?,
        None => asked("passphrase of the root key: ")?,
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn asked(prompt: &str) -> Result<String, CliError> {
    rpassword::prompt_password(prompt).map_err(|e| {
        let problem = format!("there is no terminal to ask for it: {e}");
        CliError::usage("passphrase", problem, "give it in a file: --passphrase-file FILE")
    })
}

/// A passphrase from a file or the terminal.
fn passphrase(file: Option<&Path>) -> Result<String, CliError> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path).map_err(CliError::io(path))?,
        None => {
            let first = asked("passphrase of the root key: ")?;
            if first != asked("again: ")? {
                return Err(CliError::usage("passphrase", "the two differ", "type it again"));
            }
            first
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.chars().count() < 8 {
        return Err(CliError::usage(
            "passphrase",
            "shorter than 8 characters",
            "use several words",
        ));
    }
    Ok(text.to_owned())
}

fn init_command(args: &HubInit, out: &Output) -> Result<ExitCode, CliError> {
    let hub: ewtp_log::HubId = args
        .hub
        .parse()
        .map_err(|e: ewtp_log::id::NameError| CliError::usage("--hub", e.to_string(), "e.g. BE"))?;
    let address = |offset: u16| -> Result<SocketAddr, CliError> {
        let ip = args
            .listen
            .parse()
            .map_err(|_| CliError::usage("--listen", "not an IP address", "e.g. 0.0.0.0"))?;
        let port = args.port.checked_add(offset);
        Ok(SocketAddr::new(
            ip,
            port.ok_or_else(|| CliError::usage("--port", "too large", "three ports follow on it"))?,
        ))
    };
    let territories = if args.territory.is_empty() {
        vec![hub.country().to_owned()]
    } else {
        args.territory.clone()
    };
    if let Some(unknown) = args.competence.iter().find(|c| !COMPETENCES.contains(&c.as_str())) {
        return Err(CliError::usage("--competence", unknown, &COMPETENCES.join(", ")));
    }
    let all_offices = args.office.is_empty() && args.competence.iter().any(|c| c == CUSTOMS);
    let offices = match all_offices {
        true => territories.iter().map(|t| format!("{t}*")).collect(),
        false => args.office.clone(),
    };
    // What it serves shows live volumes: outsiders come through a web server, as config/hub.toml says.
    let public = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address(2)?.port());
    let listen = [address(0)?, address(1)?, public];
    let options = InitOptions {
        hub: hub.clone(),
        environment: if args.live { Environment::Live } else { Environment::Test },
        log_url: args.log_url.clone(),
        endpoint: format!("{}:{}", args.host, listen[0].port()),
        names: vec![args.host.clone(), "localhost".into()],
        listen,
        territories,
        competences: args.competence.clone(),
        offices,
        contact: args.contact.clone(),
        passphrase: passphrase(args.passphrase_file.as_deref())?,
        now_ms: SystemClock.now_ms(),
    };
    let made = init(&args.dir, &options)?;
    let profile = Profile {
        address: format!("{}:{}", args.host, listen[1].port()),
        server_pin: ewtp_log::base64::encode(&made.server_spki),
        certificate: "operator.crt".into(),
        key: "operator.key".into(),
        languages: "en".into(),
    };
    let profile_path = args.dir.join("operator.profile.toml");
    profile.save(&profile_path)?;
    let fingerprint = made.chain.fingerprint().to_hex();
    let descriptor = Files::new(&args.dir.join("data")).descriptor();
    out.facts(
        &[
            ("hub", hub.to_string()),
            ("origin", made.chain.origin().map(ToString::to_string).unwrap_or_default()),
            ("fingerprint", fingerprint.clone()),
            ("descriptor", descriptor.display().to_string()),
            ("profile", profile_path.display().to_string()),
            ("run", format!("ewtp hub run --config {}", made.config.display())),
        ],
        &json!({
            "hub": hub.as_str(), "fingerprint": fingerprint, "config": made.config,
            "descriptor": descriptor, "profile": profile_path,
        }),
    );
    out.note("Keep the passphrase apart from this machine: without the root key the hub can't change its own keys.");
    Ok(ExitCode::SUCCESS)
}

fn descriptor(dir: &Path, out: &Output) -> Result<ExitCode, CliError> {
    let path = Files::new(&dir.join("data")).descriptor();
    let text = std::fs::read_to_string(&path).map_err(|e| {
        let hint = "name the directory that `ewtp hub init` made: --dir DIR";
        CliError::usage(&path.display().to_string(), e.to_string(), hint)
    })?;
    let chain = Chain::verify_file(&text)?;
    let d = chain.newest();
    out.facts(
        &[
            ("file", path.display().to_string()),
            ("hub", d.hub.to_string()),
            ("version", d.version.to_string()),
            ("environment", d.environment.to_string()),
            ("fingerprint", chain.fingerprint().to_hex()),
            ("origin", chain.origin().map(ToString::to_string).unwrap_or_default()),
            ("log keys", vkeys(d.generation().map(|g| in_use(&g.keys)).unwrap_or_default())),
            ("witness key", vkeys(d.witness.iter().collect())),
            ("witnesses", vkeys(d.witnesses.iter().collect())),
            ("endpoints", d.endpoints.join(", ")),
            ("territories", d.territories.join(", ")),
            ("offices", d.offices.join(", ")),
            ("competences", d.competences.join(", ")),
            ("tls key", d.tls_pins.iter().map(|p| Hash(*p).to_base64()).collect::<Vec<_>>().join(", ")),
        ],
        &json!({
            "file": path, "hub": d.hub.as_str(), "version": d.version, "fingerprint": chain.fingerprint().to_hex(),
            "log_keys": d.generation().map(|g| in_use(&g.keys)).unwrap_or_default().iter().map(|k| k.to_text()).collect::<Vec<_>>(),
            "witness": d.witness.as_ref().map(VerifierKey::to_text), "witnesses": d.witnesses.iter().map(VerifierKey::to_text).collect::<Vec<_>>(),
            "environment": d.environment.to_string(), "endpoints": d.endpoints, "territories": d.territories, "offices": d.offices, "competences": d.competences,
        }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Log keys that sign now.
fn in_use(keys: &[LogKey]) -> Vec<&VerifierKey> {
    keys.iter().filter(|k| k.to_ms.is_none()).map(|k| &k.vkey).collect()
}

fn vkeys(keys: Vec<&VerifierKey>) -> String {
    match keys.as_slice() {
        [] => "none".into(),
        all => all.iter().map(|k| k.to_text()).collect::<Vec<_>>().join(", "),
    }
}

async fn status(profile: Option<&Path>, out: &Output) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let s = session.operator().get_status(v1::GetStatusRequest {}).await?.into_inner();
    let root = Hash::from_slice(&s.root).map(Hash::to_base64).unwrap_or_default();
    let warnings = if s.warnings.is_empty() { "none".into() } else { s.warnings.join("; ") };
    let json = serde_json::to_value(&s).unwrap_or_default();
    out.facts(
        &[
            ("hub", format!("{} ({})", s.hub, s.state)),
            ("log", format!("{} entries at {}, root {root}", s.log_size, s.origin)),
            ("said / heard", format!("{} / {} statements", s.said, s.heard)),
            ("cases", s.cases.to_string()),
            ("waiting", format!("{} to assess, {} with an officer", s.inbox, s.officer_tasks)),
            ("pages verified", s.pages_verified.to_string()),
            ("up", format!("{} s, version {}", s.uptime_s, s.version)),
            ("warnings", warnings),
        ],
        &json,
    );
    Ok(ExitCode::SUCCESS)
}
