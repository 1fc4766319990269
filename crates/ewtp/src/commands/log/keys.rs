//! With which keys a log is checked, and the check of a checkpoint's signatures.

use ewtp_log::note::{KeyKind, Verified, VerifierKey};
use ewtp_log::{Checkpoint, HubId};

use ewtp_trust::Chain;
use ewtp_trust::retired::{KeyStanding, standing};

use crate::args_log::LogKeys;
use crate::commands::chain_file;
use crate::error::CliError;

/// Log keys and witnesses.
pub(crate) struct Keys {
    keys: Vec<VerifierKey>,
    /// Where a descriptor was given: it knows which keys are retired.
    chain: Option<Chain>,
}

impl Keys {
    pub(crate) fn of(args: &LogKeys) -> Result<Self, CliError> {
        let (mut keys, mut known) = (Vec::new(), None);
        for text in &args.vkeys {
            let key = VerifierKey::parse(text);
            keys.push(key.map_err(|e| {
                CliError::usage("--vkey", e.to_string(), "`ewtp hub descriptor` prints it")
            })?);
        }
        if let Some(file) = &args.descriptor {
            let chain = chain_file::read(file, args.fingerprint.as_deref())?;
            keys.extend(chain.receipt_trust().keys);
            known = Some(chain);
        }
        Ok(Self { keys, chain: known })
    }

    /// Whose log it is, where a descriptor says so.
    pub(crate) fn hub(&self) -> Option<&HubId> {
        self.chain.as_ref().map(Chain::hub)
    }

    /// A checkpoint that one of the log keys signed.
    pub(crate) fn open(&self, note: &str) -> Result<(Checkpoint, Verified), CliError> {
        let (head, parsed) =
            Checkpoint::parse_note(note.as_bytes()).map_err(|e| CliError::Log(e.to_string()))?;
        let verified =
            parsed.verify(&self.keys).map_err(|e| CliError::Log(format!("checkpoint: {e}")))?;
        let by_log = |k: &VerifierKey| k.kind() == KeyKind::Log && k.name() == head.origin;
        let stolen = |c: &Chain| standing(c, &head, &verified) == KeyStanding::Misuse;
        if self.chain.as_ref().is_some_and(stolen) {
            let problem = format!(
                "the head of {} is signed by a retired key alone, behind its end",
                head.size
            );
            return Err(CliError::Log(problem));
        }
        if verified.log_keys.iter().any(by_log) {
            return Ok((head, verified));
        }
        let problem =
            format!("the checkpoint of {} is signed by none of the given log keys", head.origin);
        Err(CliError::Log(problem))
    }
}

/// Witnesses with their times, for people.
pub(crate) fn witnessed(verified: &Verified) -> String {
    let one = |(key, seconds): &(VerifierKey, u64)| {
        format!(
            "{} at {}",
            key.name(),
            ewtp_log::statement::format_time(seconds.saturating_mul(1000))
        )
    };
    match verified.witnesses.as_slice() {
        [] => "by none of the given witnesses".into(),
        all => all.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}
