//! The request's body: refused, passed on unread, or read whole before anything is decided.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::timeout;

use crate::{
    access::{CanonicalRequest, Malformed, Reason, is_method_override},
    identity::{InvalidSignature, SignedBody},
    net::{BodyError, OutboundBody, Progress, RequestBody},
    protocol::{
        FormKind, GraphQlRequest, Json, JsonKind, JsonLimits, McpHead, McpMismatch, RpcMessage, is_json, parse_json,
    },
    route::{BodyRule, FormRule, Message, Operation, Protocol},
};

use super::{exchange::Exchange, mcp::Awaited, rejection::Rejection};

const MCP_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A body that was handled by its rule: what the decision may read, and what the upstream will get.
#[derive(Debug)]
pub(super) struct Inspected {
    /// The document, if the rule was to read it.
    pub(super) document: Option<Json>,
    /// The message in it, where one is spoken.
    pub(super) message: Option<Message>,
    /// For the upstream: exactly the bytes that were read, or the stream that was not.
    pub(super) outbound: OutboundBody,
    /// How long the client was waited for.
    pub(super) waited: Duration,
}

impl Inspected {
    /// A body that the decision does not read.
    pub(super) fn unread(outbound: OutboundBody) -> Self {
        Self { document: None, message: None, outbound, waited: Duration::ZERO }
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
    /// What the rule makes of the body, and what the head and the credential say of it.
    pub(super) fn new(
        rule: BodyRule,
        head: &CanonicalRequest,
        (signed, body): (SignedBody, RequestBody),
        progress: Arc<Progress>,
    ) -> Result<Self, BodyRefusal> {
        let is_empty = body.is_end_stream();
        let rule = match rule {
            // Before it could be a form: to some servers it is a message whatever it is called.
            BodyRule::Stream { limit, .. } if !is_empty && mcp_head(head)?.is_told() => BodyRule::Inspect { limit },
            BodyRule::Stream { limit, forms } if !is_empty => match form(head, forms)? {
                Some(kind) => {
                    return Ok(Self::ToRead(ToRead { limit, body, progress, signed, reads: Reads::Form(kind) }));
                }
                None => rule,
            },
            BodyRule::Refuse | BodyRule::Stream { .. } | BodyRule::Inspect { .. } => rule,
        };
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
            (SignedBody::Digest(digest), BodyRule::Stream { .. }) => {
                Ok(Self::ToRead(ToRead { limit: digest.longest(), body, progress, signed, reads: Reads::Digest }))
            }
            (_, rule) => Ok(Self::unread(rule, body, progress, signed)),
        }
    }

    fn unread(rule: BodyRule, body: RequestBody, progress: Arc<Progress>, signed: SignedBody) -> Self {
        match rule {
            BodyRule::Refuse => Self::Passed(OutboundBody::whole(Bytes::new(), progress)),
            BodyRule::Stream { .. } => Self::Passed(OutboundBody::streamed(body, progress)),
            BodyRule::Inspect { limit } => Self::ToRead(ToRead { limit, body, progress, signed, reads: Reads::Json }),
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
    reads: Reads,
}

/// What a body is read for.
#[derive(Debug, Clone, Copy)]
enum Reads {
    /// To compare it with its digest.
    Digest,
    /// The decision is made by it.
    Json,
    /// No field of it may change what is decided.
    Form(FormKind),
}

impl ToRead {
    /// Reads it whole, holds it against what was signed, and reads it as strict JSON if the decision needs that.
    pub(super) async fn read(
        self,
        exchange: &mut Exchange,
        head: &CanonicalRequest,
        operation: &Operation,
        deadline: Duration,
    ) -> Result<Inspected, BodyRefusal> {
        let Self { limit, body, progress, signed, reads } = self;
        match reads {
            Reads::Json => check_media_type(head)?,
            Reads::Form(_) => check_coding(head)?,
            Reads::Digest => {}
        }
        let reading = Instant::now();
        let bytes = whole(body, limit, deadline).await?;
        let waited = reading.elapsed();
        signed.check(&bytes)?;
        let document = match reads {
            Reads::Json => Some(json(&bytes)?),
            Reads::Form(kind) if kind.has(&bytes, |name| operation.is_overridden_by(name)) => {
                let detail = "a field of the form overrides the method or a parameter of the query";
                return Err(Rejection::with_public_detail(Reason::MalformedBody, detail).into());
            }
            Reads::Form(_) | Reads::Digest => None,
        };
        let message = match &document {
            Some(document) => message(document, head, operation, exchange)?,
            None => None,
        };
        Ok(Inspected { document, message, outbound: OutboundBody::whole(bytes, progress), waited })
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
    let json = parse_json(bytes, JsonLimits::default()).map_err(|problem| malformed(&problem))?;
    match &json {
        // Frameworks that mix the body with the fields of forms read another method from it.
        Json::Object(members) if members.iter().any(|(name, _)| is_method_override(name)) => {
            Err(malformed("a member overrides the method"))
        }
        Json::Object(_) | Json::Array(_) | Json::String(_) | Json::Number(_) | Json::Bool(_) | Json::Null => Ok(json),
    }
}

/// The message that the document is, where one is spoken; and whatever is spoken, what the head says of a message of MCP
/// must be so.
fn message(
    document: &Json,
    head: &CanonicalRequest,
    operation: &Operation,
    exchange: &mut Exchange,
) -> Result<Option<Message>, Rejection> {
    let told = mcp_head(head)?;
    let message = match &operation.protocol {
        Some(Protocol::Mcp(_)) => {
            let message = RpcMessage::parse(document).map_err(|problem| malformed(&problem))?;
            exchange.awaited(Awaited::of(&message, told));
            told.check_version(document)?;
            Some(Message::Mcp(message))
        }
        Some(Protocol::GraphQl(rules)) => Some(Message::GraphQl(
            GraphQlRequest::parse(document, rules.limits).map_err(|problem| malformed(&problem))?,
        )),
        Some(Protocol::McpSession(_)) | None => None,
    };
    told.check(document)?;
    Ok(message)
}

fn malformed(problem: &(impl ToString + ?Sized)) -> Rejection {
    Rejection::with_public_detail(Reason::MalformedBody, problem.to_string())
}

impl From<McpMismatch> for Rejection {
    fn from(mismatch: McpMismatch) -> Self {
        Self::with_public_detail(Reason::HeaderMismatch, mismatch.to_string())
    }
}

/// What the head says of a message of MCP.
pub(super) fn mcp_head(head: &CanonicalRequest) -> Result<McpHead<'_>, Rejection> {
    Ok(McpHead {
        version: head.header(&MCP_VERSION)?,
        method: head.header(&MCP_METHOD)?,
        name: head.header(&MCP_NAME)?,
    })
}

/// Which form the body is, if it is one to anybody, and to be read.
fn form(head: &CanonicalRequest, rule: FormRule) -> Result<Option<FormKind>, Rejection> {
    match rule {
        FormRule::Unread => Ok(None),
        FormRule::Checked => Ok(plain(head, &header::CONTENT_TYPE)?.and_then(FormKind::of)),
    }
}

/// Only JSON in UTF-8 without coding is inspected; a body without a media type is read as JSON.
fn check_media_type(head: &CanonicalRequest) -> Result<(), Rejection> {
    check_coding(head)?;
    let Some(media_type) = plain(head, &header::CONTENT_TYPE)? else { return Ok(()) };
    if is_json(media_type, JsonKind::AnySyntax) && FormKind::of(media_type).is_none() {
        Ok(())
    } else {
        Err(unsupported("Content-Type is not JSON in UTF-8"))
    }
}

fn check_coding(head: &CanonicalRequest) -> Result<(), Rejection> {
    match plain(head, &header::CONTENT_ENCODING)? {
        Some(coding) if !coding.eq_ignore_ascii_case("identity") => {
            Err(unsupported("Content-Encoding is not identity"))
        }
        Some(_) | None => Ok(()),
    }
}

fn plain<'h>(head: &'h CanonicalRequest, name: &HeaderName) -> Result<Option<&'h str>, Rejection> {
    head.header(name).map_err(|_| unsupported("Content-Type or Content-Encoding is not one plain value"))
}

fn unsupported(detail: &str) -> Rejection {
    Rejection::with_public_detail(Reason::UnsupportedMediaType, detail)
}
