//! Heads with more than one reading: refused with their reason, recorded, and the connection is closed.

use crate::support::{Connection, World, answer_of, eventually, request};

/// Request line and fields, the expected status, and the reason (of the answer, or of the record if hyper answered).
const REFUSED: &[(&str, u16, &str)] = &[
    ("GET /documents/../d1 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/%2e%2e/d1 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents//d1 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/d1/ HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/a%2Fd1 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/a%5cd1 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/d1%00 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/d1%23x HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/%c0%af HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/%zz HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/..;x/d1 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents\\d1 HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/%ef%bc%8f HTTP/1.1\r\nhost: a\r\n", 400, "non_canonical_path"),
    ("GET /documents/d1?a=\"b\" HTTP/1.1\r\nhost: a\r\n", 400, "malformed_message"),
    ("GET /documents/d1?a=^ HTTP/1.1\r\nhost: a\r\n", 400, "malformed_target"),
    ("GET /documents/d1#x HTTP/1.1\r\nhost: a\r\n", 400, "malformed_target"),
    ("GET http://b/documents/d1 HTTP/1.1\r\nhost: a\r\n", 400, "malformed_target"),
    ("GET http://u@a/documents/d1 HTTP/1.1\r\nhost: a\r\n", 400, "malformed_target"),
    ("GET ftp://a/documents/d1 HTTP/1.1\r\nhost: a\r\n", 400, "malformed_target"),
    ("get /documents/d1 HTTP/1.1\r\nhost: a\r\n", 400, "malformed_method"),
    ("M-SEARCH /documents/d1 HTTP/1.1\r\nhost: a\r\n", 400, "malformed_method"),
    ("OPTIONS * HTTP/1.1\r\nhost: a\r\n", 405, "refused_method"),
    ("TRACE /documents/d1 HTTP/1.1\r\nhost: a\r\n", 405, "refused_method"),
    ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n", 405, "refused_method"),
    ("GET /documents/d1 HTTP/1.1\r\n", 400, "malformed_host"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nhost: a\r\n", 400, "malformed_host"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: \r\n", 400, "malformed_host"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a, b\r\n", 400, "malformed_host"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a:x\r\n", 400, "malformed_host"),
    ("POST /documents/d1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n", 400, "malformed_framing"),
    (
        "POST /documents/d1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        400,
        "malformed_framing",
    ),
    (
        "POST /documents/d1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n",
        400,
        "malformed_framing",
    ),
    ("POST /documents/d1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n", 400, "malformed_framing"),
    ("POST /documents/d1 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n", 400, "malformed_framing"),
    ("POST /documents/d1 HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n", 400, "malformed_message"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nx_subject: root\r\n", 400, "malformed_header"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nconnection: authorization\r\n", 400, "malformed_header"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nconnection: close, Host\r\n", 400, "malformed_header"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nauthorization: a\r\nauthorization: b\r\n", 400, "repeated_header"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nexpect: 200-ok\r\n", 417, "unsupported_expectation"),
    ("GET /documents/d1 HTTP/1.1\nhost: a\r\n", 400, "malformed_message"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\n", 400, "malformed_message"),
    ("GET /documents/d1 HTTP/1.1\r\nhost: a\r\n folded: x\r\n", 400, "malformed_message"),
    ("GET /documents/d1 HTTP/9.9\r\nhost: a\r\n", 400, "malformed_message"),
    ("GET  /documents/d1 HTTP/1.1\r\nhost: a\r\n", 400, "malformed_message"),
];

#[test]
fn what_has_two_readings_is_refused_recorded_and_not_forwarded() {
    let world = World::new();
    let portcullis = world.start();
    let token = format!("authorization: Bearer {}\r\n", world.issuer.token("erin", &[]));
    for (head, status, reason) in REFUSED {
        let with_token = if head.contains("authorization") { String::new() } else { token.clone() };
        let before = world.audit().len();
        let mut connection = Connection::open(portcullis.data);
        connection.send(format!("{head}{with_token}\r\n"));
        let answer = connection.answer().unwrap_or_else(|| panic!("no answer to {head}"));
        assert_eq!(answer.status, *status, "{head}: {}", answer.body);
        if !answer.body.is_empty() {
            assert_eq!(answer.reason(), *reason, "{head}");
        }
        let record = eventually("the record", || world.audit().get(before).cloned());
        assert_eq!(record["reason"], *reason, "{head}");
        assert_eq!(record["outcome"], "deny");
        // A new request on this connection is not served.
        connection.send("GET /documents/d1 HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(connection.answer().is_none(), "the connection is closed after {head}");
        assert_eq!(world.audit().len(), before + 1, "{head}");
    }
    assert!(world.upstream.seen().is_empty(), "{:?}", world.upstream.seen());
    // The service has not suffered.
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status, 200);
}

#[test]
fn a_body_whose_end_two_readers_see_in_two_places_breaks_off_there() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let hidden = request("GET", "/documents/hidden", &token, "", "");
    let swallowed = "PUT /documents/hidden HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n";
    for body in [
        "3\r\nabc\r\n0\r\n\n".to_owned(),
        "3\r\nabc\r\n0\r\na: b\n\n".to_owned(),
        format!("3\r\nabc\r\n0\r\na: b\n\n{swallowed}"),
        "3\r\nabc\r\n0\r\na: b\rc: d\r\n\r\n".to_owned(),
        "3;a\nabc\r\n0\r\n\r\n".to_owned(),
        "3\r\nabc\n0\r\n\r\n".to_owned(),
        "00000000000000003\r\nabc\r\n0\r\n\r\n".to_owned(),
        "3;a=\"b\r\nabc\r\n0\r\n\r\n".to_owned(),
        // The rest of what is too long is not there, and nobody makes it up.
        format!("3\r\nabc\r\n0;{}\r\n\r\n", "a".repeat(12_000)),
        format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(12_000)),
    ] {
        let before = world.audit().len();
        let mut connection = Connection::open(portcullis.data);
        let head = request("PUT", "/documents/d1", &token, "transfer-encoding: chunked\r\n", "");
        connection.send(format!("{head}{body}{hidden}"));
        let answer = connection.answer().unwrap_or_else(|| panic!("no answer to {body:.60}"));
        assert_eq!((answer.status, answer.reason().as_str()), (400, "malformed_message"), "{body:.60}");
        assert!(connection.answer().is_none(), "nothing follows it: {body:.60}");
        let record = eventually("the record", || world.audit().get(before).cloned());
        assert_eq!(record["reason"], "malformed_message", "{body:.60}");
        assert_eq!(world.audit().len(), before + 1, "{body:.60}");
    }
    assert!(!world.upstream.seen().iter().any(|seen| seen.contains("hidden")), "{:?}", world.upstream.seen());
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
}

#[test]
fn a_head_beyond_the_limits_is_refused() {
    let world = World::new();
    let portcullis = world.start();
    let long = format!("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    for head in [long, format!("GET /documents/d1 HTTP/1.1\r\n{many}\r\n")] {
        let before = world.audit().len();
        assert_eq!(answer_of(portcullis.data, head).map(|answer| answer.status), Some(431));
        let record = eventually("the record", || world.audit().into_iter().nth(before));
        assert_eq!((record["reason"].as_str(), record["status"].as_u64()), (Some("head_too_large"), Some(431)));
    }
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn one_spelling_is_decided_recorded_and_sent() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let answer = portcullis.get("/docum%65nts/d%31?q=%41", &token);
    assert_eq!(answer.status, 200);
    assert!(world.upstream.last().starts_with("GET /documents/d1?q=%41 HTTP/1.1\r\n"), "{}", world.upstream.last());
    assert_eq!(world.record_of(&answer)["path"], "/documents/d1");
    assert_eq!(portcullis.get("/documents/d1;v=2", &token).reason(), "not_permitted", "`;v=2` is part of the id");
    assert_eq!(portcullis.get("/documents/d%2531", &token).reason(), "not_permitted", "decoded once, never twice");
    assert_eq!(portcullis.get("/documents/D1", &token).reason(), "not_permitted", "ids have their case");
}

#[test]
fn absolute_form_that_agrees_with_host_becomes_origin_form() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let head = "GET http://API.acme.example:80/documents/d1 HTTP/1.1\r\nhost: api.acme.example.\r\n";
    let answer = answer_of(portcullis.data, format!("{head}authorization: Bearer {token}\r\n\r\n")).unwrap();
    assert_eq!(answer.status, 200);
    assert!(
        world.upstream.last().starts_with("GET /documents/d1 HTTP/1.1\r\nhost: api.acme.example\r\n")
            || world.upstream.last().contains("\r\nhost: api.acme.example\r\n"),
        "{}",
        world.upstream.last()
    );
}

#[test]
fn an_upgrade_is_not_given_and_nothing_is_tunnelled() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut connection = Connection::open(portcullis.data);
    let fields = "connection: upgrade\r\nupgrade: websocket\r\n";
    connection.send(request("GET", "/documents/d1", &token, fields, ""));
    let answer = connection.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(!world.upstream.last().contains("upgrade"), "{}", world.upstream.last());
    connection.send("GET /documents/d1 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(connection.answer().is_none());
}

#[test]
fn pipelined_requests_are_each_decided() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let mut connection = Connection::open(portcullis.data);
    let one = |path: &str| request("GET", path, &token, "", "");
    connection.send([one("/documents/d1"), one("/documents/d2"), one("/documents/d1")].concat());
    let statuses: Vec<_> = (0..3).map(|_| connection.answer().unwrap().status).collect();
    assert_eq!(statuses, [200, 403, 200]);
    assert_eq!(world.upstream.seen().len(), 2);
}

#[test]
fn of_a_long_method_only_the_beginning_is_kept() {
    let world = World::new();
    let portcullis = world.start();
    let mut connection = Connection::open(portcullis.data);
    connection.send(format!("{} /documents/d1 HTTP/1.1\r\nhost: a\r\n\r\n", "A".repeat(5_000)));
    let record = world.record_of(&connection.answer().unwrap());
    assert_eq!(
        (record["reason"].as_str(), record["method"].as_str()),
        (Some("malformed_method"), Some(&*"A".repeat(32)))
    );
}
