//! What is left of a request that was sent.

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::request::CanonicalRequest;

/// A request whose fields went to its upstream, but for those that say who sends it: it can be asked again who that is.
#[derive(Debug)]
pub struct SentRequest {
    // Without any field.
    head: CanonicalRequest,
    kept: SmallVec<[(HeaderName, HeaderValue); 2]>,
}

impl SentRequest {
    pub(super) fn new(head: CanonicalRequest, kept: SmallVec<[(HeaderName, HeaderValue); 2]>) -> Self {
        Self { head, kept }
    }

    /// The request with the fields that were kept, and no others.
    pub fn head(&self) -> CanonicalRequest {
        self.head.with_fields(&self.kept)
    }
}
