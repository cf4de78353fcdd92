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
    /// A body that the decision does not read.
    pub(super) fn unread(outbound: OutboundBody) -> Self {
        Self { document: None, outbound, waited: Duration::ZERO }
    }
}

/// A body by its rule.
#[derive(Debug)]
pub(super) enum Received {
    /// It is passed on as it is.
    Passed(OutboundBody),
    /// It has to be read before anything is decided.
    ToRead(ToRead),
}

impl Received {
    /// What the rule makes of the body.
    pub(super) fn new(rule: BodyRule, body: Incoming, sent: Arc<AtomicU64>) -> Result<Self, Rejection> {
        match rule {
            BodyRule::Refuse if !body.is_end_stream() => Err(Rejection::new(Reason::UnexpectedBody)),
            BodyRule::Refuse => Ok(Self::Passed(OutboundBody::whole(Bytes::new(), sent))),
            BodyRule::Stream => Ok(Self::Passed(OutboundBody::streamed(body, sent))),
            BodyRule::Inspect { limit } => Ok(Self::ToRead(ToRead { limit, body, sent })),
        }
    }
}

/// A body that is to be read whole.
#[derive(Debug)]
pub(super) struct ToRead {
    limit: usize,
    body: Incoming,
    sent: Arc<AtomicU64>,
}

impl ToRead {
    /// Reads it as strict JSON.
    pub(super) async fn read(self, head: &CanonicalRequest, deadline: Duration) -> Result<Inspected, Rejection> {
        let Self { limit, body, sent } = self;
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
