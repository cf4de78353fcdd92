//! What goes wrong at three in the morning: full disks, floods, clients that leave, chains without end.

use std::{io::Write, net::TcpListener, thread, time::Duration};

use portcullis::access::Reason;

use crate::support::{Connection, Portcullis, World, eventually, request};

#[test]
fn what_cannot_be_recorded_does_not_pass() {
    let world = World::new();
    let config = world.config().replace("audit: { file: audit.jsonl }", "audit: { file: /dev/full }");
    world.write("portcullis.yaml", &config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    // The first record finds the disk full; from then on nothing passes.
    portcullis.get("/documents/d1", &token);
    portcullis.until_logged("audit records cannot be written");
    let seen = world.upstream.seen().len();
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (503, "audit_unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.upstream.seen().len(), seen);
    assert_eq!(portcullis.metric("portcullis_audit_failing"), 1.0);
    assert_eq!(portcullis.telemetry("/livez").status, 200);
}

#[test]
fn records_that_are_lost_at_the_end_are_counted_and_fail_the_process() {
    let world = World::new();
    world.write("portcullis.yaml", world.config().replace("file: audit.jsonl", "file: /dev/full"));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    // It is forwarded, and its record is lost; so are those of the denials that wait behind it.
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    portcullis.until_logged("audit records cannot be written");
    for _ in 0..2 {
        assert_eq!(portcullis.get("/documents/d1", &token).status, 503);
    }
    let told = portcullis.end();
    assert_eq!(told.status.code(), Some(1));
    assert!(told.log.contains("audit records are lost") && told.log.contains("records=3"), "{}", told.log);
    assert!(!told.log.contains("requests in flight\n"), "nobody was in flight: {}", told.log);
}

#[test]
fn a_line_that_a_process_left_unfinished_is_not_continued() {
    let world = World::new();
    world.write("audit.jsonl", "{\"half\":");
    let portcullis = world.start();
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status, 200);
    assert_eq!(portcullis.end().status.code(), Some(0));
    let written = std::fs::read_to_string(world.path("audit.jsonl")).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "{\"half\":"), "{written}");
    assert!(lines[1].starts_with('{') && lines[1].ends_with('}'), "{written}");
    // One that ends with its line goes on without an empty one.
    let portcullis = world.start();
    portcullis.get("/documents/d1", &world.issuer.token("erin", &[]));
    portcullis.end();
    assert_eq!(std::fs::read_to_string(world.path("audit.jsonl")).unwrap().lines().count(), 3);
}

#[test]
fn who_chose_to_serve_without_records_is_served_and_told() {
    let world = World::new();
    let config =
        world.config().replace("audit: { file: audit.jsonl }", "audit: { file: /dev/full, on_failure: count }");
    world.write("portcullis.yaml", &config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    portcullis.get("/documents/d1", &token);
    portcullis.until_logged("audit records cannot be written");
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    assert!(portcullis.metric("portcullis_audit_write_failures_total") >= 1.0);
}

#[test]
fn more_requests_than_the_limit_are_turned_away() {
    let world = World { more: "limits: { in_flight: 1 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    // A body that does not come keeps its request in flight.
    let mut slow = Connection::open(portcullis.data);
    slow.send(request("PUT", "/documents/d1", &token, "content-length: 5\r\n", ""));
    eventually("it is in flight", || Some(()).filter(|()| portcullis.metric("portcullis_requests_in_flight") == 1.0));
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (503, "overloaded"));
    assert_eq!(portcullis.telemetry("/readyz").status, 200, "the doors for the operator stay open");
    slow.send("12345");
    assert_eq!(slow.answer().unwrap().status, 200);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
}

#[test]
fn a_client_that_leaves_is_recorded() {
    let world = World { more: "timeouts: { half_closed: 200ms }".to_owned(), ..World::new() };
    // It accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(silent.local_addr().unwrap());
    let token = world.issuer.token("erin", &[]);
    let mut leaving = Connection::open(portcullis.data);
    leaving.send(request("GET", "/documents/d1", &token, "", ""));
    eventually("it is in flight", || Some(()).filter(|()| portcullis.metric("portcullis_requests_in_flight") == 1.0));
    drop(leaving);
    let record = eventually("the record", || world.audit().pop());
    assert_eq!((record["outcome"].as_str(), record["complete"].as_bool()), (Some("allow"), Some(false)));
    assert_eq!(record["status"], serde_json::Value::Null);
    // One that leaves before it could be decided.
    let world = World::with_routes(
        "\n  - path: /open\n    upstream: main\n    operations:\n      POST: { action: can_read, resource: \"document:{body.id}\" }\n",
    );
    let portcullis = world.start();
    let mut leaving = Connection::open(portcullis.data);
    leaving.send(request("POST", "/open", &world.issuer.token("erin", &[]), "content-length: 5\r\n", ""));
    eventually("it is in flight", || Some(()).filter(|()| portcullis.metric("portcullis_requests_in_flight") == 1.0));
    drop(leaving);
    let record = eventually("the record", || world.audit().pop());
    assert_eq!(record["outcome"], "deny");
    assert!(matches!(record["reason"].as_str(), Some("abandoned" | "malformed_message")), "{record}");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_next_request_is_recorded() {
    let world = World { more: "timeouts: { half_closed: 200ms }".to_owned(), ..World::new() };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(silent.local_addr().unwrap());
    let mut leaving = Connection::open(portcullis.data);
    leaving.send(request("GET", "/documents/d1", &world.issuer.token("erin", &[]), "", "") + "GET /docu");
    eventually("it is in flight", || Some(()).filter(|()| portcullis.metric("portcullis_requests_in_flight") == 1.0));
    drop(leaving);
    let record = eventually("the record", || world.audit().pop());
    assert_eq!((record["status"].as_u64(), record["complete"].as_bool()), (None, Some(false)));
}

#[test]
fn a_client_that_has_closed_its_side_gets_its_answer() {
    let world = World::new();
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(slow.local_addr().unwrap());
    let mut asking = Connection::open(portcullis.data);
    asking.send(request("GET", "/documents/d1", &world.issuer.token("erin", &[]), "", ""));
    let (mut upstream, _) = slow.accept().unwrap();
    asking.stream().shutdown(std::net::Shutdown::Write).unwrap();
    // So that the end of what it asks is there before the answer begins, and again before it ends.
    for piece in ["HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n", "half", "half"] {
        thread::sleep(Duration::from_millis(100));
        upstream.write_all(piece.as_bytes()).unwrap();
    }
    let answer = asking.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "halfhalf"));
    let record = eventually("the record", || world.audit().pop());
    assert_eq!(record["complete"], true);
}

#[test]
fn chains_without_end_and_searches_without_bound_are_denied() {
    let world = World::new();
    let model = std::fs::read_to_string(world.path("model.fga")).unwrap();
    world.write("model.fga", model.replace("define member: [user]", "define member: [user, group#member]"));
    let mut tuples = world.tuples();
    for depth in 0..40 {
        tuples.push_str(&format!(
            "- {{ user: group:g{}#member, relation: member, object: group:g{depth} }}\n",
            depth + 1
        ));
    }
    tuples.push_str("- { user: user:deep, relation: member, object: group:g40 }\n");
    tuples.push_str("- { user: group:g0#member, relation: viewer, object: folder:open }\n");
    world.write("tuples.yaml", tuples);
    let portcullis = world.start();
    let answer = portcullis.get("/documents/d1", &world.issuer.token("deep", &[]));
    assert_eq!((answer.status, answer.reason().as_str()), (403, "depth_exceeded"));
    drop(portcullis);
    let world = World { policy_more: "max_steps: 2".to_owned(), ..world };
    let portcullis = world.start();
    let answer = portcullis.get("/documents/d1", &world.issuer.token("deep", &[]));
    assert_eq!((answer.status, answer.reason().as_str()), (403, "steps_exceeded"));
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn slow_heads_and_silent_connections_are_closed() {
    let world = World { more: "timeouts: { handshake: 300ms, head: 300ms }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let mut silent = Connection::open(portcullis.data);
    assert!(silent.is_closed());
    let mut preface = Connection::open(portcullis.data);
    preface.send("PRI * HTTP");
    assert!(preface.is_closed());
    let mut slow = Connection::open(portcullis.data);
    slow.send("GET /documents/d1 HTTP/1.1\r\nhost: a\r\n");
    assert!(slow.answer().is_none_or(|answer| answer.status == 408));
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn after_a_kill_it_comes_up_again_and_the_record_is_whole() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let answer = portcullis.get("/documents/d1", &token);
    world.record_of(&answer);
    portcullis.signal("-KILL");
    assert!(!portcullis.wait().success());
    let portcullis = world.start();
    let answer = portcullis.get("/documents/d1", &token);
    world.record_of(&answer);
    assert_eq!(world.audit().len(), 2);
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew_on_sighup() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    world.record_of(&portcullis.get("/documents/d1", &token));
    std::fs::rename(world.path("audit.jsonl"), world.path("audit.jsonl.1")).unwrap();
    portcullis.signal("-HUP");
    portcullis.until_logged("opened anew");
    world.record_of(&portcullis.get("/documents/d1", &token));
    assert_eq!(world.audit().len(), 1);
}

#[test]
fn on_a_signal_requests_in_flight_are_finished() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut slow = Connection::open(portcullis.data);
    slow.send(request("PUT", "/documents/d1", &token, "content-length: 5\r\n", ""));
    let mut idle = Connection::open(portcullis.data);
    idle.send(request("GET", "/documents/d1", &token, "", ""));
    assert_eq!(idle.answer().unwrap().status, 200);
    eventually("it is in flight", || Some(()).filter(|()| portcullis.metric("portcullis_requests_in_flight") == 1.0));
    portcullis.signal("-TERM");
    eventually("it is not ready", || Some(()).filter(|()| portcullis.telemetry("/readyz").status == 503));
    assert!(idle.is_closed(), "connections that rest are closed");
    thread::sleep(Duration::from_millis(100));
    slow.send("12345");
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(portcullis.wait().success());
    assert_eq!(world.audit().len(), 2);
}

#[test]
fn at_the_deadline_it_ends_all_the_same() {
    let world = World { more: "timeouts: { drain: 300ms }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let mut stuck = Connection::open(portcullis.data);
    stuck.send(request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), "content-length: 5\r\n", ""));
    eventually("it is in flight", || Some(()).filter(|()| portcullis.metric("portcullis_requests_in_flight") == 1.0));
    portcullis.signal("-INT");
    assert_eq!(portcullis.wait().code(), Some(1));
}

#[test]
fn what_is_cut_at_the_deadline_leaves_its_record() {
    let world = World { more: "timeouts: { drain: 300ms }".to_owned(), ..World::new() };
    let portcullis = world.start();
    world.upstream.answer_with(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
    );
    let mut stream = Connection::open(portcullis.data);
    stream.send(request("GET", "/documents/d1", &world.issuer.token("erin", &[]), "", ""));
    eventually("it arrived", || (!world.upstream.seen().is_empty()).then_some(()));
    portcullis.signal("-TERM");
    assert_eq!(portcullis.wait().code(), Some(1));
    let records = world.audit();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!((records[0]["outcome"].as_str(), records[0]["complete"].as_bool()), (Some("allow"), Some(false)));
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let world = World { listen: "- address: 127.0.0.1:0".to_owned(), ..World::new() };
    // Nobody can read its addresses, so they are chosen here.
    let free = |_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let addresses: Vec<_> = (0..2).map(free).collect();
    let config = world.config().replace("- address: 127.0.0.1:0", &format!("- address: {}", addresses[0]));
    let config =
        config.replace("telemetry: { address: 127.0.0.1:0 }", &format!("telemetry: {{ address: {} }}", addresses[1]));
    world.write("portcullis.yaml", config);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["run", "--config"])
        .arg(world.path("portcullis.yaml"))
        .stderr(full)
        .spawn()
        .unwrap();
    let token = world.issuer.token("erin", &[]);
    let get = || {
        std::net::TcpStream::connect(addresses[0]).ok()?;
        let mut connection = Connection::open(addresses[0]);
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        connection.answer()
    };
    assert_eq!(eventually("it serves", get).revision(), 1);
    // A refusal and a reload are logged, or would be.
    world.write("model.fga", "not a model");
    thread::sleep(Duration::from_millis(300));
    let model = "model\n  schema 1.1\ntype user\n";
    world.write("model.fga", model);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(get().unwrap().status, 200);
    assert!(child.try_wait().unwrap().is_none(), "it still runs");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_client_that_breaks_off_its_body_is_no_failure_of_the_upstream() {
    let world = World::new();
    let portcullis = world.start();
    let fields = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n";
    portcullis.request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), fields, "");
    let record = eventually("the record", || world.audit().pop());
    assert_eq!(record["reason"], "malformed_message");
    let name = "portcullis_upstream_errors_total{reason=\"upstream_unreachable\",upstream=\"main\"}";
    assert_eq!(portcullis.metric(name), 0.0);
}

#[test]
fn an_upload_may_take_longer_than_the_answer() {
    let world = World::new();
    let plain = format!("\"http://{}\"", world.upstream.address);
    let config = world.config().replace(&plain, &format!("{plain}, response_timeout: 300ms"));
    world.write("portcullis.yaml", config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let mut slow = Connection::open(portcullis.data);
    slow.send(request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), "content-length: 8\r\n", ""));
    for byte in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        thread::sleep(Duration::from_millis(100));
        slow.send(byte);
    }
    assert_eq!(slow.answer().unwrap().status, 200);
}

#[test]
fn every_reason_is_reached_by_a_test() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let tests: String = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    // A memory is full after 50,000 requests, which the tests of that memory do not send.
    for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::TooManyProofs) {
        let reached = tests.contains(&format!("\"{reason}\"")) || tests.contains(&format!("Reason::{reason:?}"));
        assert!(reached, "no test reaches `{reason}`");
    }
}
