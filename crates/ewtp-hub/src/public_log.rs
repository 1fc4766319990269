//! The log for outsiders: C2SP `tlog-tiles` v0.1.0 up to the published head. Entries are commitments; nobody learns from them what
//! was said.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ewtp_log::hash::sha256;
use ewtp_log::tile::{self, TILE_WIDTH, TileKind, TilePath};
use ewtp_store::{StoreError, Views};

use crate::shared::Shared;

/// Tiles never change.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The checkpoint moves every minute or so.
const BRIEFLY: HeaderValue = HeaderValue::from_static("public, max-age=5");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Routes under the path of the log's origin, so that a reverse proxy need rewrite nothing.
pub(crate) fn routes(shared: &Shared) -> Router<Arc<Shared>> {
    let origin = shared.identity.origin.as_str();
    let path = origin.find('/').and_then(|at| origin.get(at..)).unwrap_or_default();
    let log = path.rsplit_once('/').map_or("", |(log, _)| log);
    Router::new()
        .route(&format!("{log}/descriptors"), get(crate::public::descriptors))
        .route(&format!("{path}/checkpoint"), get(checkpoint))
        .route(&format!("{path}/{{*tile}}"), get(tile_or_bundle))
}

async fn checkpoint(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let note = shared.published_note();
    if note.is_empty() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no head is published yet\n").into_response();
    }
    cached(&headers, note.into_bytes(), TEXT, BRIEFLY)
}

async fn tile_or_bundle(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(path) = path.parse::<TilePath>() else {
        return (StatusCode::NOT_FOUND, "no such resource; there are: checkpoint, tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>]\n")
            .into_response();
    };
    let published = shared.published.load().size;
    if tile::width_at(path.kind, path.index, published) < path.width {
        return (StatusCode::NOT_FOUND, "beyond the published head\n").into_response();
    }
    match bytes(&shared, path).await {
        Ok(bytes) => cached(&headers, bytes, BYTES, FOR_EVER),
        Err(error) => {
            tracing::error!(%path, %error, "a tile can't be read");
            (StatusCode::INTERNAL_SERVER_ERROR, "the tile can't be read\n").into_response()
        }
    }
}

async fn bytes(shared: &Shared, path: TilePath) -> Result<Vec<u8>, StoreError> {
    let views = Views(&*shared.store);
    let width = u64::from(path.width);
    match path.kind {
        TileKind::Entries => {
            let from = path.index * TILE_WIDTH;
            Ok(tile::bundle(&views.log_entries(from, from + width).await?))
        }
        TileKind::Hashes(level) => {
            // The state's tile may have grown since the head was published.
            let mut bytes = views.tile(ewtp_store::keys::LOG_TREE, level, path.index).await?;
            let wanted = usize::from(path.width) * 32;
            if bytes.len() < wanted {
                return Err(StoreError::Value(format!("{path}: {} bytes", bytes.len())));
            }
            bytes.truncate(wanted);
            Ok(bytes)
        }
    }
}

/// An answer that caches may keep, or 304 where the caller has it.
fn cached(asked: &HeaderMap, body: Vec<u8>, kind: HeaderValue, keep: HeaderValue) -> Response {
    let tag = format!("\"{}\"", &sha256(&[&body]).to_hex()[..32]);
    let has = |held: &HeaderValue| {
        held.to_str().is_ok_and(|h| h.split(',').any(|t| t.trim().trim_start_matches("W/") == tag))
    };
    let same = asked.get_all(IF_NONE_MATCH).iter().any(has);
    let mut response =
        if same { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, keep);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}
