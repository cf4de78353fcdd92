//! The request's body: refused, passed on unread, or read whole before anything is decided.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::{
    access::{CanonicalRequest, Malformed, Reason},
    net::OutboundBody,
    protocol::{Json, JsonKind, JsonLimits, is_json, parse_json},
    route::BodyRule,
};

use super::rejection::Rejection;

/// A body that was handled by its rule: what the decision may read, and what the upstream will get.
#[derive(Debug)]
pub(super) struct Inspected {
    /// The document, if the rule was to read it.
    pub(super) document: Option<Json>,
    /// For the upstream: exactly the bytes that were read, or the stream that was not.
    pub(super) outbound: OutboundBody,
    /// How long the client was waited for.
    pub(super) waited: Duration,
}

impl Inspected {
    fn unread(outbound: OutboundBody) -> Self {
        Self { document: None, outbound, waited: Duration::ZERO }
    }
}

/// Handles the body by its rule.
pub(super) async fn inspect(
    rule: BodyRule,
    head: &CanonicalRequest,
    body: Incoming,
    deadline: Duration,
    sent: Arc<AtomicU64>,
) -> Result<Inspected, Rejection> {
    let limit = match rule {
        BodyRule::Refuse if !body.is_end_stream() => return Err(Rejection::new(Reason::UnexpectedBody)),
        BodyRule::Refuse => return Ok(Inspected::unread(OutboundBody::whole(Bytes::new(), sent))),
        BodyRule::Stream => return Ok(Inspected::unread(OutboundBody::streamed(body, sent))),
        BodyRule::Inspect { limit } => limit,
    };
    // Reading is large: in a box of its own, so that it does not make every request's future larger.
    Box::pin(read(limit, head, body, deadline, sent)).await
}

async fn read(
    limit: usize,
    head: &CanonicalRequest,
    body: Incoming,
    deadline: Duration,
    sent: Arc<AtomicU64>,
) -> Result<Inspected, Rejection> {
    check_media_type(head)?;
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(Rejection::new(Reason::BodyTooLarge));
    }
    let reading = Instant::now();
    let read = timeout(deadline, Limited::new(body, limit).collect()).await;
    let bytes = match read.map_err(|_| Rejection::new(Reason::BodyTimeout))? {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(Rejection::new(Reason::BodyTooLarge)),
        Err(_) => return Err(Malformed::Message("the body broke off").into()),
    };
    let waited = reading.elapsed();
    let document = parse_json(&bytes, JsonLimits::default())
        .map_err(|problem| Rejection::with_public_detail(Reason::MalformedBody, problem.to_string()))?;
    Ok(Inspected { document: Some(document), outbound: OutboundBody::whole(bytes, sent), waited })
}

/// Only JSON in UTF-8 without coding is inspected; a body without a media type is read as JSON.
fn check_media_type(head: &CanonicalRequest) -> Result<(), Rejection> {
    let unsupported = |detail: &str| Rejection::with_public_detail(Reason::UnsupportedMediaType, detail);
    let field =
        |name| head.header(&name).map_err(|_| unsupported("Content-Type or Content-Encoding is not one plain value"));
    if let Some(coding) = field(header::CONTENT_ENCODING)?
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(unsupported("Content-Encoding is not identity"));
    }
    let Some(media_type) = field(header::CONTENT_TYPE)? else { return Ok(()) };
    if is_json(media_type, JsonKind::AnySyntax) {
        Ok(())
    } else {
        Err(unsupported("Content-Type is not JSON in UTF-8"))
    }
}
