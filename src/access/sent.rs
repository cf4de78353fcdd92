//! What is left of a request that was sent.

use http::{HeaderName, HeaderValue};

use super::{fields::Kept, request::CanonicalRequest};

/// A request whose fields went to its upstream, but for those that say who sends it: it can be asked again who that is.
#[derive(Debug)]
pub struct SentRequest {
    // Without any field. In a box, because it moves through many hands.
    head: Box<CanonicalRequest>,
    kept: Kept,
}

impl SentRequest {
    pub(super) fn new(head: Box<CanonicalRequest>, kept: Kept) -> Self {
        Self { head, kept }
    }

    /// Lets go of what its connection has read: fields and target are pieces of that, and would keep all of it.
    pub fn detach(&mut self) {
        for (_, value) in &mut self.kept {
            // A copy of a value is a value.
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                *value = copy;
            }
        }
        self.head.detach_target();
    }

    /// The same request, whose sender is known by these fields instead of those that were kept.
    #[must_use]
    pub fn presenting(self, fields: &[(HeaderName, HeaderValue)]) -> Self {
        Self { kept: fields.iter().cloned().collect(), ..self }
    }

    /// The request with the fields that were kept, and no others.
    pub fn head(&self) -> CanonicalRequest {
        self.head.with_fields(&self.kept)
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, header};

    use super::*;
    use crate::access::Scheme;

    #[test]
    fn what_is_kept_is_as_it_was() {
        let request = Request::get("/a/b?c=d").header("host", "api.acme.example").header("authorization", "Bearer x");
        let (parts, ()) = request.header("accept", "*/*").body(()).unwrap().into_parts();
        let head = Box::new(CanonicalRequest::parse(parts, Scheme::Https).unwrap());
        let host = HeaderValue::from_static("inside");
        let kept = [header::AUTHORIZATION, header::COOKIE];
        let (outbound, mut sent) = head.into_outbound_headers(host, &[header::AUTHORIZATION], &kept);
        assert_eq!((outbound.len(), outbound.get(header::AUTHORIZATION)), (2, None));
        for _ in 0..2 {
            let again = sent.head();
            assert_eq!(again.header(&header::AUTHORIZATION), Ok(Some("Bearer x")));
            assert_eq!((again.header(&header::ACCEPT), again.header(&header::COOKIE)), (Ok(None), Ok(None)));
            assert_eq!((again.path().text().as_ref(), again.query()), ("/a/b", Some("c=d")));
            assert_eq!(again.target().unwrap(), "/a/b?c=d");
            sent.detach();
        }
    }
}
