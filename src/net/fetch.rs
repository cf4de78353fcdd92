//! One small document over HTTP, from a URL of the configuration.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use thiserror::Error;
use tokio::time::timeout;

use super::{
    body::OutboundBody,
    client::{Client, ClientError},
    target::Target,
    tls::ClientTls,
};

/// Why there is no document.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The URL is not one.
    #[error("`{0}` is not a URL with a host")]
    Url(String),
    /// No answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An answer that is not 200; redirects are not followed.
    #[error("the answer is {0}, not 200")]
    Status(StatusCode),
    /// The document broke off or is longer than allowed.
    #[error("the document cannot be read: {0}")]
    Body(String),
    /// The whole took too long.
    #[error("no document in time")]
    Timeout,
}

/// Gets the document at `url`: at most `limit` bytes, within `deadline`. Redirects are not followed.
pub async fn fetch(url: &str, tls: Option<ClientTls>, limit: usize, deadline: Duration) -> Result<Bytes, FetchError> {
    let invalid = || FetchError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let origin = format!("{}://{}", uri.scheme_str().ok_or_else(invalid)?, uri.authority().ok_or_else(invalid)?);
    let target = Target {
        url: Arc::new(origin.parse().map_err(|_| invalid())?),
        tls,
        connect_timeout: deadline,
        response_timeout: deadline,
    };
    let request = Request::builder()
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, target.url.authority())
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .body(OutboundBody::whole(Bytes::new(), Arc::default()))
        .map_err(|_| invalid())?;
    let document = async {
        let response = Client::default().send(&target, Box::new(request), Instant::now()).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), limit).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| FetchError::Body(error.to_string()))
    };
    timeout(deadline, document).await.map_err(|_| FetchError::Timeout)?
}
