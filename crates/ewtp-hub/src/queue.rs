//! Queues into the committer: one share per source, a draft waits for its outcome.

use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use crate::draft::{Draft, DraftError, Logged};

pub(crate) type Outcome = Result<Logged, DraftError>;

/// A draft and who waits for its outcome.
pub struct Pending {
    pub(crate) draft: Draft,
    pub(crate) reply: oneshot::Sender<Outcome>,
    /// Held until the commit is answered, whatever became of the call.
    pub(crate) act: Option<OwnedMutexGuard<()>>,
}

/// Hands drafts to the committer; one per source, each with a share of its own.
#[derive(Clone)]
pub struct Submitter {
    queue: mpsc::Sender<Pending>,
    limit: usize,
}

impl Submitter {
    /// Waits for room, then for the outcome: for sources that may be slowed.
    ///
    /// # Errors
    /// [`DraftError`].
    pub async fn submit(&self, draft: Draft) -> Result<Logged, DraftError> {
        let (reply, outcome) = oneshot::channel();
        self.queue
            .send(Pending { draft, reply, act: None })
            .await
            .map_err(|_| DraftError::InDoubt)?;
        outcome.await.map_err(|_| DraftError::InDoubt)?
    }

    /// Submits an operator's act together with the lock that it was read under.
    ///
    /// # Errors
    /// [`DraftError`].
    pub async fn submit_act(
        &self,
        draft: Draft,
        act: OwnedMutexGuard<()>,
    ) -> Result<Logged, DraftError> {
        let (reply, outcome) = oneshot::channel();
        let pending = Pending { draft, reply, act: Some(act) };
        self.queue.send(pending).await.map_err(|_| DraftError::InDoubt)?;
        outcome.await.map_err(|_| DraftError::InDoubt)?
    }

    /// Refuses at once where the queue is full: for single calls.
    ///
    /// # Errors
    /// [`DraftError::Busy`] and the rest.
    pub async fn try_submit(&self, draft: Draft) -> Result<Logged, DraftError> {
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send(Pending { draft, reply, act: None }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => DraftError::Busy { limit: self.limit },
            mpsc::error::TrySendError::Closed(_) => DraftError::InDoubt,
        })?;
        outcome.await.map_err(|_| DraftError::InDoubt)?
    }

    /// Drafts that wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.limit - self.queue.capacity()
    }
}

/// A queue of so many drafts.
#[must_use]
pub fn queue(limit: usize) -> (Submitter, mpsc::Receiver<Pending>) {
    let (queue, drafts) = mpsc::channel(limit);
    (Submitter { queue, limit }, drafts)
}
