//! Deadlines of the clients' side: bodies that come slowly, answers that nobody reads, connections that grow old.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use crate::support::{
    Connection, Portcullis, World, eventually,
    raw_http2::{END_HEADERS, END_STREAM, Http2, frame, request_head},
    request,
};

fn ended(portcullis: &Portcullis, reason: &str) -> f64 {
    portcullis.metric(&format!("portcullis_connections_ended_total{{reason=\"{reason}\"}}"))
}

/// A world whose bodies may pause for a third of a second, and which has a route for those that pause.
fn world() -> World {
    let mut world = World::new();
    world.routes.push_str(
        "  - path: /streams/{document}
    upstream: main
    body_pause: 1h
    operations:
      PUT: { action: can_write, resource: \"document:{path.document}\" }
  - path: /read
    upstream: main
    operations:
      POST: { action: can_read, resource: \"document:{body.id}\" }
",
    );
    world.more = "timeouts: { body_pause: 300ms }\nlimits: { body_rate: 10 }".to_owned();
    world
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let world = world();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    for (method, path, fields, begin) in [
        ("PUT", "/documents/d1", "content-length: 5\r\n", "1"),
        ("PUT", "/documents/d1", "content-length: 5\r\n", ""),
        ("PUT", "/documents/d1", "transfer-encoding: chunked\r\n", "5;"),
        ("PUT", "/documents/d1", "transfer-encoding: chunked\r\n", "1\r\nx\r\n0\r\nTrailer: "),
        ("POST", "/read", "content-length: 5\r\n", "{"),
    ] {
        let mut slow = Connection::open(portcullis.data);
        slow.send(request(method, path, &token, fields, ""));
        slow.send(begin);
        let answer = slow.answer().unwrap_or_else(|| panic!("{path} {fields} {begin}"));
        assert_eq!((answer.status, answer.reason().as_str()), (408, "body_timeout"), "{path} {fields} {begin}");
        assert!(slow.is_closed());
        assert_eq!(world.record_of(&answer)["status"], 408);
    }
    assert!(world.upstream.seen().is_empty());
    let name = "portcullis_upstream_errors_total{reason=\"body_timeout\",upstream=\"main\"}";
    assert_eq!(portcullis.metric(name), 0.0, "it is no fault of the upstream");
}

#[test]
fn a_body_that_keeps_its_pace_may_take_its_time_and_one_that_does_not_may_not() {
    let world = world();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let upload = |path: &str, pause: u64| {
        let mut slow = Connection::open(portcullis.data);
        slow.send(request("PUT", path, &token, "content-length: 20\r\n", ""));
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(pause));
            slow.send("x");
        }
        slow.answer().unwrap().status
    };
    thread::scope(|scope| {
        let uploads = [("/documents/d1", 30, 200), ("/documents/d1", 200, 408), ("/streams/d1", 200, 200)];
        for (path, pause, status) in uploads {
            scope.spawn(move || assert_eq!(upload(path, pause), status, "{path}, a byte each {pause} ms"));
        }
    });
}

#[test]
fn an_upload_that_stalls_ends_its_answer_and_says_so() {
    let world = world();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(upstream.local_addr().unwrap());
    let mut slow = Connection::open(portcullis.data);
    let fields = "transfer-encoding: chunked\r\n";
    slow.send(request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), fields, ""));
    slow.send("1\r\nx\r\n");
    let (mut stream, _) = upstream.accept().unwrap();
    let mut seen = [0; 4096];
    assert!(stream.read(&mut seen).unwrap() > 0);
    // It answers before it has the whole body.
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nsome").unwrap();
    assert_eq!(slow.answer().unwrap().status, 200);
    let record = eventually("the record", || world.audit().pop());
    assert_eq!((record["cut"].as_str(), record["complete"].as_bool()), (Some("body_timeout"), Some(false)));
}

#[test]
fn an_upload_that_stalls_while_its_answer_is_filtered_is_no_fault_of_the_upstream() {
    let mut world = world();
    world.routes.push_str(
        "  - path: /documents
    upstream: main
    operations:
      POST:
        action: can_list
        resource: folder:open
        filter: { each: \"$.items[*]\", action: can_read, resource: \"document:{item.id}\" }
",
    );
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(upstream.local_addr().unwrap());
    let mut slow = Connection::open(portcullis.data);
    let fields = "transfer-encoding: chunked\r\n";
    slow.send(request("POST", "/documents", &world.issuer.token("erin", &[]), fields, ""));
    slow.send("1\r\nx\r\n");
    let (mut stream, _) = upstream.accept().unwrap();
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (408, "body_timeout"));
}

#[test]
fn who_does_not_read_is_not_waited_for_and_who_reads_slowly_is() {
    let more = "timeouts: { unread: 500ms }";
    let world = World { more: more.to_owned(), ..World::new() };
    let body = "x".repeat(32 << 20);
    world.upstream.answer_with(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let before = portcullis.resident();
    let mut unread: Vec<_> = (0..4).map(|_| Connection::open(portcullis.data)).collect();
    for connection in &mut unread {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
    }
    let mut slow = Connection::open(portcullis.data);
    slow.send(request("GET", "/documents/d1", &token, "connection: close\r\n", ""));
    let (mut taken, mut piece) = (0, vec![0; 256 * 1024]);
    loop {
        match slow.stream().read(&mut piece).unwrap() {
            0 => break,
            read => taken += read,
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert!(taken > body.len(), "{taken}");
    eventually("the others are ended", || (ended(&portcullis, "unread_answer") == 4.0).then_some(()));
    let records = eventually("the records", || Some(world.audit()).filter(|records| records.len() == 5));
    assert_eq!(records.iter().filter(|record| record["complete"] == false).count(), 4);
    let grown = portcullis.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more: what is not read is not kept");
}

#[test]
fn an_old_connection_ends_in_order() {
    let world = World { more: "timeouts: { age: 1s, handshake: 300ms }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut idle = Connection::open(portcullis.data);
    let mut busy = Connection::open(portcullis.data);
    let mut answered = 0;
    loop {
        busy.send(request("GET", "/documents/d1", &token, "", ""));
        let answer = busy.answer().expect("no request is lost");
        assert_eq!(answer.status, 200);
        answered += 1;
        if answer.header("connection") == Some("close") {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert!(answered > 1 && busy.is_closed() && idle.is_closed());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(silent.local_addr().unwrap());
    let mut old = Http2::open(portcullis.data);
    old.send(frame(1, END_HEADERS | END_STREAM, 1, &request_head("GET", "/documents/d1", &token, &[])));
    let (mut upstream, _) = silent.accept().unwrap();
    // It is told to go, and its answer still comes.
    loop {
        if old.next().expect("it goes on").0 == 7 {
            break;
        }
    }
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    let answer = std::iter::from_fn(|| old.next()).find(|(kind, _, stream, _)| (*kind, *stream) == (0, 1));
    assert_eq!(answer.expect("the answer").3, b"ok");
    eventually("it has ended", || (ended(&portcullis, "age") == 1.0).then_some(()));
}

#[test]
fn an_answer_that_is_filtered_has_to_come() {
    let mut world = World::with_routes(
        "
  - path: /documents
    upstream: main
    operations:
      GET:
        action: can_list
        resource: folder:open
        filter: { each: \"$.items[*]\", action: can_read, resource: \"document:{item.id}\" }
",
    );
    world.more = "timeouts: { filtered: 300ms }".to_owned();
    let portcullis = world.start();
    world
        .upstream
        .answer_with("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"items\": [");
    let answer = portcullis.get("/documents", &world.issuer.token("erin", &[]));
    assert_eq!((answer.status, answer.reason().as_str()), (504, "upstream_timeout"));
}

#[test]
fn a_connection_that_never_begins_is_counted() {
    let world = World { more: "timeouts: { handshake: 200ms }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let mut slow: Vec<_> = (0..20).map(|_| Connection::open(portcullis.data)).collect();
    for (index, connection) in slow.iter_mut().enumerate() {
        connection.send(&b"PRI * HTTP/2.0"[..index % 14]);
    }
    assert!(slow.iter_mut().all(Connection::is_closed));
    let refused = || portcullis.metric("portcullis_connections_refused_total{reason=\"slow_first_byte\"}");
    eventually("all are counted", || (refused() == 20.0).then_some(()));
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status, 200);
}

#[test]
fn a_pause_is_no_slow_head() {
    let world = World { more: "timeouts: { head: 300ms, idle: 20s }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut connection = Connection::open(portcullis.data);
    for _ in 0..2 {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        assert_eq!(connection.answer().unwrap().status, 200);
        thread::sleep(Duration::from_millis(900));
    }
    connection.send("GET /documents/d1 HTT");
    assert!(connection.is_closed(), "half a head has no more time than that");
}

#[test]
fn answers_that_nobody_reads_take_little_memory() {
    const UNREAD: usize = 40;
    let world = World { more: "timeouts: { unread: 1h }".to_owned(), ..World::new() };
    let portcullis = world.start_before(crate::support::endless());
    let token = world.issuer.token("erin", &[]);
    // Each worker has served something before.
    (0..20).for_each(|_| assert_eq!(portcullis.get("/documents/d1", &token).status, 200));
    let before = portcullis.anonymous();
    let mut unread: Vec<_> = (0..UNREAD).map(|_| Connection::open(portcullis.data)).collect();
    for (number, connection) in unread.iter_mut().enumerate() {
        // What the kernel keeps for it would else grow for a long time.
        if number > 0 {
            socket2::SockRef::from(connection.stream()).set_recv_buffer_size(4096).unwrap();
        }
        connection.send(request("GET", "/documents/d2", &token, "", ""));
    }
    // All have begun, and nothing more of them is taken.
    let (mut grown, all) = (0, f64::from(u8::try_from(UNREAD).unwrap()));
    eventually("they take no more", || {
        thread::sleep(Duration::from_millis(500));
        let now = portcullis.anonymous().saturating_sub(before);
        let is_more = now > std::mem::replace(&mut grown, now) + (64 << 10);
        (!is_more && portcullis.metric("portcullis_requests_in_flight") == all).then_some(())
    });
    println!("{} KiB for each", (grown >> 10) / UNREAD);
    assert!(grown < UNREAD * (128 << 10), "{grown} bytes for {UNREAD} answers");
    // Whoever reads again gets what follows, more than the kernel can have kept, all of it and in its order.
    let mut taken = vec![0; 48 << 20];
    unread[0].stream().read_exact(&mut taken).unwrap();
    let head = taken.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    assert!(taken[head..].iter().all(|byte| *byte == b'x'));
}

#[test]
fn whoever_reads_with_pauses_over_tls_gets_all_of_it() {
    let world = World {
        listen: "- { address: 127.0.0.1:0, tls: { certificate: tls.crt, key: tls.key } }".to_owned(),
        ..World::new()
    };
    let made = rcgen::generate_simple_self_signed(vec!["api.acme.example".to_owned()]).unwrap();
    world.write("tls.crt", made.cert.pem());
    world.write("tls.key", made.signing_key.serialize_pem());
    let portcullis = world.start_before(crate::support::endless());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = std::sync::Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let session = rustls::ClientConnection::new(config, "api.acme.example".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(session, std::net::TcpStream::connect(portcullis.data).unwrap());
    stream.write_all(request("GET", "/documents/d2", &world.issuer.token("erin", &[]), "", "").as_bytes()).unwrap();
    let mut piece = vec![0; 8 << 20];
    for round in 0..6 {
        thread::sleep(Duration::from_millis(200));
        stream.read_exact(&mut piece).unwrap();
        let begin = if round == 0 { piece.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4 } else { 0 };
        assert!(piece[begin..].iter().all(|byte| *byte == b'x'), "{round}");
    }
}
