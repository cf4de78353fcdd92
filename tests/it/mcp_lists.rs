//! Lists of the Model Context Protocol: what may not be called is in none.

use std::fs;

use serde_json::{Value, json};

use crate::{
    mcp::{Agent, JSON, ROUTES, call, message},
    support::{Answer, Said, Scripted, Then, World, eventually},
};

/// What an upstream says to a list, and to whatever else.
fn listing(request: &str) -> String {
    let tools = |names: &[&str]| names.iter().map(|name| json!({ "name": name, "x": 1 })).collect::<Vec<_>>();
    let result = if request.contains("tools/list") {
        json!({
            "tools": tools(&["read_document", "merge", "copy", "d1", "d2", "archive", "delete_all", "Read_document", "sign"]),
            "nextCursor": "2", "ttlMs": 86_400_000, "cacheScope": "public",
        })
    } else if request.contains("prompts/list") {
        json!({ "prompts": tools(&["d1", "d2", "a b", "plans", "D1", "PLANS"]), "ttlMs": 5 })
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
    assert_eq!(world.record_of(&answer)["items"], json!({ "kept": 4, "removed": 5 }));
    let all = list(&erin, "tools/list").json()["result"].clone();
    assert_eq!(names(&all, "tools", "name"), ["read_document", "merge", "copy", "d1", "d2", "archive"]);
    let prompts = list(&reader, "prompts/list").json()["result"].clone();
    assert_eq!((names(&prompts, "prompts", "name"), &prompts["ttlMs"]), (vec!["d1".to_owned()], &5.into()));
    let resources = list(&reader, "resources/list").json()["result"].clone();
    assert_eq!(names(&resources, "resources", "uri"), ["docs://all/d1"]);
    assert_eq!((&prompts["cacheScope"], &resources["ttlMs"]), (&Value::Null, &Value::Null), "nobody keeps them");
    let modern = "mcp-protocol-version: 2026-07-28\r\nmcp-method: resources/list\r\n";
    let kept = reader.with(modern, &message("resources/list", &json!({}))).json()["result"].clone();
    assert_eq!((&kept["cacheScope"], &kept["ttlMs"]), (&"private".into(), &0.into()));
    let in_task = crate::support::token(&world.issuer, "erin", |claims| claims["task"] = "t1".into());
    let all = list(&Agent { portcullis: &portcullis, token: in_task }, "tools/list").json()["result"].clone();
    assert!(names(&all, "tools", "name").contains(&"sign".to_owned()), "{all}");
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
            (items == json!({ "kept": 4, "removed": 5 })).then_some(())
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
fn lists_are_filtered_whatever_the_status_says() {
    let world = World::with_routes(ROUTES);
    let upstream = Scripted::start(|request, _| {
        let (kind, body) = match request {
            request if request.contains("as-page") => ("text/html", "<p>gone</p>".to_owned()),
            request if request.contains("as-text") => ("application/json", r#""gone""#.to_owned()),
            request if request.contains("as-problem") => {
                ("application/problem+json", r#"{"title":"gone","tools":[{"name":"x"}]}"#.to_owned())
            }
            request if request.contains("as-events") => {
                ("text/event-stream\r\ncontent-encoding: identity", format!("data: {}\n\n", listing("tools/list")))
            }
            _ => ("application/json", listing("tools/list")),
        };
        let length = body.len();
        Said::of(
            &format!("HTTP/1.1 404 Not Found\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"),
            Then::Keep,
        )
    });
    let portcullis = world.start_before(upstream.address);
    let reader = Agent::of(&world, &portcullis, &["reader"]);
    let list = |cursor: &str| {
        let answer = reader.post(&message("tools/list", &json!({ "cursor": cursor })));
        assert_eq!(answer.status, 404, "{cursor}: {}", answer.body);
        answer.body
    };
    is_filtered(&list("as-list"));
    is_filtered(list("as-events").trim().strip_prefix("data: ").unwrap());
    assert_eq!(list("as-page"), "<p>gone</p>");
    assert_eq!(list("as-text"), r#""gone""#);
    assert_eq!(list("as-problem"), r#"{"title":"gone","tools":[{"name":"x"}]}"#);
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
