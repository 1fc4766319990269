//! `ewtp-risk-engine`: the example as a program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ewtp_risk_engine::{Engine, EngineError, Model, ModelError};
use ewtp_tls::TlsIdentity;
use serde::Deserialize;

/// Follows a hub's inbox, scores what comes and decides through DeskService.
#[derive(Parser)]
struct Cli {
    /// Profile of an account with the role system, as `ewtp account add` writes it.
    #[arg(long)]
    profile: PathBuf,
    /// Model: TOML, see docs/operating.md.
    #[arg(long)]
    model: PathBuf,
    /// File in which the cursor is kept over restarts.
    #[arg(long)]
    cursor: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    address: String,
    server_pin: String,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {problem}")]
    Profile { path: PathBuf, problem: String },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Identity(#[from] ewtp_tls::identity::IdentityError),
    #[error("{0}")]
    Runtime(std::io::Error),
}

/// First and longest pause before the hub is dialled again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

fn read(path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path).map_err(|source| Failed::File { path: path.into(), source })
}

fn main() -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failed::Runtime)
        .and_then(|runtime| runtime.block_on(run(&Cli::parse())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program without a log of its own")]
fn say(text: &str) {
    eprintln!("{text}");
}

async fn run(cli: &Cli) -> Result<(), Failed> {
    let model = Model::parse(&read(&cli.model)?)?;
    let bad =
        |problem: &str| Failed::Profile { path: cli.profile.clone(), problem: problem.into() };
    let profile: Profile = toml::from_str(&read(&cli.profile)?).map_err(|e| bad(&e.to_string()))?;
    let base = cli.profile.parent().unwrap_or(Path::new("."));
    let identity = TlsIdentity::load(&base.join(&profile.certificate), &base.join(&profile.key))?;
    let pin = ewtp_log::base64::decode_array(&profile.server_pin)
        .ok_or_else(|| bad("server_pin is not 32 bytes in base64"))?;
    let mut pause = PAUSE.0;
    loop {
        let cursor = read(&cli.cursor).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        match ewtp_hub::client::dial(&identity, &profile.address, vec![pin]).await {
            Ok(channel) => match follow(channel, &model, cursor, &cli.cursor).await {
                Ok(never) => match never {},
                Err(Followed::Engine(error)) => say(&format!("{error}; going on at the cursor")),
                Err(Followed::Failed(failed)) => return Err(failed),
            },
            Err(error) => say(&error.to_string()),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

enum Followed {
    Engine(EngineError),
    Failed(Failed),
}

async fn follow(
    channel: tonic::transport::Channel,
    model: &Model,
    cursor: u64,
    kept: &Path,
) -> Result<std::convert::Infallible, Followed> {
    let mut engine =
        Engine::open(channel, model.clone(), cursor).await.map_err(Followed::Engine)?;
    loop {
        let verdict = engine.next().await.map_err(Followed::Engine)?;
        for (filing, score) in &verdict.decided {
            let why = score.because.join("; ");
            say(&format!(
                "{} {filing}: control on arrival, {} points ({why})",
                verdict.lrn, score.points
            ));
        }
        let file = |source| Followed::Failed(Failed::File { path: kept.into(), source });
        let next = kept.with_extension("next");
        std::fs::write(&next, verdict.cursor.to_string()).map_err(file)?;
        std::fs::rename(&next, kept).map_err(file)?;
    }
}
