//! Whose a key is that several publish, members of dictionaries, nonces by agent, and what a request has proved.

use http::HeaderName;
use serde_json::json;

use super::{
    minting::{ED25519, ES256, OTHER_ES256},
    signed_requests::{Sending, agent, changed, good, parameters, refusal, signatures, usual},
    worlds::{NOW, claims, header, issuer, members, token, with},
};
use crate::{
    access::{ActorMode, CanonicalRequest, CredentialKind, CredentialRule, Reason, Timestamp},
    identity::{
        Algorithm, Authenticated, AuthenticationError, Authenticator, AuthenticatorSettings, InvalidSignature,
        Possession, Proven, SeenCredential, SigningAgent, once::SeenOnce, signature::Signers,
    },
};

const READER: &str = "https://reader.example";
const THIEF: &str = "https://thief.example";

/// An agent whose keys come from a directory of this origin.
fn published(subject: &str, origin: &str) -> SigningAgent {
    SigningAgent { origin: Some(origin.parse().unwrap()), ..agent(subject, &[ED25519.jwk("k1")]) }
}

/// A request whose `Signature-Agent` is this dictionary, of which the signature covers the member `key`.
fn naming(field: &str, key: &str) -> Sending {
    let member = field.split(", ").find_map(|member| member.strip_prefix(&format!("{key}=")));
    let name: &'static str = format!("signature-agent\";key=\"{key}").leak();
    Sending::new(&ED25519).field("signature-agent", field).covering(name, member.unwrap_or_default())
}

#[test]
fn a_key_of_a_file_is_its_agents_whatever_directories_publish() {
    for agents in [
        vec![agent("agent:reader", &[ED25519.jwk("k1")]), published("agent:thief", THIEF)],
        vec![published("agent:thief", THIEF), agent("agent:reader", &[ED25519.jwk("k1")])],
        vec![
            published("agent:thief", THIEF),
            published("agent:other", READER),
            agent("agent:reader", &[ED25519.jwk("k1")]),
        ],
    ] {
        let asked = changed(|it| it.agents = agents.clone());
        assert_eq!(refusal(&asked, good()), None);
        // Nor does a name make it the directory's.
        let named = good().field("signature-agent", format!("\"{THIEF}\""));
        assert_eq!(refusal(&asked, named), None);
    }
    let both = [ED25519.jwk("k1")];
    let files = changed(|it| it.agents = vec![agent("agent:reader", &both), agent("agent:thief", &both)]);
    assert_eq!(refusal(&files, good()), Some(InvalidSignature::SharedKey));
}

#[test]
fn between_directories_the_covered_name_says_whose_key_it_is() {
    let asked = changed(|it| it.agents = vec![published("agent:thief", THIEF), published("agent:reader", READER)]);
    assert_eq!(refusal(&asked, good()), Some(InvalidSignature::SharedKey));
    // A name that is not signed may be anybody's.
    let loose = good().field("signature-agent", format!("\"{READER}\""));
    assert_eq!(refusal(&asked, loose), Some(InvalidSignature::SharedKey));
    let by = |sending: Sending| {
        let answer = sending.signed(&ED25519, Algorithm::EdDsa).ask(&asked);
        answer.map(|answer| members(&answer)).map_err(|error| match error {
            AuthenticationError::Signature(problem) => problem,
            other => panic!("{other}"),
        })
    };
    let item = Sending::new(&ED25519).field("signature-agent", format!("\"{READER}\""));
    assert_eq!(by(item.covering("signature-agent", format!("\"{READER}\""))), Ok("agent:reader".to_owned()));
    let member = naming(&format!("other=\"{THIEF}\", own=\"{READER}\""), "own");
    assert_eq!(by(member), Ok("agent:reader".to_owned()));
    let thief = naming(&format!("other=\"{THIEF}\", own=\"{READER}\""), "other");
    assert_eq!(by(thief), Ok("agent:thief".to_owned()), "whoever has the key says it");
    let stranger = naming("own=\"https://stranger.example\"", "own");
    assert_eq!(by(stranger), Err(InvalidSignature::SharedKey));
    let twins = changed(|it| it.agents = vec![published("agent:thief", READER), published("agent:reader", READER)]);
    let named = Sending::new(&ED25519).field("signature-agent", format!("\"{READER}\""));
    let named = named.covering("signature-agent", format!("\"{READER}\"")).signed(&ED25519, Algorithm::EdDsa);
    assert_eq!(refusal(&twins, named), Some(InvalidSignature::SharedKey));
    // One directory alone needs no name, and a wrong one is refused.
    let alone = changed(|it| it.agents = vec![published("agent:reader", READER)]);
    assert_eq!(refusal(&alone, good()), None);
    let wrong = naming(&format!("own=\"{THIEF}\""), "own").signed(&ED25519, Algorithm::EdDsa);
    assert_eq!(refusal(&alone, wrong), Some(InvalidSignature::OtherAgent));
    let missing = naming(&format!("own=\"{READER}\""), "gone").signed(&ED25519, Algorithm::EdDsa);
    assert!(matches!(refusal(&alone, missing), Some(InvalidSignature::MissingMember(..))));
}

/// A request with this field, of which the signature covers the member `b` as this text.
fn member(field: &str, covered: &str) -> Sending {
    let mut sending = Sending::new(&ED25519).field("x-parts", field).covering("x-parts\";key=\"b", covered);
    let names: Vec<_> = sending.covered.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    sending.named = Some(names.join(" "));
    sending
}

#[test]
fn a_covered_member_is_signed_in_its_one_spelling() {
    for (field, covered) in [
        ("a=1, b=2", "2"),
        ("b=2;p;q=\"x\"", "2;p;q=\"x\""),
        ("b", "?1"),
        ("b;p=1", "?1;p=1"),
        ("b=?0", "?0"),
        ("b=1.50", "1.5"),
        ("b=( \"x\"   y;p );z", "(\"x\" y;p);z"),
        ("b=()", "()"),
        ("b=:AAE=:", ":AAE=:"),
        ("c=7,b=token", "token"),
    ] {
        assert_eq!(member(field, covered).refusal(), None, "{field}");
        assert_eq!(member(field, "7").refusal(), Some(InvalidSignature::Wrong), "{field}");
    }
    // What is beside it is not signed, and what it is, is.
    let mut replaced = member("a=1, b=2", "2").signed(&ED25519, Algorithm::EdDsa);
    replaced.fields[0].1 = "a=7, b=2".to_owned();
    assert_eq!(refusal(&usual(), replaced), None);
    let mut replaced = member("a=1, b=2", "2").signed(&ED25519, Algorithm::EdDsa);
    replaced.fields[0].1 = "a=1, b=3".to_owned();
    assert_eq!(refusal(&usual(), replaced), Some(InvalidSignature::Wrong));
    for field in ["a=1", "", "a=(b)"] {
        assert!(matches!(member(field, "2").refusal(), Some(InvalidSignature::MissingMember(..))), "{field}");
    }
    for field in ["b=2, b=2", "b=", "\"text\"", "b=2,", "B=2"] {
        assert!(matches!(member(field, "2").refusal(), Some(InvalidSignature::Malformed(_))), "{field}");
    }
    let missing = Some(InvalidSignature::MissingField(HeaderName::from_static("x-parts")));
    let mut gone = member("b=2", "2");
    gone.fields.clear();
    assert_eq!(gone.refusal(), missing);
    assert!(matches!(member("b=2", "2").field("x-parts", "b=2").refusal(), Some(InvalidSignature::CoveredField(_))));
    // Neither a derived component nor a field that ends here has members, and a key has the form of one.
    for name in [
        "\"@query\";key=\"b\"",
        "\"connection\";key=\"b\"",
        "\"signature\";key=\"sig1\"",
        "\"x-parts\";key=\"B\"",
        "\"x-parts\";key=\"\"",
        "\"x-parts\";key=\"b\" \"x-parts\";key=\"b\"",
    ] {
        let mut sending = member("b=2", "2");
        let named = sending.named.unwrap();
        sending.named = Some(named.replace("\"x-parts\";key=\"b\"", name));
        assert!(matches!(sending.refusal(), Some(InvalidSignature::Component(_))), "{name}");
    }
    // The whole field and one of its members are two components.
    let mut both = member("a=1, b=2", "2").covering("x-parts", "a=1, b=2");
    both.named = both.named.map(|named| named + " \"x-parts\"");
    assert_eq!(both.refusal(), None);
}

#[test]
fn a_nonce_is_remembered_until_its_signature_ends_and_in_the_share_of_its_agent() {
    let settings = signatures(|it| it.agents.push(agent("agent:third", &[OTHER_ES256.jwk("k3")])));
    let signers = Signers::new(&settings.signatures.unwrap(), ActorMode::All);
    let (nonces, at) = (SeenOnce::default(), Timestamp::from_seconds);
    let (share, reader) = (SeenOnce::share_of(3), "agent:reader".parse().unwrap());
    for number in 1..SeenOnce::share_of(1) / 2 {
        let mut others = [0; 32];
        others[..8].copy_from_slice(&number.to_be_bytes());
        assert_eq!(nonces.first(others, (&reader, share), at(NOW + 1000), at(NOW)), Ok(()));
    }
    let verify = |nonce: &str, end: i64, now: i64| {
        let changes = [("nonce", &*format!("\"{nonce}\"")), ("expires", &*(NOW + end).to_string())];
        let sending = Sending { parameters: parameters(&ED25519, &changes), ..Sending::new(&ED25519) };
        let head = sending.signed(&ED25519, Algorithm::EdDsa).head();
        signers.verify(&head, &nonces, (at(now), Possession::ToProve)).map(drop)
    };
    assert_eq!(verify("n1", 60, NOW), Ok(()));
    // There is no room for another one as long as the first one's signature is good.
    assert_eq!(verify("n2", 200, NOW + 89), Err(InvalidSignature::NoRoom));
    assert_eq!(verify("n1", 60, NOW + 89), Err(InvalidSignature::Replayed));
    let changes = [("nonce", "\"n2\"")];
    let other = Sending { parameters: parameters(&OTHER_ES256, &changes), ..Sending::new(&OTHER_ES256) };
    let other = other.signed(&OTHER_ES256, Algorithm::Es256).head();
    assert!(signers.verify(&other, &nonces, (at(NOW), Possession::ToProve)).is_ok(), "another agent has its own");
    let mut by_second_key = Sending { parameters: parameters(&ES256, &changes), ..Sending::new(&ES256) };
    by_second_key = by_second_key.signed(&ES256, Algorithm::Es256);
    let refused = signers.verify(&by_second_key.head(), &nonces, (at(NOW), Possession::ToProve)).map(drop);
    assert_eq!(refused, Err(InvalidSignature::NoRoom), "all keys of one agent have one share");
    assert_eq!(verify("n2", 200, NOW + 91), Ok(()));
}

#[test]
fn no_room_is_no_bad_credential() {
    let error = AuthenticationError::from(InvalidSignature::NoRoom);
    assert_eq!(error.reason(), Reason::TooManyProofs);
    assert_eq!(AuthenticationError::from(InvalidSignature::Replayed).reason(), Reason::InvalidCredential);
}

fn again(
    asked: &Authenticator,
    head: &CanonicalRequest,
    proven: Proven,
    rule: Option<&CredentialRule>,
) -> Result<Authenticated, AuthenticationError> {
    let now = (Timestamp::from_seconds(NOW), Possession::Proven(proven));
    asked.authenticate_as(head, &SeenCredential::default(), now, rule)
}

#[test]
fn a_reload_does_not_make_a_proof_of_fields_that_nobody_looked_at() {
    let issuers = vec![issuer(&[ES256.jwk("k1")])];
    let of_tokens = AuthenticatorSettings { issuers: issuers.clone(), ..Default::default() };
    let asked = Authenticator::new(of_tokens).unwrap();
    let bearer = format!("Bearer {}", token(&header(), &with(claims(), json!({"act": {"sub": "reader"}}))));
    // The signature is made up: only its key is named.
    let mut forged = good();
    forged.fields.last_mut().unwrap().1 = "sig1=:AAAA:".to_owned();
    let head = forged.field("authorization", &*bearer).head();
    let first = asked.authenticate(&head, &SeenCredential::default(), Timestamp::from_seconds(NOW)).unwrap();
    assert_eq!(members(&first), "user:mara agent:reader");
    assert!(again(&asked, &head, first.proven, None).is_ok());
    // Signatures instead of tokens: the named agent did not send this.
    let next = Authenticator::after(signatures(|_| ()), &asked).unwrap();
    assert_eq!(again(&next, &head, first.proven, None).unwrap_err(), InvalidSignature::Unproven.into());
    // Signatures beside tokens: this one was never verified.
    let both = AuthenticatorSettings { issuers, ..signatures(|_| ()) };
    let next = Authenticator::after(both, &asked).unwrap();
    let rule = CredentialRule::AllOf([CredentialKind::Jwt, CredentialKind::Signature].into());
    let refused = again(&next, &head, first.proven, Some(&rule)).unwrap_err();
    assert_eq!(refused, InvalidSignature::Unproven.into());
    // One that was is believed, of its own key alone.
    let signed = good().field("authorization", &*bearer).head();
    let now = (Timestamp::from_seconds(NOW), Possession::ToProve);
    let first = next.authenticate_as(&signed, &SeenCredential::default(), now, Some(&rule)).unwrap();
    assert!(again(&next, &signed, first.proven, Some(&rule)).is_ok());
    let other = Sending::new(&ES256).signed(&ES256, Algorithm::Es256).field("authorization", &*bearer).head();
    let refused = again(&next, &other, first.proven, Some(&rule)).unwrap_err();
    assert_eq!(refused, InvalidSignature::Unproven.into());
}
