//! The end of a process with much in flight, and reloads under load: nobody loses an answer, and nothing waits for ever.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Authority, Client, Connection, Portcullis, World, eventually,
    raw_http2::{END_HEADERS, END_STREAM, Http2, data, frame, request_head},
    request, rounds, runtime,
};

fn until_in_flight(portcullis: &Portcullis, count: f64) {
    let in_flight = || portcullis.metric("portcullis_requests_in_flight");
    eventually("they are in flight", || (in_flight() == count).then_some(()));
}

#[test]
fn all_that_is_in_flight_at_the_end_is_finished() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut slow: Vec<_> = (0..30).map(|_| Connection::open(portcullis.data)).collect();
    for connection in &mut slow {
        connection.send(request("PUT", "/documents/d1", &token, "content-length: 5\r\n", ""));
    }
    let mut streams = Http2::open(portcullis.data);
    let numbers = (0..30).map(|number| number * 2 + 1);
    for stream in numbers.clone() {
        streams.send(frame(1, END_HEADERS, stream, &request_head("PUT", "/documents/d1", &token, &[])));
    }
    until_in_flight(&portcullis, 60.0);
    portcullis.signal("-TERM");
    eventually("it is not ready", || (portcullis.telemetry("/readyz").status == 503).then_some(()));
    while streams.next().expect("it goes on").0 != 7 {}
    for connection in &mut slow {
        connection.send("12345");
    }
    for stream in numbers {
        streams.send(data(END_STREAM, stream, b"12345"));
    }
    for connection in &mut slow {
        let answer = connection.answer().expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    let ended = std::iter::from_fn(|| streams.next()).filter(|(kind, flags, ..)| *kind == 0 && flags & END_STREAM != 0);
    assert_eq!(ended.take(30).count(), 30, "every stream has its answer");
    drop(streams);
    assert!(portcullis.wait().success());
    let records = world.audit();
    assert_eq!(records.len(), 60);
    assert!(records.iter().all(|record| record["status"] == 200 && record["complete"] == true));
}

#[test]
fn what_is_stuck_at_the_end_is_cut_and_recorded() {
    let world = World { more: "timeouts: { drain: 500ms }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    world.upstream.answer_with(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
    );
    let head = request_head("GET", "/documents/d1", &token, &[]);
    let mut events = Http2::open(portcullis.data);
    events.send(frame(1, END_HEADERS | END_STREAM, 1, &head));
    while events.next().expect("the answer begins").0 != 0 {}
    let mut stuck = Connection::open(portcullis.data);
    stuck.send(request("PUT", "/documents/d1", &token, "content-length: 5\r\n", ""));
    until_in_flight(&portcullis, 2.0);
    portcullis.signal("-TERM");
    let begun = Instant::now();
    assert_eq!(portcullis.wait().code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let rest: Vec<_> = std::iter::from_fn(|| events.next()).collect();
    assert!(rest.iter().any(|(kind, ..)| *kind == 7), "it was told to go");
    assert!(!rest.iter().any(|(kind, flags, ..)| *kind == 0 && flags & END_STREAM != 0), "that is no clean end");
    let records = world.audit();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record["complete"] == false));
}

#[test]
fn reloads_of_the_configuration_under_load_fail_nobody() {
    let mut world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let is_over = AtomicBool::new(false);
    let asked: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut connection, mut asked) = (Connection::open(portcullis.data), 0);
                    while !is_over.load(Ordering::Relaxed) {
                        connection.send(request("GET", "/documents/d1", &token, "", ""));
                        let answer = connection.answer().expect("old connections go on");
                        assert_eq!(answer.status, 200, "{}", answer.body);
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for number in 0..rounds(40, 200) {
            // Another route each time.
            world.routes.push_str(&format!(
                "  - path: /more/{number}\n    upstream: main\n    operations:\n      GET: {{ action: can_read, resource: \"document:d1\" }}\n",
            ));
            let revision = portcullis.revision();
            world.replace("portcullis.yaml", world.config());
            portcullis.until_revision_above(revision);
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(asked > 400, "there was load: {asked}");
}

#[test]
fn certificates_that_change_under_load_fail_nobody() {
    let world = World {
        listen: "- { address: 127.0.0.1:0, tls: { certificate: tls.crt, key: tls.key } }".to_owned(),
        ..World::new()
    };
    let authority = Authority::new("clients know it");
    let key = rcgen::KeyPair::generate().unwrap();
    world.write("tls.key", key.serialize_pem());
    let certificate = |serial: usize| {
        let mut params = rcgen::CertificateParams::new(vec!["api.acme.example".to_owned()]).unwrap();
        params.serial_number = Some(u64::try_from(serial).unwrap().into());
        authority.sign(&params, &key)
    };
    world.write("tls.crt", certificate(1));
    let portcullis = world.start();
    let bearer = format!("Bearer {}", world.issuer.token("erin", &[]));
    let fields = [("authorization", bearer.as_str())];
    let is_over = AtomicBool::new(false);
    let asked: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|number| {
                let (is_over, portcullis, authority) = (&is_over, &portcullis, &authority);
                scope.spawn(move || {
                    // The first keeps its connection, the others make a new one for each request.
                    let client = Client::anonymous(authority.der());
                    runtime().block_on(async {
                        let (mut kept, _) = client.connect(portcullis.data).await.unwrap();
                        let mut asked = 0;
                        while !is_over.load(Ordering::Relaxed) {
                            if number > 0 {
                                kept = client.connect(portcullis.data).await.expect("each handshake succeeds").0;
                            }
                            let answer = kept.get("/documents/d1", &fields).await.expect("each request is answered");
                            assert_eq!(answer.status, 200, "{}", answer.body);
                            asked += 1;
                        }
                        asked
                    })
                })
            })
            .collect();
        for serial in 2..2 + rounds(20, 200) {
            let revision = portcullis.revision();
            world.replace("tls.crt", certificate(serial));
            portcullis.until_revision_above(revision);
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(asked > 100, "there was load: {asked}");
}
