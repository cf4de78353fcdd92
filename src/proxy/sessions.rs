//! Sessions of MCP, bound to whom they were made for (MCP 2025-11-25, security best practices: session hijacking).

use std::sync::Arc;

use aws_lc_rs::{error::Unspecified, hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    access::{CanonicalRequest, Entity, Principal, Reason},
    route::Route,
};

use super::rejection::Rejection;

/// The field that names a session.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// The key of the seals on sessions' names.
///
/// What a client knows as the name of its session is the server's name and a seal, made of the route, the host and the path, of
/// the chain that the session was made for and of that name. So nothing has to be remembered: whoever knows the key can tell whose a session
/// is. To everybody else it is unknown, and a client that hears that makes a new one.
#[derive(Debug)]
pub struct SessionKey(hmac::Key);

/// Where a session is: what a server was begun with at one path, it may go on with at another.
#[derive(Debug)]
pub(super) struct Place {
    route: Arc<str>,
    host: Box<str>,
    path: Arc<str>,
}

impl Place {
    /// Where this request goes.
    pub(super) fn of(route: &Route, head: &CanonicalRequest) -> Self {
        let host = head.authority().as_str().into();
        Self { route: Arc::clone(&route.name), host, path: Arc::clone(head.path().text()) }
    }
}

impl SessionKey {
    /// The key that is made of these random bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A key of this process alone; an error if the machine gives no random bytes.
    pub fn random() -> Result<Self, Unspecified> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)?;
        Ok(Self::new(&bytes))
    }

    fn sealed(place: &Place, principal: &Principal, id: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(256);
        let mut part = |bytes: &[u8]| {
            // Lengths go before: no two lists of parts are the same bytes.
            sealed.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            sealed.extend_from_slice(bytes);
        };
        part(place.route.as_bytes());
        part(place.host.as_bytes());
        part(place.path.as_bytes());
        part(id);
        part(principal.task().map(Entity::as_str).unwrap_or_default().as_bytes());
        part(principal.subject().as_str().as_bytes());
        for actor in principal.actors() {
            part(actor.as_str().as_bytes());
        }
        sealed
    }

    fn name(&self, place: &Place, principal: &Principal, id: &HeaderValue) -> Option<HeaderValue> {
        let tag = hmac::sign(&self.0, &Self::sealed(place, principal, id.as_bytes()));
        let tag = URL_SAFE_NO_PAD.encode(tag.as_ref());
        HeaderValue::try_from([id.as_bytes(), b".", tag.as_bytes()].concat()).ok()
    }

    /// The server's name of the session that the request names, if it names one, and one that was made for this chain on this
    /// route. Otherwise there is no such session, whoever's it is.
    pub(super) fn opened(
        &self,
        place: &Place,
        principal: &Principal,
        head: &CanonicalRequest,
    ) -> Result<Option<HeaderValue>, Rejection> {
        let Some(name) = head.header_value(&SESSION_ID)? else { return Ok(None) };
        let opened = || {
            let bytes = name.as_bytes();
            let dot = bytes.iter().rposition(|byte| *byte == b'.')?;
            let (id, tag) = bytes.split_at_checked(dot)?;
            let tag = URL_SAFE_NO_PAD.decode(tag.get(1..)?).ok()?;
            hmac::verify(&self.0, &Self::sealed(place, principal, id), &tag).ok()?;
            HeaderValue::from_bytes(id).ok()
        };
        opened().map(Some).ok_or_else(|| Rejection::new(Reason::UnknownSession))
    }

    /// Writes the name that the client will know into an answer that names a session.
    pub(super) fn seal(&self, place: &Place, principal: &Principal, headers: &mut HeaderMap) -> Result<(), Rejection> {
        let malformed = || Rejection::with_detail(Reason::UpstreamMalformed, "Mcp-Session-Id is not one plain value");
        let mut names = headers.get_all(SESSION_ID).iter();
        let Some(id) = names.next() else { return Ok(()) };
        let is_plain = !id.is_empty() && id.as_bytes().iter().all(u8::is_ascii_graphic);
        if names.next().is_some() || !is_plain {
            return Err(malformed());
        }
        let name = self.name(place, principal, id).ok_or_else(malformed)?;
        headers.insert(SESSION_ID, name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::access::{ActorMode, Scheme};

    fn principal(subject: &str, actors: &[&str], task: Option<&str>) -> Principal {
        let entity = |text: &str| text.parse().unwrap();
        let actors = actors.iter().map(|actor| entity(actor)).collect();
        Principal::new(entity(subject), actors, task.map(entity), ActorMode::All)
    }

    fn at(place: &str) -> Place {
        let (route, path) = place.split_once(' ').unwrap();
        Place { route: route.into(), host: "a".into(), path: path.into() }
    }

    fn named(id: &str) -> CanonicalRequest {
        let request = Request::builder().uri("/mcp").header("host", "a").header("mcp-session-id", id).body(()).unwrap();
        CanonicalRequest::parse(request.into_parts().0, Scheme::Http).unwrap()
    }

    #[test]
    fn a_session_is_of_one_chain_on_one_route() {
        let key = SessionKey::new(&[7; 32]);
        let erin = principal("user:erin", &["agent:a"], None);
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_ID, HeaderValue::from_static("s.1"));
        key.seal(&at("mcp /a"), &erin, &mut headers).unwrap();
        let name = headers[SESSION_ID].to_str().unwrap().to_owned();
        let opened = |key: &SessionKey, place: &str, principal: &Principal, name: &str| {
            key.opened(&at(place), principal, &named(name)).ok().flatten().map(|id| id.to_str().unwrap().to_owned())
        };
        assert_eq!(opened(&key, "mcp /a", &erin, &name).as_deref(), Some("s.1"));
        for (other, route) in [
            (principal("user:bob", &["agent:a"], None), "mcp /a"),
            (principal("user:erin", &[], None), "mcp /a"),
            (principal("user:erin", &["agent:b"], None), "mcp /a"),
            (principal("user:erin", &["agent:a", "agent:a"], None), "mcp /a"),
            (principal("user:erin", &["agent:a"], Some("task:t")), "mcp /a"),
            (erin.clone(), "other /a"),
            (erin.clone(), "mcp /b"),
        ] {
            assert_eq!(opened(&key, route, &other, &name), None, "{other:?} {route}");
        }
        for forged in ["s.1", "s.1.", "s.2", &name.replacen("s.1", "s.2", 1), &format!("{name}A"), ".", "x"] {
            assert_eq!(opened(&key, "mcp /a", &erin, forged), None, "{forged}");
        }
        assert_eq!(opened(&SessionKey::new(&[8; 32]), "mcp /a", &erin, &name), None);
    }

    #[test]
    fn a_server_names_one_session_plainly() {
        let key = SessionKey::new(&[7; 32]);
        let erin = principal("user:erin", &[], None);
        for ids in [vec![""], vec!["a b"], vec!["a", "b"]] {
            let mut headers = HeaderMap::new();
            headers.extend(ids.iter().map(|id| (SESSION_ID, HeaderValue::from_str(id).unwrap())));
            assert!(key.seal(&at("mcp /a"), &erin, &mut headers).is_err(), "{ids:?}");
        }
        assert!(key.seal(&at("mcp /a"), &erin, &mut HeaderMap::new()).is_ok());
    }
}
