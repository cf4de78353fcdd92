//! What holds for every credential a stranger may send.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::{
    minting::{ED25519, ES256, RSA},
    workloads::{ask_with, settings, workload},
    worlds::{NOW, ask, ask_at, authenticator, claims, head, header, issuer, token, token_by, with},
};
use crate::{
    access::Timestamp,
    identity::{Algorithm, Authenticator, KeySet, SeenCredential, SpiffeId},
};

static ASKED: LazyLock<Authenticator> =
    LazyLock::new(|| authenticator(vec![issuer(&[ES256.jwk("k1"), ED25519.jwk("k2"), RSA.jwk("k3")])]));

static WORKLOADS: LazyLock<Authenticator> = LazyLock::new(|| Authenticator::new(settings()).unwrap());
static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| workload("spiffe://harbor.example/agents/writer"));

/// One good token of each kind.
static GOOD: LazyLock<[String; 4]> = LazyLock::new(|| {
    let token = |signer, algorithm: Algorithm, kid: &str| {
        let header = with(header(), serde_json::json!({"alg": algorithm.name(), "kid": kid}));
        token_by(signer, algorithm, &header, &with(claims(), serde_json::json!({"act": {"sub": "coder"}})))
    };
    [
        token(&ES256, Algorithm::Es256, "k1"),
        token(&ED25519, Algorithm::EdDsa, "k2"),
        token(&RSA, Algorithm::Rs256, "k3"),
        token(&RSA, Algorithm::Ps256, "k3"),
    ]
});

#[test]
fn a_token_with_any_one_byte_changed_is_refused() {
    for good in GOOD.iter() {
        assert!(ask(&ASKED, good).is_ok());
        for index in 0..good.len() {
            for flip in [0x01, 0x02, 0x20] {
                let mut changed = good.clone().into_bytes();
                changed[index] ^= flip;
                let Ok(changed) = String::from_utf8(changed) else { continue };
                if changed.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
                    continue;
                }
                assert!(ask(&ASKED, &changed).is_err(), "{changed}");
            }
        }
    }
}

/// A byte that a field may hold: no control byte.
fn visible(byte: u8) -> u8 {
    if byte < 0x20 || byte == 0x7f { b'.' } else { byte }
}

/// Any JSON that is not too deep.
fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "[a-z:* ]{0,6}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let name = prop::sample::select(&["sub", "act", "type", "actions", "identifier", "jkt", "x"][..]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|members| { members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_authorization_is_answered(field in prop::collection::vec(any::<u8>().prop_map(visible), 0..300)) {
        let request = head(&[("authorization", &field)]);
        prop_assert!(ASKED.authenticate(&request, &SeenCredential::default(), Timestamp::from_seconds(NOW)).is_err());
    }

    #[test]
    fn any_header_and_claims_are_answered(header in "\\PC{0,60}", claims in "\\PC{0,60}", now in any::<i64>()) {
        let token = ES256.token(Algorithm::Es256, &header, &claims);
        prop_assert!(ask_at(&ASKED, &token, now).is_err());
    }

    #[test]
    fn a_changed_token_is_refused(
        which in 0usize..4,
        place in any::<prop::sample::Index>(),
        byte in "[A-Za-z0-9_.~+/=-]",
        cut in any::<bool>(),
    ) {
        let good = &GOOD[which];
        let index = place.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(index..=index, if cut { "" } else { &byte });
        prop_assume!(changed != *good);
        prop_assert!(ask(&ASKED, &changed).is_err());
    }

    #[test]
    fn any_time_is_answered(exp in any::<i64>(), nbf in any::<i64>(), iat in any::<i64>(), now in any::<i64>()) {
        let claims = with(claims(), serde_json::json!({"exp": exp, "nbf": nbf, "iat": iat}));
        let answer = ask_at(&ASKED, &token(&header(), &claims), now);
        if answer.is_ok() {
            prop_assert!(exp > now.saturating_sub(31) && nbf <= now.saturating_add(30));
        }
    }

    #[test]
    fn any_grants_and_chains_are_answered(
        claim in prop::sample::select(&["scope", "authorization_details", "act", "may_act", "task", "azp", "cnf"][..]),
        value in json_value(),
    ) {
        let token = token(&header(), &with(claims(), serde_json::json!({claim: value})));
        // Whatever it says, the subject is in the chain that is answered, if one is.
        if let Ok(answer) = ask(&ASKED, &token) {
            prop_assert_eq!(answer.principal.subject().as_str(), "user:mara");
            prop_assert!(claim != "cnf" || value.is_null(), "a bound token is no bearer token");
        }
    }

    #[test]
    fn any_certificate_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(ask_with(&WORKLOADS, &[&bytes]).is_err());
    }

    #[test]
    fn a_broken_certificate_is_answered(place in any::<prop::sample::Index>(), with in any::<u8>()) {
        let good = CERTIFICATE.clone();
        let mut broken = good.clone();
        let index = place.index(broken.len());
        broken[index] = with;
        prop_assert!(broken == good || ask_with(&WORKLOADS, &[&broken]).is_err());
    }

    #[test]
    fn any_text_is_a_spiffe_id_in_one_spelling_or_none(text in "spiffe://[ -~]{0,20}|\\PC{0,40}") {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.as_str().as_ref(), text.as_str());
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/._-".contains(&byte)));
        }
    }

    #[test]
    fn any_document_is_answered(text in "\\PC{0,100}") {
        prop_assert!(KeySet::parse(&text).is_err());
    }

    #[test]
    fn a_broken_key_set_is_answered(place in any::<prop::sample::Index>(), with in "\\PC?") {
        let keys = [ES256.jwk("k1"), RSA.jwk("k3"), serde_json::json!({"kty": "oct", "k": "AA"})];
        let mut text = serde_json::json!({"keys": keys}).to_string();
        let index = place.index(text.len());
        text.replace_range(index..=index, &with);
        let _answered = KeySet::parse(&text);
    }
}
