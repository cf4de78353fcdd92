//! Http2 of HTTP/2 that no client library sends: each is refused, or is the one request that it was decided as.

use crate::support::{Echo, Http2, Told, World, eventually, raw_http2::*};

/// What must come of a stream.
#[derive(Debug, Clone, Copy)]
enum Comes {
    Served,
    Refused(u16, &'static str),
    /// The stream or the connection ends with an error, and nothing was forwarded.
    Ended,
}

use Comes::{Ended, Refused, Served};

type Fields<'a> = Vec<(&'a str, &'a str)>;

const TARGET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/documents/d1"), (":authority", "a")];

/// The target with another value of one pseudo-header, or without it.
fn with<'a>(name: &str, value: Option<&'a str>) -> Fields<'a> {
    let other = TARGET.into_iter().map(|(known, own)| (known, if known == name { value } else { Some(own) }));
    other.filter_map(|(known, value)| Some((known, value?))).collect()
}

fn and<'a>(fields: &[(&'a str, &'a str)]) -> Fields<'a> {
    [&TARGET, fields].concat()
}

#[test]
fn a_head_by_http_2_is_one_request_or_none() {
    let world = World::new();
    let echo = Echo::start();
    let portcullis = world.start_before(echo.address);
    let token = format!("Bearer {}", world.issuer.token("erin", &[]));
    let (method, path, scheme, authority) = (":method", ":path", ":scheme", ":authority");
    let long = "x".repeat(70_000);
    let many: Vec<String> = (0..101).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    let mut cases: Vec<(&str, Fields<'_>, Comes)> = vec![
        ("plain", TARGET.to_vec(), Served),
        ("Host that agrees", and(&[("host", "A.:80")]), Served),
        ("Host that does not", and(&[("host", "b")]), Refused(400, "malformed_target")),
        ("Host twice", and(&[("host", "a"), ("host", "a")]), Refused(400, "malformed_host")),
        ("Host alone", [with(authority, None), vec![("host", "a")]].concat(), Served),
        ("no authority", with(authority, None), Refused(400, "malformed_host")),
        ("an empty authority and Host", [with(authority, Some("")), vec![("host", "b")]].concat(), Ended),
        ("a user", with(authority, Some("u@a")), Refused(400, "malformed_target")),
        ("a port that is none", with(authority, Some("a:x")), Ended),
        ("two hosts", with(authority, Some("a, b")), Ended),
        ("white space in the authority", with(authority, Some("a b")), Ended),
        ("a path in the authority", with(authority, Some("a/documents")), Ended),
        ("no method", with(method, None), Ended),
        ("an empty method", with(method, Some("")), Ended),
        ("a line in the method", with(method, Some("GET /documents/d2 HTTP/1.1\r\nx: ")), Ended),
        ("small letters", with(method, Some("get")), Refused(400, "malformed_method")),
        ("TRACE", with(method, Some("TRACE")), Refused(405, "refused_method")),
        ("no path", with(path, None), Ended),
        ("an empty path", with(path, Some("")), Ended),
        ("an asterisk", [with(path, Some("*"))].concat(), Refused(405, "refused_method")),
        ("a path without slash", with(path, Some("documents/d1")), Ended),
        ("an absolute form", with(path, Some("http://a/documents/d1")), Ended),
        ("white space in the path", with(path, Some("/documents/d1 x")), Ended),
        ("a line in the path", with(path, Some("/documents/d1 HTTP/1.1\r\nx: y")), Ended),
        ("NUL in the path", with(path, Some("/documents/d1\0")), Ended),
        ("letters of no ASCII in the path", with(path, Some("/documents/d1\u{e9}")), Ended),
        ("dots", with(path, Some("/documents/../d1")), Refused(400, "non_canonical_path")),
        ("no scheme", with(scheme, None), Ended),
        ("another scheme", with(scheme, Some("ftp")), Refused(400, "malformed_target")),
        ("a scheme that is none", with(scheme, Some("http://a/")), Ended),
        ("a method twice", and(&[(":method", "GET")]), Ended),
        ("a path twice", and(&[(":path", "/documents/d2")]), Ended),
        ("a scheme twice", and(&[(":scheme", "http")]), Ended),
        ("an authority twice", and(&[(":authority", "b")]), Ended),
        ("an unknown pseudo-header", and(&[(":forged", "x")]), Ended),
        ("that of an answer", and(&[(":status", "200")]), Ended),
        ("a pseudo-header after a field", [vec![("x", "y")], TARGET.to_vec()].concat(), Ended),
        ("the path after a field", [with(path, None), vec![("x", "y"), (path, "/documents/d1")]].concat(), Ended),
        ("capitals in a name", and(&[("X-Forged", "y")]), Ended),
        ("white space in a name", and(&[("a b", "c")]), Ended),
        ("a colon in a name", and(&[("a:b", "c")]), Ended),
        ("an empty name", and(&[("", "c")]), Ended),
        ("a line in a name", and(&[("a\r\nb", "c")]), Ended),
        ("a line in a value", and(&[("a", "b\r\nx-user: root")]), Ended),
        ("LF in a value", and(&[("a", "b\nc")]), Ended),
        ("NUL in a value", and(&[("a", "b\0c")]), Ended),
        ("`_` in a name", and(&[("x_user", "root")]), Refused(400, "malformed_header")),
        ("Connection", and(&[("connection", "close")]), Ended),
        ("Keep-Alive", and(&[("keep-alive", "x")]), Ended),
        ("Proxy-Connection", and(&[("proxy-connection", "x")]), Ended),
        ("Transfer-Encoding", and(&[("transfer-encoding", "chunked")]), Ended),
        ("Upgrade", and(&[("upgrade", "websocket")]), Ended),
        ("TE", and(&[("te", "gzip")]), Ended),
        ("TE for trailers", and(&[("te", "trailers")]), Served),
        ("a length without a body", and(&[("content-length", "5")]), Ended),
        ("a length of nothing", and(&[("content-length", "0")]), Served),
        ("a length that is none", and(&[("content-length", "+0")]), Ended),
        ("two lengths", and(&[("content-length", "0"), ("content-length", "0")]), Refused(400, "malformed_framing")),
        ("an expectation", and(&[("expect", "x")]), Refused(417, "unsupported_expectation")),
        (
            "Content-Type twice",
            and(&[("content-type", "a/b"), ("content-type", "a/b")]),
            Refused(400, "repeated_header"),
        ),
        ("crumbs of a cookie", and(&[("cookie", "a=b"), ("cookie", "c=d")]), Served),
        ("a long field", and(&[("x", &long)]), Ended),
        ("many fields", and(&many), Refused(431, "head_too_large")),
        ("CONNECT", vec![(method, "CONNECT"), (authority, "a:80")], Refused(405, "refused_method")),
        ("CONNECT with a path", with(method, Some("CONNECT")), Ended),
    ];
    cases.push((
        "CONNECT for a protocol",
        [with(method, Some("CONNECT")), vec![(":protocol", "websocket")]].concat(),
        Ended,
    ));
    let (mut wrong, count) = (Vec::new(), cases.len() + 1);
    for (name, mut fields, comes) in cases {
        fields.push(("authorization", &token));
        let mut frames = Http2::reading(portcullis.data);
        frames.head(1, &fields);
        check(name, &frames.told(1), comes, &echo, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(portcullis.get("/documents/d1", &token["Bearer ".len()..]).status, 200);
    // Each of them is recorded, also where HTTP/2 itself refuses it: then nothing is known but when and from where.
    let records = eventually("the records", || Some(world.audit()).filter(|records| records.len() == count));
    for record in records.iter().filter(|record| !record["status"].is_number()) {
        assert_eq!((&record["reason"], &record["outcome"]), (&"malformed_message".into(), &"deny".into()));
        assert!(record["peer"].is_string() && record["path"].is_null(), "{record}");
    }
}

fn check(name: &str, told: &Told, comes: Comes, echo: &Echo, wrong: &mut Vec<String>) {
    let forwarded = echo.take_finished();
    let is_right = match comes {
        Served => told.status() == Some(200) && forwarded.len() == 1,
        Refused(status, reason) => {
            told.status() == Some(status)
                && (told.reason() == reason || told.reason().is_empty())
                && forwarded.is_empty()
        }
        Ended => {
            !matches!(told, Told::Answer { status: 200, .. })
                && forwarded.iter().all(|request| request.starts_with(b"BROKEN"))
        }
    };
    if !is_right {
        let forwarded: Vec<_> = forwarded.iter().map(|request| String::from_utf8_lossy(request)).collect();
        wrong.push(format!("{name}: {told:?} instead of {comes:?}, forwarded {forwarded:?}"));
    }
}

#[test]
fn frames_out_of_their_order_forward_nothing() {
    let world = World::new();
    let echo = Echo::start();
    let portcullis = world.start_before(echo.address);
    let token = format!("Bearer {}", world.issuer.token("erin", &[]));
    let get: Vec<_> = and(&[("authorization", &token)]);
    let put: Vec<_> =
        get.iter().map(|(name, value)| (*name, if *name == ":method" { "PUT" } else { *value })).collect();
    let sized: Vec<_> = put.iter().copied().chain([("content-length", "3")]).collect();
    let (get, put, sized) = (block(&get), block(&put), block(&sized));
    type Send<'a> = Box<dyn Fn(&mut Http2) + 'a>;
    let cases: Vec<(&str, Send<'_>, Comes)> = vec![
        (
            "a head in two frames",
            Box::new(|frames| {
                frames.frame(1, END_STREAM, 1, &get[..10]);
                frames.frame(9, END_HEADERS, 1, &get[10..]);
            }),
            Served,
        ),
        (
            "a head byte by byte",
            Box::new(|frames| {
                frames.frame(1, END_STREAM, 1, &get[..1]);
                get[1..get.len() - 1].iter().for_each(|byte| frames.frame(9, 0, 1, &[*byte]));
                frames.frame(9, END_HEADERS, 1, &get[get.len() - 1..]);
            }),
            Ended,
        ),
        (
            "a padded head",
            Box::new(|frames| {
                let padded = [&[3], &get[..], &[0, 0, 0]].concat();
                frames.frame(1, END_STREAM | END_HEADERS | PADDED, 1, &padded);
            }),
            Served,
        ),
        (
            "more padding than frame",
            Box::new(|frames| {
                frames.frame(1, END_STREAM | END_HEADERS | PADDED, 1, &[&[255], &get[..100]].concat());
            }),
            Ended,
        ),
        (
            "a priority",
            Box::new(|frames| {
                frames.frame(1, END_STREAM | END_HEADERS | PRIORITY, 1, &[&[0, 0, 0, 0, 16], &get[..]].concat());
            }),
            Served,
        ),
        (
            "a stream that depends on itself",
            Box::new(|frames| {
                frames.frame(1, END_STREAM | END_HEADERS | PRIORITY, 1, &[&[0, 0, 0, 1, 16], &get[..]].concat());
            }),
            Ended,
        ),
        (
            "another frame in a head",
            Box::new(|frames| {
                frames.frame(1, END_STREAM, 1, &get[..10]);
                frames.frame(6, 0, 0, &[0; 8]);
                frames.frame(9, END_HEADERS, 1, &get[10..]);
            }),
            Ended,
        ),
        (
            "another stream in a head",
            Box::new(|frames| {
                frames.frame(1, END_STREAM, 1, &get[..10]);
                frames.frame(9, END_HEADERS, 3, &get[10..]);
            }),
            Ended,
        ),
        ("a continuation of nothing", Box::new(|frames| frames.frame(9, END_HEADERS, 1, &get)), Ended),
        ("an even stream", Box::new(|frames| frames.frame(1, END_STREAM | END_HEADERS, 2, &get)), Ended),
        ("stream 0", Box::new(|frames| frames.frame(1, END_STREAM | END_HEADERS, 0, &get)), Ended),
        ("a body before its head", Box::new(|frames| frames.frame(0, END_STREAM, 1, b"abc")), Ended),
        ("a broken block", Box::new(|frames| frames.frame(1, END_STREAM | END_HEADERS, 1, &[0xff; 20])), Ended),
        (
            "an index that is nowhere",
            Box::new(|frames| frames.frame(1, END_STREAM | END_HEADERS, 1, &[&[0xfe][..], &get].concat())),
            Ended,
        ),
        (
            "a pushed stream",
            Box::new(|frames| frames.frame(5, END_HEADERS, 1, &[&[0, 0, 0, 2], &get[..]].concat())),
            Ended,
        ),
        ("a window of nothing", Box::new(|frames| frames.frame(8, 0, 0, &[0; 4])), Ended),
        (
            "a window without end",
            Box::new(|frames| {
                frames.frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
                frames.frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
            }),
            Ended,
        ),
        ("settings of no size", Box::new(|frames| frames.frame(4, 0, 0, &[0; 5])), Ended),
        ("a window beyond its most", Box::new(|frames| frames.frame(4, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])), Ended),
        (
            "a frame beyond its most",
            Box::new(|frames| frames.frame(1, END_STREAM | END_HEADERS, 1, &[0; 20_000])),
            Ended,
        ),
        (
            "an unknown frame",
            Box::new(|frames| {
                frames.frame(0xfa, 0xff, 1, b"forged");
                frames.frame(1, END_STREAM | END_HEADERS, 1, &get);
            }),
            Served,
        ),
        (
            "the length of its body",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &sized);
                frames.frame(0, END_STREAM, 1, b"abc");
            }),
            Served,
        ),
        (
            "a padded body",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &sized);
                frames.frame(0, END_STREAM | PADDED, 1, b"\x04abc\0\0\0\0");
            }),
            Served,
        ),
        (
            "more than its length",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &sized);
                frames.frame(0, END_STREAM, 1, b"abcdGET /documents/d2 HTTP/1.1\r\n\r\n");
            }),
            Ended,
        ),
        (
            "less than its length",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &sized);
                frames.frame(0, END_STREAM, 1, b"ab");
            }),
            Ended,
        ),
        (
            "trailers",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &put);
                frames.frame(0, 0, 1, b"abc");
                frames.frame(1, END_STREAM | END_HEADERS, 1, &block(&[("x-user", "root"), ("content-length", "100")]));
            }),
            Served,
        ),
        (
            "trailers with a pseudo-header",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &put);
                frames.frame(0, 0, 1, b"abc");
                frames.frame(1, END_STREAM | END_HEADERS, 1, &block(&[(":path", "/documents/d2")]));
            }),
            Served,
        ),
        (
            "a second head",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &put);
                frames.frame(1, END_HEADERS, 1, &put);
            }),
            Ended,
        ),
        (
            "a body after its end",
            Box::new(|frames| {
                frames.frame(1, END_HEADERS, 1, &sized);
                frames.frame(0, END_STREAM, 1, b"abc");
                frames.frame(0, END_STREAM, 1, b"GET /documents/d2 HTTP/1.1\r\n\r\n");
            }),
            Served,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, send, comes) in cases {
        let mut frames = Http2::reading(portcullis.data);
        send(&mut frames);
        let told = frames.told(1);
        if name == "a body after its end" {
            // The answer may be lost with the connection; what was forwarded is one request all the same.
            assert!(echo.take().len() <= 1);
            continue;
        }
        // What broke off is broken off upstream too, a moment later.
        let comes = if let (Ended, Told::Answer { status: 400.., .. }) = (comes, &told) { Ended } else { comes };
        check(name, &told, comes, &echo, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for request in echo.take() {
        let text = String::from_utf8_lossy(&request).into_owned();
        assert!(!text.contains("x-user") && !text.contains("/documents/d2"), "{text}");
    }
    assert_eq!(portcullis.get("/documents/d1", &token["Bearer ".len()..]).status, 200);
}
