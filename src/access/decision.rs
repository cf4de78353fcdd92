//! The answer to a request, and the closed set of its reasons.

use std::fmt;

use http::StatusCode;
use uuid::{Uuid, fmt::Hyphenated};

/// The number of a snapshot. It only goes up; the first one is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

impl Revision {
    /// The revision with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one decision, unique for all time: a UUID (RFC 9562).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId {
    // Every answer and every record carries it, so it is written once.
    text: [u8; Hyphenated::LENGTH],
}

impl DecisionId {
    /// The decision of this name.
    pub fn new(name: Uuid) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        name.hyphenated().encode_lower(&mut text);
        Self { text }
    }

    /// The text of the UUID, in ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text).unwrap_or_default())
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a request was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A permit was made, and the request was sent to the upstream or could not be because of it.
    Allow,
    /// The request was not sent to the upstream.
    Deny,
    /// Portcullis answered the request itself: it was for what is public, or for a tunnel.
    Answer,
}

impl Outcome {
    /// The word used in records and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Answer => "answer",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident, $title:literal;)*) => {
        /// Why a request was answered as it was. The set is closed: its names are the metric label, the field of
        /// the audit record and the machine-readable part of the answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name: lower case with underscores.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status of the answer to the client.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// One short sentence for people. It tells nothing of the policy.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

reasons! {
    /// Every member of the chain is permitted every access.
    Permitted = "permitted", OK, "The request is permitted";

    /// The request was for the metadata of the protected resource or for public keys, which are open to everybody.
    Metadata = "metadata", OK, "The metadata of the protected resource, or public keys";

    /// A client of an explicit proxy may have its tunnel: what it asks in it is decided by itself.
    Tunnel = "tunnel", OK, "The tunnel is open";

    /// The method is not 1 to 32 upper-case letters.
    MalformedMethod = "malformed_method", BAD_REQUEST, "The method is malformed";
    /// CONNECT, TRACE and the asterisk form are never forwarded.
    RefusedMethod = "refused_method", METHOD_NOT_ALLOWED, "The method is not served";
    /// Absolute-form that disagrees with Host, user information, a foreign scheme, a fragment.
    MalformedTarget = "malformed_target", BAD_REQUEST, "The request target is malformed";
    /// The path is not in its one canonical spelling.
    NonCanonicalPath = "non_canonical_path", BAD_REQUEST, "The path is not canonical";
    /// Host is missing, repeated, or not a host.
    MalformedHost = "malformed_host", BAD_REQUEST, "The Host field is malformed";
    /// More than one framing, or one that is not exactly `chunked` or one length.
    MalformedFraming = "malformed_framing", BAD_REQUEST, "The message framing is malformed";
    /// A field's name or value is outside the grammar, or `Connection` names a protected field.
    MalformedHeader = "malformed_header", BAD_REQUEST, "A header field is malformed";
    /// A field that must be single came twice.
    RepeatedHeader = "repeated_header", BAD_REQUEST, "A header field that must be single is repeated";
    /// A longer request line than one may be.
    TargetTooLong = "target_too_long", URI_TOO_LONG, "The target of the request is too long";
    /// More fields or bytes than a head may have, or a longer field than one may be.
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large";
    /// The bytes were not HTTP.
    MalformedMessage = "malformed_message", BAD_REQUEST, "The message is malformed";
    /// An expectation other than `100-continue`.
    UnsupportedExpectation = "unsupported_expectation", EXPECTATION_FAILED, "The expectation cannot be met";

    /// A body came with a method that has none on this route.
    UnexpectedBody = "unexpected_body", BAD_REQUEST, "This request may not have a body";
    /// An inspected body has a media type or a coding that is not inspected.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be JSON, UTF-8, without content coding";
    /// An inspected body is longer than the route allows.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// An inspected body did not arrive in time.
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    /// An inspected body is not one strict JSON document.
    MalformedBody = "malformed_body", BAD_REQUEST, "The body is malformed";
    /// A field of the head says something else of a message than the message does.
    HeaderMismatch = "header_mismatch", BAD_REQUEST, "The head does not say what the message says";
    /// A variable of the route is missing, empty, repeated, ambiguous, or not an id.
    MappingFailed = "mapping_failed", BAD_REQUEST, "The request does not name its resource in one unambiguous way";

    /// The request is for another host than its connection, or its tunnel, was made for.
    Misdirected = "misdirected", MISDIRECTED_REQUEST, "The request is for another host than its connection";

    /// A page of a browser asks whose origin the route does not name.
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, "Pages of this origin may not ask for this";

    /// The session that the request names was not made for its principal here, or is none.
    UnknownSession = "unknown_session", NOT_FOUND, "There is no such session";

    /// No route is for this request, or no rule of its route for what its message asks for.
    NoRoute = "no_route", FORBIDDEN, "No route is for this request";

    /// A denial on a route that hides existence looks like this to the client; the record keeps the true reason.
    NotFound = "not_found", NOT_FOUND, "There is no such resource for this request";

    /// The route needs a credential and none was sent.
    MissingCredential = "missing_credential", UNAUTHORIZED, "A credential is needed";
    /// The credential is malformed, expired, unknown, or for somebody else.
    InvalidCredential = "invalid_credential", UNAUTHORIZED, "The credential is not accepted";

    /// So many credentials of the connection, or API keys of its source, were refused that no more is looked at.
    TooManyRefusals = "too_many_refusals", TOO_MANY_REQUESTS, "Too many credentials were refused";

    /// So many proofs or nonces of the sender are remembered that no other can be, and what cannot be remembered could come
    /// twice.
    TooManyProofs = "too_many_proofs", SERVICE_UNAVAILABLE, "Too many proofs or nonces are remembered";

    /// The credential was revoked. The client is told what it is told of every bad credential.
    Revoked = "revoked", UNAUTHORIZED, "The credential is not accepted";
    /// The credential has not all scopes of the operation.
    InsufficientScope = "insufficient_scope", FORBIDDEN, "The credential has not the scopes that are needed";
    /// The authorization details of the credential do not cover the request.
    OutsideAuthorization = "outside_authorization", FORBIDDEN, "The credential's authorization details do not cover the request";

    /// A member of the chain is not permitted an access.
    NotPermitted = "not_permitted", FORBIDDEN, "The request is not permitted";
    /// The model has no such type.
    UnknownType = "unknown_type", FORBIDDEN, "The request is not permitted";
    /// The model's type has no such relation.
    UnknownRelation = "unknown_relation", FORBIDDEN, "The request is not permitted";
    /// The route needs a task and the chain has none.
    TaskRequired = "task_required", FORBIDDEN, "A task is needed";
    /// The request names a task that its credential is not bound to.
    TaskNotBound = "task_not_bound", FORBIDDEN, "The credential is not bound to this task";
    /// A member of the chain does not hold the task.
    NotTaskHolder = "not_task_holder", FORBIDDEN, "The task belongs to somebody else";
    /// The grant was used as often as it may be.
    BudgetExhausted = "budget_exhausted", TOO_MANY_REQUESTS, "This was used as often as it may be";
    /// So many bytes passed by the grant as may, or its rest is too small for this request or its answer.
    ByteBudgetExhausted = "byte_budget_exhausted", TOO_MANY_REQUESTS, "So many bytes passed as may";
    /// A condition needs a value that the request does not bring.
    MissingContext = "missing_context", FORBIDDEN, "The request is not permitted";
    /// A condition has no answer.
    ConditionFailed = "condition_failed", FORBIDDEN, "The request is not permitted";
    /// More hops than the bound.
    DepthExceeded = "depth_exceeded", FORBIDDEN, "The request is not permitted";
    /// More steps than the bound.
    StepsExceeded = "steps_exceeded", FORBIDDEN, "The request is not permitted";

    /// There is no policy yet.
    NoSnapshot = "no_snapshot", SERVICE_UNAVAILABLE, "There is no policy to decide by";
    /// The policy is older than its bound.
    StaleSnapshot = "stale_snapshot", SERVICE_UNAVAILABLE, "The policy is too old to decide by";
    /// No record could be kept of the decision.
    AuditUnavailable = "audit_unavailable", SERVICE_UNAVAILABLE, "The decision could not be recorded";
    /// More requests in flight than the bound.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too many requests are in flight";

    /// The upstream has as many requests or connections as its bound, which others do not suffer from.
    UpstreamOverloaded = "upstream_overloaded", SERVICE_UNAVAILABLE, "The upstream has as many requests as it may have";

    /// More requests of one sender in flight than its share.
    TooManyInFlight = "too_many_in_flight", TOO_MANY_REQUESTS, "Too many requests of this sender are in flight";

    /// More open tunnels of one sender than its share.
    TooManyTunnels = "too_many_tunnels", TOO_MANY_REQUESTS, "Too many tunnels of this sender are open";

    /// No connection to the upstream, or it broke before an answer.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, "The upstream could not be reached";
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, "The upstream did not answer in time";
    /// The upstream's answer is not one that may be passed on.
    UpstreamMalformed = "upstream_malformed", BAD_GATEWAY, "The upstream's answer is malformed";
    /// The client went away before it could be answered.
    Abandoned = "abandoned", REQUEST_TIMEOUT, "The client went away";
    /// A fault of Portcullis itself.
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "Portcullis failed";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_id_is_written_as_a_uuid() {
        let id = DecisionId::new(Uuid::from_u128(0x0193_0000_7f00_7000_8000_0000_0000_002a));
        assert_eq!(id.to_string(), "01930000-7f00-7000-8000-00000000002a");
    }

    #[test]
    fn names_of_reasons_are_distinct_labels() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }

    #[test]
    fn only_a_permit_and_what_is_public_are_answered_with_success() {
        for reason in Reason::ALL {
            let good = matches!(reason, Reason::Permitted | Reason::Metadata | Reason::Tunnel);
            assert_eq!(reason.status().is_success(), good, "{reason}");
        }
    }
}
