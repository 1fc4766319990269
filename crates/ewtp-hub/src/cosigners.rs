//! Has own heads cosigned: on a cadence, the newest head alone, by the witnesses that the descriptor names. Nothing waits for
//! them: a head without cosignatures is delivered all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ewtp_log::Hash;
use ewtp_log::note::{Note, SignatureLine, VerifierKey};
use ewtp_log::witness::AddCheckpoint;
use ewtp_proto::store::v1::CosignedHead;
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_store::keys::LOG_TREE;
use ewtp_store::{StoreError, Views};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tonic_types::StatusExt as _;

use crate::directory::Peer;
use crate::draft::{Draft, DraftError, Watched};
use crate::durable::DurableHead;
use crate::shared::Shared;
use crate::{client, web};

/// Longest wait for one witness.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer of a witness that is no hub.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Who cosigns, and how it is reached.
enum Door {
    Hub(Arc<Peer>),
    Web(String),
}

/// What a witness answered.
enum Answer {
    Lines(String),
    /// It cosigned this size last.
    Conflict(u64),
    /// It says no, or can't be reached.
    No(String),
}

/// Runs until `stop` fires.
///
/// # Errors
/// The store.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), StoreError> {
    let cadence = Duration::from_secs(shared.config.witness.cadence_s);
    if let Some(newest) = Views(&*shared.store).newest_cosigned().await? {
        shared.cosigned.send_replace(Arc::new(newest));
    }
    // What each witness cosigned last, as far as it is known.
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut waits = cadence.min(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(waits) => {}
        }
        waits = cadence;
        let head = shared.head.borrow().clone();
        let settled = shared.cosigned.borrow().clone();
        crate::metrics::settled_lag(head.size.saturating_sub(settled.size));
        if head.size == 0 || (settled.size == head.size && settled.settled) {
            continue;
        }
        match round(&shared, &head, &mut last, &settled).await {
            Ok(()) => {}
            Err(RoundError::Store(e)) => return Err(e),
            Err(RoundError::Draft(_)) => return Ok(()), // the hub is stopping
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Draft(#[from] DraftError),
}

async fn round(
    shared: &Shared,
    head: &DurableHead,
    last: &mut BTreeMap<String, u64>,
    before: &CosignedHead,
) -> Result<(), RoundError> {
    let own = shared.own_descriptor();
    let doors: Vec<(VerifierKey, Door)> =
        own.witnesses.iter().filter_map(|key| Some((key.clone(), door(shared, key)?))).collect();
    let asked = doors.iter().map(|(key, door)| {
        let old = last.get(&key.to_text()).copied().unwrap_or_default();
        ask(shared, head, door, old)
    });
    let answers: Vec<Result<Answer, StoreError>> = join_all(asked).await;
    let mut note = match before.size == head.size {
        true => before.note.clone(),
        false => head.checkpoint.to_string(),
    };
    for ((key, _), answer) in doors.iter().zip(answers) {
        match answer? {
            Answer::Lines(lines) => {
                if let Some(line) = verified(&head.checkpoint, &lines, key) {
                    note.push_str(&line);
                    last.insert(key.to_text(), head.size);
                    shared.warn(&format!("witness {}", key.name()), None);
                }
            }
            Answer::Conflict(size) => drop(last.insert(key.to_text(), size)),
            Answer::No(problem) => {
                let text = format!("witness {} does not cosign: {problem}", key.name());
                shared.warn(&format!("witness {}", key.name()), Some(text));
            }
        }
    }
    let known = shared.chain.load().receipt_trust().keys;
    let Ok(parsed) = Note::parse(note.as_bytes()) else { return Ok(()) };
    let note = parsed.keep(&known);
    if note.len() <= before.note.len() && before.size == head.size
        || note.as_str() == &*head.checkpoint
    {
        return Ok(());
    }
    let settled = shared.is_settled(&note, &shared.identity.hub, None);
    let cosigned = CosignedHead { size: head.size, note, settled };
    let watched = Watched { cosigned: vec![cosigned.clone()], ..Watched::default() };
    shared.own.submit(Draft { watched, ..Draft::default() }).await?;
    shared.cosigned.send_replace(Arc::new(cosigned));
    Ok(())
}

/// The first line by that very key that holds.
fn verified(checkpoint: &str, lines: &str, key: &VerifierKey) -> Option<String> {
    let lines = SignatureLine::parse_lines(lines).ok()?;
    lines.iter().map(SignatureLine::to_text).find(|line| {
        let note = Note::parse(format!("{checkpoint}{line}").as_bytes());
        let by_it = note.and_then(|n| n.verify(std::slice::from_ref(key)));
        by_it.is_ok_and(|v| v.witnesses.len() == 1)
    })
}

fn door(shared: &Shared, key: &VerifierKey) -> Option<Door> {
    let text = key.to_text();
    if let Some(external) = shared.config.witness.external.iter().find(|e| e.vkey == text) {
        return Some(Door::Web(external.url.trim_end_matches('/').to_owned()));
    }
    let directory = shared.directory.load();
    let named = |p: &&Arc<Peer>| p.is_active() && p.has_witness_key(key);
    directory.peers.values().find(named).cloned().map(Door::Hub)
}

async fn ask(
    shared: &Shared,
    head: &DurableHead,
    door: &Door,
    old: u64,
) -> Result<Answer, StoreError> {
    let mut old = old.min(head.size);
    for _ in 0..2 {
        let proof = Views(&*shared.store).consistency(LOG_TREE, old, head.size).await?;
        let request = AddCheckpoint { old, proof, checkpoint: head.checkpoint.to_string() };
        let answer = match door {
            Door::Hub(peer) => tokio::time::timeout(PATIENCE, ask_hub(shared, peer, request)).await,
            Door::Web(url) => tokio::time::timeout(PATIENCE, ask_web(url, request)).await,
        };
        match answer.unwrap_or_else(|_| Answer::No("no answer in time".into())) {
            Answer::Conflict(size) if size <= head.size && size != old => old = size,
            other => return Ok(other),
        }
    }
    Ok(Answer::Conflict(old))
}

async fn ask_hub(shared: &Shared, peer: &Peer, request: AddCheckpoint) -> Answer {
    let channel = match client::dial_peer(&shared.network, &shared.tls, &peer.chain).await {
        Ok(channel) => channel,
        Err(error) => return Answer::No(error.to_string()),
    };
    let request = v1::AddCheckpointRequest {
        old_size: request.old,
        proof: request.proof.iter().map(|h: &Hash| h.0.to_vec()).collect(),
        checkpoint: request.checkpoint.into_bytes(),
    };
    match FederationServiceClient::new(channel).add_checkpoint(request).await {
        Ok(answer) => match String::from_utf8(answer.into_inner().lines) {
            Ok(lines) => Answer::Lines(lines),
            Err(_) => Answer::No("its answer is not UTF-8".into()),
        },
        Err(status) => {
            let info = status.get_details_error_info();
            let size = info.and_then(|i| i.metadata.get("size")?.parse().ok());
            size.map_or_else(|| Answer::No(status.message().to_owned()), Answer::Conflict)
        }
    }
}

async fn ask_web(url: &str, request: AddCheckpoint) -> Answer {
    let posted = web::post(format!("{url}/add-checkpoint"), request.to_text(), ANSWER_BYTES_MAX);
    match posted.await {
        Ok((200, body)) => match String::from_utf8(body) {
            Ok(lines) => Answer::Lines(lines),
            Err(_) => Answer::No("its answer is not UTF-8".into()),
        },
        Ok((409, body)) => {
            let size = std::str::from_utf8(&body).ok().and_then(|t| t.trim().parse().ok());
            size.map_or_else(|| Answer::No("409 without a size".into()), Answer::Conflict)
        }
        Ok((status, _)) => Answer::No(format!("status {status}")),
        Err(error) => Answer::No(error.to_string()),
    }
}
