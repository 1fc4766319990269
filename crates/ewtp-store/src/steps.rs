//! The seam around the store's blocking work. A crash may fall between any two steps of a commit, so the steps are named here
//! and the simulation runs them one by one.

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// A piece of blocking work.
pub type Step = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;

/// Runs blocking work off the tasks that wait for it.
#[async_trait]
pub trait Steps: Send + Sync + 'static {
    /// Runs the steps in order, up to the first that fails.
    ///
    /// # Errors
    /// The step's.
    async fn run(&self, steps: Vec<Step>) -> Result<(), StoreError>;

    /// Starts a step beside everything else; its outcome comes out of the channel.
    fn aside(&self, step: Step) -> oneshot::Receiver<Result<(), StoreError>>;
}

/// Threads of the runtime.
pub struct Threads;

#[async_trait]
impl Steps for Threads {
    async fn run(&self, steps: Vec<Step>) -> Result<(), StoreError> {
        let all = move || steps.into_iter().try_for_each(|step| step());
        tokio::task::spawn_blocking(all).await.map_err(|e| StoreError::Task(e.to_string()))?
    }

    fn aside(&self, step: Step) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, outcome) = oneshot::channel();
        // Whoever dropped the receiver is gone with the store: there is nobody left to tell.
        drop(tokio::task::spawn_blocking(move || drop(done.send(step()))));
        outcome
    }
}
