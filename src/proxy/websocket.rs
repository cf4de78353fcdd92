//! The opening handshake of WebSocket connections, on both sides (RFC 6455, section 4; over HTTP/2 RFC 8441).

use std::time::Duration;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts,
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};

use crate::{
    access::{CanonicalRequest, Reason},
    net::{Destination, OutboundBody},
    protocol::{is_websocket_key, websocket_accept},
    route::{Operation, Upgrade, WebSocketRule},
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

/// A connection, or a stream of one, that may go on in another protocol.
#[derive(Debug)]
pub(super) enum Way {
    /// The connection, if an `Upgrade` field says so (RFC 9110, section 7.8).
    Upgrade(OnUpgrade),
    /// The stream of HTTP/2, which was opened for that alone (RFC 8441, section 4).
    Stream(OnUpgrade),
}

impl Way {
    /// The way that the request's connection could go on. A request for a WebSocket by HTTP/2 is the GET from then on that
    /// its operation is written for, and that its upstream will get; every other CONNECT stays one.
    pub(super) fn of(parts: &mut Parts) -> Option<Self> {
        let connection = parts.extensions.remove::<OnUpgrade>()?;
        if parts.method != Method::CONNECT {
            return Some(Self::Upgrade(connection));
        }
        let protocol = parts.extensions.remove::<Protocol>().filter(|protocol| protocol.as_str() == "websocket");
        protocol.filter(|_| parts.version == Version::HTTP_2)?;
        parts.method = Method::GET;
        Some(Self::Stream(connection))
    }
}

/// A client that asks for a WebSocket connection where its operation allows for one, and its connection.
#[derive(Debug)]
pub(super) struct Opening {
    way: Way,
    key: Box<str>,
    protocols: Option<Box<str>>,
    extensions: Option<Box<str>>,
    rule: WebSocketRule,
    // How long nothing of what waits for a side may be taken by it.
    unread: Duration,
}

impl Opening {
    /// What the client asks for. Without a WebSocket on this operation it is a request like every other; but a stream that
    /// was opened for one is good for nothing else.
    pub(super) fn of(
        head: &CanonicalRequest,
        operation: &Operation,
        (way, unread): (Option<Way>, Duration),
    ) -> Result<Option<Box<Self>>, Rejection> {
        let (rule, way) = match (&operation.upgrade, way) {
            (Some(Upgrade::WebSocket(rule)), Some(way)) => (rule, way),
            (None, Some(Way::Stream(_))) => {
                return Err(Rejection::with_public_detail(Reason::RefusedMethod, "there is no WebSocket here"));
            }
            (None, _) | (Some(_), None) => return Ok(None),
        };
        let asks = head.upgrade().is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
        if matches!(way, Way::Upgrade(_)) && !asks {
            return Ok(None);
        }
        let refused = |detail: &str| Rejection::with_public_detail(Reason::MalformedHeader, detail).closing_if(true);
        let field = |name: HeaderName| {
            let value = head.header(&name).map_err(|problem| refused(&format!("{name} {problem}")))?;
            Ok::<_, Rejection>(value.map(|value| Box::<str>::from(value.trim())))
        };
        if field(header::SEC_WEBSOCKET_VERSION)?.as_deref() != Some("13") {
            return Err(refused("Sec-WebSocket-Version is not 13"));
        }
        let key = match way {
            Way::Upgrade(_) if head.version() != Version::HTTP_11 => {
                return Err(refused("a WebSocket handshake is of HTTP/1.1 or HTTP/2"));
            }
            Way::Upgrade(_) => field(KEY)?.filter(|key| is_websocket_key(key)),
            // Over HTTP/2 there is none (RFC 8441, section 5): the upstream gets one of the proxy's own.
            Way::Stream(_) => Some(own_key()?),
        };
        let key = key.ok_or_else(|| refused("Sec-WebSocket-Key is not 16 bytes in base64"))?;
        let protocols = match (field(PROTOCOL)?, &rule.subprotocols) {
            (offer, None) => offer,
            (offer, Some(known)) => {
                let offer = offer.as_deref().unwrap_or_default();
                let taken: Vec<&str> = listed(offer).filter(|name| known.iter().any(|it| **it == **name)).collect();
                if taken.is_empty() {
                    return Err(refused("no subprotocol was offered that is taken here"));
                }
                Some(taken.join(", ").into())
            }
        };
        Ok(Some(Box::new(Self { way, key, protocols, extensions: field(EXTENSIONS)?, rule: rule.clone(), unread })))
    }

    /// Writes what is asked of the upstream, in the place of what the client wrote.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, WEBSOCKET);
        for (name, text) in [(KEY, Some(&self.key)), (PROTOCOL, self.protocols.as_ref())] {
            // Both are parts of what the client sent, or base64.
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        }
    }

    /// Asks the upstream. If it agrees, what follows its answer passes through a tunnel.
    pub(super) async fn open(
        self,
        request: Box<Request<OutboundBody>>,
        (upstream, destination): (&Upstream, Option<Destination>),
        lasting: Box<Lasting>,
    ) -> Result<Response<Content>, Rejection> {
        let (mut response, place) = upstream.endpoints.switch(destination, request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            check_framing(response.headers())?;
            strip(response.headers_mut());
            if let Way::Stream(_) = self.way
                && response.status().is_success()
            {
                // To its client that would be the WebSocket connection.
                let detail = "it answered the handshake with success and without 101";
                return Err(Rejection::with_detail(Reason::UpstreamMalformed, detail));
            }
            if let Way::Upgrade(_) = self.way {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response.body_mut().take_up(place);
            return Ok(response.map(|body| Content::Upstream(body, lasting, None)));
        }
        let malformed = |detail: &'static str| Rejection::with_detail(Reason::UpstreamMalformed, detail);
        self.check(response.headers()).map_err(malformed)?;
        let upstream = response.extensions_mut().remove::<OnUpgrade>();
        let upstream = upstream.ok_or_else(|| malformed("its connection does not go on"))?;
        let (mut parts, _) = response.into_parts();
        strip(&mut parts.headers);
        parts.headers.remove(header::CONTENT_LENGTH);
        let client = match self.way {
            Way::Upgrade(client) => {
                parts.headers.insert(header::CONNECTION, UPGRADE);
                parts.headers.insert(header::UPGRADE, WEBSOCKET);
                client
            }
            Way::Stream(client) => {
                parts.status = StatusCode::OK;
                parts.headers.remove(ACCEPT);
                client
            }
        };
        let tunnel = Box::new(Tunnel { client, upstream, lasting, idle: self.rule.idle, unread: self.unread, place });
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
        match one(&PROTOCOL)? {
            Some(protocol) if !offered(&self.protocols, protocol) => {
                return Err("it chose a subprotocol that was not offered");
            }
            None if self.rule.subprotocols.is_some() => return Err("it chose no subprotocol"),
            Some(_) | None => {}
        }
        if one(&EXTENSIONS)?.is_some_and(|own| !listed(own).all(|own| offered(&self.extensions, named(own)))) {
            return Err("it chose an extension that was not offered");
        }
        Ok(())
    }
}

/// A key of the proxy's own.
fn own_key() -> Result<Box<str>, Rejection> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Rejection::with_detail(Reason::InternalError, "there is no randomness"))?;
    Ok(STANDARD.encode(bytes).into())
}

fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// An extension without its parameters.
fn named(extension: &str) -> &str {
    extension.split(';').next().unwrap_or_default().trim()
}
