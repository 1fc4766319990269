//! The janitor: on its cadence it ends filings that were never used, erases what no rule keeps any more, and lets what was erased leave
//! the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ewtp_proto::store::v1::{CaseRecord, OrderRecord};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::forget::is_forgotten;
use tokio_util::sync::CancellationToken;

use crate::acts::withdraw::expire;
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
        let ended = end_unused(&shared, &stop).await.map_err(|e| e.to_string());
        if let Err(problem) = &ended {
            tracing::error!(%problem, "filings that were never used may still stand");
        }
        let text =
            ended.err().map(|p| format!("filings that were never used may still stand: {p}"));
        shared.warn("expiry", text);
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

/// Erases what is due: by orders of which something was kept so far, and by rule. A case that fails is passed over and told.
async fn sweep(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<(), OrderError> {
    let resumed = resume_orders(shared, stop).await;
    let ended = end_retention(shared, stop).await;
    resumed.and(ended)
}

/// Which cases are gone through.
enum Which {
    /// Those with orders that something was kept of.
    Ordered,
    /// Those that were opened at this instant, Unix milliseconds, or before.
    OpenedBy(u64),
}

/// Cases in the order in which they were opened, page by page, until the hub stops.
struct Walk<'a> {
    shared: &'a Shared,
    stop: &'a CancellationToken,
    which: Which,
    page: VecDeque<CaseRecord>,
    from: u64,
    /// No page follows.
    last: bool,
}

impl<'a> Walk<'a> {
    fn of(shared: &'a Shared, stop: &'a CancellationToken, which: Which) -> Self {
        Self { shared, stop, which, page: VecDeque::new(), from: 0, last: false }
    }

    async fn next(&mut self) -> Result<Option<CaseRecord>, StoreError> {
        if self.page.is_empty() && !self.last {
            let views = Views(&*self.shared.store);
            let page = match self.which {
                Which::Ordered => views.ordered(self.from, PAGE).await?,
                Which::OpenedBy(_) => views.cases(&Whose::All, self.from, PAGE).await?,
            };
            self.last = page.len() < PAGE;
            self.page = page.into();
        }
        let Some(case) = self.page.pop_front().filter(|_| !self.stop.is_cancelled()) else {
            return Ok(None);
        };
        self.from = case.ordinal + 1;
        // Those that follow are younger.
        let young = matches!(self.which, Which::OpenedBy(ms) if case.created_ms > ms);
        Ok((!young).then_some(case))
    }
}

async fn resume_orders(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<(), OrderError> {
    let (mut failed, mut walk) = (Ok(()), Walk::of(shared, stop, Which::Ordered));
    while let Some(case) = walk.next().await? {
        for order in &case.orders {
            // One that erases moves the case: the others find it as it is then, next time.
            match resume(shared, &case, order).await {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => failed = Err(error),
            }
        }
    }
    failed
}

async fn end_retention(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<(), OrderError> {
    let rules = shared.config.retention.rules();
    let Some(shortest) = rules.iter().map(|r| r.keep_ms).min() else { return Ok(()) };
    let now_ms = shared.clock.now_ms();
    let Some(opened_by) = now_ms.checked_sub(shortest) else { return Ok(()) };
    let (mut failed, mut walk) = (Ok(()), Walk::of(shared, stop, Which::OpenedBy(opened_by)));
    while let Some(case) = walk.next().await? {
        if is_forgotten(&case) {
            continue;
        }
        let held = found(&*shared.store, &case).await?;
        let meant = |_: &Found| Some(Asked::Due);
        let going = plan(&*shared.store, &rules, &case, &held, meant, now_ms).await?;
        if going.erases.is_empty() {
            continue;
        }
        let draft = draft(shared, &case, going, Reach::Named, "")?;
        if let Err(error) = carry_out(shared, draft).await {
            tracing::warn!(case = %case.case_id, %error, "what is due can't be erased now");
            failed = Err(error);
        }
    }
    failed
}

/// Ends filings of this hub that were never used. A case that fails is passed over and told.
async fn end_unused(shared: &Arc<Shared>, stop: &CancellationToken) -> Result<(), OrderError> {
    let terms = shared.config.expiry.terms();
    let Some(shortest) = terms.shortest_ms() else { return Ok(()) };
    let (now_ms, me) = (shared.clock.now_ms(), shared.identity.hub.as_str());
    let Some(opened_by) = now_ms.checked_sub(shortest) else { return Ok(()) };
    let (mut failed, mut walk) = (Ok(()), Walk::of(shared, stop, Which::OpenedBy(opened_by)));
    while let Some(case) = walk.next().await? {
        let ended = case.filings.iter().find(|f| terms.ended(&case, f, me, now_ms));
        let Some(filing) = ended else { continue };
        // One a time: it moves the case, and what else ended there is found next time.
        match carry_out(shared, expire(shared, &case, filing)?).await {
            Ok(()) => {
                tracing::info!(case = %case.case_id, filing = %filing.filing_id, "ended without use");
            }
            Err(error) => failed = Err(error),
        }
    }
    failed
}

/// Comes back to an order: true if something went.
async fn resume(
    shared: &Arc<Shared>,
    case: &CaseRecord,
    order: &OrderRecord,
) -> Result<bool, OrderError> {
    let (Some(stands), Some(core)) = (&order.stands, &order.core) else { return Ok(false) };
    let plan = if stands.hub == shared.identity.hub.as_str() {
        own_order(shared, case, core).await?
    } else {
        let directory = shared.directory.load_full();
        let peer = directory.active_peer(&stands.hub).filter(|p| p.is_trusted());
        let Some(peer) = peer else { return Ok(false) };
        let (index, commitment) = (stands.log_index, stands.commitment.as_slice());
        let order = Order { peer: &peer.hub, index, commitment, core };
        ordered_by(shared, &order, &[]).await?
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
    order: &v1::ErasureCore,
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
    let gone = draft.attachments_erased();
    match shared.own.submit(draft).await {
        Ok(_) => {}
        // The case goes on living; next time.
        Err(DraftError::CaseMoved { .. } | DraftError::WorkGone(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    for digest in gone {
        attachments::forget(shared, &digest).await;
    }
    Ok(())
}
