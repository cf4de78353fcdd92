//! The digests in the record prove what was sent.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::support::World;

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      POST: { action: can_read, resource: "document:{body.document}" }
      PUT: { action: can_read, resource: "document:{path.document}" }
"#;

fn sha256(text: &str) -> Value {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// What an upstream computes of a request that it got: the line, and the fields by their names.
fn head_digest(request: &str) -> Value {
    let head = request.split_once("\r\n\r\n").unwrap().0;
    let (line, fields) = head.split_once("\r\n").unwrap();
    let left_out = ["content-length", "transfer-encoding", "connection"];
    let mut fields: Vec<(String, &str)> = fields
        .lines()
        .map(|field| field.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| !left_out.contains(&name.as_str()))
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    sha256(&format!("{line}\r\n{fields}"))
}

#[test]
fn an_upstream_computes_the_digests_of_the_record() {
    let mut world = World::with_routes(ROUTES);
    world.more = "audit: { file: audit.jsonl, digests: sent }".to_owned();
    let config = world.config().replacen("audit: { file: audit.jsonl }\n", "", 1);
    world.write("portcullis.yaml", config);
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    let body = "{\"document\": \"d1\"}";
    for (method, path, fields, body) in [
        ("GET", "/documents/d%31?q=%41", "x-b: 2\r\nx-a: 1\r\nx-b: 3\r\ncookie: a=b\r\n", ""),
        ("POST", "/documents/any", "content-type: application/json\r\n", body),
        ("PUT", "/documents/d1", "content-type: text/plain\r\n", "not read before"),
    ] {
        let answer = portcullis.request(method, path, &token, fields, body);
        assert_eq!(answer.status, 200, "{method}");
        let sent = &world.record_of(&answer)["sent"];
        assert_eq!(sent["head_sha256"], head_digest(&world.upstream.last()), "{method}");
        let read = if method == "POST" { sha256(body) } else { Value::Null };
        assert_eq!(sent["body_sha256"], read, "{method}");
    }
    let denied = portcullis.get("/documents/unknown", &token);
    assert_eq!(world.record_of(&denied)["sent"], Value::Null, "nothing was sent");
}

#[test]
fn without_being_asked_for_there_are_none() {
    let world = World::new();
    let portcullis = world.start();
    let answer = portcullis.get("/documents/d1", &world.issuer.token("erin", &[]));
    assert_eq!(world.record_of(&answer)["sent"], Value::Null);
}
