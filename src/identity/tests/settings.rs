//! Which settings are refused, and how a credential is found in a request.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, header::AUTHORIZATION};

use super::{
    minting::ES256,
    worlds::{ISSUER, NOW, ask, changed, claims, head, header, issuer, keys_of, token, usual},
};
use crate::{
    access::{Reason, Timestamp},
    identity::{
        Algorithm, ApiKeySettings, AuthenticationError, Authenticator, AuthenticatorSettings, InvalidSettings,
        IssuerSettings, SeenCredential,
    },
};

fn refused(change: impl FnOnce(&mut IssuerSettings)) -> InvalidSettings {
    let mut second = issuer(&[ES256.jwk("k1")]);
    second.issuer = "https://second.example".into();
    change(&mut second);
    let issuers = vec![issuer(&[ES256.jwk("k1")]), second];
    Authenticator::new(AuthenticatorSettings { issuers, ..Default::default() }).unwrap_err()
}

#[test]
fn settings_that_accept_too_much_or_nothing_are_refused() {
    let issuer: Arc<str> = ISSUER.into();
    let repeated = InvalidSettings::RepeatedIssuer { index: 1, first: 0, issuer };
    assert_eq!(refused(|settings| settings.issuer = ISSUER.into()), repeated);
    assert_eq!(refused(|settings| settings.issuer = "".into()), InvalidSettings::UnnamedIssuer { index: 1 });
    assert_eq!(refused(|settings| settings.audiences.clear()), InvalidSettings::NoAudience { index: 1 });
    assert_eq!(refused(|settings| settings.audiences.push("".into())), InvalidSettings::NoAudience { index: 1 });
    assert_eq!(refused(|settings| settings.algorithms.clear()), InvalidSettings::NoAlgorithm { index: 1 });
    assert_eq!(refused(|settings| settings.types.clear()), InvalidSettings::NoType { index: 1 });
    let leeway = InvalidSettings::Leeway { index: 1 };
    assert_eq!(refused(|settings| settings.leeway = Duration::from_secs(121)), leeway);
    assert_eq!(refused(|settings| settings.leeway = Duration::from_millis(1500)), leeway);
    let max_age = InvalidSettings::MaxAge { index: 1 };
    assert_eq!(refused(|settings| settings.max_age = Some(Duration::from_millis(900))), max_age);
    assert_eq!(refused(|settings| settings.chain.max_actors = 8), InvalidSettings::MaxActors { index: 1 });
    let unusable = InvalidSettings::NoUsableKey { index: 1 };
    assert_eq!(refused(|settings| settings.algorithms = vec![Algorithm::Ps256]), unusable);
    assert_eq!((unusable.issuer(), unusable.api_key()), (Some(1), None));
}

#[test]
fn a_key_may_not_come_in_a_field_of_another_meaning() {
    for name in ["authorization", "host", "cookie", "connection", "x-forwarded-for", "portcullis-subject"] {
        let header = HeaderName::from_static(name);
        let api_keys = Some(ApiKeySettings { header: header.clone(), keys: Vec::new() });
        let settings = AuthenticatorSettings { api_keys, ..Default::default() };
        assert_eq!(Authenticator::new(settings).unwrap_err(), InvalidSettings::ApiKeyHeader(header));
    }
}

#[test]
fn equal_settings_are_recognised() {
    let settings = usual().settings().clone();
    assert_eq!(settings, *usual().settings());
    assert_ne!(settings, *changed(|settings| settings.leeway = Duration::ZERO).settings());
    assert_ne!(settings, *changed(|settings| settings.keys = keys_of(&[ES256.jwk("k2")])).settings());
}

#[test]
fn without_a_method_every_request_lacks_a_credential() {
    let asked = Authenticator::new(AuthenticatorSettings::default()).unwrap();
    let error = ask(&asked, &token(&header(), &claims())).unwrap_err();
    assert_eq!((&error, error.reason()), (&AuthenticationError::Missing, Reason::MissingCredential));
    assert!(asked.credential_fields().is_empty());
}

#[test]
fn the_credential_is_one_bearer_token() {
    let asked = usual();
    assert_eq!(asked.credential_fields(), [AUTHORIZATION]);
    let good = token(&header(), &claims());
    let answer = |field: &str| {
        asked
            .authenticate(
                &head(&[("authorization", field.as_bytes())]),
                &SeenCredential::default(),
                Timestamp::from_seconds(NOW),
            )
            .err()
    };
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(answer(&format!("{scheme} {good}")), None);
    }
    for field in
        [good.clone(), format!("Basic {good}"), format!("DPoP {good}"), format!("Bearer\t{good}"), String::new()]
    {
        assert_eq!(answer(&field), Some(AuthenticationError::Scheme), "{field}");
    }
    let second = format!("Bearer {good}, Bearer {good}");
    for field in
        [format!("Bearer  {good}"), second, format!("Bearer {good},"), "Bearer ".to_owned(), "Bearer =".to_owned()]
    {
        // The `http` crate keeps trailing blanks of a value, so they are refused here.
        assert_eq!(answer(&field), Some(AuthenticationError::Bearer), "{field}");
    }
    let none = asked.authenticate(&head(&[]), &SeenCredential::default(), Timestamp::from_seconds(NOW)).unwrap_err();
    assert_eq!((none.reason(), none.unknown_key()), (Reason::MissingCredential, None));
    let not_text = asked.authenticate(
        &head(&[("authorization", b"Bearer \xff")]),
        &SeenCredential::default(),
        Timestamp::from_seconds(NOW),
    );
    assert!(matches!(not_text, Err(AuthenticationError::Field(_))));
}
