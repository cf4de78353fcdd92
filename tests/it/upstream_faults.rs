//! Upstreams that break their connections, say too little or too much: what the client gets, and what the next one gets.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::Mutex,
    thread,
    time::Duration,
};

use crate::support::{Connection, Portcullis, Said, Scripted, Then, World, eventually, request};

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      POST: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_read, resource: "document:{path.document}" }
      DELETE: { action: can_read, resource: "document:{path.document}" }
  - path: /open
    upstream: main
    operations:
      PUT: { action: can_read, resource: "document:{body.id}" }
      POST: { action: can_read, resource: "document:{body.id}" }
"#;

fn field<'r>(request: &'r str, name: &str) -> &'r str {
    let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_default()
}

/// An upstream that does what the request says in `x-do`, and tells its `x-id` back where there is nothing to do.
fn obedient() -> Scripted {
    let known = Mutex::new(HashSet::new());
    Scripted::start(move |request, before| {
        let (id, evil) = (field(request, "x-id"), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
        match field(request, "x-do") {
            "reset" => Said(vec![], Then::Reset),
            "reset once" if before == 0 => Said(vec![], Then::Reset),
            "close" => Said(vec![], Then::Close),
            "close once" if known.lock().unwrap().insert(id.to_owned()) => Said(vec![], Then::Close),
            "reset within the head" => Said::of("HTTP/1.1 200 O", Then::Reset),
            "reset after information" => Said::of("HTTP/1.1 103 Early Hints\r\n\r\n", Then::Reset),
            "not HTTP" => Said::of("SSH-2.0-OpenSSH\r\n\r\n", Then::Hang),
            "switch" => {
                Said::of("HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\nconnection: upgrade\r\n\r\n", Then::Hang)
            }
            "two lengths" => {
                Said::of("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc", Then::Keep)
            }
            "short" => Said::of("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Then::Close),
            "short by reset" => Said::of("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Then::Reset),
            "short chunks" => {
                Said::of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", Then::Close)
            }
            "bad chunks" => {
                Said::of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", Then::Keep)
            }
            "until the end" => Said(vec!["HTTP/1.1 200 OK\r\n\r\nall ".into(), "of it".into()], Then::Close),
            "information" => {
                let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
                Said(
                    vec![early.into(), format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{id}", id.len())],
                    Then::Keep,
                )
            }
            "too much" => Said::of(&format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{evil}"), Then::Keep),
            "too much, later" => {
                Said(vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into(), evil.into()], Then::Keep)
            }
            _ => Said::ok(id),
        }
    })
}

struct Case {
    world: World,
    upstream: Scripted,
    portcullis: Portcullis,
    token: String,
}

/// The proxy before an obedient upstream that is written with this more.
fn given(more: &str) -> Case {
    let world = World::with_routes(ROUTES);
    let upstream = obedient();
    let portcullis = world.start_with(&format!("url: \"http://{}\"{more}", upstream.address));
    let token = world.issuer.token("erin", &[]);
    Case { world, upstream, portcullis, token }
}

impl Case {
    /// Sends a request with an id of its own. How often it arrived, and the status.
    fn sent(&self, method: &str, path: &str, what: &str, id: &str, body: &str) -> (usize, u16) {
        let fields = format!("x-do: {what}\r\nx-id: {id}.\r\n");
        let answer = self.portcullis.request(method, path, &self.token, &fields, body);
        (self.upstream.count(&format!("x-id: {id}.\r\n")), answer.status)
    }
}

#[test]
fn what_may_have_been_seen_is_sent_again_only_if_it_may_be_and_never_after_a_byte_of_an_answer() {
    let case = given(", retries: { attempts: 3, budget: 100% }");
    let json = "content-type: application/json";
    // A POST is never sent twice, whatever its body.
    assert_eq!(case.sent("POST", "/documents/d1", "reset", "p1", ""), (1, 502));
    assert_eq!(case.sent("POST", "/documents/d1", "reset", "p2", "five."), (1, 502));
    assert_eq!(case.sent("POST", "/open", &format!("reset\r\n{json}"), "p3", "{\"id\":\"d1\"}"), (1, 502));
    assert_eq!(case.sent("POST", "/documents/d1", "close", "p4", ""), (1, 502));
    // What is idempotent is, if its body is empty or here whole.
    assert_eq!(case.sent("GET", "/documents/d1", "reset", "g1", ""), (3, 502));
    assert_eq!(case.sent("GET", "/documents/d1", "close", "g2", ""), (3, 502));
    assert_eq!(case.sent("DELETE", "/documents/d1", "reset", "g3", ""), (3, 502));
    assert_eq!(case.sent("PUT", "/open", &format!("reset\r\n{json}"), "g4", "{\"id\":\"d1\"}"), (3, 502));
    let put = eventually("its record", || case.world.audit().into_iter().find(|record| record["method"] == "PUT"));
    assert_eq!(
        (put["upstream_attempts"].as_u64(), put["bytes"]["request"].as_u64()),
        (Some(3), Some(11)),
        "as sent last"
    );
    assert_eq!(case.sent("PUT", "/documents/d1", "reset", "g5", "five."), (1, 502), "it was passed on as it came");
    // Not after the answer has begun.
    assert_eq!(case.sent("GET", "/documents/d1", "reset within the head", "a1", ""), (1, 502));
    assert_eq!(case.sent("GET", "/documents/d1", "reset after information", "a2", ""), (1, 502));
    assert_eq!(case.sent("GET", "/documents/d1", "not HTTP", "a3", ""), (1, 502));
    assert_eq!(case.portcullis.metric("portcullis_upstream_retries_total{outcome=\"sent\",upstream=\"main\"}"), 8.0);
}

#[test]
fn a_request_that_is_sent_again_is_the_same_and_its_record_says_so() {
    let case = given(", retries: {}");
    let fields = "x-do: reset once\r\nx-id: same\r\n";
    let answer = case.portcullis.request("GET", "/documents/d1?a=b", &case.token, fields, "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "same"));
    let seen = case.upstream.seen();
    assert_eq!((seen.len(), &seen[0]), (2, &seen[1]));
    let record = case.world.record_of(&answer);
    assert_eq!((record["upstream_attempts"].as_u64(), record["upstream_status"].as_u64()), (Some(2), Some(200)));
    assert_eq!(case.world.audit().len(), 1);
    let answer = case.portcullis.request("GET", "/documents/d1", &case.token, "x-id: once\r\n", "");
    assert_eq!(case.world.record_of(&answer)["upstream_attempts"], serde_json::Value::Null);
}

#[test]
fn without_retries_nothing_is_sent_twice() {
    let case = given("");
    assert_eq!(case.sent("GET", "/documents/d1", "reset", "g1", ""), (1, 502));
}

#[test]
fn what_is_safe_is_sent_once_more_if_its_connection_had_rested() {
    let case = given("");
    // On one connection, so that one worker sends both: its connections are its own.
    let rested = |method: &str, what: &str, id: &str, body: &str| {
        let mut client = Connection::open(case.portcullis.data);
        let mut sent = |method: &str, what: &str, id: &str, body: &str| {
            let fields = format!("x-do: {what}\r\nx-id: {id}.\r\n");
            client.send(request(method, "/documents/d1", &case.token, &fields, body));
            let status = client.answer().unwrap().status;
            (case.upstream.count(&format!("x-id: {id}.\r\n")), status)
        };
        assert_eq!(sent("GET", "nothing", &format!("before-{id}"), ""), (1, 200));
        thread::sleep(Duration::from_millis(600));
        sent(method, what, id, body)
    };
    assert_eq!(rested("GET", "close once", "g1", ""), (2, 200));
    let record = eventually("its record", || case.world.audit().into_iter().find(|it| it["upstream_attempts"] == 2));
    assert_eq!((record["method"].as_str(), record["upstream_status"].as_u64()), (Some("GET"), Some(200)));
    assert_eq!(rested("GET", "close", "g2", ""), (2, 502), "only once");
    assert_eq!(rested("GET", "reset within the head", "g3", ""), (1, 502));
    assert_eq!(rested("DELETE", "close", "d1", ""), (1, 502));
    assert_eq!(rested("POST", "close", "p1", ""), (1, 502));
}

#[test]
fn retries_have_a_budget() {
    let case = given(", retries: { budget: 1% }");
    for number in 0..30 {
        case.sent("GET", "/documents/d1", "reset", &format!("g{number}"), "");
    }
    assert_eq!(case.upstream.seen().len(), 30 + 10, "ten at one go, and one for each hundred");
    let name = "portcullis_upstream_retries_total{outcome=\"over_budget\",upstream=\"main\"}";
    assert_eq!(case.portcullis.metric(name), 20.0);
}

#[test]
fn all_attempts_have_the_time_of_one() {
    let world = World::with_routes(ROUTES);
    let upstream = Scripted::start(|_, before| {
        if before == 0 {
            thread::sleep(Duration::from_millis(1000));
            return Said(vec![], Then::Reset);
        }
        // In time only if the second attempt had the whole time again.
        thread::sleep(Duration::from_millis(1500));
        Said::ok("too late")
    });
    let url = format!("url: \"http://{}\"", upstream.address);
    let portcullis = world.start_with(&format!("{url}, response_timeout: 2s, retries: {{}}"));
    let answer = portcullis.get("/documents/d1", &world.issuer.token("erin", &[]));
    assert_eq!((answer.status, upstream.seen().len()), (504, 2));
}

#[test]
fn what_is_not_permitted_any_more_is_not_sent_again() {
    let world = World::with_routes(ROUTES);
    let upstream = Scripted::start(|_, before| {
        if before == 0 {
            // Long enough for another policy.
            thread::sleep(Duration::from_millis(2500));
            return Said(vec![], Then::Reset);
        }
        Said::ok("again")
    });
    let url = format!("url: \"http://{}\"", upstream.address);
    let portcullis = world.start_with(&format!("{url}, retries: {{}}"));
    let token = world.issuer.token("erin", &[]);
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| portcullis.get("/documents/d1", &token));
        eventually("the upstream is asked", || (upstream.seen().len() == 1).then_some(()));
        let without = "- { user: user:erin, relation: member, object: group:staff }\n";
        world.replace("tuples.yaml", world.tuples().replace(without, ""));
        asking.join().unwrap()
    });
    assert_eq!((answer.status, upstream.seen().len()), (502, 1));
}

#[test]
fn whatever_an_upstream_does_the_next_request_gets_its_own_answer() {
    let case = given("");
    let mut client = Connection::open(case.portcullis.data);
    // What the client gets: a status and what of the body, and whether that is all of it.
    let cases = [
        ("reset", 502, None, false),
        ("close", 502, None, false),
        ("reset within the head", 502, None, false),
        ("reset after information", 502, None, false),
        ("not HTTP", 502, None, false),
        ("switch", 502, None, false),
        ("two lengths", 502, None, false),
        ("short", 200, Some("half"), false),
        ("short by reset", 200, Some("half"), false),
        ("short chunks", 200, Some("half"), false),
        ("bad chunks", 200, Some("half"), false),
        ("until the end", 200, Some("all of it"), true),
        ("information", 200, Some("own"), true),
        ("too much", 200, Some("ok"), true),
        ("too much, later", 200, Some("ok"), true),
    ];
    for (what, status, body, is_whole) in cases {
        let fields = format!("x-do: {what}\r\nx-id: own\r\n");
        client.send(request("GET", "/documents/d1", &case.token, &fields, ""));
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, status, "{what}");
        if let Some(body) = body {
            assert_eq!(answer.body, body, "{what}");
            let record = case.world.record_of(&answer);
            assert_eq!(record["complete"], is_whole, "{what}");
            if !is_whole {
                assert!(client.is_closed(), "{what}: it never looks like the end");
                client = Connection::open(case.portcullis.data);
            }
        }
        if what == "too much, later" {
            // What comes while a connection rests ends it.
            thread::sleep(Duration::from_millis(100));
        }
        for probe in ["first", "second"] {
            client.send(request("GET", "/documents/d1", &case.token, &format!("x-id: {probe}\r\n"), ""));
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, probe), "after {what}");
        }
    }
}

#[test]
fn a_connection_whose_answer_came_before_the_end_of_the_request_is_not_used_again() {
    let world = World::with_routes(ROUTES);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = thread::spawn(move || {
        // The first one answers as soon as it has read the head.
        let (early, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(early.try_clone().unwrap());
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0);
        }
        (&early).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly").unwrap();
        let (next, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(next.try_clone().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("GET "), "{line}");
        (&next).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext").unwrap();
        drop(early);
    });
    let portcullis = world.start_before(address);
    let token = world.issuer.token("erin", &[]);
    let mut sending = Connection::open(portcullis.data);
    sending.send(request("PUT", "/documents/d1", &token, "content-length: 100000\r\n", ""));
    sending.send("the beginning");
    let answer = sending.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "early"));
    let answer = eventually("a worker answers", || Some(portcullis.get("/documents/d1", &token)));
    assert_eq!((answer.status, answer.body.as_str()), (200, "next"));
    upstream.join().unwrap();
}

#[test]
fn an_upload_after_an_answer_by_http_1_0_keeps_its_body() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    world.upstream.answer_with("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok");
    let mut connection = Connection::open(portcullis.data);
    for _ in 0..3 {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        let answer = connection.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        let head = request("PUT", "/documents/d1", &token, "transfer-encoding: chunked\r\n", "");
        connection.send(head.replace("content-length: 0\r\n", "") + "5\r\nhello\r\n0\r\n\r\n");
        let answer = connection.answer().unwrap();
        assert_eq!(answer.status, 200);
        let last = world.upstream.last();
        assert!(last.starts_with("PUT /documents/d1 HTTP/1.1\r\n") && last.contains("hello"), "{last}");
        assert_eq!(world.record_of(&answer)["bytes"]["request"], 5);
    }
}
