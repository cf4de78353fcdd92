//! The request's body: refused, passed on unread, or read whole before anything is decided.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::timeout;

use crate::{
    access::{CanonicalRequest, Malformed, Reason},
    identity::{InvalidSignature, SignedBody},
    net::{BodyError, OutboundBody, Progress, RequestBody},
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
    /// What the rule makes of the body, and what the credential says of it.
    pub(super) fn new(
        rule: BodyRule,
        (signed, body): (SignedBody, RequestBody),
        progress: Arc<Progress>,
    ) -> Result<Self, BodyRefusal> {
        let is_empty = body.is_end_stream();
        if rule == BodyRule::Refuse && !is_empty {
            return Err(Rejection::new(Reason::UnexpectedBody).into());
        }
        match (&signed, rule) {
            // What is there is not signed, or what is signed is not there: no byte has to be read for that.
            (SignedBody::Empty, _) if !is_empty => Err(InvalidSignature::UnsignedBody.into()),
            (SignedBody::Digest(_), _) if is_empty => {
                signed.check(&[])?;
                Ok(Self::unread(rule, body, progress, SignedBody::Empty))
            }
            // Nothing of a body is forwarded before all of it is known to be the one that was signed.
            (SignedBody::Digest(digest), BodyRule::Stream) => {
                Ok(Self::ToRead(ToRead { limit: digest.longest(), body, progress, signed, reads_json: false }))
            }
            (_, rule) => Ok(Self::unread(rule, body, progress, signed)),
        }
    }

    fn unread(rule: BodyRule, body: RequestBody, progress: Arc<Progress>, signed: SignedBody) -> Self {
        match rule {
            BodyRule::Refuse => Self::Passed(OutboundBody::whole(Bytes::new(), progress)),
            BodyRule::Stream => Self::Passed(OutboundBody::streamed(body, progress)),
            BodyRule::Inspect { limit } => Self::ToRead(ToRead { limit, body, progress, signed, reads_json: true }),
        }
    }
}

/// Why a body is refused: by its rule, or because it is not the one that was signed.
#[derive(Debug)]
pub(super) enum BodyRefusal {
    Rejected(Rejection),
    Signature(InvalidSignature),
}

impl From<Rejection> for BodyRefusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<InvalidSignature> for BodyRefusal {
    fn from(problem: InvalidSignature) -> Self {
        Self::Signature(problem)
    }
}

/// A body that is to be read whole.
#[derive(Debug)]
pub(super) struct ToRead {
    limit: usize,
    body: RequestBody,
    progress: Arc<Progress>,
    signed: SignedBody,
    // Whether the decision reads it, and not only what compares it with its digest.
    reads_json: bool,
}

impl ToRead {
    /// Reads it whole, holds it against what was signed, and reads it as strict JSON if the decision needs that.
    pub(super) async fn read(self, head: &CanonicalRequest, deadline: Duration) -> Result<Inspected, BodyRefusal> {
        let Self { limit, body, progress, signed, reads_json } = self;
        if reads_json {
            check_media_type(head)?;
        }
        let reading = Instant::now();
        let bytes = whole(body, limit, deadline).await?;
        let waited = reading.elapsed();
        signed.check(&bytes)?;
        let document = if reads_json { Some(json(&bytes)?) } else { None };
        Ok(Inspected { document, outbound: OutboundBody::whole(bytes, progress), waited })
    }
}

async fn whole(body: RequestBody, limit: usize, deadline: Duration) -> Result<Bytes, Rejection> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(Rejection::new(Reason::BodyTooLarge));
    }
    let read = timeout(deadline, Limited::new(body, limit).collect()).await;
    match read.map_err(|_| Rejection::new(Reason::BodyTimeout))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if matches!(error.downcast_ref(), Some(BodyError::TooSlow)) => {
            Err(Rejection::new(Reason::BodyTimeout))
        }
        Err(error) if error.is::<LengthLimitError>() => Err(Rejection::new(Reason::BodyTooLarge)),
        Err(_) => Err(Malformed::Message("the body broke off").into()),
    }
}

fn json(bytes: &[u8]) -> Result<Json, Rejection> {
    parse_json(bytes, JsonLimits::default())
        .map_err(|problem| Rejection::with_public_detail(Reason::MalformedBody, problem.to_string()))
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
