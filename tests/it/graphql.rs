//! GraphQL: each field at the top of an operation by its own rule, whatever it is called there.

use serde_json::{Value, json};

use crate::support::{Answer, Portcullis, World};

const ROUTES: &str = r#"
  - path: /graphql
    upstream: main
    graphql:
      query:
        document: { action: can_read, resource: "document:{arguments.id}" }
        folder: { action: can_list, resource: "folder:{arguments.where.name}" }
        __typename: { action: can_list, resource: "folder:open" }
      mutation:
        write: { action: can_write, resource: "document:{arguments.input.id}" }
        move:
          accesses:
            - { action: can_read, resource: "document:{arguments.from}" }
            - { action: can_write, resource: "document:{arguments.to}" }
      subscription:
        "*": { action: can_read, resource: "document:{name}" }
      aliases: 5
  - path: /documents/{document}
    upstream: main
    operations:
      PUT: { action: can_write, resource: "document:{path.document}" }
"#;

struct Agent<'p> {
    portcullis: &'p Portcullis,
    token: String,
}

impl Agent<'_> {
    fn send(&self, path: &str, fields: &str, body: &str) -> Answer {
        let fields = format!("content-type: application/json\r\n{fields}");
        self.portcullis.request("POST", path, &self.token, &fields, body)
    }

    /// The status and the reason, if it was refused.
    fn ask(&self, query: &str, variables: &Value) -> (u16, String) {
        self.told(&json!({ "query": query, "variables": variables }))
    }

    fn told(&self, body: &Value) -> (u16, String) {
        let answer = self.send("/graphql", "", &body.to_string());
        (answer.status, if answer.status == 200 { String::new() } else { answer.reason() })
    }
}

fn passes() -> (u16, String) {
    (200, String::new())
}

fn is(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[test]
fn each_field_at_the_top_is_decided() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let agent = |actors: &[&str]| Agent { portcullis: &portcullis, token: world.issuer.token("erin", actors) };
    let (erin, reader) = (agent(&[]), agent(&["reader"]));
    let denied = is(403, "not_permitted");
    for (query, variables, expected) in [
        ("{ document(id: \"d1\") { title secret: text } }", json!({}), passes()),
        ("{ document(id: \"d2\") { title } }", json!({}), denied.clone()),
        ("query($id: ID!) { document(id: $id) { title } }", json!({ "id": "d1" }), passes()),
        ("query($id: ID!) { document(id: $id) { title } }", json!({ "id": "d2" }), denied.clone()),
        ("query($id: ID = \"d2\") { document(id: $id) { title } }", json!({}), denied.clone()),
        ("query($id: ID = \"d2\") { document(id: $id) { title } }", json!({ "id": "d1" }), passes()),
        ("query($w: W) { folder(where: $w) { name } }", json!({ "w": { "name": "open" } }), passes()),
        // All of them, by whatever name, in whatever fragment, taken out or not.
        ("{ a: document(id: \"d1\") { title } b: document(id: \"d2\") { title } }", json!({}), denied.clone()),
        ("{ document: __typename x: document(id: \"d2\") { title } }", json!({}), denied.clone()),
        ("{ ... { document(id: \"d2\") { title } } }", json!({}), denied.clone()),
        ("{ ...f } fragment f on Query { document(id: \"d2\") { title } }", json!({}), denied.clone()),
        ("{ ... on Nothing { document(id: \"d2\") { title } } }", json!({}), denied.clone()),
        ("{ __typename document(id: \"d2\") @include(if: false) { title } }", json!({}), denied.clone()),
        ("mutation { write(input: { id: \"d1\", text: \"x\" }) { id } }", json!({}), denied.clone()),
        ("mutation { move(from: \"d1\", to: \"d1\") { id } }", json!({}), denied.clone()),
        ("subscription { d1 { title } }", json!({}), passes()),
        ("subscription { d2 { title } }", json!({}), denied),
    ] {
        assert_eq!(reader.ask(query, &variables), expected, "{query} {variables}");
    }
    let two = "mutation { write(input: { id: \"d1\" }) { id } again: write(input: { id: \"d9\" }) { id } }";
    assert_eq!(erin.ask("mutation { write(input: { id: \"d1\" }) { id } }", &json!({})), passes());
    assert_eq!(erin.ask(two, &json!({})), is(403, "not_permitted"));
    let body = json!({ "query": two }).to_string();
    let answer = erin.send("/graphql", "", &body);
    let record = world.record_of(&answer);
    assert_eq!(record["call"], "mutation write write");
    assert_eq!(record["denied_access"], json!({ "action": "can_write", "resource": "document:d9" }));
    // The same decision and reason as by the resource's own path.
    let (one, other) = (
        reader.send(
            "/graphql",
            "",
            &json!({ "query": "mutation { write(input: { id: \"d1\" }) { id } }" }).to_string(),
        ),
        portcullis.request("PUT", "/documents/d1", &reader.token, "", "x"),
    );
    let of = |answer: &Answer| (answer.status, answer.reason(), answer.json()["requested"].clone());
    assert_eq!(of(&one), of(&other));
}

#[test]
fn the_operation_is_the_one_that_is_named() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let reader = Agent { portcullis: &portcullis, token: world.issuer.token("erin", &["reader"]) };
    let query = "query A { document(id: \"d1\") { title } } query B { document(id: \"d2\") { title } }";
    let named = |name: Value| reader.told(&json!({ "query": query, "operationName": name }));
    assert_eq!(named("A".into()), passes());
    assert_eq!(named("B".into()), is(403, "not_permitted"));
    for name in ["C".into(), "".into(), "a".into(), Value::Null, 1.into()] {
        assert_eq!(named(name), is(400, "malformed_body"));
    }
    let sent = world.upstream.last();
    assert!(sent.contains("operationName") && sent.contains("query B"), "what was decided on is what is sent: {sent}");
}

#[test]
fn what_has_two_readings_or_no_rule_is_refused() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let erin = Agent { portcullis: &portcullis, token: world.issuer.token("erin", &[]) };
    for (query, expected) in [
        ("{ users { name } }", is(403, "no_route")),
        ("{ Document(id: \"d1\") { title } }", is(403, "no_route")),
        ("{ document(id: \"d1\") { title } __schema { types { name } } }", is(403, "no_route")),
        ("mutation { document(id: \"d1\") { title } }", is(403, "no_route")),
        ("{ document { title } }", is(400, "mapping_failed")),
        ("{ document(id: [\"d1\"]) { title } }", is(400, "mapping_failed")),
        ("{ document(id: true) { title } }", is(400, "mapping_failed")),
        ("{ document(id: \"d1\", ID: \"d2\") { title } }", is(400, "mapping_failed")),
        ("{ document(id: \"\") { title } }", is(400, "mapping_failed")),
        ("{ document(id: \"d1\", id: \"d2\") { title } }", is(400, "malformed_body")),
        ("{ document(id: \"\"\"d1\"\"\") { title } }", is(400, "malformed_body")),
        ("{ document(id: \"\\u{64}1\") { title } }", is(400, "malformed_body")),
        ("{ document(id: $id) { title } }", is(400, "malformed_body")),
        ("{ ...f } fragment f on Query { ...f }", is(400, "malformed_body")),
        ("{ ...f }", is(400, "malformed_body")),
        ("", is(400, "malformed_body")),
        ("{", is(400, "malformed_body")),
        ("type T { a: Int }", is(400, "malformed_body")),
    ] {
        assert_eq!(erin.ask(query, &json!({})), expected, "{query}");
    }
    let aliases = |count: usize| {
        let fields: String = (0..count).map(|n| format!("a{n}: document(id: \"d1\") {{ t }} ")).collect();
        erin.ask(&format!("{{ {fields} }}"), &json!({}))
    };
    assert_eq!((aliases(5), aliases(6)), (passes(), is(400, "malformed_body")));
    let good = r#"{"query":"{ document(id: \"d1\") { title } }"}"#;
    for body in [
        format!("[{good}]"),
        good.replace("\"query\"", "\"query\":\"{ a }\",\"query\""),
        good.replace("\"query\"", "\"Query\":\"{ a }\",\"query\""),
        good.replace("{\"query\"", "{\"id\":\"stored\",\"query\""),
        good.replace("{\"query\"", "{\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"x\"}},\"query\""),
        r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}"#.to_owned(),
    ] {
        let answer = erin.send("/graphql", "", &body);
        assert_eq!((answer.status, answer.reason()), is(400, "malformed_body"), "{body}");
    }
    let passed = world.upstream.seen().len();
    // In two places, or in another one.
    for query in
        ["query=%7Ba%7D", "Query=x", "%71uery=x", "operationName=A", "variables=%7B%7D", "extensions=1", "a;query=1"]
    {
        let answer = erin.send(&format!("/graphql?{query}"), "", good);
        assert_eq!((answer.status, answer.reason()), is(400, "mapping_failed"), "{query}");
    }
    assert_eq!(erin.send("/graphql?trace=1", "", good).status, 200);
    assert_eq!(portcullis.get("/graphql?query=%7Bdocument(id:%22d1%22)%7Btitle%7D%7D", &erin.token).status, 403);
    for kind in
        ["application/graphql", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"]
    {
        let fields = format!("content-type: {kind}\r\n");
        assert_eq!(portcullis.request("POST", "/graphql", &erin.token, &fields, good).status, 415, "{kind}");
    }
    assert_eq!(world.upstream.seen().len(), passed + 1);
}

#[test]
fn rules_are_shown_and_checked() {
    let world = World::with_routes(ROUTES);
    world.write("portcullis.yaml", world.config());
    let validate = |world: &World| {
        let output = world.run(&["validate", "--config", world.path("portcullis.yaml").to_str().unwrap()]);
        (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap())
    };
    let (code, said) = validate(&world);
    assert_eq!(code, Some(0), "{said}");
    for text in ["mutation move", "query document", "subscription *", "can_write on document:{arguments.to}"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    for (graphql, problem) in [
        ("{}", "every request would be denied"),
        (r#"{ query: { a: { action: can_read, resource: "document:{body.id}" } } }"#, "arguments.NAME"),
        (r#"{ query: { a: { action: can_fly, resource: "document:d1" } } }"#, "can_fly"),
        (r#"{ queries: {} }"#, "queries"),
        (r#"{ aliases: 0, query: { a: { action: can_read, resource: "document:d1" } } }"#, "0"),
        (
            r#"{ query: { a: { action: can_read, resource: "document:d1", list: { action: can_read, resource: "document:d1" } } } }"#,
            "`list` is for tools and prompts",
        ),
    ] {
        let world = World::with_routes(&format!("\n  - path: /graphql\n    upstream: main\n    graphql: {graphql}\n"));
        world.write("portcullis.yaml", world.config());
        let (code, said) = validate(&world);
        assert_eq!(code, Some(1), "{graphql}: {said}");
        assert!(said.contains(problem) && said.contains("portcullis.yaml:"), "{graphql}: {said}");
    }
}
