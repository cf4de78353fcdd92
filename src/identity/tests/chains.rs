//! From claims to the chain of subject, actors and task.

use serde_json::{Value, json};

use super::worlds::{ask, changed, claims, header, issuer, members, token, usual, with};
use crate::{
    access::{ActorMode, Reason},
    identity::{
        Authenticated, AuthenticationError, Authenticator, AuthenticatorSettings, ChainSettings, EntityTemplate,
        InvalidChain, InvalidEntityTemplate,
    },
};

fn answer(asked: &Authenticator, changes: Value) -> Result<Authenticated, AuthenticationError> {
    ask(asked, &token(&header(), &with(claims(), changes)))
}

fn chain_of(asked: &Authenticator, changes: Value) -> String {
    members(&answer(asked, changes).unwrap())
}

fn refused(asked: &Authenticator, changes: Value) -> InvalidChain {
    let error = answer(asked, changes).unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidCredential);
    match error {
        AuthenticationError::Chain(refusal) => refusal,
        other => panic!("{other}"),
    }
}

fn chained(change: impl FnOnce(&mut ChainSettings)) -> Authenticator {
    changed(|settings| change(&mut settings.chain))
}

#[test]
fn the_outermost_actor_is_the_current_one() {
    let asked = usual();
    assert_eq!(chain_of(&asked, json!({"act": {"sub": "coder"}})), "user:mara agent:coder");
    let nested = json!({"act": {"sub": "coder", "act": {"sub": "planner", "iss": "https://x.example"}}});
    let answer = answer(&asked, nested).unwrap();
    assert_eq!(members(&answer), "user:mara agent:coder agent:planner");
    assert_eq!(answer.principal.current_actor().unwrap().as_str(), "agent:coder");
}

#[test]
fn the_mode_comes_from_the_settings() {
    let issuers = vec![issuer(&[super::minting::ES256.jwk("k1")])];
    let settings = AuthenticatorSettings { issuers, api_keys: None, actor_mode: ActorMode::Current };
    let asked = Authenticator::new(settings).unwrap();
    let nested = json!({"act": {"sub": "coder", "act": {"sub": "planner"}}});
    assert_eq!(chain_of(&asked, nested.clone()), "user:mara agent:coder");
    assert_eq!(answer(&asked, nested).unwrap().principal.actors().len(), 2);
}

#[test]
fn a_chain_has_a_greatest_length() {
    let nested = |depth: usize| {
        (0..depth).fold(Value::Null, |act, hop| match act {
            Value::Null => json!({"sub": format!("a{hop}")}),
            act => json!({"sub": format!("a{hop}"), "act": act}),
        })
    };
    assert_eq!(chain_of(&usual(), json!({"act": nested(3)})), "user:mara agent:a2 agent:a1 agent:a0");
    assert_eq!(refused(&usual(), json!({"act": nested(4)})), InvalidChain::TooManyActors(3));
    let none = chained(|chain| chain.max_actors = 0);
    assert_eq!(refused(&none, json!({"act": nested(1)})), InvalidChain::TooManyActors(0));
    assert_eq!(chain_of(&none, json!({})), "user:mara");
    let seven = chained(|chain| chain.max_actors = 7);
    assert_eq!(answer(&seven, json!({"act": nested(7)})).unwrap().principal.actors().len(), 7);
}

#[test]
fn a_malformed_actor_is_refused_and_not_skipped() {
    let asked = usual();
    for act in [json!("coder"), json!(["coder"]), json!(7), json!(false)] {
        assert_eq!(refused(&asked, json!({"act": act})), InvalidChain::MalformedActor);
        assert_eq!(refused(&asked, json!({"act": {"sub": "coder", "act": act}})), InvalidChain::MalformedActor);
    }
    assert_eq!(refused(&asked, json!({"act": {"sub": "coder", "act": null}})), InvalidChain::MalformedActor);
    assert_eq!(refused(&asked, json!({"act": {}})), InvalidChain::MissingClaim("sub".into()));
    assert_eq!(refused(&asked, json!({"act": {"client_id": "coder"}})), InvalidChain::MissingClaim("sub".into()));
    let malformed = InvalidChain::MalformedClaim("sub".into());
    let long = "a".repeat(400);
    for sub in
        [json!(""), json!(7), json!(null), json!(["coder"]), json!("*"), json!("a*"), json!("user:root"), json!("a#b")]
    {
        assert_eq!(refused(&asked, json!({"act": {"sub": sub}})), malformed, "{sub}");
    }
    for sub in ["a b", "a\tb", "a\nb", "a\u{0}b", "a\u{a0}b", "a\u{200d}b", "a\u{feff}", " a"] {
        assert_eq!(refused(&asked, json!({"act": {"sub": sub}})), malformed, "{sub:?}");
    }
    assert_eq!(refused(&asked, json!({"act": {"sub": long}})), InvalidChain::NoEntity("agent:{sub}".into()));
}

#[test]
fn an_actor_never_goes_unseen() {
    let asked = chained(|chain| chain.actor = None);
    assert_eq!(refused(&asked, json!({"act": {"sub": "coder"}})), InvalidChain::UnexpectedActor);
    assert_eq!(chain_of(&asked, json!({})), "user:mara");
}

#[test]
fn a_task_is_used_if_its_claim_is_there() {
    assert_eq!(chain_of(&usual(), json!({"task": "t-42"})), "user:mara task:t-42");
    for task in [json!(""), json!(42), json!(["t-42"]), json!("*"), json!("a b"), json!("a:b")] {
        assert_eq!(refused(&usual(), json!({"task": task})), InvalidChain::MalformedClaim("task".into()), "{task}");
    }
    let off = chained(|chain| chain.task = None);
    assert_eq!(chain_of(&off, json!({"task": "t-42"})), "user:mara");
    let two = chained(|chain| chain.task = Some("task:{tenant}/{task}".parse().unwrap()));
    assert_eq!(chain_of(&two, json!({"task": "t-42", "tenant": "harbor"})), "user:mara task:harbor/t-42");
    assert_eq!(refused(&two, json!({"task": "t-42"})), InvalidChain::MissingClaim("tenant".into()));
    assert_eq!(chain_of(&two, json!({})), "user:mara");
}

#[test]
fn two_claims_cannot_move_the_border_between_them() {
    let asked = chained(|chain| chain.subject = "user:{tenant}/{sub}".parse().unwrap());
    assert_eq!(chain_of(&asked, json!({"tenant": "harbor", "sub": "mara"})), "user:harbor/mara");
    let moved = refused(&asked, json!({"tenant": "harbor/mara", "sub": "x"}));
    assert_eq!(moved, InvalidChain::MalformedClaim("tenant".into()));
}

#[test]
fn a_client_that_is_an_agent_is_never_taken_for_the_human() {
    let asked = chained(|chain| {
        chain.client = Some("agent:{client_id}".parse().unwrap());
        chain.human_clients = vec!["harbor-web".into()];
    });
    assert_eq!(chain_of(&asked, json!({"client_id": "coder"})), "user:mara agent:coder");
    assert_eq!(chain_of(&asked, json!({"client_id": "harbor-web"})), "user:mara");
    assert_eq!(chain_of(&asked, json!({"client_id": "Harbor-Web"})), "user:mara agent:Harbor-Web");
    assert_eq!(chain_of(&asked, json!({"client_id": "coder", "act": {"sub": "planner"}})), "user:mara agent:planner");
    assert_eq!(refused(&asked, json!({})), InvalidChain::MissingClaim("client_id".into()));
    for client in [json!(7), json!("*"), json!(["harbor-web"]), json!("")] {
        let malformed = InvalidChain::MalformedClaim("client_id".into());
        assert_eq!(refused(&asked, json!({"client_id": client})), malformed, "{client}");
    }
}

#[test]
fn an_agent_that_acts_for_itself_is_one_member() {
    let asked = chained(|chain| {
        chain.subject = "agent:{sub}".parse().unwrap();
        chain.client = Some("agent:{client_id}".parse().unwrap());
    });
    assert_eq!(chain_of(&asked, json!({"sub": "coder", "client_id": "coder"})), "agent:coder");
}

#[test]
fn a_template_names_a_type_and_a_claim() {
    let parse = |text: &str| text.parse::<EntityTemplate>();
    assert_eq!(parse("user:{sub}").unwrap().type_name(), "user");
    assert_eq!(parse("user:{iss_name}/{sub}").unwrap().to_string(), "user:{iss_name}/{sub}");
    assert_eq!(parse("user:everyone"), Err(InvalidEntityTemplate::NoClaim("user:everyone".to_owned())));
    for text in ["{type}:{sub}", "{sub}", "user{sub}"] {
        assert_eq!(parse(text), Err(InvalidEntityTemplate::NoType(text.to_owned())), "{text}");
    }
    for text in ["user:{}", "user:{sub", "user:{a}{b}"] {
        assert!(matches!(parse(text), Err(InvalidEntityTemplate::Template(_))), "{text}");
    }
    for text in ["user:x:{sub}", "us er:{sub}", ":{sub}", "user:{sub}#member", "user: {sub}"] {
        assert!(matches!(parse(text), Err(InvalidEntityTemplate::NoEntity { .. })), "{text}");
    }
}
