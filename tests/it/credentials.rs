//! Credentials over the wire: who is taken for whom, what a refusal says, and what it does not.

use serde_json::{Value, json};

use crate::support::{Answer, Issuer, Portcullis, World, answer_of, token};

const HOST: &str = "host: api.acme.example\r\nconnection: close\r\n";

#[test]
fn a_new_key_brings_its_whole_entry() {
    let mut world = World::new();
    let made = |arguments: &[&str]| {
        let output = world.run(&[&["key", "new", "--subject", "user:erin"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout).trim().to_owned(), text(output.stderr))
    };
    let owner = "Finance \"close\": ops@acme.example";
    let (key, entry) = made(&["--via", "agent:reader", "--task", "task:t1", "--owner", owner, "--valid-for", "90d"]);
    let (short, short_entry) = made(&["--valid-for", "1s"]);
    assert!(!entry.contains(key.get(13..44).unwrap()), "the secret is not in the entry");
    world.identity_more = format!("api_keys:\n    keys:\n{entry}{short_entry}");
    let portcullis = world.start();
    let get = |key: &str, path: &str| {
        answer_of(portcullis.data, format!("GET {path} HTTP/1.1\r\n{HOST}x-api-key: {key}\r\n\r\n")).unwrap()
    };

    let answer = get(&key, "/documents/d1");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let principal = &world.record_of(&answer)["principal"];
    assert_eq!(principal["subject"], "user:erin");
    assert_eq!(principal["actors"], serde_json::json!(["agent:reader"]));
    assert_eq!((&principal["task"], &principal["owner"]), (&"task:t1".into(), &owner.into()));
    assert_eq!(get(&key, "/documents/d2").status, 403, "the agent may not");

    crate::support::eventually("the key ends", || (get(&short, "/documents/d1").status == 401).then_some(()));
    let over = get(&short, "/documents/d1");
    assert_eq!(over.reason(), "invalid_credential");
    assert!(!over.body.contains("expired") && over.header("portcullis-subject").is_none(), "{}", over.body);
    let detail = world.record_of(&over)["detail"].clone();
    assert_eq!(detail, "the API key has expired", "the log says why, the answer does not");
}

#[test]
fn a_key_that_is_over_before_it_begins_is_not_made() {
    let world = World::new();
    for (valid_for, says) in [("0s", "less than a second"), ("9000y", "before the year 10000"), ("soon", "--valid-for")]
    {
        let output = world.run(&["key", "new", "--subject", "user:erin", "--valid-for", valid_for]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{valid_for}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{valid_for}: {said}");
    }
}

const SCOPED: &str = r#"
  - path: /documents/{document}
    upstream: main
    hide_existence: true
    operations:
      GET: { action: can_read, resource: "document:{path.document}", scopes: [docs.read, docs.list] }
      PUT:
        action: can_write
        resource: "document:{path.document}"
        authorization_details:
          type: document
          actions: [write]
          locations: ["https://docs.acme.example/{path.document}"]
          ignore: [note]
  - path: /shared/{document}
    upstream: main
    operations:
      GET:
        action: can_read
        resource: "document:{path.document}"
        authorization_details: { type: document, identifier: "{path.document}", required: false }
  - path: /plain/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

fn scoped() -> (World, Portcullis) {
    let mut world = World::with_routes(SCOPED);
    world.identity_more = "protected_resource: { resource: https://api.acme.example/v1, name: Documents }".to_owned();
    let portcullis = world.start();
    (world, portcullis)
}

fn with_claim(world: &World, name: &str, value: Value) -> String {
    token(&world.issuer, "erin", |claims| claims[name] = value)
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.reason())
}

#[test]
fn clients_learn_where_to_get_a_token_and_with_which_scopes() {
    let (world, portcullis) = scoped();
    let metadata = "https://api.acme.example/.well-known/oauth-protected-resource/v1";
    let expected = json!({
        "resource": "https://api.acme.example/v1", "resource_name": "Documents",
        "authorization_servers": ["https://idp.acme.example"], "bearer_methods_supported": ["header"],
        "scopes_supported": ["docs.list", "docs.read"], "authorization_details_types_supported": ["document"],
    });
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/v1"] {
        let answer = portcullis.get(path, "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.json(), expected);
        let record = world.record_of(&answer);
        assert_eq!((&record["outcome"], &record["reason"]), (&json!("answer"), &json!("metadata")));
        assert!(record.get("principal").is_none() && record.get("upstream_status").is_none());
    }
    let other = portcullis.request("POST", "/.well-known/oauth-protected-resource", "", "", "{}");
    assert_eq!(told(&other), (403, "no_route".to_owned()));
    assert!(world.upstream.seen().is_empty());

    let nobody = portcullis.get("/documents/d1", "");
    let challenge =
        format!("Bearer realm=\"portcullis\", scope=\"docs.read docs.list\", resource_metadata=\"{metadata}\"");
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some(challenge.as_str())));

    for scope in [json!(null), json!(""), json!("docs.read"), json!("docs.read docs.lis"), json!(["docs.list"])] {
        let token = token(&world.issuer, "erin", |claims| {
            if scope.is_null() {
                claims.as_object_mut().unwrap().remove("scope");
            } else {
                claims["scope"] = scope.clone();
            }
        });
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!(told(&answer), (403, "insufficient_scope".to_owned()), "{scope}");
        let challenge = answer.header("www-authenticate").unwrap();
        for part in ["error=\"insufficient_scope\"", "scope=\"docs.read docs.list\"", metadata] {
            assert!(challenge.contains(part), "{challenge}");
        }
        // What does not exist is answered in the same way: the scopes say nothing of it.
        assert_eq!(told(&portcullis.get("/documents/none", &token)), told(&answer));
    }
    for scope in [json!("docs.list other docs.read"), json!(["docs.read", "docs.list"])] {
        let token = with_claim(&world, "scope", scope);
        assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
        assert_eq!(portcullis.get("/documents/none", &token).status, 404, "scopes permit nothing by themselves");
    }
}

#[test]
fn authorization_details_only_ever_narrow() {
    let (world, portcullis) = scoped();
    let put = |details: Value| {
        let token = with_claim(&world, "authorization_details", details);
        told(&portcullis.request("PUT", "/documents/d1", &token, "", "{}"))
    };
    let outside = (404, "not_found".to_owned());
    let location = "https://docs.acme.example/d1";
    let covering =
        json!({"type": "document", "actions": ["read", "write"], "locations": [location, "https://x"], "note": 1});
    let without = |name: &str| {
        let mut detail = covering.clone();
        detail.as_object_mut().unwrap().remove(name);
        detail
    };
    let other = |name: &str, value: Value| {
        let mut detail = covering.clone();
        detail[name] = value;
        detail
    };
    assert_eq!(put(json!([covering])).0, 200);
    assert_eq!(put(json!([{"type": "payment", "amount": 5}, covering])).0, 200, "one of them is enough");
    for uncovered in [
        json!([]),
        json!([without("actions")]),
        json!([without("locations")]),
        json!([other("type", json!("documents"))]),
        json!([other("actions", json!(["read"]))]),
        json!([other("actions", json!(["Write"]))]),
        json!([other("locations", json!(["https://docs.acme.example/d2"]))]),
        json!([other("locations", json!(["https://docs.acme.example/"]))]),
        json!([other("identifier", json!("d1"))]),
        json!([other("privileges", json!([]))]),
        json!([other("amount", json!(5))]),
        // Two halves are no whole.
        json!([without("locations"), without("actions")]),
    ] {
        assert_eq!(put(uncovered.clone()), outside, "{uncovered}");
    }
    let plain = world.issuer.token("erin", &[]);
    assert_eq!(told(&portcullis.request("PUT", "/documents/d1", &plain, "", "{}")), outside, "they are required");
    let details = json!([{"type": "document", "actions": ["write"], "locations": ["https://docs.acme.example/none"]}]);
    assert_eq!(
        told(&portcullis.request(
            "PUT",
            "/documents/none",
            &with_claim(&world, "authorization_details", details),
            "",
            "{}"
        )),
        outside,
        "details permit nothing by themselves"
    );

    let get =
        |path: &str, details: Value| told(&portcullis.get(path, &with_claim(&world, "authorization_details", details)));
    let denied = (403, "outside_authorization".to_owned());
    let one = json!([{"type": "document", "identifier": "d1"}]);
    assert_eq!(get("/shared/d1", one.clone()).0, 200);
    assert_eq!(get("/shared/d2", one.clone()), denied);
    assert_eq!(portcullis.get("/shared/d2", &plain).status, 200, "a cap restricts those that have details only");
    assert_eq!(get("/plain/d1", one), denied, "a restriction that nobody looks at is not passed over");
    assert_eq!(portcullis.get("/plain/d1", &plain).status, 200);
    assert_eq!(get("/plain/d1", json!({"type": "document"})).0, 401, "malformed details are no details");
}

#[test]
fn a_refused_token_is_told_nothing_of_the_reason() {
    let world = World::new();
    let portcullis = world.start();
    let claim = |name: &str, value: Value| with_claim(&world, name, value);
    let good = world.issuer.token("erin", &[]);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bad = [
        (
            "its signature is wrong",
            format!("{signed}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, signature.get(1..).unwrap()),
        ),
        ("its signature is wrong", Issuer::new("k1").token("erin", &[])),
        ("has no key of this id", Issuer::new("k2").token("erin", &[])),
        ("is not configured", claim("iss", json!("https://idp.acme.example/"))),
        ("another audience", claim("aud", json!("https://api.acme.example/"))),
        ("it has expired", claim("exp", json!(1_000_000_000))),
        ("`exp` is malformed", claim("exp", json!("2100000000"))),
        ("it is not valid yet", claim("nbf", json!(4_000_000_000_u32))),
        ("issued in the future", claim("iat", json!(4_000_000_000_u32))),
        ("`sub` is malformed", claim("sub", json!(["erin"]))),
        ("bound to a key", claim("cnf", json!({"jkt": "x"}))),
        ("`act` is not an object", claim("act", json!("reader"))),
        ("more than 3 actors", world.issuer.token("erin", &["a", "b", "c", "d"])),
        ("not an access token", {
            let mut claims = json!({"iss": "https://idp.acme.example", "sub": "erin", "nonce": "n"});
            claims["aud"] = json!("https://api.acme.example");
            world.issuer.sign_as("JWT", &claims)
        }),
        ("three parts", "a.b".to_owned()),
        ("longer than 8 KiB", "a".repeat(8193)),
    ];
    let shape = |answer: &Answer| {
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("decision_id");
        (answer.status, answer.header("www-authenticate").map(str::to_owned), body)
    };
    let expected = shape(&portcullis.get("/documents/d1", "e30.e30.e30"));
    assert_eq!(expected.0, 401);
    assert_eq!(expected.2["reason"], "invalid_credential");
    assert!(expected.2.get("detail").is_none());
    for (reason, token) in bad {
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!(shape(&answer), expected, "{reason}");
        let detail = world.record_of(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason), "{reason}: {detail}");
    }
    assert!(world.upstream.seen().is_empty());
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
    let get = |path: &str, change: &dyn Fn(&mut Value)| {
        let token = token(&world.issuer, "erin", |claims| {
            claims["client_id"] = json!("web");
            change(claims);
        });
        portcullis.get(path, &token)
    };
    let reader = json!({"sub": "reader"});
    // Erin may read d2 and the reader may not: whose token it is decides.
    assert_eq!(get("/documents/d2", &|_| ()).status, 200);
    let cases: &[(&str, &dyn Fn(&mut Value), (u16, &str))] = &[
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
    let get = |change: &dyn Fn(&mut Value)| portcullis.get("/documents/d1", &token(&world.issuer, "erin", change));
    let now = token(&world.issuer, "erin", |_| ());
    let cases: &[(&str, &dyn Fn(&mut Value))] = &[
        ("- { token: stolen, issuer: \"https://idp.acme.example\", reason: lost laptop }", &|claims| {
            claims["jti"] = json!("stolen")
        }),
        ("- { entity: agent:reader }", &|claims| claims["act"] = json!({"sub": "planner", "act": {"sub": "reader"}})),
        ("- { entity: task:t1 }", &|claims| claims["task"] = json!("t1")),
        ("- { entity: user:erin, issued_before: 2020-09-13T12:26:41Z }", &|claims| {
            claims["iat"] = json!(1_600_000_000)
        }),
        ("- { issuer: \"https://idp.acme.example\", issued_before: 2020-09-13T12:26:41Z }", &|claims| {
            claims["iat"] = json!(1_600_000_000)
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
        ("", "denied.yaml"),
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
