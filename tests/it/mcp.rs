//! The Model Context Protocol: each message by its own rule, lists by what may be called, sessions by whose they are.

use serde_json::{Value, json};

use crate::support::{Answer, Portcullis, Said, Scripted, Then, World};

/// Erin and her agent may read `d1`; erin alone may read `d2` and write both; anybody else nothing.
pub(crate) const ROUTES: &str = r#"
  - path: /mcp
    upstream: main
    mcp:
      server: { action: viewer, resource: "folder:open" }
      tools:
        read_document: { action: can_read, resource: "document:{arguments.id}" }
        merge: { action: can_write, resource: "document:{arguments.into.id}", scopes: [merge] }
        copy:
          accesses:
            - { action: can_read, resource: "document:{arguments.from}" }
            - { action: can_write, resource: "document:{arguments.to}" }
        d2: { action: can_read, resource: "document:{name}" }
        d1: { action: can_read, resource: "document:{name}" }
        archive: { action: can_write, resource: "document:{arguments.id}", list: { action: can_write, resource: "folder:open" } }
        sign: { action: can_read, resource: "document:d1", require_task: true }
      prompts:
        plans: { action: can_write, resource: "document:{arguments.id}", list: { action: can_write, resource: "document:d2" } }
        "*": { action: can_read, resource: "document:{name}" }
      resources:
        "docs://all/{document}": { action: can_read, resource: "document:{uri.document}" }
        "docs://all/d2": { action: can_write, resource: "document:d2" }
      methods:
        tasks/get: { action: can_read, resource: "document:{params.taskId}" }
        subscriptions/listen: { action: viewer, resource: "folder:open" }
        completion/complete: { action: viewer, resource: "folder:open" }
  - path: /documents/{document}
    upstream: main
    operations:
      PUT: { action: can_write, resource: "document:{path.document}" }
"#;

pub(crate) const JSON: &str = "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";

pub(crate) fn message(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

pub(crate) fn call(name: &str, arguments: &Value) -> String {
    message("tools/call", &json!({ "name": name, "arguments": arguments }))
}

pub(crate) struct Agent<'p> {
    pub(crate) portcullis: &'p Portcullis,
    pub(crate) token: String,
}

impl<'p> Agent<'p> {
    pub(crate) fn of(world: &World, portcullis: &'p Portcullis, actors: &[&str]) -> Self {
        Self { portcullis, token: world.issuer.token("erin", actors) }
    }

    pub(crate) fn post(&self, body: &str) -> Answer {
        self.with("", body)
    }

    pub(crate) fn with(&self, fields: &str, body: &str) -> Answer {
        self.portcullis.request("POST", "/mcp", &self.token, &format!("{JSON}{fields}"), body)
    }

    /// The code and the reason of the error that answers the message.
    pub(crate) fn refused(&self, body: &str) -> (u16, i64, String) {
        error(&self.post(body))
    }
}

#[track_caller]
fn error(answer: &Answer) -> (u16, i64, String) {
    let told = answer.json();
    assert_eq!((&told["jsonrpc"], &told["id"]), (&"2.0".into(), &7.into()), "{told}");
    assert_eq!(told["error"]["data"]["decision_id"], answer.header("portcullis-decision-id").unwrap());
    let reason = told["error"]["data"]["reason"].as_str().unwrap().to_owned();
    (answer.status, told["error"]["code"].as_i64().unwrap(), reason)
}

/// Why the message was refused, if it was: what is not refused is answered by no JSON.
fn refusal(answer: &Answer) -> Option<String> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str::<Value>(&answer.body).ok()?.pointer("/error/data/reason")?.as_str().map(str::to_owned)
}

#[test]
fn a_tool_is_called_by_whoever_may_and_by_nobody_else() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let (erin, reader) = (Agent::of(&world, &portcullis, &[]), Agent::of(&world, &portcullis, &["reader"]));
    let read = |id: &str| call("read_document", &json!({ "id": id }));
    let answer = reader.post(&read("d1"));
    assert_eq!(answer.status, 200);
    assert!(world.upstream.last().ends_with(&read("d1")), "what was decided on is what is sent");
    let record = world.record_of(&answer);
    assert_eq!(record["call"], "tools/call read_document");
    assert_eq!(record["accesses"], json!([{ "action": "can_read", "resource": "document:d1" }]));
    let passed = world.upstream.seen().len();
    let denied = (200, -32001, "not_permitted".to_owned());
    assert_eq!(reader.refused(&read("d2")), denied);
    assert_eq!(erin.post(&read("d2")).status, 200);
    // Each access of a call counts.
    assert_eq!(reader.refused(&call("copy", &json!({ "from": "d1", "to": "d2" }))), denied);
    assert_eq!(erin.post(&call("copy", &json!({ "from": "d1", "to": "d2" }))).status, 200);
    // The same decision and reason as by the resource's own path.
    let other = portcullis.request("PUT", "/documents/d1", &reader.token, "", "x");
    assert_eq!((other.status, other.reason()), (403, "not_permitted".to_owned()));
    let answer = reader.post(&call("archive", &json!({ "id": "d1" })));
    assert_eq!(error(&answer).2, "not_permitted");
    let (one, data) = (other.json(), answer.json()["error"]["data"].clone());
    assert_eq!((&one["requested"], &one["remedy"]), (&data["requested"], &data["remedy"]));
    let record = world.record_of(&answer);
    assert_eq!((&record["outcome"], &record["status"]), (&"deny".into(), &200.into()));
    assert_eq!(world.upstream.seen().len(), passed + 2);
}

#[test]
fn what_has_no_rule_is_denied() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let erin = Agent::of(&world, &portcullis, &[]);
    for (body, code) in [
        (call("delete_all", &json!({})), -32001),
        (call("Read_document", &json!({ "id": "d1" })), -32001),
        (message("resources/read", &json!({ "uri": "docs://some/d1" })), -32001),
        (message("resources/read", &json!({ "uri": "docs://all/d1/../d2" })), -32001),
        (message("logging/setLevel", &json!({})), -32601),
        (message("completion/complete", &json!({ "ref": { "type": "ref/tool", "name": "read_document" } })), -32601),
        // Who hears it may take it for one that has a rule of its own.
        (message("prompts/get", &json!({ "name": "Plans" })), -32001),
        (message("prompts/get", &json!({ "name": " plans " })), -32001),
        (message("tools/Call", &json!({ "name": "read_document", "arguments": { "id": "d1" } })), -32601),
        (message("sampling/createMessage", &json!({})), -32601),
        (message("", &json!({})), -32601),
    ] {
        assert_eq!(erin.refused(&body), (200, code, "no_route".to_owned()), "{body}");
    }
    // Nobody waits for the answer to a notification or a response.
    for body in [
        json!({ "jsonrpc": "2.0", "method": "notifications/message" }),
        json!({ "jsonrpc": "2.0", "id": 7, "result": {} }),
        json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": 1, "message": "x" } }),
        // Without an id it is a notification, which calls nothing less.
        json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "delete_all" } }),
    ] {
        let answer = erin.post(&body.to_string());
        assert_eq!((answer.status, answer.reason()), (403, "no_route".to_owned()), "{body}");
    }
    for method in ["PUT", "PATCH", "HEAD", "OPTIONS"] {
        assert_eq!(portcullis.request(method, "/mcp", &erin.token, "", "").status, 403, "{method}");
    }
    // Revisions of late tell by the status too that there is no such method.
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: logging/setLevel\r\n";
    let answer = erin.with(fields, &message("logging/setLevel", &json!({})));
    assert_eq!(error(&answer), (404, -32601, "no_route".to_owned()));
    assert_eq!(world.upstream.seen().len(), 0);
}

#[test]
fn a_message_with_two_readings_is_refused() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let erin = Agent::of(&world, &portcullis, &[]);
    let good = call("read_document", &json!({ "id": "d1" }));
    for body in [
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good}\n{good}"),
        good.replace("\"2.0\"", "\"1.0\""),
        good.replace("\"id\":7", "\"id\":null"),
        good.replace("\"id\":7", "\"id\":7,\"ID\":8"),
        good.replace("\"id\":7", "\"id\":7,\"Method\":\"ping\""),
        good.replace("\"id\":7", "\"id\":7,\"result\":{}"),
        good.replace("\"id\":7", "\"id\":7,\"method\":\"tools/list\""),
        good.replace("\"method\":\"tools/call\"", "\"method\":[\"tools/call\"]"),
        good.replace("\"params\":{", "\"params\":[").replace("}}}", "}}]}"),
        String::new(),
        "null".to_owned(),
        "{".to_owned(),
    ] {
        let answer = erin.post(&body);
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(world.record_of(&answer)["reason"], "malformed_body", "{body}");
    }
    for (params, member) in [
        (r#"{"name":"read_document","Name":"x","arguments":{"id":"d1"}}"#, "params.name"),
        (r#"{"name":"read_document","arguments":{"id":"d1"},"Arguments":{"id":"d2"}}"#, "params.arguments.id"),
        (r#"{"name":"read_document","arguments":{"id":"d1","ID":"d2"}}"#, "params.arguments.id"),
        (r#"{"name":"read_document","arguments":{"id":["d1"]}}"#, "params.arguments.id"),
        (r#"{"name":"read_document","arguments":{"id":"d1\u200b"}}"#, "params.arguments.id"),
        (r#"{"name":"read_document","arguments":{}}"#, "params.arguments.id"),
        (r#"{"name":"read_document"}"#, "params.arguments.id"),
        (r#"{"name":["read_document"]}"#, "params.name"),
        (r#"{"arguments":{"id":"d1"}}"#, "params.name"),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#);
        let answer = erin.post(&body);
        assert_eq!(error(&answer), (200, -32602, "mapping_failed".to_owned()), "{params}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(member), "{}", answer.body);
    }
    let plain = "content-type: text/plain\r\n";
    assert_eq!(portcullis.request("POST", "/mcp", &erin.token, plain, &good).status, 415);
    let long = call("read_document", &json!({ "id": "d1", "text": "x".repeat(1_100_000) }));
    assert_eq!(erin.post(&long).status, 413);
    assert_eq!(world.upstream.seen().len(), 0);
}

#[test]
fn the_head_says_what_the_message_says() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let erin = Agent::of(&world, &portcullis, &[]);
    let version = "mcp-protocol-version: 2026-07-28\r\n";
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    let body = message("tools/call", &json!({ "name": "read_document", "arguments": { "id": "d1" }, "_meta": meta }));
    let good = "mcp-method: tools/call\r\nmcp-name: read_document\r\n";
    assert_eq!(erin.with(&format!("{version}{good}"), &body).status, 200);
    let passed = world.upstream.seen().len();
    for fields in [
        format!("{version}mcp-method: tools/call\r\nmcp-name: get_weather\r\n"),
        format!("{version}mcp-method: tools/list\r\n"),
        format!("{version}mcp-name: read_document\r\n"),
        version.to_owned(),
        // The message says another version than the head, or the head none.
        format!("mcp-protocol-version: 2025-11-25\r\n{good}"),
        good.to_owned(),
    ] {
        assert_eq!(error(&erin.with(&fields, &body)), (400, -32020, "header_mismatch".to_owned()), "{fields}");
    }
    let twice = format!("{version}{good}mcp-name: read_document\r\n");
    assert_eq!(erin.with(&twice, &body).status, 400);
    assert_eq!(world.upstream.seen().len(), passed);
    // Versions of before have no such fields.
    let old = call("read_document", &json!({ "id": "d1" }));
    assert_eq!(erin.with("mcp-protocol-version: 2025-06-18\r\n", &old).status, 200);
}

#[test]
fn resources_and_prompts_have_rules_of_their_own() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let (erin, reader) = (Agent::of(&world, &portcullis, &[]), Agent::of(&world, &portcullis, &["reader"]));
    for method in ["resources/read", "resources/subscribe", "resources/unsubscribe"] {
        assert_eq!(reader.post(&message(method, &json!({ "uri": "docs://all/d1" }))).status, 200, "{method}");
        assert_eq!(reader.refused(&message(method, &json!({ "uri": "docs://all/d2" }))).1, -32001, "{method}");
    }
    let answer = erin.post(&message("resources/read", &json!({ "uri": "docs://all/d2" })));
    assert_eq!(answer.status, 200);
    let accesses = world.record_of(&answer)["accesses"].clone();
    assert_eq!(accesses.as_array().unwrap().len(), 2, "all rules that match count: {accesses}");
    assert_eq!(reader.post(&message("prompts/get", &json!({ "name": "d1" }))).status, 200);
    assert_eq!(reader.refused(&message("prompts/get", &json!({ "name": "d2" }))).2, "not_permitted");
    let listen = |uris: Value| {
        let answer = reader.post(&message("subscriptions/listen", &json!({ "notifications": uris })));
        (answer.status, answer.body.contains("not_permitted"), answer.body.contains("no_route"))
    };
    assert_eq!(listen(json!({ "toolsListChanged": true })), (200, false, false));
    assert_eq!(listen(json!({ "resourceSubscriptions": ["docs://all/d1"] })), (200, false, false));
    assert_eq!(listen(json!({ "resourceSubscriptions": ["docs://all/d1", "docs://all/d2"] })), (200, true, false));
    assert_eq!(listen(json!({ "resourceSubscriptions": ["file:///etc"] })), (200, false, true));
    assert_eq!(listen(json!({ "taskIds": ["t"] })), (200, false, true));
    // Of a prompt's arguments hears whoever sees the prompt.
    let complete = |agent: &Agent<'_>, of: Value| {
        agent.post(&message("completion/complete", &json!({ "ref": of, "argument": { "name": "id", "value": "d" } })))
    };
    let prompt = |name: &str| json!({ "type": "ref/prompt", "name": name });
    assert_eq!(refusal(&complete(&reader, prompt("d1"))), None);
    assert_eq!(refusal(&complete(&reader, prompt("plans"))), Some("not_permitted".to_owned()));
    assert_eq!(refusal(&complete(&erin, prompt("plans"))), None);
    assert_eq!(complete(&reader, json!({ "type": "ref/resource", "uri": "docs://all/{document}" })).status, 200);
    assert_eq!(reader.post(&message("tasks/get", &json!({ "taskId": "d1" }))).status, 200);
    assert_eq!(reader.refused(&message("tasks/get", &json!({ "taskId": "d2" }))).2, "not_permitted");
}

#[test]
fn clients_are_challenged_by_the_status() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let body = call("merge", &json!({ "into": { "id": "d1" } }));
    let nobody = Agent { portcullis: &portcullis, token: "x".to_owned() };
    let answer = nobody.post(&body);
    assert_eq!((answer.status, answer.reason()), (401, "invalid_credential".to_owned()));
    assert!(answer.header("www-authenticate").is_some());
    // The scope of the call, which only its message tells.
    let answer = Agent::of(&world, &portcullis, &[]).post(&body);
    assert_eq!((answer.status, answer.reason()), (403, "insufficient_scope".to_owned()));
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"merge\""), "{challenge}");
    let scoped = crate::support::token(&world.issuer, "erin", |claims| claims["scope"] = "merge".into());
    assert_eq!(Agent { portcullis: &portcullis, token: scoped }.post(&body).status, 200);
}

#[test]
fn a_session_is_of_whom_it_was_made_for() {
    let mut world = World::with_routes(ROUTES);
    world.more = "requests: { session_key_file: session.key }".to_owned();
    world.write("session.key", [7; 32]);
    let upstream = Scripted::start(|request, _| {
        let named = if request.contains("initialize") { "mcp-session-id: s-1.x\r\n" } else { "" };
        if request.starts_with("DELETE") {
            return Said::of("HTTP/1.1 204 No Content\r\n\r\n", Then::Keep);
        }
        Said::of(
            &format!("HTTP/1.1 200 OK\r\n{named}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"),
            Then::Keep,
        )
    });
    let begin = message("initialize", &json!({ "protocolVersion": "2025-11-25" }));
    let body = call("read_document", &json!({ "id": "d1" }));
    let field = |id: &str| format!("mcp-session-id: {id}\r\n");
    let id = {
        let portcullis = world.start_before(upstream.address);
        let (erin, reader) = (Agent::of(&world, &portcullis, &[]), Agent::of(&world, &portcullis, &["reader"]));
        let id = reader.post(&begin).header("mcp-session-id").unwrap().to_owned();
        assert!(id.starts_with("s-1.x.") && id.len() > 40, "{id}");
        assert_eq!(reader.with(&field(&id), &body).status, 200);
        assert!(upstream.seen().last().unwrap().contains("mcp-session-id: s-1.x\r\n"), "{:?}", upstream.seen().last());
        for (fields, passes) in [(field(&id), true), (String::new(), false)] {
            let fields = format!("{fields}last-event-id: 7\r\n");
            assert_eq!(portcullis.request("GET", "/mcp", &reader.token, &fields, "").status, 200);
            assert_eq!(upstream.seen().last().unwrap().contains("last-event-id"), passes, "{fields}");
        }
        assert_eq!(portcullis.request("DELETE", "/mcp", &reader.token, &field(&id), "").status, 204);
        let passed = upstream.requests();
        for other in [&*id, "s-1.x", "s-1.x.", &id.replacen("s-1", "s-2", 1)] {
            for method in ["POST", "GET", "DELETE"] {
                let body = if method == "POST" { &*body } else { "" };
                let fields = format!("{}{}", if method == "POST" { JSON } else { "" }, field(other));
                let answer = portcullis.request(method, "/mcp", &erin.token, &fields, body);
                assert_eq!((answer.status, answer.reason()), (404, "unknown_session".to_owned()), "{method} {other}");
            }
        }
        assert_eq!(reader.with(&format!("{}{}", field(&id), field(&id)), &body).status, 400);
        assert_eq!(upstream.requests(), passed);
        id
    };
    // Who has the key knows the session after a new start too.
    {
        let portcullis = world.start_before(upstream.address);
        assert_eq!(Agent::of(&world, &portcullis, &["reader"]).with(&field(&id), &body).status, 200);
    }
    world.more = String::new();
    let portcullis = world.start_before(upstream.address);
    assert_eq!(Agent::of(&world, &portcullis, &["reader"]).with(&field(&id), &body).status, 404);
}

#[test]
fn pages_send_no_message_unless_it_is_said_whose_may() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let erin = Agent::of(&world, &portcullis, &[]);
    let answer = erin.with("origin: https://evil.example\r\n", &message("ping", &json!({})));
    assert_eq!((answer.status, answer.reason()), (403, "origin_not_allowed".to_owned()));
    let page = "origin: https://evil.example\r\n";
    assert_eq!(portcullis.request("GET", "/mcp", &erin.token, page, "").status, 403);
    assert_eq!(erin.post(&message("ping", &json!({}))).status, 200);
}

fn validated(routes: &str) -> (Option<i32>, String) {
    let world = World::with_routes(routes);
    world.write("portcullis.yaml", world.config());
    let output = world.run(&["validate", "--config", world.path("portcullis.yaml").to_str().unwrap()]);
    (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap())
}

#[test]
fn rules_are_shown_and_checked_before_they_are_in_force() {
    let (code, said) = validated(ROUTES);
    assert_eq!(code, Some(0), "{said}");
    for text in
        ["tools/call read_document", "resources/read docs://all/{document}", "tasks/get", "can_write on document:d2"]
    {
        assert!(said.contains(text), "{text}: {said}");
    }
    let route = |mcp: &str| format!("\n  - path: /mcp\n    upstream: main\n    mcp: {mcp}\n");
    let rule = r#"{ action: can_read, resource: "document:d1" }"#;
    for (mcp, problem) in [
        ("{}".to_owned(), "every message would be denied"),
        (r#"{ tools: { a: { action: can_fly, resource: "document:d1" } } }"#.to_owned(), "can_fly"),
        (r#"{ tools: { a: { action: can_read, resource: "dragon:d1" } } }"#.to_owned(), "dragon"),
        (r#"{ tools: { a: { action: can_read, resource: "document:{body.x}" } } }"#.to_owned(), "arguments.NAME"),
        (r#"{ tools: { a: { action: can_read } } }"#.to_owned(), "one access or for several"),
        (r#"{ tools: { a: { action: can_read, resource: "document:d1", list: { action: can_read, resource: "document:{arguments.x}" } } } }"#.to_owned(), "which no list knows"),
        (format!("{{ methods: {{ tools/call: {rule} }} }}"), "cannot have one rule for all"),
        (format!("{{ methods: {{ \"*\": {rule} }} }}"), "cannot have one rule for all"),
        (format!("{{ resources: {{ \"docs/{{x}}\": {rule} }} }}"), "is not a URI"),
        (r#"{ resources: { "docs://{x}": { action: can_read, resource: "document:{uri.y}" } } }"#.to_owned(), "is not in the resource's URI"),
        (format!("{{ server: {rule} }}\n    operations: {{ GET: {rule} }}"), "`mcp` and `operations`"),
        (format!("{{ server: {rule} }}\n    graphql: {{ query: {{ a: {rule} }} }}"), "either `mcp` or `graphql`"),
    ] {
        let (code, said) = validated(&route(&mcp));
        assert_eq!(code, Some(1), "{mcp}: {said}");
        assert!(said.contains(problem) && said.contains("portcullis.yaml:"), "{mcp}: {said}");
    }
}
