//! Upstreams that speak HTTP/2, before clients of both protocols.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response, StatusCode};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    Answering, Connection, Http2Upstream, Portcullis, Stream, World, connect, eventually, http2_request, request, run,
    runtime, whole,
};

/// A world before this upstream, which speaks HTTP/2 in the clear.
fn before(address: SocketAddr) -> (World, Portcullis, String) {
    with(World::new(), address, "")
}

fn with(world: World, address: SocketAddr, more: &str) -> (World, Portcullis, String) {
    let plain = format!("url: \"http://{}\"", world.upstream.address);
    let config = world.config().replace(&plain, &format!("url: \"http://{address}\", protocol: http2{more}"));
    world.write("portcullis.yaml", config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &["reader"]);
    (world, portcullis, token)
}

fn answering(body: &'static str) -> impl Fn(Stream) -> Answering + Send + Sync + 'static {
    move |mut stream| {
        Box::pin(async move {
            stream.body().await;
            stream.answer(body);
        })
    }
}

#[test]
fn many_requests_share_one_connection() {
    let upstream = Http2Upstream::start(100, answering("shared"));
    let (_world, portcullis, token) = before(upstream.address);
    let mut connection = Connection::open(portcullis.data);
    for _ in 0..20 {
        connection.send(request("GET", "/documents/d1?a=b", &token, "", ""));
        let answer = connection.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "shared"));
    }
    assert_eq!(upstream.connections(), 1);
    let heads = upstream.heads();
    let head = heads.last().unwrap();
    assert_eq!((heads.len(), head.uri.to_string().as_str()), (20, "http://api.acme.example/documents/d1?a=b"));
    assert_eq!(head.headers.get("portcullis-subject").unwrap(), "user:erin");
    for absent in ["host", "connection", "te", "transfer-encoding", "authorization"] {
        assert!(!head.headers.contains_key(absent), "{absent}");
    }
}

#[test]
fn a_request_goes_to_another_endpoint_where_no_connection_can_be_made() {
    let upstream = Http2Upstream::start(100, answering("here"));
    // Of the machine's own, and nobody's.
    let nowhere = TcpListener::bind("127.7.8.1:0").unwrap().local_addr().unwrap();
    let world = World::new();
    let urls = format!("urls: [\"http://{nowhere}\", \"http://{}\"]", upstream.address);
    let portcullis = world.start_with(&format!("{urls}, protocol: http2, limits: {{ connections: 4 }}"));
    let token = world.issuer.token("erin", &["reader"]);
    for _ in 0..10 {
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!((answer.status, answer.body.as_str()), (200, "here"));
    }
    let record = eventually("some were tried twice", || {
        world.audit().into_iter().find(|record| record["upstream_attempts"].as_u64() == Some(2))
    });
    assert_eq!(record["upstream_status"].as_u64(), Some(200));
    // As many as there may be: not more connections than workers.
    assert!(upstream.connections() <= 4, "{}", upstream.connections());
}

#[test]
fn connections_that_are_old_take_no_more_requests() {
    let upstream = Http2Upstream::start(100, answering("young"));
    let (_world, portcullis, token) = with(World::new(), upstream.address, ", connection_age: 200ms");
    let mut connection = Connection::open(portcullis.data);
    for count in 1..=3 {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        assert_eq!(connection.answer().unwrap().body, "young");
        assert_eq!(upstream.connections(), count);
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn what_is_sent_is_the_canonical_request_whoever_asks() {
    let upstream = Http2Upstream::start(100, answering(""));
    let (world, portcullis, _) = before(upstream.address);
    let writer = world.issuer.token("erin", &[]);
    let fields = "connection: x-private, te\r\nx-private: 1\r\nte: trailers\r\nx-forwarded-for: 1.2.3.4\r\n";
    let answer = portcullis.request("PUT", "/documents/%641", &writer, fields, "written");
    assert_eq!(answer.status, 200);
    let token = writer.clone();
    runtime().block_on(async move {
        let mut client = connect(portcullis.data).await;
        let mut asked = http2_request("PUT", "/documents/d1", &token);
        asked.headers_mut().insert("x-forwarded-for", "1.2.3.4".parse().unwrap());
        let (answer, mut sending) = client.send_request(asked, false).unwrap();
        sending.send_data(Bytes::from_static(b"written"), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
    let heads = upstream.heads();
    for head in &heads {
        assert_eq!((head.method.as_str(), head.uri.path()), ("PUT", "/documents/d1"));
        assert_eq!(head.headers.get("x-forwarded-for").unwrap(), "127.0.0.1");
        assert!(!head.headers.contains_key("x-private"));
    }
    // Who can take trailers is told so, and nobody else.
    let told: Vec<_> = heads.iter().map(|head| head.headers.get("te").is_some()).collect();
    assert_eq!(told, [true, false]);
    let lengths: Vec<_> = heads.iter().map(|head| head.headers.get("content-length").is_some()).collect();
    assert_eq!(lengths, [true, false]);
}

#[test]
fn another_connection_is_opened_when_one_is_full() {
    let (waiting, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (now, peak) = (Arc::clone(&waiting), Arc::clone(&most));
    let upstream = Http2Upstream::start(4, move |stream| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        Box::pin(async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // None is answered before all are there, which more than one connection has to carry.
            while peak.load(Ordering::SeqCst) < 10 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            stream.answer("together");
        })
    });
    let mut world = World::new();
    world.more = "workers: 1".to_owned();
    let plain = format!("url: \"http://{}\"", world.upstream.address);
    let config = world.config().replace("workers: 2\n", "");
    world.write(
        "portcullis.yaml",
        config.replace(&plain, &format!("url: \"http://{}\", protocol: http2", upstream.address)),
    );
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &["reader"]);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert_eq!(portcullis.get("/documents/d1", &token).body, "together"));
        }
    });
    assert_eq!(upstream.connections(), 3, "ten streams, four of a connection");
}

#[test]
fn an_answer_that_nobody_reads_holds_up_no_other() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            if stream.request.uri().path() == "/documents/d1" && stream.number == 1 {
                let mut sending = stream.respond.send_response(Response::new(()), false).unwrap();
                let _ = sending.send_data(Bytes::from(vec![b'x'; 8 << 20]), true);
                std::future::pending::<()>().await;
            }
            stream.answer("free");
        })
    });
    let (_world, portcullis, token) = before(upstream.address);
    let mut unread = Connection::open(portcullis.data);
    unread.send(request("GET", "/documents/d1", &token, "", ""));
    eventually("the large answer is on its way", || (upstream.heads().len() == 1).then_some(()));
    for _ in 0..10 {
        assert_eq!(portcullis.get("/documents/d1", &token).body, "free");
    }
    // Who goes away ends its own stream, and not the connection.
    drop(unread);
    assert_eq!(portcullis.get("/documents/d1", &token).body, "free");
    assert!(upstream.connections() <= 2, "one of a worker");
}

#[test]
fn a_stream_that_was_refused_is_asked_for_again_and_no_upload_is() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            if stream.number % 2 == 1 {
                stream.respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                stream.body().await;
                stream.answer("second");
            }
        })
    });
    let (world, portcullis, token) = before(upstream.address);
    assert_eq!(portcullis.get("/documents/d1", &token).body, "second");
    assert_eq!(upstream.heads().len(), 2);
    // What of a body has left is not there any more.
    let refused = portcullis.request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), "", "written");
    assert_eq!((refused.status, refused.reason().as_str()), (502, "upstream_unreachable"));
    assert_eq!(upstream.heads().len(), 3);
}

/// What a hand-made upstream does with a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    Answer,
    /// Says that it has processed nothing, and ends.
    GoAwayBefore,
    /// Says that it will process this one and no more, and answers it.
    GoAwayAfter,
    /// Says that it will process this one, and ends.
    GoAwayAndBreak,
    /// Ends without a word.
    Break,
    /// An answer that no protocol allows.
    Malformed,
    /// Never answers, and counts what is reset.
    Silence,
}

/// An upstream that speaks HTTP/2 by hand; the n-th request of all is answered by the n-th act, later ones by the last.
struct ByHand {
    address: SocketAddr,
    heads: Arc<AtomicUsize>,
    resets: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

impl ByHand {
    fn start(acts: &'static [Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let by_hand = Self { address, heads: Arc::default(), resets: Arc::default(), connections: Arc::default() };
        let (heads, resets, connections) =
            (Arc::clone(&by_hand.heads), Arc::clone(&by_hand.resets), Arc::clone(&by_hand.connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (heads, resets) = (Arc::clone(&heads), Arc::clone(&resets));
                thread::spawn(move || speak(stream, acts, &heads, &resets));
            }
        });
        by_hand
    }
}

fn speak(mut stream: TcpStream, acts: &[Act], heads: &AtomicUsize, resets: &AtomicUsize) -> Option<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).ok()?;
    stream.write_all(&frame(4, 0, 0, &[])).ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).ok()?;
        let goaway = |last: u32| frame(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
        // `:status: 200`
        let answer = frame(1, 5, id, &[0x88]);
        match (head[3], head[4]) {
            (4, 0) => stream.write_all(&frame(4, 1, 0, &[])).ok()?,
            (6, 0) => stream.write_all(&frame(6, 1, 0, &payload)).ok()?,
            (3, _) => drop(resets.fetch_add(1, Ordering::SeqCst)),
            (1, _) => match acts[heads.fetch_add(1, Ordering::SeqCst).min(acts.len() - 1)] {
                Act::Answer => stream.write_all(&answer).ok()?,
                Act::GoAwayBefore => return stream.write_all(&goaway(id - 1)).ok(),
                Act::GoAwayAndBreak => return stream.write_all(&goaway(id)).ok(),
                Act::GoAwayAfter => stream.write_all(&[goaway(id), answer].concat()).ok()?,
                Act::Break => return None,
                Act::Malformed => stream.write_all(&frame(1, 5, id, b"\x88\x00\x0aconnection\x05close")).ok()?,
                Act::Silence => {}
            },
            _ => {}
        }
    }
}

#[test]
fn what_an_upstream_did_not_process_before_it_went_is_sent_once_more() {
    let upstream = ByHand::start(&[Act::GoAwayBefore, Act::Answer, Act::GoAwayAfter, Act::Answer]);
    let (_world, portcullis, token) = before(upstream.address);
    let mut connection = Connection::open(portcullis.data);
    for _ in 0..3 {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        assert_eq!(connection.answer().unwrap().status, 200);
    }
    assert_eq!(upstream.heads.load(Ordering::SeqCst), 4, "the first came twice");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 3, "none is used after it said that it goes");
}

#[test]
fn what_may_have_been_processed_is_never_sent_twice() {
    for acts in [&[Act::Break], &[Act::GoAwayAndBreak]] {
        let upstream = ByHand::start(acts);
        let (world, portcullis, token) = before(upstream.address);
        for (method, body) in [("GET", ""), ("PUT", "written")] {
            let heads = upstream.heads.load(Ordering::SeqCst);
            let token = if method == "GET" { token.clone() } else { world.issuer.token("erin", &[]) };
            let answer = portcullis.request(method, "/documents/d1", &token, "", body);
            assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"), "{method} {acts:?}");
            assert_eq!(upstream.heads.load(Ordering::SeqCst), heads + 1, "{method} {acts:?}");
        }
    }
}

#[test]
fn a_malformed_answer_is_refused_and_a_late_one_resets_its_stream_alone() {
    let upstream = ByHand::start(&[Act::Malformed, Act::Silence, Act::Answer]);
    let (world, portcullis, token) = with(World::new(), upstream.address, ", response_timeout: 300ms");
    let mut connection = Connection::open(portcullis.data);
    let mut ask = || {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        let answer = connection.answer().unwrap();
        (answer.status, answer.reason())
    };
    assert_eq!(ask(), (502, "upstream_malformed".to_owned()));
    assert_eq!(ask(), (504, "upstream_timeout".to_owned()));
    assert_eq!(ask(), (200, String::new()));
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
    eventually("the late stream is reset", || (upstream.resets.load(Ordering::SeqCst) == 2).then_some(()));
    assert_eq!(eventually("records", || Some(world.audit()).filter(|all| all.len() == 3)).len(), 3);
}

#[test]
fn who_does_not_speak_http2_is_not_reached_by_it() {
    let (world, portcullis, token) = {
        let world = World::new();
        let address = world.upstream.address;
        with(world, address, "")
    };
    world.upstream.answer_with("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
}

#[test]
fn answers_without_a_body_end_in_every_combination_of_protocols() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            let status = match stream.number % 3 {
                0 => StatusCode::OK,
                1 => StatusCode::NO_CONTENT,
                _ => StatusCode::NOT_MODIFIED,
            };
            let response = Response::builder().status(status);
            let response = if status == 200 { response.header("content-length", "1000") } else { response };
            // A HEAD, which tells of a body that does not come.
            let _ = stream.respond.send_response(response.body(()).unwrap(), true);
        })
    });
    let (_world, portcullis, token) = before(upstream.address);
    let methods = ["GET", "GET", "HEAD"];
    let mut connection = Connection::open(portcullis.data);
    for (method, status) in methods.into_iter().zip([204, 304, 200]) {
        connection.send(request(method, "/documents/d1", &token, "", ""));
        let answer = connection.answer_to(method).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (status, ""));
        assert_eq!(answer.header("content-length"), (status == 200).then_some("1000"));
    }
    runtime().block_on(async {
        let mut client = connect(portcullis.data).await;
        for (method, status) in methods.into_iter().zip([204, 304, 200]) {
            let (answer, _) = client.send_request(http2_request(method, "/documents/d1", &token), true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers().get("content-length").is_some(), status == 200);
            assert!(whole(&mut answer.into_body()).await.0.is_empty());
        }
    });
}

#[test]
fn bodies_stream_both_ways_at_one_time() {
    // Each piece comes back before the next one is sent.
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            let mut sending = stream.respond.send_response(Response::new(()), false).unwrap();
            let body = stream.request.body_mut();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                sending.send_data(piece, false).unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("x-pieces", "all".parse().unwrap());
            trailers.insert("set-cookie", "a=b".parse().unwrap());
            sending.send_trailers(trailers).unwrap();
        })
    });
    let (world, portcullis, _) = before(upstream.address);
    let token = world.issuer.token("erin", &[]);
    let (mut record, (mut read, trailers)) = runtime().block_on(async {
        let mut client = connect(portcullis.data).await;
        let (answer, mut sending) = client.send_request(http2_request("PUT", "/documents/d1", &token), false).unwrap();
        let mut answer = answer.await.unwrap();
        for piece in ["one", "two", "three"] {
            sending.send_data(Bytes::from_static(piece.as_bytes()), false).unwrap();
            assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), piece);
        }
        sending.send_data(Bytes::new(), true).unwrap();
        let rest = whole(answer.body_mut()).await;
        (eventually("the record", || world.audit().pop()), rest)
    });
    assert!(read.drain(..).next().is_none());
    assert_eq!(trailers.get("x-pieces").unwrap(), "all");
    assert_eq!(trailers.len(), 1, "what belongs into a head is no trailer");
    assert_eq!(record["bytes"].take(), serde_json::json!({ "request": 11, "response": 11 }));
    assert_eq!(record["complete"], true);
}

#[test]
fn trailers_reach_clients_of_http11_that_can_take_them() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            let head = Response::builder().header("trailer", "x-sum, content-length, x-other").body(()).unwrap();
            let mut sending = stream.respond.send_response(head, false).unwrap();
            sending.send_data(Bytes::from_static(b"summed"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "6".parse().unwrap());
            trailers.insert("x-unannounced", "1".parse().unwrap());
            sending.send_trailers(trailers).unwrap();
        })
    });
    let (_world, portcullis, token) = before(upstream.address);
    let raw = |fields: &str| {
        let mut connection = TcpStream::connect(portcullis.data).unwrap();
        let fields = format!("{fields}connection: close\r\n");
        connection.write_all(request("GET", "/documents/d1", &token, &fields, "").as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    };
    let taken = raw("te: trailers\r\n");
    assert!(taken.contains("trailer: x-sum, x-other\r\n"), "{taken}");
    assert!(taken.ends_with("6\r\nsummed\r\n0\r\nx-sum: 6\r\n\r\n"), "{taken}");
    let plain = raw("");
    assert!(!plain.contains("trailer:") && plain.ends_with("6\r\nsummed\r\n0\r\n\r\n"), "{plain}");
}

#[test]
fn an_upload_that_breaks_off_is_no_fault_of_the_upstream() {
    let upstream = Http2Upstream::start(100, |mut stream| {
        Box::pin(async move {
            stream.body().await;
            std::future::pending::<()>().await;
        })
    });
    let (world, portcullis, _) = before(upstream.address);
    let mut connection = Connection::open(portcullis.data);
    let token = world.issuer.token("erin", &[]);
    connection.send(request("PUT", "/documents/d1", &token, "content-length: 100\r\n", ""));
    connection.send("half of it");
    eventually("it is on its way", || (upstream.heads().len() == 1).then_some(()));
    drop(connection);
    let record = eventually("the record", || world.audit().pop());
    assert!(record["reason"] == "malformed_message" || record["reason"] == "permitted", "{record}");
    assert_eq!(
        portcullis.metric("portcullis_upstream_errors_total{reason=\"upstream_unreachable\",upstream=\"main\"}"),
        0.0
    );
}

fn acceptor(protocols: &[&str]) -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

/// A world before an upstream over TLS, with these settings of it.
fn over_tls(address: SocketAddr, certificate: &str, more: &str) -> (World, Portcullis, String) {
    let world = World::new();
    world.write("upstream.pem", certificate);
    let plain = format!("url: \"http://{}\"", world.upstream.address);
    let secured = format!("url: \"https://{address}\", ca_file: upstream.pem{more}");
    world.write("portcullis.yaml", world.config().replace(&plain, &secured));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &["reader"]);
    (world, portcullis, token)
}

#[test]
fn over_tls_the_upstream_chooses() {
    let (acceptor, certificate) = acceptor(&["h2", "http/1.1"]);
    let upstream = Http2Upstream::start_with(Some(acceptor), 100, answering("chosen"));
    let (_world, portcullis, token) = over_tls(upstream.address, &certificate, "");
    for _ in 0..5 {
        assert_eq!(portcullis.get("/documents/d1", &token).body, "chosen");
    }
    assert!(upstream.connections() <= 2, "one of a worker");
    assert_eq!(upstream.heads()[0].uri.scheme_str(), Some("https"));
    // By HTTP/1.1 alone it is asked for that, and then this one does not speak it.
    let (_world, portcullis, token) = over_tls(upstream.address, &certificate, ", protocol: http1");
    assert_eq!(portcullis.get("/documents/d1", &token).reason(), "upstream_malformed");
    assert_eq!(upstream.heads().len(), 5);
}

/// An upstream over TLS that speaks HTTP/1.1, with ALPN or without.
fn http1_over_tls(protocols: &[&str]) -> (SocketAddr, String, Arc<AtomicUsize>) {
    let (acceptor, certificate) = acceptor(protocols);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&connections);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(acceptor.config());
            let counted = Arc::clone(&counted);
            thread::spawn(move || {
                let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream);
                let (mut head, mut byte) = (Vec::new(), [0]);
                while matches!(stream.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        if std::mem::take(&mut head).starts_with(b"GET /documents/d1 HTTP/1.1\r\n") {
                            counted.fetch_add(1, Ordering::SeqCst);
                        }
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none");
                    }
                }
            });
        }
    });
    (address, certificate, connections)
}

#[test]
fn an_upstream_that_chooses_http11_or_nothing_gets_it() {
    for protocols in [&["http/1.1"][..], &[]] {
        let (address, certificate, requests) = http1_over_tls(protocols);
        let (_world, portcullis, token) = over_tls(address, &certificate, "");
        for _ in 0..3 {
            assert_eq!(portcullis.get("/documents/d1", &token).body, "one", "{protocols:?}");
        }
        assert_eq!(requests.load(Ordering::SeqCst), 3);
        let (_world, portcullis, token) = over_tls(address, &certificate, ", protocol: http2");
        assert_eq!(portcullis.get("/documents/d1", &token).reason(), "upstream_unreachable", "{protocols:?}");
    }
}

#[test]
fn a_protocol_that_is_none_is_pointed_at() {
    let world = World::new();
    let plain = format!("url: \"http://{}\"", world.upstream.address);
    world.write("portcullis.yaml", world.config().replace(&plain, &format!("{plain}, protocol: h2c")));
    let path = world.path("portcullis.yaml");
    let said = run(&["validate", "--config", path.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(!said.status.success() && text.contains("h2c") && text.contains(":6:"), "{text}");
    assert!(fs::metadata(&path).is_ok());
}

#[test]
fn an_upstream_that_takes_no_streams_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_world, portcullis, token) = with(World::new(), listener.local_addr().unwrap(), ", connect_timeout: 200ms");
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
    listener.set_nonblocking(true).unwrap();
    let accepted = listener.accept().map(drop);
    assert!(accepted.is_ok(), "{accepted:?}");
    assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "once");
}
