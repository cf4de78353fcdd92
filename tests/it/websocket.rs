//! WebSocket connections where a route asks for them, and nowhere else.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Portcullis, World, eventually, run};

const ROUTES: &str = r#"
  - path: /live/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}", upgrade: websocket }
      POST: { action: can_read, resource: "document:{path.document}" }
  - path: /counted/{document}
    upstream: main
    operations:
      GET:
        action: can_read
        resource: "document:{path.document}"
        upgrade: websocket
        bytes: { most: 100B, within: 1h, per: subject }
  - path: /spoken/{document}
    upstream: main
    operations:
      GET:
        action: can_read
        resource: "document:{path.document}"
        upgrade: websocket
        websocket: { subprotocols: [chat.v2, chat.v1], idle: 700ms }
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

/// The example of RFC 6455, section 1.3.
const HANDSHAKE: &str = "connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// `hello`, as clients and servers send it.
const ASKED: &[u8] = b"\x81\x85\x00\x00\x00\x00hello";
const ANSWERED: &[u8] = b"\x81\x05hello";

/// An upstream that answers each connection with this head, and then by hand.
struct Service {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    /// What clients sent after their head.
    said: Arc<Mutex<Vec<u8>>>,
}

impl Service {
    /// After its head it says this, and sends `hello` for each piece that comes.
    fn start(head: &str, first: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Self { address: listener.local_addr().unwrap(), heads: Arc::default(), said: Arc::default() };
        let (heads, said, head) = (Arc::clone(&service.heads), Arc::clone(&service.said), format!("{head}\r\n"));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heads, said, head) = (Arc::clone(&heads), Arc::clone(&said), head.clone());
                thread::spawn(move || serve(stream, &head, first, &heads, &said));
            }
        });
        service
    }

    fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &str, first: &[u8], heads: &Mutex<Vec<String>>, said: &Mutex<Vec<u8>>) {
    let Some(head) = read_head(&mut stream) else { return };
    heads.lock().unwrap().push(head);
    if stream.write_all(&[answer.as_bytes(), first].concat()).is_err() || !answer.starts_with("HTTP/1.1 101 ") {
        return;
    }
    let mut read = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut read) {
        said.lock().unwrap().extend(&read[..count]);
        if read[0] == 0x88 || stream.write_all(ANSWERED).is_err() {
            return;
        }
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn before(service: &Service) -> (World, Portcullis, String) {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start_before(service.address);
    let token = world.issuer.token("erin", &["reader"]);
    (world, portcullis, token)
}

/// Asks with these fields; the connection, and the head that came.
fn asked(portcullis: &Portcullis, path: &str, token: &str, fields: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(portcullis.data).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: api.acme.example\r\nauthorization: Bearer {token}\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap_or_default();
    (stream, head)
}

fn opened(portcullis: &Portcullis, path: &str, token: &str) -> TcpStream {
    let (stream, head) = asked(portcullis, path, token, HANDSHAKE);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

fn echoed(stream: &mut TcpStream) {
    stream.write_all(ASKED).unwrap();
    let mut answer = [0; ANSWERED.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, ANSWERED);
}

/// What comes until the other side closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest
}

fn only_record(world: &World) -> Value {
    let record = eventually("the record", || world.audit().pop());
    assert_eq!(world.audit().len(), 1, "one of a connection");
    record
}

#[test]
fn frames_pass_both_ways_and_leave_one_record() {
    let service =
        Service::start(&format!("{SWITCHED}sec-websocket-protocol: chat\r\nx-own: 1\r\nx-accel-redirect: /\r\n"), b"");
    let (world, portcullis, token) = before(&service);
    let fields = format!("{HANDSHAKE}sec-websocket-protocol: news, chat\r\nx-forwarded-for: 1.2.3.4\r\n");
    let (mut stream, head) = asked(&portcullis, "/live/d1", &token, &fields);
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("sec-websocket-protocol: chat\r\n"), "{head}");
    assert!(
        head.contains("x-own: 1") && head.contains("portcullis-decision-id") && !head.contains("x-accel"),
        "{head}"
    );
    for _ in 0..3 {
        echoed(&mut stream);
    }
    assert!(world.audit().is_empty(), "while it lasts");
    assert_eq!(portcullis.metric("portcullis_requests_in_flight"), 1.0);
    drop(stream);
    let record = only_record(&world);
    assert_eq!((&record["status"], &record["upstream_status"]), (&json!(101), &json!(101)));
    assert_eq!(
        (&record["outcome"], &record["complete"], &record["cut"]),
        (&json!("allow"), &json!(true), &Value::Null)
    );
    assert_eq!(record["bytes"], json!({ "request": 3 * ASKED.len(), "response": 3 * ANSWERED.len() }));
    let head = service.heads.lock().unwrap()[0].to_ascii_lowercase();
    for line in
        ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "portcullis-subject: user:erin"]
    {
        assert!(head.contains(&format!("{line}\r\n")), "{head}");
    }
    assert!(!head.contains("authorization") && !head.contains("1.2.3.4"), "{head}");
    assert_eq!(service.said(), ASKED.repeat(3));
}

#[test]
fn other_routes_and_other_protocols_switch_to_nothing() {
    let service = Service::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n", b"ok");
    let (_world, portcullis, token) = before(&service);
    let h2c = "connection: upgrade\r\nupgrade: h2c\r\n";
    for (path, fields) in
        [("/documents/d1", HANDSHAKE), ("/live/d1", h2c), ("/live/d1", ""), ("/live/d1", "upgrade: websocket\r\n")]
    {
        let (_stream, head) = asked(&portcullis, path, &token, fields);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let heads = service.heads.lock().unwrap();
        assert!(!heads.last().unwrap().contains("pgrade:"), "{heads:?}");
    }
    // Where an upstream does not agree, its answer is the answer.
    let (stream, head) = asked(&portcullis, "/live/d1", &token, HANDSHAKE);
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("connection: close"), "{head}");
    assert_eq!(rest(stream), b"ok");
}

#[test]
fn a_bad_handshake_is_refused_before_the_upstream_is_asked() {
    let service = Service::start(SWITCHED, b"");
    let (world, portcullis, token) = before(&service);
    for (good, bad) in [
        ("sec-websocket-version: 13", "sec-websocket-version: 8"),
        ("sec-websocket-version: 13\r\n", ""),
        ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
        ("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("sec-websocket-version: 13", "sec-websocket-version: 13\r\nsec-websocket-version: 13"),
    ] {
        let (stream, head) = asked(&portcullis, "/live/d1", &token, &HANDSHAKE.replace(good, bad));
        assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("connection: close"), "{head}");
        assert!(String::from_utf8(rest(stream)).unwrap().contains("malformed_header"));
    }
    let (_, head) = asked(&portcullis, "/live/d1", &world.issuer.token("mara", &[]), HANDSHAKE);
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let (_, head) = asked(&portcullis, "/live/d1", "nonsense", HANDSHAKE);
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert!(service.heads.lock().unwrap().is_empty());
}

#[test]
fn an_upstream_that_answers_another_handshake_is_refused() {
    for (good, bad) in [
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("upgrade: websocket", "upgrade: h2c"),
        ("sec-websocket-accept", "sec-websocket-accepted"),
        ("connection: Upgrade\r\n", "connection: Upgrade\r\nsec-websocket-protocol: chat\r\n"),
        ("connection: Upgrade\r\n", "connection: Upgrade\r\nsec-websocket-extensions: permessage-deflate\r\n"),
        ("101 Switching Protocols\r\n", "200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n"),
    ] {
        let service = Service::start(&SWITCHED.replace(good, bad), b"");
        let (world, portcullis, token) = before(&service);
        let (_, head) = asked(&portcullis, "/live/d1", &token, HANDSHAKE);
        assert!(head.starts_with("HTTP/1.1 502 "), "{bad}: {head}");
        assert_eq!(only_record(&world)["reason"], "upstream_malformed", "{bad}");
    }
}

#[test]
fn a_connection_takes_up_a_place_at_its_upstream_until_it_ends() {
    let service = Service::start(SWITCHED, b"");
    let world = World::with_routes(ROUTES);
    let limits = "limits: { connections: 1 }, connect_timeout: 300ms";
    let portcullis = world.start_with(&format!("url: \"http://{}\", {limits}", service.address));
    let token = world.issuer.token("erin", &["reader"]);
    let mut stream = opened(&portcullis, "/live/d1", &token);
    echoed(&mut stream);
    let (_, head) = asked(&portcullis, "/live/d1", &token, HANDSHAKE);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    drop(stream);
    eventually("its place is free", || {
        let (_, head) = asked(&portcullis, "/live/d1", &token, HANDSHAKE);
        head.starts_with("HTTP/1.1 101 ").then_some(())
    });
}

#[test]
fn a_connection_ends_by_1008_when_it_is_not_permitted_any_more() {
    let service = Service::start(SWITCHED, b"");
    let (world, portcullis, token) = before(&service);
    let mut stream = opened(&portcullis, "/live/d1", &token);
    echoed(&mut stream);
    let without = "- { user: user:erin, relation: member, object: group:staff }\n";
    world.replace("tuples.yaml", world.tuples().replace(without, ""));
    assert_eq!(rest(stream), b"\x88\x02\x03\xf0");
    eventually("the upstream is told", || (service.said().len() == ASKED.len() + 8).then_some(()));
    let told = service.said().split_off(ASKED.len());
    assert_eq!((&told[..2], told[6] ^ told[2], told[7] ^ told[3]), (&b"\x88\x82"[..], 0x03, 0xf0));
    let record = only_record(&world);
    assert_eq!((&record["cut"], &record["complete"]), (&json!("not_permitted"), &json!(false)));
    assert_eq!(portcullis.metric("portcullis_cut_total{reason=\"not_permitted\",route=\"/live/{document}\"}"), 1.0);
}

#[test]
fn in_the_middle_of_a_frame_it_ends_without_a_word() {
    // The first half of a frame, and never the second.
    let service = Service::start(SWITCHED, b"\x81\x0ahello");
    let (world, portcullis, token) = before(&service);
    let mut stream = opened(&portcullis, "/live/d1", &token);
    let mut half = [0; 7];
    stream.read_exact(&mut half).unwrap();
    let without = "- { user: user:erin, relation: member, object: group:staff }\n";
    world.replace("tuples.yaml", world.tuples().replace(without, ""));
    assert_eq!(rest(stream), b"");
    assert_eq!(only_record(&world)["cut"], "not_permitted");
}

#[test]
fn at_the_end_of_the_process_both_sides_are_told() {
    let service = Service::start(SWITCHED, b"");
    let (world, portcullis, token) = before(&service);
    let mut stream = opened(&portcullis, "/live/d1", &token);
    echoed(&mut stream);
    let begun = Instant::now();
    portcullis.signal("-TERM");
    assert_eq!(rest(stream), b"\x88\x02\x03\xe9");
    assert!(portcullis.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "before the deadline of the drain");
    let record = only_record(&world);
    assert_eq!((&record["complete"], &record["cut"]), (&json!(true), &Value::Null));
}

#[test]
fn a_frame_that_never_ends_is_cut_at_the_deadline_of_the_drain() {
    let service = Service::start(SWITCHED, b"\x81\x0ahello");
    let mut world = World::with_routes(ROUTES);
    world.more = "timeouts: { drain: 500ms }".to_owned();
    let portcullis = world.start_before(service.address);
    let mut stream = opened(&portcullis, "/live/d1", &world.issuer.token("erin", &["reader"]));
    stream.read_exact(&mut [0; 7]).unwrap();
    portcullis.signal("-TERM");
    assert_eq!(rest(stream), b"");
    assert_eq!(portcullis.wait().code(), Some(1));
    assert_eq!(only_record(&world)["complete"], false);
}

#[test]
fn bytes_beyond_a_budget_do_not_pass() {
    let service = Service::start(SWITCHED, b"");
    let (world, portcullis, token) = before(&service);
    let mut stream = opened(&portcullis, "/counted/d1", &token);
    // 18 bytes of both ways each time.
    for _ in 0..5 {
        echoed(&mut stream);
    }
    stream.write_all(ASKED).unwrap();
    assert_eq!(rest(stream), b"\x88\x02\x03\xf0");
    let record = only_record(&world);
    assert_eq!(record["cut"], "byte_budget_exhausted");
    assert_eq!(service.said()[..5 * ASKED.len()], ASKED.repeat(5));
    let (_, head) = asked(&portcullis, "/counted/d1", &token, HANDSHAKE);
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
}

#[test]
fn what_is_no_frame_passes_no_further() {
    let service = Service::start(SWITCHED, b"");
    let (world, portcullis, token) = before(&service);
    let mut stream = opened(&portcullis, "/live/d1", &token);
    echoed(&mut stream);
    stream.write_all(b"GET /documents/d2 HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(rest(stream), b"\x88\x02\x03\xea");
    assert_eq!(only_record(&world)["cut"], "malformed_message");
    assert!(!String::from_utf8_lossy(&service.said()).contains("GET"));
}

#[test]
fn an_upgrade_where_there_can_be_none_is_pointed_at() {
    let mut world = World::with_routes(&ROUTES.replace("POST: {", "POST: { upgrade: websocket,"));
    world.more = "# end".to_owned();
    let said = |config: String| {
        world.write("portcullis.yaml", config);
        let said = run(&["validate", "--config", world.path("portcullis.yaml").to_str().unwrap()]);
        assert!(!said.status.success());
        String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout)
    };
    let text = said(world.config());
    assert!(text.contains("`upgrade` on another method than GET"), "{text}");
    let http2 = world.config().replace("main: { url:", "main: { protocol: http2, url:");
    let text = said(http2.replace("POST: { upgrade: websocket,", "POST: {"));
    assert!(text.contains("a WebSocket begins by HTTP/1.1, and `main` is spoken to by HTTP/2"), "{text}");
}

#[test]
fn only_subprotocols_that_are_taken_are_spoken() {
    let chosen = format!("{SWITCHED}sec-websocket-protocol: chat.v1\r\n");
    for (head, offer, expected) in [
        (chosen.as_str(), "chat.v3, chat.v1", "101"),
        (&chosen, "chat.v3", "400"),
        (&chosen, "", "400"),
        // The upstream chooses one, and of those that it was offered.
        (SWITCHED, "chat.v1", "502"),
        (&chosen, "chat.v2", "502"),
    ] {
        let service = Service::start(head, b"");
        let (_world, portcullis, token) = before(&service);
        let field = format!("{HANDSHAKE}sec-websocket-protocol: {offer}\r\n");
        let fields = if offer.is_empty() { HANDSHAKE } else { &field };
        let (_stream, came) = asked(&portcullis, "/spoken/d1", &token, fields);
        assert!(came.starts_with(&format!("HTTP/1.1 {expected} ")), "{offer}: {came}");
        let heads = service.heads.lock().unwrap().clone();
        assert_eq!(heads.is_empty(), expected == "400", "{offer}");
        assert!(heads.iter().all(|head| !head.contains("chat.v3")), "{heads:?}");
    }
}

#[test]
fn a_connection_on_which_nothing_passes_is_ended() {
    let service = Service::start(&format!("{SWITCHED}sec-websocket-protocol: chat.v1\r\n"), b"");
    let (world, portcullis, token) = before(&service);
    let fields = format!("{HANDSHAKE}sec-websocket-protocol: chat.v1\r\n");
    let (mut stream, _) = asked(&portcullis, "/spoken/d1", &token, &fields);
    let begun = Instant::now();
    for _ in 0..6 {
        thread::sleep(Duration::from_millis(150));
        echoed(&mut stream);
    }
    assert_eq!(rest(stream), b"\x88\x02\x03\xe9", "1001");
    assert!(begun.elapsed() > Duration::from_millis(1500), "what passes keeps it open");
    let record = only_record(&world);
    assert_eq!((&record["complete"], &record["cut"]), (&true.into(), &Value::Null));
    assert_eq!(portcullis.metric("portcullis_connections_ended_total{reason=\"idle\"}"), 1.0);
}

#[test]
fn a_rule_for_websockets_that_makes_no_sense_is_refused() {
    for (from, to, expected) in [
        (
            "subprotocols: [chat.v2, chat.v1]",
            "subprotocols: []",
            "`subprotocols` is empty: no connection could be opened",
        ),
        ("chat.v2,", "\"chat v2\",", "`chat v2` is not a subprotocol's name"),
        ("upgrade: websocket\n        websocket", "websocket", "`websocket` on an operation that switches to nothing"),
        ("idle: 700ms", "idle: soon", "soon"),
    ] {
        let world = World::with_routes(&ROUTES.replace(from, to));
        world.write("portcullis.yaml", world.config());
        let said = run(&["validate", "--config", world.path("portcullis.yaml").to_str().unwrap()]);
        let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
        assert!(!said.status.success() && text.contains(expected), "{text}");
        assert!(text.contains("portcullis.yaml:"), "{text}");
    }
}
