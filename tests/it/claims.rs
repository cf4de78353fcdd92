//! What the claims of a token tell of its subject, over the wire.

use serde_json::{Value, json};

use crate::support::{Answer, Connection, World, request, token};

const MODEL: &str = "model
  schema 1.1
type user
type agent
type group
  relations
    define member: [user, user with office_hours]
    define guest: [user with office_hours]
type document
  relations
    define viewer: [group#member, agent]
    define banned: [group#member]
    define can_read: viewer but not banned
condition office_hours(current_time: timestamp) {
  current_time < timestamp(\"2020-01-01T00:00:00Z\")
}
";

const TUPLES: &str = "- { user: group:eng#member, relation: viewer, object: document:d1 }
- { user: group:sales#member, relation: viewer, object: document:d2 }
- { user: group:suspended#member, relation: banned, object: document:d1 }
- { user: user:grace, relation: member, object: group:eng }
- { user: user:henry, relation: member, object: group:eng, condition: { name: office_hours } }
- { user: agent:reader, relation: viewer, object: document:d1 }
";

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /documents
    upstream: main
    operations:
      GET:
        action: can_read
        resource: "document:d1"
        filter: { each: "$[*]", action: can_read, resource: "document:{item.id}" }
"#;

const MAPPING: &str = "contextual_tuples: [{ claim: groups, relation: member, object: \"group:{it}\" }]";

fn world(mapping: &str) -> World {
    let mut world = World::with_routes(ROUTES);
    world.write("model.fga", MODEL);
    world.write("tuples.yaml", TUPLES);
    world.policy_more = String::new();
    world.identity_more = "actors: all".to_owned();
    let config = world.config();
    world.write("portcullis.yaml", config.replace("task: \"task:{task}\"", mapping));
    world
}

fn groups(world: &World, subject: &str, groups: &Value) -> String {
    token(&world.issuer, subject, |claims| {
        if !groups.is_null() {
            claims["groups"] = groups.clone();
        }
    })
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.reason())
}

#[test]
fn groups_of_the_token_open_what_the_group_may_and_nothing_else() {
    let world = world(MAPPING);
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let get = |subject: &str, claim: Value, path: &str| portcullis.get(path, &groups(&world, subject, &claim));
    let eng = || json!(["eng"]);
    let answer = get("erin", eng(), "/documents/d1");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let record = world.record_of(&answer);
    assert_eq!(record["principal"]["contextual_tuples"], json!(["user:erin member group:eng"]));
    for (what, subject, claim, path, expected) in [
        ("another group", "erin", json!(["sales"]), "/documents/d1", (403, "not_permitted")),
        ("no group", "erin", json!(null), "/documents/d1", (403, "not_permitted")),
        ("what the group may not", "erin", eng(), "/documents/d2", (403, "not_permitted")),
        ("a group that takes away", "erin", json!(["eng", "suspended"]), "/documents/d1", (403, "not_permitted")),
        (
            "a group that takes away from a stored member",
            "grace",
            json!("suspended"),
            "/documents/d1",
            (403, "not_permitted"),
        ),
        ("a wildcard", "erin", json!(["*"]), "/documents/d1", (401, "invalid_credential")),
        ("a userset", "erin", json!(["eng#member"]), "/documents/d1", (401, "invalid_credential")),
        ("a number", "erin", json!(["eng", 7]), "/documents/d1", (401, "invalid_credential")),
    ] {
        let (status, reason) = told(&get(subject, claim, path));
        assert_eq!((status, reason.as_str()), expected, "{what}");
    }
    let refused = get("erin", json!(["eng#member"]), "/documents/d1");
    let detail = world.record_of(&refused)["detail"].clone();
    assert_eq!(detail, "contextual tuples: `groups` has the value `eng#member`, of which no object is made");
    assert!(!refused.body.contains("groups"));
    // A stored membership is there with or without the claim; one whose condition fails, only with it.
    assert_eq!(get("grace", json!(null), "/documents/d1").status, 200);
    assert_eq!(get("henry", json!(null), "/documents/d1").status, 403);
    assert_eq!(get("henry", eng(), "/documents/d1").status, 200);
}

#[test]
fn what_one_token_tells_is_gone_with_its_request() {
    let world = world(MAPPING);
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let (with, without) = (groups(&world, "erin", &json!(["eng"])), groups(&world, "erin", &json!(null)));
    let mut connection = Connection::open(portcullis.data);
    for _ in 0..20 {
        for (token, status) in [(&with, 200), (&without, 403), (&with, 200)] {
            connection.send(request("GET", "/documents/d1", token, "", ""));
            assert_eq!(connection.answer().unwrap().status, status);
        }
    }
    // An agent has nothing of its user's groups: both must be permitted.
    let through = |agent: &str| {
        let token = token(&world.issuer, "erin", |claims| {
            (claims["groups"], claims["act"]) = (json!(["eng"]), json!({"sub": agent, "groups": ["eng"]}));
        });
        portcullis.get("/documents/d1", &token).status
    };
    assert_eq!((through("reader"), through("writer")), (200, 403));
}

#[test]
fn what_a_token_tells_is_laid_over_each_revision_anew() {
    let world = world(MAPPING);
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let (token, tuples) = (groups(&world, "erin", &json!(["eng"])), world.tuples());
    let mut connection = Connection::open(portcullis.data);
    let mut status = || {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        connection.answer().unwrap().status
    };
    assert_eq!((status(), status()), (200, 200));
    let without = tuples.replace("- { user: group:eng#member, relation: viewer, object: document:d1 }\n", "");
    world.replace("tuples.yaml", &without);
    let revision = portcullis.until_revision_above(1);
    assert_eq!((status(), status()), (403, 403));
    world.replace("tuples.yaml", &tuples);
    portcullis.until_revision_above(revision);
    assert_eq!(status(), 200);
}

#[test]
fn lists_are_filtered_by_what_the_token_tells_too() {
    let world = world(MAPPING);
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    world.upstream.answer_json(r#"[{"id":"d1"},{"id":"d2"},{"id":"d3"}]"#);
    let list = |claim: Value| portcullis.get("/documents", &groups(&world, "erin", &claim)).body;
    assert_eq!(list(json!(["eng"])), r#"[{"id":"d1"}]"#);
    assert_eq!(list(json!(["eng", "sales"])), r#"[{"id":"d1"},{"id":"d2"}]"#);
}

#[test]
fn a_mapping_that_the_model_does_not_allow_is_refused_with_its_place() {
    for (mapping, problem) in [
        ("{ claim: groups, relation: member, object: \"gruop:{it}\" }", "the model has no type `gruop`"),
        ("{ claim: groups, relation: mebmer, object: \"group:{it}\" }", "`group` has no relation `mebmer`"),
        ("{ claim: groups, relation: viewer, object: \"document:{it}\" }", "`document` lets in no `user`"),
        ("{ claim: groups, relation: guest, object: \"group:{it}\" }", "under a condition only"),
        ("{ claim: groups, relation: member, object: \"group:{groups}\" }", "holds no value of the claim"),
        ("{ claim: groups, relation: member, object: \"group:all\" }", "holds no claim"),
        ("{ claim: [a, \"\"], relation: member, object: \"group:{it}\" }", "a claim has a name"),
        ("{ claim: groups, relation: member, object: \"group:{it}\", values: { A: \"a b\" } }", "`a b` cannot be in"),
    ] {
        let world = world(&format!("contextual_tuples: [{mapping}]"));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && said.contains(problem), "{mapping}: {said}");
        let line = std::fs::read_to_string(world.path("portcullis.yaml")).unwrap();
        let line = line.lines().position(|line| line.contains("contextual_tuples")).unwrap() + 1;
        assert!(said.contains(&format!("portcullis.yaml:{line}:")), "{said}");
    }
}

#[test]
fn explain_says_which_tuples_are_contextual() {
    let world = world(MAPPING);
    let explain = |more: &[&str]| {
        let mut arguments = vec!["explain", "--config", "portcullis.yaml", "--as", "user:erin"];
        arguments.extend(more);
        arguments.extend(["can_read", "document:d1"]);
        let output = world.run(&arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(!explain(&[]).0);
    let (holds, said) = explain(&["--contextual-tuple", "user:erin member group:eng"]);
    assert!(holds && said.contains("tuple `user:erin member group:eng`: yes (contextual)"), "{said}");
    let (holds, _) = explain(&[
        "--contextual-tuple",
        "user:erin member group:eng",
        "--contextual-tuple",
        "user:erin member group:suspended",
    ]);
    assert!(!holds);
    let refused = world.run(&[
        "explain",
        "--config",
        "portcullis.yaml",
        "--as",
        "user:erin",
        "--contextual-tuple",
        "user:erin guest group:eng",
        "can_read",
        "document:d1",
    ]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("condition is missing"), "{said}");
}
