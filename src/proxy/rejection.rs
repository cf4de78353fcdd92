//! What a denied client is told: enough to act on, nothing of the policy.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    access::{Access, Entity, HeaderProblem, Malformed, NonCanonical, Reason, Revision},
    audit::AuditUnavailable,
    identity::AuthenticationError,
    net::{ClientError, Spent},
    policy::Denial,
    route::{MappingProblem, RouteProblem, Uncovered},
    snapshot::Unusable,
};

use super::{
    budget::{Counted, Exhausted},
    grpc,
};

/// RFC 9421, section 5.1.
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");

/// RFC 9110, section 11.7.1.
const PROXY_CHALLENGES: [&str; 2] = ["Bearer realm=\"portcullis\"", "Basic realm=\"portcullis\""];

/// Why a request is not answered by its upstream.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) reason: Reason,
    /// For the operator.
    pub(super) detail: Option<String>,
    /// Who was not permitted what.
    pub(super) denied: Option<(Entity, Access)>,
    /// Whether the detail may be told to the client: it says what is wrong with the request, and nothing else.
    detail_is_public: bool,
    /// Whether the connection must not carry another request.
    close: bool,
    special: Option<Box<Special>>,
}

/// What only some answers have.
#[derive(Debug)]
enum Special {
    /// How the client would get a better credential, and what a signature would have to be.
    Challenge { token: HeaderValue, signature: Option<HeaderValue> },
    /// How the client would tell the proxy who it is.
    ProxyChallenge,
    /// A document in JSON that is open to everybody, and the whole answer.
    Document(Bytes),
}

impl Rejection {
    pub(super) fn new(reason: Reason) -> Self {
        Self { reason, detail: None, denied: None, detail_is_public: false, close: false, special: None }
    }

    /// A refusal of the request's credential. Only a 401 challenges the client.
    pub(super) fn unauthenticated(
        error: &AuthenticationError,
        token: HeaderValue,
        signature: Option<&HeaderValue>,
    ) -> Self {
        let is_challenged = error.reason().status() == StatusCode::UNAUTHORIZED;
        let special = is_challenged.then(|| Box::new(Special::Challenge { token, signature: signature.cloned() }));
        Self { special, ..Self::with_detail(error.reason(), error.to_string()) }
    }

    /// The same by a proxy, which the client's own credentials for the service do not concern (RFC 9110, section 11.7). The
    /// next try is on another connection: in a tunnel it is the tunnel's credential that is refused.
    pub(super) fn by_proxy(self) -> Self {
        if self.reason.status() == StatusCode::UNAUTHORIZED {
            return Self { special: Some(Box::new(Special::ProxyChallenge)), close: true, ..self };
        }
        match self.special.as_deref() {
            Some(Special::Challenge { .. }) => Self { special: None, ..self },
            Some(Special::ProxyChallenge | Special::Document(_)) | None => self,
        }
    }

    /// The same, after which the connection carries no more requests if this is so.
    pub(super) fn closing_if(self, close: bool) -> Self {
        Self { close: self.close || close, ..self }
    }

    /// A refusal because the credential lacks scopes.
    pub(super) fn insufficient_scope(challenge: HeaderValue) -> Self {
        let special = Some(Box::new(Special::Challenge { token: challenge, signature: None }));
        let detail = "the credential has not all scopes of the operation";
        Self { special, ..Self::with_detail(Reason::InsufficientScope, detail) }
    }

    /// No refusal: the metadata of the protected resource, or public keys, are the answer.
    pub(super) fn metadata(document: Bytes) -> Self {
        Self { special: Some(Box::new(Special::Document(document))), ..Self::new(Reason::Metadata) }
    }

    pub(super) fn with_detail(reason: Reason, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(reason) }
    }

    pub(super) fn with_public_detail(reason: Reason, detail: impl Into<String>) -> Self {
        Self { detail_is_public: true, ..Self::with_detail(reason, detail) }
    }

    /// The answer to the client (RFC 9457; for 401, RFC 6750, section 3).
    pub(super) fn response(&self, named: &HeaderValue, revision: Revision, hides_existence: bool) -> Response<Bytes> {
        if let Some(Special::Document(document)) = self.special.as_deref() {
            return public(document.clone());
        }
        let shown = self.shown(hides_existence);
        let problem = self.problem(named, revision, hides_existence);
        // Text and numbers are always written; an empty body would still be a denial.
        let mut body = serde_json::to_vec(&problem).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status(shown);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.challenge(headers);
        if shown.status() == StatusCode::SERVICE_UNAVAILABLE
            || matches!(shown, Reason::TooManyRefusals | Reason::TooManyInFlight | Reason::TooManyTunnels)
        {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What the client is told.
    pub(super) fn problem<'a>(
        &'a self,
        named: &'a HeaderValue,
        revision: Revision,
        hides_existence: bool,
    ) -> Problem<'a> {
        let shown = self.shown(hides_existence);
        let requested = self
            .denied
            .as_ref()
            .filter(|_| shown == self.reason)
            .map(|(_, access)| Requested { action: access.action.as_str(), resource: access.resource.as_str() });
        Problem {
            r#type: format!("urn:portcullis:reason:{shown}"),
            title: shown.title(),
            status: self.status(shown).as_u16(),
            detail: self.detail.as_deref().filter(|_| self.detail_is_public),
            reason: shown.name(),
            decision_id: named.to_str().unwrap_or_default(),
            revision: revision.number(),
            requested,
            remedy: self.remedy(shown),
        }
    }

    /// The answer to a gRPC call: its trailers alone, which say why.
    pub(super) fn call_response(&self, hides_existence: bool) -> Response<Bytes> {
        let shown = self.shown(hides_existence);
        let mut response = grpc::answer(shown, &self.message(shown));
        self.challenge(response.headers_mut());
        response
    }

    /// A reason for programs and for people, in one line.
    pub(super) fn message(&self, shown: Reason) -> String {
        match self.detail.as_deref().filter(|_| self.detail_is_public) {
            Some(detail) => format!("{shown}: {detail}"),
            None => format!("{shown}: {}", shown.title()),
        }
    }

    /// The reason that the client is told.
    pub(super) fn shown(&self, hides_existence: bool) -> Reason {
        // What the credential was granted says nothing of whether something exists.
        let denied = self.reason.status() == StatusCode::FORBIDDEN && self.reason != Reason::InsufficientScope;
        match self.reason {
            // Why a credential is refused is for the log.
            Reason::Revoked => Reason::InvalidCredential,
            _ if hides_existence && denied => Reason::NotFound,
            reason => reason,
        }
    }

    fn remedy(&self, shown: Reason) -> Option<&'static str> {
        match self.special.as_deref() {
            Some(Special::ProxyChallenge) => {
                Some("send a good access token as `Proxy-Authorization: Bearer`, on a new connection to the proxy")
            }
            Some(Special::Challenge { .. } | Special::Document(_)) | None => remedy(shown),
        }
    }

    fn status(&self, shown: Reason) -> StatusCode {
        match self.special.as_deref() {
            Some(Special::ProxyChallenge) => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Some(Special::Challenge { .. } | Special::Document(_)) | None => shown.status(),
        }
    }

    fn challenge(&self, headers: &mut HeaderMap) {
        match self.special.as_deref() {
            Some(Special::Challenge { token, signature }) => {
                headers.insert(header::WWW_AUTHENTICATE, token.clone());
                headers.extend(signature.clone().map(|signature| (ACCEPT_SIGNATURE, signature)));
            }
            Some(Special::ProxyChallenge) => {
                // A field each, which more clients understand than a list.
                for challenge in PROXY_CHALLENGES {
                    headers.append(header::PROXY_AUTHENTICATE, HeaderValue::from_static(challenge));
                }
            }
            Some(Special::Document(_)) | None => {}
        }
    }
}

/// A document in JSON for everybody, pages of browsers too.
fn public(document: Bytes) -> Response<Bytes> {
    let mut response = Response::new(document);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// What would help, for an agent to act on.
const fn remedy(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::MissingCredential => Some("send an access token of a configured issuer as `Authorization: Bearer`"),
        Reason::InvalidCredential => Some("get a new access token for this service, then try once more"),
        Reason::TooManyRefusals => Some("stop sending this credential, get a good one, then try again later"),
        Reason::InsufficientScope => {
            Some("get a token with all scopes that WWW-Authenticate names, then try once more")
        }
        Reason::OutsideAuthorization => Some("get a token whose authorization details cover this request"),
        Reason::TooManyTunnels => Some("close tunnels that are not used, then try again"),
        Reason::TooManyInFlight => Some("wait for the answers to earlier requests, then try again"),
        Reason::BudgetExhausted => Some("do not retry: the grant has been used up"),
        Reason::ByteBudgetExhausted => Some("do not retry: ask for less, or later"),
        Reason::NotPermitted | Reason::NotTaskHolder => {
            Some("do not retry: somebody who may grant this access has to be asked")
        }
        Reason::TaskRequired => {
            Some("send a token that is bound to a task, and name the task if it is bound to several")
        }
        Reason::TaskNotBound => Some("get a token for this task, or name the task of the token"),
        Reason::UnknownSession => Some("begin a new session"),
        Reason::HeaderMismatch => Some("send in the head what the message says"),
        Reason::MappingFailed | Reason::MalformedBody | Reason::NonCanonicalPath => {
            Some("send the request once more with each value spelled once and plainly")
        }
        Reason::NoSnapshot
        | Reason::StaleSnapshot
        | Reason::AuditUnavailable
        | Reason::Overloaded
        | Reason::TooManyProofs
        | Reason::UpstreamOverloaded
        | Reason::UpstreamUnreachable
        | Reason::UpstreamTimeout => Some("try again later"),
        Reason::TargetTooLong | Reason::HeadTooLarge => Some("send less in the head of the request"),
        Reason::Misdirected => Some("send the request on a connection of its own for this host"),
        Reason::Permitted
        | Reason::Metadata
        | Reason::Tunnel
        | Reason::MalformedMethod
        | Reason::RefusedMethod
        | Reason::MalformedTarget
        | Reason::MalformedHost
        | Reason::MalformedFraming
        | Reason::MalformedHeader
        | Reason::RepeatedHeader
        | Reason::MalformedMessage
        | Reason::UnsupportedExpectation
        | Reason::UnexpectedBody
        | Reason::UnsupportedMediaType
        | Reason::BodyTooLarge
        | Reason::BodyTimeout
        | Reason::OriginNotAllowed
        | Reason::NoRoute
        | Reason::NotFound
        | Reason::Revoked
        | Reason::UnknownType
        | Reason::UnknownRelation
        | Reason::MissingContext
        | Reason::ConditionFailed
        | Reason::DepthExceeded
        | Reason::StepsExceeded
        | Reason::UpstreamMalformed
        | Reason::Abandoned
        | Reason::InternalError => None,
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize)]
pub(super) struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
    reason: &'static str,
    decision_id: &'a str,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<Requested<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Requested<'a> {
    action: &'a str,
    resource: &'a str,
}

impl From<Malformed> for Rejection {
    fn from(problem: Malformed) -> Self {
        Self { close: true, ..Self::with_public_detail(problem.reason(), problem.to_string()) }
    }
}

impl From<Unusable> for Rejection {
    fn from(problem: Unusable) -> Self {
        Self::with_detail(problem.reason(), problem.to_string())
    }
}

impl From<RouteProblem> for Rejection {
    fn from(problem: RouteProblem) -> Self {
        match problem {
            RouteProblem::NoRoute => Self::new(Reason::NoRoute),
            RouteProblem::Header(problem) => problem.into(),
            RouteProblem::EscapedSlash => Malformed::Path(NonCanonical::EscapedDelimiter).into(),
        }
    }
}

impl From<HeaderProblem> for Rejection {
    fn from(problem: HeaderProblem) -> Self {
        match problem {
            HeaderProblem::Repeated => Self::new(Reason::RepeatedHeader),
            HeaderProblem::NotText | HeaderProblem::ConnectionListed => {
                Self::with_detail(Reason::MalformedHeader, problem.to_string())
            }
        }
    }
}

impl From<MappingProblem> for Rejection {
    fn from(problem: MappingProblem) -> Self {
        let reason = match problem {
            MappingProblem::NoRule => Reason::NoRoute,
            _ => Reason::MappingFailed,
        };
        Self::with_public_detail(reason, problem.to_string())
    }
}

impl From<Uncovered> for Rejection {
    fn from(problem: Uncovered) -> Self {
        match problem {
            Uncovered::Mapping(problem) => problem.into(),
            Uncovered::NoDetails | Uncovered::UnknownDetails | Uncovered::Details => {
                Self::with_detail(Reason::OutsideAuthorization, problem.to_string())
            }
        }
    }
}

impl From<Denial> for Rejection {
    fn from(denial: Denial) -> Self {
        let detail = denial.to_string();
        let denied = denial.member.zip(denial.access);
        Self { denied, ..Self::with_detail(denial.reason, detail) }
    }
}

impl From<Exhausted> for Rejection {
    fn from(problem: Exhausted) -> Self {
        let reason = match problem.of {
            Counted::Uses => Reason::BudgetExhausted,
            Counted::Bytes => Reason::ByteBudgetExhausted,
        };
        Self::with_detail(reason, problem.to_string())
    }
}

impl From<Spent> for Rejection {
    fn from(problem: Spent) -> Self {
        Self::with_detail(Reason::ByteBudgetExhausted, problem.to_string())
    }
}

impl From<AuditUnavailable> for Rejection {
    fn from(problem: AuditUnavailable) -> Self {
        Self::with_detail(Reason::AuditUnavailable, problem.to_string())
    }
}

impl From<ClientError> for Rejection {
    fn from(error: ClientError) -> Self {
        let reason = match &error {
            ClientError::RequestBroken => return Malformed::Message("the body broke off").into(),
            ClientError::Connect(_)
            | ClientError::ConnectTimeout
            | ClientError::Unresolved(_)
            | ClientError::Broken(_) => Reason::UpstreamUnreachable,
            ClientError::Saturated => Reason::UpstreamOverloaded,
            ClientError::ResponseTimeout => Reason::UpstreamTimeout,
            ClientError::Malformed(_) => Reason::UpstreamMalformed,
        };
        Self::with_detail(reason, error.to_string())
    }
}
