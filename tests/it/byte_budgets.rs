//! So many bytes pass as a budget allows: what exceeds it is cut off, and what comes later is denied.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use crate::support::{Answer, Connection, Portcullis, World, eventually, request, token};

const ANSWER: usize = 100_000;

fn world(most: &str, of: &str) -> World {
    let budget = format!("bytes: {{ most: {most}, within: 1h, per: subject, of: {of} }}");
    let world = World::with_routes(&format!(
        r#"
  - path: /documents/{{document}}
    upstream: main
    operations:
      GET: {{ action: can_read, resource: "document:{{path.document}}", {budget} }}
      PUT: {{ action: can_read, resource: "document:{{path.document}}", {budget} }}
  - path: /read
    upstream: main
    operations:
      POST: {{ action: can_read, resource: "document:{{body.document}}", {budget} }}
  - path: /documents
    upstream: main
    operations:
      GET:
        action: can_list
        resource: "folder:open"
        filter: {{ each: "$.items[*]", action: can_read, resource: "document:{{item.id}}" }}
        {budget}
"#
    ));
    world.upstream.answer_with(with_length());
    world
}

fn with_length() -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {ANSWER}\r\n\r\n{}", "x".repeat(ANSWER))
}

fn in_chunks() -> String {
    let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(10))
}

/// What came of an answer: its head, and how many `x` of its body before the connection ended.
struct Came {
    head: String,
    body: usize,
    rest: Vec<u8>,
}

/// Reads an answer as it comes, to the end of the connection.
fn fetch(portcullis: &Portcullis, token: &str) -> Came {
    let mut stream = TcpStream::connect(portcullis.data).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request("GET", "/documents/d1", token, "connection: close\r\n", "").as_bytes()).unwrap();
    let mut all = Vec::new();
    // A connection that is cut may end in an error as well.
    let _ = stream.read_to_end(&mut all);
    let end = all.windows(4).position(|part| part == b"\r\n\r\n").expect("a head") + 4;
    let rest = all.split_off(end);
    let body = rest.iter().filter(|byte| **byte == b'x').count();
    Came { head: String::from_utf8(all).unwrap(), body, rest }
}

impl Came {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn id(&self) -> &str {
        let line = self.head.lines().find(|line| line.starts_with("portcullis-decision-id: ")).unwrap();
        line.split_once(' ').unwrap().1
    }

    fn is_whole(&self) -> bool {
        self.status() == "200" && self.body == ANSWER
    }
}

fn record(world: &World, id: &str) -> serde_json::Value {
    eventually("the record is written", || world.audit().into_iter().find(|record| record["decision_id"] == *id))
}

#[test]
fn an_answer_beyond_the_budget_is_cut_and_the_next_request_is_denied() {
    for answer in [with_length(), in_chunks()] {
        let world = world("250kB", "answers");
        world.upstream.answer_with(answer);
        let portcullis = world.start();
        let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
        assert!(fetch(&portcullis, &erin).is_whole() && fetch(&portcullis, &erin).is_whole());
        let cut = fetch(&portcullis, &erin);
        assert_eq!(cut.status(), "200");
        assert!(cut.body <= 50_000, "{}", cut.body);
        assert!(!cut.rest.ends_with(b"0\r\n\r\n"), "its end does not look like one");
        let said = record(&world, cut.id());
        assert_eq!(
            (&said["outcome"], &said["cut"], &said["complete"], &said["detail"]),
            (&json!("allow"), &json!("byte_budget_exhausted"), &json!(false), &json!("no more bytes may pass"))
        );
        // What was still on its way to the client when the connection ended did not come.
        let passed = usize::try_from(said["bytes"]["response"].as_u64().unwrap()).unwrap();
        assert!(cut.body <= passed && passed <= 50_000, "{} of {passed}", cut.body);
        // What comes now does not reach the upstream.
        assert_eq!(world.upstream.seen().len(), 3);
        let denied = portcullis.get("/documents/d1", &erin);
        assert_eq!((denied.status, denied.reason().as_str()), (429, "byte_budget_exhausted"));
        assert_eq!(world.record_of(&denied)["outcome"], "deny");
        assert_eq!(world.upstream.seen().len(), 3);
        let revision = portcullis.revision();
        let more = "- { user: agent:x, relation: viewer, object: folder:open }\n";
        world.replace("tuples.yaml", format!("{}{more}", world.tuples()));
        portcullis.until_revision_above(revision);
        assert_eq!(portcullis.get("/documents/d1", &erin).status, 429, "a new revision gives nothing back");
        assert!(fetch(&portcullis, &frank).is_whole(), "everybody has an own budget");
        let counted = "portcullis_cut_total{reason=\"byte_budget_exhausted\",route=\"/documents/{document}\"}";
        assert_eq!(portcullis.metric(counted), 1.0);
    }
}

fn get(token: &str) -> Request<Full<Bytes>> {
    Request::get("http://api.acme.example/documents/d1")
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

/// Several requests at once on one connection of HTTP/2: of each its status, the bytes that came, and whether it ended
/// as it should.
fn streams(portcullis: &Portcullis, token: &str, count: usize) -> Vec<(u16, usize, bool)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(portcullis.data).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let asked: Vec<_> = (0..count).map(|_| tokio::spawn(sender.send_request(get(token)))).collect();
        let mut came = Vec::new();
        for answer in asked {
            let answer = answer.await.unwrap().unwrap();
            let (status, mut body) = (answer.status().as_u16(), answer.into_body());
            let (mut length, mut is_whole) = (0, true);
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
                    Err(_) => {
                        is_whole = false;
                        break;
                    }
                }
            }
            came.push((status, length, is_whole));
        }
        came
    })
}

#[test]
fn a_stream_of_http_2_beyond_the_budget_is_reset() {
    let world = world("150kB", "answers");
    let portcullis = world.start();
    let erin = world.issuer.token("erin", &[]);
    assert_eq!(streams(&portcullis, &erin, 1), [(200, ANSWER, true)]);
    let [(status, length, is_whole)] = streams(&portcullis, &erin, 1)[..] else { panic!("one answer") };
    assert_eq!((status, is_whole), (200, false));
    assert!(length <= 50_000, "{length}");
    assert_eq!(streams(&portcullis, &erin, 1)[0].0, 429);
}

#[test]
fn many_at_once_get_no_more_than_the_budget() {
    let world = world("1MB", "answers");
    let portcullis = world.start();
    let erin = world.issuer.token("erin", &[]);
    let (passed, whole) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let note = |bytes: usize, is_whole: bool| {
        passed.fetch_add(bytes, Ordering::Relaxed);
        whole.fetch_add(usize::from(is_whole), Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let came = fetch(&portcullis, &erin);
                note(came.body, came.is_whole());
            });
        }
        scope.spawn(|| {
            for (status, bytes, is_whole) in streams(&portcullis, &erin, 16) {
                if status == 200 {
                    note(bytes, is_whole);
                }
            }
        });
    });
    let (passed, whole) = (passed.into_inner(), whole.into_inner());
    assert!(passed <= 1_000_000 && whole <= 10, "{passed} bytes, {whole} whole answers");
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 429);
}

fn put(portcullis: &Portcullis, token: &str, length: usize) -> Answer {
    portcullis.request("PUT", "/documents/d1", token, "", &"x".repeat(length))
}

#[test]
fn uploads_count_before_they_reach_the_upstream() {
    let world = world("100kB", "requests");
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    assert_eq!(put(&portcullis, &erin, 60_000).status, 200);
    let denied = put(&portcullis, &erin, 60_000);
    assert_eq!((denied.status, denied.reason().as_str()), (429, "byte_budget_exhausted"));
    assert_eq!(world.record_of(&denied)["outcome"], "deny");
    assert_eq!(put(&portcullis, &erin, 40_000).status, 200, "answers do not count, and so much is left");
    assert_eq!(put(&portcullis, &erin, 0).status, 429);
    assert_eq!(world.upstream.seen().len(), 2);
    // One that does not say how long it is: it is broken off, and the upstream never has it whole.
    let mut connection = Connection::open(portcullis.data);
    connection.send(request("PUT", "/documents/d1", &frank, "transfer-encoding: chunked\r\n", ""));
    for _ in 0..11 {
        connection.send(format!("2710\r\n{}\r\n", "x".repeat(10_000)));
        thread::sleep(Duration::from_millis(5));
    }
    let cut = connection.answer_to("PUT").expect("an answer");
    assert_eq!((cut.status, cut.reason().as_str()), (429, "byte_budget_exhausted"));
    let said = world.record_of(&cut);
    assert_eq!((&said["outcome"], &said["reason"]), (&json!("allow"), &json!("byte_budget_exhausted")));
    assert!(said["bytes"]["request"].as_u64().unwrap() <= 100_000);
    assert_eq!(world.upstream.seen().len(), 2);
    assert_eq!(
        portcullis.metric("portcullis_upstream_errors_total{reason=\"byte_budget_exhausted\",upstream=\"main\"}"),
        0.0
    );
}

#[test]
fn bodies_that_are_read_and_answers_that_are_filtered_count_too() {
    let world = world("100B", "both");
    world.upstream.answer_json("{}");
    let portcullis = world.start();
    let erin = world.issuer.token("erin", &[]);
    let post = || portcullis.request("POST", "/read", &erin, "", &format!("{{\"document\":\"d1\"{}}}", " ".repeat(50)));
    assert_eq!((post().status, post().status), (200, 429));
    assert_eq!(world.upstream.seen().len(), 1);
    // A list that is there whole is not begun if it does not fit.
    let list = |count: usize| vec![r#"{"id":"d1"}"#; count].join(",");
    world.upstream.answer_json(&format!("{{\"items\":[{}]}}", list(4)));
    assert_eq!(portcullis.get("/documents", &erin).status, 200);
    let denied = portcullis.get("/documents", &erin);
    assert_eq!((denied.status, denied.reason().as_str()), (429, "byte_budget_exhausted"));
    assert_eq!(world.record_of(&denied)["outcome"], "allow", "the upstream was asked");
    assert_eq!(portcullis.get("/documents", &erin).status, 429);
    assert_eq!(world.upstream.seen().len(), 3);
}

#[test]
fn what_is_refused_for_its_uses_spends_no_bytes() {
    let budgets =
        "uses: { most: 1, within: 1h, per: credential }, bytes: { most: 100B, within: 1h, per: subject, of: requests }";
    let world = World::with_routes(&format!(
        r#"
  - path: /read
    upstream: main
    operations:
      POST: {{ action: can_read, resource: "document:{{body.document}}", {budgets} }}
"#
    ));
    let portcullis = world.start();
    let post = |id: &str| {
        let token = token(&world.issuer, "erin", |claims| claims["jti"] = json!(id));
        let answer =
            portcullis.request("POST", "/read", &token, "", &format!("{{\"document\":\"d1\"{}}}", " ".repeat(32)));
        (answer.status, if answer.status == 200 { String::new() } else { answer.reason() })
    };
    let (passed, used) = ((200, String::new()), (429, "budget_exhausted".to_owned()));
    assert_eq!(post("t1"), passed);
    // Of 100 bytes there is room for two of them.
    assert_eq!((post("t1"), post("t1"), post("t1")), (used.clone(), used.clone(), used));
    assert_eq!(post("t2"), passed);
    assert_eq!(post("t3"), (429, "byte_budget_exhausted".to_owned()));
    assert_eq!(world.upstream.seen().len(), 2);
}

#[test]
fn a_configuration_of_budgets_is_checked() {
    let world = world("100kB", "both");
    let config = world.config();
    for (from, to, problem) in [
        ("most: 100kB", "most: 100 apples", "`100 apples` is not a size"),
        ("most: 100kB", "most: 0B", "0 bytes would deny everything"),
        ("within: 1h", "within: soon", "`soon` is not a duration"),
        ("of: both", "of: neither", "neither"),
        ("per: subject", "per: everybody", "everybody"),
        ("path: /read", "name: /documents\n    path: /read", "another route with `uses` or `bytes` is called"),
    ] {
        world.write("portcullis.yaml", config.replacen(from, to, 1));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && said.contains(problem), "{to}: {said}");
    }
    world.write("portcullis.yaml", &config);
    let output = world.run(&["validate", "--config", "portcullis.yaml"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("at most 100000 bytes within 3600s"));
}
