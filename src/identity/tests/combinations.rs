//! Several kinds of credentials: which of them a request must bring, and what comes of those that it does bring.

use serde_json::json;

use super::{
    minting::ES256,
    workloads::{DEPOT, connection, params, settings, signed, workload},
    worlds::{NOW, claims, head, header, issuer, token, with},
};
use crate::{
    access::{CredentialKind, CredentialRule, Reason, Timestamp},
    identity::{
        ApiKey, ApiKeySettings, AuthenticationError, Authenticator, AuthenticatorSettings, Method, NewApiKey,
        Possession, SeenCredential,
    },
};

/// What a request may bring: a token `T`, an API key `K`, a certificate `C`, all of the same agent; `t`, `k` and `c` are
/// bad ones, and `R` is a good certificate of another agent.
struct World {
    key: NewApiKey,
    certificates: [(char, Vec<u8>); 3],
}

impl World {
    fn new() -> Self {
        let writer = "spiffe://harbor.example/agents/writer";
        let certificates = [
            ('C', workload(writer)),
            ('R', workload("spiffe://harbor.example/agents/reader")),
            ('c', signed(&params(writer, |_| ()), &DEPOT)),
        ];
        Self { key: NewApiKey::generate([9; 24]), certificates }
    }

    fn authenticator(&self, rule: Option<CredentialRule>) -> Authenticator {
        let key = ApiKey {
            id: self.key.id.as_str().into(),
            hash: self.key.hash,
            subject: "user:mara".parse().unwrap(),
            actors: vec!["agent:writer".parse().unwrap()],
            task: None,
            scopes: Vec::new(),
            owner: None,
            expires: None,
        };
        let api_keys = Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys: vec![key] });
        let issuers = vec![issuer(&[ES256.jwk("k1")])];
        Authenticator::new(AuthenticatorSettings { issuers, api_keys, rule, ..settings() }).unwrap()
    }

    /// What comes of a request that brings these.
    fn ask(&self, asked: &Authenticator, brought: &str, rule: Option<&CredentialRule>) -> String {
        let good = token(&header(), &with(claims(), json!({"act": {"sub": "writer"}})));
        let has = |what: char| brought.contains(what);
        let mut fields = Vec::new();
        if has('T') || has('t') {
            fields.push(("authorization", format!("Bearer {good}{}", if has('t') { "x" } else { "" })));
        }
        if has('K') || has('k') {
            fields.push(("x-api-key", format!("{}{}", self.key.text, if has('k') { "x" } else { "" })));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let shown = self.certificates.iter().find(|(name, _)| has(*name));
        let seen = shown.map_or_else(SeenCredential::default, |(_, certificate)| connection(&[certificate]));
        let now = Timestamp::from_seconds(NOW);
        let first = asked.authenticate_as(&head(&fields), &seen, (now, Possession::ToProve), rule);
        let again = asked.authenticate_as(&head(&fields), &seen, (now, Possession::ToProve), rule);
        assert_eq!(first.is_ok(), again.is_ok(), "what was seen before is asked the same: {brought}");
        match first {
            Ok(answer) => match answer.credential.method {
                Method::Jwt { .. } => "jwt".to_owned(),
                Method::ApiKey { .. } => "api_key".to_owned(),
                Method::Spiffe { .. } => "spiffe".to_owned(),
                Method::Signature { .. } => "signature".to_owned(),
            },
            Err(error) => {
                let is_missing = matches!(error, AuthenticationError::Missing | AuthenticationError::MissingKind(_));
                let expected = if is_missing { Reason::MissingCredential } else { Reason::InvalidCredential };
                assert_eq!(error.reason(), expected, "{brought}");
                match error {
                    AuthenticationError::Missing => "nothing".to_owned(),
                    AuthenticationError::MissingKind(kind) => format!("no {kind}"),
                    AuthenticationError::RefusedKind(kind) => format!("not {kind}"),
                    AuthenticationError::Several => "several".to_owned(),
                    AuthenticationError::OtherPeer { .. } => "conflict".to_owned(),
                    AuthenticationError::Token(_) => "bad token".to_owned(),
                    AuthenticationError::MalformedApiKey | AuthenticationError::UnknownApiKey => "bad key".to_owned(),
                    AuthenticationError::Certificate(_) => "bad certificate".to_owned(),
                    other => panic!("{other}"),
                }
            }
        }
    }
}

use CredentialKind::{ApiKey as Key, Jwt, Spiffe};

fn one_of(kinds: &[CredentialKind]) -> Option<CredentialRule> {
    Some(CredentialRule::OneOf(kinds.into()))
}

fn all_of(kinds: &[CredentialKind]) -> Option<CredentialRule> {
    Some(CredentialRule::AllOf(kinds.into()))
}

#[test]
fn what_comes_must_be_good_and_what_must_come_is_said() {
    let world = World::new();
    let every =
        ["", "T", "K", "C", "TK", "TC", "KC", "TKC", "t", "k", "c", "tC", "kC", "Tc", "Kc", "TR", "KR", "tK", "Tk"];
    for (rule, outcomes) in [
        (
            None,
            [
                "nothing",
                "jwt",
                "api_key",
                "spiffe",
                "several",
                "jwt",
                "api_key",
                "several",
                "bad token",
                "bad key",
                "bad certificate",
                "bad token",
                "bad key",
                "bad certificate",
                "bad certificate",
                "conflict",
                "conflict",
                "several",
                "several",
            ],
        ),
        (
            one_of(&[Jwt]),
            [
                "nothing",
                "jwt",
                "not api_key",
                "nothing",
                "several",
                "jwt",
                "not api_key",
                "several",
                "bad token",
                "not api_key",
                "bad certificate",
                "bad token",
                "not api_key",
                "bad certificate",
                "bad certificate",
                "conflict",
                "not api_key",
                "several",
                "several",
            ],
        ),
        (
            one_of(&[Spiffe]),
            [
                "nothing",
                "not jwt",
                "not api_key",
                "spiffe",
                "not jwt",
                "not jwt",
                "not api_key",
                "not jwt",
                "not jwt",
                "not api_key",
                "bad certificate",
                "not jwt",
                "not api_key",
                "bad certificate",
                "bad certificate",
                "not jwt",
                "not api_key",
                "not jwt",
                "not jwt",
            ],
        ),
        (
            one_of(&[Jwt, Spiffe]),
            [
                "nothing",
                "jwt",
                "not api_key",
                "spiffe",
                "several",
                "jwt",
                "not api_key",
                "several",
                "bad token",
                "not api_key",
                "bad certificate",
                "bad token",
                "not api_key",
                "bad certificate",
                "bad certificate",
                "conflict",
                "not api_key",
                "several",
                "several",
            ],
        ),
        (
            one_of(&[Key, Jwt]),
            [
                "nothing",
                "jwt",
                "api_key",
                "nothing",
                "several",
                "jwt",
                "api_key",
                "several",
                "bad token",
                "bad key",
                "bad certificate",
                "bad token",
                "bad key",
                "bad certificate",
                "bad certificate",
                "conflict",
                "conflict",
                "several",
                "several",
            ],
        ),
        (
            all_of(&[Jwt, Spiffe]),
            [
                "nothing",
                "no spiffe",
                "not api_key",
                "no jwt",
                "no spiffe",
                "jwt",
                "not api_key",
                "several",
                "no spiffe",
                "not api_key",
                "bad certificate",
                "bad token",
                "not api_key",
                "bad certificate",
                "bad certificate",
                "conflict",
                "not api_key",
                "no spiffe",
                "no spiffe",
            ],
        ),
        (
            all_of(&[Key, Spiffe]),
            [
                "nothing",
                "not jwt",
                "no spiffe",
                "no api_key",
                "not jwt",
                "not jwt",
                "api_key",
                "not jwt",
                "not jwt",
                "no spiffe",
                "bad certificate",
                "not jwt",
                "bad key",
                "bad certificate",
                "bad certificate",
                "not jwt",
                "conflict",
                "not jwt",
                "not jwt",
            ],
        ),
    ] {
        let (plain, ruled) = (world.authenticator(None), world.authenticator(rule.clone()));
        for (brought, expected) in every.into_iter().zip(outcomes) {
            // By the route, and by the default of all routes.
            assert_eq!(world.ask(&plain, brought, rule.as_ref()), expected, "{rule:?} {brought}");
            assert_eq!(world.ask(&ruled, brought, None), expected, "{rule:?} {brought}");
        }
    }
}

#[test]
fn the_rule_of_a_route_stands_in_the_place_of_the_default() {
    let world = World::new();
    let asked = world.authenticator(all_of(&[Jwt, Spiffe]));
    assert_eq!(world.ask(&asked, "T", None), "no spiffe");
    assert_eq!(world.ask(&asked, "T", one_of(&[Jwt]).as_ref()), "jwt");
    assert_eq!(world.ask(&asked, "C", one_of(&[Spiffe]).as_ref()), "spiffe");
}

#[test]
fn ten_refusals_within_a_second_are_the_last_of_a_connection() {
    let world = World::new();
    let asked = world.authenticator(None);
    let good = format!("Bearer {}", token(&header(), &claims()));
    let send = |seen: &SeenCredential, field: &str, now: i64| {
        let fields: &[(&str, &[u8])] = if field.is_empty() { &[] } else { &[("authorization", field.as_bytes())] };
        asked.authenticate(&head(fields), seen, Timestamp::from_seconds(now)).map(drop)
    };
    let seen = SeenCredential::default();
    for _ in 0..9 {
        assert_eq!(send(&seen, "Bearer e30.e30.e30", NOW).unwrap_err().reason(), Reason::InvalidCredential);
    }
    assert!(!seen.is_over());
    assert_eq!(send(&seen, &good, NOW), Ok(()), "a good one is good as long as the connection is");
    assert_eq!(send(&seen, "", NOW), Err(AuthenticationError::Missing), "and none is no bad one");
    assert!(!seen.is_over());
    assert_eq!(send(&seen, "Basic x", NOW), Err(AuthenticationError::Scheme));
    assert!(seen.is_over());
    let over = Err(AuthenticationError::ConnectionOver);
    for field in [&*good, "Bearer e30.e30.e30", ""] {
        // Nothing is looked at any more, now or later.
        assert_eq!((send(&seen, field, NOW), send(&seen, field, NOW + 3600)), (over.clone(), over.clone()));
    }
    assert_eq!(AuthenticationError::ConnectionOver.reason(), Reason::TooManyRefusals);
    assert_eq!(send(&SeenCredential::default(), &good, NOW), Ok(()), "another connection is another");
    let slow = SeenCredential::default();
    for second in 0..30 {
        assert!(send(&slow, "Bearer e30.e30.e30", NOW + second).is_err());
    }
    assert!(!slow.is_over());
    // A key that is not there may be fetched yet.
    let early = format!("Bearer {}", token(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "new"}), &claims()));
    let waiting = SeenCredential::default();
    for _ in 0..30 {
        assert!(send(&waiting, &early, NOW).unwrap_err().unknown_key().is_some());
    }
    assert!(!waiting.is_over());
}

#[test]
fn a_source_that_guesses_keys_is_not_heard_for_a_while() {
    use crate::identity::RefusedKeys;
    let world = World::new();
    let asked = world.authenticator(None);
    let keys = std::sync::Arc::new(RefusedKeys::default());
    let from = |address: &str| SeenCredential::of_peer([], address.parse().ok(), &keys);
    let send = |seen: &SeenCredential, key: &str, now: i64| {
        asked.authenticate(&head(&[("x-api-key", key.as_bytes())]), seen, Timestamp::from_seconds(now)).map(drop)
    };
    let (good, wrong) = (&*world.key.text, &*NewApiKey::generate([8; 24]).text);
    let known = from("192.0.2.7");
    assert_eq!(send(&known, good, NOW), Ok(()));
    for guess in 0..30 {
        assert_eq!(send(&from("192.0.2.7"), wrong, NOW), Err(AuthenticationError::UnknownApiKey), "{guess}");
    }
    // A right guess is not told from a wrong one.
    for key in [good, wrong] {
        assert_eq!(send(&from("192.0.2.7"), key, NOW + 9), Err(AuthenticationError::SourceOver));
    }
    assert_eq!(AuthenticationError::SourceOver.reason(), Reason::TooManyRefusals);
    assert_eq!(send(&from("192.0.2.8"), good, NOW), Ok(()), "another source is heard");
    assert_eq!(send(&known, good, NOW), Ok(()), "and a connection that had a good key");
    let bearer = format!("Bearer {}", token(&header(), &claims()));
    let token = head(&[("authorization", bearer.as_bytes())]);
    assert!(asked.authenticate(&token, &from("192.0.2.7"), Timestamp::from_seconds(NOW)).is_ok(), "and tokens");
    assert_eq!(send(&from("192.0.2.7"), good, NOW + 10), Ok(()));
}
