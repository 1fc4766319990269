//! Every task of a hub is spawned here: named, joined, bounded at shutdown. A task that ends with an error or a panic
//! stops the hub, because a hub without one of its parts answers wrongly.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why a task ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[error("task {name} ended: {problem}")]
pub struct TaskEnded {
    /// Which.
    pub name: &'static str,
    /// Why.
    pub problem: String,
}

/// The tasks of a hub.
pub struct Tasks {
    set: JoinSet<Result<&'static str, TaskEnded>>,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty set that stops with `stop`.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop }
    }

    /// Spawns a task.
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks are spawned")]
    pub fn spawn<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + Send,
    {
        self.set.spawn(async move {
            task.await.map(|()| name).map_err(|e| TaskEnded { name, problem: e.to_string() })
        });
    }

    /// Waits until `stop` fires or a task fails, then gives the others `grace` to drain.
    ///
    /// # Errors
    /// The first task that failed.
    pub async fn run(mut self, grace: Duration) -> Result<(), TaskEnded> {
        let mut first = Ok(());
        while first.is_ok() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                ended = self.set.join_next() => match ended {
                    None => break,
                    Some(outcome) => first = verdict(outcome),
                },
            }
        }
        self.stop.cancel();
        let drain = async {
            while let Some(outcome) = self.set.join_next().await {
                let outcome = verdict(outcome);
                if first.is_ok() {
                    first = outcome;
                }
            }
        };
        if tokio::time::timeout(grace, drain).await.is_err() {
            tracing::warn!(?grace, "some tasks did not end in time and are cut off");
        }
        first
    }
}

fn verdict(
    outcome: Result<Result<&'static str, TaskEnded>, tokio::task::JoinError>,
) -> Result<(), TaskEnded> {
    match outcome {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(ended)) => Err(ended),
        Err(e) => Err(TaskEnded { name: "unknown", problem: e.to_string() }),
    }
}
