//! The one place that knows gRPC codes: how errors of the inside become statuses, with `google.rpc` details.

use std::collections::HashMap;
use std::time::Duration;

use ewtp_log::witness::WitnessRefusal;
use ewtp_store::StoreError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::attachment_files::AttachmentError;
use crate::attachments::FetchError;
use crate::committer::BUSY_RETRY;
use crate::draft::{DraftError, SayError};
use crate::intake::IntakeError;
use crate::limits::OverLimit;
use crate::prove::ReceiptError;
use crate::witness::WitnessError;

fn retry(code: Code, message: String, after: Duration) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(after)))
}

/// The hub's own store failed: nothing that the caller can mend.
pub(super) fn store(error: &StoreError) -> Status {
    tracing::error!(%error, "reading the store failed");
    Status::internal("the hub can't read its store; its operator has to look")
}

pub(super) fn draft(error: &DraftError) -> Status {
    let message = error.to_string();
    match error {
        DraftError::Busy { .. } => retry(Code::ResourceExhausted, message, BUSY_RETRY),
        DraftError::InDoubt => Status::unavailable(message),
        DraftError::WorkGone(_)
        | DraftError::CaseMoved { .. }
        | DraftError::PageStale
        | DraftError::WitnessMoved => Status::aborted(message),
        DraftError::LrnTaken { .. } => Status::already_exists(message),
        DraftError::TooLarge { .. } | DraftError::Header(_) => Status::invalid_argument(message),
    }
}

/// A refusal to cosign: the reason, and the size to start from, as machines read them.
pub(super) fn witness(error: &WitnessError) -> Status {
    let refusal = match error {
        WitnessError::Refused(refusal) => refusal,
        WitnessError::NoKey => return Status::failed_precondition(error.to_string()),
        WitnessError::TooSoon => {
            return retry(Code::ResourceExhausted, error.to_string(), Duration::from_secs(1));
        }
        WitnessError::Draft(e) => return draft(e),
        WitnessError::Store(e) => return store(e),
    };
    let mut metadata = HashMap::new();
    if let WitnessRefusal::Conflict(size) = refusal {
        metadata.insert("size".to_owned(), size.to_string());
    }
    let code = match refusal {
        WitnessRefusal::Malformed(_) => Code::InvalidArgument,
        WitnessRefusal::UnknownOrigin(_) => Code::NotFound,
        WitnessRefusal::Signature(_) => Code::PermissionDenied,
        WitnessRefusal::Conflict(_) => Code::Aborted,
        WitnessRefusal::Split(_) | WitnessRefusal::Inconsistent => Code::FailedPrecondition,
    };
    let details = ErrorDetails::with_error_info(refusal.code(), "ewtp/1", metadata);
    Status::with_error_details(code, refusal.to_string(), details)
}

pub(super) fn intake(error: &IntakeError) -> Status {
    match error {
        IntakeError::Draft(e) => draft(e),
        IntakeError::Store(e) => store(e),
        IntakeError::Random(e) => Status::internal(e.to_string()),
    }
}

pub(super) fn limit(error: OverLimit) -> Status {
    let message = error.to_string();
    match error {
        OverLimit::Rate { retry_after, .. } => retry(Code::ResourceExhausted, message, retry_after),
        OverLimit::Daily { .. } => {
            let mut details = ErrorDetails::new();
            details.add_quota_failure_violation("account", "daily_log_budget");
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
    }
}

pub(super) fn attachment(error: &AttachmentError) -> Status {
    let message = error.to_string();
    match error {
        AttachmentError::TooMuch | AttachmentError::Digest => Status::invalid_argument(message),
        AttachmentError::Offset { .. } => Status::out_of_range(message),
        AttachmentError::Busy => Status::aborted(message),
        AttachmentError::Daily { .. } => Status::resource_exhausted(message),
        AttachmentError::Io { .. } => {
            tracing::error!(%error, "an attachment could not be written or read");
            Status::internal("the hub can't use its files; its operator has to look")
        }
    }
}

pub(super) fn fetch(error: &FetchError) -> Status {
    match error {
        FetchError::Files(e) => attachment(e),
        _ => Status::unavailable(error.to_string()),
    }
}

pub(super) fn receipt(error: &ReceiptError) -> Status {
    match error {
        ReceiptError::Store(e) => store(e),
        ReceiptError::Unknown => Status::not_found(error.to_string()),
        ReceiptError::Issuer { .. } => Status::unavailable(error.to_string()),
    }
}

pub(super) fn field(name: &str, message: String) -> Status {
    let details = ErrorDetails::with_bad_request_violation(name, message.clone());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// What is wrong with something that was to be said, or why it could not be.
pub(super) fn unsaid(error: SayError) -> Result<Vec<ewtp_proto::v1::Finding>, Status> {
    match error {
        SayError::Faults(violations) => Ok(violations),
        SayError::Store(error) => Err(store(&error)),
        SayError::Draft(error) => Err(draft(&error)),
        SayError::Random(error) => Err(Status::internal(error.to_string())),
    }
}
