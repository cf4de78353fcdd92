//! Clients that send all of a body before they read an answer.

use std::io::Write;

use crate::support::{Connection, Http2, World, raw_http2::*, request};

#[test]
fn who_sends_all_before_reading_sees_why_it_was_denied() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut connection = Connection::open(portcullis.data);
    let body = "x".repeat(1_000_000);
    connection.stream().write_all(request("PUT", "/documents/unknown", &token, "", &body).as_bytes()).unwrap();
    let denied = connection.answer().unwrap();
    assert_eq!((denied.status, denied.reason()), (403, "not_permitted".to_owned()));
    assert_eq!(world.record_of(&denied)["bytes"]["request"], 0);
    // What was heard out is no part of the next request.
    connection.send(request("GET", "/documents/d1", &token, "", ""));
    assert_eq!(connection.answer().unwrap().status, 200);
    assert_eq!(world.upstream.seen().len(), 1);
}

#[test]
fn a_denied_upload_over_http_2_is_not_reset_while_it_is_sent() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut connection = Http2::open(portcullis.data);
    connection.send(frame(1, END_HEADERS, 1, &request_head("PUT", "/documents/unknown", &token, &[])));
    // As much as the window of the stream takes, then more.
    for _ in 0..4 {
        connection.send(data(0, 1, &[b'x'; 16_000]));
    }
    let (mut is_answered, mut has_room) = (false, false);
    while !(is_answered && has_room) {
        let (kind, flags, stream, _) = connection.next().expect("the connection goes on");
        assert_ne!((kind, stream), (3, 1), "it was reset");
        is_answered |= matches!(kind, 0 | 1) && stream == 1 && flags & END_STREAM != 0;
        has_room |= (kind, stream) == (8, 1);
    }
    connection.send([data(0, 1, &[b'x'; 16_000]), data(END_STREAM, 1, &[]), ping()].concat());
    loop {
        let (kind, flags, stream, _) = connection.next().expect("the connection goes on");
        assert_ne!((kind, stream), (3, 1), "it was reset");
        if (kind, flags) == (6, 1) {
            break;
        }
    }
}

#[test]
fn a_body_that_does_not_end_is_heard_for_a_while_only() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut connection = Connection::open(portcullis.data);
    let head = request("PUT", "/documents/unknown", &token, "content-length: 1000\r\n", "");
    connection.send(head.replace("content-length: 0\r\n", "") + "x");
    assert_eq!(connection.answer().unwrap().status, 403);
    assert!(connection.is_closed());
}
