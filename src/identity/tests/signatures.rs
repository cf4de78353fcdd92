//! Signatures of requests: what verifies, what does not, and why.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use proptest::prelude::*;
use serde_json::json;

use super::{
    minting::{ED25519, ES256, ES384, OTHER_ES256, RSA},
    signed_requests::{COVERED, Sending, agent, ask_at, changed, good, key_id, parameters, refusal, signatures, usual},
    worlds::{NOW, claims, header, issuer, keys_of, members, token, with},
};
use crate::{
    access::{CanonicalRequest, CredentialKind, CredentialRule, Reason, Scheme, Timestamp},
    identity::{
        Algorithm, AuthenticationError, Authenticator, AuthenticatorSettings, BodyCover, InvalidSettings,
        InvalidSignature, InvalidSignatureSettings, KeySet, Method, NonceNeed, Possession, SeenCredential,
        SignatureSettings, SignedBody, SignedComponent,
    },
};

#[test]
fn an_agent_is_known_by_its_signature() {
    let answer = good().ask(&usual()).unwrap();
    assert_eq!((members(&answer).as_str(), answer.body), ("agent:reader", SignedBody::Empty));
    assert_eq!(answer.credential.method, Method::Signature { key_id: key_id(&ED25519).into() });
    let times = (answer.credential.issued.unwrap().seconds(), answer.credential.expires.unwrap().seconds());
    assert_eq!(times, (NOW, NOW + 90), "with the leeway");
    for (signer, algorithm, name) in [
        (&*ED25519, Algorithm::EdDsa, "ed25519"),
        (&*ES256, Algorithm::Es256, "ecdsa-p256-sha256"),
        (&*ES384, Algorithm::Es384, "ecdsa-p384-sha384"),
        (&*RSA, Algorithm::Rs256, "rsa-v1_5-sha256"),
    ] {
        let asked = changed(|it| it.agents = vec![agent("agent:reader", &[signer.jwk("k1")])]);
        assert_eq!(refusal(&asked, Sending::new(signer).signed(signer, algorithm)), None, "{name}");
        for (said, expected) in [
            (name, None),
            ("hmac-sha256", Some(InvalidSignature::Algorithm)),
            ("rsa-pss-sha512", Some(InvalidSignature::Algorithm)),
            ("EdDSA", Some(InvalidSignature::Algorithm)),
        ] {
            let parameters = parameters(signer, &[("alg", &format!("\"{said}\""))]);
            let sending = Sending { parameters, ..Sending::new(signer) }.signed(signer, algorithm);
            assert_eq!(refusal(&asked, sending), expected, "{name} as {said}");
        }
    }
}

// RFC 9421, appendix B.2.6, as far as it goes: its signature has neither a tag nor an end, and so is never accepted.
#[test]
fn the_base_is_that_of_the_rfc() {
    let parse = |name: &str| name.parse::<SignedComponent>().unwrap();
    let covered = ["date", "@method", "@path", "@authority", "content-type", "content-length"].map(parse);
    let parameters = "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
                      ;created=1618884473;keyid=\"test-key-ed25519\"";
    let request = http::Request::post("/foo?param=Value&Pet=dog")
        .header("host", "example.com")
        .header("date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .header("content-type", "application/json")
        .header("content-length", "18");
    let head = CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Https).unwrap();
    let base = crate::identity::signature::signature_base(&head, Scheme::Https, &covered, parameters).unwrap();
    let signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    let key = keys_of(&[json!({"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"})]);
    let verifies = |keys: &KeySet, algorithm, base: &str, signature: &str| {
        let verifier = keys.keys()[0].verifier(algorithm).unwrap();
        verifier.verify_sig(base.as_bytes(), &STANDARD.decode(signature).unwrap()).is_ok()
    };
    assert!(verifies(&key, Algorithm::Ed25519, &base, signature), "{base}");
    assert!(!verifies(&key, Algorithm::Ed25519, &base.replace("POST", "PUT"), signature));
    // Appendix B.2.4 signs an answer, so that only its key and its form of signature are of use here.
    let key = keys_of(&[json!({
        "kty": "EC", "crv": "P-256", "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
        "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
    })]);
    let base = "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3x\
                qM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\"content-length\": 23\n\
                \"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \"content-length\")\
                ;created=1618884473;keyid=\"test-key-ecc-p256\"";
    let signature = "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
    assert!(verifies(&key, Algorithm::Es256, base, signature));
}

// The example of the draft for agents, with the key of RFC 9421: it covers the host alone, which has to be said.
#[test]
fn the_example_of_web_bot_auth_is_accepted_where_its_cover_is_enough() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"});
    let input = "sig1=(\"@authority\");created=1735689600;keyid=\"poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U\"\
                 ;alg=\"ed25519\";expires=1735693200;nonce=\"gubxywVx7hzbYKatLgzuKDllDAIXAkz41PydU7aOY7vT+Mb3GJNxW0qD4zJ+\
                 IOQ1NVtg+BNbTCRUMt1Ojr5BgA==\";tag=\"web-bot-auth\"";
    let signature = "sig1=:uz2SAv+VIemw+Oo890bhYh6Xf5qZdLUgv6/PbiQfCFXcX/vt1A8Pf7OcgL2yUDUYXFtffNpkEr5W6dldqFrkDg==:";
    let request = http::Request::get("/path/to/resource").header("host", "example.com");
    let request = request.header("signature-input", input).header("signature", signature).body(()).unwrap();
    let head = CanonicalRequest::parse(request.into_parts().0, Scheme::Https).unwrap();
    let asked = |components: &[SignedComponent]| {
        changed(|it| {
            it.max_lifetime = Duration::from_secs(3600);
            it.components = components.to_vec();
            it.agents = vec![agent("agent:reader", std::slice::from_ref(&key))];
        })
    };
    let answer = ask_at(&asked(&[SignedComponent::Authority]), &head, 1_735_689_700).unwrap();
    assert_eq!(members(&answer), "agent:reader");
    let refused = ask_at(&asked(&SignatureSettings::DEFAULT_COMPONENTS), &head, 1_735_689_700).unwrap_err();
    assert_eq!(refused, InvalidSignature::Uncovered(SignedComponent::Method).into());
}

#[test]
fn a_signature_is_of_this_request() {
    assert_eq!(refusal(&usual(), good()), None);
    let wrong = Some(InvalidSignature::Wrong);
    let put = Sending { method: "PUT", ..good() };
    assert_eq!(refusal(&usual(), put), wrong);
    for uri in ["/books/8?page=2", "/books/7?page=3", "/books/7", "/books/7?page=2&x", "/Books/7?page=2"] {
        assert_eq!(refusal(&usual(), Sending { uri: uri.to_owned(), ..good() }), wrong, "{uri}");
    }
    // What is decided on and forwarded is signed, however it is spelled on the way.
    assert_eq!(refusal(&usual(), Sending { uri: "/books/%37?page=2".to_owned(), ..good() }), None);
    let mut spelled = Sending { uri: "/books/%37?page=2".to_owned(), ..Sending::new(&ED25519) };
    spelled.covered[2].1 = "/books/%37".to_owned();
    assert_eq!(spelled.refusal(), wrong);
    let mut elsewhere = Sending::new(&ED25519);
    elsewhere.covered[1].1 = "other.harbor.example".to_owned();
    assert_eq!(elsewhere.refusal(), wrong);
    // A query that is there and empty is signed like none.
    let empty = Sending { uri: "/books/7?".to_owned(), ..good() };
    assert_eq!(refusal(&usual(), empty), Some(InvalidSignature::EmptyQuery));
    let mut none = Sending { uri: "/books/7".to_owned(), ..Sending::new(&ED25519) };
    none.covered[3].1 = "?".to_owned();
    assert_eq!(none.refusal(), None);
    let by_another = Sending::new(&ED25519).signed(&OTHER_ES256, Algorithm::Es256);
    assert_eq!(refusal(&usual(), by_another), wrong);
    let mut bytes = Sending::new(&ED25519).signature(&ED25519, Algorithm::EdDsa);
    bytes[5] ^= 1;
    let input = good().fields[0].1.clone();
    let changed = Sending::new(&ED25519).field("signature-input", input);
    let changed = changed.field("signature", format!("sig1=:{}:", STANDARD.encode(bytes)));
    assert_eq!(refusal(&usual(), changed), wrong);
}

#[test]
fn what_must_be_covered_is() {
    let uncovered = |component| Some(InvalidSignature::Uncovered(component));
    for (missing, component) in [
        ("@method", SignedComponent::Method),
        ("@authority", SignedComponent::Authority),
        ("@path", SignedComponent::Path),
        ("@query", SignedComponent::Query),
    ] {
        let names: Vec<_> = COVERED.iter().map(|(name, _)| *name).filter(|name| *name != missing).collect();
        assert_eq!(Sending::new(&ED25519).only(&names).refusal(), uncovered(component));
    }
    assert_eq!(Sending::new(&ED25519).only(&[]).refusal(), uncovered(SignedComponent::Method));
    let method = || Sending::new(&ED25519).only(&["@method"]);
    let whole = "http://ledger.harbor.example/books/7?page=2";
    assert_eq!(method().covering("@target-uri", whole).refusal(), None);
    let https = whole.replace("http:", "https:");
    assert_eq!(method().covering("@target-uri", https.as_str()).refusal(), Some(InvalidSignature::Wrong));
    let target = || method().covering("@request-target", "/books/7?page=2");
    assert_eq!(target().refusal(), uncovered(SignedComponent::Authority));
    assert_eq!(target().covering("@authority", "ledger.harbor.example").refusal(), None);
    assert_eq!(target().covering("@scheme", "http").refusal(), uncovered(SignedComponent::Authority));
    // Something before this proxy ends TLS.
    let behind = changed(|it| {
        it.scheme = Some(Scheme::Https);
        it.components = vec![SignedComponent::Method, SignedComponent::TargetUri];
    });
    let sending = method().covering("@target-uri", https).signed(&ED25519, Algorithm::EdDsa);
    assert_eq!(refusal(&behind, sending), None);
    let parts = Sending::new(&ED25519).covering("@scheme", "https").signed(&ED25519, Algorithm::EdDsa);
    assert_eq!(refusal(&behind, parts), None, "its parts are the whole");
    assert_eq!(refusal(&behind, good()), uncovered(SignedComponent::TargetUri));
    // A weaker choice has to be made.
    let host = || Sending::new(&ED25519).only(&["@authority"]).signed(&ED25519, Algorithm::EdDsa);
    assert_eq!(refusal(&usual(), host()), uncovered(SignedComponent::Method));
    assert_eq!(refusal(&changed(|it| it.components = vec![SignedComponent::Authority]), host()), None);
}

#[test]
fn covered_fields_have_one_value() {
    let with = |value: &str| Sending::new(&ED25519).field("x-account", value).covering("x-account", value);
    assert_eq!(with("A 100").refusal(), None);
    assert_eq!(with("").refusal(), None);
    let missing = InvalidSignature::MissingField(HeaderName::from_static("x-account"));
    assert_eq!(Sending::new(&ED25519).covering("x-account", "A").refusal(), Some(missing));
    let covered = |refusal: Option<InvalidSignature>| matches!(refusal, Some(InvalidSignature::CoveredField(_)));
    assert!(covered(with("A").field("x-account", "A").refusal()));
    assert!(covered(with("A").field("connection", "x-account").refusal()));
    let text = Sending::new(&ED25519).field("x-account", "\u{e9}").covering("x-account", "\u{e9}");
    assert!(covered(text.refusal()));
    let padded = Sending::new(&ED25519).field("x-account", "A ").covering("x-account", "A");
    assert!(matches!(padded.refusal(), Some(InvalidSignature::PaddedField(_))));
    assert_eq!(with("A").signed(&ED25519, Algorithm::EdDsa).field("x-other", "B").ask(&usual()).map(drop), Ok(()));
    let mut replaced = with("A").signed(&ED25519, Algorithm::EdDsa);
    replaced.fields[0].1 = "B".to_owned();
    assert_eq!(refusal(&usual(), replaced), Some(InvalidSignature::Wrong));
    let component = |refusal: Option<InvalidSignature>| matches!(refusal, Some(InvalidSignature::Component(_)));
    for name in [
        "host",
        "connection",
        "transfer-encoding",
        "x-forwarded-for",
        "signature",
        "signature-input",
        "X-Account",
        "@status",
        "@unknown",
        "@query-params",
        "a b",
        "",
    ] {
        let sending = Sending::new(&ED25519).field("x-account", "A").covering(name, "A");
        assert!(component(sending.refusal()), "{name}");
    }
    assert!(component(with("A").covering("x-account", "A").refusal()), "twice");
    for parameter in ["sf", "bs", "req", "tr", "key", "key=a", "key=\"a\";sf", "name=\"page\"", "unknown"] {
        let named = format!("\"@method\" \"@authority\" \"@path\" \"@query\" \"x-account\";{parameter}");
        let sending = Sending { named: Some(named), ..with("A") };
        assert!(matches!(sending.refusal(), Some(InvalidSignature::ComponentParameter(_))), "{parameter}");
    }
    let token =
        Sending { named: Some("\"@method\" \"@authority\" \"@path\" \"@query\" x-account".to_owned()), ..with("A") };
    assert!(matches!(token.refusal(), Some(InvalidSignature::Malformed(_))));
}

#[test]
fn each_parameter_is_understood_and_has_its_type() {
    let by = |changes: &[(&str, &str)]| {
        Sending { parameters: parameters(&ED25519, changes), ..Sending::new(&ED25519) }.refusal()
    };
    let at = |seconds: i64| (NOW + seconds).to_string();
    let wrong = |name| Some(InvalidSignature::Parameter(name));
    for (changes, expected) in [
        (&[("created", "")][..], wrong("created")),
        (&[("created", "\"1\"")], wrong("created")),
        (&[("created", "-1")], wrong("created")),
        (&[("created", "1.5")], wrong("created")),
        (&[("created", &at(60))], wrong("expires")),
        (&[("created", &at(30))], None),
        (&[("created", &at(31))], Some(InvalidSignature::MadeInFuture)),
        (&[("expires", "")], wrong("expires")),
        (&[("expires", "?1")], wrong("expires")),
        (&[("expires", &at(300))], None),
        (&[("expires", &at(301))], Some(InvalidSignature::TooLong)),
        (&[("expires", "999999999999999")], Some(InvalidSignature::TooLong)),
        (&[("created", &at(-100)), ("expires", &at(-29))], None),
        (&[("created", &at(-100)), ("expires", &at(-30))], Some(InvalidSignature::Expired)),
        (&[("keyid", "")], wrong("keyid")),
        (&[("keyid", "\"\"")], wrong("keyid")),
        (&[("keyid", "\"k1\"")], wrong("keyid")),
        (&[("keyid", "token")], wrong("keyid")),
        (&[("alg", "ed25519")], wrong("alg")),
        (&[("nonce", "\"\"")], wrong("nonce")),
        (&[("nonce", "7")], wrong("nonce")),
        (&[("nonce", &format!("\"{}\"", "n".repeat(256)))], None),
        (&[("nonce", &format!("\"{}\"", "n".repeat(257)))], wrong("nonce")),
        (&[("tag", "")], Some(InvalidSignature::OtherTag)),
        (&[("tag", "\"other\"")], Some(InvalidSignature::OtherTag)),
        (&[("tag", "web-bot-auth")], Some(InvalidSignature::OtherTag)),
    ] {
        assert_eq!(by(changes), expected, "{changes:?}");
    }
    assert!(matches!(by(&[("context", "\"x\"")]), Some(InvalidSignature::UnservedParameter(_))));
    let tagged = changed(|it| it.tag = "acme".into());
    assert_eq!(refusal(&tagged, good()), Some(InvalidSignature::OtherTag));
}

#[test]
fn exactly_one_signature_counts() {
    let (input, signature) = (good().fields[0].1.clone(), good().fields[1].1.clone());
    let send = |input: &str, signature: &str| {
        let sending = Sending::new(&ED25519).field("signature-input", input).field("signature", signature);
        refusal(&usual(), sending)
    };
    let malformed = |refusal: Option<InvalidSignature>| matches!(refusal, Some(InvalidSignature::Malformed(_)));
    assert_eq!(send(&input, &signature), None);
    // Others, for others, do not matter, whatever they cover.
    let other = "proxy_sig=(\"@status\";req \"x\";sf);created=1;keyid=\"k\";strange=?0";
    assert_eq!(send(&format!("{other},  {input}"), &format!("{signature}, proxy_sig=:AAAA:")), None);
    let second = input.replace("sig1=", "sig2=");
    let both = signature.clone() + ", " + &signature.replace("sig1=", "sig2=");
    assert_eq!(send(&format!("{input}, {second}"), &both), Some(InvalidSignature::Several));
    assert!(malformed(send(&format!("{input}, {input}"), &signature)), "a label twice");
    assert!(malformed(send(&input, &format!("{signature}, {signature}"))));
    assert!(malformed(send(&format!("{input};tag=\"web-bot-auth\""), &signature)), "a parameter twice");
    assert!(malformed(send(&format!("{input};created=1"), &signature)));
    assert_eq!(send("", &signature), Some(InvalidSignature::OtherTag));
    assert_eq!(send(&input, ""), Some(InvalidSignature::NoBytes));
    assert_eq!(send(&input, &signature.replace("sig1", "sig2")), Some(InvalidSignature::NoBytes));
    assert_eq!(send(&input, &format!("{signature};p")), Some(InvalidSignature::NoBytes));
    // The last character of 64 bytes has four bits too many, which say nothing and may not be set.
    let at = signature.len() - "x==:".len();
    let stray: String = signature[..at].to_owned()
        + match &signature[at..=at] {
            "A" => "B==:",
            "Q" => "R==:",
            "g" => "h==:",
            _ => "x==:",
        };
    assert_eq!(send(&input, &stray), Some(InvalidSignature::NoBytes));
    assert_eq!(send(&input, &signature.replace("==:", ":")), Some(InvalidSignature::NoBytes));
    for bytes in ["sig1=\"text\"", "sig1=(:AAAA:)", "sig1", "sig1=?1"] {
        assert_eq!(send(&input, bytes), Some(InvalidSignature::NoBytes), "{bytes}");
    }
    assert!(malformed(send("sig1=\"x\";tag=\"web-bot-auth\"", &signature)), "no list");
    assert!(malformed(send(&format!("{input}, x={}", "1".repeat(9000)), &signature)), "too long");
    for text in ["sig1=(", "sig1=(\"@method\"", "=()", "sig1=(), ", "\u{e9}", "sig1=(\"a\"),,"] {
        let refused = Sending::new(&ED25519).field("signature-input", text).field("signature", signature.clone());
        assert!(refused.ask(&usual()).is_err(), "{text}");
    }
    let alone = Sending::new(&ED25519).field("signature-input", input.clone());
    assert!(matches!(refusal(&usual(), alone), Some(InvalidSignature::NoField(_))));
    let unnamed = Sending::new(&ED25519).field("signature", signature.clone());
    assert_eq!(
        unnamed.ask(&usual()).unwrap_err(),
        AuthenticationError::Missing,
        "without an input there is no signature"
    );
    for (name, value) in [("signature-input", input), ("signature", signature), ("connection", "signature".to_owned())]
    {
        assert!(matches!(refusal(&usual(), good().field(name, value)), Some(InvalidSignature::Field(..))), "{name}");
    }
    // White space between the parts is no part of what is signed.
    let spaced = good().fields[0].1.replace("(\"@method\"", "(  \"@method\"").replace(";tag", "; tag");
    assert_eq!(send(&spaced, &good().fields[1].1), None);
}

#[test]
fn the_key_says_whose_signature_it_is() {
    let answer = Sending::new(&RSA).signed(&RSA, Algorithm::Rs256).ask(&usual()).unwrap();
    assert_eq!(members(&answer), "agent:other");
    let strange = Sending::new(&OTHER_ES256).signed(&OTHER_ES256, Algorithm::Es256);
    let error = strange.ask(&usual()).unwrap_err();
    assert_eq!(error, InvalidSignature::UnknownKey.into());
    assert!(error.may_await_its_key() && error.reason() == Reason::InvalidCredential);
    assert!(!AuthenticationError::from(InvalidSignature::Wrong).may_await_its_key());
    // The id that a key has in its directory is only a name.
    let named = ED25519.jwk(&key_id(&OTHER_ES256));
    let asked = changed(|it| it.agents = vec![agent("agent:reader", &[named])]);
    assert_eq!(refusal(&asked, strange), Some(InvalidSignature::UnknownKey));
    assert_eq!(refusal(&asked, good()), None);
    // Whoever publishes another's key does not become it, and neither does the other become them.
    let twice = changed(|it| it.agents.push(agent("agent:thief", &[ED25519.jwk("mine")])));
    assert_eq!(refusal(&twice, good()), Some(InvalidSignature::SharedKey));
    let again = changed(|it| it.agents.push(agent("agent:thief", &[OTHER_ES256.jwk("mine")])));
    assert_eq!(refusal(&again, good()), None);
    let repeated = changed(|it| it.agents = vec![agent("agent:reader", &[ED25519.jwk("a"), ED25519.jwk("b")])]);
    assert_eq!(refusal(&repeated, good()), None, "twice in one directory it is one agent's");
    let outdated = changed(|it| it.agents[0].keys = KeySet::outdated().into());
    assert_eq!(refusal(&outdated, good()), Some(InvalidSignature::UnknownKey));
    // RFC 9421 has no PSS with SHA-256, and a key for encryption signs nothing.
    for change in [json!({"alg": "PS256"}), json!({"key_ops": ["encrypt"]})] {
        let keys = [with(RSA.jwk("x"), change), ES256.jwk("y")];
        let asked = changed(|it| it.agents = vec![agent("agent:reader", &keys)]);
        let sending = Sending::new(&RSA).signed(&RSA, Algorithm::Rs256);
        assert_eq!(refusal(&asked, sending), Some(InvalidSignature::UnknownKey));
    }
    // Two keys of one agent are two chains, by which records tell them apart.
    let chain = |sending: Sending, asked: &Authenticator| sending.ask(asked).unwrap().principal;
    let asked = usual();
    let other = Sending::new(&ES256).signed(&ES256, Algorithm::Es256);
    assert!(std::sync::Arc::ptr_eq(&chain(good(), &asked), &chain(good(), &asked)));
    assert!(!std::sync::Arc::ptr_eq(&chain(good(), &asked), &chain(other, &asked)));
}

#[test]
fn the_agents_own_name_is_compared_and_never_believed() {
    let named = changed(|it| it.agents[0].origin = Some("https://reader.example".parse().unwrap()));
    let with = |value: &str| good().field("signature-agent", value);
    assert_eq!(refusal(&named, good()), None);
    for value in ["\"https://reader.example\"", "\"https://READER.example:443/\"", "agent1=\"https://reader.example\""]
    {
        assert_eq!(refusal(&named, with(value)), None, "{value}");
    }
    for value in ["\"https://other.example\"", "\"http://reader.example\"", "\"https://reader.example:8443\""] {
        assert_eq!(refusal(&named, with(value)), Some(InvalidSignature::OtherAgent), "{value}");
    }
    for value in
        ["https://reader.example", "", "\"reader\"", "7", "a=\"https://reader.example\", b=\"https://reader.example\""]
    {
        assert!(matches!(refusal(&named, with(value)), Some(InvalidSignature::Malformed(_))), "{value}");
    }
    let twice = with("\"https://reader.example\"").field("signature-agent", "\"https://reader.example\"");
    assert!(matches!(refusal(&named, twice), Some(InvalidSignature::Field(..))));
    assert_eq!(refusal(&usual(), with("\"https://other.example\"")), None, "keys of a file have no origin");
    // It never leads to another key.
    let strange = Sending::new(&OTHER_ES256).field("signature-agent", "\"https://reader.example\"");
    let strange = strange.signed(&OTHER_ES256, Algorithm::Es256);
    assert_eq!(refusal(&named, strange), Some(InvalidSignature::UnknownKey));
}

#[test]
fn a_nonce_is_good_once() {
    let with = |nonce: &str, more: &str| {
        let parameters = parameters(&ED25519, &[("nonce", &format!("\"{nonce}\"")), ("expires", more)]);
        Sending { parameters, ..Sending::new(&ED25519) }.signed(&ED25519, Algorithm::EdDsa)
    };
    let end = (NOW + 60).to_string();
    let asked = usual();
    let replayed = Some(InvalidSignature::Replayed);
    assert_eq!(refusal(&asked, with("n1", &end)), None);
    assert_eq!(refusal(&asked, with("n1", &end)), replayed);
    assert_eq!(refusal(&asked, with("n1", &(NOW + 61).to_string())), replayed, "in another signature too");
    assert_eq!(refusal(&asked, with("n2", &end)), None);
    // Until the very end of the signature, and for the next authenticator too.
    let next = Authenticator::after(signatures(|_| ()), &asked).unwrap();
    let proven = Possession::Proven(with("n4", &end).ask(&asked).unwrap().proven);
    let last = ask_at(&next, &with("n1", &end).head(), NOW + 89).unwrap_err();
    assert_eq!(last, InvalidSignature::Replayed.into());
    // What was proven when the request came is not asked for again.
    let (seen, at) = (SeenCredential::default(), Timestamp::from_seconds(NOW));
    let answer = next.authenticate_as(&with("n1", &end).head(), &seen, (at, proven), None);
    assert!(answer.is_ok());
    // Nor is what it covers, which may be gone, but whose the key is.
    let later = (Timestamp::from_seconds(NOW + 3600), proven);
    let left = Sending::new(&ED25519).field("content-digest", "sha-256=:AAAA:").covering("content-digest", "gone");
    let mut left = left.signed(&ED25519, Algorithm::EdDsa);
    left.fields.remove(0);
    let answer = next.authenticate_as(&left.head(), &seen, later, None).unwrap();
    assert_eq!((members(&answer).as_str(), answer.body), ("agent:reader", SignedBody::Empty));
    let without = changed(|it| it.agents = vec![agent("agent:other", &[RSA.jwk("x")])]);
    assert!(without.authenticate_as(&left.head(), &seen, later, None).is_err(), "the key is gone");
    let shared = changed(|it| it.agents.push(agent("agent:thief", &[ED25519.jwk("mine")])));
    assert!(shared.authenticate_as(&left.head(), &seen, later, None).is_err());
    // A wrong signature uses up no nonce.
    let mut wrong = with("n3", &end);
    wrong.method = "PUT";
    assert_eq!(refusal(&asked, wrong), Some(InvalidSignature::Wrong));
    assert_eq!(refusal(&asked, with("n3", &end)), None);
    // Without a nonce it is good as often as it comes, unless one is asked for.
    assert_eq!((refusal(&asked, good()), refusal(&asked, good())), (None, None));
    let strict = changed(|it| it.nonce = NonceNeed::Required);
    assert_eq!(refusal(&strict, good()), Some(InvalidSignature::NoNonce));
    assert_eq!(refusal(&strict, with("n1", &end)), None);
}

fn content_digest(body: &[u8]) -> String {
    let of = |algorithm| STANDARD.encode(digest(algorithm, body).as_ref());
    format!("sha-256=:{}:, sha-512=:{}:", of(&SHA256), of(&SHA512))
}

#[test]
fn a_covered_digest_is_the_bodys() {
    let with = |value: &str| {
        let sending = Sending::new(&ED25519).field("content-digest", value).covering("content-digest", value);
        sending.signed(&ED25519, Algorithm::EdDsa).ask(&usual()).map(|answer| answer.body)
    };
    let unsigned = Err(InvalidSignature::UnsignedBody);
    assert_eq!((SignedBody::Empty.check(b""), SignedBody::Empty.check(b"x")), (Ok(()), unsigned));
    let whole = content_digest(b"{}");
    let (short, long) = whole.split_once(", ").unwrap();
    for value in [whole.as_str(), short, long, &format!("md5=:AAAA:, {short}")] {
        let body = with(value).unwrap();
        assert_eq!(body.check(b"{}"), Ok(()), "{value}");
        for other in [&b"{} "[..], b"", b"{"] {
            assert_eq!(body.check(other), Err(InvalidSignature::OtherBody), "{value}");
        }
        assert!(matches!(body, SignedBody::Digest(digest) if digest.longest() == 1000));
    }
    // Of two digests both must be right.
    let mixed = format!("{short}, {}", content_digest(b"x").split_once(", ").unwrap().1);
    assert_eq!(with(&mixed).unwrap().check(b"{}"), Err(InvalidSignature::OtherBody));
    for value in
        ["", "md5=:AAAA:", "sha-256=:AAAA:", "sha-256=7", "sha-256", &format!("{short}, {short}"), "sha-256=(:AAAA:)"]
    {
        assert_eq!(with(value).unwrap_err(), InvalidSignature::ContentDigest.into(), "{value}");
    }
    // One that is not covered says nothing.
    let loose = good().field("content-digest", whole.as_str());
    assert_eq!(loose.ask(&usual()).unwrap().body, SignedBody::Empty);
    let free = changed(|it| it.body = BodyCover::Optional);
    assert_eq!(good().ask(&free).unwrap().body, SignedBody::Free);
    assert_eq!(SignedBody::Free.check(b"anything"), Ok(()));
    assert!(matches!(with(short).unwrap(), SignedBody::Digest(_)));
}

#[test]
fn a_token_and_a_signature_come_together_only_where_both_are_asked_for() {
    let settings = AuthenticatorSettings { issuers: vec![issuer(&[ES256.jwk("k1")])], ..signatures(|_| ()) };
    let asked = Authenticator::new(settings).unwrap();
    let bearer = |actor: &str| format!("Bearer {}", token(&header(), &with(claims(), json!({"act": {"sub": actor}}))));
    let ask = |sending: &Sending, rule: Option<&CredentialRule>| {
        let now = (Timestamp::from_seconds(NOW), Possession::ToProve);
        asked.authenticate_as(&sending.head(), &SeenCredential::default(), now, rule)
    };
    let (alone, token) = (good(), Sending::new(&ED25519).field("authorization", bearer("reader")));
    let both = || good().field("authorization", bearer("reader"));
    let (jwt, signature) = (CredentialKind::Jwt, CredentialKind::Signature);
    assert_eq!(ask(&both(), None).unwrap_err(), AuthenticationError::Several);
    let one_of = CredentialRule::OneOf([jwt, signature].into());
    assert_eq!(ask(&both(), Some(&one_of)).unwrap_err(), AuthenticationError::Several);
    assert!(ask(&alone, Some(&one_of)).is_ok() && ask(&token, Some(&one_of)).is_ok());
    assert!(ask(&alone, None).is_ok() && ask(&token, None).is_ok());
    let all_of = CredentialRule::AllOf([jwt, signature].into());
    let answer = ask(&both(), Some(&all_of)).unwrap();
    assert_eq!(members(&answer), "user:mara agent:reader");
    assert!(matches!(answer.credential.method, Method::Jwt { .. }) && answer.body == SignedBody::Empty);
    assert_eq!(answer.credential.expires.unwrap().seconds(), NOW + 90, "the end of both");
    assert_eq!(ask(&alone, Some(&all_of)).unwrap_err(), AuthenticationError::MissingKind(jwt));
    assert_eq!(ask(&token, Some(&all_of)).unwrap_err(), AuthenticationError::MissingKind(signature));
    let stolen = good().field("authorization", bearer("other"));
    assert!(matches!(ask(&stolen, Some(&all_of)).unwrap_err(), AuthenticationError::OtherSigner { .. }));
    // Neither is passed over for the other one.
    let bad_token = good().field("authorization", bearer("reader") + "x");
    assert!(matches!(ask(&bad_token, Some(&all_of)).unwrap_err(), AuthenticationError::Token(_)));
    let mut bad_signature = both();
    bad_signature.method = "PUT";
    assert_eq!(ask(&bad_signature, Some(&all_of)).unwrap_err(), InvalidSignature::Wrong.into());
    assert!(ask(&bad_signature, None).is_err() && ask(&bad_signature, Some(&one_of)).is_err());
    for (kinds, refused) in [([jwt], signature), ([signature], jwt)] {
        let rule = CredentialRule::AllOf(kinds.into());
        assert_eq!(ask(&both(), Some(&rule)).unwrap_err(), AuthenticationError::RefusedKind(refused));
    }
    let only = CredentialRule::OneOf([jwt].into());
    assert_eq!(ask(&alone, Some(&only)).unwrap_err(), AuthenticationError::RefusedKind(signature));
    // Bad ones are counted, like all others.
    let seen = SeenCredential::default();
    let wrong = Sending { method: "PUT", ..good() }.head();
    for _ in 0..10 {
        assert!(asked.authenticate(&wrong, &seen, Timestamp::from_seconds(NOW)).is_err());
    }
    assert!(seen.is_over());
    let off = Authenticator::new(AuthenticatorSettings { signatures: None, ..asked.settings().clone() }).unwrap();
    assert_eq!(alone.ask(&off).unwrap_err(), AuthenticationError::Missing);
    assert!(both().ask(&off).is_ok(), "where signatures are not configured they are anybody's");
}

#[test]
fn settings_of_signatures_are_bounded_and_told() {
    let refused = |change: fn(&mut SignatureSettings)| match Authenticator::new(signatures(change)) {
        Err(InvalidSettings::Signatures(problem)) => problem,
        other => panic!("{other:?}"),
    };
    use InvalidSignatureSettings as Invalid;
    assert_eq!(refused(|it| it.tag = "".into()), Invalid::Tag);
    assert_eq!(refused(|it| it.tag = "a\"b".into()), Invalid::Tag);
    assert_eq!(refused(|it| it.components = vec![]), Invalid::NoHost);
    assert_eq!(refused(|it| drop(it.components.remove(1))), Invalid::NoHost);
    let repeated = Invalid::RepeatedComponent(SignedComponent::Method);
    assert_eq!(refused(|it| it.components.push(SignedComponent::Method)), repeated);
    assert_eq!(refused(|it| it.max_lifetime = Duration::ZERO), Invalid::Lifetime);
    assert_eq!(refused(|it| it.max_lifetime = Duration::from_secs(86_401)), Invalid::Lifetime);
    assert_eq!(refused(|it| it.max_lifetime = Duration::from_millis(1500)), Invalid::Lifetime);
    assert_eq!(refused(|it| it.leeway = Duration::from_secs(121)), Invalid::Leeway);
    assert_eq!(refused(|it| it.agents.clear()), Invalid::NoAgent);
    let asked = usual();
    for field in ["signature", "signature-input", "signature-agent"] {
        let name = HeaderName::from_static(field);
        assert!(asked.credential_fields().contains(&name) && !crate::identity::may_carry(&name), "{field}");
    }
    let expected = "sig=(\"@method\" \"@authority\" \"@path\" \"@query\");created;expires;tag=\"web-bot-auth\"";
    assert_eq!(asked.challenges().signature().unwrap(), expected);
    let off = Authenticator::new(AuthenticatorSettings::default()).unwrap();
    assert!(off.challenges().signature().is_none() && off.credential_fields().is_empty());
    assert!(agent("agent:reader", &[ED25519.jwk("x")]).has_a_key());
    assert!(!agent("agent:reader", &[with(RSA.jwk("x"), json!({"alg": "PS256"}))]).has_a_key());
    assert!(keys_of(&[ED25519.jwk("a"), ES256.jwk("b")]).shares_a_key_with(&keys_of(&[ED25519.jwk("c")])));
    assert!(!keys_of(&[ED25519.jwk("a")]).shares_a_key_with(&keys_of(&[ES256.jwk("a")])));
}

#[test]
fn a_signature_with_any_one_byte_changed_is_refused() {
    let (asked, sending) = (usual(), good());
    for index in 0..2 {
        for byte in 0..sending.fields[index].1.len() {
            for flip in [0x01, 0x02, 0x20] {
                let mut changed = sending.fields[index].1.clone().into_bytes();
                changed[byte] ^= flip;
                let Ok(changed) = String::from_utf8(changed) else { continue };
                if changed.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
                    continue;
                }
                let mut other = good();
                other.fields[index].1.clone_from(&changed);
                // A label is only a name: where both fields have it changed alike nothing else is said.
                assert!(other.ask(&asked).is_err(), "{changed}");
            }
        }
    }
}

fn field_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("sig1=".to_owned()),
        Just("(\"@method\" \"@authority\" \"@path\" \"@query\")".to_owned()),
        Just(parameters(&ED25519, &[])),
        Just(";tag=\"web-bot-auth\"".to_owned()),
        Just(format!(";created={NOW}")),
        Just(good().fields[1].1.clone()),
        Just(", ".to_owned()),
        "[ -~]{0,12}",
        "[\\x20-\\x7e\\x80-\\xff]{0,6}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_but_a_signature_is_one(input in field_text(), signature in field_text(), agent in field_text()) {
        let asked = changed(|it| it.agents[0].origin = Some("https://reader.example".parse().unwrap()));
        let sending = Sending { method: "PUT", ..Sending::new(&ED25519) };
        let sending = sending.field("signature-input", input).field("signature", signature);
        prop_assert!(sending.field("signature-agent", agent).ask(&asked).is_err());
    }

    #[test]
    fn any_bytes_are_no_signature(input: Vec<u8>, signature: Vec<u8>) {
        let visible = |bytes: Vec<u8>| -> Vec<u8> {
            bytes.into_iter().map(|byte| if byte < 0x20 || byte == 0x7f { b'.' } else { byte }).collect()
        };
        let request = http::Request::get("/books/7?page=2").header("host", "ledger.harbor.example");
        let request = request.header("signature-input", visible(input)).header("signature", visible(signature));
        let head = CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Http).unwrap();
        prop_assert!(ask_at(&usual(), &head, NOW).is_err());
    }
}
