//! Variables: one value, spelled one way, or no request to the upstream.

use crate::support::{Answer, Portcullis, World, eventually};

const ROUTES: &str = r#"
  - path: /search
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{query.id}" }
  - path: /tenant
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{header.x-document}" }
  - path: /open
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.target.id}" }
  - path: /copy
    upstream: main
    operations:
      POST:
        accesses:
          - { action: can_read, resource: "document:{body.source}" }
          - { action: can_write, resource: "folder:{body.target}" }
  - path: /mine
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{principal.subject}" }
  - path: /agent
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{principal.actor}" }
  - path: /tree/{*path}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.path}" }
  - path: /pair/{first}/{second}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.first}-{path.second}" }
  - path: /upload/{document}
    upstream: main
    operations:
      PUT: { action: can_read, resource: "document:{path.document}" }
      DELETE: { action: can_read, resource: "document:{path.document}" }
      GET: { action: can_read, resource: "document:{path.document}", body: allow }
  - path: /versioned
    headers: { x-version: "2" }
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:d1" }
"#;

struct Asked {
    world: World,
    portcullis: Portcullis,
    token: String,
}

impl Asked {
    fn new() -> Self {
        let world = World::with_routes(ROUTES);
        let portcullis = world.start();
        let token = world.issuer.token("erin", &[]);
        Self { world, portcullis, token }
    }

    fn get(&self, path: &str, fields: &str) -> (u16, String) {
        Self::told(&self.portcullis.request("GET", path, &self.token, fields, ""))
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.post_as("application/json", path, body)
    }

    fn post_as(&self, media_type: &str, path: &str, body: &str) -> (u16, String) {
        let fields = format!("content-type: {media_type}\r\n");
        Self::told(&self.portcullis.request("POST", path, &self.token, &fields, body))
    }

    fn told(answer: &Answer) -> (u16, String) {
        (answer.status, answer.reason())
    }
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn unmapped() -> (u16, String) {
    (400, "mapping_failed".to_owned())
}

#[test]
fn a_query_parameter_is_there_once_in_one_spelling() {
    let asked = Asked::new();
    assert_eq!(asked.get("/search?id=d1&other=x", ""), ok());
    for query in [
        "",
        "?",
        "?id=",
        "?id=d1&id=d2",
        "?id=d1&ID=d2",
        "?id[]=d1",
        "?id=d1&id%5B%5D=d2",
        "?id=d1;id=d2",
        "?id=%zz",
        "?id=d+1",
        "?%69d=d1",
        "?id=*",
        "?id=d1%23viewer",
        "?id=document:d1",
        "?id=%00d1",
        "?id=d%201",
    ] {
        assert_eq!(asked.get(&format!("/search{query}"), ""), unmapped(), "{query}");
    }
    assert_eq!(asked.world.upstream.seen().len(), 1);
}

#[test]
fn a_header_field_is_there_once() {
    let asked = Asked::new();
    assert_eq!(asked.get("/tenant", "x-document: d1\r\n"), ok());
    for fields in [
        "",
        "x-document: \r\n",
        "x-document: d1\r\nx-document: d1\r\n",
        "x-document: é\r\n",
        "x-document: d1, d2\r\n",
        "connection: x-document\r\nx-document: d1\r\n",
    ] {
        assert_eq!(asked.get("/tenant", fields), unmapped(), "{fields}");
    }
    assert_eq!(asked.get("/versioned", "x-version: 2\r\n"), ok());
    assert_eq!(asked.get("/versioned", "x-version: 1\r\n").1, "no_route");
    assert_eq!(asked.get("/versioned", "x-version: 2\r\nx-version: 2\r\n").1, "repeated_header");
}

#[test]
fn a_body_is_read_strictly_and_sent_as_it_was_read() {
    let asked = Asked::new();
    let body = "{ \"target\": {\"id\": \"d1\"},\n \"note\": \"\\u00e9\" }";
    assert_eq!(asked.post("/open", body), ok());
    assert!(asked.world.upstream.last().ends_with(body));
    assert!(asked.world.upstream.last().contains(&format!("content-length: {}\r\n", body.len())));
    for body in [
        r#"{"target":{}}"#,
        r#"{"target":"d1"}"#,
        r#"{"target":{"id":null}}"#,
        r#"{"target":{"id":["d1"]}}"#,
        r#"{"target":{"id":"d1","Id":"d2"}}"#,
        r#"{"target":{"id":"d1"},"target ":{"id":"d2"}}"#,
        r#"{"target":{"id":"d\u00001"}}"#,
        r#"{"target":{"id":""}}"#,
        r#"{"target":{"id":1.0}}"#,
        "[]",
        "1",
    ] {
        assert_eq!(asked.post("/open", body), unmapped(), "{body}");
    }
    for body in [
        r#"{"target":{"id":"d1"},"target":{"id":"d2"}}"#,
        r#"{"target":{"id":"d1","id":"d2"}}"#,
        r#"{"target":{"id":"d1"}} {}"#,
        r#"{"target":{"id":"d1"}"#,
        "",
        "\u{feff}{}",
        "target=d1",
        r#"{"target":{"id":"d1"},"x":[{"y":1,"y":2}]}"#,
    ] {
        assert_eq!(asked.post("/open", body), (400, "malformed_body".to_owned()), "{body}");
    }
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
    ] {
        let answer = asked.post_as(media_type, "/open", r#"{"target":{"id":"d1"}}"#);
        assert_eq!(answer, (415, "unsupported_media_type".to_owned()), "{media_type}");
    }
    let coded = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let answer = asked.portcullis.request("POST", "/open", &asked.token, coded, r#"{"target":{"id":"d1"}}"#);
    assert_eq!(answer.status, 415);
    assert_eq!(asked.world.upstream.seen().len(), 1);
}

#[test]
fn a_body_beyond_the_limit_is_refused_before_anything_is_sent() {
    let world = World {
        more: "limits: { body_bytes: 100 }\ntimeouts: { body: 300ms }".to_owned(),
        ..World::with_routes(ROUTES)
    };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let long = format!(r#"{{"target":{{"id":"d1"}},"x":"{}"}}"#, "x".repeat(100));
    assert_eq!(portcullis.request("POST", "/open", &token, "", &long).reason(), "body_too_large");
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n", long.len());
    assert_eq!(portcullis.request("POST", "/open", &token, &chunked, "").reason(), "body_too_large");
    let slow = portcullis.request("POST", "/open", &token, "content-length: 50\r\n", "");
    assert_eq!((slow.status, slow.reason().as_str()), (408, "body_timeout"));
    let huge = portcullis.request("POST", "/open", &token, "content-length: 4294967296\r\n", "");
    assert_eq!(huge.reason(), "body_too_large");
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn a_copy_needs_to_read_the_source_and_to_write_the_target() {
    let asked = Asked::new();
    assert_eq!(asked.post("/copy", r#"{"source":"d1","target":"open"}"#), ok());
    assert_eq!(asked.post("/copy", r#"{"source":"d1","target":"closed"}"#).1, "not_permitted");
    assert_eq!(asked.post("/copy", r#"{"source":"d9","target":"open"}"#).1, "not_permitted");
    assert_eq!(asked.post("/copy", r#"{"source":"d1"}"#), unmapped());
    let record = eventually("the first record", || asked.world.audit().into_iter().next());
    assert_eq!(record["accesses"].as_array().unwrap().len(), 2);
}

#[test]
fn the_principal_is_a_source_too() {
    let asked = Asked::new();
    assert_eq!(asked.get("/mine", "").1, "not_permitted", "`document:erin` is nobody's");
    let record = eventually("the first record", || asked.world.audit().into_iter().next());
    assert_eq!(record["accesses"][0]["resource"], "document:erin");
    assert_eq!(asked.get("/agent", ""), unmapped(), "there is no actor");
}

#[test]
fn captures_take_whole_segments() {
    let asked = Asked::new();
    assert_eq!(asked.get("/tree/d1", ""), ok());
    assert_eq!(asked.get("/tree/a/d1", "").1, "not_permitted");
    assert_eq!(asked.get("/tree", "").1, "no_route");
    assert_eq!(asked.get("/pair/a-b/c", ""), unmapped(), "`a-b` and `c` would be the same as `a` and `b-c`");
    assert_eq!(asked.get("/pair/a/b-c", "").1, "not_permitted");
    assert_eq!(asked.get("/tree/*", ""), unmapped());
    assert_eq!(asked.get("/tree/a%20b", ""), unmapped());
}

#[test]
fn a_body_comes_only_with_methods_that_have_one() {
    let asked = Asked::new();
    let request = |method: &str, fields: &str, body: &str| {
        Asked::told(&asked.portcullis.request(method, "/upload/d1", &asked.token, fields, body))
    };
    assert_eq!(request("PUT", "", "any bytes at all"), ok());
    assert!(asked.world.upstream.last().ends_with("\r\n\r\nany bytes at all"));
    assert_eq!(
        request("PUT", "transfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n", ""),
        ok()
    );
    assert!(asked.world.upstream.last().ends_with("abcde"), "{}", asked.world.upstream.last());
    assert!(!asked.world.upstream.last().contains("x-trailer"), "trailers end here");
    assert_eq!(request("DELETE", "", ""), ok());
    assert_eq!(request("DELETE", "", "x"), (400, "unexpected_body".to_owned()));
    assert_eq!(request("GET", "", "x"), ok());
    assert_eq!(asked.get("/search?id=d1", "content-length: 0\r\n"), ok());
}

#[test]
fn a_denied_body_is_never_read_as_a_request() {
    let asked = Asked::new();
    let smuggled = format!("GET /upload/d1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n", asked.token);
    let mut connection = crate::support::Connection::open(asked.portcullis.data);
    connection.send(crate::support::request("PUT", "/upload/d9", &asked.token, "", &smuggled));
    assert_eq!(connection.answer().unwrap().reason(), "not_permitted");
    connection.allow_silence(std::time::Duration::from_secs(1));
    assert!(connection.answer().is_none_or(|answer| answer.status >= 400));
    assert!(asked.world.upstream.seen().is_empty());
}

#[test]
fn a_list_shows_only_what_may_be_seen() {
    let routes = r#"
  - path: /documents
    upstream: main
    operations:
      GET:
        action: can_list
        resource: "folder:open"
        filter: { each: "$.page.items[*]", action: can_read, resource: "document:{item.id}", remove: [$.total, $.page.next] }
"#;
    let world = World::with_routes(routes);
    let portcullis = world.start();
    let list = r#"{"total":4,"page":{"items":[{"id":"d1","n":1.50},{"id":"d2"},{"id":"d9"},{"id":null},{"id":"d1#x"},7],"next":"d9"}}"#;
    world.upstream.answer_with(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: \"4\"\r\ncontent-length: {}\r\n\r\n{list}",
        list.len()
    ));
    let get = |subject: &str, actors: &[&str]| portcullis.get("/documents", &world.issuer.token(subject, actors));
    let answer = get("erin", &["reader"]);
    assert_eq!(answer.body, r#"{"page":{"items":[{"id":"d1","n":1.50}]}}"#, "values keep their spelling");
    assert_eq!((answer.header("etag"), answer.header("cache-control")), (None, Some("private, no-store")));
    assert_eq!(world.record_of(&answer)["items"], serde_json::json!({ "kept": 1, "removed": 5 }));
    assert_eq!(get("erin", &[]).json()["page"]["items"].as_array().unwrap().len(), 2);
    assert_eq!(get("mallory", &[]).reason(), "not_permitted");
    let seen = world.upstream.seen().len();
    let unreadable = |bytes: &str| {
        world.upstream.answer_with(bytes);
        let token = world.issuer.token("erin", &["reader"]);
        let fields = "if-none-match: \"4\"\r\nrange: bytes=0-10\r\naccept-encoding: gzip\r\n";
        portcullis.request("GET", "/documents", &token, fields, "").reason()
    };
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    assert_eq!(
        unreadable("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\n{}"),
        "upstream_malformed"
    );
    assert_eq!(
        unreadable(&format!("{json}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{{}}")),
        "upstream_malformed"
    );
    assert_eq!(unreadable(&format!("{json}content-length: 2\r\n\r\n{{}}")), "upstream_malformed");
    assert_eq!(
        unreadable("HTTP/1.1 206 Partial Content\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"),
        "upstream_malformed"
    );
    for request in world.upstream.seen().iter().skip(seen) {
        for name in ["if-none-match", "range", "accept-encoding"] {
            assert!(!request.contains(name), "{request}");
        }
    }
    world.upstream.answer_with("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone");
    assert_eq!(get("erin", &[]).status, 404, "an error of the upstream is passed on");
}
