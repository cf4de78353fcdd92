//! The opening handshake of WebSocket connections, on both sides (RFC 6455, section 4).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;

use crate::{
    access::{CanonicalRequest, Reason},
    net::{OutboundBody, TargetUrl},
    protocol::{is_websocket_key, websocket_accept},
    route::{Operation, Upgrade},
    snapshot::Upstream,
};

use super::{
    answer::Content,
    lasting::Lasting,
    rejection::Rejection,
    tunnel::Tunnel,
    upstream::{check_framing, strip},
};

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;
const PROTOCOL: HeaderName = header::SEC_WEBSOCKET_PROTOCOL;
const EXTENSIONS: HeaderName = header::SEC_WEBSOCKET_EXTENSIONS;
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");

/// A client that asks for a WebSocket connection where its operation allows for one, and its connection.
#[derive(Debug)]
pub(super) struct Opening {
    connection: OnUpgrade,
    key: Box<str>,
    protocols: Option<Box<str>>,
    extensions: Option<Box<str>>,
}

impl Opening {
    /// What the client asks for. Without a WebSocket on this operation it is a request like every other.
    pub(super) fn of(
        head: &CanonicalRequest,
        operation: &Operation,
        connection: Option<OnUpgrade>,
    ) -> Result<Option<Box<Self>>, Rejection> {
        let (Some(Upgrade::WebSocket), Some(connection)) = (operation.upgrade, connection) else { return Ok(None) };
        if !head.upgrade().is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
            return Ok(None);
        }
        let refused = |detail: &str| Rejection::with_public_detail(Reason::MalformedHeader, detail).closing_if(true);
        let field = |name: HeaderName| {
            let value = head.header(&name).map_err(|problem| refused(&format!("{name} {problem}")))?;
            Ok::<_, Rejection>(value.map(|value| Box::<str>::from(value.trim())))
        };
        if head.version() != Version::HTTP_11 {
            return Err(refused("a WebSocket handshake is of HTTP/1.1"));
        }
        if field(header::SEC_WEBSOCKET_VERSION)?.as_deref() != Some("13") {
            return Err(refused("Sec-WebSocket-Version is not 13"));
        }
        let key: Option<Box<str>> = field(KEY)?.filter(|key| is_websocket_key(key));
        Ok(Some(Box::new(Self {
            connection,
            key: key.ok_or_else(|| refused("Sec-WebSocket-Key is not 16 bytes in base64"))?,
            protocols: field(PROTOCOL)?,
            extensions: field(EXTENSIONS)?,
        })))
    }

    /// Asks the upstream. If it agrees, what follows its answer passes through a tunnel.
    pub(super) async fn open(
        self,
        mut request: Box<Request<OutboundBody>>,
        (upstream, destination): (&Upstream, Option<Arc<TargetUrl>>),
        lasting: Box<Lasting>,
    ) -> Result<Response<Content>, Rejection> {
        request.headers_mut().insert(header::CONNECTION, UPGRADE);
        request.headers_mut().insert(header::UPGRADE, WEBSOCKET);
        let (mut response, place) = upstream.endpoints.switch(destination, request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            check_framing(response.headers())?;
            strip(response.headers_mut());
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response.body_mut().take_up(place);
            return Ok(response.map(|body| Content::Upstream(body, lasting)));
        }
        let malformed = |detail: &'static str| Rejection::with_detail(Reason::UpstreamMalformed, detail);
        self.check(response.headers()).map_err(malformed)?;
        let upstream = response.extensions_mut().remove::<OnUpgrade>();
        let upstream = upstream.ok_or_else(|| malformed("its connection does not go on"))?;
        let (mut parts, _) = response.into_parts();
        strip(&mut parts.headers);
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONNECTION, UPGRADE);
        parts.headers.insert(header::UPGRADE, WEBSOCKET);
        let tunnel = Box::new(Tunnel { client: self.connection, upstream, lasting, place });
        Ok(Response::from_parts(parts, Content::Switched(tunnel)))
    }

    /// Why the upstream's answer is none to what the client asked (section 4.1).
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let one = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().map(|value| value.to_str().unwrap_or_default().trim());
            if values.next().is_some() { Err("a field of its handshake is repeated") } else { Ok(value) }
        };
        if !one(&header::UPGRADE)?.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
            return Err("it switches to another protocol");
        }
        if !one(&header::CONNECTION)?.is_some_and(|names| listed(names).any(|it| it.eq_ignore_ascii_case("upgrade"))) {
            return Err("its Connection does not name Upgrade");
        }
        if one(&ACCEPT)? != Some(&websocket_accept(&self.key)) {
            return Err("Sec-WebSocket-Accept is not the answer to the key");
        }
        let offered = |offer: &Option<Box<str>>, name: &str| {
            offer.as_deref().is_some_and(|offer| listed(offer).any(|it| named(it) == name))
        };
        if one(&PROTOCOL)?.is_some_and(|protocol| !offered(&self.protocols, protocol)) {
            return Err("it chose a subprotocol that was not offered");
        }
        if one(&EXTENSIONS)?.is_some_and(|own| !listed(own).all(|own| offered(&self.extensions, named(own)))) {
            return Err("it chose an extension that was not offered");
        }
        Ok(())
    }
}

fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// An extension without its parameters.
fn named(extension: &str) -> &str {
    extension.split(';').next().unwrap_or_default().trim()
}
