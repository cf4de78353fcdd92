//! The Model Context Protocol: each message by its own rule, lists by what may be called, sessions by whose they are.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Answer, Portcullis, Said, Scripted, Then, World, eventually};

/// Erin and her agent may read `d1`; erin alone may read `d2` and write both; anybody else nothing.
const ROUTES: &str = r#"
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
      prompts:
        "*": { action: can_read, resource: "document:{name}" }
      resources:
        "docs://all/{document}": { action: can_read, resource: "document:{uri.document}" }
        "docs://all/d2": { action: can_write, resource: "document:d2" }
      methods:
        tasks/get: { action: can_read, resource: "document:{params.taskId}" }
        subscriptions/listen: { action: viewer, resource: "folder:open" }
  - path: /documents/{document}
    upstream: main
    operations:
      PUT: { action: can_write, resource: "document:{path.document}" }
"#;

const JSON: &str = "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";

fn message(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

fn call(name: &str, arguments: &Value) -> String {
    message("tools/call", &json!({ "name": name, "arguments": arguments }))
}

struct Agent<'p> {
    portcullis: &'p Portcullis,
    token: String,
}

impl<'p> Agent<'p> {
    fn of(world: &World, portcullis: &'p Portcullis, actors: &[&str]) -> Self {
        Self { portcullis, token: world.issuer.token("erin", actors) }
    }

    fn post(&self, body: &str) -> Answer {
        self.with("", body)
    }

    fn with(&self, fields: &str, body: &str) -> Answer {
        self.portcullis.request("POST", "/mcp", &self.token, &format!("{JSON}{fields}"), body)
    }

    /// The code and the reason of the error that answers the message.
    fn refused(&self, body: &str) -> (u16, i64, String) {
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
        (message("completion/complete", &json!({})), -32601),
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
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: completion/complete\r\n";
    let answer = erin.with(fields, &message("completion/complete", &json!({})));
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

/// What an upstream says to a list, and to whatever else.
fn listing(request: &str) -> String {
    let tools = |names: &[&str]| names.iter().map(|name| json!({ "name": name, "x": 1 })).collect::<Vec<_>>();
    let result = if request.contains("tools/list") {
        json!({
            "tools": tools(&["read_document", "merge", "copy", "d1", "d2", "archive", "delete_all", "Read_document"]),
            "nextCursor": "2", "ttlMs": 86_400_000, "cacheScope": "public",
        })
    } else if request.contains("prompts/list") {
        json!({ "prompts": tools(&["d1", "d2", "a b"]), "ttlMs": 5 })
    } else if request.contains("resources/list") {
        let uri = |uri: &str| json!({ "uri": uri, "name": "x" });
        json!({ "resources": [uri("docs://all/d1"), uri("docs://all/d2"), uri("file:///etc/passwd"), { "URI": "docs://all/d1" }] })
    } else {
        json!({ "tools": "no list", "content": [] })
    };
    json!({ "jsonrpc": "2.0", "id": 7, "result": result }).to_string()
}

fn names(result: &Value, list: &str, name: &str) -> Vec<String> {
    result[list].as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
}

fn is_filtered(answer: &str) {
    let result = serde_json::from_str::<Value>(answer).unwrap()["result"].clone();
    assert_eq!(names(&result, "tools", "name"), ["read_document", "merge", "copy", "d1"]);
    assert_eq!((&result["cacheScope"], &result["ttlMs"]), (&"private".into(), &60000.into()));
    assert_eq!(result["nextCursor"], "2");
}

#[test]
fn lists_show_what_may_be_called() {
    let mut world = World::with_routes(ROUTES);
    world.more = "limits: { filtered_bytes: 100000 }".to_owned();
    let upstream = Scripted::start(|request, _| {
        let body = listing(request);
        let length = body.len();
        Said::of(
            &format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"),
            Then::Keep,
        )
    });
    let portcullis = world.start_before(upstream.address);
    let (erin, reader) = (Agent::of(&world, &portcullis, &[]), Agent::of(&world, &portcullis, &["reader"]));
    let list = |agent: &Agent<'_>, method: &str| {
        let answer = agent.post(&message(method, &json!({})));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    };
    let answer = list(&reader, "tools/list");
    is_filtered(&answer.body);
    assert_eq!(world.record_of(&answer)["items"], json!({ "kept": 4, "removed": 4 }));
    let all = list(&erin, "tools/list").json()["result"].clone();
    assert_eq!(names(&all, "tools", "name"), ["read_document", "merge", "copy", "d1", "d2", "archive"]);
    let prompts = list(&reader, "prompts/list").json()["result"].clone();
    assert_eq!((names(&prompts, "prompts", "name"), &prompts["ttlMs"]), (vec!["d1".to_owned()], &5.into()));
    let resources = list(&reader, "resources/list").json()["result"].clone();
    assert_eq!(names(&resources, "resources", "uri"), ["docs://all/d1"]);
    // Whatever a tool answers passes as it is.
    let called = reader.post(&call("read_document", &json!({ "id": "d1" })));
    assert_eq!(called.json()["result"]["tools"], "no list");
    // Who may not use the server sees nothing of it.
    let stranger = Agent { portcullis: &portcullis, token: world.issuer.token("mallory", &[]) };
    assert_eq!(stranger.refused(&message("tools/list", &json!({}))).2, "not_permitted");
}

/// A stream with this in an event, in pieces.
fn events(data: &str) -> Said {
    let stream = format!(
        ": hello\n\nid: 1\ndata: \n\nevent: message\r\nid: 2\r\ndata: {data}\r\n\r\ndata: {{\"method\":\"x\"}}\n\n"
    );
    let (one, other) = stream.split_at(stream.len() / 2);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    Said(vec![head.to_owned(), chunk(one), chunk(other), "0\r\n\r\n".to_owned()], Then::Keep)
}

#[test]
fn lists_in_streams_of_events_are_filtered_too() {
    let world = World::with_routes(ROUTES);
    let upstream = Scripted::start(|request, _| events(&listing(&request.replace("GET /mcp", "tools/list"))));
    let portcullis = world.start_before(upstream.address);
    let reader = Agent::of(&world, &portcullis, &["reader"]);
    let is_whole = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let lines: Vec<&str> = answer.body.lines().filter(|line| !line.is_empty()).collect();
        let data = lines.iter().filter_map(|line| line.strip_prefix("data: "));
        is_filtered(data.into_iter().find(|data| data.contains("result")).unwrap());
        for line in [": hello", "id: 1", "event: message", "id: 2", "data: {\"method\":\"x\"}"] {
            assert!(lines.contains(&line), "{line}: {}", answer.body);
        }
        eventually("the record", || {
            let items = world.record_of(answer)["items"].clone();
            (items == json!({ "kept": 4, "removed": 4 })).then_some(())
        });
    };
    is_whole(&reader.post(&message("tools/list", &json!({}))));
    // A list that is told again on the stream of the session.
    let again = "accept: text/event-stream\r\nlast-event-id: 1\r\n";
    is_whole(&portcullis.request("GET", "/mcp", &reader.token, again, ""));
    let stranger = world.issuer.token("mallory", &[]);
    for method in ["GET", "DELETE"] {
        assert_eq!(portcullis.request(method, "/mcp", &stranger, "", "").status, 403, "{method}");
    }
}

#[test]
fn what_cannot_be_filtered_does_not_pass() {
    let world = World::with_routes(ROUTES);
    let upstream = Scripted::start(|request, _| {
        let body = |kind: &str, body: &str| {
            let length = body.len();
            Said::of(
                &format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"),
                Then::Keep,
            )
        };
        let list = listing("tools/list");
        let twice = list.replace("\"tools\":", "\"tools\":[],\"tools\":");
        match request {
            request if request.contains("as-text") => body("text/plain", &list),
            request if request.contains("twice-in-events") => events(&twice),
            request if request.contains("twice") => body("application/json", &twice),
            request if request.contains("batch") => events(&format!("[{list}]")),
            _ => body("application/json", &list.replace("\"tools\":[", "\"tools\":{\"x\":[").replace("],", "]},")),
        }
    });
    let portcullis = world.start_before(upstream.address);
    let reader = Agent::of(&world, &portcullis, &["reader"]);
    for cursor in ["as-text", "twice", "no-array"] {
        let answer = reader.post(&message("tools/list", &json!({ "cursor": cursor })));
        assert_eq!((answer.status, answer.reason()), (502, "upstream_malformed".to_owned()), "{cursor}");
    }
    for cursor in ["twice-in-events", "batch"] {
        let body = message("tools/list", &json!({ "cursor": cursor }));
        let mut connection = crate::support::Connection::open(portcullis.data);
        connection.send(crate::support::request("POST", "/mcp", &reader.token, JSON, &body));
        // Broken off before the event.
        assert!(connection.answer().is_none_or(|answer| !answer.body.contains("delete_all")), "{cursor}");
        eventually("the record", || {
            world
                .audit()
                .into_iter()
                .find(|record| record["cut"] == "upstream_malformed" && record["call"] == "tools/list")
        });
        fs::write(world.path("audit.jsonl"), "").unwrap();
    }
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
