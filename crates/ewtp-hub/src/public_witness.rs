//! C2SP `tlog-witness` on the public listener, where it is configured: logs that are no peers' connections ask here, monitors read the
//! last cosigned heads.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ewtp_log::note::{NOTE_BYTES_MAX, Note};
use ewtp_log::witness::{AddCheckpoint, WitnessRefusal};
use ewtp_store::Views;

use crate::shared::Shared;
use crate::witness::{self, WitnessError};

/// Longest request: a note, 63 hashes, and the first line.
const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + 4096;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/witness/add-checkpoint", post(add_checkpoint))
        .route("/witness/{log}/checkpoint", get(last_head))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
}

async fn add_checkpoint(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request = match AddCheckpoint::parse(&body) {
        Ok(request) => request,
        Err(refusal) => return refused(&refusal),
    };
    match witness::add_checkpoint(&shared, &request).await {
        Ok(lines) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response(),
        Err(WitnessError::Refused(refusal)) => refused(&refusal),
        Err(error @ WitnessError::NoKey) => {
            (StatusCode::NOT_FOUND, format!("{error}\n")).into_response()
        }
        Err(error @ WitnessError::TooSoon) => {
            (StatusCode::TOO_MANY_REQUESTS, format!("{error}\n")).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a head could not be cosigned");
            (StatusCode::SERVICE_UNAVAILABLE, "try again in a moment\n").into_response()
        }
    }
}

fn refused(refusal: &WitnessRefusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    match refusal {
        WitnessRefusal::Conflict(size) => {
            (status, [(CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
        }
        other => (status, format!("{other}\n")).into_response(),
    }
}

/// The last head of a log, with its line and this hub's cosignature; the log is named by the SHA-256 of its origin.
async fn last_head(State(shared): State<Arc<Shared>>, Path(log): Path<String>) -> Response {
    let all = match Views(&*shared.store).all_witnessed().await {
        Ok(all) => all,
        Err(error) => {
            tracing::error!(%error, "witnessed heads can't be read");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let found = all.into_iter().find(|h| witness::monitoring_name(&h.origin) == log);
    let signer = shared.witness.load_full();
    match (found, signer.as_ref()) {
        (Some(head), Some(signer)) => {
            let line = Note::parse(head.note.as_bytes())
                .map(|note| signer.cosign_line(&note.text, head.seconds))
                .unwrap_or_default();
            let note = format!("{}{line}", head.note);
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response()
        }
        _ => (StatusCode::NOT_FOUND, "no head of that log was cosigned here\n").into_response(),
    }
}
