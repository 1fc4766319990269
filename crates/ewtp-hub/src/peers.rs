//! One receiver per active peer, started and stopped as the log says who is a peer; and the end of connections whose key is
//! no longer known.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ewtp_log::HubId;
use ewtp_store::{StoreError, Views};
use tokio_util::sync::CancellationToken;

use crate::hub::check_clock;
use crate::listener::Connections;
use crate::shared::Shared;
use crate::tasks::TaskEnded;

/// How often the own clock is compared with the log while nothing happens.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// Runs one receiver per active peer, and ends connections whose key is no longer known.
pub(crate) async fn supervise(
    shared: Arc<Shared>,
    connections: [Connections; 2],
    stop: CancellationToken,
) -> Result<(), TaskEnded> {
    let mut head = shared.head.clone();
    let mut receivers: BTreeMap<HubId, (u64, CancellationToken)> = BTreeMap::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let directory = shared.directory.load_full();
        receivers.retain(|hub, (version, stop)| {
            let keep = directory
                .peers
                .get(hub)
                .is_some_and(|p| p.is_active() && p.chain.newest().version == *version);
            if !keep {
                stop.cancel();
            }
            keep
        });
        for (hub, peer) in directory.peers.iter().filter(|(_, p)| p.is_active()) {
            if receivers.contains_key(hub) {
                continue;
            }
            let progress = {
                let mut all = shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(all.entry(hub.clone()).or_default())
            };
            let generation = peer.chain.origin().map_or(1, |o| o.generation());
            if let Ok(state) = Views(&*shared.store).lane_state(hub.as_str(), generation).await {
                progress.cursor.store(state.cursor, Ordering::Relaxed);
                progress.owed.store(state.lane_size - state.cursor, Ordering::Relaxed);
            }
            let token = stop.child_token();
            receivers.insert(hub.clone(), (peer.chain.newest().version, token.clone()));
            #[expect(
                clippy::disallowed_methods,
                reason = "owned by this task's JoinSet, joined below"
            )]
            tasks.spawn(crate::receiver::run(Arc::clone(&shared), hub.clone(), progress, token));
        }
        connections[0].retain(|k| directory.peer_by_key(k).is_some());
        connections[1].retain(|k| directory.account(k).is_some());
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next() => receiver_ended(ended)?,
            changed = head.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(CLOCK_CHECK) => check_clock(&shared),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        receiver_ended(ended)?;
    }
    Ok(())
}

fn receiver_ended(
    ended: Result<Result<(), StoreError>, tokio::task::JoinError>,
) -> Result<(), TaskEnded> {
    let problem = match ended {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(e)) => e.to_string(),
        Err(e) => e.to_string(),
    };
    Err(TaskEnded { name: "receiver", problem })
}
