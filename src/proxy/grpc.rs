//! gRPC calls: how they are told from other requests, and how one ends that is denied.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version, header, request::Parts};

use crate::access::{CanonicalRequest, Malformed, Reason};

/// The status of a call and its text, both in trailers (gRPC over HTTP/2, "Responses").
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The media type, which may be followed by `+` and a serialization, or by parameters.
const MEDIA_TYPE: &[u8] = b"application/grpc";

/// Whether a request is a gRPC call: a POST by HTTP/2 of its media type. gRPC-Web is none.
pub(super) fn is_call(parts: &Parts) -> bool {
    if parts.version != Version::HTTP_2 || parts.method != Method::POST {
        return false;
    }
    let Some(value) = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) else { return false };
    let (own, rest) = value.split_at_checked(MEDIA_TYPE.len()).unwrap_or((value, &[]));
    own.eq_ignore_ascii_case(MEDIA_TYPE) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The answer to a call that is denied: its trailers alone, in the place of the head.
pub(super) fn answer(reason: Reason, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.headers_mut() = trailers(reason, message);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The trailers of a call that does not end as the upstream would have it.
pub(super) fn trailers(reason: Reason, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(code(reason)));
    if let Ok(message) = HeaderValue::try_from(escaped(message)) {
        trailers.insert(MESSAGE, message);
    }
    trailers
}

/// The status that the trailers, or a head in their place, tell of a call.
pub(super) fn status(fields: &HeaderMap) -> Option<u16> {
    fields.get(STATUS)?.to_str().ok()?.parse().ok()
}

/// The code of gRPC for the reason of a refusal. What may have been processed is not called unavailable (14) where a
/// client would send it again by itself.
const fn code(reason: Reason) -> u16 {
    match reason {
        // OK
        Reason::Permitted | Reason::Metadata | Reason::Tunnel => 0,
        // INVALID_ARGUMENT
        Reason::MalformedMethod
        | Reason::MalformedTarget
        | Reason::NonCanonicalPath
        | Reason::MalformedHost
        | Reason::MalformedFraming
        | Reason::MalformedHeader
        | Reason::RepeatedHeader
        | Reason::MalformedMessage
        | Reason::UnsupportedExpectation
        | Reason::UnexpectedBody
        | Reason::UnsupportedMediaType
        | Reason::MalformedBody
        | Reason::HeaderMismatch
        | Reason::MappingFailed => 3,
        // DEADLINE_EXCEEDED
        Reason::BodyTimeout | Reason::UpstreamTimeout | Reason::Abandoned => 4,
        // NOT_FOUND
        Reason::NotFound | Reason::UnknownSession => 5,
        // PERMISSION_DENIED
        Reason::OriginNotAllowed
        | Reason::NoRoute
        | Reason::InsufficientScope
        | Reason::OutsideAuthorization
        | Reason::NotPermitted
        | Reason::UnknownType
        | Reason::UnknownRelation
        | Reason::TaskRequired
        | Reason::TaskNotBound
        | Reason::NotTaskHolder
        | Reason::MissingContext
        | Reason::ConditionFailed
        | Reason::DepthExceeded
        | Reason::StepsExceeded => 7,
        // RESOURCE_EXHAUSTED
        Reason::TargetTooLong
        | Reason::HeadTooLarge
        | Reason::BodyTooLarge
        | Reason::TooManyRefusals
        | Reason::TooManyInFlight
        | Reason::TooManyTunnels
        | Reason::BudgetExhausted
        | Reason::ByteBudgetExhausted => 8,
        // FAILED_PRECONDITION: the next try has to be on another connection
        Reason::Misdirected => 9,
        // UNIMPLEMENTED
        Reason::RefusedMethod => 12,
        // INTERNAL
        Reason::InternalError => 13,
        // UNAVAILABLE
        Reason::NoSnapshot
        | Reason::StaleSnapshot
        | Reason::AuditUnavailable
        | Reason::Overloaded
        | Reason::TooManyProofs
        | Reason::UpstreamOverloaded
        | Reason::UpstreamUnreachable
        | Reason::UpstreamMalformed => 14,
        // UNAUTHENTICATED
        Reason::MissingCredential | Reason::InvalidCredential | Reason::Revoked => 16,
    }
}

/// How long the caller of a call waits for its end (gRPC over HTTP/2, "Timeout"): at most eight digits and a unit.
pub(super) fn timeout(head: &CanonicalRequest) -> Result<Option<Duration>, Malformed> {
    let malformed = Malformed::Header("grpc-timeout is not up to eight digits and a unit");
    let Some(text) = head.header(&TIMEOUT).map_err(|_| malformed)? else { return Ok(None) };
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(malformed)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed);
    }
    let count: u64 = digits.parse().map_err(|_| malformed)?;
    match unit {
        "H" => Ok(Some(Duration::from_secs(count * 3600))),
        "M" => Ok(Some(Duration::from_secs(count * 60))),
        "S" => Ok(Some(Duration::from_secs(count))),
        "m" => Ok(Some(Duration::from_millis(count))),
        "u" => Ok(Some(Duration::from_micros(count))),
        "n" => Ok(Some(Duration::from_nanos(count))),
        _ => Err(malformed),
    }
}

/// A message as its field's value: what is not visible ASCII is percent-encoded, and so is `%`.
fn escaped(message: &str) -> String {
    let mut escaped = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::access::Scheme;

    #[test]
    fn a_call_is_told_by_its_media_type() {
        let is_call = |method: &str, version: Version, media_type: &str| {
            let request = Request::builder().method(method).version(version).header("content-type", media_type);
            super::is_call(&request.body(()).unwrap().into_parts().0)
        };
        for media_type in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=y"] {
            assert!(is_call("POST", Version::HTTP_2, media_type), "{media_type}");
        }
        for media_type in ["application/grpc-web", "application/grpcx", "application/json", ""] {
            assert!(!is_call("POST", Version::HTTP_2, media_type), "{media_type}");
        }
        assert!(!is_call("GET", Version::HTTP_2, "application/grpc"));
        assert!(!is_call("POST", Version::HTTP_11, "application/grpc"));
    }

    #[test]
    fn every_refusal_has_a_code_of_its_own_kind() {
        for reason in Reason::ALL {
            assert_eq!(code(*reason) == 0, reason.status().is_success(), "{reason}");
        }
    }

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        let read = |text: &str| {
            let request = Request::post("/a").header("host", "a").header("grpc-timeout", text);
            timeout(&CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Http).unwrap())
        };
        assert_eq!(read("1500m"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(read("99999999H"), Ok(Some(Duration::from_secs(99_999_999 * 3600))));
        assert_eq!(read("0n"), Ok(Some(Duration::ZERO)));
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S", "1SS", "\u{e9}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_are_escaped() {
        let trailers = trailers(Reason::NotPermitted, "50% of caf\u{e9}\r\n");
        assert_eq!(trailers.get(MESSAGE).unwrap(), "50%25 of caf%C3%A9%0D%0A");
        assert_eq!(status(&trailers), Some(7));
    }
}
