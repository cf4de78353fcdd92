//! Principals over the wire: chains, tasks, and what was revoked or used up.

use serde_json::{Value, json};

use crate::support::{Answer, Portcullis, World, token};

/// What a test changes in the claims of a good token.
type Change<'a> = &'a dyn Fn(&mut Value);

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.reason())
}

#[test]
fn a_token_that_an_agent_holds_is_never_its_user_s_own() {
    let mut world = World::new();
    let client = "client: \"agent:{client_id}\"\n      human_clients: [web]\n      client_subject: \"agent:{sub}\"";
    world.identity_more = "actors: all".to_owned();
    world.write(
        "portcullis.yaml",
        world.config().replace("actor: \"agent:{sub}\"", &format!("actor: \"agent:{{sub}}\"\n      {client}")),
    );
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let get = |path: &str, change: Change<'_>| {
        let token = token(&world.issuer, "erin", |claims| {
            claims["client_id"] = json!("web");
            change(claims);
        });
        portcullis.get(path, &token)
    };
    let reader = json!({"sub": "reader"});
    // Erin may read d2 and the reader may not: whose token it is decides.
    assert_eq!(get("/documents/d2", &|_| ()).status, 200);
    let cases: &[(&str, Change<'_>, (u16, &str))] = &[
        ("an agent's client", &|claims| claims["client_id"] = json!("reader"), (403, "not_permitted")),
        ("azp and client_id disagree", &|claims| claims["azp"] = json!("reader"), (401, "invalid_credential")),
        ("no client", &|claims| drop(claims.as_object_mut().unwrap().remove("client_id")), (401, "invalid_credential")),
        ("the client is an agent", &|claims| claims["client_entity_type"] = json!("agent"), (403, "not_permitted")),
        ("an actor", &|claims| claims["act"] = reader.clone(), (403, "not_permitted")),
        (
            "the actor's own client",
            &|claims| (claims["act"], claims["client_id"]) = (reader.clone(), json!("reader")),
            (403, "not_permitted"),
        ),
        (
            "another client than the actor",
            &|claims| (claims["act"], claims["client_id"]) = (json!({"sub": "planner"}), json!("reader")),
            (401, "invalid_credential"),
        ),
        (
            "an actor that may not act",
            &|claims| (claims["act"], claims["may_act"]) = (reader.clone(), json!({"sub": "planner"})),
            (401, "invalid_credential"),
        ),
        ("a malformed may_act", &|claims| claims["may_act"] = json!("reader"), (401, "invalid_credential")),
    ];
    for (what, change, expected) in cases {
        let (status, reason) = told(&get("/documents/d2", change));
        assert_eq!((status, reason.as_str()), *expected, "{what}");
    }
    // What the agent may too is allowed, and recorded as the agent's.
    let answer = get("/documents/d1", &|claims| claims["client_id"] = json!("reader"));
    assert_eq!((answer.status, &world.record_of(&answer)["principal"]["actors"]), (200, &json!(["agent:reader"])));
    let own = get("/documents/d1", &|claims| (claims["sub"], claims["client_id"]) = (json!("reader"), json!("reader")));
    assert_eq!((own.status, &world.record_of(&own)["principal"]["subject"]), (200, &json!("agent:reader")));
}

#[test]
fn a_request_is_within_a_task_only_if_its_token_says_so() {
    let mut world = World::with_routes(
        r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#,
    );
    world.identity_more = "task_header: x-task-id".to_owned();
    world.policy_more = "task_holder: holder\n  require_task: [document]".to_owned();
    let portcullis = world.start();
    let get = |subject: &str, task: Value, named: &str| {
        let token = token(&world.issuer, subject, |claims| {
            if !task.is_null() {
                claims["task"] = task.clone();
            }
        });
        let field = if named.is_empty() { String::new() } else { format!("x-task-id: {named}\r\n") };
        portcullis.request("GET", "/documents/d1", &token, &field, "")
    };
    for (task, named) in [(json!("t1"), ""), (json!("t1"), "t1"), (json!(["t2", "t1"]), "t1")] {
        let answer = get("erin", task, named);
        assert_eq!(answer.status, 200, "{named}");
        assert_eq!(world.record_of(&answer)["principal"]["task"], "task:t1");
        assert!(world.upstream.last().contains("portcullis-task: task:t1\r\n"));
    }
    let sent = world.upstream.seen().len();
    for (what, subject, task, named, expected) in [
        ("no task, where the type of the resource needs one", "erin", json!(null), "", (403, "task_required")),
        ("a name alone", "erin", json!(null), "t1", (403, "task_not_bound")),
        ("a task of others", "erin", json!("t1"), "t2", (403, "task_not_bound")),
        ("several and none named", "erin", json!(["t1", "t2"]), "", (403, "task_required")),
        ("a task that she does not hold", "erin", json!(["t1", "t2"]), "t2", (403, "not_task_holder")),
        ("another user in the task", "frank", json!("t1"), "t1", (403, "not_task_holder")),
        ("a malformed list", "erin", json!([["t1"]]), "t1", (401, "invalid_credential")),
        ("a task that is none", "erin", json!("gone"), "", (403, "not_task_holder")),
    ] {
        let answer = get(subject, task, named);
        let (status, reason) = told(&answer);
        assert_eq!((status, reason.as_str()), expected, "{what}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{what}");
    }
    assert_eq!(world.upstream.seen().len(), sent);
}

#[test]
fn a_type_that_needs_a_task_is_spelled_right() {
    let mut world = World::new();
    world.policy_more = "require_task: [documents]".to_owned();
    world.write("portcullis.yaml", world.config());
    let output = world.run(&["validate", "--config", "portcullis.yaml"]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && said.contains("no route asks for the type `documents`"), "{said}");
    assert!(said.contains("did you mean `document`?"), "{said}");
}

#[test]
fn what_is_revoked_is_refused_from_the_next_revision_on() {
    let mut world = World::new();
    world.policy_more = "task_holder: holder\n  denylist: denied.yaml".to_owned();
    world.write("denied.yaml", "[]");
    let portcullis = world.start();
    let get = |change: Change<'_>| portcullis.get("/documents/d1", &token(&world.issuer, "erin", change));
    let now = token(&world.issuer, "erin", |_| ());
    let cases: &[(&str, Change<'_>)] = &[
        ("- { token: stolen, issuer: \"https://idp.acme.example\", reason: lost laptop }", &|claims| {
            claims["jti"] = json!("stolen")
        }),
        ("- { entity: agent:reader }", &|claims| claims["act"] = json!({"sub": "planner", "act": {"sub": "reader"}})),
        ("- { entity: task:t1 }", &|claims| claims["task"] = json!("t1")),
        ("- { entity: user:erin, issued_before: 2020-09-13T12:26:41Z }", &|claims| {
            claims["iat"] = json!(1_600_000_000)
        }),
        ("- { issuer: \"https://idp.acme.example\", issued_before: 2023-11-14T22:13:21Z }", &|claims| {
            claims["iat"] = json!(1_700_000_000)
        }),
    ];
    let mut revision = portcullis.revision();
    for (entry, change) in cases {
        let token = token(&world.issuer, "erin", change);
        assert_eq!(portcullis.get("/documents/d1", &token).status, 200, "{entry}");
        world.replace("denied.yaml", entry);
        revision = portcullis.until_revision_above(revision);
        // The same token, which is known to be good.
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!(told(&answer), (401, "invalid_credential".to_owned()), "{entry}");
        assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
        let record = world.record_of(&answer);
        assert_eq!((&record["reason"], &record["outcome"]), (&json!("revoked"), &json!("deny")), "{entry}");
        assert_eq!(record["principal"]["subject"], "user:erin", "who tried is known");
        assert_eq!(portcullis.get("/documents/d1", &now).status, 200, "others are not touched: {entry}");
    }
    // What is wrong is refused whole, and what was in force stays.
    for (wrong, says) in [
        ("", "the list is empty without saying so"),
        ("- { entity: erin }", "not an object"),
        ("- { issuer: x }", "does not say what is revoked"),
        ("- { token: a, entity: user:erin }", "does not say what is revoked"),
        ("- { token: \"\" }", "nothing would be revoked"),
        ("- { entity: user:erin, issued_before: yesterday }", "is not a time"),
        ("- { entiti: user:erin }", "entiti"),
    ] {
        world.replace("denied.yaml", wrong);
        portcullis.until_logged(says);
        assert_eq!(get(&|claims| claims["iat"] = json!(1_600_000_000)).status, 401, "{wrong}");
    }
    assert_eq!(portcullis.revision(), revision);
}

#[test]
fn a_grant_is_good_for_so_many_uses() {
    let mut world = World::with_routes(
        r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}", uses: { most: 2, within: 1h, per: task } }
      PUT: { action: can_write, resource: "document:{path.document}", uses: { most: 1, within: 1h, per: credential } }
"#,
    );
    world.policy_more = "task_holder: holder".to_owned();
    let portcullis = world.start();
    let of = |subject: &str, jti: &str, task: &str| {
        token(&world.issuer, subject, |claims| {
            claims["jti"] = json!(jti);
            if !task.is_empty() {
                claims["task"] = json!(task);
            }
        })
    };
    let get = |token: &str, path: &str| told(&portcullis.get(path, token));
    let exhausted = (429, "budget_exhausted".to_owned());
    assert_eq!(get(&of("erin", "a", ""), "/documents/d1"), (403, "task_required".to_owned()));
    assert_eq!(get(&of("frank", "a", "t1"), "/documents/d1"), (403, "not_task_holder".to_owned()));
    assert_eq!(get(&of("erin", "a", "t1"), "/documents/none").0, 403, "what is denied uses nothing");
    assert_eq!(get(&of("erin", "a", "t1"), "/documents/d1").0, 200);
    assert_eq!(get(&of("erin", "b", "t1"), "/documents/d2").0, 200);
    assert_eq!(get(&of("erin", "c", "t1"), "/documents/d1"), exhausted);
    let put = |token: &str| portcullis.request("PUT", "/documents/d1", token, "", "{}");
    assert_eq!(put(&of("erin", "once", "")).status, 200);
    let again = put(&of("erin", "once", ""));
    assert_eq!(told(&again), exhausted);
    assert_eq!(world.record_of(&again)["principal"]["subject"], "user:erin");
    assert_eq!(put(&of("erin", "other", "")).status, 200);
    let nameless = token(&world.issuer, "erin", |claims| drop(claims.as_object_mut().unwrap().remove("jti")));
    assert_eq!(told(&put(&nameless)), exhausted, "what cannot be counted is not for ever good");

    // A new revision gives nothing back.
    let revision = portcullis.revision();
    world.replace(
        "tuples.yaml",
        format!("{}- {{ user: agent:x, relation: viewer, object: folder:open }}\n", world.tuples()),
    );
    portcullis.until_revision_above(revision);
    assert_eq!(get(&of("erin", "d", "t1"), "/documents/d1"), exhausted);
}
