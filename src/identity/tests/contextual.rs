//! Groups and roles of a token as contextual tuples.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    minting::{ES256, OTHER_ES256},
    worlds::{ask, authenticator, changed, claims, header, issuer, token, token_by, with},
};
use crate::identity::{
    Algorithm, AuthenticationError, Authenticator, ClaimPresence, InvalidMapping, InvalidTupleClaim, TupleMapping,
};

fn mapping(claim: &[&str], object: &str) -> TupleMapping {
    let claim = claim.iter().map(|name| Box::from(*name));
    TupleMapping::new(claim, "member".parse().unwrap(), object.parse().unwrap()).unwrap()
}

fn asking(mapping: TupleMapping) -> Authenticator {
    changed(|settings| settings.contextual = vec![mapping])
}

fn groups() -> Authenticator {
    asking(mapping(&["groups"], "group:{it}"))
}

/// The tuples of a token with these changes, and why it is refused.
fn told(asked: &Authenticator, changes: Value) -> Result<Vec<String>, InvalidTupleClaim> {
    let mut all = claims();
    // `with` removes what is null.
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    match ask(asked, &token(&header(), &all)) {
        Ok(answer) => {
            Ok(answer.credential.contextual.iter().flat_map(|told| told.iter()).map(ToString::to_string).collect())
        }
        Err(AuthenticationError::ContextualTuples(refusal)) => Err(refusal),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_value_of_the_claim_is_a_tuple_of_the_subject() {
    let asked = groups();
    for (claim, tuples) in [
        (json!("eng"), &["user:mara member group:eng"][..]),
        (json!(["eng", "/sales/emea"]), &["user:mara member group:eng", "user:mara member group:/sales/emea"]),
        (json!(["eng", "eng"]), &["user:mara member group:eng"]),
        (json!(["größe", "a@b.example"]), &["user:mara member group:größe", "user:mara member group:a@b.example"]),
        (json!([]), &[]),
    ] {
        assert_eq!(told(&asked, json!({"groups": claim})).unwrap(), tuples, "{claim}");
    }
    assert_eq!(told(&asked, json!({})), Ok(Vec::new()));
    // The actors of the chain have nothing of it.
    let acted = told(&asked, json!({"groups": ["eng"], "act": {"sub": "planner", "groups": ["admins"]}}));
    assert_eq!(acted.unwrap(), ["user:mara member group:eng"]);
}

#[test]
fn a_token_without_such_claims_has_nothing_to_keep() {
    let answer = ask(&groups(), &token(&header(), &claims())).unwrap();
    assert!(answer.credential.contextual.is_none());
    // What a token tells is computed once: the answers share it.
    let (asked, text) = (groups(), token(&header(), &with(claims(), json!({"groups": ["eng"]}))));
    let (one, other) = (ask(&asked, &text).unwrap(), ask(&asked, &text).unwrap());
    assert!(std::sync::Arc::ptr_eq(
        one.credential.contextual.as_ref().unwrap(),
        other.credential.contextual.as_ref().unwrap()
    ));
}

#[test]
fn a_value_that_would_change_the_meaning_of_an_id_is_refused() {
    let asked = groups();
    for value in ["", "*", "a#member", "a:b", "a b", "a\tb", "a\u{0}b", "a\u{202e}b", "a\u{a0}b", &"g".repeat(257)] {
        for claim in [json!(value), json!(["eng", value])] {
            let refused = told(&asked, json!({"groups": claim}));
            assert!(matches!(refused, Err(InvalidTupleClaim::Value { .. })), "{claim}: {refused:?}");
        }
    }
    let longest = "g".repeat(250);
    assert_eq!(told(&asked, json!({"groups": longest})).unwrap().len(), 1);
}

#[test]
fn a_malformed_or_endless_claim_is_refused() {
    let asked = groups();
    let malformed = Err(InvalidTupleClaim::Malformed("groups".into()));
    for claim in [json!(7), json!(null), json!(true), json!({"eng": true}), json!(["eng", 7]), json!([["eng"]])] {
        assert_eq!(told(&asked, json!({"groups": claim})), malformed, "{claim}");
    }
    let many = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(told(&asked, json!({"groups": many(256)})).unwrap().len(), 256);
    assert_eq!(told(&asked, json!({"groups": many(257)})), Err(InvalidTupleClaim::TooMany("groups".into())));
}

#[test]
fn a_claim_that_is_elsewhere_or_must_be_there_is_not_taken_for_an_empty_one() {
    let elsewhere = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}});
    assert_eq!(told(&groups(), elsewhere), Err(InvalidTupleClaim::Elsewhere("groups".into())));
    assert_eq!(told(&groups(), json!({"_claim_names": {"roles": "src1"}})), Ok(Vec::new()));
    let required = asking(mapping(&["groups"], "group:{it}").with_presence(ClaimPresence::Required));
    assert_eq!(told(&required, json!({})), Err(InvalidTupleClaim::Missing("groups".into())));
    assert_eq!(told(&required, json!({"groups": []})), Ok(Vec::new()));
}

#[test]
fn claims_may_be_nested_and_objects_may_need_other_claims() {
    let nested = asking(mapping(&["realm_access", "roles"], "role:{it}"));
    assert_eq!(told(&nested, json!({"realm_access": {"roles": ["a"]}})).unwrap(), ["user:mara member role:a"]);
    assert_eq!(told(&nested, json!({"realm_access.roles": ["a"]})), Ok(Vec::new()));
    let malformed = Err(InvalidTupleClaim::Malformed("realm_access.roles".into()));
    assert_eq!(told(&nested, json!({"realm_access": "a"})), malformed);
    let of_tenant = asking(mapping(&["groups"], "group:{tid}/{it}"));
    assert_eq!(told(&of_tenant, json!({"groups": "a", "tid": "t1"})).unwrap(), ["user:mara member group:t1/a"]);
    for tenant in [json!("t/1"), json!(7), json!("")] {
        assert!(told(&of_tenant, json!({"groups": "a", "tid": tenant})).is_err(), "{tenant}");
    }
    assert!(told(&of_tenant, json!({"groups": "a"})).is_err());
}

#[test]
fn values_can_be_named_and_the_others_passed_over() {
    let values = BTreeMap::from([("Sales Team".into(), "sales".into()), ("6f1d".into(), "eng".into())]);
    let asked = asking(mapping(&["groups"], "group:{it}").with_values(values));
    let tuples = told(&asked, json!({"groups": ["Everyone", "Sales Team", "6f1d", "sales", "*"]})).unwrap();
    assert_eq!(tuples, ["user:mara member group:sales", "user:mara member group:eng"]);
}

#[test]
fn only_the_issuer_of_the_mapping_tells() {
    let mut one = issuer(&[ES256.jwk("k1")]);
    one.contextual = vec![mapping(&["groups"], "group:{it}")];
    let mut other = issuer(&[OTHER_ES256.jwk("k1")]);
    other.issuer = "https://other.example".into();
    let asked = authenticator(vec![one, other]);
    let claims = with(claims(), json!({"groups": ["eng"]}));
    assert!(ask(&asked, &token(&header(), &claims)).unwrap().credential.contextual.is_some());
    let claims = with(claims, json!({"iss": "https://other.example"}));
    let foreign = token_by(&OTHER_ES256, Algorithm::Es256, &header(), &claims);
    assert!(ask(&asked, &foreign).unwrap().credential.contextual.is_none());
}

#[test]
fn a_mapping_names_a_claim_and_its_value() {
    let new = |claim: &[&str], object: &str| {
        TupleMapping::new(claim.iter().map(|name| Box::from(*name)), "member".parse().unwrap(), object.parse().unwrap())
    };
    assert_eq!(new(&[], "group:{it}"), Err(InvalidMapping::NoClaim));
    assert_eq!(new(&["a", ""], "group:{it}"), Err(InvalidMapping::NoClaim));
    assert_eq!(new(&["groups"], "group:{groups}"), Err(InvalidMapping::NoValue("group:{groups}".to_owned())));
}
