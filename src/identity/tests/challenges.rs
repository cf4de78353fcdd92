//! What clients without a good credential are told.

use serde_json::{Value, json};

use super::{
    minting::ES256,
    worlds::{issuer, usual},
};
use crate::{
    access::{CanonicalRequest, Scheme, Scope},
    identity::{
        AuthenticationError, Authenticator, AuthenticatorSettings, InvalidToken, ProtectedResource, ResourceUrl,
    },
};

fn published(resource: &str) -> Authenticator {
    let protected_resource = Some(ProtectedResource {
        resource: resource.parse().unwrap(),
        authorization_servers: vec!["https://login.harbor.example".into()],
        scopes: scopes(&["ledger.read", "ledger.write"]),
        detail_types: vec!["account".into()],
        certificates: true,
        name: Some("The \"ledger\"".into()),
        documentation: None,
    });
    let issuers = vec![issuer(&[ES256.jwk("k1")])];
    Authenticator::new(AuthenticatorSettings { issuers, protected_resource, ..Default::default() }).unwrap()
}

fn scopes(names: &[&str]) -> Vec<Scope> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn asked_for(asked: &Authenticator, method: &str, path: &str) -> Option<Value> {
    let request = http::Request::builder().method(method).uri(path).header("host", "elsewhere.example");
    let head = CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Http).unwrap();
    asked.challenges().metadata(&head).map(|document| serde_json::from_slice(&document).unwrap())
}

#[test]
fn the_metadata_is_at_its_two_well_known_paths() {
    let asked = published("https://ledger.harbor.example/v1/mcp");
    let own = "/.well-known/oauth-protected-resource/v1/mcp";
    let document = asked_for(&asked, "GET", own).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": "https://ledger.harbor.example/v1/mcp",
            "authorization_servers": ["https://login.harbor.example"],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["ledger.read", "ledger.write"],
            "authorization_details_types_supported": ["account"],
            "tls_client_certificate_bound_access_tokens": true,
            "resource_name": "The \"ledger\"",
        })
    );
    assert_eq!(asked_for(&asked, "GET", "/.well-known/oauth-protected-resource"), Some(document.clone()));
    assert_eq!(asked_for(&asked, "HEAD", &format!("{own}?x=1")), Some(document));
    for (method, path) in [
        ("POST", own),
        ("GET", "/.well-known/oauth-protected-resource/v1"),
        ("GET", "/.well-known/oauth-protected-resource/v1/mcp/x"),
        ("GET", "/.well-known/oauth-protected-resourcex"),
        ("GET", "/v1/mcp"),
    ] {
        assert_eq!(asked_for(&asked, method, path), None, "{method} {path}");
    }
    assert_eq!(asked_for(&usual(), "GET", "/.well-known/oauth-protected-resource"), None);
}

#[test]
fn a_challenge_names_the_metadata_and_all_scopes_at_once() {
    let url = "https://ledger.harbor.example/.well-known/oauth-protected-resource";
    for resource in ["https://ledger.harbor.example", "https://ledger.harbor.example/"] {
        let asked = published(resource);
        let challenges = asked.challenges();
        let needed = scopes(&["ledger.read", "ledger.close"]);
        assert_eq!(
            challenges.unauthenticated(&AuthenticationError::Missing, &[]),
            format!("Bearer realm=\"portcullis\", resource_metadata=\"{url}\"")
        );
        assert_eq!(
            challenges.unauthenticated(&AuthenticationError::Scheme, &needed),
            format!(
                "Bearer realm=\"portcullis\", error=\"invalid_token\", scope=\"ledger.read ledger.close\", \
                 resource_metadata=\"{url}\""
            )
        );
        assert_eq!(
            challenges.insufficient_scope(&needed),
            format!(
                "Bearer realm=\"portcullis\", error=\"insufficient_scope\", scope=\"ledger.read ledger.close\", \
                 resource_metadata=\"{url}\""
            )
        );
    }
}

#[test]
fn every_refused_token_is_told_the_same() {
    let asked = published("https://ledger.harbor.example");
    let told = |error: AuthenticationError| asked.challenges().unauthenticated(&error, &[]);
    let expected = told(AuthenticationError::Several);
    for error in [
        InvalidToken::Expired,
        InvalidToken::Signature,
        InvalidToken::UnknownKey { issuer: 0 },
        InvalidToken::NotThreeParts,
        InvalidToken::MissingClaim("aud"),
    ] {
        assert_eq!(told(error.into()), expected);
    }
    assert_eq!(told(AuthenticationError::ExpiredApiKey), expected);
}

#[test]
fn a_resource_is_a_url_that_clients_can_compare() {
    for text in [
        "https://api.acme.example",
        "https://api.acme.example/",
        "https://api.acme.example:8443/a/b",
        "http://127.0.0.1:8080/mcp",
        "http://localhost:8080",
        "http://[::1]:8080",
    ] {
        assert!(text.parse::<ResourceUrl>().is_ok(), "{text}");
    }
    for text in [
        "",
        "api.acme.example",
        "/mcp",
        "http://api.acme.example",
        "ftp://api.acme.example",
        "https://",
        "https://api.acme.example?x",
        "https://api.acme.example/#x",
        "https://user@api.acme.example/",
        "https://api.acme.example/a\"b",
        "https://api.acme.example/a b",
        "https://api.acme.example/../b",
        "https://api.acme.example/%2e",
        "https://api.acme.example/a//b",
        "https://api.acme.example/%61",
        "urn:acme:api",
    ] {
        assert!(text.parse::<ResourceUrl>().is_err(), "{text}");
    }
}
