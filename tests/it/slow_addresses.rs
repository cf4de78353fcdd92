//! Addresses that lead nowhere hold nobody up who can be served at another one.

use std::{
    net::{Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    names, requested_hosts,
    support::{Connection, Http2Upstream, Portcullis, Said, Scripted, Then, World, request},
};

/// An address that answers no packet: who connects to it waits.
struct Swallowing {
    address: SocketAddr,
    _socket: Socket,
    _queue: Vec<TcpStream>,
}

impl Swallowing {
    fn at(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        // Its queue is full when nobody comes in any more.
        let entering = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        Self { address, _queue: std::iter::from_fn(entering).collect(), _socket: socket }
    }

    fn new() -> Self {
        Self::at(([127, 0, 0, 1], 0).into())
    }
}

/// Far longer than a test may take: who waited for it would be noticed.
const CONNECT: &str = "connect_timeout: 40s";

#[test]
fn requests_go_to_whichever_endpoint_is_there_first() {
    let (swallowing, there) = (Swallowing::new(), Scripted::answering("there"));
    let world = World::new();
    let token = world.issuer.token("erin", &[]);
    let urls = format!("urls: [\"http://{}\", \"http://{}\"]", swallowing.address, there.address);
    let portcullis = world.start_with(&format!("{urls}, {CONNECT}"));
    let begun = Instant::now();
    let answers: Vec<_> = (0..20).map(|_| portcullis.get("/documents/d1", &token)).collect();
    assert!(answers.iter().all(|answer| (answer.status, answer.body.as_str()) == (200, "there")));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let attempts = |answer| world.record_of(answer)["upstream_attempts"].as_u64();
    assert!(answers.iter().any(|answer| attempts(answer) == Some(2)), "somebody began with the other one");
    // It does not have the first word for long.
    portcullis.until_logged("left alone for a while");
    assert!(portcullis.metric("portcullis_upstream_ejections_total{upstream=\"main\"}") >= 1.0);
}

#[test]
fn a_websocket_is_opened_at_whichever_endpoint_is_there_first() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let (swallowing, there) = (Swallowing::new(), Scripted::start(|_, _| Said::of(switching, Then::Hang)));
    let route = r#"
  - path: /live/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}", upgrade: websocket }
"#;
    let world = World::with_routes(route);
    let token = world.issuer.token("erin", &[]);
    let urls = format!("urls: [\"http://{}\", \"http://{}\"]", swallowing.address, there.address);
    let ejection = "ejection: { pause: 1ms, longest_pause: 1ms }";
    let portcullis = world.start_with(&format!("{urls}, {CONNECT}, {ejection}"));
    let fields = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                  sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let begun = Instant::now();
    let opened: Vec<Connection> = (0..10)
        .map(|_| {
            let mut connection = Connection::open(portcullis.data);
            connection.send(request("GET", "/live/d1", &token, fields, ""));
            let mut head = [0; 12];
            std::io::Read::read_exact(&mut connection.stream(), &mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 101");
            connection
        })
        .collect();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((opened.len(), there.requests()), (10, 10));
}

#[test]
fn streams_go_to_whichever_endpoint_is_there_first() {
    let swallowing = Swallowing::new();
    let there = Http2Upstream::start(100, |stream| Box::pin(async move { stream.answer("there") }));
    let world = World::new();
    let token = world.issuer.token("erin", &[]);
    let urls = format!("urls: [\"http://{}\", \"http://{}\"]", swallowing.address, there.address);
    let portcullis = world.start_with(&format!("{urls}, protocol: http2, {CONNECT}"));
    let begun = Instant::now();
    // Many at one time, none of which is held up.
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..20).map(|_| scope.spawn(|| portcullis.get("/documents/d1", &token))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.body == "there"), "{answers:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_name_is_reached_by_whichever_family_leads_somewhere() {
    let there = Scripted::answering("there");
    let port = there.address.port();
    let _swallowing = Swallowing::at((Ipv6Addr::LOCALHOST, port).into());
    let world = World::new();
    let token = world.issuer.token("erin", &[]);
    world.write("hosts", "::1 crm.test\n127.0.0.1 crm.test\n");
    world.write_with(&format!("url: \"http://crm.test:{port}\", {CONNECT}"));
    let Some(portcullis) = names::start(&world, "hosts", "/etc/hosts") else { return };
    let begun = Instant::now();
    assert!((0..20).all(|_| portcullis.get("/documents/d1", &token).body == "there"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_requested_host_is_reached_at_whichever_of_its_addresses_is_there_first() {
    let there = Scripted::answering("there");
    // Of the names of this machine the first address is that of IPv6.
    let _swallowing = Swallowing::at((Ipv6Addr::LOCALHOST, there.address.port()).into());
    let world = requested_hosts::world(&["far.localhost".to_owned()], there.address.port(), &format!(", {CONNECT}"));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    let begun = Instant::now();
    let answer = requested_hosts::get(&portcullis, &token, &format!("far.localhost:{}", there.address.port()));
    assert_eq!((answer.status, answer.body.as_str()), (200, "there"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
