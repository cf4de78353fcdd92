//! TLS, HTTP/2 and streams, with real clients.

use std::{
    convert::Infallible,
    io::{Read, Write},
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Frame, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{Portcullis, World, eventually};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn get(path: &str, token: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://api.acme.example{path}"))
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap()
}

async fn http2<T>(io: T) -> hyper::client::conn::http2::SendRequest<Full<Bytes>>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[test]
fn http_2_by_prior_knowledge_is_decided_stream_by_stream() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    block_on(async {
        let stream = TcpStream::connect(portcullis.data).await.unwrap();
        let mut sender = http2(stream).await;
        let answer = sender.send_request(get("/documents/d1", &token)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{\"from\":\"upstream\"}");
        let answer = sender.send_request(get("/documents/d2", &token)).await.unwrap();
        assert_eq!(answer.status(), 403);
        let answer = sender.send_request(get("/documents/%2e%2e/d1", &token)).await.unwrap();
        assert_eq!(answer.status(), 400);
        let mut disagreeing = get("/documents/d1", &token);
        disagreeing.headers_mut().insert("host", "other.example".parse().unwrap());
        assert_eq!(sender.send_request(disagreeing).await.unwrap().status(), 400);
    });
    let seen = world.upstream.last();
    assert!(
        seen.starts_with("GET /documents/d1 HTTP/1.1\r\n") && seen.contains("host: api.acme.example\r\n"),
        "{seen}"
    );
    assert_eq!(world.upstream.seen().len(), 1);
}

fn certificate(world: &World, host: &str) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    world.replace("tls.crt", made.cert.pem());
    world.replace("tls.key", made.signing_key.serialize_pem());
    made.cert.der().to_vec()
}

fn connector(trusted: Vec<u8>, protocol: &str) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config).into()
}

async fn tls(
    address: SocketAddr,
    trusted: &[u8],
    protocol: &str,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    connector(trusted.to_vec(), protocol).connect("api.acme.example".try_into().unwrap(), stream).await
}

#[test]
fn the_decision_listener_serves_tls_and_its_certificate_reloads() {
    let decision = "{ address: 127.0.0.1:0, tls: { certificate: tls.crt, key: tls.key }, callers: [\"user:crm\"] }";
    let world = World { more: format!("decision: {decision}"), ..World::new() };
    let first = certificate(&world, "api.acme.example");
    let portcullis = world.start();
    let (token, address) = (world.issuer.token("crm", &[]), portcullis.decision.unwrap());
    block_on(async {
        let mut sender = http2(tls(address, &first, "h2").await.unwrap()).await;
        assert_eq!(sender.send_request(get("/stores", &token)).await.unwrap().status(), 200);
    });
    let second = certificate(&world, "api.acme.example");
    portcullis.until_revision_above(1);
    block_on(async {
        assert!(tls(address, &first, "h2").await.is_err(), "the certificate before is not served any more");
        let mut sender = http2(tls(address, &second, "h2").await.unwrap()).await;
        assert_eq!(sender.send_request(get("/stores", "")).await.unwrap().status(), 401);
    });
}

#[test]
fn a_refused_reload_leaves_the_certificate_of_a_policy_in_memory() {
    let decision = "{ address: 127.0.0.1:0, tls: { certificate: tls.crt, key: tls.key }, callers: [\"user:crm\"] }";
    let world = World {
        more: format!("decision: {decision}"),
        policy_source: "memory: { model: model.fga, tuples: tuples.yaml }".to_owned(),
        ..World::new()
    };
    let first = certificate(&world, "api.acme.example");
    let portcullis = world.start();
    let address = portcullis.decision.unwrap();
    let good = world.config();
    world.replace("portcullis.yaml", good.replace("can_write,", "can_fly,"));
    portcullis.until_logged("has no relation `can_fly`");
    // What is refused is refused whole, a new certificate too.
    let second = certificate(&world, "api.acme.example");
    let refused = |log: &str| log.matches("has no relation `can_fly`").count();
    eventually("the certificate is read", || Some(()).filter(|()| refused(&portcullis.log()) > 1));
    block_on(async {
        assert!(tls(address, &first, "h2").await.is_ok());
        assert!(tls(address, &second, "h2").await.is_err());
    });
    world.replace("portcullis.yaml", good);
    eventually("the certificate is served", || block_on(tls(address, &second, "h2")).ok());
    assert!(block_on(tls(address, &first, "h2")).is_err());
}

#[test]
fn tls_serves_both_protocols_and_certificates_reload() {
    let world = World {
        listen: "- { address: 127.0.0.1:0, tls: { certificate: tls.crt, key: tls.key } }".to_owned(),
        ..World::new()
    };
    let first = certificate(&world, "api.acme.example");
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    block_on(async {
        let mut sender = http2(tls(portcullis.data, &first, "h2").await.unwrap()).await;
        assert_eq!(sender.send_request(get("/documents/d1", &token)).await.unwrap().status(), 200);
        assert!(world.upstream.last().contains("x-forwarded-proto: https\r\n"));
        let io = TokioIo::new(tls(portcullis.data, &first, "http/1.1").await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let mut request = get("/documents/d2", &token);
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = "/documents/d2".parse().unwrap();
        request.headers_mut().insert("host", "api.acme.example".parse().unwrap());
        assert_eq!(sender.send_request(request).await.unwrap().status(), 403);

        let second = certificate(&world, "api.acme.example");
        portcullis.until_revision_above(1);
        assert!(tls(portcullis.data, &first, "h2").await.is_err(), "the certificate before is not served any more");
        let mut sender = http2(tls(portcullis.data, &second, "h2").await.unwrap()).await;
        assert_eq!(sender.send_request(get("/documents/d1", &token)).await.unwrap().status(), 200);
        // In the clear there is nothing here.
        let mut plain = crate::support::Connection::open(portcullis.data);
        plain.send("GET /documents/d1 HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(plain.answer().is_none());
    });
}

#[test]
fn a_connection_over_tls_has_to_begin_whatever_it_speaks() {
    let world = World {
        listen: "- { address: 127.0.0.1:0, tls: { certificate: tls.crt, key: tls.key } }".to_owned(),
        more: "timeouts: { handshake: 500ms, head: 500ms }".to_owned(),
        ..World::new()
    };
    let trusted = certificate(&world, "api.acme.example");
    let portcullis = world.start();
    block_on(async {
        let mut mute = TcpStream::connect(portcullis.data).await.unwrap();
        mute.write_all(&[22, 3, 1, 0]).await.unwrap();
        let mut preface = tls(portcullis.data, &trusted, "h2").await.unwrap();
        preface.write_all(b"PRI * HTTP").await.unwrap();
        let mut head = tls(portcullis.data, &trusted, "http/1.1").await.unwrap();
        head.write_all(b"GET /documents/d1 HT").await.unwrap();
        // They end, with an error or without.
        let _ = mute.read_to_end(&mut Vec::new()).await;
        let _ = preface.read_to_end(&mut Vec::new()).await;
        let _ = head.read_to_end(&mut Vec::new()).await;
    });
    for reason in ["slow_tls_handshake", "slow_first_byte"] {
        let name = format!("portcullis_connections_refused_total{{reason=\"{reason}\"}}");
        eventually(reason, || (portcullis.metric(&name) == 1.0).then_some(()));
    }
}

/// An upstream that sends endlessly and counts what was taken from it.
async fn endless(sent: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sent = Arc::clone(&sent);
            let service = service_fn(move |_| {
                let sent = Arc::clone(&sent);
                let frames = futures_util::stream::iter(std::iter::repeat_with(move || {
                    sent.fetch_add(64 * 1024, Ordering::Relaxed);
                    Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 64 * 1024])))
                }));
                async move { Ok::<_, Infallible>(Response::new(StreamBody::new(frames))) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[test]
fn a_reader_that_does_not_read_holds_the_upstream_back() {
    let world = World::new();
    let sent = Arc::new(AtomicU64::new(0));
    block_on(async {
        let address = endless(Arc::clone(&sent)).await;
        let portcullis = world.start_before(address);
        let mut connection = crate::support::Connection::open(portcullis.data);
        connection.send(crate::support::request("GET", "/documents/d1", &world.issuer.token("erin", &[]), "", ""));
        let mut before = 0;
        let held = eventually("the upstream is held back", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = sent.load(Ordering::Relaxed);
            let rests = now == before && now > 0;
            before = now;
            rests.then_some(now)
        });
        // Socket buffers on both sides, and little more.
        assert!(held < 64 * 1024 * 1024, "{held} bytes were taken for a reader that read none");
    });
}

#[test]
fn a_stream_flows_both_ways_before_it_ends() {
    let world = World::new();
    let portcullis = world.start();
    world.upstream.answer_with(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\nevent1\r\n",
    );
    let mut connection = crate::support::Connection::open(portcullis.data);
    connection.send(crate::support::request("GET", "/documents/d1", &world.issuer.token("erin", &[]), "", ""));
    let mut read = [0; 4096];
    let mut text = String::new();
    while !text.contains("event1") {
        let count = std::io::Read::read(&mut connection.stream(), &mut read).unwrap();
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&read[..count]));
    }
    assert!(world.audit().is_empty(), "the exchange is not over");
    drop(connection);
    let record = eventually("the record", || world.audit().pop());
    assert_eq!((record["complete"].as_bool(), record["bytes"]["response"].as_u64()), (Some(false), Some(6)));
}

#[test]
fn an_upload_flows_while_nobody_reads_the_answer() {
    // More than the buffers of all sockets on the way hold.
    const LENGTH: usize = 32 * 1024 * 1024;
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(listener.local_addr().unwrap());
    // An upstream that begins its answer before it reads more than the beginning of what it is sent.
    let upstream = thread::spawn(move || {
        let (mut reader, _) = listener.accept().unwrap();
        let (mut bytes, mut read) = (vec![0; 64 * 1024], 0);
        read += reader.read(&mut bytes).unwrap();
        let mut writer = reader.try_clone().unwrap();
        let answering = thread::spawn(move || {
            write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").unwrap();
            writer.write_all(&vec![b'a'; LENGTH]).unwrap();
        });
        while read < LENGTH {
            read += reader.read(&mut bytes).unwrap();
        }
        answering.join().unwrap();
        reader
    });
    let mut client = crate::support::Connection::open(portcullis.data);
    let length = format!("content-length: {LENGTH}\r\n");
    client.send(crate::support::request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), &length, ""));
    // All of it, before a byte of the answer is read.
    client.stream().set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    client.stream().write_all(&vec![b'u'; LENGTH]).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, LENGTH));
    drop(upstream.join().unwrap());
    let record = eventually("the record", || world.audit().pop());
    assert_eq!(record["bytes"]["request"].as_u64(), Some(u64::try_from(LENGTH).unwrap()));
}

#[test]
fn curl_is_served_as_any_client() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let curl = |arguments: &[&str], path: &str| {
        let authorization = format!("authorization: Bearer {token}");
        let url = format!("http://{}{path}", portcullis.data);
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", &authorization])
            .args(arguments)
            .arg(url)
            .output()
            .expect("curl is installed");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl(&[], "/documents/d1"), "200");
    assert_eq!(curl(&["--http2-prior-knowledge"], "/documents/d1"), "200");
    assert_eq!(curl(&["-X", "PUT", "-d", "x", "-H", "expect: 100-continue"], "/documents/d1"), "403");
    assert_eq!(curl(&["--path-as-is"], "/documents/../documents/d1"), "400");
}

#[test]
fn an_https_upstream_is_checked_against_its_authorities() {
    let world = World::new();
    let trusted = certificate(&world, "localhost");
    let key = std::fs::read_to_string(world.path("tls.key")).unwrap();
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = rustls::pki_types::pem::PemObject::from_pem_slice(key.as_bytes()).unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![trusted.into()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let service =
                    service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("secret"))) });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        let url = format!("\"https://localhost:{}\"", address.port());
        let plain = format!("\"http://{}\"", world.upstream.address);
        let config = world.config().replace(&plain, &format!("{url}, ca_file: tls.crt, preserve_host: false"));
        world.write("portcullis.yaml", config);
        let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
        let token = world.issuer.token("erin", &[]);
        assert_eq!(portcullis.get("/documents/d1", &token).body, "secret");
        // Without the private authority the certificate is worth nothing.
        world.replace("portcullis.yaml", world.config().replace(&plain, &url));
        portcullis.until_revision_above(1);
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
    });
}
