//! What is taken, or not taken, only where the operator says so: escaped slashes, names with `_`, HTTP/1.0.

use crate::support::{Connection, World, answer_of, http2_request, request, runtime, whole};

const ROUTES: &str = r#"
  - path: /projects/{project}
    upstream: main
    allow_encoded_slash: true
    operations:
      GET: { action: can_read, resource: "document:{path.project}" }
  - path: /files/{project}/{*file}
    upstream: main
    allow_encoded_slash: true
    operations:
      GET: { action: can_read, resource: "document:{path.project}" }
      POST: { action: can_read, resource: "document:{path.file}" }
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

fn world() -> World {
    let world = World::with_routes(ROUTES);
    let more = "- { user: user:erin, relation: viewer, object: \"document:group%2Fproject\" }\n";
    world.write("tuples.yaml", world.tuples() + more);
    world
}

#[test]
fn an_escaped_slash_stays_one_where_a_route_takes_it() {
    let world = world();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let told = |method: &str, path: &str| {
        let answer = portcullis.request(method, path, &token, "", "");
        (answer.status, answer.reason())
    };
    for (method, path, sent) in [
        ("GET", "/projects/group%2Fproject", "/projects/group%2Fproject"),
        ("GET", "/projects/%67roup%2fproject?a=%2f", "/projects/group%2Fproject?a=%2f"),
        ("GET", "/files/group%2Fproject/a/b%2Fc%20d", "/files/group%2Fproject/a/b%2Fc%20d"),
        ("POST", "/files/x/group%2Fproject", "/files/x/group%2Fproject"),
        ("GET", "/projects/d1", "/projects/d1"),
    ] {
        let answer = portcullis.request(method, path, &token, "", "");
        assert_eq!(answer.status, 200, "{path}");
        assert!(world.upstream.last().starts_with(&format!("{method} {sent} HTTP/1.1\r\n")), "{path}");
        let record = world.record_of(&answer);
        assert_eq!(record["path"], sent.split('?').next().unwrap(), "{path}");
    }
    let passed = world.upstream.seen().len();
    for path in
        ["/projects/group%2Fsecret", "/projects/group%2FProject", "/projects/d1%2Fd2", "/files/d1%2Fx/group%2Fproject"]
    {
        assert_eq!(told("GET", path), (403, "not_permitted".to_owned()), "{path}");
    }
    // What it decides by is what it sends: a server that decodes it twice, or takes another character for a slash, gets none.
    for path in ["/projects/group/project", "/projects/group%2Fproject/x", "/files/group%2Fproject"] {
        assert!(told("GET", path).0 >= 400, "{path}");
    }
    for path in [
        "/documents/d1%2Fd2",
        "/documents/group%2Fproject",
        "/documents%2Fd1",
        "/nothing/a%2Fb",
        "/projects/..%2Fgroup",
        "/projects/group%2F..%2Fd1",
        "/projects/group%2F.%2Fproject",
        "/projects/group%2F%2Fproject",
        "/projects/%2Fgroup",
        "/projects/group%2F",
        "/projects/group%2F%2e%2E",
        "/projects/group%2F..;x",
        "/projects/group%252Fproject",
        "/projects/group%5Cproject",
        "/projects/group%2F%5Cproject",
        "/projects/group%EF%BC%8Fproject",
        "/projects/group%2Fproject%00",
        "/files/x/..%2Fgroup%2Fproject",
        "/files/x/a%2F../group%2Fproject",
    ] {
        assert_eq!(told("GET", path), (400, "non_canonical_path".to_owned()), "{path}");
    }
    assert_eq!(world.upstream.seen().len(), passed, "none of them was forwarded");
    runtime().block_on(async {
        let mut client = crate::support::connect(portcullis.data).await;
        for (path, status) in
            [("/projects/group%2Fproject", 200), ("/projects/..%2Fd1", 400), ("/documents/d1%2Fd2", 400)]
        {
            let (answer, _) = client.send_request(http2_request("GET", path, &token), true).unwrap();
            let mut answer = answer.await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path}");
            whole(answer.body_mut()).await;
        }
    });
}

#[test]
fn without_such_a_route_no_slash_is_escaped() {
    let world = World::with_routes(&ROUTES.replace("    allow_encoded_slash: true\n", ""));
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    for path in ["/projects/group%2Fproject", "/files/x/a%2Fb", "/nothing/a%2fb"] {
        assert_eq!(portcullis.get(path, &token).reason(), "non_canonical_path", "{path}");
    }
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn fields_with_underscores_end_here_if_they_may() {
    let mut world = world();
    let token = world.issuer.token("erin", &[]);
    let fields = "session_id: 7\r\nx_forwarded_for: 1.2.3.4\r\nportcullis_subject: user:root\r\ncontent_length: 9\r\n\
                  x-plain: kept\r\n_x.y: 1\r\n";
    {
        let portcullis = world.start();
        let answer = portcullis.request("GET", "/documents/d1", &token, fields, "");
        assert_eq!((answer.status, answer.reason().as_str()), (400, "malformed_header"));
    }
    world.more = "requests: { underscores: drop }".to_owned();
    let portcullis = world.start();
    assert_eq!(portcullis.request("GET", "/documents/d1", &token, fields, "").status, 200);
    let sent = world.upstream.last().to_ascii_lowercase();
    let names: Vec<&str> = sent.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| !name.contains('_')), "{sent}");
    assert!(names.contains(&"x-plain") && names.contains(&"x-forwarded-for"), "{sent}");
    assert!(!sent.contains("1.2.3.4") && !sent.contains("root"), "{sent}");
    // Nothing is decided by them either, and everything else is refused as ever.
    for fields in
        ["authorization_: Bearer x\r\nx.user: root\r\n", "x.user: root\r\n", "connection: x_y, host\r\nx_y: 1\r\n"]
    {
        let answer = portcullis.request("GET", "/documents/d1", &token, fields, "");
        assert_eq!((answer.status, answer.reason().as_str()), (400, "malformed_header"), "{fields}");
    }
    let bare = "GET /documents/d1 HTTP/1.1\r\nhost: api.acme.example\r\nproxy_authorization: Bearer x\r\n\r\n";
    assert_eq!(answer_of(portcullis.data, bare).unwrap().reason(), "missing_credential");
}

#[test]
fn http_1_0_is_refused_if_it_is_to_be() {
    let mut world = world();
    let token = world.issuer.token("erin", &[]);
    let old = request("GET", "/documents/d1", &token, "", "").replace("HTTP/1.1", "HTTP/1.0");
    {
        let portcullis = world.start();
        assert_eq!(answer_of(portcullis.data, &old).unwrap().status, 200);
    }
    world.more = "requests: { http_1_0: refuse }".to_owned();
    let portcullis = world.start();
    let passed = world.upstream.seen().len();
    let mut connection = Connection::open(portcullis.data);
    connection.send(&old);
    let answer = connection.answer().unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (400, "malformed_message"));
    assert!(connection.is_closed());
    assert_eq!(world.record_of(&answer)["status"], 400);
    assert_eq!(world.upstream.seen().len(), passed);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
}
