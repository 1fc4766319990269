//! The worklist: open work as officers and systems ask for it. Officers' work stands in the order in which it is taken: what an arrangement
//! lets go first, then what was there first.

use ewtp_proto::store::v1::{CaseRecord, WorkItem};
use ewtp_proto::{Message as _, v1};
use ewtp_store::{StoreError, Views};
use ewtp_trade::case;

use crate::acts::approve::proposal_of;
use crate::casebook::summary;
use crate::shared::Shared;

/// Work items read at once.
const PAGE: usize = 500;
/// Most work items that are looked through for one answer; the next one goes on there.
const SCANNED_MAX: usize = 5_000;
/// Hours within which a decision is due while no ruleset says so.
const DECIDE_HOURS: u32 = 24;

/// Where a page ended, as a token.
fn token(item: &WorkItem) -> String {
    format!("{} {} {}", u8::from(item.priority), item.made_ms, item.id)
}

fn placed(token: &str) -> Option<WorkItem> {
    let mut words = token.splitn(3, ' ');
    let priority = words.next()? == "1";
    let made_ms = words.next()?.parse().ok()?;
    Some(WorkItem { priority, made_ms, id: words.next()?.to_owned(), ..WorkItem::default() })
}

/// Open work that is asked for, a page of it. It may be empty before the end.
///
/// # Errors
/// Reading.
pub async fn list(
    shared: &Shared,
    request: &v1::ListInboxRequest,
    size: usize,
) -> Result<v1::ListInboxResponse, StoreError> {
    let views = Views(&*shared.store);
    let mut out = v1::ListInboxResponse::default();
    let (mut after, mut scanned) = (placed(&request.after), 0);
    loop {
        let (page, more) = match request.officers_only {
            true => views.officers_work_after(after.as_ref(), PAGE).await?,
            false => {
                let id = after.as_ref().map_or("", |item| &item.id);
                let page = views.work_after(id, PAGE).await?;
                let more = page.len() == PAGE;
                (page, more)
            }
        };
        let more = more && !page.is_empty();
        for work in page {
            after = Some(work.clone());
            scanned += 1;
            if asked_of_work(request, &work)
                && let Some(case) = views.case(&work.case_id).await?
                && is_due(&case, &work)
                && asked_of_case(request, &case, due_ms(shared, &case, &work))
            {
                if !out.cases.iter().any(|c| c.case_id == case.case_id) {
                    out.cases.push(summary(shared, &case));
                }
                out.items.push(item(shared, &case, work).await?);
            }
            if out.items.len() == size {
                break;
            }
        }
        if out.items.len() == size || scanned >= SCANNED_MAX {
            out.next = after.as_ref().map(token).unwrap_or_default();
            return Ok(out);
        }
        if !more {
            return Ok(out);
        }
    }
}

fn asked_of_work(request: &v1::ListInboxRequest, work: &WorkItem) -> bool {
    (!request.officers_only || !work.officer_reason.is_empty())
        && (!request.priority_only || work.priority)
        && (!request.proposals_only || work.proposal != 0)
        && work.officer_reason.contains(&request.reason)
}

fn asked_of_case(request: &v1::ListInboxRequest, case: &CaseRecord, due_ms: u64) -> bool {
    let before = u64::try_from(request.due_before_ms).unwrap_or_default();
    let filed_at =
        |f: &ewtp_proto::store::v1::FilingRecord| case::hub(f.stands.as_ref()) == request.filed_at;
    (before == 0 || due_ms < before)
        && (request.filed_at.is_empty() || case.filings.iter().any(filed_at))
        && (request.office.is_empty()
            || case.filings.iter().any(|f| f.offices.contains(&request.office)))
}

/// Whether somebody can still do something about a work item: its filing may have been replaced, withdrawn or released.
fn is_due(case: &CaseRecord, work: &WorkItem) -> bool {
    case::filing(case, &work.filing_id).is_some_and(|f| {
        f.version == work.filing_version
            && !case::is_invalidated(case, f)
            && !case::is_completed(case, f)
            && !case::goods_released(case)
    })
}

/// Until when the public ruleset promises a decision, from when this hub had the filing; of what waits for an answer until when it waits.
fn due_ms(shared: &Shared, case: &CaseRecord, work: &WorkItem) -> u64 {
    if work.waits_until_ms != 0 {
        return work.waits_until_ms;
    }
    let stands = case::filing(case, &work.filing_id).and_then(|f| f.stands.as_ref());
    let from_ms = stands.map_or(work.made_ms, |s| s.received_ms);
    let directory = shared.directory.load();
    let at_ms = i64::try_from(from_ms).unwrap_or(i64::MAX);
    let hours = directory.ruleset_at(at_ms, false).map_or(DECIDE_HOURS, |r| r.decide_within_hours);
    from_ms.saturating_add(u64::from(hours) * 3_600_000)
}

/// A work item for people and systems.
///
/// # Errors
/// Reading.
pub async fn item(
    shared: &Shared,
    case: &CaseRecord,
    work: WorkItem,
) -> Result<v1::InboxItem, StoreError> {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let proposal = proposal_of(shared, &work).await?;
    let proposal = proposal.map(|(core, internal, _)| v1::Proposal {
        effect: core.effect,
        code: core.code,
        proposed_by: internal.identity,
        note: internal.note,
        request: v1::DecideRequest::decode(internal.request.as_slice()).ok(),
    });
    Ok(v1::InboxItem {
        due_ms: signed(due_ms(shared, case, &work)),
        waits_until_ms: signed(work.waits_until_ms),
        made_ms: signed(work.made_ms),
        work_id: work.id,
        case_id: work.case_id,
        filing_id: work.filing_id,
        filing_version: work.filing_version,
        reason: work.officer_reason,
        priority: work.priority,
        time_limit: work.time_limit,
        proposal,
    })
}
