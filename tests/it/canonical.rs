//! What is decided, written, and read again by another parser, is the same request.

use http::{HeaderName, HeaderValue, Request, header};
use portcullis::access::{CanonicalRequest, Scheme};
use proptest::prelude::*;

fn parse(method: &str, target: &str, fields: &[(String, String)]) -> Option<CanonicalRequest> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    CanonicalRequest::parse(request.body(()).ok()?.into_parts().0, Scheme::Http).ok()
}

/// Bytes of targets, those that mean something more often.
fn target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._~-]{1,4}",
        3 => "%[0-9a-fA-F]{2}",
        2 => "(%25)+[0-9a-f]{2}",
        3 => Just("/".to_owned()),
        1 => "[;=&?+:@!$'()*,]",
        1 => prop::sample::select(vec!["..", "/../", "%2e%2e", "%ef%bc%8f", "%e2%80%a5", "%c0%ae", "_method=", "\\", "//"]).prop_map(str::to_owned),
    ];
    let start = prop::sample::select(vec!["/", "/", "/", "http://a/", "http://A.:80/", "http://a", ""]);
    (start, prop::collection::vec(piece, 0..12)).prop_map(|(start, pieces)| format!("{start}{}", pieces.concat()))
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        3 => "[a-z-]{1,8}",
        1 => "[a-z._!~-]{1,8}",
        2 => prop::sample::select(vec![
            "connection", "content-length", "transfer-encoding", "x-forwarded-for", "cookie", "te", "upgrade", "via",
            "x-original-url", "authorization", "expect", "content-type", "host",
        ]).prop_map(str::to_owned),
    ];
    let value = prop_oneof![2 => "([!-~]([ -~]{0,10}[!-~])?)?", 1 => prop::sample::select(vec!["close", "chunked", "5", "x, y", "a"]).prop_map(str::to_owned)];
    let host = prop::sample::select(vec!["a", "A.", "a:80", "b:8080", "[::1]"]).prop_map(str::to_owned);
    (host, prop::collection::vec((name, value), 0..6)).prop_map(|(host, mut fields)| {
        fields.push(("host".to_owned(), host));
        fields
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_canonical_is_itself_and_what_is_sent_is_what_was_decided(
        method in prop_oneof![4 => Just("GET".to_owned()), 1 => "[A-Za-z]{1,6}"],
        target in target(),
        fields in fields(),
    ) {
        let Some(head) = parse(&method, &target, &fields) else { return Ok(()) };
        let (sent_target, path) = (head.target().unwrap().to_string(), head.path().as_str().to_owned());
        let host = HeaderValue::from_str(head.authority().as_str()).unwrap();
        let query = head.query().map(str::to_owned);
        let (outbound, _) = Box::new(head).into_outbound_headers(host.clone(), &[], &[]);
        let mut bytes = format!("{method} {sent_target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in &outbound {
            bytes.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        // Another parser finds one request in it, the one that was decided.
        let mut slots = [httparse::EMPTY_HEADER; 32];
        let mut other = httparse::Request::new(&mut slots);
        prop_assert_eq!(other.parse(&bytes).unwrap(), httparse::Status::Complete(bytes.len()));
        prop_assert_eq!(other.method, Some(method.as_str()));
        let (found, asked) = other.path.unwrap().split_once('?').map_or((other.path.unwrap(), None), |(path, query)| (path, Some(query)));
        prop_assert_eq!((found, asked), (path.as_str(), query.as_deref()));
        prop_assert_eq!(other.headers.iter().filter(|field| field.name == "host").count(), 1);
        for field in other.headers.iter() {
            let name: HeaderName = field.name.parse().unwrap();
            prop_assert!(!portcullis::access::ends_here(&name), "{}", name);
            prop_assert!(![header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT].contains(&name));
        }
        // And to the next of our kind it is canonical already.
        let again: Vec<_> = other.headers.iter().map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned())).collect();
        let again = parse(&method, &sent_target, &again);
        prop_assert!(again.is_some(), "{} is not canonical", sent_target);
        let again = again.unwrap();
        prop_assert_eq!(again.path().as_str(), path);
        prop_assert_eq!(again.target().unwrap().to_string(), sent_target);
        let (once_more, _) = Box::new(again).into_outbound_headers(host, &[], &[]);
        prop_assert_eq!(once_more, outbound);
    }
}
