//! Floods of HTTP/2 frames: who sends them is ended, and who is beside them notices nothing.

use std::{net::TcpListener, thread, time::Duration};

use crate::support::{
    Connection, Portcullis, World, eventually,
    raw_http2::{
        END_HEADERS, END_STREAM, Http2, data, field, frame, ping, remembered, request_head, reset, window_update,
    },
    request,
};

const ENHANCE_YOUR_CALM: u32 = 11;

/// How many connections were ended by a flood, of whatever kind.
pub(crate) fn ended(portcullis: &Portcullis) -> f64 {
    let kinds = ["control", "window_update", "reset", "empty_frame", "protocol"];
    let count = |kind| portcullis.metric(&format!("portcullis_connections_ended_total{{reason=\"{kind}_flood\"}}"));
    kinds.into_iter().map(count).sum()
}

/// All kinds of floods that one connection can send, each with its name.
pub(crate) fn floods(token: &str) -> [(&'static str, Vec<u8>); 10] {
    let upload = |stream| frame(1, END_HEADERS, stream, &request_head("PUT", "/documents/d1", token, &[]));
    let get = |stream| frame(1, END_HEADERS | END_STREAM, stream, &request_head("GET", "/documents/d1", token, &[]));
    let streams = |count: u32| (0..count).map(|number| number * 2 + 1);
    let many = |one: Vec<u8>| one.repeat(3000);
    [
        ("ping", many(ping())),
        ("settings", many(frame(4, 0, 0, &[]))),
        ("priority", many(frame(2, 0, 1, &[0, 0, 0, 0, 7]))),
        ("unknown frames", many(frame(0xbb, 0, 1, b"grease"))),
        ("window updates", many(window_update(0, 1))),
        ("empty data", [upload(1), many(data(0, 1, &[]))].concat()),
        ("empty continuations", [frame(1, 0, 1, &[0x82]), many(frame(9, 0, 1, &[]))].concat()),
        ("continuations", [frame(1, 0, 1, &[0x82]), many(frame(9, 0, 1, &field("a", "b")))].concat()),
        ("rapid resets", streams(1000).flat_map(|stream| [get(stream), reset(stream)].concat()).collect()),
        // Mistakes for which the server itself resets each stream (CVE-2025-8671).
        (
            "made resets",
            streams(1000).flat_map(|stream| [upload(stream), window_update(stream, 0x7fff_ffff)].concat()).collect(),
        ),
    ]
}

#[test]
fn who_floods_is_ended_and_who_is_beside_goes_on() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut beside = Connection::open(portcullis.data);
    for (count, (name, frames)) in floods(&token).into_iter().enumerate() {
        let mut flooding = Http2::open(portcullis.data);
        flooding.send(frames);
        if let Some(error) = flooding.given_up() {
            assert_eq!(error, ENHANCE_YOUR_CALM, "{name}");
        }
        let expected = f64::from(u32::try_from(count).unwrap() + 1);
        eventually(name, || (ended(&portcullis) == expected).then_some(()));
        beside.send(request("GET", "/documents/d1", &token, "", ""));
        assert_eq!(beside.answer().unwrap().status, 200, "beside {name}");
    }
    assert!(world.upstream.seen().len() < 10 + 200, "most of what was taken back went nowhere");
    eventually("all are over", || (portcullis.metric("portcullis_requests_in_flight") == 0.0).then_some(()));
    assert_eq!(portcullis.log().matches("a flooded connection was ended").count(), 10);
}

#[test]
fn who_waits_for_a_flood_to_be_answered_is_told_why_it_ends() {
    let world = World::new();
    let portcullis = world.start();
    let mut flooding = Http2::open(portcullis.data);
    // Little enough to be taken whole.
    flooding.send(ping().repeat(1100));
    assert_eq!(flooding.given_up(), Some(ENHANCE_YOUR_CALM));
    portcullis.until_logged("reason=\"control_flood\"");
}

#[test]
fn a_flood_of_any_listener_is_counted() {
    let mut world = crate::signals::world();
    world.more.push_str("\ndecision: { address: 127.0.0.1:0, callers: [\"user:erin\"] }");
    let portcullis = world.start();
    let listeners = [Some(portcullis.data), portcullis.decision, portcullis.signals];
    for (address, expected) in listeners.into_iter().zip([1.0, 2.0, 3.0]) {
        let mut flooding = Http2::open(address.expect("a listener"));
        flooding.send(ping().repeat(1100));
        assert_eq!(flooding.given_up(), Some(ENHANCE_YOUR_CALM));
        let counted = || portcullis.metric("portcullis_connections_ended_total{reason=\"control_flood\"}");
        eventually("it is counted", || (counted() == expected).then_some(()));
    }
}

#[test]
fn much_that_is_asked_and_read_is_no_flood() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut busy = Http2::open(portcullis.data);
    for number in 0..400 {
        let stream = number * 2 + 1;
        let head = request_head("GET", "/documents/d1", &token, &[]);
        let acknowledged = [window_update(0, 19), ping(), window_update(0, 1)].concat();
        assert!(busy.send([frame(1, END_HEADERS | END_STREAM, stream, &head), acknowledged].concat()));
        loop {
            let (kind, flags, of, _) = busy.next().expect("it goes on");
            if of == stream && matches!(kind, 0 | 1) && flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert_eq!(ended(&portcullis), 0.0);
}

#[test]
fn heads_that_are_remembered_and_never_answered_take_bounded_memory() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(silent.local_addr().unwrap());
    let token = world.issuer.token("erin", &[]);
    let before = portcullis.resident();
    // Each head is 60 KiB of one value that is sent once, on all streams, and nobody reads an answer.
    let first = [remembered("x-large", &"v".repeat(3900)), vec![0xbe; 14]].concat();
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut bomb = Http2::open_with(portcullis.data, &[(4, 0)]);
        for number in 0..100 {
            let more = if number == 0 { first.clone() } else { vec![0xbe; 15] };
            let head = request_head("GET", "/documents/d1", &token, &more);
            bomb.send(frame(1, END_HEADERS | END_STREAM, number * 2 + 1, &head));
        }
        connections.push(bomb);
    }
    let in_flight = || portcullis.metric("portcullis_requests_in_flight");
    eventually("all are there", || (in_flight() >= 500.0).then_some(()));
    let grown = portcullis.resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
    // More fields than a head may have are refused, however small they are.
    let mut many = Http2::open(portcullis.data);
    let head = request_head("GET", "/documents/d1", &token, &field("a", "b").repeat(100));
    many.send(frame(1, END_HEADERS | END_STREAM, 1, &head));
    let record = eventually("the record", || world.audit().pop());
    assert_eq!((record["reason"].as_str(), record["status"].as_u64()), (Some("head_too_large"), Some(431)));
}

#[test]
fn streams_that_nobody_ends_or_reads_are_freed() {
    let more = "timeouts: { body_pause: 300ms, unread: 300ms, handshake: 300ms }";
    let world = World { more: more.to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut open = Http2::open(portcullis.data);
    for number in 0..50 {
        open.send(frame(1, END_HEADERS, number * 2 + 1, &request_head("PUT", "/documents/d1", &token, &[])));
    }
    eventually("all have ended", || (world.audit().len() == 50).then_some(()));
    assert!(world.audit().iter().all(|record| record["reason"] == "body_timeout" && record["status"] == 408));
    // Windows that stay shut.
    let mut shut = Http2::open_with(portcullis.data, &[(4, 0)]);
    for number in 0..50 {
        let head = request_head("GET", "/documents/d1", &token, &[]);
        shut.send(frame(1, END_HEADERS | END_STREAM, number * 2 + 1, &head));
    }
    let unread = || portcullis.metric("portcullis_connections_ended_total{reason=\"unread_stream\"}");
    eventually("their streams are reset", || (unread() == 50.0).then_some(()));
    assert_eq!(portcullis.metric("portcullis_requests_in_flight"), 0.0);
    let (mut resets, mut connection) = (0, shut);
    while resets < 50 {
        resets += u32::from(connection.next().expect("the connection goes on").0 == 3);
    }
}

#[test]
fn the_end_of_an_answer_is_no_more_kept_than_its_beginning() {
    let world = World { more: "timeouts: { unread: 300ms }".to_owned(), ..World::new() };
    world.upstream.answer_with(format!("HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n{}", "x".repeat(4000)));
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    // Windows with room for a byte.
    let mut narrow = Http2::open_with(portcullis.data, &[(4, 1)]);
    for number in 0..20 {
        let head = request_head("GET", "/documents/d1", &token, &[]);
        narrow.send(frame(1, END_HEADERS | END_STREAM, number * 2 + 1, &head));
    }
    let unread = || portcullis.metric("portcullis_connections_ended_total{reason=\"unread_stream\"}");
    eventually("their streams are reset", || (unread() == 20.0).then_some(()));
    // Who takes them gets them whole.
    let mut wide = Http2::reading(portcullis.data);
    wide.send(frame(1, END_HEADERS | END_STREAM, 1, &request_head("GET", "/documents/d1", &token, &[])));
    let (mut body, mut has_ended) = (0, false);
    while !has_ended {
        let (kind, flags, stream, payload) = wide.next().expect("the answer goes on");
        if (kind, stream) == (0, 1) {
            body += payload.len();
            has_ended = flags & END_STREAM != 0;
        }
    }
    assert_eq!(body, 4000);
}

#[test]
fn who_was_told_to_go_and_goes_on_asking_is_ended() {
    let world = World { more: "timeouts: { age: 500ms, handshake: 500ms }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    // What it is told is never acknowledged, so that HTTP/2 would wait for it for ever.
    let mut deaf = Http2::open(portcullis.data);
    let mut asked = 0;
    let head = || request_head("GET", "/documents/d1", &token, &[]);
    let begun = std::time::Instant::now();
    while deaf.send(frame(1, END_HEADERS | END_STREAM, asked * 2 + 1, &head())) {
        asked += 1;
        assert!(begun.elapsed() < Duration::from_secs(20), "after {asked} requests it still serves");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(asked > 5, "it has served before: {asked}");
}

#[test]
fn a_connection_without_streams_rests_for_a_while_only() {
    let more = "timeouts: { idle: 500ms, handshake: 300ms }";
    let world = World { more: more.to_owned(), ..World::new() };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(silent.local_addr().unwrap());
    let mut waiting = Http2::open(portcullis.data);
    let head = request_head("GET", "/documents/d1", &world.issuer.token("erin", &[]), &[]);
    waiting.send(frame(1, END_HEADERS | END_STREAM, 1, &head));
    let mut idle = Http2::open(portcullis.data);
    assert_eq!(idle.given_up(), Some(0), "in order");
    assert_eq!(portcullis.metric("portcullis_connections_ended_total{reason=\"idle\"}"), 1.0);
    thread::sleep(Duration::from_millis(700));
    // One that waits for an answer is not idle.
    assert_eq!(portcullis.metric("portcullis_connections_ended_total{reason=\"idle\"}"), 1.0);
    assert_eq!(portcullis.metric("portcullis_requests_in_flight"), 1.0);
}
