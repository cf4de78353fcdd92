//! What the claims must say, and when.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    minting::{ES256, OTHER_ES256},
    worlds::{
        AUDIENCE, ISSUER, NOW, ask, ask_at, ask_on, authenticator, changed, claims, header, issuer, keys_of, members,
        refusal, refusal_of, refusal_of_header, token, token_by, usual, with,
    },
};
use crate::identity::{
    Algorithm, Authenticated, AuthenticationError, Authenticator, InvalidToken, Method, SeenCredential, Shown,
};

fn malformed(name: &'static str) -> Option<InvalidToken> {
    Some(InvalidToken::MalformedClaim(name))
}

fn missing(name: &'static str) -> Option<InvalidToken> {
    Some(InvalidToken::MissingClaim(name))
}

#[test]
fn the_type_is_one_of_the_issuers() {
    for kind in ["at+jwt", "application/at+jwt", "JWT", "AT+JWT", "jwt"] {
        assert_eq!(refusal_of_header(json!({"typ": kind})), None, "{kind}");
    }
    for kind in ["id_token", "dpop+jwt", "logout+jwt", "secevent+jwt", "jwt ", "application/jwt", ""] {
        let refused = Some(InvalidToken::RefusedType(Shown::new(kind)));
        assert_eq!(refusal_of_header(json!({"typ": kind})), refused, "{kind}");
    }
    assert_eq!(refusal_of_header(json!({"typ": 1})), Some(InvalidToken::MalformedParameter("typ")));
    let untyped = token(&with(header(), json!({"typ": null})), &claims());
    assert_eq!(refusal(&usual(), &untyped), Some(InvalidToken::MissingType));
    let lax = changed(|settings| settings.types.push("".into()));
    assert_eq!(refusal(&lax, &untyped), None);
    assert!(refusal(&lax, &token(&with(header(), json!({"typ": ""})), &claims())).is_some());
}

#[test]
fn an_identity_token_is_no_access_token() {
    for name in ["nonce", "at_hash", "events"] {
        let generic = token(&with(header(), json!({"typ": "JWT"})), &with(claims(), json!({name: "x"})));
        assert_eq!(refusal(&usual(), &generic), Some(InvalidToken::NotAnAccessToken(name)));
        let untyped = token(&with(header(), json!({"typ": null})), &with(claims(), json!({name: "x"})));
        let lax = changed(|settings| settings.types.push("".into()));
        assert_eq!(refusal(&lax, &untyped), Some(InvalidToken::NotAnAccessToken(name)));
    }
    assert_eq!(refusal_of(json!({"nonce": "n-1"})), None);
}

#[test]
fn expiry_is_required_and_an_integer() {
    let text = |exp: &str| {
        let claims = claims().to_string().replace(&format!("\"exp\":{}", NOW + 600), &format!("\"exp\":{exp}"));
        refusal(&usual(), &ES256.token(Algorithm::Es256, &header().to_string(), &claims))
    };
    for exp in ["1900000600", "1900000600.0", "1.9000006e9"] {
        assert_eq!(text(exp), None, "{exp}");
    }
    for exp in ["\"1900000600\"", "1900000600.5", "-1", "9007199254740993", "1e300", "null", "true", "[1900000600]"] {
        assert_eq!(text(exp), malformed("exp"), "{exp}");
    }
    for exp in ["NaN", "1e400", "01900000600", "+1900000600"] {
        assert!(matches!(text(exp), Some(InvalidToken::NotJson(_))), "{exp}");
    }
    assert_eq!(refusal_of(json!({"exp": null})), missing("exp"));
    assert_eq!(text("0"), Some(InvalidToken::Expired));
}

#[test]
fn times_count_with_leeway() {
    let at = |changes: Value| refusal_of(changes);
    assert_eq!(at(json!({"exp": NOW - 29})), None);
    assert_eq!(at(json!({"exp": NOW - 30})), Some(InvalidToken::Expired));
    assert_eq!(at(json!({"nbf": NOW + 30})), None);
    assert_eq!(at(json!({"nbf": NOW + 31})), Some(InvalidToken::NotYetValid));
    assert_eq!(at(json!({"iat": NOW + 30})), None);
    assert_eq!(at(json!({"iat": NOW + 31})), Some(InvalidToken::IssuedInFuture));
    assert_eq!(at(json!({"nbf": "soon"})), malformed("nbf"));
    assert_eq!(at(json!({"iat": 1.5})), malformed("iat"));
    let strict = changed(|settings| settings.leeway = Duration::ZERO);
    assert_eq!(refusal(&strict, &token(&header(), &with(claims(), json!({"exp": NOW})))), Some(InvalidToken::Expired));
    assert_eq!(refusal(&strict, &token(&header(), &with(claims(), json!({"exp": NOW + 1})))), None);
}

#[test]
fn a_greatest_age_needs_a_time_of_issue() {
    let asked = changed(|settings| settings.max_age = Some(Duration::from_secs(300)));
    let aged = |iat: Value| refusal(&asked, &token(&header(), &with(claims(), json!({"iat": iat}))));
    assert_eq!(aged(json!(NOW - 329)), None);
    assert_eq!(aged(json!(NOW - 330)), Some(InvalidToken::TooOld));
    assert_eq!(aged(Value::Null), missing("iat"));
    let answer = ask(&asked, &token(&header(), &claims())).unwrap();
    assert_eq!(answer.credential.expires.unwrap().seconds(), NOW - 5 + 300 + 30);
}

#[test]
fn the_audience_is_exactly_ours() {
    assert_eq!(refusal_of(json!({"aud": [AUDIENCE]})), None);
    assert_eq!(refusal_of(json!({"aud": ["https://other.example", AUDIENCE]})), None);
    let prefix = &AUDIENCE[..AUDIENCE.len() - 1];
    for other in ["https://other.example", "", prefix, &format!("{AUDIENCE}/"), &AUDIENCE.to_uppercase()] {
        let refused = Some(InvalidToken::OtherAudience(Shown::new(other)));
        assert_eq!(refusal_of(json!({"aud": other})), refused, "{other}");
        assert_eq!(refusal_of(json!({"aud": [other]})), refused, "{other}");
    }
    assert_eq!(refusal_of(json!({"aud": null})), missing("aud"));
    for wrong in [json!([]), json!(7), json!({AUDIENCE: true}), json!([AUDIENCE, 7]), json!([[AUDIENCE]])] {
        assert_eq!(refusal_of(json!({"aud": wrong})), malformed("aud"));
    }
}

#[test]
fn the_issuer_is_exact_and_only_its_own_keys_count() {
    for other in [&format!("{ISSUER}/"), &ISSUER.to_uppercase(), "https://other.example", ""] {
        let unknown = Some(InvalidToken::UnknownIssuer(Shown::new(other)));
        assert_eq!(refusal_of(json!({"iss": other})), unknown, "{other}");
    }
    assert_eq!(refusal_of(json!({"iss": null})), missing("iss"));
    assert_eq!(refusal_of(json!({"iss": [ISSUER]})), malformed("iss"));

    // The same `kid` at two issuers is two keys.
    let mut partner = issuer(&[OTHER_ES256.jwk("k1")]);
    partner.issuer = "https://login.partner.example".into();
    partner.chain.subject = "partner:{sub}".parse().unwrap();
    let both = authenticator(vec![issuer(&[ES256.jwk("k1")]), partner]);
    let from_partner = with(claims(), json!({"iss": "https://login.partner.example"}));
    assert_eq!(refusal(&both, &token(&header(), &from_partner)), Some(InvalidToken::Signature));
    let genuine = token_by(&OTHER_ES256, Algorithm::Es256, &header(), &from_partner);
    let answer = ask(&both, &genuine).unwrap();
    assert_eq!(members(&answer), "partner:mara");
    assert_eq!(answer.credential.method, Method::Jwt { index: 1, issuer: "https://login.partner.example".into() });
    let forged = token_by(&OTHER_ES256, Algorithm::Es256, &header(), &claims());
    assert_eq!(refusal(&both, &forged), Some(InvalidToken::Signature));
}

#[test]
fn a_key_shared_by_two_issuers_serves_each_under_its_own_rules() {
    let mut narrow = issuer(&[ES256.jwk("k1")]);
    narrow.issuer = "https://login.partner.example".into();
    narrow.audiences = vec!["https://partner.example".into()];
    let both = authenticator(vec![issuer(&[ES256.jwk("k1")]), narrow]);
    let confused = token(&header(), &with(claims(), json!({"iss": "https://login.partner.example"})));
    assert!(matches!(refusal(&both, &confused), Some(InvalidToken::OtherAudience(_))));
    assert_eq!(refusal(&both, &token(&header(), &claims())), None);
}

#[test]
fn the_subject_is_plain_text() {
    assert_eq!(refusal_of(json!({"sub": "s".repeat(251)})), None);
    assert_eq!(refusal_of(json!({"sub": null})), missing("sub"));
    let (control, invisible, bidi) = ("ma\u{7}ra", "ma\u{200b}ra", "ma\u{202e}ra");
    let long = "s".repeat(257);
    for sub in [json!(""), json!(long), json!(7), json!(["mara"]), json!(control), json!(invisible), json!(bidi)] {
        assert_eq!(refusal_of(json!({"sub": sub})), malformed("sub"), "{sub}");
    }
    for sub in ["a b", "*", "x*", "a:b", "group:eng#member", "a\u{2028}b", &"s".repeat(256)] {
        let answer = ask(&usual(), &token(&header(), &with(claims(), json!({"sub": sub}))));
        assert!(matches!(answer, Err(AuthenticationError::Chain(_))), "{sub}");
    }
    // Letters are compared as they are: no folding makes two of them one.
    let answer = ask(&usual(), &token(&header(), &with(claims(), json!({"sub": "mára"})))).unwrap();
    assert_eq!(members(&answer), "user:mára");
}

#[test]
fn the_token_id_is_known_or_refused() {
    let answer = ask(&usual(), &token(&header(), &claims())).unwrap();
    assert_eq!(answer.credential.token_id.as_deref(), Some("t-81"));
    assert_eq!(answer.credential.expires.unwrap().seconds(), NOW + 630);
    assert_eq!(refusal_of(json!({"jti": null})), None);
    assert_eq!(refusal_of(json!({"jti": 7})), malformed("jti"));
}

#[test]
fn a_token_that_is_bound_to_a_key_is_no_bearer_token() {
    assert_eq!(refusal_of(json!({"cnf": {"jkt": "abc"}})), Some(InvalidToken::Bound));
    assert_eq!(refusal_of(json!({"cnf": {"x5t#S256": "abc"}})), Some(InvalidToken::Bound));
}

#[test]
fn what_was_verified_is_remembered_but_never_longer_than_it_holds() {
    let one = SeenCredential::default();
    remembers_no_longer_than_it_holds(|asked, token, now| ask_on(&one, asked, token, now));
    remembers_no_longer_than_it_holds(ask_at);
}

fn remembers_no_longer_than_it_holds(
    ask_at: impl Fn(&Authenticator, &str, i64) -> Result<Authenticated, AuthenticationError>,
) {
    let asked = usual();
    let short = token(&header(), &with(claims(), json!({"exp": NOW + 10, "nbf": NOW})));
    let first = ask_at(&asked, &short, NOW).unwrap();
    let again = ask_at(&asked, &short, NOW + 39).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first.principal, &again.principal), "the second answer was remembered");
    let expired = AuthenticationError::Token(InvalidToken::Expired);
    assert_eq!(ask_at(&asked, &short, NOW + 40).unwrap_err(), expired);
    let early = AuthenticationError::Token(InvalidToken::NotYetValid);
    assert_eq!(ask_at(&asked, &short, NOW - 31).unwrap_err(), early);

    let long = token(&header(), &claims());
    let first = ask_at(&asked, &long, NOW).unwrap();
    let last = ask_at(&asked, &long, NOW + 59).unwrap();
    let later = ask_at(&asked, &long, NOW + 60).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first.principal, &last.principal));
    assert!(!std::sync::Arc::ptr_eq(&first.principal, &later.principal), "after 60 s it was verified again");
    let back = ask_at(&asked, &long, NOW - 1).unwrap();
    assert!(!std::sync::Arc::ptr_eq(&later.principal, &back.principal), "the clock went backwards");
}

#[test]
fn what_a_connection_brought_is_known_to_the_authenticator_that_verified_it_alone() {
    let (seen, asked, other) =
        (SeenCredential::default(), usual(), changed(|issuer| issuer.keys = keys_of(&[OTHER_ES256.jwk("k1")])));
    let good = token(&header(), &claims());
    assert!(ask_on(&seen, &asked, &good, NOW).is_ok());
    assert!(ask_on(&seen, &other, &good, NOW).is_err(), "its keys are gone");
    let bad = format!("{}{}", good, "A");
    assert!(ask_on(&seen, &asked, &bad, NOW).is_err());
    assert!(ask_on(&seen, &asked, &good[..good.len() - 1], NOW).is_err());
    assert!(ask_on(&seen, &asked, &good, NOW).is_ok());
    assert_eq!(format!("{seen:?}"), "SeenCredential { .. }");
}

#[test]
fn a_remembered_token_does_not_lend_its_answer_to_another() {
    let asked = usual();
    let good = token(&header(), &claims());
    assert!(ask(&asked, &good).is_ok());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (again, _) = token(&header(), &claims()).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(signed, again);
    assert_eq!(refusal(&asked, &format!("{signed}.{}", "A".repeat(86))), Some(InvalidToken::Signature));
}
