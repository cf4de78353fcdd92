//! WebSocket connections on streams of HTTP/2 (RFC 8441).

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::support::{Echo, Http2, Portcullis, Told, World, eventually, raw_http2::*};

const ROUTES: &str = r#"
  - path: /live/{document}
    upstream: main
    operations:
      GET:
        action: can_read
        resource: "document:{path.document}"
        upgrade: websocket
        websocket: { subprotocols: [chat.v2, chat.v1] }
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

/// A service that takes a WebSocket connection by HTTP/1.1 and sends back what comes; the heads that it got.
fn service() -> (std::net::SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, seen) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let heads = heads.clone();
            thread::spawn(move || serve(stream, &heads));
        }
    });
    (address, seen)
}

fn serve(mut stream: TcpStream, heads: &mpsc::Sender<String>) {
    let (mut head, mut byte) = (String::new(), [0]);
    while !head.ends_with("\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(char::from(byte[0]));
    }
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or_default().to_owned();
    let _ = heads.send(head);
    let joined = [key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: chat.v1\r\n\r\n"
    );
    let _ = stream.write_all(answer.as_bytes());
    let mut read = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut read) {
        // A client's frame has a mask, here of zeros, and a server's has none.
        let payload = &read[6..count];
        let length = u8::try_from(payload.len()).unwrap();
        if stream.write_all(&[&[0x81, length], payload].concat()).is_err() {
            return;
        }
    }
}

const HELLO: &[u8] = b"\x81\x85\x00\x00\x00\x00hello";

fn connect<'a>(path: &'a str, token: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "api.acme.example"),
        ("authorization", token),
    ];
    [&own[..], more].concat()
}

const OFFER: [(&str, &str); 2] = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat.v1, other")];

/// What comes on the stream as data, until this much is there.
fn read(connection: &mut Http2, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < length {
        let (kind, _, _, payload) = connection.next().expect("the connection goes on");
        assert!(kind != 3 && kind != 7, "it ended");
        if kind == 0 {
            read.extend(payload);
        }
    }
    read
}

/// Whether the connection's settings allow for streams of other protocols.
fn takes_streams(portcullis: &Portcullis) -> bool {
    let mut connection = Http2::reading(portcullis.data);
    loop {
        let (kind, flags, _, payload) = connection.next().unwrap();
        if kind == 4 && flags & 1 == 0 {
            return payload.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]);
        }
    }
}

#[test]
fn frames_pass_on_a_stream_beside_other_streams() {
    let world = World::with_routes(ROUTES);
    let (address, seen) = service();
    let portcullis = world.start_before(address);
    let token = format!("Bearer {}", world.issuer.token("erin", &["reader"]));
    assert!(takes_streams(&portcullis));
    let mut connection = Http2::reading(portcullis.data);
    connection.frame(1, END_HEADERS, 1, &block(&connect("/live/d1", &token, &OFFER)));
    connection.frame(0, 0, 1, HELLO);
    assert_eq!(read(&mut connection, 7), b"\x81\x05hello");
    let head = seen.recv().unwrap();
    assert!(head.starts_with("GET /live/d1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("sec-websocket-protocol: chat.v1\r\n") && !head.contains("other"), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("portcullis-subject: user:erin\r\n"), "{head}");
    // Another stream is a request like every other.
    connection.head(3, &connect("/documents/d1", &token, &OFFER));
    assert_eq!(connection.told(3).status(), Some(405));
    connection.frame(0, 0, 1, HELLO);
    assert_eq!(read(&mut connection, 7), b"\x81\x05hello");
    assert!(world.audit().iter().all(|record| record["path"] != "/live/d1"), "it lasts");
    connection.frame(0, END_STREAM, 1, &[]);
    let is_it = |record: &serde_json::Value| record["path"] == "/live/d1";
    let record = eventually("the record", || world.audit().into_iter().find(is_it));
    assert_eq!((&record["method"], &record["status"]), (&"GET".into(), &200.into()));
    assert_eq!((&record["upstream_status"], &record["complete"]), (&101.into(), &true.into()));
    assert_eq!(record["bytes"], serde_json::json!({ "request": 22, "response": 14 }));
}

#[test]
fn a_stream_ends_when_it_is_not_permitted_any_more() {
    let world = World::with_routes(ROUTES);
    let (address, _seen) = service();
    let portcullis = world.start_before(address);
    let token = format!("Bearer {}", world.issuer.token("erin", &["reader"]));
    let mut connection = Http2::reading(portcullis.data);
    connection.frame(1, END_HEADERS, 1, &block(&connect("/live/d1", &token, &OFFER)));
    connection.frame(0, 0, 1, HELLO);
    assert_eq!(read(&mut connection, 7), b"\x81\x05hello");
    let without = "- { user: user:erin, relation: member, object: group:staff }\n";
    world.replace("tuples.yaml", world.tuples().replace(without, ""));
    assert_eq!(read(&mut connection, 4), b"\x88\x02\x03\xf0", "1008");
    let record = eventually("the record", || world.audit().pop());
    assert_eq!((&record["cut"], &record["complete"]), (&"not_permitted".into(), &false.into()));
}

#[test]
fn a_stream_for_another_protocol_or_without_its_handshake_forwards_nothing() {
    let world = World::with_routes(ROUTES);
    let echo = Echo::start();
    let portcullis = world.start_before(echo.address);
    let token = format!("Bearer {}", world.issuer.token("erin", &["reader"]));
    let other: Vec<_> = connect("/live/d1", &token, &OFFER)
        .into_iter()
        .map(|(name, value)| (name, if name == ":protocol" { "connect-udp" } else { value }))
        .collect();
    for (name, fields, status) in [
        ("another protocol", other, 405),
        ("no version", connect("/live/d1", &token, &OFFER[1..]), 400),
        ("no subprotocol that is taken", connect("/live/d1", &token, &OFFER[..1]), 400),
        ("what is not permitted", connect("/live/unknown", &token, &OFFER), 403),
        ("no credential", connect("/live/d1", "Bearer x", &OFFER), 401),
        ("no route", connect("/nowhere", &token, &OFFER), 403),
    ] {
        let mut connection = Http2::reading(portcullis.data);
        connection.frame(1, END_HEADERS, 1, &block(&fields));
        assert_eq!(connection.told(1).status(), Some(status), "{name}");
    }
    assert!(echo.take().is_empty());
    // An upstream that answers 200 is no WebSocket, though to the client's eyes it would be.
    let mut connection = Http2::reading(portcullis.data);
    connection.frame(1, END_HEADERS, 1, &block(&connect("/live/d1", &token, &OFFER)));
    assert_eq!(connection.told(1).status(), Some(502));
}

#[test]
fn without_a_route_that_asks_for_it_no_stream_switches() {
    let world = World::new();
    let portcullis = world.start();
    let token = format!("Bearer {}", world.issuer.token("erin", &[]));
    assert!(!takes_streams(&portcullis));
    let mut connection = Http2::reading(portcullis.data);
    connection.frame(1, END_HEADERS, 1, &block(&connect("/documents/d1", &token, &OFFER)));
    assert!(matches!(connection.told(1), Told::Reset(_) | Told::GoneAway(_)));
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn a_client_that_takes_nothing_on_its_stream_is_ended() {
    let (address, _heads) = service();
    let mut world = World::with_routes(ROUTES);
    world.more = "timeouts: { unread: 1s, idle: 2s, handshake: 1s }".to_owned();
    let portcullis = world.start_before(address);
    let token = format!("Bearer {}", world.issuer.token("erin", &["reader"]));
    // Its window takes less than what comes back.
    let mut connection = Http2::open_with(portcullis.data, &[(4, 100)]);
    connection.frame(1, END_HEADERS, 1, &block(&connect("/live/d1", &token, &OFFER)));
    let said = data(0, 1, &[&[0x81, 0x80 | 30, 0, 0, 0, 0][..], &[b'x'; 30]].concat());
    // Once the answer is there.
    while connection.next().expect("an answer").0 != 1 {}
    for _ in 0..30 {
        connection.send(&said);
        // Few of them are one piece for the service.
        thread::sleep(Duration::from_millis(20));
    }
    let metric = "portcullis_connections_ended_total{reason=\"unread_stream\"}";
    eventually("its end", || (portcullis.metric(metric) == 1.0).then_some(()));
    let record = eventually("the record", || world.audit().pop());
    assert_eq!(record["complete"], false);
    // Nothing of it is left either: its stream is reset, and its connection then rests, and ends.
    while connection.next().expect("its stream is reset").0 != 3 {}
    while connection.next().is_some() {}
    assert_eq!(portcullis.metric("portcullis_connections_ended_total{reason=\"idle\"}"), 1.0);
}
