//! Attachments as streams of pieces, to accounts and to peers.

use std::sync::Arc;

use tokio_stream::Stream;
use tonic::Status;

use super::status;
use crate::shared::Shared;

/// The pieces of a whole attachment from an offset.
pub(super) fn file_pieces(
    shared: &Arc<Shared>,
    digest: [u8; 32],
    offset: u64,
) -> impl Stream<Item = Result<Vec<u8>, Status>> + Send + use<> {
    let start = (Arc::clone(shared), offset, false);
    futures_util::stream::unfold(start, move |(shared, offset, ended)| async move {
        if ended {
            return None;
        }
        match shared.attachments.read(&digest, offset).await {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => {
                let next = offset + piece.len() as u64;
                Some((Ok(piece), (shared, next, false)))
            }
            Err(error) => Some((Err(status::attachment(&error)), (shared, offset, true))),
        }
    })
}
