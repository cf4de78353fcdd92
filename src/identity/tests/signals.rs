//! Signals of issuers that sessions ended.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    minting::{ES256, OTHER_ES256, Signer},
    worlds::{ISSUER, NOW, ask, ask_at, ask_on, claims, header, issuer, token, token_by, with},
};
use crate::{
    access::Timestamp,
    identity::{
        Algorithm, AuthenticationError, Authenticator, AuthenticatorSettings, Heard, InvalidSignal, InvalidToken,
        SeenCredential, SignalOrigin, SignalSettings,
    },
};

const RECEIVER: &str = "https://gateway.harbor.example/events";
const OTHER: &str = "https://other.example";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CHANGED: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";

fn settings() -> AuthenticatorSettings {
    let mut other = issuer(&[OTHER_ES256.jwk("k1")]);
    other.issuer = OTHER.into();
    AuthenticatorSettings {
        issuers: vec![issuer(&[ES256.jwk("k1")]), other],
        signals: Some(SignalSettings {
            audiences: vec![RECEIVER.into()],
            bearer: None,
            keep: Duration::from_secs(3600),
        }),
        ..Default::default()
    }
}

fn asked() -> Authenticator {
    Authenticator::new(settings()).unwrap()
}

fn revoked(id: &str, event: Value) -> Value {
    json!({
        "iss": ISSUER, "aud": RECEIVER, "iat": NOW, "jti": id, "events": { REVOKED: event },
        "sub_id": { "format": "iss_sub", "iss": ISSUER, "sub": "mara" },
    })
}

fn signal_by(signer: &Signer, claims: &Value) -> String {
    let header = json!({"alg": "ES256", "typ": "secevent+jwt", "kid": "k1"});
    token_by(signer, Algorithm::Es256, &header, claims)
}

fn hear(asked: &Authenticator, claims: &Value) -> Result<Heard, InvalidSignal> {
    asked.hear(&signal_by(&ES256, claims), Timestamp::from_seconds(NOW)).outcome
}

fn is_revoked(asked: &Authenticator, changes: Value) -> bool {
    match ask(asked, &token(&header(), &with(claims(), changes))) {
        Ok(_) => false,
        Err(AuthenticationError::Revoked(_)) => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn tokens_of_before_are_refused_and_later_ones_are_not() {
    let asked = asked();
    // One that its connection has brought before, too.
    let (seen, text) = (SeenCredential::default(), token(&header(), &claims()));
    assert!(ask_on(&seen, &asked, &text, NOW).is_ok());
    let heard = hear(&asked, &revoked("s1", json!({ "event_timestamp": NOW - 2 })));
    let before = Timestamp::from_seconds(NOW - 1);
    assert_eq!(heard, Ok(Heard::Revoked { entities: vec!["user:mara".parse().unwrap()], before }));
    assert!(matches!(ask_on(&seen, &asked, &text, NOW), Err(AuthenticationError::Revoked(_))));
    for (issued, expected) in [(NOW - 5, true), (NOW - 2, true), (NOW - 1, false), (NOW, false)] {
        assert_eq!(is_revoked(&asked, json!({"iat": issued})), expected, "{issued}");
    }
    assert!(is_revoked(&asked, json!({"iat": null})), "nobody knows when it was issued");
    assert!(!is_revoked(&asked, json!({"sub": "lars"})));
    assert!(
        !is_revoked(&asked, json!({"sub": "lars", "act": {"sub": "mara"}})),
        "an agent of the same name is another"
    );
}

#[test]
fn a_revocation_is_forgotten_after_its_time_and_outlives_a_reload() {
    let asked = asked();
    hear(&asked, &revoked("s1", json!({}))).unwrap();
    let reloaded = Authenticator::after(AuthenticatorSettings { issuers: settings().issuers, ..settings() }, &asked);
    let reloaded = reloaded.unwrap();
    let text = token(&header(), &with(claims(), json!({"exp": NOW + 9000})));
    let status = |asked: &Authenticator, now| ask_at(asked, &text, now).is_ok();
    assert!(!status(&reloaded, NOW + 3600) && status(&reloaded, NOW + 3601));
    assert_eq!(hear(&reloaded, &revoked("s1", json!({}))), Ok(Heard::Repeated));
}

#[test]
fn a_signal_counts_once_and_never_less_than_before() {
    let asked = asked();
    let late = revoked("s1", json!({ "event_timestamp": NOW - 1 }));
    assert!(matches!(hear(&asked, &late), Ok(Heard::Revoked { .. })));
    assert_eq!(hear(&asked, &late), Ok(Heard::Repeated));
    assert!(matches!(hear(&asked, &revoked("s2", json!({ "event_timestamp": NOW - 100 }))), Ok(Heard::Revoked { .. })));
    assert!(is_revoked(&asked, json!({"iat": NOW - 5})), "an older event takes nothing back");
}

#[test]
fn an_issuer_speaks_of_its_own_tokens_only() {
    let asked = asked();
    let mut foreign = revoked("s1", json!({}));
    foreign["iss"] = OTHER.into();
    let by_other = |claims: &Value| asked.hear(&signal_by(&OTHER_ES256, claims), Timestamp::from_seconds(NOW)).outcome;
    assert_eq!(by_other(&foreign), Err(InvalidSignal::Subject), "the subject is another issuer's");
    foreign["sub_id"]["iss"] = OTHER.into();
    assert!(matches!(by_other(&foreign), Ok(Heard::Revoked { .. })));
    assert!(!is_revoked(&asked, json!({})));
    let own = with(claims(), json!({"iss": OTHER}));
    let own = ask(&asked, &token_by(&OTHER_ES256, Algorithm::Es256, &header(), &own));
    assert!(matches!(own, Err(AuthenticationError::Revoked(_))));
    // And only with its own key.
    let forged = asked.hear(&signal_by(&OTHER_ES256, &revoked("s2", json!({}))), Timestamp::from_seconds(NOW)).outcome;
    assert_eq!(forged, Err(InvalidSignal::Token(InvalidToken::Signature)));
}

#[test]
fn the_subject_and_the_change_come_in_several_forms() {
    for (subject, expected) in [
        (json!({"format": "opaque", "id": "mara"}), true),
        (
            json!({"format": "complex", "user": {"format": "opaque", "id": "mara"}, "session": {"format": "opaque", "id": "x"}}),
            true,
        ),
        (json!({"format": "opaque", "id": "lars"}), false),
    ] {
        let asked = asked();
        let mut signal = revoked("s1", json!({}));
        signal["sub_id"] = subject.clone();
        assert!(matches!(hear(&asked, &signal), Ok(Heard::Revoked { .. })), "{subject}");
        assert_eq!(is_revoked(&asked, json!({})), expected, "{subject}");
    }
    for (change, expected) in [("revoke", true), ("update", true), ("delete", true), ("create", false)] {
        let asked = asked();
        let mut signal = revoked("s1", json!({}));
        signal["events"] = json!({ CHANGED: { "change_type": change, "credential_type": "password" } });
        assert!(hear(&asked, &signal).is_ok());
        assert_eq!(is_revoked(&asked, json!({})), expected, "{change}");
    }
    let asked = asked();
    let mut signal = revoked("s1", json!({}));
    signal["events"] = json!({ "https://schemas.openid.net/secevent/ssf/event-type/verification": { "state": "x" } });
    assert_eq!(hear(&asked, &signal), Ok(Heard::Verified));
    assert_eq!(hear(&asked, &signal), Ok(Heard::Repeated));
    let mut signal = revoked("s2", json!({}));
    signal["events"] = json!({ "https://schemas.openid.net/secevent/caep/event-type/risk-level-change": {} });
    assert_eq!(hear(&asked, &signal), Ok(Heard::Passed));
    assert!(!is_revoked(&asked, json!({})));
}

#[test]
fn only_a_good_signature_says_whose_word_a_signal_is() {
    let asked = asked();
    let now = Timestamp::from_seconds(NOW);
    let heard = asked.hear(&signal_by(&ES256, &revoked("s1", json!({}))), now);
    let origin = SignalOrigin { issuer: ISSUER.into(), id: Some("s1".into()), event: Some(REVOKED.into()) };
    assert_eq!(heard.origin.as_ref(), Some(&origin));
    let foreign = with(revoked("s2", json!({})), json!({ "aud": "https://elsewhere.example" }));
    let refused = asked.hear(&signal_by(&ES256, &foreign), now);
    assert_eq!(refused.origin, Some(SignalOrigin { id: Some("s2".into()), ..origin }));
    assert_eq!(refused.outcome, Err(InvalidSignal::OtherAudience));
    assert_eq!(asked.hear(&signal_by(&OTHER_ES256, &revoked("s3", json!({}))), now).origin, None);
    assert_eq!(asked.hear("nonsense", now).origin, None);
}

#[test]
fn what_is_no_signal_for_us_is_refused() {
    let asked = asked();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut signal = revoked("s1", json!({}));
        change(&mut signal);
        hear(&asked, &signal).unwrap_err()
    };
    let remove = |name: &'static str| move |signal: &mut Value| drop(signal.as_object_mut().unwrap().remove(name));
    for name in ["iat", "jti", "iss"] {
        assert_eq!(refused(&remove(name)), InvalidSignal::Token(InvalidToken::MissingClaim(name)));
    }
    assert_eq!(refused(&remove("aud")), InvalidSignal::OtherAudience);
    assert_eq!(refused(&|signal| signal["aud"] = "https://ledger.harbor.example".into()), InvalidSignal::OtherAudience);
    assert!(matches!(refused(&|signal| signal["iss"] = "https://x".into()), InvalidSignal::UnknownIssuer(_)));
    for (time, event) in [(NOW + 121, 0), (NOW - 3601, 0), (NOW, NOW + 121)] {
        let refusal = refused(&|signal| {
            (signal["iat"], signal["events"]) = (time.into(), json!({ REVOKED: { "event_timestamp": event } }));
        });
        assert_eq!(refusal, InvalidSignal::OtherTime, "{time} {event}");
    }
    for events in [json!(null), json!({}), json!([]), json!({ REVOKED: 7 }), json!({ REVOKED: {}, CHANGED: {} })] {
        assert_eq!(refused(&|signal| signal["events"] = events.clone()), InvalidSignal::Events, "{events}");
    }
    for event in [json!({ CHANGED: {} }), json!({ REVOKED: { "event_timestamp": "now" } })] {
        assert_eq!(refused(&|signal| signal["events"] = event.clone()), InvalidSignal::Events, "{event}");
    }
    for subject in [
        json!(null),
        json!("mara"),
        json!({"format": "email", "email": "mara@harbor.example"}),
        json!({"format": "iss_sub", "iss": OTHER, "sub": "mara"}),
        json!({"format": "iss_sub", "iss": ISSUER, "sub": "*"}),
        json!({"format": "opaque", "id": ""}),
        json!({"id": "mara"}),
    ] {
        assert_eq!(refused(&|signal| signal["sub_id"] = subject.clone()), InvalidSignal::Subject, "{subject}");
    }
    // A token is no signal, and a signal is no token.
    let at = Timestamp::from_seconds(NOW);
    assert_eq!(asked.hear(&token(&header(), &revoked("s1", json!({}))), at).outcome, Err(InvalidSignal::Type));
    assert!(ask(&asked, &signal_by(&ES256, &with(claims(), json!({"events": {}})))).is_err());
    assert!(!is_revoked(&asked, json!({})), "none of these counted");
    let closed = Authenticator::new(AuthenticatorSettings { signals: None, ..settings() }).unwrap();
    assert_eq!(hear(&closed, &revoked("s1", json!({}))), Err(InvalidSignal::Closed));
}
