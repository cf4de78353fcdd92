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
    let settings = AuthenticatorSettings { issuers, actor_mode: ActorMode::Current, ..Default::default() };
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
    assert_eq!(refused(&asked, json!({})), InvalidChain::MissingClaim("client_id".into()));
    for client in [json!(7), json!("*"), json!(["harbor-web"]), json!("")] {
        let malformed = InvalidChain::MalformedClaim("client_id".into());
        assert_eq!(refused(&asked, json!({"client_id": client})), malformed, "{client}");
    }
}

#[test]
fn the_client_is_the_current_actor_where_both_are_named() {
    let asked = chained(|chain| {
        chain.client = Some("agent:{client_id}".parse().unwrap());
        chain.human_clients = vec!["harbor-web".into()];
    });
    let nested = json!({"sub": "coder", "act": {"sub": "planner"}});
    let chain = "user:mara agent:coder agent:planner";
    for agreeing in [json!({}), json!({"client_id": "coder"}), json!({"client_id": "harbor-web"})] {
        assert_eq!(chain_of(&asked, with(agreeing, json!({"act": nested}))), chain);
    }
    for client in ["planner", "Coder", "mara", "other"] {
        let refusal = refused(&asked, json!({"client_id": client, "act": nested}));
        assert_eq!(refusal, InvalidChain::ClientIsNotActor, "{client}");
    }
    let malformed = InvalidChain::MalformedClaim("client_id".into());
    assert_eq!(refused(&asked, json!({"client_id": 7, "act": nested})), malformed);
    // Without a template for clients they say nothing.
    assert_eq!(chain_of(&usual(), json!({"client_id": "other", "act": nested})), chain);
}

#[test]
fn the_claims_that_name_a_client_agree() {
    let by = |template: &str| {
        let template = template.parse().unwrap();
        chained(|chain| {
            chain.client = Some(template);
            chain.human_clients = vec!["harbor-web".into()];
        })
    };
    let azp = by("agent:{azp}");
    assert_eq!(chain_of(&azp, json!({"azp": "coder"})), "user:mara agent:coder");
    assert_eq!(chain_of(&azp, json!({"azp": "harbor-web"})), "user:mara");
    assert_eq!(chain_of(&azp, json!({"azp": "coder", "client_id": "coder"})), "user:mara agent:coder");
    assert_eq!(refused(&azp, json!({"client_id": "coder"})), InvalidChain::MissingClaim("azp".into()));
    for (client_id, party) in [("coder", "harbor-web"), ("harbor-web", "coder")] {
        for asked in [&azp, &by("agent:{client_id}"), &usual()] {
            let refusal = refused(asked, json!({"client_id": client_id, "azp": party}));
            assert_eq!(refusal, InvalidChain::TwoClients);
        }
    }
    // A client that another claim names is not passed over because `act` names somebody.
    let act = json!({"sub": "coder"});
    let missing = InvalidChain::MissingClaim("azp".into());
    assert_eq!(refused(&azp, json!({"client_id": "other", "act": act})), missing);
    assert_eq!(chain_of(&azp, json!({"client_id": "harbor-web", "act": act})), "user:mara agent:coder");
    let own = by("agent:{cid}");
    assert_eq!(chain_of(&own, json!({"cid": "coder", "client_id": "harbor-web"})), "user:mara agent:coder");
    assert_eq!(chain_of(&own, json!({"cid": "harbor-web"})), "user:mara");
}

#[test]
fn what_a_token_says_of_its_kind_is_believed_only_where_it_narrows() {
    let agent = json!({"client_entity_type": "agent", "client_id": "harbor-web"});
    assert_eq!(refused(&usual(), agent.clone()), InvalidChain::UnseenClient);
    assert_eq!(chain_of(&usual(), with(agent.clone(), json!({"act": {"sub": "coder"}}))), "user:mara agent:coder");
    let asked = chained(|chain| {
        chain.client = Some("agent:{client_id}".parse().unwrap());
        chain.human_clients = vec!["harbor-web".into()];
    });
    assert_eq!(chain_of(&asked, agent), "user:mara agent:harbor-web", "an agent behind the name of a human client");
    let user = json!({"client_entity_type": "user", "client_id": "coder"});
    assert_eq!(chain_of(&asked, user), "user:mara agent:coder", "no word of the token makes a human of an agent");
    for kind in [json!("robot"), json!(""), json!(7), json!(["agent"]), json!("Agent")] {
        for claim in ["client_entity_type", "sub_entity_type"] {
            let refusal = refused(&usual(), json!({claim: kind}));
            assert_eq!(refusal, InvalidChain::MalformedClaim(claim.into()), "{kind}");
        }
    }
}

#[test]
fn an_agent_s_own_token_is_not_a_human_s() {
    let own = json!({"sub": "coder", "client_id": "coder"});
    let said = json!({"sub": "coder", "sub_entity_type": "agent"});
    let plain = chained(|chain| chain.client = Some("agent:{client_id}".parse().unwrap()));
    assert_eq!(chain_of(&plain, own.clone()), "user:coder agent:coder", "it is no user, so that it may do nothing");
    assert_eq!(refused(&usual(), said.clone()), InvalidChain::UnexpectedAgent);
    let asked = chained(|chain| {
        chain.client = Some("agent:{client_id}".parse().unwrap());
        chain.client_subject = Some("agent:{sub}".parse().unwrap());
    });
    assert_eq!(chain_of(&asked, own.clone()), "agent:coder");
    assert_eq!(chain_of(&asked, with(said.clone(), json!({"client_id": "planner"}))), "agent:coder agent:planner");
    assert_eq!(chain_of(&asked, json!({"client_id": "coder"})), "user:mara agent:coder");
    assert_eq!(chain_of(&asked, with(own, json!({"sub_entity_type": "user"}))), "user:coder agent:coder");
    let agents = chained(|chain| chain.subject = "agent:{sub}".parse().unwrap());
    assert_eq!(chain_of(&agents, said), "agent:coder");
}

#[test]
fn only_the_actor_that_may_act_acts() {
    let asked = chained(|chain| chain.client = Some("agent:{client_id}".parse().unwrap()));
    let may = json!({"sub": "coder"});
    let act = |act: Value| json!({"may_act": may, "act": act});
    assert_eq!(chain_of(&usual(), json!({"may_act": may})), "user:mara");
    assert_eq!(chain_of(&usual(), act(json!({"sub": "coder"}))), "user:mara agent:coder");
    assert_eq!(
        chain_of(&usual(), act(json!({"sub": "coder", "act": {"sub": "planner"}}))),
        "user:mara agent:coder agent:planner"
    );
    assert_eq!(chain_of(&asked, json!({"may_act": may, "client_id": "coder"})), "user:mara agent:coder");
    for other in [json!({"sub": "planner"}), json!({"sub": "planner", "act": {"sub": "coder"}})] {
        assert_eq!(refused(&usual(), act(other)), InvalidChain::ForbiddenActor);
    }
    assert_eq!(refused(&asked, json!({"may_act": may, "client_id": "planner"})), InvalidChain::ForbiddenActor);
    let issuer = json!({"sub": "coder", "iss": "https://agents.example"});
    assert_eq!(chain_of(&usual(), json!({"may_act": issuer, "act": issuer})), "user:mara agent:coder");
    for iss in [json!({"sub": "coder"}), json!({"sub": "coder", "iss": "https://other.example"})] {
        assert_eq!(refused(&usual(), json!({"may_act": issuer, "act": iss})), InvalidChain::ForbiddenActor);
    }
    for malformed in [json!("coder"), json!(["coder"]), json!([{"sub": "coder"}]), json!({}), json!({"sub": 7})] {
        let refusal = refused(&usual(), json!({"may_act": malformed, "act": {"sub": "coder"}}));
        assert_eq!(refusal, InvalidChain::MalformedMayAct, "{malformed}");
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
