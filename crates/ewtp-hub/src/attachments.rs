//! Attachments that cases cite: who may fetch them, how they come from the hub that was given them, and how they end.

use std::time::Duration;

use ewtp_log::Hash;
use ewtp_proto::store::v1::{CaseRecord, FilingRecord, RequestRecord, Stands};
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_client::FederationServiceClient;
use ewtp_store::{Statement, Store, StoreError, Views};
use ewtp_trade::attachment::ATTACHMENT_BYTES_MAX;
use ewtp_trade::case;
use ewtp_trade::finding::{Say, finding};

use crate::attachment_files::AttachmentError;
use crate::client::{self, DialError};
use crate::shared::Shared;
use crate::standing;

/// A caller waits this long for the hub that has an attachment.
const PATIENCE: Duration = Duration::from_secs(60);

/// An attachment with the statement that cites it.
#[derive(Clone, Debug)]
pub struct Cited {
    /// What is cited.
    pub reference: v1::AttachmentReference,
    /// By which statement.
    pub stands: Stands,
    /// Filings that cite it or whose questions were answered with it, with the accounts that filed them here.
    filings: Vec<(String, v1::FilingCore)>,
}

/// Attachments that a statement's parts cite.
#[must_use]
pub fn of_parts(statement: &Statement) -> Vec<v1::AttachmentReference> {
    let kind = ewtp_log::Header::parse(&statement.header).map(|h| h.id.kind).unwrap_or_default();
    match kind.as_str() {
        "filing" => statement.part::<v1::FilingGoods>("goods").unwrap_or_default().attachments,
        "info-answer" => {
            statement.part::<v1::InfoAnswerTrader>("trader").unwrap_or_default().attachments
        }
        _ => Vec::new(),
    }
}

/// What a case's filings, older versions too, and answers cite; each attachment once, by who cited it first.
///
/// # Errors
/// Reading.
pub async fn cited(store: &dyn Store, case: &CaseRecord) -> Result<Vec<Cited>, StoreError> {
    let mut out: Vec<Cited> = Vec::new();
    let mut citing: Vec<(&Stands, &FilingRecord)> = Vec::new();
    for f in &case.filings {
        citing.extend(f.earlier.iter().chain(&f.stands).map(|stands| (stands, f)));
    }
    // An answer is as private as the filing that was asked about.
    for answer in &case.answers {
        let asked =
            |r: &&RequestRecord| r.stands.as_ref().is_some_and(|s| s.commitment == answer.request);
        let about = case.requests.iter().find(asked).map(|r| r.filing_id.as_str());
        let filing = about.and_then(|id| case::filing(case, id));
        citing.extend(answer.stands.as_ref().zip(filing));
    }
    for (stands, filing) in citing {
        let at = stands.at.clone().unwrap_or_default();
        let Some(statement) = Views(store).statement(&at).await? else { continue };
        if of_parts(&statement).is_empty() {
            continue;
        }
        let filed = filing.stands.as_ref().and_then(|s| s.at.clone()).unwrap_or_default();
        let core = Views(store).statement(&filed).await?.and_then(|s| s.part("core"));
        let filing: Option<(String, v1::FilingCore)> =
            core.map(|core| (filing.account.clone(), core));
        for reference in of_parts(&statement) {
            match out.iter_mut().find(|c| c.reference.digest == reference.digest) {
                Some(known) => known.filings.extend(filing.clone()),
                None => {
                    let filings = filing.clone().into_iter().collect();
                    out.push(Cited { reference, stands: stands.clone(), filings });
                }
            }
        }
    }
    Ok(out)
}

/// Whether an account may fetch it: who sees one of the parts that cite it.
///
/// # Errors
/// Reading.
pub async fn may_fetch(
    shared: &Shared,
    account: &v1::AccountRecord,
    cited: &Cited,
) -> Result<bool, StoreError> {
    for (filed_by, core) in &cited.filings {
        if standing::sees_parts(shared, account, filed_by, core).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Rule or order by which an attachment of a case was erased.
#[must_use]
pub fn erased<'a>(case: &'a CaseRecord, digest: &[u8]) -> Option<&'a str> {
    case.erasures.iter().find(|e| e.digest == digest).map(|e| e.reason.as_str())
}

const ELSEWHERE: &str = "in another case that cites it";

/// The attachments of a case as an account sees them.
///
/// # Errors
/// Reading.
pub async fn shown(
    shared: &Shared,
    account: &v1::AccountRecord,
    case: &CaseRecord,
) -> Result<Vec<v1::CaseAttachment>, StoreError> {
    let mut out = Vec::new();
    for cited in cited(&*shared.store, case).await? {
        if !may_fetch(shared, account, &cited).await? {
            continue;
        }
        let digest = <[u8; 32]>::try_from(cited.reference.digest.as_slice()).unwrap_or_default();
        let held = shared.attachments.held(&digest).await.complete;
        let reason = match erased(case, &digest) {
            Some(reason) => reason.to_owned(),
            // Cited by another case as well, where it was erased.
            None if Views(&*shared.store).is_erased(&digest).await? => ELSEWHERE.to_owned(),
            None => String::new(),
        };
        out.push(v1::CaseAttachment {
            erased: reason,
            cited_by: crate::casebook::reference(Some(&cited.stands)),
            attachment: Some(cited.reference),
            held,
        });
    }
    Ok(out)
}

/// What is wrong with attachments that a new statement cites: all of their bytes have to be here.
pub async fn missing(
    shared: &Shared,
    path: &str,
    cited: &[v1::AttachmentReference],
) -> Result<Vec<v1::Finding>, StoreError> {
    let mut out = ewtp_trade::attachment::check(path, cited);
    for (i, one) in cited.iter().enumerate() {
        let Ok(digest) = <[u8; 32]>::try_from(one.digest.as_slice()) else { continue };
        let held = shared.attachments.held(&digest).await;
        let gone = Views(&*shared.store).is_erased(&digest).await?;
        if gone || !held.complete || held.bytes != one.size {
            let say = Say {
                code: "attachment-missing",
                allowed: "an attachment that was uploaded whole, with its size",
                fix: "upload it first: ewtp attachment upload",
            };
            let seen = format!("{} of {} bytes held", held.bytes, one.size);
            out.push(finding(&format!("{path}[{i}]"), &seen, say));
        }
    }
    Ok(out)
}

/// Why an attachment could not be had from the hub that was given it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not a pinned, active peer.
    #[error("{0}, which was given it, is no active peer of this hub")]
    NoPeer(String),
    /// Dialling.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The call.
    #[error("{hub} says: {message}; try again later")]
    Call {
        /// Hub.
        hub: String,
        /// What it said.
        message: String,
    },
    /// Too slow.
    #[error("{0} did not give all of it in time; try again, what came is kept")]
    Slow(String),
    /// Files.
    #[error(transparent)]
    Files(#[from] AttachmentError),
}

/// Gets an attachment from the hub that was given it, from where what is held ends.
///
/// # Errors
/// [`FetchError`].
pub async fn acquire(shared: &Shared, cited: &Cited, digest: [u8; 32]) -> Result<(), FetchError> {
    let hub = cited.stands.hub.clone();
    let asked = tokio::time::timeout(PATIENCE, ask(shared, cited, digest)).await;
    asked.map_err(|_| FetchError::Slow(hub))?
}

async fn ask(shared: &Shared, cited: &Cited, digest: [u8; 32]) -> Result<(), FetchError> {
    let writing = shared.attachments.write(digest)?;
    let hub = &cited.stands.hub;
    let directory = shared.directory.load_full();
    let peer = directory.active_peer(hub).ok_or_else(|| FetchError::NoPeer(hub.clone()))?;
    let channel = client::dial_peer(&shared.network, &shared.tls, &peer.chain).await?;
    let call =
        |s: tonic::Status| FetchError::Call { hub: hub.clone(), message: s.message().into() };
    let mut offset = shared.attachments.held(&digest).await.bytes;
    let request = v1::FetchPartRequest {
        commitment: cited.stands.commitment.clone(),
        digest: digest.to_vec(),
        offset,
        lane_number: cited.stands.at.as_ref().map_or(0, |at| at.number),
    };
    let size = cited.reference.size.min(ATTACHMENT_BYTES_MAX);
    let response = FederationServiceClient::new(channel).fetch_part(request).await;
    let mut chunks = response.map_err(call)?.into_inner();
    while let Some(piece) = chunks.message().await.map_err(call)? {
        writing.append(size, offset, &piece.chunk).await?;
        offset += piece.chunk.len() as u64;
    }
    match writing.finish(&cited.reference).await?.complete {
        true => Ok(()),
        false => Err(FetchError::Slow(hub.clone())),
    }
}

/// Drops what was abandoned, and what was erased but for a crash in between.
///
/// # Errors
/// Reading.
pub async fn sweep(shared: &Shared) -> Result<(), StoreError> {
    if let Err(error) = shared.attachments.drop_abandoned() {
        tracing::warn!(%error, "abandoned uploads could not be looked through");
    }
    for digest in Views(&*shared.store).erased().await? {
        forget(shared, &digest).await;
    }
    Ok(())
}

/// Erases the bytes of an attachment; what fails is told and tried again at the next start.
pub async fn forget(shared: &Shared, digest: &[u8; 32]) {
    if let Err(error) = shared.attachments.erase(digest).await {
        tracing::error!(%error, digest = %Hash(*digest).to_hex(), "an attachment could not be erased; restart the hub once the disk is well");
    }
}
