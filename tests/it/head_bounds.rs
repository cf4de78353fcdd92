//! How long a request line and a field may be, by both protocols.

use crate::support::{Connection, Http2, Portcullis, World, claims, eventually};

/// A GET of this path by HTTP/1.1 with these fields, or by HTTP/2: the status, the reason, and whether that was all.
fn asked(portcullis: &Portcullis, by: &str, path: &str, fields: &[(&str, &str)]) -> (u16, String, bool) {
    if by == "HTTP/2" {
        let mut connection = Http2::reading(portcullis.data);
        let target = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
        connection.head(1, &[&target[..], fields].concat());
        let told = connection.told(1);
        return (told.status().unwrap_or(0), told.reason(), true);
    }
    let mut connection = Connection::open(portcullis.data);
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n"));
    let answer = connection.answer().unwrap();
    (answer.status, answer.reason(), answer.status == 200 || connection.is_closed())
}

#[test]
fn a_line_or_a_field_that_is_too_long_is_refused_and_recorded() {
    let world = World::new();
    let portcullis = world.start();
    let token = format!("Bearer {}", world.issuer.token("erin", &[]));
    let own = ("authorization", token.as_str());
    let path = |length: usize| format!("/documents/d1?{}", "q".repeat(length - "GET /documents/d1? HTTP/1.1".len()));
    let value = |length: usize| "v".repeat(length - "x: ".len());
    let (longest, longer) = (path(8192), path(8193));
    let (most, more, crumb) = (value(8192), value(8193), "c=".to_owned() + &"d".repeat(4087));
    let refused = |reason: &str, status: u16| (status, reason.to_owned(), true);
    for by in ["HTTP/1.1", "HTTP/2"] {
        let ask = |path: &str, fields: &[(&str, &str)]| asked(&portcullis, by, path, &[&[own][..], fields].concat());
        let served = (200, String::new(), true);
        assert_eq!(ask(&longest, &[("x", &most), ("y", &most)]), served, "{by}");
        assert_eq!(ask(&longer, &[]), refused("target_too_long", 414), "{by}");
        assert_eq!(ask("/documents/d1", &[("x", &more)]), refused("head_too_large", 431), "{by}");
        // Pieces of a cookie become one field.
        let crumbs = [("cookie", crumb.as_str()), ("cookie", crumb.as_str()), ("cookie", "e=f")];
        assert_eq!(ask("/documents/d1", &crumbs), refused("head_too_large", 431), "{by}");
    }
    assert_eq!(world.upstream.seen().len(), 2);
    let records = eventually("the records", || Some(world.audit()).filter(|records| records.len() == 8));
    let counted = |reason: &str| records.iter().filter(|record| record["reason"] == *reason).count();
    assert_eq!((counted("target_too_long"), counted("head_too_large")), (2, 4));
    let metric = "portcullis_decisions_total{outcome=\"deny\",reason=\"target_too_long\",route=\"\"}";
    assert_eq!(portcullis.metric(metric), 2.0);
}

#[test]
fn a_large_token_passes_where_fields_may_be_that_long() {
    let large = World::new();
    let mut world = World::new();
    world.more = "limits: { field_bytes: 20000 }".to_owned();
    let told = [large, world].map(|world| {
        let portcullis = world.start();
        let mut own = claims("erin", &[]);
        own["groups"] = "g".repeat(9_000).into();
        let answer = portcullis.get("/documents/d1", &world.issuer.sign(&own));
        (answer.status, answer.reason())
    });
    assert_eq!(told, [(431, "head_too_large".to_owned()), (200, String::new())]);
}

#[test]
fn a_field_is_no_longer_than_a_head() {
    let mut world = World::new();
    world.more = "limits: { field_bytes: 70000 }".to_owned();
    world.write("portcullis.yaml", world.config());
    let said = world.run(&["validate", "--config", "portcullis.yaml"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(text.contains("a field of 70000 bytes would be longer than a head may be"), "{text}");
}
