//! Answers and uploads that last are cut off when they are not permitted any more, and only then.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::support::{Connection, Portcullis, Transmitter, World, eventually, request, token};

/// The beginning of an answer that does not end by itself.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\nevent1\r\n";

/// An answer under way.
pub(crate) struct Stream(Connection);

impl Stream {
    /// Begins one, with this credential in a field.
    pub(crate) fn open(portcullis: &Portcullis, field: &str) -> Self {
        let mut connection = Connection::open(portcullis.data);
        connection.send(format!("GET /documents/d1 HTTP/1.1\r\nhost: api.acme.example\r\n{field}\r\n\r\n"));
        let mut stream = Self(connection);
        stream.until("event1");
        stream
    }

    fn of(portcullis: &Portcullis, token: &str) -> Self {
        Self::open(portcullis, &format!("authorization: Bearer {token}"))
    }

    fn until(&mut self, end: &str) {
        let (mut text, mut read) = (String::new(), [0; 4096]);
        while !text.contains(end) {
            let count = self.0.stream().read(&mut read).unwrap();
            assert!(count > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&read[..count]));
        }
    }

    /// Waits for its end, which must be none that a client takes for the end of the answer.
    pub(crate) fn until_cut(self) {
        let mut rest = Vec::new();
        // The other side may close while something is on its way to it.
        let _ = self.0.stream().read_to_end(&mut rest);
        assert_eq!(String::from_utf8_lossy(&rest), "", "no last chunk, and nothing else");
    }

    /// It is still open after it was decided again.
    pub(crate) fn lasts(&mut self) {
        let mut stream = self.0.stream();
        stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
        let read = stream.read(&mut [0; 64]).map_err(|error| error.kind());
        assert!(matches!(read, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{read:?}");
    }
}

/// The one record of something that was cut off.
fn cut_record(world: &World) -> Value {
    eventually("the record", || world.audit().into_iter().find(|record| record.get("cut").is_some()))
}

fn cut_for(portcullis: &Portcullis, reason: &str) -> f64 {
    portcullis.metric(&format!("portcullis_cut_total{{reason=\"{reason}\",route=\"/documents/{{document}}\"}}"))
}

#[test]
fn an_answer_ends_when_its_user_loses_the_right() {
    let world = World::new();
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &["reader"]), world.issuer.token("frank", &[]));
    let (cut, mut lasting) = (Stream::of(&portcullis, &erin), Stream::of(&portcullis, &frank));
    // A new revision alone ends nothing.
    world.replace("tuples.yaml", world.tuples() + "- { user: user:mara, relation: member, object: group:staff }\n");
    portcullis.until_revision_above(1);
    lasting.lasts();
    assert!(world.audit().is_empty());
    world.replace(
        "tuples.yaml",
        world.tuples().replace("- { user: user:erin, relation: member, object: group:staff }\n", ""),
    );
    cut.until_cut();
    lasting.lasts();
    let record = cut_record(&world);
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("allow"), &json!("permitted")));
    assert_eq!((&record["complete"], &record["cut"]), (&json!(false), &json!("not_permitted")));
    assert_eq!((&record["denied_member"], &record["status"]), (&json!("user:erin"), &json!(200)));
    assert_eq!((&record["denied_access"]["resource"], &record["revision"]), (&json!("document:d1"), &json!(1)));
    assert_eq!(cut_for(&portcullis, "not_permitted"), 1.0);
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 403);
}

#[test]
fn an_answer_ends_with_the_agents_right_its_task_and_its_credential() {
    let mut world = World::new();
    world.policy_more = "task_holder: holder\n  denylist: denied.yaml".to_owned();
    world.write("denied.yaml", "[]");
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let within = |task: &str| {
        let task = json!(task);
        token(&world.issuer, "erin", |claims| {
            claims["act"] = json!({ "sub": "reader" });
            claims["task"] = task;
        })
    };
    let (agents, task) = (world.issuer.token("frank", &["planner"]), within("t1"));
    let denied = token(&world.issuer, "frank", |claims| claims["jti"] = json!("stolen"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // The leeway of half a minute lets it be for some seconds yet.
    let short = token(&world.issuer, "frank", |claims| {
        (claims["iat"], claims["exp"]) = (json!(now - 100), json!(now - 26));
    });
    let mut good = Stream::of(&portcullis, &world.issuer.token("frank", &[]));
    let expired = Stream::of(&portcullis, &short);
    let [by_agent, by_task, by_token] = [&agents, &task, &denied].map(|token| Stream::of(&portcullis, token));
    expired.until_cut();
    assert_eq!(cut_record(&world)["cut"], "invalid_credential");
    for (taken, stream, reason) in [
        ("- { user: agent:planner, relation: viewer, object: folder:open }\n", by_agent, "not_permitted"),
        ("- { user: user:erin, relation: holder, object: task:t1 }\n", by_task, "not_task_holder"),
    ] {
        assert_eq!(cut_for(&portcullis, reason), 0.0);
        world.replace("tuples.yaml", world.tuples().replace(taken, ""));
        stream.until_cut();
        assert_eq!(cut_for(&portcullis, reason), 1.0);
    }
    world.replace("denied.yaml", "- { token: stolen, issuer: \"https://idp.acme.example\" }");
    by_token.until_cut();
    assert_eq!(cut_for(&portcullis, "revoked"), 1.0);
    good.lasts();
    // Without the key that signed them, all tokens are nobody's.
    world.replace("jwks.json", crate::support::Issuer::new("k2").jwks());
    good.until_cut();
    assert_eq!(cut_for(&portcullis, "invalid_credential"), 2.0);
}

#[test]
fn an_answer_ends_with_the_api_key_that_it_was_asked_by() {
    let mut world = World::new();
    let made = world.run(&["key", "new", "--subject", "user:erin"]);
    let (key, entry) = (String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap());
    world.identity_more = format!("api_keys:\n    keys:\n{entry}");
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let field = format!("x-api-key: {}", key.trim());
    let mut other = Stream::of(&portcullis, &world.issuer.token("frank", &[]));
    // More streams than bad keys are heard of one source: these are no guesses.
    let cut: Vec<_> = (0..40).map(|_| Stream::open(&portcullis, &field)).collect();
    world.identity_more = String::new();
    world.replace("portcullis.yaml", world.config());
    cut.into_iter().for_each(Stream::until_cut);
    other.lasts();
}

#[test]
fn a_signal_ends_the_answers_of_its_session() {
    let world = super::signals::world();
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    let (cut, mut lasting) = (Stream::of(&portcullis, &erin), Stream::of(&portcullis, &frank));
    super::signals::revoke(&world, &portcullis, "erin");
    cut.until_cut();
    lasting.lasts();
    assert_eq!(cut_record(&world)["cut"], "revoked");
}

fn until_draining(portcullis: &Portcullis) {
    portcullis.signal("-TERM");
    eventually("it drains", || (portcullis.telemetry("/readyz").status == 503).then_some(()));
}

#[test]
fn a_signal_that_is_pushed_during_a_drain_ends_the_answers_of_its_session() {
    let world = super::signals::world();
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    let (cut, mut lasting) = (Stream::of(&portcullis, &erin), Stream::of(&portcullis, &frank));
    until_draining(&portcullis);
    super::signals::revoke(&world, &portcullis, "erin");
    cut.until_cut();
    lasting.lasts();
    assert_eq!(cut_record(&world)["cut"], "revoked");
    // With the last answer it ends, in order.
    drop(lasting);
    assert_eq!(portcullis.wait().code(), Some(0));
}

#[test]
fn a_signal_that_is_polled_for_during_a_drain_ends_the_answers_of_its_session() {
    let transmitter = Transmitter::start();
    let world = super::signal_polls::world(&[&transmitter]);
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &["reader"]));
    let (cut, mut lasting) = (Stream::of(&portcullis, &erin), Stream::of(&portcullis, &frank));
    eventually("a poll waits", || (transmitter.waiting() == 1).then_some(()));
    until_draining(&portcullis);
    transmitter.say([("s1", super::signal_polls::signed(&world.issuer, "s1", "erin"))]);
    cut.until_cut();
    lasting.lasts();
    // The next poll says that it was taken, and later ones bring what concerns an actor.
    transmitter.say([("s2", super::signal_polls::signed(&world.issuer, "s2", "reader"))]);
    lasting.until_cut();
    assert!(transmitter.acknowledged().contains(&"s1".to_owned()));
    assert_eq!(portcullis.wait().code(), Some(0));
}

#[test]
fn an_answer_that_never_pauses_ends_too() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        while stream.write_all(chunk.as_bytes()).is_ok() {}
    });
    let portcullis = world.start_before(address);
    let mut connection = Connection::open(portcullis.data);
    connection.send(request("GET", "/documents/d1", &world.issuer.token("erin", &[]), "", ""));
    let mut read = vec![0; 1 << 16];
    connection.stream().read_exact(&mut read).unwrap();
    world.replace("tuples.yaml", world.tuples().replace("- { user: user:erin, relation: member,", "#"));
    while connection.stream().read(&mut read).is_ok_and(|count| count > 0) {}
    assert_eq!(cut_record(&world)["cut"], "not_permitted");
    upstream.join().unwrap();
}

#[test]
fn a_body_that_is_read_first_is_decided_when_it_is_there() {
    let world = World::with_routes(
        r#"
  - path: /search
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.document}" }
"#,
    );
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    let body = r#"{"document":"d1"}"#;
    let begun = |token: &str| {
        let mut connection = Connection::open(portcullis.data);
        connection.send(request("POST", "/search", token, &format!("content-length: {}\r\n", body.len()), ""));
        connection.send(&body[..body.len() - 1]);
        connection
    };
    let (mut refused, mut good) = (begun(&erin), begun(&frank));
    eventually("both wait", || (portcullis.metric("portcullis_requests_in_flight") == 2.0).then_some(()));
    world.replace("tuples.yaml", world.tuples().replace("- { user: user:erin, relation: member,", "#"));
    portcullis.until_revision_above(1);
    // Longer than a body that nobody waits for takes.
    thread::sleep(Duration::from_millis(700));
    let end = |connection: &mut Connection| {
        connection.send("}");
        connection.answer().unwrap()
    };
    let answer = end(&mut refused);
    assert_eq!((answer.status, answer.reason().as_str()), (403, "not_permitted"));
    assert_eq!(world.record_of(&answer)["outcome"], "deny");
    assert!(world.upstream.seen().is_empty());
    assert_eq!(end(&mut good).status, 200);
}

#[test]
fn a_stream_of_http_2_that_nobody_reads_gains_no_time() {
    let world = World::new();
    let body = "x".repeat(1 << 20);
    world.upstream.answer_with(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    let portcullis = world.start();
    let get = Request::get("http://api.acme.example/documents/d1")
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {}", world.issuer.token("erin", &[])))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let io = TokioIo::new(tokio::net::TcpStream::connect(portcullis.data).await.unwrap());
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = builder.initial_stream_window_size(1).handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut answer = sender.send_request(get).await.unwrap().into_body();
        world.replace("tuples.yaml", world.tuples().replace("- { user: user:erin, relation: member,", "#"));
        portcullis.until_revision_above(1);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut came = 0;
        let ended = loop {
            match answer.frame().await {
                Some(Ok(frame)) => came += frame.into_data().map_or(0, |data| data.len()),
                Some(Err(_)) => break "cut",
                None => break "whole",
            }
        };
        assert_eq!(ended, "cut", "after {came}");
    });
    assert_eq!(cut_record(&world)["cut"], "not_permitted");
}

#[test]
fn an_answer_that_was_waited_for_is_decided_again() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, due) = std::sync::mpsc::channel();
    let upstream = thread::spawn(move || {
        for text in ["erin", "frank"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            due.recv().unwrap();
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n{text:<6}").as_bytes());
        }
    });
    let portcullis = world.start_before(address);
    let asked = |subject: &str, change: &dyn Fn()| {
        let mut connection = Connection::open(portcullis.data);
        connection.send(request("GET", "/documents/d1", &world.issuer.token(subject, &[]), "", ""));
        eventually("it waits", || (portcullis.metric("portcullis_requests_in_flight") == 1.0).then_some(()));
        change();
        // Longer than an answer that nobody waits for takes.
        thread::sleep(Duration::from_millis(700));
        answer.send(()).unwrap();
        connection.answer().unwrap()
    };
    let refused = asked("erin", &|| {
        world.replace("tuples.yaml", world.tuples().replace("- { user: user:erin, relation: member,", "#"));
        portcullis.until_revision_above(1);
    });
    assert_eq!((refused.status, refused.reason().as_str()), (403, "not_permitted"));
    assert_eq!(asked("frank", &|| ()).body, "frank ");
    let record = world.record_of(&refused);
    assert_eq!((&record["upstream_status"], &record["cut"]), (&json!(200), &json!("not_permitted")));
    upstream.join().unwrap();
}

#[test]
fn a_stream_of_http_2_is_reset_and_its_connection_stays() {
    let world = World::new();
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let get = |subject: &str| {
        Request::get("http://api.acme.example/documents/d1")
            .version(Version::HTTP_2)
            .header("authorization", format!("Bearer {}", world.issuer.token(subject, &[])))
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let io = TokioIo::new(tokio::net::TcpStream::connect(portcullis.data).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let mut cut = sender.send_request(get("erin")).await.unwrap().into_body();
        let mut lasting = sender.send_request(get("frank")).await.unwrap().into_body();
        for body in [&mut cut, &mut lasting] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "event1");
        }
        world.replace("tuples.yaml", world.tuples().replace("- { user: user:erin, relation: member,", "#"));
        let error = cut.frame().await.expect("an error, and no end").unwrap_err();
        assert!(error.to_string().contains("error"), "{error}");
        let pause = tokio::time::timeout(Duration::from_millis(1200), lasting.frame()).await;
        assert!(pause.is_err(), "{pause:?}");
        assert_eq!(sender.send_request(get("erin")).await.unwrap().status(), 403);
    });
}

#[test]
fn an_upload_ends_when_it_is_not_permitted_any_more() {
    let world = World::new();
    let portcullis = world.start();
    let erin = world.issuer.token("erin", &[]);
    let mut upload = Connection::open(portcullis.data);
    upload.send(request("PUT", "/documents/d1", &erin, "transfer-encoding: chunked\r\n", ""));
    upload.send("3\r\nabc\r\n");
    eventually("it is on its way", || (portcullis.metric("portcullis_requests_in_flight") == 1.0).then_some(()));
    world.replace(
        "tuples.yaml",
        world.tuples().replace("- { user: user:erin, relation: can_write, object: folder:open }\n", ""),
    );
    let answer = upload.answer_to("PUT").expect("an answer before the end of the body");
    assert_eq!((answer.status, answer.reason().as_str()), (403, "not_permitted"));
    let record = cut_record(&world);
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("allow"), &json!("not_permitted")));
    assert_eq!((&record["cut"], &record["bytes"]["request"]), (&json!("not_permitted"), &json!(3)));
    upload.send("0\r\n\r\n");
    // The upstream never saw its end, so that it saw no request.
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 200);
    assert_eq!(world.upstream.seen().len(), 1);
    let metric = "portcullis_upstream_errors_total{reason=\"not_permitted\",upstream=\"main\"}";
    assert_eq!(portcullis.metric(metric), 0.0);
}

#[test]
fn an_answer_is_decided_again_during_a_drain() {
    let world = World::new();
    world.upstream.answer_with(STREAM);
    let portcullis = world.start();
    let stream = Stream::of(&portcullis, &world.issuer.token("erin", &[]));
    portcullis.signal("-TERM");
    portcullis.until_logged("stopping");
    world.replace(
        "tuples.yaml",
        world.tuples().replace("- { user: user:erin, relation: member, object: group:staff }\n", ""),
    );
    stream.until_cut();
    assert_eq!(cut_record(&world)["cut"], "not_permitted");
    assert_eq!(portcullis.wait().code(), Some(0));
}

/// An upstream that sends `answer` as soon as it has read a head, and what it reads until its connection ends.
fn early(listener: TcpListener, answer: Vec<u8>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut read) = (Vec::new(), [0; 64 * 1024]);
        while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
            let count = stream.read(&mut read).unwrap();
            seen.extend_from_slice(&read[..count]);
        }
        let mut writer = stream.try_clone().unwrap();
        // It may not get rid of all of it.
        let writing = thread::spawn(move || drop(writer.write_all(&answer)));
        while let Ok(count @ 1..) = stream.read(&mut read) {
            seen.extend_from_slice(&read[..count]);
        }
        drop(stream);
        writing.join().unwrap();
        String::from_utf8(seen).unwrap()
    })
}

#[test]
fn an_upload_ends_with_its_answer() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(listener.local_addr().unwrap());
    let upstream = early(listener, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec());
    let mut upload = Connection::open(portcullis.data);
    let erin = world.issuer.token("erin", &[]);
    upload.send(request("PUT", "/documents/d1", &erin, "transfer-encoding: chunked\r\n", ""));
    assert_eq!(upload.answer_to("PUT").unwrap().status, 200);
    let record = eventually("the record", || world.audit().pop());
    assert_eq!((&record["complete"], &record["bytes"]["request"]), (&json!(true), &json!(0)));
    // It ends by itself, whether or not more comes: what passed now would be in no record.
    assert!(upstream.join().unwrap().ends_with("\r\n\r\n"));
    let _ = upload.stream().write_all(b"6\r\nsecret\r\n0\r\n\r\n");
}

#[test]
fn an_upload_is_decided_again_while_nobody_reads_its_answer() {
    // More than the buffers of all sockets on the way hold.
    const LENGTH: usize = 32 * 1024 * 1024;
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(listener.local_addr().unwrap());
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + LENGTH, b'a');
    let upstream = early(listener, answer);
    let mut upload = Connection::open(portcullis.data);
    let erin = world.issuer.token("erin", &[]);
    upload.send(request("PUT", "/documents/d1", &erin, "transfer-encoding: chunked\r\n", ""));
    upload.send("5\r\nfirst\r\n");
    world.replace(
        "tuples.yaml",
        world.tuples().replace("- { user: user:erin, relation: can_write, object: folder:open }\n", ""),
    );
    portcullis.until_revision_above(1);
    thread::sleep(Duration::from_millis(600));
    let _ = upload.stream().write_all(b"6\r\nsecret\r\n");
    let seen = upstream.join().unwrap();
    assert!(seen.contains("first") && !seen.contains("secret"));
    let mut rest = Vec::new();
    let _ = upload.stream().read_to_end(&mut rest);
    assert!(rest.len() < LENGTH, "the answer was cut off too");
    assert_eq!(cut_record(&world)["cut"], "not_permitted");
}

#[test]
fn an_answer_that_nobody_reads_ends_when_it_is_not_permitted_any_more() {
    let world = World { more: "timeouts: { unread: 1h }".to_owned(), ..World::new() };
    let portcullis = world.start_before(crate::support::endless());
    let mut unread = Connection::open(portcullis.data);
    socket2::SockRef::from(unread.stream()).set_recv_buffer_size(4096).unwrap();
    unread.send(request("GET", "/documents/d2", &world.issuer.token("erin", &[]), "", ""));
    eventually("it is under way", || (portcullis.metric("portcullis_requests_in_flight") == 1.0).then_some(()));
    // Longer than it takes until nothing more is taken.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(cut_for(&portcullis, "not_permitted"), 0.0);
    world.replace("tuples.yaml", world.tuples().replace("- { user: user:erin, relation: member,", "#"));
    eventually("it is cut off", || (cut_for(&portcullis, "not_permitted") == 1.0).then_some(()));
    assert_eq!(cut_record(&world)["cut"], "not_permitted");
}
