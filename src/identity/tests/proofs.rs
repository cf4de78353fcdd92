//! Tokens that are bound to a key, and the proofs of its possession.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderName;
use serde_json::{Value, json};

use super::{
    minting::{ED25519, ES256, OTHER_ES256, RSA, Signer, text},
    worlds::{NOW, claims, header, issuer, members, token, with},
};
use crate::{
    access::{CanonicalRequest, HeadRules, Reason, Scheme, Timestamp},
    identity::{
        Algorithm, AuthenticationError, Authenticator, AuthenticatorSettings, InvalidProof, InvalidSettings,
        InvalidToken, Origin, Possession, ProofNeed, ProofSettings, Proven, SeenCredential, once::SeenOnce,
    },
};

const URL: &str = "http://ledger.harbor.example/books/7";

fn settings(change: impl FnOnce(&mut ProofSettings)) -> AuthenticatorSettings {
    let mut proofs = ProofSettings { window: ProofSettings::DEFAULT_WINDOW, origin: None, need: ProofNeed::WhereBound };
    change(&mut proofs);
    AuthenticatorSettings { issuers: vec![issuer(&[ES256.jwk("k1")])], proofs: Some(proofs), ..Default::default() }
}

fn usual() -> Authenticator {
    Authenticator::new(settings(|_| ())).unwrap()
}

fn hash(bytes: &[u8]) -> String {
    text(digest(&SHA256, bytes).as_ref())
}

/// The key as a header shows it, and its thumbprint, which is made here of what RFC 7638 says.
fn shown(signer: &Signer) -> (Value, String) {
    let jwk = with(signer.jwk("x"), json!({"kid": null}));
    let of = |name: &str| jwk[name].as_str().unwrap().to_owned();
    let members = match &*of("kty") {
        "EC" => format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, of("crv"), of("x"), of("y")),
        "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, of("e"), of("n")),
        _ => format!(r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#, of("crv"), of("x")),
    };
    (jwk.clone(), hash(members.as_bytes()))
}

/// A token that is bound to the key of `signer`.
fn bound(signer: &Signer) -> String {
    token(&header(), &with(claims(), json!({"cnf": {"jkt": shown(signer).1}})))
}

/// A proof for a GET of [`URL`] with the token, after changes of its header and claims; `null` removes a member.
fn proof(signer: &Signer, algorithm: Algorithm, token: &str, changes: (Value, Value)) -> String {
    let header = json!({"typ": "dpop+jwt", "alg": algorithm.name(), "jwk": shown(signer).0});
    let claims = json!({"jti": "p-1", "htm": "GET", "htu": URL, "iat": NOW, "ath": hash(token.as_bytes())});
    signer.token(algorithm, &with(header, changes.0).to_string(), &with(claims, changes.1).to_string())
}

fn of_request(fields: &[(&str, &str)]) -> CanonicalRequest {
    let mut request = http::Request::builder().uri("/books/7?page=2").header("host", "ledger.harbor.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Http).unwrap()
}

fn ask(asked: &Authenticator, fields: &[(&str, &str)], now: i64) -> Result<String, AuthenticationError> {
    let answer = asked.authenticate(&of_request(fields), &SeenCredential::default(), Timestamp::from_seconds(now))?;
    Ok(members(&answer))
}

/// Sends a bound token with a proof.
fn send(asked: &Authenticator, token: &str, proof: &str) -> Result<String, AuthenticationError> {
    ask(asked, &[("authorization", &format!("DPoP {token}")), ("dpop", proof)], NOW)
}

/// Why a proof with these changes is refused.
fn refused(header: Value, claims: Value) -> Option<InvalidProof> {
    let token = bound(&OTHER_ES256);
    match send(&usual(), &token, &proof(&OTHER_ES256, Algorithm::Es256, &token, (header, claims))) {
        Ok(_) => None,
        Err(AuthenticationError::Proof(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_holder_of_the_key_is_accepted_with_each_kind_of_key() {
    for (signer, algorithm) in [
        (&*OTHER_ES256, Algorithm::Es256),
        (&*ED25519, Algorithm::EdDsa),
        (&*RSA, Algorithm::Rs256),
        (&*RSA, Algorithm::Ps256),
    ] {
        let token = bound(signer);
        let proof = proof(signer, algorithm, &token, (json!({}), json!({})));
        assert_eq!(send(&usual(), &token, &proof).unwrap(), "user:mara", "{algorithm}");
    }
}

#[test]
fn a_bound_token_is_nothing_without_its_proof() {
    let (asked, token) = (usual(), bound(&OTHER_ES256));
    let good = proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({})));
    let (bearer, proven) = (format!("Bearer {token}"), format!("DPoP {token}"));
    let missing = AuthenticationError::Proof(InvalidProof::Missing);
    assert_eq!(ask(&asked, &[("authorization", &proven)], NOW).unwrap_err(), missing);
    assert_eq!(ask(&asked, &[("authorization", &bearer)], NOW).unwrap_err(), missing);
    assert_eq!(ask(&asked, &[("authorization", &bearer), ("dpop", &good)], NOW).unwrap_err(), missing);
    assert_eq!((missing.reason(), missing.unknown_key()), (Reason::InvalidCredential, None));
    // What was seen before on the connection is asked anew each time.
    let seen = SeenCredential::default();
    let at = Timestamp::from_seconds(NOW);
    let with_proof = of_request(&[("authorization", &proven), ("dpop", &good)]);
    assert!(asked.authenticate(&with_proof, &seen, at).is_ok());
    let without = of_request(&[("authorization", &proven)]);
    assert_eq!(asked.authenticate(&without, &seen, at).unwrap_err(), missing);
    assert_eq!(asked.authenticate(&with_proof, &seen, at).unwrap_err(), InvalidProof::Replayed.into());
}

#[test]
fn an_escaped_slash_of_the_request_is_one_in_its_proof() {
    let asked = |htu: &str| {
        let token = bound(&OTHER_ES256);
        let proof = proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({"htu": htu})));
        let mut request = http::Request::builder().uri("/books/a%2fb").header("host", "ledger.harbor.example");
        for (name, value) in [("authorization", format!("DPoP {token}")), ("dpop", proof)] {
            request = request.header(name, value);
        }
        let rules = HeadRules { escaped_slashes: true, ..HeadRules::default() };
        let parts = request.body(()).unwrap().into_parts().0;
        let head = CanonicalRequest::parse_by(rules, parts, Scheme::Http).unwrap();
        usual().authenticate(&head, &SeenCredential::default(), Timestamp::from_seconds(NOW)).is_ok()
    };
    for path in ["/books/a%2Fb", "/books/a%2fb", "/books/%61%2Fb"] {
        assert!(asked(&format!("http://ledger.harbor.example{path}")), "{path}");
    }
    for path in ["/books/a/b", "/books/a%252Fb", "/books/a%2Fc", "/books/a", "/books/x/..%2Fa%2Fb"] {
        assert!(!asked(&format!("http://ledger.harbor.example{path}")), "{path}");
    }
}

#[test]
fn a_proof_is_of_this_request_and_this_token() {
    assert_eq!(refused(json!({}), json!({})), None);
    assert_eq!(refused(json!({}), json!({"htm": "POST"})), Some(InvalidProof::OtherMethod));
    assert_eq!(refused(json!({}), json!({"htm": "get"})), Some(InvalidProof::OtherMethod));
    for url in [
        "http://LEDGER.harbor.example:80/books/7",
        "http://ledger.harbor.example/books/7?page=3",
        "http://ledger.harbor.example/books/%37",
    ] {
        assert_eq!(refused(json!({}), json!({"htu": url})), None, "{url}");
    }
    for url in [
        "https://ledger.harbor.example/books/7",
        "http://ledger.harbor.example:8080/books/7",
        "http://other.harbor.example/books/7",
        "http://ledger.harbor.example/books/8",
        "http://ledger.harbor.example/books/7/",
        "http://ledger.harbor.example/Books/7",
        "http://ledger.harbor.example",
    ] {
        assert_ne!(refused(json!({}), json!({"htu": url})), None, "{url}");
    }
    for url in
        ["/books/7", "", "http://", "http://a@ledger.harbor.example/books/7", "http://ledger.harbor.example/../7"]
    {
        assert_eq!(refused(json!({}), json!({"htu": url})), Some(InvalidProof::Claim("htu")), "{url}");
    }
    let other = hash(b"another token");
    for ath in [json!(other), json!("x"), json!(format!("{other}="))] {
        assert_eq!(refused(json!({}), json!({"ath": ath})), Some(InvalidProof::OtherToken), "{ath}");
    }
    for name in ["htm", "htu", "ath", "iat", "jti"] {
        assert_eq!(refused(json!({}), json!({name: null})), Some(InvalidProof::Claim(name)));
        assert_eq!(refused(json!({}), json!({name: ["x"]})), Some(InvalidProof::Claim(name)));
    }
    assert_eq!(refused(json!({}), json!({"jti": ""})), Some(InvalidProof::Claim("jti")));
    assert_eq!(refused(json!({}), json!({"jti": "j".repeat(257)})), Some(InvalidProof::Claim("jti")));
}

#[test]
fn a_proof_is_made_now() {
    for (iat, expected) in [
        (json!(NOW - 60), None),
        (json!(NOW + 60), None),
        (json!(NOW - 61), Some(InvalidProof::OtherTime)),
        (json!(NOW + 61), Some(InvalidProof::OtherTime)),
        (json!(-1), Some(InvalidProof::Claim("iat"))),
        (json!(NOW.to_string()), Some(InvalidProof::Claim("iat"))),
        (json!(1.5), Some(InvalidProof::Claim("iat"))),
    ] {
        assert_eq!(refused(json!({}), json!({"iat": iat})), expected, "{iat}");
    }
}

#[test]
fn a_proof_is_good_once_whoever_asks() {
    let (asked, token) = (usual(), bound(&OTHER_ES256));
    let made = |jti: &str| proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({"jti": jti})));
    let replayed = AuthenticationError::from(InvalidProof::Replayed);
    assert!(send(&asked, &token, &made("p-1")).is_ok());
    assert_eq!(send(&asked, &token, &made("p-1")).unwrap_err(), replayed, "its signature may be another one");
    assert!(send(&asked, &token, &made("p-2")).is_ok());
    // A new configuration does not make it good again.
    let next = Authenticator::after(settings(|proofs| proofs.window = Duration::from_secs(300)), &asked).unwrap();
    assert_eq!(send(&next, &token, &made("p-1")).unwrap_err(), replayed);
    // The same id with another key is another proof.
    let other = bound(&ED25519);
    let proof = proof(&ED25519, Algorithm::EdDsa, &other, (json!({}), json!({})));
    assert!(send(&next, &other, &proof).is_ok());
}

#[test]
fn a_sender_has_a_share_of_the_memory_with_whatever_keys() {
    let asked = usual();
    let (now, share) = (Timestamp::from_seconds(NOW), SeenOnce::share_of(50));
    let sender = "user:mara".parse().unwrap();
    for number in 0..SeenOnce::share_of(1) / 2 {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        assert_eq!(asked.memory.proofs.first(digest, (&sender, share), now, now), Ok(()));
    }
    for (signer, algorithm) in [(&OTHER_ES256, Algorithm::Es256), (&ED25519, Algorithm::EdDsa)] {
        let token = bound(signer);
        let refused = send(&asked, &token, &proof(signer, algorithm, &token, (json!({}), json!({})))).unwrap_err();
        assert_eq!(refused, InvalidProof::NoRoom.into());
        assert_eq!(refused.reason(), Reason::TooManyProofs, "it may be good");
    }
    let acting = with(claims(), json!({"cnf": {"jkt": shown(&OTHER_ES256).1}, "act": {"sub": "reader"}}));
    let token = token(&header(), &acting);
    let proof = proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({})));
    assert!(send(&asked, &token, &proof).is_ok(), "whoever sends for the same subject has another share");
}

#[test]
fn a_reload_does_not_make_a_proof_of_one_that_nobody_looked_at() {
    let token = bound(&OTHER_ES256);
    let proof = proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({})));
    let head = of_request(&[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]);
    let (asked, seen, now) = (usual(), SeenCredential::default(), Timestamp::from_seconds(NOW));
    let again = |proven| asked.authenticate_as(&head, &seen, (now, Possession::Proven(proven)), None);
    assert_eq!(again(Proven::default()).unwrap_err(), InvalidProof::Missing.into());
    let first = asked.authenticate(&head, &seen, now).unwrap();
    assert!(again(first.proven).is_ok(), "what was proven is not asked for again");
    let other = Proven { proof: Some([7; 32]), ..first.proven };
    assert_eq!(again(other).unwrap_err(), InvalidProof::Missing.into());
}

#[test]
fn a_proof_is_signed_by_the_key_of_the_token() {
    let token = bound(&OTHER_ES256);
    let by = |signer: &Signer, algorithm: Algorithm, header: Value| {
        send(&usual(), &token, &proof(signer, algorithm, &token, (header, json!({})))).unwrap_err()
    };
    let own = shown(&OTHER_ES256).0;
    assert_eq!(by(&ES256, Algorithm::Es256, json!({})), InvalidProof::OtherKey.into());
    assert_eq!(by(&ES256, Algorithm::Es256, json!({"jwk": own})), InvalidProof::Signature.into());
    assert_eq!(by(&RSA, Algorithm::Rs256, json!({"jwk": own})), InvalidProof::Algorithm.into());
    for (header, expected) in [
        (json!({"typ": "at+jwt"}), InvalidProof::Type),
        (json!({"typ": null}), InvalidProof::Type),
        (json!({"alg": "none"}), InvalidProof::Algorithm),
        (json!({"alg": "HS256"}), InvalidProof::Algorithm),
        (json!({"alg": "ES384"}), InvalidProof::Algorithm),
        (json!({"alg": null}), InvalidProof::Algorithm),
        (json!({"jwk": null}), InvalidProof::Key),
        (json!({"jwk": "key"}), InvalidProof::Key),
        (json!({"jwk": {"kty": "oct", "k": "AAAA"}}), InvalidProof::Key),
        (json!({"jwk": with(own.clone(), json!({"d": "AAAA"}))}), InvalidProof::Key),
        (json!({"jwk": with(own.clone(), json!({"y": own["x"]}))}), InvalidProof::Key),
        (json!({"crit": ["exp"]}), InvalidProof::NotSigned),
    ] {
        assert_eq!(by(&OTHER_ES256, Algorithm::Es256, header.clone()), expected.into(), "{header}");
    }
    for bad in ["", "a.b", "a.b.c", "e30.e30.e30.e30", &"x".repeat(9000)] {
        let error = send(&usual(), &token, bad).unwrap_err();
        assert!(matches!(error, AuthenticationError::Proof(_)), "{bad}: {error}");
    }
    let again = format!(r#"{{"typ":"dpop+jwt","typ":"dpop+jwt","alg":"ES256","jwk":{own}}}"#);
    let repeated = OTHER_ES256.token(Algorithm::Es256, &again, "{}");
    assert_eq!(send(&usual(), &token, &repeated).unwrap_err(), InvalidProof::NotSigned.into());
}

#[test]
fn what_binds_a_token_otherwise_is_not_passed_over() {
    let bound = AuthenticationError::Token(InvalidToken::Bound);
    let thumbprint = shown(&OTHER_ES256).1;
    for confirmation in [
        json!({}),
        json!("x"),
        json!({"jkt": "abc"}),
        json!({"jkt": 7}),
        json!({"x5t": thumbprint}),
        json!({"jkt": thumbprint, "x5t#S256": thumbprint}),
        json!({"jwk": shown(&OTHER_ES256).0}),
    ] {
        let token = token(&header(), &with(claims(), json!({"cnf": confirmation})));
        let proof = proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({})));
        assert_eq!(send(&usual(), &token, &proof).unwrap_err(), bound, "{confirmation}");
    }
    // Without the setting nothing that is bound is accepted.
    let off = Authenticator::new(AuthenticatorSettings { proofs: None, ..settings(|_| ()) }).unwrap();
    let token = super::proofs::bound(&OTHER_ES256);
    let proof = proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({})));
    assert_eq!(send(&off, &token, &proof).unwrap_err(), AuthenticationError::Scheme);
    assert_eq!(ask(&off, &[("authorization", &format!("Bearer {token}"))], NOW).unwrap_err(), bound);
}

#[test]
fn a_free_token_is_a_bearer_token_or_none() {
    let free = token(&header(), &claims());
    let bearer = format!("Bearer {free}");
    assert_eq!(ask(&usual(), &[("authorization", &bearer)], NOW).unwrap(), "user:mara");
    let unbound = AuthenticationError::Token(InvalidToken::Unbound);
    let proof = proof(&OTHER_ES256, Algorithm::Es256, &free, (json!({}), json!({})));
    assert_eq!(send(&usual(), &free, &proof).unwrap_err(), unbound, "it would seem to be proven");
    let always = Authenticator::new(settings(|proofs| proofs.need = ProofNeed::Always)).unwrap();
    assert_eq!(ask(&always, &[("authorization", &bearer)], NOW).unwrap_err(), unbound);
}

#[test]
fn the_origin_is_the_one_that_clients_see() {
    let origin: Origin = "https://api.harbor.example".parse().unwrap();
    let asked = Authenticator::new(settings(|proofs| proofs.origin = Some(origin))).unwrap();
    let token = bound(&OTHER_ES256);
    let made = |url: &str| proof(&OTHER_ES256, Algorithm::Es256, &token, (json!({}), json!({"htu": url, "jti": url})));
    assert!(send(&asked, &token, &made("https://api.harbor.example/books/7")).is_ok());
    assert_eq!(send(&asked, &token, &made(URL)).unwrap_err(), InvalidProof::OtherUrl.into());
    for text in ["", "api.harbor.example", "https://", "https://api.harbor.example/v1", "ftp://api.harbor.example"] {
        assert!(text.parse::<Origin>().is_err(), "{text}");
    }
}

#[test]
fn settings_of_proofs_are_bounded_and_told() {
    for window in [Duration::ZERO, Duration::from_millis(1500), Duration::from_secs(301)] {
        let error = Authenticator::new(settings(|proofs| proofs.window = window)).unwrap_err();
        assert_eq!(error, InvalidSettings::ProofWindow);
    }
    let asked = usual();
    assert!(asked.credential_fields().contains(&HeaderName::from_static("dpop")), "a proof ends here too");
    let challenge = asked.challenges().unauthenticated(&AuthenticationError::Missing, &[]);
    let expected = "Bearer realm=\"portcullis\", DPoP algs=\"ES256 ES384 EdDSA Ed25519 RS256 PS256\"";
    assert_eq!(challenge, expected);
}

#[test]
fn a_proof_with_any_one_byte_changed_is_refused() {
    let (asked, token) = (usual(), bound(&ED25519));
    let good = proof(&ED25519, Algorithm::EdDsa, &token, (json!({}), json!({})));
    for index in 0..good.len() {
        for flip in [0x01, 0x02, 0x20] {
            let mut changed = good.clone().into_bytes();
            changed[index] ^= flip;
            let Some(changed) = String::from_utf8(changed).ok().filter(|text| text.bytes().all(|it| it > 0x1f)) else {
                continue;
            };
            if !changed.contains('\u{7f}') {
                assert!(send(&asked, &token, &changed).is_err(), "{changed}");
            }
        }
    }
    assert!(send(&asked, &token, &good).is_ok(), "none of them has used it up");
}
