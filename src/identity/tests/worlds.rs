//! A small identity provider and the authenticator that trusts it.

use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};

use super::minting::{ES256, Signer};
use crate::{
    access::{CanonicalRequest, Scheme, Timestamp},
    identity::{
        Algorithm, Authenticated, AuthenticationError, Authenticator, AuthenticatorSettings, ChainSettings,
        GrantSettings, InvalidToken, IssuerSettings, KeySet, SeenCredential,
    },
};

pub(super) const NOW: i64 = 1_900_000_000;
pub(super) const ISSUER: &str = "https://login.harbor.example";
pub(super) const AUDIENCE: &str = "https://ledger.harbor.example";

/// Settings of one issuer with these keys.
pub(super) fn issuer(keys: &[Value]) -> IssuerSettings {
    IssuerSettings {
        issuer: ISSUER.into(),
        audiences: vec![AUDIENCE.into()],
        algorithms: Algorithm::DEFAULT.to_vec(),
        types: IssuerSettings::DEFAULT_TYPES.map(Box::from).to_vec(),
        leeway: IssuerSettings::DEFAULT_LEEWAY,
        max_age: None,
        chain: chain(),
        grants: GrantSettings::default(),
        contextual: Vec::new(),
        keys: keys_of(keys),
    }
}

pub(super) fn chain() -> ChainSettings {
    ChainSettings {
        subject: "user:{sub}".parse().unwrap(),
        actor: Some("agent:{sub}".parse().unwrap()),
        task: Some("task:{task}".parse().unwrap()),
        client: None,
        client_subject: None,
        human_clients: Vec::new(),
        max_actors: ChainSettings::DEFAULT_MAX_ACTORS,
    }
}

pub(super) fn keys_of(keys: &[Value]) -> Arc<KeySet> {
    Arc::new(KeySet::parse(&json!({"keys": keys}).to_string()).unwrap())
}

pub(super) fn authenticator(issuers: Vec<IssuerSettings>) -> Authenticator {
    Authenticator::new(AuthenticatorSettings { issuers, ..Default::default() }).unwrap()
}

/// The authenticator that trusts `ES256` as the key `k1`, after a change of its settings.
pub(super) fn changed(change: impl FnOnce(&mut IssuerSettings)) -> Authenticator {
    let mut settings = issuer(&[ES256.jwk("k1")]);
    change(&mut settings);
    authenticator(vec![settings])
}

pub(super) fn usual() -> Authenticator {
    changed(|_| ())
}

/// Claims that are accepted.
pub(super) fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "mara", "aud": AUDIENCE, "exp": NOW + 600, "iat": NOW - 5, "jti": "t-81"})
}

pub(super) fn header() -> Value {
    json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"})
}

/// `value` with some members changed; `null` removes one.
pub(super) fn with(mut value: Value, changes: Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        let members = value.as_object_mut().unwrap();
        if change.is_null() {
            members.remove(name)
        } else {
            members.insert(name.clone(), change.clone())
        };
    }
    value
}

/// A token of `ES256` as `k1`.
pub(super) fn token(header: &Value, claims: &Value) -> String {
    token_by(&ES256, Algorithm::Es256, header, claims)
}

pub(super) fn token_by(signer: &Signer, algorithm: Algorithm, header: &Value, claims: &Value) -> String {
    signer.token(algorithm, &header.to_string(), &claims.to_string())
}

pub(super) fn head(fields: &[(&str, &[u8])]) -> CanonicalRequest {
    let mut request = Request::builder().uri("/").header("host", "ledger.harbor.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Http).unwrap()
}

/// Asks with a bearer token at a time, on a new connection.
pub(super) fn ask_at(asked: &Authenticator, token: &str, now: i64) -> Result<Authenticated, AuthenticationError> {
    ask_on(&SeenCredential::default(), asked, token, now)
}

/// Asks with a bearer token at a time, on a connection.
pub(super) fn ask_on(
    seen: &SeenCredential,
    asked: &Authenticator,
    token: &str,
    now: i64,
) -> Result<Authenticated, AuthenticationError> {
    let field = format!("Bearer {token}");
    asked.authenticate(&head(&[("authorization", field.as_bytes())]), seen, Timestamp::from_seconds(now))
}

pub(super) fn ask(asked: &Authenticator, token: &str) -> Result<Authenticated, AuthenticationError> {
    ask_at(asked, token, NOW)
}

/// Why the token is refused, `None` if it is accepted.
pub(super) fn refusal(asked: &Authenticator, token: &str) -> Option<InvalidToken> {
    match ask(asked, token) {
        Ok(_) => None,
        Err(AuthenticationError::Token(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    }
}

/// Why a token with these claims is refused by the usual authenticator.
pub(super) fn refusal_of(changes: Value) -> Option<InvalidToken> {
    refusal(&usual(), &token(&header(), &with(claims(), changes)))
}

/// Why a token with this header is refused by the usual authenticator.
pub(super) fn refusal_of_header(changes: Value) -> Option<InvalidToken> {
    refusal(&usual(), &token(&with(header(), changes), &claims()))
}

/// The members of the chain, in order.
pub(super) fn members(authenticated: &Authenticated) -> String {
    authenticated.principal.members().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
