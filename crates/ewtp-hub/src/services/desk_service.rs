//! What officers and the agency's own systems call.

use std::sync::Arc;

use ewtp_proto::store::v1::CaseRecord;
use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_server::DeskService;
use ewtp_store::Views;
use tonic::{Request, Response, Status};

use super::watch::{Changed, Changes, Responses};
use super::{account, status};
use crate::acts::approve::Decided;
use crate::acts::{self, Done};
use crate::casebook::summary;
use crate::certificates::{self, Content};
use crate::directory::has_role;
use crate::shared::Shared;
use crate::{ledger, quality, reports, worklist};

/// Most rows of a page.
const PAGE_SIZE_MAX: usize = 1000;

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

fn page_size(asked: u32) -> usize {
    match asked as usize {
        0 => 100,
        size => size.min(PAGE_SIZE_MAX),
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
        let size = page_size(request.page_size);
        let listed = worklist::list(&self.shared, &request, size).await;
        listed.map(Response::new).map_err(|e| status::store(&e))
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
        let decided =
            acts::replanned(|| acts::decide::decide(&self.shared, &account, request.get_ref()));
        use v1::decide_response::Result as Outcome;
        let result = Some(match decided.await.map_err(|e| status::intake(&e))? {
            Decided::Done(Done::Logged(logged)) => Outcome::Logged(logged),
            Decided::Done(Done::Refused(refused)) => Outcome::Refused(refused),
            Decided::Proposed(proposed) => Outcome::Proposed(proposed),
        });
        Ok(Response::new(v1::DecideResponse { result }))
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveRequest>,
    ) -> Result<Response<v1::ApproveResponse>, Status> {
        let account = self.acts(&request)?;
        if !has_role(&account, &[v1::Role::Officer]) {
            return Err(Status::permission_denied("the second of four eyes are an officer's"));
        }
        let done =
            acts::replanned(|| acts::approve::approve(&self.shared, &account, request.get_ref()));
        answer!(done, ApproveResponse, v1::approve_response::Result)
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

    async fn show_ledger(
        &self,
        request: Request<v1::ShowLedgerRequest>,
    ) -> Result<Response<v1::ShowLedgerResponse>, Status> {
        self.at_desk(&request)?;
        let request = request.into_inner();
        let page = page_size(request.page_size);
        let shown = ledger::show(&self.shared, &request, page).await;
        let shown = shown.map_err(|e| status::store(&e))?;
        let unknown = "no certificate of this hub has that id and is for one use or a quantity; list them: ewtp certificate list";
        shown.map(Response::new).ok_or_else(|| Status::not_found(unknown))
    }

    async fn free_holding(
        &self,
        request: Request<v1::FreeHoldingRequest>,
    ) -> Result<Response<v1::FreeHoldingResponse>, Status> {
        let account = self.acts(&request)?;
        if !has_role(&account, &[v1::Role::Officer]) {
            return Err(Status::permission_denied("freeing what is held needs the role officer"));
        }
        let freed = ledger::free(&self.shared, request.get_ref(), &account.id).await;
        let violations = match freed {
            Ok(()) => Vec::new(),
            Err(error) => status::unsaid(error)?,
        };
        Ok(Response::new(v1::FreeHoldingResponse { violations }))
    }

    async fn show_quality(
        &self,
        request: Request<v1::ShowQualityRequest>,
    ) -> Result<Response<v1::ShowQualityResponse>, Status> {
        let account = account(&self.shared, &request)?;
        if !has_role(
            &account,
            &[v1::Role::Officer, v1::Role::System, v1::Role::Operator, v1::Role::Auditor],
        ) {
            return Err(Status::permission_denied("figures of quality are for the agency"));
        }
        let shown = quality::show(&self.shared, request.get_ref()).await;
        shown.map(Response::new).map_err(|e| status::store(&e))
    }

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<v1::ReportResponse>, Status> {
        let account = account(&self.shared, &request)?;
        if !has_role(&account, &[v1::Role::Officer, v1::Role::Auditor]) {
            return Err(Status::permission_denied("reports need the role officer or auditor"));
        }
        if request.get_ref().publish && !has_role(&account, &[v1::Role::Officer]) {
            return Err(Status::permission_denied("publishing a report needs the role officer"));
        }
        match reports::report(&self.shared, request.get_ref(), &account.id).await {
            Ok(response) => Ok(Response::new(response)),
            Err(error) => {
                let violations = status::unsaid(error)?;
                Ok(Response::new(v1::ReportResponse { violations, ..Default::default() }))
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
        let limit = page_size(request.page_size);
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
        for work in open.map_err(|e| status::store(&e))? {
            let item = worklist::item(&shared, &record, work).await;
            items.push(item.map_err(|e| status::store(&e))?);
        }
    }
    let case = Some(summary(&shared, &record));
    Ok(Some(v1::WatchInboxResponse { cursor: number, case, items }))
}
