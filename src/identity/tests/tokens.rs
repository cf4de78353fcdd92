//! The token's form, algorithm, key and signature.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::{
    minting::{ED25519, ES256, ES384, OTHER_ES256, RSA, Signer, hs256, text},
    worlds::{
        ask, authenticator, changed, claims, header, issuer, members, refusal, refusal_of, refusal_of_header, token,
        token_by, usual, with,
    },
};
use crate::{
    access::Reason,
    identity::{Algorithm, AuthenticationError, InvalidToken, KeySet, Shown, TokenPart},
};

fn unserved(name: &str) -> Option<InvalidToken> {
    Some(InvalidToken::UnservedAlgorithm(Shown::new(name)))
}

#[test]
fn every_served_algorithm_is_accepted_with_its_key() {
    let signers: [(&Signer, Algorithm); 6] = [
        (&ES256, Algorithm::Es256),
        (&ES384, Algorithm::Es384),
        (&ED25519, Algorithm::EdDsa),
        (&ED25519, Algorithm::Ed25519),
        (&RSA, Algorithm::Rs256),
        (&RSA, Algorithm::Ps256),
    ];
    for (signer, algorithm) in signers {
        let mut settings = issuer(&[signer.jwk("k1")]);
        settings.algorithms = vec![algorithm];
        let asked = authenticator(vec![settings]);
        let header = with(header(), json!({"alg": algorithm.name()}));
        let answer = ask(&asked, &token_by(signer, algorithm, &header, &claims())).unwrap();
        assert_eq!(members(&answer), "user:mara", "{algorithm}");
    }
}

#[test]
fn tokens_of_another_implementation_are_accepted() {
    let pairs: [(&Signer, jsonwebtoken::Algorithm, EncodingKey); 2] = [
        (&ES256, jsonwebtoken::Algorithm::ES256, EncodingKey::from_ec_der(&ES256.pkcs8())),
        (&ED25519, jsonwebtoken::Algorithm::EdDSA, EncodingKey::from_ed_der(&ED25519.pkcs8())),
    ];
    for (signer, algorithm, key) in pairs {
        let header = jsonwebtoken::Header { kid: Some("k1".to_owned()), ..jsonwebtoken::Header::new(algorithm) };
        let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        assert_eq!(refusal(&authenticator(vec![issuer(&[signer.jwk("k1")])]), &token), None);
    }
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    for name in ["none", "None", "nOnE", "NONE", "", "es256", "ES256 ", "ES256K", "HS256", "RS1"] {
        let header = with(header(), json!({"alg": name}));
        assert_eq!(refusal(&usual(), &token(&header, &claims())), unserved(name), "{name}");
        let unsigned = format!("{}.{}.", text(header.to_string().as_bytes()), text(claims().to_string().as_bytes()));
        assert_eq!(refusal(&usual(), &unsigned), Some(InvalidToken::NotThreeParts), "{name}");
    }
    for malformed in [json!({"alg": null}), json!({"alg": 5}), json!({"alg": ["ES256"]})] {
        assert_eq!(refusal_of_header(malformed), Some(InvalidToken::MalformedParameter("alg")));
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    let asked = authenticator(vec![issuer(&[RSA.jwk("k1")])]);
    let public = jsonwebtoken_public_pem();
    for secret in [public.as_bytes(), RSA.public(), RSA.jwk("k1").to_string().as_bytes()] {
        for name in ["HS256", "HS384", "HS512"] {
            let token = hs256(secret, &with(header(), json!({"alg": name})).to_string(), &claims().to_string());
            assert_eq!(refusal(&asked, &token), unserved(name));
        }
        let token = hs256(secret, &with(header(), json!({"alg": "RS256"})).to_string(), &claims().to_string());
        assert_eq!(refusal(&asked, &token), Some(InvalidToken::Signature));
    }
}

fn jsonwebtoken_public_pem() -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let Signer::Rsa(pair) = &*RSA else { panic!("an RSA key") };
    let der: PublicKeyX509Der<'_> = aws_lc_rs::signature::KeyPair::public_key(&**pair).as_der().unwrap();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
}

#[test]
fn the_key_decides_the_algorithm() {
    // The key has no `alg`: its type and the issuer's list decide.
    let token_of = |name: &str, algorithm| token_by(&RSA, algorithm, &with(header(), json!({"alg": name})), &claims());
    let (rs256, ps256) = (token_of("RS256", Algorithm::Rs256), token_of("PS256", Algorithm::Ps256));
    let open = authenticator(vec![issuer(&[RSA.jwk("k1")])]);
    assert_eq!((refusal(&open, &rs256), refusal(&open, &ps256)), (None, None));
    assert_eq!(
        refusal(&open, &token_of("ES256", Algorithm::Rs256)),
        Some(InvalidToken::KeyOfOtherAlgorithm(Algorithm::Es256))
    );
    assert_eq!(refusal(&open, &token_of("PS256", Algorithm::Rs256)), Some(InvalidToken::Signature));

    // The key's own `alg` narrows it.
    let narrow = authenticator(vec![issuer(&[with(RSA.jwk("k1"), json!({"alg": "PS256"}))])]);
    assert_eq!(refusal(&narrow, &rs256), Some(InvalidToken::KeyOfOtherAlgorithm(Algorithm::Rs256)));
    assert_eq!(refusal(&narrow, &ps256), None);

    // The issuer's list narrows it too.
    let mut settings = issuer(&[RSA.jwk("k1")]);
    settings.algorithms = vec![Algorithm::Ps256];
    assert_eq!(refusal(&authenticator(vec![settings]), &rs256), Some(InvalidToken::RefusedAlgorithm(Algorithm::Rs256)));
}

#[test]
fn a_key_is_found_by_its_exact_id() {
    let unknown = Some(InvalidToken::UnknownKey { issuer: 0 });
    for kid in ["k2", "K1", "k1 ", "../../k1", "k1' OR '1'='1", "https://evil.example/keys"] {
        assert_eq!(refusal_of_header(json!({"kid": kid})), unknown, "{kid}");
    }
    assert_eq!(refusal_of_header(json!({"kid": "k".repeat(256)})), unknown);
    for kid in [json!("k".repeat(257)), json!(""), json!(7)] {
        assert_eq!(refusal_of_header(json!({"kid": kid})), Some(InvalidToken::MalformedParameter("kid")));
    }
    let error = ask(&usual(), &token(&with(header(), json!({"kid": "new"})), &claims())).unwrap_err();
    assert_eq!((error.unknown_key(), error.reason()), (Some(0), Reason::InvalidCredential));
}

#[test]
fn a_token_without_a_key_id_needs_an_issuer_with_one_key() {
    let anonymous = token(&with(header(), json!({"kid": null})), &claims());
    assert_eq!(refusal(&usual(), &anonymous), None);
    let two = authenticator(vec![issuer(&[ES256.jwk("k1"), ED25519.jwk("k2")])]);
    assert_eq!(refusal(&two, &anonymous), Some(InvalidToken::KeyIdNeeded));
}

#[test]
fn keys_that_are_too_old_verify_nothing() {
    let outdated = changed(|issuer| issuer.keys = KeySet::outdated().into());
    let by_name = token(&header(), &claims());
    let anonymous = token(&with(header(), json!({"kid": null})), &claims());
    for token in [by_name, anonymous] {
        assert_eq!(refusal(&outdated, &token), Some(InvalidToken::OutdatedKeys));
    }
}

#[test]
fn old_and_new_keys_are_accepted_while_both_are_published() {
    let old = token(&header(), &claims());
    let new = token_by(&OTHER_ES256, Algorithm::Es256, &with(header(), json!({"kid": "k2"})), &claims());
    let both = authenticator(vec![issuer(&[ES256.jwk("k1"), OTHER_ES256.jwk("k2")])]);
    assert_eq!((refusal(&both, &old), refusal(&both, &new)), (None, None));
    let rotated = authenticator(vec![issuer(&[OTHER_ES256.jwk("k2")])]);
    assert_eq!(refusal(&rotated, &old), Some(InvalidToken::UnknownKey { issuer: 0 }));
    assert_eq!(refusal(&rotated, &new), None);
}

#[test]
fn a_header_brings_no_trust_and_no_extension() {
    let refused = |name| Some(InvalidToken::RefusedParameter(name));
    assert_eq!(refusal_of_header(json!({"jwk": OTHER_ES256.jwk("k1")})), refused("jwk"));
    assert_eq!(refusal_of_header(json!({"jku": "https://evil.example/jwks.json"})), refused("jku"));
    assert_eq!(refusal_of_header(json!({"x5u": "https://evil.example/cert.pem"})), refused("x5u"));
    assert_eq!(refusal_of_header(json!({"crit": ["exp"], "exp": 1})), refused("crit"));
    assert_eq!(refusal_of_header(json!({"crit": []})), refused("crit"));
    assert_eq!(refusal_of_header(json!({"b64": false, "crit": ["b64"]})), refused("crit"));
    assert_eq!(refusal_of_header(json!({"b64": false})), refused("b64"));
    assert_eq!(refusal_of_header(json!({"b64": true})), refused("b64"));
    // Certificates are no reason to trust, and none to refuse.
    assert_eq!(refusal_of_header(json!({"x5c": ["MIIB"], "x5t": "abc"})), None);
    let evil = token_by(&OTHER_ES256, Algorithm::Es256, &with(header(), json!({"x5c": ["MIIB"]})), &claims());
    assert_eq!(refusal(&usual(), &evil), Some(InvalidToken::Signature));
}

#[test]
fn a_token_has_three_parts_and_8_kib_at_most() {
    let good = token(&header(), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (first, second) = signed.split_once('.').unwrap();
    let parts = Some(InvalidToken::NotThreeParts);
    for bad in [
        first.to_owned(),
        signed.to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!("{first}..{signature}"),
        format!("{first}.{second}."),
        format!("{first}.{second}.{signature}.{signature}.{signature}"),
        ".".repeat(8000),
        "..".to_owned(),
    ] {
        assert_eq!(refusal(&usual(), &bad), parts, "{bad}");
    }
    let padded = |length: usize| token(&header(), &with(claims(), json!({"note": "n".repeat(length)})));
    assert_eq!(refusal(&usual(), &padded(5000)), None);
    assert_eq!(refusal(&usual(), &padded(8000)), Some(InvalidToken::TooLong));
    let chain: Vec<String> = (0..40).map(|_| "A".repeat(200)).collect();
    assert_eq!(refusal_of_header(json!({"x5c": chain})), Some(InvalidToken::TooLong));
}

#[test]
fn nested_encrypted_and_json_tokens_are_no_tokens() {
    let inner = token(&header(), &claims());
    let nested = ES256.token(Algorithm::Es256, &with(header(), json!({"cty": "JWT"})).to_string(), &inner);
    assert_eq!(refusal(&usual(), &nested), Some(InvalidToken::NotJson(TokenPart::Claims)));
    for claims in ["[]", "\"text\"", "1", "null", "true"] {
        let token = ES256.token(Algorithm::Es256, &header().to_string(), claims);
        assert_eq!(refusal(&usual(), &token), Some(InvalidToken::NotAnObject(TokenPart::Claims)), "{claims}");
    }
    let json_form = r#"{"payload":"e30","signatures":[]}"#;
    assert_eq!(ask(&usual(), json_form).unwrap_err(), AuthenticationError::Bearer);
    assert_eq!(refusal(&usual(), "e30.e30.e30.e30.e30"), Some(InvalidToken::NotThreeParts));
}

#[test]
fn base64_has_one_spelling() {
    let good = token(&header(), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (first, second) = signed.split_once('.').unwrap();
    let refused = |part| Some(InvalidToken::NotBase64(part));
    assert_eq!(refusal(&usual(), &format!("{good}==")), refused(TokenPart::Signature));
    assert_eq!(refusal(&usual(), &format!("{first}.{second}/.{signature}")), refused(TokenPart::Claims));
    assert_eq!(refusal(&usual(), &format!("{first}+.{second}.{signature}")), refused(TokenPart::Header));
    // 64 bytes leave four unused bits in the last digit: only one of 16 spellings is canonical.
    let last = signature.chars().last().unwrap();
    for digit in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars().filter(|c| *c != last) {
        let changed = format!("{}{digit}", &good[..good.len() - 1]);
        assert!(refusal(&usual(), &changed).is_some(), "{digit}");
    }
    for spaced in [format!("{good} "), good.replacen('.', ". ", 1)] {
        assert_eq!(ask(&usual(), &spaced).unwrap_err(), AuthenticationError::Bearer);
    }
}

#[test]
fn a_member_may_not_come_twice() {
    let repeated = |part| Some(InvalidToken::RepeatedMember(part));
    let header = header().to_string();
    let claims = claims().to_string();
    let doubled = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    for member in [r#""alg":"ES256""#, r#""kid":"k1""#, r#""\u0061lg":"none""#] {
        let token = ES256.token(Algorithm::Es256, &doubled(&header, member), &claims);
        assert_eq!(refusal(&usual(), &token), repeated(TokenPart::Header), "{member}");
    }
    for member in [r#""sub":"root""#, r#""s\u0075b":"root""#, r#""x":{"a":1,"a":1}"#] {
        let token = ES256.token(Algorithm::Es256, &header, &doubled(&claims, member));
        assert_eq!(refusal(&usual(), &token), repeated(TokenPart::Claims), "{member}");
    }
}

#[test]
fn depth_is_bounded_before_the_signature_is_looked_at() {
    let nested = |depth: usize| (1..depth).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(refusal_of(json!({"x": nested(8)})), None);
    assert_eq!(refusal_of(json!({"x": nested(9)})), Some(InvalidToken::TooDeep(TokenPart::Claims)));
    assert_eq!(refusal_of_header(json!({"x": nested(9)})), Some(InvalidToken::TooDeep(TokenPart::Header)));
    let bomb = format!(r#"{{"x":{}"#, "[".repeat(4000));
    let token = ES256.token(Algorithm::Es256, &header().to_string(), &bomb);
    assert_eq!(refusal(&usual(), &token), Some(InvalidToken::TooDeep(TokenPart::Claims)));
}

#[test]
fn a_signature_has_one_form_and_belongs_to_one_token() {
    let good = token(&header(), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let wrong = Some(InvalidToken::Signature);
    let signed_by = |signature: &[u8]| format!("{signed}.{}", text(signature));
    assert_eq!(refusal(&usual(), &signed_by(&ES256.sign_asn1(signed.as_bytes()))), wrong);
    assert_eq!(refusal(&usual(), &signed_by(&[0; 64])), wrong);
    let raw = ES256.sign(Algorithm::Es256, signed.as_bytes());
    assert_eq!(refusal(&usual(), &signed_by(&raw)), None);
    assert_eq!(refusal(&usual(), &signed_by(&[&[0; 32], &raw[32..]].concat())), wrong);
    assert_eq!(refusal(&usual(), &signed_by(&[&raw[..32], &[0; 32]].concat())), wrong);
    assert_eq!(refusal(&usual(), &signed_by(&raw[..63])), wrong);
    assert_eq!(refusal(&usual(), &signed_by(&[&raw[..], &[0]].concat())), wrong);
    assert_eq!(refusal(&usual(), &signed_by(&[0x42; 7000])), Some(InvalidToken::TooLong));

    let other = token(&header(), &with(claims(), json!({"sub": "root"})));
    let (other_signed, _) = other.rsplit_once('.').unwrap();
    assert_eq!(refusal(&usual(), &format!("{other_signed}.{signature}")), wrong);
    assert_eq!(refusal(&usual(), &token_by(&OTHER_ES256, Algorithm::Es256, &header(), &claims())), wrong);
}

#[test]
fn refusals_show_no_token_and_no_control_character() {
    let hostile: Value = json!({"iss": format!("https://x.example\n\u{1b}[31m{}", "y".repeat(500))});
    let token = token(&header(), &with(claims(), hostile));
    let error = ask(&usual(), &token).unwrap_err();
    let shown = error.to_string();
    assert!(!shown.contains('\n') && !shown.contains('\u{1b}') && shown.len() < 300, "{shown}");
    assert!(!shown.contains(&token) && !format!("{error:?}").contains(&token));
    assert!(!format!("{:?}", usual()).contains(&text(ES256.public())));
}
