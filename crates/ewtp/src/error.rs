//! What went wrong, where, what is allowed, what to do next; and the exit code that scripts see.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A file.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// A wrong value.
    #[error("{what}: {problem}")]
    Usage { what: String, problem: String, hint: String },
    /// No profile.
    #[error("no profile: {0} does not exist")]
    Profile(PathBuf),
    /// The hub can't be reached.
    #[error("{0}")]
    Dial(#[from] ewtp_hub::client::DialError),
    /// The hub refused a call.
    #[error("the hub says: {message}")]
    Call { code: tonic::Code, message: String },
    /// A hub.
    #[error("{0}")]
    Hub(#[from] ewtp_hub::HubError),
    /// Making a hub.
    #[error("{0}")]
    Init(#[from] ewtp_hub::init::InitError),
    /// Changing keys.
    #[error("nothing was changed: {0}")]
    Rotate(#[from] ewtp_hub::rotate::RotateError),
    /// A chain.
    #[error("descriptor: {0}")]
    Chain(#[from] ewtp_trust::ChainError),
    /// A receipt.
    #[error("receipt not verified: {0}")]
    Receipt(#[from] ewtp_log::receipt::ReceiptRefusal),
    /// A log that is not what it says, or can't be read.
    #[error("log not verified: {0}")]
    Log(String),
    /// Evidence.
    #[error("evidence not proven: {0}")]
    Evidence(#[from] ewtp_log::evidence::NotProven),
    /// The store.
    #[error("{0}")]
    Store(#[from] ewtp_store::StoreError),
    /// Certificates.
    #[error("{0}")]
    Identity(#[from] ewtp_tls::identity::IdentityError),
    /// The demo saw what it should not.
    #[error("the demo failed: {0}")]
    Demo(String),
    /// A measurement could not be made.
    #[error("not measured: {0}")]
    Bench(String),
}

impl CliError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn usage(what: &str, problem: impl Into<String>, hint: &str) -> Self {
        Self::Usage { what: what.into(), problem: problem.into(), hint: hint.into() }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } => Some(hint.clone()),
            Self::Profile(_) => {
                Some("name one with --profile FILE or EWTP_PROFILE; `ewtp hub init` makes the operator's".into())
            }
            Self::Dial(_) => Some(
                "start it with `ewtp hub run --config hub.toml`, or correct the profile's address".into(),
            ),
            Self::Chain(_) => Some(
                "ask the hub's operator for the descriptor file and read the fingerprint again, on another channel".into(),
            ),
            Self::Call { code, .. } => match code {
                tonic::Code::Unauthenticated => Some("the profile's key is of no account here; ask the operator".into()),
                tonic::Code::Unavailable | tonic::Code::ResourceExhausted => Some("try again in a moment".into()),
                _ => None,
            },
            Self::Receipt(_) => Some("ask who gave it for a fresh one, and for the issuer's descriptors".into()),
            _ => None,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } | Self::Profile(_) => ExitCode::from(2),
            Self::Dial(_) => ExitCode::from(3),
            Self::Call { code: tonic::Code::Unavailable, .. } => ExitCode::from(3),
            Self::Call { .. }
            | Self::Receipt(_)
            | Self::Chain(_)
            | Self::Log(_)
            | Self::Evidence(_) => ExitCode::from(1),
            _ => ExitCode::from(4),
        }
    }
}

impl From<tonic::Status> for CliError {
    fn from(status: tonic::Status) -> Self {
        Self::Call { code: status.code(), message: status.message().to_owned() }
    }
}
