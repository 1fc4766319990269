//! What officers and the agency's own systems call.

use std::sync::Arc;

use ewtp_proto::store::v1::{CaseRecord, WorkItem};
use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_server::DeskService;
use ewtp_store::Views;
use ewtp_trade::case;
use tonic::{Request, Response, Status};

use super::watch::{Changed, Changes, Responses};
use super::{account, status};
use crate::acts::{self, Done};
use crate::casebook::summary;
use crate::certificates::{self, Content};
use crate::directory::has_role;
use crate::shared::Shared;

/// Most rows of a page.
const PAGE_SIZE_MAX: usize = 1000;
/// Work items looked at for one page.
const SCANNED_MAX: usize = 20_000;

pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
}

fn at_desk(account: &v1::AccountRecord) -> Result<(), Status> {
    if has_role(account, &[v1::Role::Officer, v1::Role::System]) {
        Ok(())
    } else {
        Err(Status::permission_denied("the desk needs the role officer or system"))
    }
}

fn item(work: WorkItem) -> v1::InboxItem {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    v1::InboxItem {
        waits_until_ms: signed(work.waits_until_ms),
        made_ms: signed(work.made_ms),
        work_id: work.id,
        case_id: work.case_id,
        filing_id: work.filing_id,
        filing_version: work.filing_version,
        reason: work.officer_reason,
    }
}

impl Desk {
    async fn certificate(
        &self,
        hub: &str,
        id: &str,
    ) -> Result<Option<v1::CertificateView>, Status> {
        let found = Views(&*self.shared.store).certificate(hub, id).await;
        let found = found.map_err(|e| status::store(&e))?;
        Ok(found.map(|stored| certificates::view(stored, self.shared.identity.hub.as_str())))
    }

    fn at_desk<T>(&self, request: &Request<T>) -> Result<Arc<v1::AccountRecord>, Status> {
        let account = account(&self.shared, request)?;
        at_desk(&account)?;
        Ok(account)
    }

    /// The same for an act, within the account's limits: what is logged stays logged.
    fn acts<T>(&self, request: &Request<T>) -> Result<Arc<v1::AccountRecord>, Status> {
        let account = self.at_desk(request)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        Ok(account)
    }

    /// Whether somebody can still do something about a work item: its filing may have been replaced, withdrawn or released.
    async fn is_due(&self, work: &WorkItem) -> Result<bool, Status> {
        let case = Views(&*self.shared.store).case(&work.case_id).await;
        let Some(case) = case.map_err(|e| status::store(&e))? else { return Ok(false) };
        let filing = case::filing(&case, &work.filing_id);
        Ok(filing.is_some_and(|f| {
            f.version == work.filing_version
                && !case::is_invalidated(&case, f)
                && !case::is_completed(&case, f)
                && !case::goods_released(&case)
        }))
    }
}

/// The two outcomes of an act as a response's own `oneof`.
macro_rules! answer {
    ($done:expr, $response:ident, $outcome:path) => {{
        use $outcome as Outcome;
        let result = Some(match $done.await.map_err(|e| status::intake(&e))? {
            Done::Logged(logged) => Outcome::Logged(logged),
            Done::Refused(refused) => Outcome::Refused(refused),
        });
        Ok(Response::new(v1::$response { result }))
    }};
}

#[tonic::async_trait]
impl DeskService for Desk {
    type WatchInboxStream = Responses<v1::WatchInboxResponse>;

    async fn watch_inbox(
        &self,
        request: Request<v1::WatchInboxRequest>,
    ) -> Result<Response<Self::WatchInboxStream>, Status> {
        self.at_desk(&request)?;
        let spki = super::caller(&request)?.spki;
        let changes = Changes::after(&self.shared, spki, request.into_inner().cursor);
        Ok(Response::new(changes.stream(inbox)))
    }

    async fn list_inbox(
        &self,
        request: Request<v1::ListInboxRequest>,
    ) -> Result<Response<v1::ListInboxResponse>, Status> {
        self.at_desk(&request)?;
        let request = request.into_inner();
        let size = match request.page_size as usize {
            0 => 100,
            n => n.min(PAGE_SIZE_MAX),
        };
        let views = Views(&*self.shared.store);
        let (mut out, mut after, mut scanned) =
            (v1::ListInboxResponse::default(), request.after, 0);
        loop {
            let page = views.work_after(&after, size).await.map_err(|e| status::store(&e))?;
            let more = page.len() == size;
            for work in page {
                after.clone_from(&work.id);
                scanned += 1;
                let asked_for = !request.officers_only || !work.officer_reason.is_empty();
                if out.items.len() < size && asked_for && self.is_due(&work).await? {
                    out.items.push(item(work));
                }
                if out.items.len() == size {
                    break;
                }
            }
            if !more && out.items.len() < size {
                break;
            }
            if out.items.len() == size || scanned >= SCANNED_MAX {
                out.next = after;
                break;
            }
        }
        let mut ids: Vec<&str> = out.items.iter().map(|i| i.case_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let record = views.case(id).await.map_err(|e| status::store(&e))?;
            out.cases.extend(record.map(|r| summary(&self.shared, &r)));
        }
        Ok(Response::new(out))
    }

    async fn ask(
        &self,
        request: Request<v1::AskRequest>,
    ) -> Result<Response<v1::AskResponse>, Status> {
        let account = self.acts(&request)?;
        let done = acts::replanned(|| acts::decide::ask(&self.shared, &account, request.get_ref()));
        answer!(done, AskResponse, v1::ask_response::Result)
    }

    async fn decide(
        &self,
        request: Request<v1::DecideRequest>,
    ) -> Result<Response<v1::DecideResponse>, Status> {
        let account = self.acts(&request)?;
        let done =
            acts::replanned(|| acts::decide::decide(&self.shared, &account, request.get_ref()));
        answer!(done, DecideResponse, v1::decide_response::Result)
    }

    async fn settle_condition(
        &self,
        request: Request<v1::SettleConditionRequest>,
    ) -> Result<Response<v1::SettleConditionResponse>, Status> {
        let account = self.acts(&request)?;
        let done =
            acts::replanned(|| acts::decide::settle(&self.shared, &account, request.get_ref()));
        answer!(done, SettleConditionResponse, v1::settle_condition_response::Result)
    }

    async fn record_event(
        &self,
        request: Request<v1::RecordEventRequest>,
    ) -> Result<Response<v1::RecordEventResponse>, Status> {
        let account = self.acts(&request)?;
        let done =
            acts::replanned(|| acts::event::record(&self.shared, &account, request.get_ref()));
        answer!(done, RecordEventResponse, v1::record_event_response::Result)
    }

    async fn erase_attachment(
        &self,
        request: Request<v1::EraseAttachmentRequest>,
    ) -> Result<Response<v1::EraseAttachmentResponse>, Status> {
        let account = self.acts(&request)?;
        if !has_role(&account, &[v1::Role::Officer]) {
            return Err(Status::permission_denied("erasing needs the role officer"));
        }
        let done =
            acts::replanned(|| acts::erase::erase(&self.shared, &account, request.get_ref()));
        answer!(done, EraseAttachmentResponse, v1::erase_attachment_response::Result)
    }

    async fn erase_case(
        &self,
        request: Request<v1::EraseCaseRequest>,
    ) -> Result<Response<v1::EraseCaseResponse>, Status> {
        let account = self.acts(&request)?;
        if !has_role(&account, &[v1::Role::Officer]) {
            return Err(Status::permission_denied("erasing needs the role officer"));
        }
        let act = || acts::erase_case::erase(&self.shared, &account, request.get_ref());
        acts::replanned(act).await.map(Response::new).map_err(|e| status::intake(&e))
    }

    async fn issue_certificate(
        &self,
        request: Request<v1::IssueCertificateRequest>,
    ) -> Result<Response<v1::IssueCertificateResponse>, Status> {
        let account = self.acts(&request)?;
        let request = request.into_inner();
        let content = Content {
            core: request.core.unwrap_or_default(),
            holder: request.holder.unwrap_or_default(),
            lines: request.lines,
            original: request.original.unwrap_or_default(),
        };
        match certificates::issue(&self.shared, content, &account.id).await {
            Ok(id) => {
                let certificate = self.certificate("", &id).await?;
                let violations = Vec::new();
                Ok(Response::new(v1::IssueCertificateResponse { violations, certificate }))
            }
            Err(error) => {
                let violations = status::unsaid(error)?;
                Ok(Response::new(v1::IssueCertificateResponse { violations, certificate: None }))
            }
        }
    }

    async fn change_certificate(
        &self,
        request: Request<v1::ChangeCertificateRequest>,
    ) -> Result<Response<v1::ChangeCertificateResponse>, Status> {
        let account = self.acts(&request)?;
        let request = request.into_inner();
        let (id, state) = (request.certificate_id.as_str(), request.state());
        let (by, why) = (request.replaced_by.as_str(), request.reason.as_str());
        match certificates::change(&self.shared, id, state, by, why, &account.id).await {
            Ok(()) => {
                let certificate = self.certificate("", id).await?;
                let violations = Vec::new();
                Ok(Response::new(v1::ChangeCertificateResponse { violations, certificate }))
            }
            Err(error) => {
                let violations = status::unsaid(error)?;
                Ok(Response::new(v1::ChangeCertificateResponse { violations, certificate: None }))
            }
        }
    }

    async fn list_certificates(
        &self,
        request: Request<v1::ListCertificatesRequest>,
    ) -> Result<Response<v1::ListCertificatesResponse>, Status> {
        self.at_desk(&request)?;
        let request = request.into_inner();
        let me = self.shared.identity.hub.as_str();
        let hub = if request.hub == me { "" } else { request.hub.as_str() };
        let limit = match request.page_size as usize {
            0 => 100,
            size => size.min(PAGE_SIZE_MAX),
        };
        let views = Views(&*self.shared.store);
        let all = match request.holder_id.as_str() {
            "" => views.certificates(hub, &request.page_token, limit).await,
            holder => {
                let name = ewtp_store::keys::CertificateName::Holder(holder);
                views.certificates_of(hub, name, PAGE_SIZE_MAX).await
            }
        };
        let all = all.map_err(|e| status::store(&e))?;
        let next_page_token = match all.last().filter(|_| all.len() == limit) {
            Some(last) if request.holder_id.is_empty() => {
                last.core.as_ref().map(|c| c.certificate_id.clone()).unwrap_or_default()
            }
            _ => String::new(),
        };
        let certificates = all.into_iter().map(|c| certificates::view(c, me)).collect();
        Ok(Response::new(v1::ListCertificatesResponse { certificates, next_page_token }))
    }
}

/// A case that this hub assesses, with its open work.
async fn inbox(changed: Changed) -> Result<Option<v1::WatchInboxResponse>, Status> {
    let Changed { shared, account, number, change } = changed;
    at_desk(&account)?;
    let (views, me) = (Views(&*shared.store), shared.identity.hub.as_str());
    let record = views.case(&change.case_id).await.map_err(|e| status::store(&e))?;
    let here = |r: &CaseRecord| r.filings.iter().any(|f| f.assessed_by == me);
    let Some(record) = record.filter(here) else { return Ok(None) };
    let mut items = Vec::new();
    for filing in record.filings.iter().filter(|f| f.assessed_by == me) {
        let open = views.work_on(&filing.filing_id, filing.version).await;
        items.extend(open.map_err(|e| status::store(&e))?.into_iter().map(item));
    }
    let case = Some(summary(&shared, &record));
    Ok(Some(v1::WatchInboxResponse { cursor: number, case, items }))
}
