//! Transaction tokens as credentials.

use http::HeaderName;
use serde_json::{Value, json};

use super::{
    minting::ES256,
    worlds::{NOW, claims, head, header, issuer, members, token, with},
};
use crate::{
    access::{HeaderProblem, Timestamp},
    identity::{
        Authenticated, AuthenticationError, Authenticator, AuthenticatorSettings, InvalidSettings, InvalidToken,
        SeenCredential,
    },
};

fn settings(name: &'static str) -> AuthenticatorSettings {
    let mut issuer = issuer(&[ES256.jwk("k1")]);
    issuer.types.push("txntoken+jwt".into());
    let transaction_header = Some(HeaderName::from_static(name));
    AuthenticatorSettings { issuers: vec![issuer], transaction_header, ..Default::default() }
}

fn asked() -> Authenticator {
    Authenticator::new(settings("txn-token")).unwrap()
}

/// A transaction token with these claims changed.
fn transaction(changes: Value) -> String {
    let own = json!({"txn": "97053963", "scope": "ledger.read", "req_wl": "gateway.harbor.example"});
    token(&with(header(), json!({"typ": "txntoken+jwt"})), &with(with(claims(), own), changes))
}

fn ask(asked: &Authenticator, fields: &[(&str, &str)]) -> Result<Authenticated, AuthenticationError> {
    ask_on(&SeenCredential::default(), asked, fields)
}

fn ask_on(
    seen: &SeenCredential,
    asked: &Authenticator,
    fields: &[(&str, &str)],
) -> Result<Authenticated, AuthenticationError> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    asked.authenticate(&head(&fields), seen, Timestamp::from_seconds(NOW))
}

#[test]
fn a_transaction_token_is_its_chain() {
    let asked = asked();
    let answer = ask(&asked, &[("txn-token", &transaction(json!({"act": {"sub": "planner"}})))]).unwrap();
    assert_eq!(members(&answer), "user:mara agent:planner");
    assert!(asked.credential_fields().contains(&HeaderName::from_static("txn-token")), "it ends here");
}

#[test]
fn each_kind_of_token_has_its_own_field() {
    let asked = asked();
    let (own, access) = (transaction(json!({})), token(&header(), &claims()));
    let misplaced = Some(AuthenticationError::Token(InvalidToken::Misplaced));
    let bearer = |text: &str| format!("Bearer {text}");
    // Once each on a connection of its own, and all on one, which remembers what it has seen.
    let one = SeenCredential::default();
    for _ in 0..2 {
        for seen in [&SeenCredential::default(), &one] {
            let ask = |name: &str, value: &str| ask_on(seen, &asked, &[(name, value)]).err();
            assert_eq!(ask("txn-token", &own), None);
            assert_eq!(ask("authorization", &bearer(&access)), None);
            assert_eq!(ask("txn-token", &access), misplaced);
            assert_eq!(ask("authorization", &bearer(&own)), misplaced);
            assert!(ask("authorization", &own).is_some());
            assert!(ask("txn-token", &bearer(&own)).is_some());
            assert!(ask("txn-token", &bearer(&access)).is_some());
        }
    }
}

#[test]
fn it_comes_alone_and_once() {
    let (asked, own) = (asked(), transaction(json!({})));
    let bearer = format!("Bearer {}", token(&header(), &claims()));
    let both = ask(&asked, &[("txn-token", &own), ("authorization", &bearer)]);
    assert_eq!(both.err(), Some(AuthenticationError::Several));
    let twice = ask(&asked, &[("txn-token", &own), ("txn-token", &own)]);
    assert_eq!(twice.err(), Some(AuthenticationError::Field(HeaderProblem::Repeated)));
    // Where none is configured, the field means nothing.
    let without =
        Authenticator::new(AuthenticatorSettings { transaction_header: None, ..settings("txn-token") }).unwrap();
    assert_eq!(ask(&without, &[("txn-token", &own)]).err(), Some(AuthenticationError::Missing));
    let bearer = format!("Bearer {own}");
    let misplaced = Some(AuthenticationError::Token(InvalidToken::Misplaced));
    assert_eq!(ask(&without, &[("authorization", &bearer)]).err(), misplaced);
}

#[test]
fn it_has_all_that_makes_it_one() {
    let refusal = |changes: Value| match ask(&asked(), &[("txn-token", &transaction(changes))]) {
        Err(AuthenticationError::Token(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    for name in ["iat", "exp", "aud", "sub", "txn", "scope", "req_wl"] {
        assert_eq!(refusal(json!({name: null})), InvalidToken::MissingClaim(name));
    }
    for name in ["txn", "req_wl", "scope"] {
        for value in [json!(7), json!(""), json!(["a"]), json!("a\u{0}")] {
            assert_eq!(refusal(json!({name: value})), InvalidToken::MalformedClaim(name), "{name} {value}");
        }
    }
    assert_eq!(refusal(json!({"exp": NOW - 31})), InvalidToken::Expired);
    assert!(matches!(refusal(json!({"aud": "https://other.example"})), InvalidToken::OtherAudience(_)));
    // An issuer that has not this type in its list has no such tokens.
    let plain = AuthenticatorSettings { issuers: vec![issuer(&[ES256.jwk("k1")])], ..settings("txn-token") };
    let refused = ask(&Authenticator::new(plain).unwrap(), &[("txn-token", &transaction(json!({})))]);
    assert!(matches!(refused, Err(AuthenticationError::Token(InvalidToken::RefusedType(_)))));
}

#[test]
fn its_field_has_no_other_meaning() {
    for name in
        ["authorization", "dpop", "host", "connection", "x-forwarded-for", "portcullis-subject", "content-length"]
    {
        let refused = Authenticator::new(settings(name)).err();
        assert_eq!(refused, Some(InvalidSettings::TransactionHeader(HeaderName::from_static(name))), "{name}");
    }
    let both = AuthenticatorSettings { task_header: Some(HeaderName::from_static("x-a")), ..settings("x-a") };
    assert!(matches!(Authenticator::new(both), Err(InvalidSettings::TransactionHeader(_))));
}
