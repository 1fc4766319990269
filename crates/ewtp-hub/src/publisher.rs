//! The head that outsiders see: it moves on a cadence, so that they don't read live volumes.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::durable::DurableHead;
use crate::shared::Shared;

/// Publishes until `stop` fires.
///
/// # Errors
/// None.
pub(crate) async fn run(
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let cadence = Duration::from_secs(shared.config.log.publish_s);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(cadence) => publish(&shared),
        }
    }
}

/// Moves the published head to the newest durable one.
fn publish(shared: &Shared) {
    let newest: DurableHead = shared.head.borrow().clone();
    if newest.size > shared.published.load().size {
        shared.published.store(Arc::new(newest));
    }
}
