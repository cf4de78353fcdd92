//! Heads of requests: any bytes are answered, and what is canonical is itself when it is read again by another parser.
#![no_main]

use http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use portcullis::access::{CanonicalRequest, HeadRules, Scheme, Underscores, ends_here};

fn parsed(rules: HeadRules, bytes: &[u8]) -> Option<(CanonicalRequest, usize)> {
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut slots);
    let Ok(httparse::Status::Complete(end)) = head.parse(bytes) else { return None };
    let mut request = Request::builder().method(head.method?).uri(head.path?);
    for field in head.headers.iter() {
        request = request.header(field.name, field.value);
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some((CanonicalRequest::parse_by(rules, parts, Scheme::Http).ok()?, end))
}

fuzz_target!(|bytes: &[u8]| {
    let most = HeadRules { escaped_slashes: true, underscores: Underscores::Drop, ..HeadRules::default() };
    for rules in [HeadRules::default(), most] {
        check(rules, bytes);
    }
});

fn check(rules: HeadRules, bytes: &[u8]) {
    let Some((head, _)) = parsed(rules, bytes) else { return };
    let path = head.path().as_str().to_owned();
    assert!(rules.escaped_slashes || !head.path().has_escaped_slash());
    // What a server would make of it that decodes slashes.
    let decoded = path.replace("%2F", "/");
    assert!(
        !decoded.contains("//") && !decoded.contains('\\') && !decoded.split('/').any(|it| matches!(it, "." | ".."))
    );
    let (method, target) = (head.method().clone(), head.target().unwrap());
    let host = HeaderValue::from_str(head.authority().as_str()).unwrap();
    let (fields, _) = Box::new(head).into_outbound_headers(host, &[], &[]);
    let mut sent = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in &fields {
        assert!(!ends_here(name) && !name.as_str().contains('_'));
        sent.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    sent.extend_from_slice(b"\r\n");
    let (again, end) = parsed(rules, &sent).expect("what is sent is canonical");
    assert_eq!((end, again.path().as_str(), again.method()), (sent.len(), path.as_str(), &method));
    assert_eq!(again.target().unwrap().as_str(), target.as_str());
}
