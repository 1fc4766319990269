//! HTTP to what is no hub's federation listener: public listeners of peers, and witnesses that are no hubs.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .user_agent(concat!("ewtp-hub/", env!("CARGO_PKG_VERSION")));
    config.build().into()
});

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// The call.
    #[error("{0}")]
    Call(String),
    /// An answer other than 200.
    #[error("status {0}")]
    Status(u16),
}

/// Body of a resource.
///
/// # Errors
/// [`WebError`].
pub(crate) async fn get(url: String, bytes_max: u64) -> Result<Vec<u8>, WebError> {
    let call = move || {
        let response = AGENT.get(&url).call().map_err(|e| WebError::Call(e.to_string()))?;
        let (status, body) = read(response, bytes_max)?;
        if status == 200 { Ok(body) } else { Err(WebError::Status(status)) }
    };
    tokio::task::spawn_blocking(call).await.map_err(|e| WebError::Call(e.to_string()))?
}

/// Status and body of the answer to a posted text.
///
/// # Errors
/// [`WebError::Call`].
pub(crate) async fn post(
    url: String,
    body: String,
    bytes_max: u64,
) -> Result<(u16, Vec<u8>), WebError> {
    let call = move || {
        let response = AGENT.post(&url).send(body).map_err(|e| WebError::Call(e.to_string()))?;
        read(response, bytes_max)
    };
    tokio::task::spawn_blocking(call).await.map_err(|e| WebError::Call(e.to_string()))?
}

fn read(
    mut response: ureq::http::Response<ureq::Body>,
    bytes_max: u64,
) -> Result<(u16, Vec<u8>), WebError> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(bytes_max).read_to_vec();
    body.map(|body| (status, body)).map_err(|e| WebError::Call(e.to_string()))
}
