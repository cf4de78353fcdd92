//! JWT-SVIDs: tokens whose subject is a SPIFFE ID.

use serde_json::{Value, json};

use super::worlds::{ask, changed, claims, header, members, token, with};
use crate::identity::{
    AuthenticationError, Authenticator, InvalidChain, InvalidSpiffeId, InvalidToken, SpiffeSubject, SpiffeSubjects,
    SubjectRule,
};

fn asked() -> Authenticator {
    changed(|issuer| {
        issuer.chain.subject = SubjectRule::Spiffe(SpiffeSubjects {
            trust_domain: "harbor.example".parse().unwrap(),
            subjects: vec![SpiffeSubject::parse("/agents/{name}", "agent:{name}").unwrap()],
        });
    })
}

fn with_subject(sub: Value) -> Result<String, AuthenticationError> {
    ask(&asked(), &token(&header(), &with(claims(), json!({"sub": sub})))).map(|answer| members(&answer))
}

// The rule: as any token, and `sub` is a SPIFFE ID of the issuer's own trust domain; `aud` must be there.
#[test]
fn the_subject_is_a_spiffe_id_of_the_issuers_trust_domain() {
    assert_eq!(with_subject(json!("spiffe://harbor.example/agents/writer")).unwrap(), "agent:writer");
    for (sub, refusal) in [
        ("writer", InvalidChain::SpiffeId(InvalidSpiffeId::Scheme)),
        ("https://harbor.example/agents/writer", InvalidChain::SpiffeId(InvalidSpiffeId::Scheme)),
        ("spiffe://Harbor.example/agents/writer", InvalidChain::SpiffeId(InvalidSpiffeId::TrustDomain)),
        ("spiffe://harbor.example/agents/../writer", InvalidChain::SpiffeId(InvalidSpiffeId::Path)),
        ("spiffe://depot.example/agents/writer", InvalidChain::OtherTrustDomain),
        ("spiffe://sub.harbor.example/agents/writer", InvalidChain::OtherTrustDomain),
        ("spiffe://harbor.example/robots/writer", InvalidChain::NoSpiffeSubject),
        ("spiffe://harbor.example", InvalidChain::NoSpiffeSubject),
    ] {
        assert_eq!(with_subject(json!(sub)).unwrap_err(), AuthenticationError::Chain(refusal), "{sub}");
    }
    for sub in [json!(7), json!(["spiffe://harbor.example/agents/writer"]), json!("")] {
        let refused = with_subject(sub).unwrap_err();
        assert_eq!(refused, AuthenticationError::Token(InvalidToken::MalformedClaim("sub")));
    }
    let id = "spiffe://harbor.example/agents/writer";
    let nobodys = token(&header(), &with(claims(), json!({"sub": id, "aud": null})));
    let refused = ask(&asked(), &nobodys).map(drop).unwrap_err();
    assert_eq!(refused, AuthenticationError::Token(InvalidToken::MissingClaim("aud")));
}

#[test]
fn a_workload_may_say_that_it_is_no_human() {
    let id = "spiffe://harbor.example/agents/writer";
    let said = token(&header(), &with(claims(), json!({"sub": id, "sub_entity_type": "agent"})));
    assert_eq!(members(&ask(&asked(), &said).unwrap()), "agent:writer");
}

#[test]
fn a_spiffe_id_is_no_other_issuers_subject() {
    let said = token(&header(), &with(claims(), json!({"sub": "spiffe://harbor.example/agents/writer"})));
    assert!(matches!(ask(&changed(|_| ()), &said), Err(AuthenticationError::Chain(InvalidChain::MalformedClaim(_)))));
}
