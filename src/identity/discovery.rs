//! Where an issuer says that its keys are (OpenID Connect Discovery 1.0 and RFC 8414).

use http::Uri;
use thiserror::Error;

use super::{
    challenge::is_loopback,
    error::Shown,
    json::{self, Object},
};

/// What is put after an issuer's host or its whole URL.
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// An issuer whose name is the URL where its metadata are found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssuerUrl {
    // INVARIANT: `https`, or `http` to loopback, with a host; no user information, query or fragment.
    text: Box<str>,
    // The length of scheme, host and port.
    origin: usize,
    /// The hosts, with their ports, that its keys may be at beside its own.
    hosts: Box<[Box<str>]>,
}

/// The issuer's name is no URL that its metadata could be at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no `https` URL without query and fragment, so that it does not say where its metadata are")]
pub struct NotAnIssuerUrl(String);

/// Why a document does not say where the issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidMetadata {
    /// Not one strict JSON object.
    #[error("it is no strict JSON object")]
    NotJson,
    /// Another issuer's, or nobody's (RFC 8414, section 3.3).
    #[error("it is of the issuer `{0}`, not of the one that is configured")]
    OtherIssuer(Shown),
    /// It has no `jwks_uri`.
    #[error("it has no `jwks_uri`")]
    NoKeys,
    /// `jwks_uri` is neither `https` nor on this machine.
    #[error("its `jwks_uri` `{0}` is no `https` URL")]
    InsecureKeys(Shown),
    /// `jwks_uri` is at a host that is neither the issuer's nor configured.
    #[error("its `jwks_uri` `{0}` is at another host: if that is right, name it in `jwks.hosts`")]
    ForeignKeys(Shown),
}

impl IssuerUrl {
    /// The issuer of this name, whose keys are at its own host or one of these.
    pub fn parse(text: &str, hosts: impl IntoIterator<Item = Box<str>>) -> Result<Self, NotAnIssuerUrl> {
        let refused = || NotAnIssuerUrl(text.to_owned());
        let url = secure(text).filter(|url| url.query().is_none()).ok_or_else(refused)?;
        let scheme = url.scheme_str().unwrap_or_default().len();
        let authority = url.authority().map_or(0, |authority| authority.as_str().len());
        let origin = scheme + "://".len() + authority;
        Ok(Self { text: text.into(), origin, hosts: hosts.into_iter().collect() })
    }

    /// The issuer's name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where its metadata may be, in the order in which they are asked for: after the whole URL (OpenID Connect
    /// Discovery, section 4), and between host and path (RFC 8414, section 3).
    pub fn metadata_urls(&self) -> Vec<String> {
        let (origin, path) = self.text.split_at_checked(self.origin).unwrap_or((&self.text, ""));
        let path = path.trim_end_matches('/');
        let mut urls = vec![format!("{origin}{path}{OPENID}"), format!("{origin}{OAUTH}{path}")];
        if !path.is_empty() {
            urls.push(format!("{origin}{OPENID}{path}"));
        }
        urls
    }

    /// The URL of its keys by its metadata. They must be its own, by the exact name.
    pub fn keys_url(&self, metadata: &[u8]) -> Result<String, InvalidMetadata> {
        let document = json::parse(metadata).map_err(|_| InvalidMetadata::NotJson)?;
        let members = Object::of(&document).ok_or(InvalidMetadata::NotJson)?;
        let text = |name: &str| members.get(name).and_then(json::text);
        let issuer = text("issuer").unwrap_or_default();
        if *issuer != *self.text {
            return Err(InvalidMetadata::OtherIssuer(Shown::new(issuer)));
        }
        let keys = text("jwks_uri").ok_or(InvalidMetadata::NoKeys)?;
        let url = secure(keys).ok_or_else(|| InvalidMetadata::InsecureKeys(Shown::new(keys)))?;
        let host = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
        if self.is_known(host) { Ok(keys.to_owned()) } else { Err(InvalidMetadata::ForeignKeys(Shown::new(keys))) }
    }

    fn is_known(&self, host: &str) -> bool {
        let own = self.text.get(..self.origin).and_then(|origin| origin.split_once("://")).map(|(_, own)| own);
        own.into_iter().chain(self.hosts.iter().map(AsRef::as_ref)).any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// The URL, if nobody can change what is between here and there, and if its host is what a reader takes for it.
fn secure(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok().filter(|_| !text.contains('#'))?;
    let authority = url.authority()?;
    let is_secure = match url.scheme_str()? {
        "https" => true,
        "http" => is_loopback(authority.host()),
        _ => false,
    };
    (is_secure && !authority.host().is_empty() && !authority.as_str().contains('@')).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> IssuerUrl {
        IssuerUrl::parse(text, ["keys.example".into(), "keys.example:8443".into()]).unwrap()
    }

    fn keys(issuer_text: &str, document: &str) -> Result<String, InvalidMetadata> {
        issuer(issuer_text).keys_url(document.as_bytes())
    }

    #[test]
    fn metadata_are_after_the_url_or_between_host_and_path() {
        assert_eq!(
            issuer("https://idp.example").metadata_urls(),
            [
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server",
            ]
        );
        let of_path = [
            "https://idp.example:8443/realms/acme/.well-known/openid-configuration",
            "https://idp.example:8443/.well-known/oauth-authorization-server/realms/acme",
            "https://idp.example:8443/.well-known/openid-configuration/realms/acme",
        ];
        assert_eq!(issuer("https://idp.example:8443/realms/acme").metadata_urls(), of_path);
        assert_eq!(issuer("https://idp.example:8443/realms/acme/").metadata_urls(), of_path);
        assert_eq!(issuer("https://idp.example/").metadata_urls(), issuer("https://idp.example").metadata_urls());
    }

    #[test]
    fn an_issuer_is_a_secure_url() {
        for text in ["https://idp.example", "https://idp.example/a/", "http://127.0.0.1:9000", "http://[::1]/x"] {
            assert!(IssuerUrl::parse(text, []).is_ok(), "{text}");
        }
        for text in [
            "",
            "idp.example",
            "http://idp.example",
            "https://idp.example/?x=1",
            "https://idp.example/#x",
            "https://user@idp.example",
            "http://127.0.0.1@idp.example",
            "https:///path",
            "file:///etc/keys",
            "urn:idp",
        ] {
            assert!(IssuerUrl::parse(text, []).is_err(), "{text}");
        }
    }

    #[test]
    fn metadata_are_the_issuer_s_by_its_exact_name() {
        let document = |issuer: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://idp.example/k"}}"#);
        assert_eq!(keys("https://idp.example", &document("https://idp.example")).unwrap(), "https://idp.example/k");
        for other in ["https://idp.example/", "https://IDP.example", "https://idp.example.evil", ""] {
            let refused = keys("https://idp.example", &document(other));
            assert!(matches!(refused, Err(InvalidMetadata::OtherIssuer(_))), "{other}");
        }
    }

    #[test]
    fn keys_are_at_the_issuer_s_host_or_a_configured_one() {
        let document = |keys: &str| format!(r#"{{"issuer":"https://idp.example/a","jwks_uri":"{keys}","x":{{}}}}"#);
        let asked = |keys_url: &str| keys("https://idp.example/a", &document(keys_url));
        for good in [
            "https://idp.example/k",
            "https://IDP.example/k?x=1",
            "https://keys.example/",
            "https://keys.example:8443/k",
        ] {
            assert_eq!(asked(good).as_deref(), Ok(good));
        }
        for foreign in [
            "https://other.example/k",
            "https://idp.example:444/k",
            "https://idp.example.other.example/k",
            "https://keys.example:9/k",
            "http://127.0.0.1/k",
        ] {
            assert!(matches!(asked(foreign), Err(InvalidMetadata::ForeignKeys(_))), "{foreign}");
        }
        for insecure in [
            "http://idp.example/k",
            "/k",
            "",
            "https://idp.example@other.example/k",
            "file:///k",
            "https://idp.example/k#x",
        ] {
            assert!(matches!(asked(insecure), Err(InvalidMetadata::InsecureKeys(_))), "{insecure}");
        }
    }

    #[test]
    fn a_document_has_one_reading() {
        let twice =
            r#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/k","issuer":"https://idp.example"}"#;
        for text in ["", "[]", "null", "{", twice, "{\"issuer\":\"https://idp.example\"}x"] {
            assert_eq!(keys("https://idp.example", text), Err(InvalidMetadata::NotJson), "{text}");
        }
        assert_eq!(keys("https://idp.example", r#"{"issuer":"https://idp.example"}"#), Err(InvalidMetadata::NoKeys));
        let of_no_text = r#"{"issuer":["https://idp.example"],"jwks_uri":"https://idp.example/k"}"#;
        assert!(matches!(keys("https://idp.example", of_no_text), Err(InvalidMetadata::OtherIssuer(_))));
    }
}
