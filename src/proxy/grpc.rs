//! gRPC calls: how they are told from other requests, and how one ends that is denied.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};

/// The status of a call and its text, both in trailers (gRPC over HTTP/2, "Responses").
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

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
pub(super) fn answer(status: StatusCode, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.headers_mut() = trailers(status, message);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The trailers of a call that does not end as the upstream would have it.
pub(super) fn trailers(status: StatusCode, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(code(status)));
    if let Ok(message) = HeaderValue::try_from(escaped(message)) {
        trailers.insert(MESSAGE, message);
    }
    trailers
}

/// The status that the trailers, or a head in their place, tell of a call.
pub(super) fn status(fields: &HeaderMap) -> Option<u16> {
    fields.get(STATUS)?.to_str().ok()?.parse().ok()
}

/// The code of gRPC for the status of a refusal. What may have been processed is not called unavailable (14) where a
/// client would send it again by itself.
fn code(status: StatusCode) -> u16 {
    match status {
        // INVALID_ARGUMENT
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::EXPECTATION_FAILED => 3,
        // DEADLINE_EXCEEDED
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => 4,
        // NOT_FOUND
        StatusCode::NOT_FOUND => 5,
        // PERMISSION_DENIED
        StatusCode::FORBIDDEN => 7,
        // RESOURCE_EXHAUSTED
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            8
        }
        // FAILED_PRECONDITION: the next try has to be on another connection
        StatusCode::MISDIRECTED_REQUEST => 9,
        // UNIMPLEMENTED
        StatusCode::METHOD_NOT_ALLOWED => 12,
        // INTERNAL
        StatusCode::INTERNAL_SERVER_ERROR => 13,
        // UNAVAILABLE
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => 14,
        // UNAUTHENTICATED
        StatusCode::UNAUTHORIZED => 16,
        // UNKNOWN
        _ => 2,
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
    use crate::access::Reason;

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
        for reason in Reason::ALL.iter().filter(|reason| !reason.status().is_success()) {
            assert_ne!(code(reason.status()), 2, "{reason}");
        }
    }

    #[test]
    fn messages_are_escaped() {
        let trailers = trailers(StatusCode::FORBIDDEN, "50% of caf\u{e9}\r\n");
        assert_eq!(trailers.get(MESSAGE).unwrap(), "50%25 of caf%C3%A9%0D%0A");
        assert_eq!(status(&trailers), Some(7));
    }
}
