//! What accounts call.

use std::sync::Arc;

use ewtp_proto::store::v1::{CaseRecord, ForgottenRecord, Locator};
use ewtp_proto::v1;
use ewtp_proto::v1::trade_service_server::TradeService;
use ewtp_store::{Views, Whose};
use ewtp_trade::attachment;
use ewtp_trade::case::hub;
use ewtp_trade::forget::{SaidIn, said_in};
use futures_util::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::pieces::file_pieces;
use super::watch::{Changed, Changes, Responses};
use super::{account, status};
use crate::acts::{self, Done};
use crate::attachments;
use crate::casebook::{Casebook, Viewer, summary};
use crate::directory::{AGENCY_ROLES, has_role};
use crate::intake::{self, Pace};
use crate::precheck::{PrecheckError, precheck};
use crate::prove::{LaneWanted, proof_of_erased, receipt_of_heard, receipt_of_own};
use crate::shared::Shared;
use crate::standing;
use crate::{consultations, ledger, reports};

/// Items of one stream that are in work at once.
const STREAM_IN_FLIGHT: usize = 512;
/// Most rows of a page.
const PAGE_SIZE_MAX: usize = 1000;
/// Rows looked at for one page; filters that match little return early with a token.
const ROWS_SCANNED_MAX: usize = 20_000;

pub(super) struct Trade {
    pub(super) shared: Arc<Shared>,
}

fn viewer(account: &v1::AccountRecord) -> Viewer {
    if has_role(account, AGENCY_ROLES) { Viewer::Agency } else { Viewer::Trader }
}

fn may_file(account: &v1::AccountRecord) -> Result<(), Status> {
    if has_role(account, &[v1::Role::Trader, v1::Role::Platform]) {
        Ok(())
    } else {
        Err(Status::permission_denied("filing needs the role trader or platform"))
    }
}

fn languages<T>(request: &Request<T>) -> Vec<String> {
    let header =
        request.metadata().get("accept-language").and_then(|v| v.to_str().ok()).unwrap_or("en");
    let tag = |t: &str| t.split(';').next().unwrap_or_default().trim().to_owned();
    header.split(',').take(8).map(tag).filter(|t| !t.is_empty()).collect()
}

impl Trade {
    /// The caller, who files, within its limits.
    fn filer<T>(&self, request: &Request<T>) -> Result<Arc<v1::AccountRecord>, Status> {
        let account = account(&self.shared, request)?;
        may_file(&account)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        Ok(account)
    }

    async fn record(&self, account: &v1::AccountRecord, id: &str) -> Result<CaseRecord, Status> {
        let record = standing::case_of(&self.shared, account, id).await;
        // A case of somebody else and no case at all look the same.
        let record = record.map_err(|e| status::store(&e))?;
        record.ok_or_else(|| Status::not_found(format!("you have no case {id}")))
    }
}

#[tonic::async_trait]
impl TradeService for Trade {
    type SubmitStreamStream = Responses<v1::SubmitStreamResponse>;
    type WatchCasesStream = Responses<v1::WatchCasesResponse>;
    type FetchAttachmentStream = Responses<v1::FetchAttachmentResponse>;

    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let account = account(&self.shared, &request)?;
        may_file(&account)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        let request = Box::new(request.into_inner());
        let outcome = intake::submit(&self.shared, &account, &request, Pace::Refuse).await;
        outcome.map(Response::new).map_err(|e| status::intake(&e))
    }

    async fn submit_stream(
        &self,
        request: Request<Streaming<v1::SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let account = account(&self.shared, &request)?;
        may_file(&account)?;
        let (shared, spki) = (Arc::clone(&self.shared), super::caller(&request)?.spki);
        let one = move |item: Result<v1::SubmitStreamRequest, Status>| {
            let (shared, account) = (Arc::clone(&shared), Arc::clone(&account));
            // A filing is some kilobytes of fields: boxed before it is moved from future to future.
            let item = item.map(|item| (item.sequence, Box::new(item.request.unwrap_or_default())));
            async move {
                let (sequence, request) = item?;
                // Looked up per item: a credential that is revoked meanwhile files nothing more.
                let now = shared.directory.load().account(&spki).cloned();
                may_file(
                    &*now.ok_or_else(|| Status::unauthenticated("the credential was revoked"))?,
                )?;
                // One account's streams together never fill the queue that all accounts share.
                let share = shared.share_of(&account.id);
                let _turn = share
                    .acquire_owned()
                    .await
                    .map_err(|_| Status::unavailable("the hub is stopping"))?;
                let now_ms = shared.clock.now_ms();
                while let Err(limit) =
                    shared.limits.take(&account.id, now_ms.max(shared.clock.now_ms()))
                {
                    match limit {
                        // A stream is slowed, not refused: HTTP/2 flow control reaches the sender.
                        crate::limits::OverLimit::Rate { retry_after, .. } => {
                            tokio::time::sleep(retry_after).await
                        }
                        daily @ crate::limits::OverLimit::Daily { .. } => {
                            return Err(status::limit(daily));
                        }
                    }
                }
                let outcome = intake::submit(&shared, &account, &request, Pace::Wait).await;
                let response = outcome.map_err(|e| status::intake(&e))?;
                Ok(v1::SubmitStreamResponse { sequence, response: Some(response) })
            }
        };
        let responses = request.into_inner().map(one).buffer_unordered(STREAM_IN_FLIGHT);
        let stop = self.shared.stop.clone();
        Ok(Response::new(Box::pin(responses.take_until(async move { stop.cancelled().await }))))
    }

    async fn answer_information_request(
        &self,
        request: Request<v1::AnswerInformationRequestRequest>,
    ) -> Result<Response<v1::AnswerInformationRequestResponse>, Status> {
        let account = account(&self.shared, &request)?;
        may_file(&account)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        use v1::answer_information_request_response::Result as Outcome;
        let request = request.into_inner();
        let answer = || acts::answer::answer(&self.shared, &account, request.clone());
        let done = acts::replanned(answer).await;
        let result = Some(match done.map_err(|e| status::intake(&e))? {
            Done::Logged(logged) => Outcome::Logged(logged),
            Done::Refused(refused) => Outcome::Refused(refused),
        });
        Ok(Response::new(v1::AnswerInformationRequestResponse { result }))
    }

    async fn get_case(
        &self,
        request: Request<v1::GetCaseRequest>,
    ) -> Result<Response<v1::GetCaseResponse>, Status> {
        let account = account(&self.shared, &request)?;
        let languages = languages(&request);
        let record = self.record(&account, &request.into_inner().case_id).await?;
        let directory = self.shared.directory.load_full();
        let book = Casebook {
            shared: &self.shared,
            directory: &directory,
            viewer: viewer(&account),
            account: &account,
            languages,
        };
        let case = book.case(&record).await.map_err(|e| status::store(&e))?;
        Ok(Response::new(v1::GetCaseResponse { case: Some(case) }))
    }

    async fn list_cases(
        &self,
        request: Request<v1::ListCasesRequest>,
    ) -> Result<Response<v1::ListCasesResponse>, Status> {
        let account = account(&self.shared, &request)?;
        let request = request.into_inner();
        let size = match request.page_size as usize {
            0 => 100,
            n => n.min(PAGE_SIZE_MAX),
        };
        let mut from = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| {
                status::field("page_token", "take it from the last response".into())
            })?,
        };
        let whose = standing::whose(&self.shared, &account).await.map_err(|e| status::store(&e))?;
        // Many indexes are not merged: all cases are looked through instead.
        let looked = if whose.len() > standing::MERGED_MAX { &Whose::All } else { &whose };
        let views = Views(&*self.shared.store);
        let (mut cases, mut scanned) = (Vec::new(), 0);
        loop {
            let records = views.cases(looked, from, size).await.map_err(|e| status::store(&e))?;
            let more = records.len() == size;
            for record in records {
                from = record.ordinal + 1;
                scanned += 1;
                let row = summary(&self.shared, &record);
                let seen = whose.has(&record.accounts, &record.parties);
                let known = !(record.filings.is_empty() && record.forgotten.is_empty());
                if seen && known && matches(&request, &record, &row) {
                    cases.push(row);
                }
                if cases.len() == size {
                    break;
                }
            }
            if !more && cases.len() < size {
                return Ok(Response::new(v1::ListCasesResponse {
                    cases,
                    next_page_token: String::new(),
                }));
            }
            if cases.len() == size || scanned >= ROWS_SCANNED_MAX {
                return Ok(Response::new(v1::ListCasesResponse {
                    cases,
                    next_page_token: from.to_string(),
                }));
            }
        }
    }

    async fn watch_cases(
        &self,
        request: Request<v1::WatchCasesRequest>,
    ) -> Result<Response<Self::WatchCasesStream>, Status> {
        account(&self.shared, &request)?;
        let spki = super::caller(&request)?.spki;
        let changes = Changes::after(&self.shared, spki, request.into_inner().cursor);
        Ok(Response::new(changes.stream(
            |Changed { shared, account, number, change }| async move {
                let seen = standing::sees(&shared, &account, &change.accounts, &change.parties);
                if !seen.await.map_err(|e| status::store(&e))? {
                    return Ok(None);
                }
                let record = Views(&*shared.store).case(&change.case_id).await;
                let record = record.map_err(|e| status::store(&e))?;
                let case = record.map(|r| summary(&shared, &r));
                Ok(Some(v1::WatchCasesResponse { cursor: number, case }))
            },
        )))
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let account = account(&self.shared, &request)?;
        let mut request = request.into_inner();
        let viewer = viewer(&account);
        let own_chain = self.shared.chain.load().to_file();
        if !request.ruleset.is_empty() {
            return self.ruleset_receipt(&request, viewer, own_chain).await;
        }
        if !request.certificate_id.is_empty() {
            return self.certificate_receipt(&account, &request, own_chain).await;
        }
        if !request.report.is_empty() {
            return self.report_receipt(&request, viewer, own_chain).await;
        }
        let record = self.record(&account, &request.case_id).await?;
        let at = locate(&record, &request.commitment, viewer)
            .ok_or_else(|| Status::not_found("the case holds no statement with that commitment"))?;
        let gone = |f: &ForgottenRecord| {
            f.parts.is_empty()
                && f.stands.as_ref().is_some_and(|s| s.commitment == request.commitment)
        };
        if record.forgotten.iter().any(gone) {
            let proof = proof_of_erased(&self.shared, &at).await;
            let (erased_proof, descriptors) = proof.map_err(|e| status::receipt(&e))?;
            let receipt = String::new();
            return Ok(Response::new(v1::GetReceiptResponse {
                receipt,
                descriptors,
                erased_proof,
            }));
        }
        if !self.sees_parts(&account, &record, &request.commitment, &at).await? {
            request.parts = vec!["core".to_owned()];
        }
        let lane = if request.with_lane { LaneWanted::Yes } else { LaneWanted::No };
        if at.peer.is_empty() {
            let directory = self.shared.directory.load_full();
            let peer = directory
                .peers
                .keys()
                .find(|p| lane == LaneWanted::Yes && *p == &other_hub(&record, &self.shared));
            let receipt =
                receipt_of_own(&self.shared, at.number, viewer, &request.parts, peer).await;
            let receipt = receipt.map_err(|e| status::store(&e))?;
            let receipt = receipt.ok_or_else(|| Status::not_found("no such statement"))?;
            return Ok(Response::new(v1::GetReceiptResponse {
                receipt,
                descriptors: own_chain,
                ..Default::default()
            }));
        }
        let outcome = receipt_of_heard(&self.shared, &at, viewer, &request.parts, lane).await;
        let (receipt, descriptors) = outcome.map_err(|e| status::receipt(&e))?;
        Ok(Response::new(v1::GetReceiptResponse { receipt, descriptors, ..Default::default() }))
    }

    async fn list_drafts(
        &self,
        request: Request<v1::ListDraftsRequest>,
    ) -> Result<Response<v1::ListDraftsResponse>, Status> {
        let account = account(&self.shared, &request)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        let listed = consultations::list(&self.shared, request.get_ref()).await;
        let consultations = listed.map_err(|e| status::store(&e))?;
        Ok(Response::new(v1::ListDraftsResponse { consultations }))
    }

    async fn comment_on_draft(
        &self,
        request: Request<v1::CommentOnDraftRequest>,
    ) -> Result<Response<v1::CommentOnDraftResponse>, Status> {
        let account = account(&self.shared, &request)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        match consultations::comment(&self.shared, &account, request.get_ref()).await {
            Ok(comment_id) => {
                let violations = Vec::new();
                Ok(Response::new(v1::CommentOnDraftResponse { violations, comment_id }))
            }
            Err(error) => {
                let violations = status::unsaid(error)?;
                let comment_id = String::new();
                Ok(Response::new(v1::CommentOnDraftResponse { violations, comment_id }))
            }
        }
    }

    async fn pre_check(
        &self,
        request: Request<v1::PreCheckRequest>,
    ) -> Result<Response<v1::PreCheckResponse>, Status> {
        let account = account(&self.shared, &request)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        let languages = languages(&request);
        let request = request.into_inner();
        match precheck(&self.shared, &account.id, &request, &languages).await {
            Ok(response) => Ok(Response::new(response)),
            Err(PrecheckError::Draft(error)) => Err(status::draft(&error)),
            Err(PrecheckError::Random(error)) => Err(Status::internal(error.to_string())),
        }
    }

    async fn get_ruleset(
        &self,
        request: Request<v1::GetRulesetRequest>,
    ) -> Result<Response<v1::GetRulesetResponse>, Status> {
        let account = account(&self.shared, &request)?;
        let request = request.into_inner();
        let all = Views(&*self.shared.store).rulesets().await.map_err(|e| status::store(&e))?;
        let agency = viewer(&account) == Viewer::Agency;
        let missing = || Status::not_found("no such public ruleset");
        if !request.hub.is_empty() && request.hub != self.shared.identity.hub.as_str() {
            let kept = crate::rulebook::foreign(&self.shared, &request.hub, &request.digest).await;
            let kept = kept.ok_or_else(missing)?;
            return Ok(Response::new(v1::GetRulesetResponse {
                text: kept.text.clone(),
                digest: request.digest,
                version: kept.ruleset.version,
            }));
        }
        let fits = |core: &v1::RulesetCore| {
            let named = core.name == request.name
                && (request.version == 0 || core.version == request.version);
            let cited = !request.digest.is_empty() && core.digest == request.digest;
            (cited || (request.digest.is_empty() && named)) && (agency || !core.confidential)
        };
        let found = all.into_iter().rfind(|r| r.core.as_ref().is_some_and(fits));
        let found = found.and_then(|r| r.core.map(|c| (c, r.text)));
        let (core, text) = found.ok_or_else(missing)?;
        Ok(Response::new(v1::GetRulesetResponse {
            text,
            digest: core.digest,
            version: core.version,
        }))
    }

    async fn invalidate(
        &self,
        request: Request<v1::InvalidateRequest>,
    ) -> Result<Response<v1::InvalidateResponse>, Status> {
        use v1::invalidate_response::Result as Outcome;
        let account = self.filer(&request)?;
        let act = || acts::withdraw::withdraw(&self.shared, &account, request.get_ref());
        let done = acts::replanned(act).await;
        let result = Some(match done.map_err(|e| status::intake(&e))? {
            Done::Logged(logged) => Outcome::Logged(logged),
            Done::Refused(refused) => Outcome::Refused(refused),
        });
        Ok(Response::new(v1::InvalidateResponse { result }))
    }

    async fn adopt(
        &self,
        request: Request<v1::AdoptRequest>,
    ) -> Result<Response<v1::AdoptResponse>, Status> {
        use v1::adopt_response::Result as Outcome;
        let account = self.filer(&request)?;
        let act = || acts::adopt::adopt(&self.shared, &account, request.get_ref());
        let answer = acts::replanned(act).await;
        let result = answer.map_err(|e| status::intake(&e))?.result.map(|result| match result {
            v1::submit_response::Result::Accepted(accepted) => Outcome::Accepted(accepted),
            v1::submit_response::Result::Refused(refused) => Outcome::Refused(refused),
        });
        Ok(Response::new(v1::AdoptResponse { result }))
    }

    async fn put_mandate(
        &self,
        request: Request<v1::PutMandateRequest>,
    ) -> Result<Response<v1::PutMandateResponse>, Status> {
        use v1::put_mandate_response::Result as Outcome;
        let account = account(&self.shared, &request)?;
        self.shared.limits.take(&account.id, self.shared.clock.now_ms()).map_err(status::limit)?;
        let core = request.into_inner().mandate.unwrap_or_default();
        let done = acts::mandate::put(&self.shared, &account, core).await;
        let result = Some(match done.map_err(|e| status::intake(&e))? {
            Done::Logged(logged) => Outcome::Logged(logged),
            Done::Refused(refused) => Outcome::Refused(refused),
        });
        Ok(Response::new(v1::PutMandateResponse { result }))
    }

    async fn list_mandates(
        &self,
        request: Request<v1::ListMandatesRequest>,
    ) -> Result<Response<v1::ListMandatesResponse>, Status> {
        let account = account(&self.shared, &request)?;
        let found = acts::mandate::list(&self.shared, &account, request.get_ref()).await;
        let mandates = found.map_err(|e| status::store(&e))?;
        Ok(Response::new(v1::ListMandatesResponse { mandates }))
    }

    async fn report_event(
        &self,
        request: Request<v1::ReportEventRequest>,
    ) -> Result<Response<v1::ReportEventResponse>, Status> {
        use v1::report_event_response::Result as Outcome;
        let account = self.filer(&request)?;
        let act = || acts::event::report(&self.shared, &account, request.get_ref());
        let done = acts::replanned(act).await;
        let result = Some(match done.map_err(|e| status::intake(&e))? {
            Done::Logged(logged) => Outcome::Logged(logged),
            Done::Refused(refused) => Outcome::Refused(refused),
        });
        Ok(Response::new(v1::ReportEventResponse { result }))
    }

    async fn upload_attachment(
        &self,
        request: Request<Streaming<v1::UploadAttachmentRequest>>,
    ) -> Result<Response<v1::UploadAttachmentResponse>, Status> {
        let account = self.filer(&request)?;
        let mut pieces = request.into_inner();
        let first = pieces.message().await?.unwrap_or_default();
        let reference = first.attachment.clone().unwrap_or_default();
        if let Some(wrong) = attachment::check_one("attachment", &reference) {
            return Err(status::field(&wrong.path, ewtp_trade::finding::line(&wrong)));
        }
        let digest: [u8; 32] = reference.digest.as_slice().try_into().unwrap_or_default();
        let erased = Views(&*self.shared.store).is_erased(&digest).await;
        if erased.map_err(|e| status::store(&e))? {
            return Err(Status::failed_precondition(
                "it was erased; seal it anew with another salt",
            ));
        }
        let files = &self.shared.attachments;
        let writing = files.write(digest).map_err(|e| status::attachment(&e))?;
        let mut piece = Some(first);
        while let Some(next) = piece {
            if !next.chunk.is_empty() {
                let now_ms = self.shared.clock.now_ms();
                let taken = files.take(&account.id, now_ms, next.chunk.len());
                taken.map_err(|e| status::attachment(&e))?;
                let added = writing.append(reference.size, next.offset, &next.chunk).await;
                added.map_err(|e| status::attachment(&e))?;
            }
            piece = pieces.message().await?;
        }
        let held = writing.finish(&reference).await.map_err(|e| status::attachment(&e))?;
        let response = v1::UploadAttachmentResponse { held: held.bytes, complete: held.complete };
        Ok(Response::new(response))
    }

    async fn fetch_attachment(
        &self,
        request: Request<v1::FetchAttachmentRequest>,
    ) -> Result<Response<Self::FetchAttachmentStream>, Status> {
        let account = account(&self.shared, &request)?;
        let request = request.into_inner();
        let record = self.record(&account, &request.case_id).await?;
        if let Some(reason) = attachments::erased(&record, &request.digest) {
            return Err(Status::failed_precondition(format!("it was erased: {reason}")));
        }
        let missing = || Status::not_found("the case cites no such attachment that you may see");
        let all = attachments::cited(&*self.shared.store, &record).await;
        let mut all = all.map_err(|e| status::store(&e))?.into_iter();
        let cited = all.find(|c| c.reference.digest == request.digest).ok_or_else(missing)?;
        let seen = attachments::may_fetch(&self.shared, &account, &cited).await;
        if !seen.map_err(|e| status::store(&e))? {
            return Err(missing());
        }
        let digest = request.digest.as_slice().try_into().map_err(|_| missing())?;
        if !self.shared.attachments.held(&digest).await.complete {
            let got = attachments::acquire(&self.shared, &cited, digest).await;
            got.map_err(|e| status::fetch(&e))?;
        }
        let total = cited.reference.size;
        let pieces = file_pieces(&self.shared, digest, request.offset);
        let piece = move |piece: Result<Vec<u8>, Status>| {
            piece.map(|chunk| v1::FetchAttachmentResponse { chunk, total })
        };
        Ok(Response::new(Box::pin(pieces.map(piece))))
    }
}

impl Trade {
    /// Whether a receipt of a statement may show more than its core to an account.
    async fn sees_parts(
        &self,
        account: &v1::AccountRecord,
        record: &CaseRecord,
        commitment: &[u8],
        at: &Locator,
    ) -> Result<bool, Status> {
        let is_it = |f: &&ewtp_proto::store::v1::FilingRecord| {
            f.stands.iter().chain(&f.earlier).any(|s| s.commitment == commitment)
        };
        let Some(filing) = record.filings.iter().find(is_it) else { return Ok(true) };
        let statement = Views(&*self.shared.store).statement(at).await;
        let core = statement.map_err(|e| status::store(&e))?.and_then(|s| s.part("core"));
        let core: v1::FilingCore = core.unwrap_or_default();
        let seen = standing::sees_parts(&self.shared, account, &filing.account, &core).await;
        seen.map_err(|e| status::store(&e))
    }

    /// A report is published: whoever has an account may ask for its receipt and pass it on.
    async fn report_receipt(
        &self,
        request: &v1::GetReceiptRequest,
        viewer: Viewer,
        descriptors: String,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let (kind, number) = (&request.report, request.report_number);
        let found = reports::published(&self.shared, kind, number).await;
        let found = found.map_err(|e| status::store(&e))?;
        let index = found.ok_or_else(|| Status::not_found("no such report of this hub"))?;
        let receipt = receipt_of_own(&self.shared, index, viewer, &["core".into()], None).await;
        let receipt = receipt.map_err(|e| status::store(&e))?;
        let receipt = receipt.ok_or_else(|| Status::not_found("no such statement"))?;
        Ok(Response::new(v1::GetReceiptResponse { receipt, descriptors, ..Default::default() }))
    }

    async fn certificate_receipt(
        &self,
        account: &v1::AccountRecord,
        request: &v1::GetReceiptRequest,
        descriptors: String,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let views = Views(&*self.shared.store);
        let found = views.certificate("", &request.certificate_id).await;
        let found = found.map_err(|e| status::store(&e))?.filter(|stored| {
            // As the certificate names its holder, or as arrangements map that.
            let holder = stored.holder.as_ref().map_or("", |h| &h.id);
            let names = ledger::names_of(&self.shared, holder);
            has_role(account, AGENCY_ROLES)
                || account.registered_ids.iter().any(|id| names.contains(id))
        });
        let found = found.ok_or_else(|| {
            Status::not_found("no such certificate of this hub, or not one of this account's")
        })?;
        let viewer = viewer(account);
        let receipt =
            receipt_of_own(&self.shared, found.log_index, viewer, &request.parts, None).await;
        let receipt = receipt.map_err(|e| status::store(&e))?.unwrap_or_default();
        Ok(Response::new(v1::GetReceiptResponse { receipt, descriptors, ..Default::default() }))
    }

    async fn ruleset_receipt(
        &self,
        request: &v1::GetReceiptRequest,
        viewer: Viewer,
        descriptors: String,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let all = Views(&*self.shared.store).rulesets().await.map_err(|e| status::store(&e))?;
        let named =
            |c: &v1::RulesetCore| c.name == request.ruleset && c.version == request.ruleset_version;
        let found = all.into_iter().find(|r| r.core.as_ref().is_some_and(named));
        let found = found.ok_or_else(|| Status::not_found("no such ruleset"))?;
        let receipt =
            receipt_of_own(&self.shared, found.log_index, viewer, &request.parts, None).await;
        let receipt = receipt.map_err(|e| status::store(&e))?.unwrap_or_default();
        Ok(Response::new(v1::GetReceiptResponse { receipt, descriptors, ..Default::default() }))
    }
}

/// The other hub of a case: whose lane a receipt's path is about.
fn other_hub(record: &CaseRecord, shared: &Shared) -> ewtp_log::HubId {
    let me = shared.identity.hub.as_str();
    let hubs = record.filings.iter().flat_map(|f| [hub(f.stands.as_ref()), f.assessed_by.as_str()]);
    let other = hubs.filter(|h| *h != me).find_map(|h| h.parse().ok());
    other.unwrap_or_else(|| shared.identity.hub.clone())
}

fn locate(record: &CaseRecord, commitment: &[u8], viewer: Viewer) -> Option<Locator> {
    // What is not honoured, and what is said of it, is between the two hubs.
    let shown = |s: &SaidIn| viewer == Viewer::Agency || !["refused", "ack"].contains(&s.kind);
    let said = said_in(record).into_iter().filter(shown).map(|s| s.stands);
    let others = record.events.iter().map(|e| &e.stands);
    let others = others.chain(record.erasures.iter().map(|e| &e.stands));
    let others = others.chain(record.forgotten.iter().map(|f| &f.stands));
    let others = others.chain(record.drawings.iter().map(|d| &d.stands));
    let mut all = said.chain(others.flatten().cloned());
    all.find(|s| s.commitment == commitment)?.at
}

fn matches(request: &v1::ListCasesRequest, record: &CaseRecord, row: &v1::CaseSummary) -> bool {
    let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
    let (lrn, reference) = (&request.lrn, &request.reference);
    (request.states.is_empty() || request.states.contains(&row.state))
        && is(&request.filed_at, &row.filed_at)
        && (lrn.is_empty() || record.filings.iter().any(|f| f.lrn == *lrn))
        && (is(reference, &row.ucr) || record.filings.iter().any(|f| f.mrn == *reference))
}
