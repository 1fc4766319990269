//! The janitor: on its cadence it erases what no rule keeps any more, and lets what was erased leave the disk.

use std::sync::Arc;
use std::time::Duration;

use ewtp_proto::store::v1::{CaseRecord, OrderRecord};
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::hub;
use ewtp_trade::forget::is_forgotten;
use tokio_util::sync::CancellationToken;

use crate::attachments;
use crate::draft::{Draft, DraftError};
use crate::forgetting::{Asked, Found, Order, OrderError, Reach, draft, found, ordered_by, plan};
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

/// Erases what is due, case by case: by rule, and by orders of which something was kept so far. A case that fails is passed over and
/// told.
async fn sweep(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<(), OrderError> {
    let mut failed = Ok(());
    let mut from = 0;
    loop {
        let cases = Views(&*shared.store).ordered(from, PAGE).await?;
        for case in &cases {
            from = case.ordinal + 1;
            if stop.is_cancelled() {
                return Ok(());
            }
            for order in &case.orders {
                // One that erases moves the case: the others find it as it is then, next time.
                match resume(shared, case, order).await {
                    Ok(false) => {}
                    Ok(true) => break,
                    Err(error) => failed = Err(error),
                }
            }
        }
        if cases.len() < PAGE {
            break;
        }
    }
    let rules = shared.config.retention.rules();
    let Some(shortest) = rules.iter().map(|r| r.keep_ms).min() else { return failed };
    let now_ms = shared.clock.now_ms();
    from = 0;
    loop {
        let cases = Views(&*shared.store).cases(&Whose::All, from, PAGE).await?;
        for case in &cases {
            // Cases are in the order in which they were opened: those that follow are younger.
            if case.created_ms.saturating_add(shortest) > now_ms || stop.is_cancelled() {
                return failed;
            }
            from = case.ordinal + 1;
            if is_forgotten(case) {
                continue;
            }
            let held = found(&*shared.store, case).await?;
            let meant = |_: &Found| Some(Asked::Due);
            let going = plan(&*shared.store, &rules, case, &held, meant, now_ms).await?;
            if going.erases.is_empty() {
                continue;
            }
            if let Err(error) =
                carry_out(shared, draft(shared, case, going, Reach::Named, "")?).await
            {
                tracing::warn!(case = %case.case_id, %error, "what is due can't be erased now");
                failed = Err(error);
            }
        }
        if cases.len() < PAGE {
            return failed;
        }
    }
}

/// Comes back to an order: true if something went.
async fn resume(
    shared: &Arc<Shared>,
    case: &CaseRecord,
    order: &OrderRecord,
) -> Result<bool, OrderError> {
    let by = hub(order.stands.as_ref());
    let directory = shared.directory.load_full();
    let plan = if by == shared.identity.hub.as_str() {
        own_order(shared, case, order).await?
    } else {
        let Some(peer) = directory.active_peer(by).filter(|p| p.is_trusted()) else {
            return Ok(false);
        };
        let Some(order) = Order::recorded(&peer.hub, order) else { return Ok(false) };
        ordered_by(shared, &order, &case.case_id, &[]).await?
    };
    if plan.erases.is_empty() {
        return Ok(false);
    }
    carry_out(shared, plan).await.map(|()| true)
}

/// What an order of this hub's own officer may end now that it couldn't before.
async fn own_order(
    shared: &Arc<Shared>,
    case: &CaseRecord,
    order: &OrderRecord,
) -> Result<Draft, OrderError> {
    if !order.whole_case || order.follows {
        return Ok(Draft::default()); // a rule's, or a peer's: these are come back to by themselves
    }
    let (rules, now_ms) = (shared.config.retention.rules(), shared.clock.now_ms());
    let held = found(&*shared.store, case).await?;
    let meant = |_: &Found| Some(Asked::Ordered { parts: &order.parts, reason: &order.reason });
    let going = plan(&*shared.store, &rules, case, &held, meant, now_ms).await?;
    Ok(draft(shared, case, going, Reach::Case(&order.parts), "")?)
}

async fn carry_out(shared: &Arc<Shared>, draft: Draft) -> Result<(), OrderError> {
    let gone: Vec<Vec<u8>> = draft.erases.iter().flat_map(|e| e.attachments.clone()).collect();
    match shared.own.submit(draft).await {
        Ok(_) => {}
        // The case goes on living; next time.
        Err(DraftError::CaseMoved { .. } | DraftError::WorkGone(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    for digest in gone.iter().filter_map(|d| <[u8; 32]>::try_from(d.as_slice()).ok()) {
        attachments::forget(shared, &digest).await;
    }
    Ok(())
}
