//! Digests of a request as it is sent, by which it can be proved later what that was.

use aws_lc_rs::digest::{Context, SHA256, digest};
use http::{HeaderName, HeaderValue, Request, header};

use crate::{access::is_hop_by_hop, audit::SentDigests, net::OutboundBody};

/// The digests of a request that nothing is added to any more, but what frames it and what is for one hop.
///
/// The head is the line of HTTP/1.1 (RFC 9112, section 3), then each field as `name: value`, by its name in small letters,
/// those of one name in their order; each of them ends in CRLF. What the next hop may write in another way is left out:
/// `Content-Length` and the fields that end at a hop (RFC 9110, section 7.6.1).
pub(super) fn digests(request: &Request<OutboundBody>) -> SentDigests {
    let mut head = Context::new(&SHA256);
    let mut say = |parts: &[&[u8]]| parts.iter().for_each(|part| head.update(part));
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    say(&[request.method().as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
    let stays = |name: &HeaderName| *name != header::CONTENT_LENGTH && !is_hop_by_hop(name);
    let mut fields: Vec<(&HeaderName, &HeaderValue)> =
        request.headers().iter().filter(|(name, _)| stays(name)).collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in fields {
        say(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    let read = |bytes: &bytes::Bytes| digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default();
    SentDigests { head: head.finish().as_ref().try_into().unwrap_or_default(), body: request.body().read().map(read) }
}
