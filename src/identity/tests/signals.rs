//! Signals of issuers that sessions ended.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    minting::{ES256, OTHER_ES256, Signer},
    worlds::{ISSUER, NOW, ask, ask_at, ask_on, claims, header, issuer, token, token_by, with},
};
use crate::{
    access::{Bounded, Timestamp},
    identity::{
        Algorithm, AuthenticationError, Authenticator, AuthenticatorSettings, ChainSettings, Heard, InvalidSignal,
        InvalidToken, SeenCredential, SignalOrigin, SignalSettings,
        revocations::{Ended, ShareIsFull},
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
    let entities = ["user:mara", "agent:mara"].map(|entity| entity.parse().unwrap()).to_vec();
    assert_eq!(heard, Ok(Heard::Revoked { name: "mara".into(), entities, before }));
    assert!(matches!(ask_on(&seen, &asked, &text, NOW), Err(AuthenticationError::Revoked(_))));
    for (issued, expected) in [(NOW - 5, true), (NOW - 2, true), (NOW - 1, false), (NOW, false)] {
        assert_eq!(is_revoked(&asked, json!({"iat": issued})), expected, "{issued}");
    }
    assert!(is_revoked(&asked, json!({"iat": null})), "nobody knows when it was issued");
    assert!(!is_revoked(&asked, json!({"sub": "lars"})));
}

#[test]
fn a_revoked_agent_is_refused_wherever_it_stands_in_the_chain() {
    let chains = |chain: &dyn Fn(&mut ChainSettings)| {
        let mut settings = settings();
        chain(&mut settings.issuers[0].chain);
        Authenticator::new(settings).unwrap()
    };
    let ended = |asked: &Authenticator, name: &str| {
        let mut signal = revoked("s1", json!({}));
        signal["sub_id"]["sub"] = name.into();
        hear(asked, &signal).unwrap();
    };
    let of_clients = chains(&|chain| chain.client = Some("agent:{client_id}".parse().unwrap()));
    let of_parties = chains(&|chain| chain.client = Some("agent:{azp}".parse().unwrap()));
    let of_workloads = chains(&|chain| chain.actor = Some("agent:{wid}".parse().unwrap()));
    let of_programs = chains(&|chain| {
        chain.client_subject = Some("agent:{client_id}".parse().unwrap());
        chain.human_clients = vec!["desk".into()];
    });
    for (asked, chain, revoked) in [
        (&asked(), json!({"act": {"sub": "planner"}}), true),
        (&asked(), json!({"act": {"sub": "other", "act": {"sub": "planner"}}}), true),
        (&asked(), json!({"act": {"sub": "other", "client_id": "planner"}}), true),
        (&asked(), json!({"act": {"sub": "other", "may_act": {"sub": "planner"}}}), false),
        // Here no client is of the chain: it is the program through which its subject acts.
        (&asked(), json!({"client_id": "planner"}), false),
        (&of_clients, json!({"client_id": "planner"}), true),
        (&of_clients, json!({"client_id": "planner", "act": {"sub": "planner"}}), true),
        (&of_clients, json!({"client_id": "other"}), false),
        (&of_parties, json!({"azp": "planner"}), true),
        (&of_workloads, json!({"act": {"wid": "planner"}}), true),
        (&of_workloads, json!({"act": {"wid": "other"}}), false),
        (&of_programs, json!({"sub": "planner", "client_id": "planner"}), true),
        (&of_programs, json!({"sub": "x", "sub_entity_type": "agent", "client_id": "planner"}), true),
    ] {
        let before = ask(asked, &token(&header(), &with(claims(), chain.clone())));
        assert!(before.is_ok() || is_revoked(asked, chain.clone()), "{chain}");
        ended(asked, "planner");
        assert_eq!(is_revoked(asked, chain.clone()), revoked, "{chain}");
    }
}

#[test]
fn an_actor_of_another_issuer_is_revoked_by_that_one_too() {
    let acting = json!({"act": {"sub": "planner", "iss": OTHER}});
    let mut signal = revoked("s1", json!({}));
    (signal["iss"], signal["sub_id"]) = (OTHER.into(), json!({"format": "opaque", "id": "planner"}));
    let asked = asked();
    let heard = asked.hear(&signal_by(&OTHER_ES256, &signal), Timestamp::from_seconds(NOW)).outcome;
    assert!(matches!(heard, Ok(Heard::Revoked { .. })));
    assert!(is_revoked(&asked, acting));
    assert!(!is_revoked(&asked, json!({"act": {"sub": "planner"}})), "this one is somebody else's");
    assert!(!is_revoked(&asked, json!({"sub": "planner"})));
}

#[test]
fn a_revocation_is_of_a_name_whatever_is_made_of_it() {
    let chained = |subject: &str| {
        let mut settings = settings();
        settings.issuers[0].chain.subject = subject.parse().unwrap();
        settings
    };
    let asked = Authenticator::new(chained("person:{email}")).unwrap();
    let mail = json!({"email": "mara@harbor.example"});
    assert!(!is_revoked(&asked, mail.clone()));
    let heard = hear(&asked, &revoked("s1", json!({}))).unwrap();
    let Heard::Revoked { name, entities, .. } = heard else { panic!("{heard:?}") };
    assert_eq!((&*name, entities), ("mara", vec!["agent:mara".parse().unwrap()]), "no subject is made of it alone");
    assert!(is_revoked(&asked, mail.clone()));
    // A reload that calls subjects otherwise takes nothing back.
    for subject in ["user:{sub}", "employee:{sub}", "person:{email}"] {
        let next = Authenticator::after(chained(subject), &asked).unwrap();
        assert!(is_revoked(&next, mail.clone()), "{subject}");
    }
}

#[test]
fn an_issuer_has_its_own_room() {
    let asked = asked();
    let (names, now) = (&asked.memory.revocations, Timestamp::from_seconds(NOW));
    let share = Bounded::<Box<str>, Ended>::MOST / 2;
    let ended = Ended { before: now, until: now.plus(Duration::from_secs(100)) };
    let fill = |number: usize| names.end(&OTHER.into(), &number.to_string(), ended, (share, now));
    assert!((0..share).all(|number| fill(number).is_ok()));
    assert_eq!(fill(share), Err(ShareIsFull));
    assert!(matches!(hear(&asked, &revoked("s1", json!({}))), Ok(Heard::Revoked { .. })), "it took no other's");
    assert!(is_revoked(&asked, json!({})));
}

#[test]
fn a_full_share_refuses_signals_until_there_is_room_again() {
    let asked = asked();
    let (names, now) = (&asked.memory.revocations, Timestamp::from_seconds(NOW));
    let share = Bounded::<Box<str>, Ended>::MOST / 2;
    let ended = Ended { before: now, until: now.plus(Duration::from_secs(100)) };
    assert!((0..share).all(|number| names.end(&ISSUER.into(), &number.to_string(), ended, (share, now)).is_ok()));
    let signal = revoked("s1", json!({}));
    assert_eq!(hear(&asked, &signal), Err(InvalidSignal::NoRoom));
    assert!(InvalidSignal::NoRoom.is_for_later());
    // It is not in force, and counts as not heard; what is in force stays so.
    assert!(!is_revoked(&asked, json!({})) && is_revoked(&asked, json!({"sub": "7"})));
    let again = |seconds: i64| asked.hear(&signal_by(&ES256, &signal), Timestamp::from_seconds(NOW + seconds)).outcome;
    assert_eq!(again(100), Err(InvalidSignal::NoRoom));
    assert!(matches!(again(101), Ok(Heard::Revoked { .. })));
    assert!(is_revoked(&asked, json!({})));
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
        json!({"format": "iss_sub", "iss": ISSUER, "sub": "ma\u{202e}ra"}),
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
