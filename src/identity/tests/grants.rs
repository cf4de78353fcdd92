//! What tokens grant beside their chain.

use serde_json::{Value, json};

use super::worlds::{ask, changed, claims, header, refusal, token, usual, with};
use crate::{
    access::{DetailField, Grants},
    identity::{Authenticator, AuthorizationDetails, InvalidToken},
};

fn grants(asked: &Authenticator, changes: Value) -> Option<Grants> {
    let answer = ask(asked, &token(&header(), &with(claims(), changes))).unwrap();
    answer.credential.grants.as_deref().cloned()
}

fn scopes(asked: &Authenticator, changes: Value) -> Vec<String> {
    let scopes = grants(asked, changes).map(|grants| grants.scopes).unwrap_or_default();
    scopes.iter().map(ToString::to_string).collect()
}

fn refused(changes: Value) -> Option<InvalidToken> {
    refusal(&usual(), &token(&header(), &with(claims(), changes)))
}

#[test]
fn scopes_are_the_words_of_a_text_or_of_an_array() {
    let asked = usual();
    for (claim, words) in [
        (json!("ledger.read ledger.write"), &["ledger.read", "ledger.write"][..]),
        (json!(["ledger.read", "https://x.example/a"]), &["ledger.read", "https://x.example/a"]),
        (json!(" ledger.read  ledger.write "), &["ledger.read", "ledger.write"]),
        (json!(""), &[]),
        (json!([]), &[]),
    ] {
        assert_eq!(scopes(&asked, json!({"scope": claim})), words, "{claim}");
    }
    assert_eq!(grants(&asked, json!({})), None);
}

#[test]
fn a_malformed_scope_claim_is_no_scope_claim_without_scopes() {
    let malformed = Some(InvalidToken::MalformedClaim("scope"));
    for claim in [
        json!(7),
        json!(null),
        json!({"read": true}),
        json!(["read", 7]),
        json!(["read write"]),
        json!([""]),
        json!([["read"]]),
        json!("re\"ad"),
        json!("re\\ad"),
        json!("l\u{e9}dger"),
        json!("read\twrite"),
        json!("s".repeat(257)),
    ] {
        // `with` removes what is null, so it is put there by hand.
        let mut all = claims();
        all["scope"] = claim.clone();
        assert_eq!(refusal(&usual(), &token(&header(), &all)), malformed, "{claim}");
    }
}

#[test]
fn the_claim_of_the_scopes_is_the_one_that_is_configured() {
    let asked = changed(|issuer| issuer.grants.scope_claim = "scp".into());
    assert_eq!(scopes(&asked, json!({"scp": ["read"], "scope": "write"})), ["read"]);
    assert_eq!(scopes(&asked, json!({"scope": "write"})), [""; 0]);
}

#[test]
fn authorization_details_are_read_whole() {
    let detail = json!({
        "type": "account", "actions": ["read"], "locations": ["https://x.example"], "datatypes": ["balance"],
        "identifier": "A-1", "privileges": ["auditor"], "amount": {"value": 1},
    });
    let grants = grants(&usual(), json!({"authorization_details": [detail]})).unwrap();
    let details = grants.details.unwrap();
    assert_eq!((details.len(), &*details[0].kind), (1, "account"));
    assert_eq!(details[0].values(DetailField::Identifier).unwrap()[0], "A-1".into());
    assert_eq!(details[0].fields.len(), DetailField::ALL.len());
    assert_eq!(details[0].others, ["amount".into()]);
    assert_eq!(
        super::grants::grants(&usual(), json!({"authorization_details": []})).unwrap().details,
        Some(Vec::new())
    );
}

#[test]
fn malformed_authorization_details_are_no_freedom() {
    let malformed = Some(InvalidToken::MalformedClaim("authorization_details"));
    let many: Vec<Value> = (0..65).map(|_| json!({"type": "t"})).collect();
    for claim in [
        json!({}),
        json!("account"),
        json!(["account"]),
        json!([{}]),
        json!([{"type": ""}]),
        json!([{"type": 7}]),
        json!([{"type": "t", "actions": "read"}]),
        json!([{"type": "t", "actions": [7]}]),
        json!([{"type": "t", "identifier": ["A-1"]}]),
        json!([{"type": "t"}, {"type": null}]),
        json!(many),
    ] {
        assert_eq!(refused(json!({"authorization_details": claim})), malformed, "{claim}");
    }
    assert_eq!(refused(json!({"authorization_details": many[1..]})), None);
}

#[test]
fn authorization_details_of_others_can_be_left_out() {
    let asked = changed(|issuer| issuer.grants.details = AuthorizationDetails::Ignore);
    assert_eq!(grants(&asked, json!({"authorization_details": [{"type": "payment"}]})), None);
}
