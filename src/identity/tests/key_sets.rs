//! Which documents are key sets, and which keys of them are used.

use serde_json::{Value, json};

use super::minting::{ED25519, ES256, ES384, OTHER_ES256, RSA, text};
use super::worlds::with;
use crate::{
    access::Place,
    identity::{IgnoredKeys, InvalidKeySet, KeySet},
};

fn set(keys: Vec<Value>) -> Result<KeySet, InvalidKeySet> {
    KeySet::parse(&json!({"keys": keys}).to_string())
}

fn ignored(key: Value) -> IgnoredKeys {
    let set = set(vec![ES256.jwk("good"), key]).unwrap();
    assert_eq!(set.usable(), 1);
    set.ignored()
}

#[test]
fn all_served_kinds_are_read() {
    let keys = vec![ES256.jwk("1"), ES384.jwk("2"), ED25519.jwk("3"), RSA.jwk("4")];
    let set = set(keys).unwrap();
    assert_eq!((set.usable(), set.ignored()), (4, IgnoredKeys::default()));
}

#[test]
fn keys_that_cannot_verify_are_ignored_and_counted() {
    let (symmetric, other_use) =
        (IgnoredKeys { symmetric: 1, ..Default::default() }, IgnoredKeys { other_use: 1, ..Default::default() });
    let (unserved, malformed) =
        (IgnoredKeys { unserved: 1, ..Default::default() }, IgnoredKeys { malformed: 1, ..Default::default() });
    assert_eq!(ignored(json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"})), symmetric);
    assert_eq!(ignored(with(RSA.jwk("r"), json!({"use": "enc"}))), other_use);
    assert_eq!(ignored(with(RSA.jwk("r"), json!({"key_ops": ["encrypt"]}))), other_use);
    assert_eq!(ignored(json!({"kty": "AKP", "kid": "p", "alg": "ML-DSA-44"})), unserved);
    for change in
        [json!({"alg": "RS512"}), json!({"alg": "RSA-OAEP"}), json!({"alg": "ES256"}), json!({"alg": "HS256"})]
    {
        assert_eq!(ignored(with(RSA.jwk("r"), change.clone())), unserved, "{change}");
    }
    for change in [json!({"crv": "secp256k1"}), json!({"crv": "P-521"})] {
        assert_eq!(ignored(with(OTHER_ES256.jwk("e"), change)), unserved);
    }
    assert_eq!(ignored(with(ED25519.jwk("o"), json!({"crv": "X25519"}))), unserved);
    for (key, change) in [
        (OTHER_ES256.jwk("e"), json!({"x": null})),
        (OTHER_ES256.jwk("e"), json!({"x": text(&[1; 32])})),
        (OTHER_ES256.jwk("e"), json!({"x": text(&[0; 31])})),
        (OTHER_ES256.jwk("e"), json!({"x": "not base64!"})),
        (OTHER_ES256.jwk("e"), json!({"kty": null})),
        (OTHER_ES256.jwk("e"), json!({"kty": 5})),
        (OTHER_ES256.jwk("e"), json!({"use": ["sig"]})),
        (ED25519.jwk("o"), json!({"x": text(&[7; 31])})),
        (RSA.jwk("r"), json!({"n": text(&[0xff; 128])})),
        (RSA.jwk("r"), json!({"n": text(&[[0x7f].as_slice(), &[0xff; 255]].concat())})),
        (RSA.jwk("r"), json!({"n": text(&[0xff; 1025])})),
        (RSA.jwk("r"), json!({"n": text(&[[0].as_slice(), &[0xff; 256]].concat())})),
        (RSA.jwk("r"), json!({"e": text(&[1])})),
        (RSA.jwk("r"), json!({"e": text(&[2])})),
        (RSA.jwk("r"), json!({"e": text(&[1; 5])})),
    ] {
        assert_eq!(ignored(with(key, change.clone())), malformed, "{change}");
    }
}

#[test]
fn keys_for_signatures_may_say_so() {
    let said = with(ES256.jwk("k"), json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256", "x5c": ["MIIB"]}));
    assert_eq!(set(vec![said]).unwrap().usable(), 1);
}

#[test]
fn two_keys_of_one_id_refuse_the_whole_set() {
    let text = format!("{{\"keys\": [\n  {},\n  {{\"kid\": \"k1\", \"kty\": \"oct\"}}\n]}}", ES256.jwk("k1"));
    let error = KeySet::parse(&text).unwrap_err();
    assert_eq!(error, InvalidKeySet::RepeatedKeyId { place: Place { line: 3, column: 11 }, key_id: "k1".to_owned() });
    assert_eq!(error.to_string(), "two keys have the id `k1`, give each key of the set its own `kid`");
    // Keys without an id are distinct.
    let anonymous = |jwk: Value| with(jwk, json!({"kid": null}));
    assert_eq!(set(vec![anonymous(ES256.jwk("")), anonymous(ED25519.jwk(""))]).unwrap().usable(), 2);
}

#[test]
fn a_repeated_member_refuses_the_whole_set() {
    let place = |text: &str| match KeySet::parse(text).unwrap_err() {
        InvalidKeySet::RepeatedMember { place, name } => (place, name),
        other => panic!("{other}"),
    };
    let good = ES256.jwk("k1");
    let twice = format!("{{\"keys\": [],\n\"keys\": [{good}]}}");
    assert_eq!(place(&twice), (Place { line: 2, column: 9 }, "keys".to_owned()));
    let twice = "{\"keys\": [\n {\"kty\": \"EC\",\n  \"kty\": \"oct\"}]}";
    assert_eq!(place(twice), (Place { line: 3, column: 10 }, "kty".to_owned()));
    let inside = "{\"keys\": [], \"x\": {\"a\": 1, \"a\": 2}}";
    assert!(matches!(KeySet::parse(inside), Err(InvalidKeySet::Syntax { .. })));
}

#[test]
fn syntax_errors_have_a_place() {
    let place = |text: &str| match KeySet::parse(text).unwrap_err() {
        InvalidKeySet::Syntax { place, .. } => (place.line, place.column),
        other => panic!("{other}"),
    };
    assert_eq!(place("{\n  \"keys\": [,]\n}"), (2, 12));
    assert_eq!(place("{\"keys\": []} x"), (1, 14));
    assert_eq!(place("{\"keys\": [\n 7 ]}"), (2, 2));
    assert_eq!(place("{\"keys\": [\n {\"kid\": 7, \"kty\": \"EC\"}]}"), (2, 10));
    assert_eq!(place("[]").0, 1);
    assert_eq!(place("").0, 1);
}

#[test]
fn a_private_key_is_never_published() {
    let private = with(ES256.jwk("k1"), json!({"d": text(&[9; 32])}));
    match set(vec![private]).unwrap_err() {
        InvalidKeySet::PrivateKey { name, place } => assert_eq!((name, place.line), ("d", 1)),
        other => panic!("{other}"),
    }
}

#[test]
fn a_set_has_bounds_and_something_to_use() {
    let many = (0..101).map(|number| with(ED25519.jwk("k"), json!({"kid": format!("k{number}")}))).collect();
    assert_eq!(set(many).unwrap_err(), InvalidKeySet::TooManyKeys(101));
    let long = format!("{{\"keys\": []{}}}", " ".repeat(1024 * 1024));
    assert!(matches!(KeySet::parse(&long), Err(InvalidKeySet::TooLong(_))));
    assert_eq!(KeySet::parse("{}").unwrap_err(), InvalidKeySet::NoKeys);
    assert_eq!(KeySet::parse("{\"keys\": {}}").unwrap_err(), InvalidKeySet::NoKeys);
    let error = set(vec![json!({"kty": "oct", "k": "c2VjcmV0"})]).unwrap_err();
    assert_eq!(error.to_string(), "no usable key: 1 symmetric, 0 not for signatures, 0 not served, 0 malformed");
    assert_eq!(error.place(), Place::default());
}

#[test]
fn equal_documents_are_equal_sets_and_no_key_is_shown() {
    let one = set(vec![ES256.jwk("k1")]).unwrap();
    assert_eq!(one, set(vec![ES256.jwk("k1")]).unwrap());
    assert_ne!(one, set(vec![OTHER_ES256.jwk("k1")]).unwrap());
    assert!(!format!("{one:?}").contains("k1"));
}
