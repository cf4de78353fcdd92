//! Tunnels while they last: how many, how long, and what becomes of them when the process leaves.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConnection, StreamOwned};

use crate::{
    egress::{Egress, INTERCEPTING},
    support::{
        Connection, Portcullis, World, eventually,
        raw_http2::{END_HEADERS, END_STREAM, data, frame, request_head},
    },
};

const HOST: &str = "api.acme.example";
const TO: &str = "api.acme.example:443";
const ROUTES: &str = r#"
  - path: /documents/{document}
    host: api.acme.example
    egress: true
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_write, resource: "document:{path.document}" }
"#;

/// Kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

type Session = StreamOwned<ClientConnection, TcpStream>;

fn egress(more: &str) -> Egress {
    let world = World { listen: INTERCEPTING.to_owned(), more: more.to_owned(), ..World::with_routes(ROUTES) };
    let config = world.config();
    let egress = Egress::of(world, &config);
    let token = egress.world.issuer.token("erin", &[]);
    Egress { token, ..egress }
}

/// The head of the next answer by HTTP/1.1, whose body is read too.
fn answer(session: &mut Session) -> String {
    let mut read = Vec::new();
    loop {
        let mut byte = [0];
        session.read_exact(&mut byte).expect("an answer");
        read.push(byte[0]);
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.expect("a length").parse::<usize>().unwrap() {
            return head.to_owned();
        }
    }
}

fn get(session: &mut Session) -> String {
    session.write_all(format!("GET /documents/d1 HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    answer(session)
}

fn is_last(head: &str) -> bool {
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    head.contains("\r\nconnection: close")
}

#[test]
fn a_tunnel_is_as_old_as_its_connection() {
    let egress = egress("timeouts: { age: 4s }");
    let (mut connection, begun) = (Connection::open(egress.portcullis.data), Instant::now());
    // It begins with its first byte.
    let target = format!("GET http://{HOST}/documents/d1 HTTP/1.1\r\nhost: {HOST}");
    connection.send(format!("{target}\r\n{}\r\n\r\n", egress.proxy_authorization()));
    assert_eq!(connection.answer().unwrap().status, 200);
    thread::sleep(Duration::from_secs(3));
    let mut session = egress.session_on(egress.tunnel_on(connection, TO), HOST, &[]);
    while !is_last(&get(&mut session)) {
        thread::sleep(Duration::from_millis(50));
    }
    // One that began anew would not be told so before another 3.6 s.
    assert!(begun.elapsed() < Duration::from_millis(6500), "{:?}", begun.elapsed());
    assert_eq!(egress.portcullis.metric("portcullis_connections_ended_total{reason=\"age\"}"), 1.0);
}

#[test]
fn one_sender_has_so_many_tunnels() {
    let egress = egress("limits: { tunnels_per_principal: 2 }");
    let mut tunnels = vec![egress.tunnel(TO), egress.tunnel(TO)];
    let open = || egress.portcullis.metric("portcullis_tunnels_open");
    assert_eq!(open(), 2.0);
    let (line, host) = (format!("CONNECT {TO} HTTP/1.1"), format!("host: {TO}"));
    let asked = |authorization: &str| egress.asked(&[&line, &host, authorization]);
    let refused = asked(&egress.proxy_authorization());
    assert_eq!((refused.status, refused.reason().as_str()), (429, "too_many_tunnels"));
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    assert_eq!(egress.world.record_of(&refused)["principal"]["subject"], "user:erin");
    // Tunnels are no requests in flight, and others have their own.
    assert_eq!(egress.portcullis.metric("portcullis_requests_in_flight"), 0.0);
    let frank = format!("proxy-authorization: Bearer {}", egress.world.issuer.token("frank", &[]));
    assert_eq!(asked(&frank).status, 200);
    tunnels.pop();
    eventually("there is a place again", || (asked(&egress.proxy_authorization()).status == 200).then_some(()));
    drop(tunnels);
    eventually("all are closed", || (open() == 0.0).then_some(()));
}

#[test]
fn records_name_the_scheme_that_was_asked_for() {
    let egress = egress("");
    let target = format!("GET http://{HOST}/documents/d1 HTTP/1.1");
    assert_eq!(egress.asked(&[&target, &format!("host: {HOST}"), &egress.proxy_authorization()]).status, 200);
    is_last(&get(&mut egress.session(TO, HOST)));
    let records = egress.audit(3);
    let mut told: Vec<_> =
        records.iter().map(|record| (record["method"].as_str().unwrap(), record["scheme"].as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [("CONNECT", None), ("GET", Some("http")), ("GET", Some("https"))]);
}

/// HTTP/2 in a tunnel, by hand.
struct Streams(Session);

impl Streams {
    fn open(egress: &Egress) -> Self {
        let mut session = egress.session_on(egress.tunnel(TO), HOST, &["h2"]);
        session.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(4, 0, 0, &[])].concat()).unwrap();
        Self(session)
    }

    fn head(&mut self, flags: u8, stream: u32, method: &str) {
        let mut head = request_head(method, "/documents/d1", "", &[]);
        head[0] = 0x87; // :scheme https
        self.0.write_all(&frame(1, END_HEADERS | flags, stream, &head)).unwrap();
    }

    /// The next frame of this kind, if one comes: its flags, and its stream. Those who ask for a sign of life get it.
    fn until(&mut self, kind: u8) -> Option<(u8, u32)> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).ok()?;
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).ok()?;
            if head[3] == PING && head[4] & ACK == 0 {
                self.0.write_all(&frame(PING, ACK, 0, &payload)).ok()?;
            }
            if head[3] == kind {
                return Some((head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]])));
            }
        }
    }
}

/// Whether the other side has ended it in order: no more comes, and nothing is missing.
fn is_ended(mut session: Session) -> bool {
    let mut rest = Vec::new();
    match session.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty(),
        // TCP's end without TLS's.
        Err(error) => rest.is_empty() && error.kind() == ErrorKind::UnexpectedEof,
    }
}

/// What is in tunnels goes on to its end, and is told that it is the last, while the process leaves for this reason.
fn nothing_in_tunnels_is_lost(egress: &Egress, leave: impl FnOnce()) {
    let mut resting = egress.session(TO, HOST);
    assert!(!is_last(&get(&mut resting)));
    let mut silent = egress.session(TO, HOST);
    assert!(!is_last(&get(&mut silent)));
    let mut uploading = egress.session(TO, HOST);
    let head = format!("PUT /documents/d1 HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 5\r\n\r\n12");
    uploading.write_all(head.as_bytes()).unwrap();
    let mut streams = Streams::open(egress);
    streams.head(0, 1, "PUT");
    let mut quiet = Streams::open(egress);
    quiet.head(END_STREAM, 1, "GET");
    while quiet.until(DATA).expect("an answer").0 & END_STREAM == 0 {}
    let in_flight = || egress.portcullis.metric("portcullis_requests_in_flight");
    eventually("they are in flight", || (in_flight() == 2.0).then_some(()));
    leave();
    // Both connections of HTTP/2 are told (GOAWAY), and a client of HTTP/1.1 with its next answer.
    assert!(streams.until(GOAWAY).is_some() && quiet.until(GOAWAY).is_some());
    assert!(is_last(&get(&mut resting)));
    assert!(is_ended(resting) && is_ended(silent) && quiet.until(HEADERS).is_none());
    // Those that rest have gone; what was begun goes on.
    streams.0.write_all(&data(END_STREAM, 1, b"12345")).unwrap();
    assert_eq!(streams.until(HEADERS).expect("an answer").1, 1);
    while streams.until(DATA).expect("all of it").0 & END_STREAM == 0 {}
    uploading.write_all(b"345").unwrap();
    assert!(is_last(&answer(&mut uploading)));
}

/// What was asked and answered, CONNECT for each of the tunnels and what came in them.
fn all_are_complete(world: &World, count: usize) {
    let records = world.audit();
    let is_complete = |record: &serde_json::Value| record["complete"] == true && record["status"] == 200;
    assert!(records.len() == count && records.iter().all(is_complete), "{records:?}");
}

#[test]
fn what_is_in_tunnels_ends_in_order_when_the_process_is_told_to_stop() {
    let egress = egress("");
    nothing_in_tunnels_is_lost(&egress, || {
        egress.portcullis.signal("-TERM");
        eventually("it is not ready", || (egress.portcullis.telemetry("/readyz").status == 503).then_some(()));
    });
    let Egress { portcullis, world, .. } = egress;
    assert!(portcullis.wait().success());
    all_are_complete(&world, 11);
}

#[test]
fn what_is_in_tunnels_ends_in_order_when_the_next_process_serves() {
    let egress = egress("hand_over: { socket: hand-over.sock }");
    let mut next = None;
    nothing_in_tunnels_is_lost(&egress, || {
        next = Some(Portcullis::start(&egress.world.path("portcullis.yaml")));
        egress.portcullis.until_logged("the next process serves");
    });
    // New tunnels are the next one's.
    let (serving, mut session) = (next.expect("it serves"), egress.session(TO, HOST));
    assert!(!is_last(&get(&mut session)));
    assert_eq!(serving.metric("portcullis_tunnels_open"), 1.0);
    let Egress { portcullis, world, .. } = egress;
    assert!(portcullis.wait().success());
    eventually("the next one's are recorded too", || (world.audit().len() == 13).then_some(()));
    all_are_complete(&world, 13);
}
