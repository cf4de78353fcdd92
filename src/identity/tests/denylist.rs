//! Credentials that are good and were revoked.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    minting::ES256,
    worlds::{AUDIENCE, ISSUER, NOW, ask, authenticator, claims, header, issuer, token, with},
};
use crate::{
    access::{Reason, Timestamp},
    identity::{Authenticated, AuthenticationError, Credential, Denylist, Method, Revocation, Revoked, Which},
};

fn token_of(id: &str, issuer: Option<&str>) -> Revocation {
    Revocation::Token { id: id.into(), issuer: issuer.map(Box::from) }
}

fn member(entity: &str, which: Which) -> Revocation {
    Revocation::Member { entity: entity.parse().unwrap(), which }
}

fn before(seconds: i64) -> Which {
    Which::IssuedBefore(Timestamp::from_seconds(seconds))
}

fn of_issuer(issuer: &str, seconds: i64) -> Revocation {
    Revocation::Issuer { issuer: issuer.into(), before: Timestamp::from_seconds(seconds) }
}

fn verified(changes: Value) -> Authenticated {
    let asked = authenticator(vec![issuer(&[ES256.jwk("k1")])]);
    ask(&asked, &token(&header(), &with(claims(), changes))).unwrap()
}

fn revoked(entries: &[Revocation], authenticated: &Authenticated) -> Option<Revoked> {
    entries.iter().cloned().collect::<Denylist>().check(authenticated).err()
}

#[test]
fn each_entry_revokes_what_it_names_and_nothing_else() {
    let chain = json!({"act": {"sub": "coder", "act": {"sub": "planner"}}, "task": "t-42"});
    let answer = verified(chain);
    let name = |entity: &str| Some(Revoked::Member(entity.parse().unwrap()));
    let issued = NOW - 5;
    for (entry, expected) in [
        (token_of("t-81", None), Some(Revoked::Token)),
        (token_of("t-81", Some(ISSUER)), Some(Revoked::Token)),
        (token_of("t-81", Some("https://other.example")), None),
        (token_of("t-8", None), None),
        (token_of("T-81", None), None),
        (member("user:mara", Which::All), name("user:mara")),
        (member("agent:coder", Which::All), name("agent:coder")),
        (member("agent:planner", Which::All), name("agent:planner")),
        (member("task:t-42", Which::All), name("task:t-42")),
        (member("user:coder", Which::All), None),
        (member("agent:mara", Which::All), None),
        (member("user:mara", before(issued)), None),
        (member("user:mara", before(issued + 1)), name("user:mara")),
        (of_issuer(ISSUER, issued), None),
        (of_issuer(ISSUER, issued + 1), Some(Revoked::Issuer)),
        (of_issuer("https://login.harbor.example/", issued + 1), None),
        (Revocation::ApiKey("t-81".into()), None),
    ] {
        assert_eq!(revoked(std::slice::from_ref(&entry), &answer), expected, "{entry:?}");
    }
    assert_eq!(revoked(&[], &answer), None);
}

#[test]
fn a_token_that_does_not_say_when_it_was_issued_is_of_before() {
    let answer = verified(json!({"iat": null, "jti": null}));
    assert_eq!(
        revoked(&[member("user:mara", before(1))], &answer),
        Some(Revoked::Member("user:mara".parse().unwrap()))
    );
    assert_eq!(revoked(&[of_issuer(ISSUER, 1)], &answer), Some(Revoked::Issuer));
    assert_eq!(revoked(&[token_of("", None)], &answer), None);
}

#[test]
fn entries_of_one_name_add_up() {
    let answer = verified(json!({}));
    let by_member = Some(Revoked::Member("user:mara".parse().unwrap()));
    for entries in [
        [member("user:mara", Which::All), member("user:mara", before(1))],
        [member("user:mara", before(1)), member("user:mara", Which::All)],
        [member("user:mara", before(NOW)), member("user:mara", before(1))],
    ] {
        assert_eq!(revoked(&entries, &answer), by_member);
    }
    for entries in [
        [token_of("t-81", None), token_of("t-81", Some(AUDIENCE))],
        [token_of("t-81", Some(AUDIENCE)), token_of("t-81", None)],
        [token_of("t-81", Some(AUDIENCE)), token_of("t-81", Some(ISSUER))],
    ] {
        assert_eq!(revoked(&entries, &answer), Some(Revoked::Token));
    }
    assert_eq!(revoked(&[of_issuer(ISSUER, NOW), of_issuer(ISSUER, 1)], &answer), Some(Revoked::Issuer));
}

#[test]
fn an_api_key_is_revoked_by_its_id_or_by_whom_it_stands_for() {
    let method = Method::ApiKey { id: "bf4hq2ma".into(), owner: None };
    let credential = Arc::new(Credential::new(method, None));
    let answer = Authenticated { credential, ..verified(json!({})) };
    assert_eq!(revoked(&[Revocation::ApiKey("bf4hq2ma".into())], &answer), Some(Revoked::ApiKey));
    assert_eq!(revoked(&[Revocation::ApiKey("bf4hq2mb".into())], &answer), None);
    assert_eq!(revoked(&[token_of("bf4hq2ma", None), of_issuer(ISSUER, NOW)], &answer), None);
    let by_member = Some(Revoked::Member("user:mara".parse().unwrap()));
    assert_eq!(revoked(&[member("user:mara", before(1))], &answer), by_member, "nobody knows since when it is");
}

#[test]
fn a_revocation_has_its_own_reason_and_is_answered_like_every_bad_credential() {
    let error = AuthenticationError::from(Revoked::Token);
    assert_eq!((error.reason(), error.unknown_key()), (Reason::Revoked, None));
    assert_eq!(Reason::Revoked.status(), Reason::InvalidCredential.status());
}
