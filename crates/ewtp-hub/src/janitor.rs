//! The janitor: on its cadence it erases what no rule keeps any more, and lets what was erased leave the disk.

use std::sync::Arc;
use std::time::Duration;

use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::forget::is_forgotten;
use tokio_util::sync::CancellationToken;

use crate::attachments;
use crate::draft::DraftError;
use crate::forgetting::{Asked, OrderError, draft, found, plan};
use crate::shared::Shared;

/// Cases looked at in one go.
const PAGE: usize = 256;
/// A hub that is restarted every day has to get round to it too.
const FIRST: Duration = Duration::from_secs(60);

/// Runs until `stop` fires. What fails is told, and tried again next time.
///
/// # Errors
/// None so far: it is a task like the others.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), OrderError> {
    let cadence = Duration::from_secs(shared.config.retention.cadence_s);
    let mut wait = cadence.min(FIRST);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = cadence;
        let swept = sweep(&shared, &stop).await.map_err(|e| e.to_string());
        let compacted = compact(&shared).await.map_err(|e| e.to_string());
        let problem = swept.and(compacted).err();
        if let Some(problem) = &problem {
            tracing::error!(%problem, "what is due to be erased may still be on disk");
            crate::metrics::alarm("forgetting");
        }
        let text = problem.map(|p| format!("what is due to be erased may still be on disk: {p}"));
        shared.warn("forgetting", text);
    }
}

async fn compact(shared: &Shared) -> Result<(), StoreError> {
    let compacted = shared.store.compact().await?;
    if compacted.statements > 0 {
        let (statements, segments) = (compacted.statements, compacted.segments);
        tracing::info!(statements, segments, "what was erased has left the disk");
        crate::metrics::forgotten(statements);
    }
    Ok(())
}

/// Erases what is due, case by case.
async fn sweep(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<(), OrderError> {
    let rules = shared.config.retention.rules();
    let Some(shortest) = rules.iter().map(|r| r.keep_ms).min() else { return Ok(()) };
    let now_ms = shared.clock.now_ms();
    let mut from = 0;
    loop {
        let cases = Views(&*shared.store).cases(&Whose::All, from, PAGE).await?;
        for case in &cases {
            // Cases are in the order in which they were opened: those that follow are younger.
            if case.created_ms.saturating_add(shortest) > now_ms || stop.is_cancelled() {
                return Ok(());
            }
            from = case.ordinal + 1;
            if is_forgotten(case) {
                continue;
            }
            let held = found(&*shared.store, case).await?;
            let going = plan(&*shared.store, &rules, case, &held, Asked::Due, now_ms).await?;
            if going.erases.is_empty() {
                continue;
            }
            let gone = going.attachments();
            match shared.own.submit(draft(shared, case, going, None, "")?).await {
                Ok(_) => {
                    for digest in gone {
                        attachments::forget(shared, &digest).await;
                    }
                }
                // It goes on living; next time.
                Err(DraftError::CaseMoved { .. } | DraftError::WorkGone(_)) => {}
                Err(error) => {
                    tracing::warn!(case = %case.case_id, %error, "what is due can't be erased now");
                    return Ok(());
                }
            }
        }
        if cases.len() < PAGE {
            return Ok(());
        }
    }
}
