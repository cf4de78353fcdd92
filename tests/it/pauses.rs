//! Answers in which nothing comes any more.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};

use crate::{
    grpc::status,
    lasting::{STREAM, Stream as Open},
    support::{
        Connection, Http2Upstream, Portcullis, Said, Scripted, Stream, Then, World, connect, eventually, http2_request,
        request, runtime, whole,
    },
};

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /events/{document}
    upstream: main
    answer_pause: 1h
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /acme.Documents/Write
    upstream: main
    operations:
      POST: { action: can_write, resource: "document:{header.x-document}" }
"#;

/// Answers may pause for a second.
fn world() -> World {
    World { more: "timeouts: { answer_pause: 1s }".to_owned(), ..World::with_routes(ROUTES) }
}

/// An upstream whose answers begin and do not go on, but for that to `d2`.
fn silent() -> Scripted {
    Scripted::start(|request, _| match request.contains("/d2") {
        true => Said::ok("two"),
        false => Said::of(STREAM, Then::Hang),
    })
}

/// An answer that has begun.
fn open(portcullis: &Portcullis, token: &str) -> Open {
    Open::open(portcullis, &format!("authorization: Bearer {token}"))
}

fn cut(portcullis: &Portcullis, route: &str) -> f64 {
    portcullis.metric(&format!("portcullis_cut_total{{reason=\"upstream_timeout\",route=\"{route}\"}}"))
}

#[test]
fn a_silent_answer_is_cut_off_and_its_place_is_free() {
    let (world, upstream) = (world(), silent());
    let portcullis = world.start_with(&format!("url: \"http://{}\", limits: {{ in_flight: 1 }}", upstream.address));
    let token = world.issuer.token("erin", &[]);
    let waiting = open(&portcullis, &token);
    assert_eq!(portcullis.get("/documents/d2", &token).reason(), "upstream_overloaded");
    waiting.until_cut();
    let record = eventually("the record", || world.audit().into_iter().find(|record| record.get("cut").is_some()));
    assert_eq!((&record["cut"], &record["complete"]), (&"upstream_timeout".into(), &false.into()));
    assert_eq!((&record["outcome"], &record["status"]), (&"allow".into(), &200.into()));
    assert_eq!(cut(&portcullis, "/documents/{document}"), 1.0);
    assert_eq!(portcullis.get("/documents/d2", &token).body, "two");
}

#[test]
fn a_silent_answer_by_http_2_is_reset_and_its_connection_goes_on() {
    let (world, upstream) = (world(), silent());
    let portcullis = world.start_before(upstream.address);
    let token = world.issuer.token("erin", &[]);
    runtime().block_on(async {
        let mut client = connect(portcullis.data).await;
        let (silent, _) = client.send_request(http2_request("GET", "/documents/d1", &token), true).unwrap();
        let mut body = silent.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "event1");
        assert!(body.data().await.unwrap().unwrap_err().is_reset());
        let (next, _) = client.send_request(http2_request("GET", "/documents/d2", &token), true).unwrap();
        assert_eq!(whole(next.await.unwrap().body_mut()).await.0, b"two");
    });
}

#[test]
fn a_route_may_allow_for_longer_pauses() {
    let (world, upstream) = (world(), silent());
    let portcullis = world.start_before(upstream.address);
    let token = world.issuer.token("erin", &[]);
    let mut events = Connection::open(portcullis.data);
    events.send(request("GET", "/events/d1", &token, "", ""));
    open(&portcullis, &token).until_cut();
    assert_eq!((cut(&portcullis, "/documents/{document}"), cut(&portcullis, "/events/{document}")), (1.0, 0.0));
    assert_eq!(portcullis.metric("portcullis_requests_in_flight"), 1.0);
}

#[test]
fn an_answer_that_goes_on_slowly_is_not_silent() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let mut pieces = vec![head];
    pieces.extend((0..100).map(|_| "1\r\nx\r\n".to_owned()));
    pieces.push("0\r\n\r\n".to_owned());
    let upstream = Scripted::start(move |_, _| Said(pieces.clone(), Then::Keep));
    let world = world();
    let portcullis = world.start_before(upstream.address);
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).body, "x".repeat(100));
}

/// A call that is answered when all of it was read, with a head at once.
fn patient(mut stream: Stream) -> crate::support::Answering {
    Box::pin(async move {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut sending = stream.respond.send_response(head, false).unwrap();
        let body = stream.request.body_mut();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
        }
        let _ = sending.send_trailers(status("0"));
    })
}

#[test]
fn an_answer_that_waits_for_its_client_is_not_silent_until_that_is() {
    let upstream = Http2Upstream::start(100, patient);
    let world = world();
    let portcullis = world.start_with(&format!("url: \"http://{}\", protocol: http2", upstream.address));
    let token = world.issuer.token("erin", &[]);
    let call = || {
        let call = Request::post("http://api.acme.example/acme.Documents/Write").version(Version::HTTP_2);
        let call = call.header("authorization", format!("Bearer {token}")).header("x-document", "d1");
        call.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
    };
    runtime().block_on(async {
        let mut client = connect(portcullis.data).await;
        let (answer, mut sending) = client.send_request(call(), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            sending.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
        }
        sending.send_data(Bytes::new(), true).unwrap();
        assert_eq!(whole(&mut body).await.1.get("grpc-status").unwrap(), "0");
        let (answer, _sending) = client.send_request(call(), false).unwrap();
        let (_, trailers) = whole(answer.await.unwrap().body_mut()).await;
        assert_eq!(trailers.get("grpc-status").unwrap(), "4");
    });
    assert_eq!(cut(&portcullis, "/acme.Documents/Write"), 1.0);
}
