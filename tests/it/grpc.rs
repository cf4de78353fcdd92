//! gRPC through the proxy: calls that pass, and calls that end by a status of gRPC.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use serde_json::Value;

use crate::support::{Answering, Http2Upstream, Portcullis, Stream, World, connect, eventually, runtime, whole};

const ROUTES: &str = r#"
  - path: /acme.Documents/Read
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{header.x-document}" }
  - path: /acme.Documents/Hidden
    upstream: main
    hide_existence: true
    operations:
      POST: { action: can_read, resource: "document:{header.x-document}" }
  - path: /acme.Documents/Once
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{header.x-document}", uses: { most: 1, within: 1h, per: subject } }
"#;

/// A message with its five bytes of prefix.
fn message(text: &str) -> Bytes {
    let mut message = vec![0];
    message.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    message.extend(text.as_bytes());
    message.into()
}

pub(crate) fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), code.parse().unwrap())])
}

/// A service that sends each message back, and ends with status 0.
fn echoing(mut stream: Stream) -> Answering {
    Box::pin(async move {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut sending = stream.respond.send_response(head, false).unwrap();
        let body = stream.request.body_mut();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            sending.send_data(piece, false).unwrap();
        }
        sending.send_trailers(status("0")).unwrap();
    })
}

fn world(upstream: &Http2Upstream) -> (World, Portcullis) {
    let world = World::with_routes(ROUTES);
    let plain = format!("url: \"http://{}\"", world.upstream.address);
    let http2 = format!("url: \"http://{}\", protocol: http2", upstream.address);
    world.write("portcullis.yaml", world.config().replace(&plain, &http2));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    (world, portcullis)
}

fn call(method: &str, token: &str, document: &str) -> Request<()> {
    let mut call = Request::post(format!("http://api.acme.example/acme.Documents/{method}"));
    if !token.is_empty() {
        call = call.header("authorization", format!("Bearer {token}"));
    }
    if !document.is_empty() {
        call = call.header("x-document", document);
    }
    let call = call.header("content-type", "application/grpc").header("te", "trailers");
    call.version(http::Version::HTTP_2).body(()).unwrap()
}

/// What came of a call with one message.
async fn called(portcullis: &Portcullis, call: Request<()>) -> (http::response::Parts, Vec<u8>, HeaderMap) {
    let mut client = connect(portcullis.data).await;
    let (answer, mut sending) = client.send_request(call, false).unwrap();
    // Who is denied may be told so before the message is sent.
    let _ = sending.send_data(message("hello"), true);
    let (head, mut body) = answer.await.unwrap().into_parts();
    let (read, trailers) = whole(&mut body).await;
    (head, read, trailers)
}

fn record(world: &World, path: &str) -> Value {
    eventually("the record", || world.audit().into_iter().rev().find(|record| record["path"] == path))
}

#[test]
fn calls_pass_with_their_messages_and_their_status() {
    let upstream = Http2Upstream::start(100, echoing);
    let (world, portcullis) = world(&upstream);
    let token = world.issuer.token("erin", &["reader"]);
    runtime().block_on(async {
        let (head, read, trailers) = called(&portcullis, call("Read", &token, "d1")).await;
        assert_eq!((head.status.as_u16(), read.as_slice()), (200, message("hello").as_ref()));
        assert_eq!(head.headers.get("content-type").unwrap(), "application/grpc");
        assert_eq!(trailers.get("grpc-status").unwrap(), "0");
        // Both sides speak in turn on one stream.
        let mut client = connect(portcullis.data).await;
        let (answer, mut sending) = client.send_request(call("Read", &token, "d1"), false).unwrap();
        let (_, mut body) = answer.await.unwrap().into_parts();
        for text in ["one", "two", "three"] {
            sending.send_data(message(text), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), message(text));
        }
        sending.send_data(Bytes::new(), true).unwrap();
        assert_eq!(whole(&mut body).await.1.get("grpc-status").unwrap(), "0");
    });
    let head = upstream.heads().remove(0);
    assert_eq!(
        (head.uri.path(), head.headers.get("te").unwrap().to_str().unwrap()),
        ("/acme.Documents/Read", "trailers")
    );
    assert_eq!(head.headers.get("portcullis-subject").unwrap(), "user:erin");
    let record = record(&world, "/acme.Documents/Read");
    assert_eq!(
        (&record["status"], &record["grpc_status"], &record["complete"]),
        (&200.into(), &0.into(), &true.into())
    );
}

#[test]
fn an_error_of_the_service_passes_as_it_is() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            let mut head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            head.headers_mut().extend(status("5"));
            let _ = stream.respond.send_response(head, true);
        })
    });
    let (world, portcullis) = world(&upstream);
    let token = world.issuer.token("erin", &["reader"]);
    let (head, _, _) = runtime().block_on(called(&portcullis, call("Read", &token, "d1")));
    assert_eq!(head.headers.get("grpc-status").unwrap(), "5");
    assert_eq!(record(&world, "/acme.Documents/Read")["grpc_status"], 5);
}

#[test]
fn a_call_that_is_denied_ends_by_a_status_that_says_why() {
    let upstream = Http2Upstream::start(100, echoing);
    let (world, portcullis) = world(&upstream);
    let token = world.issuer.token("erin", &["reader"]);
    let nobody = world.issuer.token("mara", &[]);
    let said = |call: Request<()>| {
        let (head, read, _) = runtime().block_on(called(&portcullis, call));
        assert_eq!((head.status.as_u16(), read.len()), (200, 0));
        assert_eq!(head.headers.get("content-type").unwrap(), "application/grpc");
        assert!(head.headers.get("portcullis-decision-id").is_some());
        let field = |name: &str| head.headers.get(name).unwrap().to_str().unwrap().to_owned();
        let challenged = head.headers.contains_key("www-authenticate");
        (field("grpc-status").parse::<u8>().unwrap(), field("grpc-message"), challenged)
    };
    for (call, code, reason) in [
        (call("Read", "", "d1"), 16, "missing_credential: "),
        (call("Read", "nonsense", "d1"), 16, "invalid_credential: "),
        (call("Read", &nobody, "d1"), 7, "not_permitted: "),
        (call("Unknown", &token, "d1"), 7, "no_route: "),
        (call("Read", &token, ""), 3, "mapping_failed: "),
        (call("Hidden", &nobody, "d1"), 5, "not_found: "),
    ] {
        let (status, message, challenged) = said(call);
        assert_eq!((status, challenged), (code, code == 16), "{message}");
        assert!(message.starts_with(reason), "{message}");
    }
    assert_eq!(record(&world, "/acme.Documents/Hidden")["reason"], "not_permitted");
    assert_eq!(record(&world, "/acme.Documents/Hidden")["grpc_status"], 5);
    assert!(upstream.heads().is_empty(), "none was forwarded");
    let once = || runtime().block_on(called(&portcullis, call("Once", &token, "d1")));
    assert_eq!(once().2.get("grpc-status").unwrap(), "0");
    assert_eq!(once().0.headers.get("grpc-status").unwrap(), "8");
    // What is no call is told as before.
    let mut plain = call("Read", &nobody, "d1");
    plain.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let (head, read, _) = runtime().block_on(called(&portcullis, plain));
    assert_eq!((head.status.as_u16(), head.headers.get("grpc-status")), (403, None));
    assert_eq!(serde_json::from_slice::<Value>(&read).unwrap()["reason"], "not_permitted");
}

#[test]
fn a_service_that_cannot_be_reached_is_unavailable() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::with_routes(ROUTES);
    let plain = format!("url: \"http://{}\"", world.upstream.address);
    let http2 = format!("url: \"http://{}\", protocol: http2", gone.local_addr().unwrap());
    drop(gone);
    world.write("portcullis.yaml", world.config().replace(&plain, &http2));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &["reader"]);
    let (head, _, _) = runtime().block_on(called(&portcullis, call("Read", &token, "d1")));
    assert_eq!((head.status.as_u16(), head.headers.get("grpc-status").unwrap().to_str().unwrap()), (200, "14"));
    assert!(head.headers.get("grpc-message").unwrap().to_str().unwrap().starts_with("upstream_unreachable: "));
}

#[test]
fn a_call_that_lasts_ends_by_a_status_when_it_is_not_permitted_any_more() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut sending = stream.respond.send_response(head, false).unwrap();
            while sending.send_data(message("tick"), false).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    });
    let (world, portcullis) = world(&upstream);
    let token = world.issuer.token("erin", &["reader"]);
    let (read, trailers) = runtime().block_on(async {
        let mut client = connect(portcullis.data).await;
        let (answer, _) = client.send_request(call("Read", &token, "d1"), true).unwrap();
        let (_, mut body) = answer.await.unwrap().into_parts();
        assert_eq!(body.data().await.unwrap().unwrap(), message("tick"));
        let without = "- { user: user:erin, relation: member, object: group:staff }\n";
        world.replace("tuples.yaml", world.tuples().replace(without, ""));
        whole(&mut body).await
    });
    assert!(read.len().is_multiple_of(message("tick").len()), "whole messages");
    assert_eq!(trailers.get("grpc-status").unwrap(), "7");
    assert!(trailers.get("grpc-message").unwrap().to_str().unwrap().starts_with("not_permitted"));
    let record = record(&world, "/acme.Documents/Read");
    assert_eq!((&record["cut"], &record["grpc_status"]), (&"not_permitted".into(), &7.into()));
    assert_eq!((&record["complete"], &record["reason"]), (&false.into(), &"permitted".into()));
}

#[test]
fn a_call_ends_at_the_deadline_that_its_caller_has_named() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            let path = stream.request.uri().path().to_owned();
            if path.ends_with("/Once") {
                // It never answers.
                std::future::pending::<()>().await;
            }
            let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut sending = stream.respond.send_response(head, false).unwrap();
            while sending.send_data(message("tick"), false).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    });
    let (world, portcullis) = world(&upstream);
    let token = world.issuer.token("erin", &["reader"]);
    let within = |method: &str, timeout: &'static str| {
        let mut call = call(method, &token, "d1");
        call.headers_mut().insert("grpc-timeout", http::HeaderValue::from_static(timeout));
        call
    };
    for method in ["Read", "Once"] {
        let (head, _, trailers) = runtime().block_on(called(&portcullis, within(method, "200m")));
        let status = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status")).unwrap();
        assert_eq!(status, "4", "{method}");
        let record = record(&world, &format!("/acme.Documents/{method}"));
        assert_eq!((&record["cut"], &record["grpc_status"]), (&"upstream_timeout".into(), &4.into()), "{method}");
    }
    let (head, _, _) = runtime().block_on(called(&portcullis, within("Hidden", "soon")));
    assert_eq!(head.headers.get("grpc-status").unwrap(), "3");
    assert_eq!(upstream.heads().len(), 2, "what was malformed was not sent");
    assert_eq!(upstream.heads()[0].headers.get("grpc-timeout").unwrap(), "200m");
}

#[test]
fn a_call_of_a_method_without_a_route_is_denied() {
    let upstream = Http2Upstream::start(100, echoing);
    let (world, portcullis) = world(&upstream);
    let token = world.issuer.token("erin", &["reader"]);
    for path in [
        "/acme.Documents/Write",
        "/acme.Documents/read",
        "/acme.documents/Read",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        let mut other = call("Read", &token, "d1");
        *other.uri_mut() = format!("http://api.acme.example{path}").parse().unwrap();
        let (head, _, _) = runtime().block_on(called(&portcullis, other));
        assert_eq!(head.headers.get("grpc-status").unwrap(), "7", "{path}");
    }
    for path in ["/acme.Documents//Read", "/acme.Documents/Read/", "/acme.Documents/./Read", "/acme.Documents%2FRead"] {
        let mut other = call("Read", &token, "d1");
        *other.uri_mut() = format!("http://api.acme.example{path}").parse().unwrap();
        let (head, _, _) = runtime().block_on(called(&portcullis, other));
        assert_eq!(head.headers.get("grpc-status").unwrap(), "3", "{path}");
    }
    assert!(upstream.heads().is_empty());
}

#[test]
fn only_a_call_by_its_own_protocol_is_one() {
    let upstream = Http2Upstream::start(100, echoing);
    let (world, portcullis) = world(&upstream);
    let token = world.issuer.token("erin", &["reader"]);
    // By HTTP/1.1, or of another media type, a denial is the document that others get.
    let fields = "content-type: application/grpc\r\nx-document: unknown\r\n";
    let answer = portcullis.request("POST", "/acme.Documents/Read", &token, fields, "");
    assert_eq!((answer.status, answer.reason()), (403, "not_permitted".to_owned()));
    let mut web = call("Read", &token, "unknown");
    web.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc-web+proto"));
    let (head, _, _) = runtime().block_on(called(&portcullis, web));
    assert_eq!((head.status.as_u16(), head.headers.get("grpc-status")), (403, None));
    // GET is no method of a call, and has no route.
    let mut get = call("Read", &token, "d1");
    *get.method_mut() = http::Method::GET;
    let (head, _, _) = runtime().block_on(called(&portcullis, get));
    assert_eq!((head.status.as_u16(), head.headers.get("grpc-status")), (403, None));
    assert!(upstream.heads().is_empty());
}
