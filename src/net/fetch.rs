//! One small document over HTTP, from a URL of the configuration.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use thiserror::Error;
use tokio::time::timeout;

use super::{
    body::OutboundBody,
    client::{Client, ClientError},
    reach::Reach,
    target::{Target, TargetUrl, Times},
    tls::ClientTls,
};

/// In which form a document is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// JSON, whatever the answer calls it: some issuers call theirs text.
    Json,
    /// Exactly this one: the document is refused if its answer calls it something else.
    Exactly(&'static str),
}

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
    /// A document in another form.
    #[error("the answer is not `{0}`")]
    MediaType(&'static str),
    /// The document broke off or is longer than allowed.
    #[error("the document cannot be read: {0}")]
    Body(String),
    /// The whole took too long.
    #[error("no document in time")]
    Timeout,
}

/// Gets the document at `url`: at most `limit` bytes, within `deadline`. Redirects are not followed, and a host that is
/// where a cloud tells of the machine ([`Reach::Documents`]) is nowhere.
pub async fn fetch(
    url: &str,
    tls: Option<ClientTls>,
    wanted: MediaType,
    limit: usize,
    deadline: Duration,
) -> Result<Bytes, FetchError> {
    let (target, path) = target(url, tls, Times { connect: deadline, response: deadline })?;
    let request = request(Method::GET, &target, (&path, wanted), Bytes::new());
    let request = request.ok_or_else(|| FetchError::Url(url.to_owned()))?;
    timeout(deadline, document(&target, request, (wanted, limit))).await.map_err(|_| FetchError::Timeout)?
}

/// A question in JSON to somebody who may take a while before the answer.
#[derive(Debug)]
pub struct Question<'q> {
    /// To whom.
    pub url: &'q str,
    /// The roots for its certificate, if the URL is `https`.
    pub tls: Option<ClientTls>,
    /// The value of `Authorization`.
    pub authorization: HeaderValue,
    /// The JSON.
    pub body: Bytes,
    /// The longest answer, in bytes.
    pub limit: usize,
}

/// Asks by POST, and waits so long for the head of the answer; the connection before it and the body after it may each
/// take `deadline`. That there was no head in time is [`ClientError::ResponseTimeout`]. Redirects are not followed.
pub async fn ask(question: Question<'_>, wait: Duration, deadline: Duration) -> Result<Bytes, FetchError> {
    let Question { url, tls, authorization, body, limit } = question;
    let (target, path) = target(url, tls, Times { connect: deadline, response: wait })?;
    let request = request(Method::POST, &target, (&path, MediaType::Json), body);
    let mut request = request.ok_or_else(|| FetchError::Url(url.to_owned()))?;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(header::AUTHORIZATION, authorization);
    let whole = wait.saturating_add(2 * deadline);
    timeout(whole, document(&target, request, (MediaType::Json, limit))).await.map_err(|_| FetchError::Timeout)?
}

/// The origin of the URL with these times for the connection and for the head of the answer, and the path on it.
fn target(url: &str, tls: Option<ClientTls>, times: Times) -> Result<(Target, String), FetchError> {
    let invalid = || FetchError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let origin = format!("{}://{}", uri.scheme_str().ok_or_else(invalid)?, uri.authority().ok_or_else(invalid)?);
    let origin: TargetUrl = origin.parse().map_err(|_| invalid())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok((Target::new(Arc::new(origin.within(Reach::Documents)), tls, times), path))
}

fn request(
    method: Method,
    target: &Target,
    (path, wanted): (&str, MediaType),
    body: Bytes,
) -> Option<Box<Request<OutboundBody>>> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, target.origin.url.authority())
        .header(header::ACCEPT, wanted.name())
        .header(header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .body(OutboundBody::whole(body, Arc::default()));
    request.ok().map(Box::new)
}

async fn document(
    target: &Target,
    request: Box<Request<OutboundBody>>,
    (wanted, limit): (MediaType, usize),
) -> Result<Bytes, FetchError> {
    let response = Client::default().send(target, request, Instant::now()).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    if let MediaType::Exactly(name) = wanted
        && !is_called(response.headers(), name)
    {
        return Err(FetchError::MediaType(name));
    }
    let body = Limited::new(response.into_body(), limit).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| FetchError::Body(error.to_string()))
}

impl MediaType {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Exactly(name) => name,
        }
    }
}

/// Whether the one `Content-Type` has this name, with parameters or without.
fn is_called(headers: &HeaderMap, name: &str) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(own), None) = (types.next(), types.next()) else { return false };
    let own = own.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    own.trim_matches([' ', '\t']).eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_fetched_from_where_a_cloud_tells_of_the_machine() {
        for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "0.0.0.0"] {
            let deadline = Duration::from_secs(5);
            let fetched = fetch(&format!("http://{host}/keys"), None, MediaType::Json, 1024, deadline).await;
            let said = format!("{:?}", fetched.unwrap_err());
            assert!(said.contains("none of its addresses may be reached"), "{host}: {said}");
        }
    }

    #[test]
    fn a_media_type_is_said_once_and_in_full() {
        let called = |values: &[&str]| {
            let fields = values.iter().map(|value| (header::CONTENT_TYPE, value.parse().unwrap()));
            let mut headers = HeaderMap::new();
            fields.for_each(|(name, value)| assert!(!headers.append(name, value) || values.len() > 1));
            is_called(&headers, "application/keys+json")
        };
        assert!(called(&["application/keys+json"]) && called(&["Application/Keys+JSON ; charset=utf-8"]));
        for values in [&[][..], &["application/json"], &["application/keys"], &["application/keys+json", "text/html"]] {
            assert!(!called(values), "{values:?}");
        }
    }
}
