//! Changes of cases as they become durable, gapless after a cursor: what all watchers of accounts stand on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use ewtp_proto::store::v1::Change;
use ewtp_proto::v1;
use ewtp_store::Views;
use tokio::sync::watch::Receiver;
use tokio_stream::Stream;
use tonic::Status;

use super::status;
use crate::committer::DurableHead;
use crate::shared::Shared;

/// Runs of changes that are read at once.
const RUNS: usize = 64;

/// What a call streams.
pub(super) type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One watcher.
pub(super) struct Changes {
    shared: Arc<Shared>,
    head: Receiver<DurableHead>,
    spki: [u8; 32],
    cursor: u64,
    waiting: VecDeque<(u64, Change)>,
}

/// A change, its number, and who asks, as the directory knows the account at that moment.
pub(super) struct Changed {
    pub(super) shared: Arc<Shared>,
    pub(super) account: Arc<v1::AccountRecord>,
    pub(super) number: u64,
    pub(super) change: Change,
}

impl Changes {
    pub(super) fn after(shared: &Arc<Shared>, spki: [u8; 32], cursor: u64) -> Self {
        let (shared, head) = (Arc::clone(shared), shared.head.clone());
        Self { shared, head, spki, cursor, waiting: VecDeque::new() }
    }

    /// The next change; `None` once the hub stops.
    async fn next(&mut self) -> Result<Option<Changed>, Status> {
        loop {
            // Looked up each time: a role or credential that is taken away shows nothing more.
            let account = self.shared.directory.load().account(&self.spki).cloned();
            let account =
                account.ok_or_else(|| Status::unauthenticated("the credential was revoked"))?;
            if let Some((number, change)) = self.waiting.pop_front() {
                let shared = Arc::clone(&self.shared);
                return Ok(Some(Changed { shared, account, number, change }));
            }
            self.head.mark_unchanged();
            let changes = Views(&*self.shared.store).changes(self.cursor, RUNS).await;
            self.waiting.extend(changes.map_err(|e| status::store(&e))?);
            if let Some((last, _)) = self.waiting.back() {
                self.cursor = *last;
                continue;
            }
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return Ok(None),
                changed = self.head.changed() => if changed.is_err() { return Ok(None) },
            }
        }
    }

    /// Streams what `show` makes of each change; `None` leaves one out.
    pub(super) fn stream<T, F, S>(self, show: S) -> Responses<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<Option<T>, Status>> + Send,
        S: Fn(Changed) -> F + Send + 'static,
    {
        Box::pin(futures_util::stream::unfold((self, show), |(mut changes, show)| async move {
            loop {
                let shown = match changes.next().await {
                    Ok(None) => return None,
                    Ok(Some(changed)) => show(changed).await.transpose(),
                    Err(status) => Some(Err(status)),
                };
                if let Some(shown) = shown {
                    return Some((shown, (changes, show)));
                }
            }
        }))
    }
}
