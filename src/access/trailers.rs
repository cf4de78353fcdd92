//! Which trailers travel on.

use http::{HeaderMap, HeaderName, header};
use thiserror::Error;

use super::ending::{ends_here, is_framing};

/// At most this many fields in the trailers of a message.
const FIELDS: usize = 50;
/// At most this many bytes of names and values in them.
const BYTES: usize = 8 * 1024;

/// What is known of a message before its content is read: after it, such a field would come too late, or would say another
/// thing to whoever merges trailers into the head (RFC 9110, section 6.5.1).
static OF_HEADS: [HeaderName; 36] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::AGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPIRES,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::PRAGMA,
    header::RANGE,
    header::REFRESH,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::VIA,
    header::WARNING,
    header::WWW_AUTHENTICATE,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
];

/// More trailers than are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("its trailers are too many or too long")]
pub struct TooManyTrailers;

/// Whether a field may be one of the trailers of a message that travels on.
pub fn may_be_trailer(name: &HeaderName) -> bool {
    !ends_here(name) && !is_framing(name) && !OF_HEADS.contains(name)
}

/// The trailers without those that end here or belong into a head. Refuses more than 50 fields, or 8 KiB.
pub fn trailers(mut received: HeaderMap) -> Result<HeaderMap, TooManyTrailers> {
    let bytes: usize = received.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if received.len() > FIELDS || bytes > BYTES {
        return Err(TooManyTrailers);
    }
    let ending: Vec<HeaderName> = received.keys().filter(|name| !may_be_trailer(name)).cloned().collect();
    for name in ending {
        received.remove(name);
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect()
    }

    #[test]
    fn what_belongs_into_a_head_is_no_trailer() {
        let kept = trailers(fields(&["grpc-status", "grpc-message", "etag", "server-timing", "x-checksum"]));
        assert_eq!(kept.unwrap().len(), 5);
        for name in ["content-length", "transfer-encoding", "connection", "host", "set-cookie", "content-type", "te"] {
            assert_eq!(trailers(fields(&[name])).unwrap().len(), 0, "{name}");
        }
        for name in ["portcullis-decision-id", "x-accel-redirect", "x-forwarded-for", "authorization", "trailer"] {
            assert_eq!(trailers(fields(&[name])).unwrap().len(), 0, "{name}");
        }
    }

    #[test]
    fn trailers_have_a_bound() {
        let mut many = HeaderMap::new();
        for _ in 0..FIELDS {
            many.append("x-a", HeaderValue::from_static("1"));
        }
        assert!(trailers(many.clone()).is_ok());
        many.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(trailers(many), Err(TooManyTrailers));
        let long = HeaderValue::from_bytes(&[b'x'; BYTES]).unwrap();
        assert_eq!(trailers(HeaderMap::from_iter([(HeaderName::from_static("x"), long)])), Err(TooManyTrailers));
    }
}
