//! API keys: their form, their storage and their refusals.

use http::{HeaderName, header::AUTHORIZATION};

use super::{
    minting::ES256,
    worlds::{NOW, claims, head, header, issuer, members, token},
};
use crate::{
    access::{Reason, Timestamp},
    identity::{
        ApiKey, ApiKeyHash, ApiKeySettings, AuthenticationError, Authenticator, AuthenticatorSettings, InvalidSettings,
        Method, NewApiKey, SeenCredential,
    },
};

fn random(seed: u8) -> [u8; 24] {
    let mut last = seed;
    [0; 24].map(|_: u8| {
        last = last.wrapping_mul(31).wrapping_add(7);
        last
    })
}

fn stored(key: &NewApiKey) -> ApiKey {
    ApiKey {
        id: key.id.as_str().into(),
        hash: key.hash,
        subject: "user:mara".parse().unwrap(),
        actors: vec!["agent:nightly".parse().unwrap()],
        task: Some("task:close-books".parse().unwrap()),
        scopes: vec!["books.close".parse().unwrap()],
        owner: Some("finance@harbor.example".into()),
        expires: Some(Timestamp::from_seconds(NOW + 60)),
    }
}

fn settings(keys: Vec<ApiKey>) -> AuthenticatorSettings {
    let api_keys = Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys });
    AuthenticatorSettings { api_keys, ..Default::default() }
}

fn present(asked: &Authenticator, text: &str, now: i64) -> Result<String, AuthenticationError> {
    let answer = asked.authenticate(
        &head(&[("x-api-key", text.as_bytes())]),
        &SeenCredential::default(),
        Timestamp::from_seconds(now),
    )?;
    Ok(members(&answer))
}

#[test]
fn a_key_stands_for_its_chain_until_it_expires() {
    let key = NewApiKey::generate(random(1));
    let asked = Authenticator::new(settings(vec![stored(&key), stored(&NewApiKey::generate(random(2)))])).unwrap();
    assert_eq!(asked.credential_fields(), [HeaderName::from_static("x-api-key")]);
    assert_eq!(present(&asked, &key.text, NOW).unwrap(), "user:mara agent:nightly task:close-books");
    assert_eq!(present(&asked, &key.text, NOW + 59).unwrap(), "user:mara agent:nightly task:close-books");
    assert_eq!(present(&asked, &key.text, NOW + 60).unwrap_err(), AuthenticationError::ExpiredApiKey);
    let answer = asked
        .authenticate(
            &head(&[("x-api-key", key.text.as_bytes())]),
            &SeenCredential::default(),
            Timestamp::from_seconds(NOW),
        )
        .unwrap();
    assert_eq!(
        answer.credential.method,
        Method::ApiKey { id: key.id.as_str().into(), owner: Some("finance@harbor.example".into()) }
    );
    assert_eq!(answer.credential.expires, Some(Timestamp::from_seconds(NOW + 60)));
}

#[test]
fn a_new_key_has_one_form() {
    let key = NewApiKey::generate([0; 24]);
    assert!(key.text.starts_with("pcl_aaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "{}", key.text);
    assert_eq!((key.text.len(), key.id.as_str()), (50, "aaaaaaaa"));
    let full = NewApiKey::generate([0xff; 24]);
    // 152 bits fill 30 digits and two bits of the last one.
    assert!(full.text.starts_with("pcl_77777777_777777777777777777777777777777y"), "{}", full.text);
    assert_ne!(NewApiKey::generate(random(1)).text, NewApiKey::generate(random(2)).text);
}

#[test]
fn an_unknown_id_and_a_wrong_secret_are_refused_alike() {
    let (known, unknown) = (NewApiKey::generate(random(1)), NewApiKey::generate(random(2)));
    let asked = Authenticator::new(settings(vec![stored(&known)])).unwrap();
    let mut same_id = random(1);
    same_id[20] ^= 1;
    let wrong = NewApiKey::generate(same_id);
    assert_eq!(wrong.id, known.id);
    for text in [&unknown.text, &wrong.text] {
        let error = present(&asked, text, NOW).unwrap_err();
        assert_eq!((&error, error.reason()), (&AuthenticationError::UnknownApiKey, Reason::InvalidCredential));
    }
    let late = present(&asked, &wrong.text, NOW + 90).unwrap_err();
    assert_eq!(late, AuthenticationError::UnknownApiKey, "only the owner learns that a key has expired");
}

#[test]
fn a_mistyped_key_is_told_from_an_unknown_one() {
    let key = NewApiKey::generate(random(1));
    let asked = Authenticator::new(settings(vec![stored(&key)])).unwrap();
    for index in 0..key.text.len() {
        let mut typo = key.text.clone().into_bytes();
        typo[index] = if typo[index] == b'q' { b'r' } else { b'q' };
        let typo = String::from_utf8(typo).unwrap();
        assert_eq!(present(&asked, &typo, NOW).unwrap_err(), AuthenticationError::MalformedApiKey, "{typo}");
    }
    let upper = key.text.to_uppercase();
    for text in
        ["", "pcl_", "pcl_aaaaaaaa_", &key.text[..49], &format!("{}a", key.text), &upper, &format!(" {}", key.text)]
    {
        assert_eq!(present(&asked, text, NOW).unwrap_err(), AuthenticationError::MalformedApiKey, "{text}");
    }
}

#[test]
fn two_credentials_are_none() {
    let key = NewApiKey::generate(random(1));
    let mut both = settings(vec![stored(&key)]);
    both.issuers = vec![issuer(&[ES256.jwk("k1")])];
    let asked = Authenticator::new(both).unwrap();
    assert_eq!(asked.credential_fields(), [AUTHORIZATION, HeaderName::from_static("x-api-key")]);
    let bearer = format!("Bearer {}", token(&header(), &claims()));
    let now = Timestamp::from_seconds(NOW);
    let (jwt, api) = (("authorization", bearer.as_bytes()), ("x-api-key", key.text.as_bytes()));
    assert!(asked.authenticate(&head(&[jwt]), &SeenCredential::default(), now).is_ok());
    assert!(asked.authenticate(&head(&[api]), &SeenCredential::default(), now).is_ok());
    for fields in [[jwt, api], [("authorization", b"Basic eA=="), api], [jwt, ("x-api-key", b"")]] {
        assert_eq!(
            asked.authenticate(&head(&fields), &SeenCredential::default(), now).unwrap_err(),
            AuthenticationError::Several
        );
    }
    let twice = asked.authenticate(&head(&[api, api]), &SeenCredential::default(), now).unwrap_err();
    assert!(matches!(twice, AuthenticationError::Field(_)));
    let listed =
        asked.authenticate(&head(&[api, ("connection", b"x-api-key")]), &SeenCredential::default(), now).unwrap_err();
    assert!(matches!(listed, AuthenticationError::Field(_)));
}

#[test]
fn stored_keys_have_distinct_ids_of_the_right_form() {
    let key = stored(&NewApiKey::generate(random(1)));
    let repeated = Authenticator::new(settings(vec![key.clone(), key.clone()])).unwrap_err();
    assert_eq!(repeated, InvalidSettings::RepeatedApiKey { index: 1, id: key.id.clone() });
    for id in ["", "billing", "ABCDEFGH", "abcdefg1"] {
        let wrong = ApiKey { id: id.into(), ..key.clone() };
        let error = Authenticator::new(settings(vec![wrong])).unwrap_err();
        assert_eq!(error, InvalidSettings::ApiKeyId { index: 0, id: id.into() });
    }
}

#[test]
fn a_hash_is_written_as_it_is_read_and_not_shown() {
    let key = NewApiKey::generate(random(3));
    let text = key.hash.to_string();
    assert_eq!(text.parse::<ApiKeyHash>().unwrap(), key.hash);
    assert_eq!(text.to_uppercase().replace("SHA256", "sha256").parse::<ApiKeyHash>().unwrap(), key.hash);
    for wrong in
        ["", "sha256:", "sha256:zz", &text[7..], &text[..70], &format!("{text}00"), &text.replace("sha256", "md5")]
    {
        assert!(wrong.parse::<ApiKeyHash>().is_err(), "{wrong}");
    }
    assert!(!format!("{:?}", stored(&key)).contains(&text[7..]));
}
