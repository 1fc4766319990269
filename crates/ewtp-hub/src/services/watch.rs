//! Changes of cases as they become durable, gapless after a cursor: what all watchers of accounts stand on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use ewtp_proto::store::v1::{CaseRecord, Change};
use ewtp_proto::v1;
use ewtp_store::Views;
use tokio::sync::watch::Receiver;
use tokio_stream::Stream;
use tonic::Status;

use super::status;
use crate::casebook::has_part;
use crate::durable::DurableHead;
use crate::shared::Shared;
use crate::standing;

/// Runs of changes that are read at once.
const RUNS: usize = 64;
/// Cases of one event that are read at once.
const EXPANDED: usize = 256;

/// What a call streams.
pub(super) type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One watcher.
pub(super) struct Changes {
    shared: Arc<Shared>,
    head: Receiver<DurableHead>,
    spki: [u8; 32],
    cursor: u64,
    waiting: VecDeque<Waiting>,
}

/// A change that waits to be shown.
struct Waiting {
    number: u64,
    change: Change,
    /// Ordinal of the first case that is left to show, of what is about many.
    from: u64,
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
            if let Some(waiting) = self.waiting.pop_front() {
                if !waiting.change.selector.is_empty() || !waiting.change.hub.is_empty() {
                    self.expand(waiting, &account).await?;
                    continue;
                }
                let Waiting { number, change, .. } = waiting;
                let shared = Arc::clone(&self.shared);
                return Ok(Some(Changed { shared, account, number, change }));
            }
            self.head.mark_unchanged();
            let changes = Views(&*self.shared.store).changes(self.cursor, RUNS).await;
            let changes = changes.map_err(|e| status::store(&e))?;
            let waiting = |(number, change)| Waiting { number, change, from: 0 };
            self.waiting.extend(changes.into_iter().map(waiting));
            if let Some(last) = self.waiting.back() {
                self.cursor = last.number;
                continue;
            }
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return Ok(None),
                changed = self.head.changed() => if changed.is_err() { return Ok(None) },
            }
        }
    }

    /// What is about many cases moves each of them: they are shown page by page under the number before it, so that who
    /// resumes in the middle sees them again and misses none.
    async fn expand(&mut self, event: Waiting, account: &v1::AccountRecord) -> Result<(), Status> {
        let (number, views) = (event.number, Views(&*self.shared.store));
        let (selector, hub) = (&event.change.selector, event.change.hub.clone());
        let cases = match hub.as_str() {
            "" => views.selected(selector, event.from, EXPANDED).await,
            _ => match standing::whose(&self.shared, account).await {
                Ok(whose) => views.cases(&whose, event.from, EXPANDED).await,
                Err(error) => Err(error),
            },
        };
        let cases = cases.map_err(|e| status::store(&e))?;
        let next = cases.last().filter(|_| cases.len() == EXPANDED).map(|c| c.ordinal + 1);
        // The number itself goes with the last one that is shown; if none is left, who resumes looks through the last page again.
        let shown = cases.into_iter().filter(|case| hub.is_empty() || has_part(case, &hub));
        let shown: Vec<CaseRecord> = shown.collect();
        if let Some(from) = next {
            self.waiting.push_front(Waiting { from, ..event });
        }
        let last = shown.len().saturating_sub(1);
        for (i, case) in shown.into_iter().enumerate().rev() {
            let change = Change {
                case_id: case.case_id,
                accounts: case.accounts,
                parties: case.parties,
                ..Change::default()
            };
            let number = if next.is_none() && i == last { number } else { number - 1 };
            self.waiting.push_front(Waiting { number, change, from: 0 });
        }
        Ok(())
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
