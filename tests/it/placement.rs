//! Where the proxy stands: behind Unix sockets, behind other proxies, on sockets of systemd, behind a redirect.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{Connection, Portcullis, World, eventually, request};

fn asking(world: &World) -> String {
    request("GET", "/documents/d1", &world.issuer.token("erin", &["reader"]), "connection: close\r\n", "")
}

/// Everything that comes back for these bytes.
fn answer_over(mut stream: impl Read + Write, bytes: impl AsRef<[u8]>) -> String {
    // It may be closed already.
    let _ = stream.write_all(bytes.as_ref());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn said_by_validate(world: &World, config: &str) -> String {
    world.write("portcullis.yaml", config);
    let output = world.run(&["validate", "--config", "portcullis.yaml"]);
    assert!(!output.status.success(), "it must be refused:\n{config}");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

// Unix sockets.

const BOTH: &str = "- address: 127.0.0.1:0\n  - { address: \"unix:data.sock\", mode: \"0660\" }";

#[test]
fn agents_connect_to_a_unix_socket() {
    let world = World { listen: BOTH.to_owned(), ..World::new() };
    // What a process that was killed has left there.
    drop(UnixListener::bind(world.path("data.sock")).unwrap());
    let portcullis = world.start();
    let path = world.path("data.sock");
    let file = fs::metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    let answer = answer_over(UnixStream::connect(&path).unwrap(), asking(&world));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(world.upstream.last().contains("x-forwarded-for: unknown\r\n"), "{}", world.upstream.last());
    let denied = answer_over(UnixStream::connect(&path).unwrap(), "GET /documents/../d1 HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(denied.starts_with("HTTP/1.1 400 "), "{denied}");
    eventually("the records are written", || (world.audit().len() == 2).then_some(()));
    assert!(world.audit().iter().all(|record| record["peer"] == "unix"), "{:?}", world.audit());
    // A second process does not take a socket that somebody listens on.
    let said = Portcullis::try_start(&world.path("portcullis.yaml")).err().expect("it does not start");
    assert!(said.contains("data.sock`: another process does"), "{said}");
    assert!(answer_over(UnixStream::connect(&path).unwrap(), asking(&world)).starts_with("HTTP/1.1 200 "));
    portcullis.signal("-TERM");
    assert!(portcullis.wait().success());
    assert!(!path.exists(), "it goes with the process");
}

#[test]
fn a_file_that_is_not_the_processs_own_stays() {
    let world = World { listen: BOTH.to_owned(), ..World::new() };
    world.write("data.sock", "precious");
    world.write("portcullis.yaml", world.config());
    let said = Portcullis::try_start(&world.path("portcullis.yaml")).err().expect("it does not start");
    assert!(said.contains("data.sock`: it is there and no socket"), "{said}");
    assert_eq!(fs::read_to_string(world.path("data.sock")).unwrap(), "precious");
    fs::remove_file(world.path("data.sock")).unwrap();
    let portcullis = world.start();
    // Somebody has put another file there meanwhile.
    fs::remove_file(world.path("data.sock")).unwrap();
    world.write("data.sock", "precious");
    portcullis.signal("-TERM");
    assert!(portcullis.wait().success());
    assert_eq!(fs::read_to_string(world.path("data.sock")).unwrap(), "precious");
}

/// A service on a Unix socket, and the heads that it has seen.
fn local_service(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let heads = Arc::clone(&heads);
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        heads.lock().unwrap().push(String::from_utf8(std::mem::take(&mut head)).unwrap());
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlocal").unwrap();
                    }
                }
            });
        }
    });
    seen
}

#[test]
fn a_service_listens_on_a_unix_socket() {
    let world = World::new();
    let seen = local_service(&world.path("service.sock"));
    let address = format!("http://{}", world.upstream.address);
    world.write("portcullis.yaml", world.config().replace(&address, "unix:service.sock"));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &["reader"]);
    let mut connection = Connection::open(portcullis.data);
    for _ in 0..3 {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        let answer = connection.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "local"));
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|head| head.contains("host: api.acme.example\r\n")), "{seen:?}");
    // Without the service the request is a 502, and with it again it is not.
    fs::remove_file(world.path("service.sock")).unwrap();
    let answer = Portcullis::start(&world.path("portcullis.yaml")).get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
    local_service(&world.path("service.sock"));
    assert_eq!(portcullis.get("/documents/d1", &token).body, "local");
}

// The PROXY protocol.

fn behind_proxies(more: &str) -> World {
    let listen = format!(
        "- address: 127.0.0.1:0
    proxy_protocol: required
    trusted_proxies: [127.0.0.0/8]
    {more}"
    );
    World { listen, more: "timeouts: { handshake: 1s }".to_owned(), ..World::new() }
}

const CLIENT_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x01\x10\x01\x01\xbb";
const LOCAL_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[test]
fn a_trusted_proxy_says_whose_connection_it_is() {
    let world = behind_proxies("");
    let portcullis = world.start();
    let connect = || TcpStream::connect(portcullis.data).unwrap();
    for (header, peer, forwarded) in [
        (&b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"[..], "192.0.2.7:4711", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "[2001:db8::7]:4711", "2001:db8::7"),
        (CLIENT_V2, "192.0.2.9:4097", "192.0.2.9"),
    ] {
        let answer = answer_over(connect(), [header, asking(&world).as_bytes()].concat());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{peer}: {answer}");
        let head = world.upstream.last();
        assert!(head.contains(&format!("x-forwarded-for: {forwarded}\r\n")), "{head}");
        eventually("the record is there", || world.audit().iter().any(|record| record["peer"] == peer).then_some(()));
    }
    // The proxy's own connections, and those of whom it cannot name, are its own.
    for header in [LOCAL_V2, b"PROXY UNKNOWN\r\n"] {
        let answer = answer_over(connect(), [header, asking(&world).as_bytes()].concat());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(world.upstream.last().contains("x-forwarded-for: 127.0.0.1\r\n"));
    }
    // In pieces it is the same.
    let mut connection = connect();
    for byte in CLIENT_V2 {
        connection.write_all(&[*byte]).unwrap();
    }
    assert!(answer_over(connection, asking(&world)).starts_with("HTTP/1.1 200 "));
}

#[test]
fn what_is_no_header_ends_the_connection_and_is_counted() {
    let world = behind_proxies("");
    let portcullis = world.start();
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let refused = [
        ("no_proxy_header", asking(&world).into_bytes()),
        ("malformed_proxy_header", b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n".repeat(2)),
        ("malformed_proxy_header", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc0\0\x02\x09".to_vec()),
        ("long_proxy_header", long.into_bytes()),
        ("long_proxy_header", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec()),
        // It says no more, and the connection ends with its time.
        ("slow_proxy_header", b"PROXY TCP4 192.0.2.7".to_vec()),
    ];
    for (reason, bytes) in refused {
        let name = format!("portcullis_connections_refused_total{{reason=\"{reason}\"}}");
        let before = portcullis.metric(&name);
        let answer = answer_over(TcpStream::connect(portcullis.data).unwrap(), &bytes);
        assert_eq!(answer, "", "{reason}");
        eventually(reason, || (portcullis.metric(&name) > before).then_some(()));
    }
    assert!(world.upstream.seen().is_empty());
    // The next connection is not affected.
    let good = [b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n", asking(&world).as_bytes()].concat();
    let answer = answer_over(TcpStream::connect(portcullis.data).unwrap(), good);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn who_is_no_trusted_proxy_is_not_heard() {
    let world = World {
        listen: "- address: 127.0.0.1:0\n    proxy_protocol: required\n    trusted_proxies: [192.0.2.0/24]".to_owned(),
        ..World::new()
    };
    let portcullis = world.start();
    for bytes in [[CLIENT_V2, asking(&world).as_bytes()].concat(), asking(&world).into_bytes()] {
        assert_eq!(answer_over(TcpStream::connect(portcullis.data).unwrap(), bytes), "");
    }
    let name = "portcullis_connections_refused_total{reason=\"untrusted_proxy\"}";
    eventually("both are counted", || (portcullis.metric(name) >= 2.0).then_some(()));
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn the_header_comes_before_tls_and_over_unix_sockets_too() {
    let world = behind_proxies(
        "tls: { certificate: tls.crt, key: tls.key }
  - address: \"unix:data.sock\"
    proxy_protocol: required
    trusted_proxies: [unix]",
    );
    let made = rcgen::generate_simple_self_signed(vec!["api.acme.example".to_owned()]).unwrap();
    world.write("tls.crt", made.cert.pem());
    world.write("tls.key", made.signing_key.serialize_pem());
    let portcullis = world.start();
    let over_unix = UnixStream::connect(world.path("data.sock")).unwrap();
    let answer = answer_over(over_unix, [CLIENT_V2, asking(&world).as_bytes()].concat());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(world.upstream.last().contains("x-forwarded-for: 192.0.2.9\r\n"));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let mut stream = TcpStream::connect(portcullis.data).unwrap();
    stream.write_all(CLIENT_V2).unwrap();
    let session = rustls::ClientConnection::new(config, "api.acme.example".try_into().unwrap()).unwrap();
    let answer = answer_over(rustls::StreamOwned::new(session, stream), asking(&world));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let head = world.upstream.last();
    assert!(head.contains("x-forwarded-for: 192.0.2.9\r\n") && head.contains("x-forwarded-proto: https\r\n"), "{head}");
}

// Sockets of systemd.

/// Starts the binary as systemd would, with these sockets and names.
fn activated(config: &Path, sockets: [OwnedFd; 2], names: &str) -> Result<Portcullis, String> {
    let [first, second] = sockets;
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_portcullis")]).env("LISTEN_FDNAMES", names);
    command.stdin(Stdio::from(first)).stdout(Stdio::from(second));
    Portcullis::launch(command, config)
}

#[test]
fn systemd_opens_the_sockets_and_keeps_them_between_two_processes() {
    let listen = "- address: \"systemd:agents\"\n  - address: \"systemd:data.sock\"";
    let world = World::new();
    let path = world.path("data.sock");
    let world = World { listen: listen.replace("data.sock", &path.display().to_string()), ..world };
    world.write("portcullis.yaml", world.config());
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let address = tcp.local_addr().unwrap();
    let start = |names: &str| {
        let sockets = [tcp.try_clone().unwrap().into(), unix.try_clone().unwrap().into()];
        activated(&world.path("portcullis.yaml"), sockets, names)
    };
    for _ in 0..2 {
        // It waits in the socket's queue until the process is there.
        let mut early = TcpStream::connect(address).unwrap();
        early.write_all(asking(&world).as_bytes()).unwrap();
        // One is found by its name, the other one by its path.
        let portcullis = start("agents:other").unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(portcullis.data, address);
        assert!(answer_over(early, "").starts_with("HTTP/1.1 200 "));
        let answer = answer_over(UnixStream::connect(&path).unwrap(), asking(&world));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        portcullis.signal("-TERM");
        assert!(portcullis.wait().success());
        assert!(path.exists(), "the file is systemd's");
    }
    let said = start("web:other").err().expect("it does not start");
    assert!(said.contains("cannot listen on systemd:agents: systemd has passed no such socket, but `web` ("), "{said}");
    let said = Portcullis::try_start(&world.path("portcullis.yaml")).err().expect("it does not start");
    assert!(said.contains("cannot listen on systemd:agents: systemd has passed no such socket"), "{said}");
}

#[test]
fn a_socket_that_nobody_asks_for_is_told() {
    let world = World { listen: "- address: \"systemd:agents\"".to_owned(), ..World::new() };
    world.write("portcullis.yaml", world.config());
    let sockets = [0; 2].map(|_| OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()));
    let portcullis = activated(&world.path("portcullis.yaml"), sockets, "agents:forgotten").unwrap();
    portcullis
        .until_logged("no listener of the configuration is at what systemd has passed as `forgotten` (127.0.0.1:");
}

// What a configuration cannot say.

#[test]
fn listeners_that_make_no_sense_are_refused() {
    for (listen, problem) in [
        ("- address: \"unix:\"", "there is no path after `unix:`"),
        ("- address: \"systemd:\"", "there is no name after `systemd:`"),
        ("- address: localhost:80", "`localhost:80` is not an address and a port"),
        ("- { address: 127.0.0.1:0, mode: \"0660\" }", "`mode` is for `unix:PATH` only"),
        ("- { address: \"unix:a.sock\", mode: \"0999\" }", "`0999` is no mode of a file"),
        ("- { address: \"unix:a.sock\", mode: \"1777\" }", "`1777` is no mode of a file"),
        ("- { address: \"unix:a.sock\" }\n  - { address: \"unix:a.sock\" }", "`unix:a.sock` is listened on twice"),
        ("- { address: \"systemd:web\" }\n  - { address: \"systemd:web\" }", "`systemd:web` is listened on twice"),
        ("- { address: 127.0.0.1:0, proxy_protocol: required }", "`trusted_proxies` is missing"),
        (
            "- { address: 127.0.0.1:0, trusted_proxies: [10.0.0.0/8] }",
            "of no use without `proxy_protocol` or `forwarded_for`",
        ),
        (
            "- { address: 127.0.0.1:0, proxy_protocol: required, trusted_proxies: [] }",
            "`trusted_proxies` is empty: nobody would be heard",
        ),
        (
            "- { address: 127.0.0.1:0, proxy_protocol: required, trusted_proxies: [10.0.0.1/8] }",
            "`10.0.0.1/8`: the address has bits beyond its prefix",
        ),
        ("- { address: 127.0.0.1:0, proxy_protocol: required, trusted_proxies: [unix] }", "`unix` is for Unix sockets"),
        (
            "- { address: \"unix:a.sock\", proxy_protocol: required, trusted_proxies: [10.0.0.0/8] }",
            "who connects to a Unix socket has no address",
        ),
        ("- { address: 127.0.0.1:0, forwarded_for: 1 }", "who may say whose requests these are?"),
        ("- { address: 127.0.0.1:0, forwarded_for: 0, trusted_proxies: [10.0.0.0/8] }", "`0` is no number of proxies"),
        ("- { address: 127.0.0.1:0, forwarded_for: 17, trusted_proxies: [10.0.0.0/8] }", "from 1 to 16"),
        ("- { address: 127.0.0.1:0, forwarded_for: 1, trusted_proxies: [] }", "nobody would be heard"),
        (
            "- { address: 127.0.0.1:0, forwarded_for: 1, explicit_proxy: {}, trusted_proxies: [10.0.0.0/8] }",
            "clients of an explicit proxy connect themselves",
        ),
        (
            "- { address: 127.0.0.1:0, forwarded_for: 1, proxy_protocol: required, trusted_proxies: [10.0.0.0/8] }",
            "`proxy_protocol` says already",
        ),
        ("- { address: 127.0.0.1:0, proxy_protocol: optional }", "optional"),
        ("- { address: \"unix:a.sock\", original_destination: true }", "never redirected to a Unix socket"),
    ] {
        let world = World { listen: listen.to_owned(), ..World::new() };
        let said = said_by_validate(&world, &world.config());
        assert!(said.contains(problem), "{listen}: {said}");
    }
    let world = World { more: "admin: { socket: a.sock }\nhand_over: { socket: a.sock }".to_owned(), ..World::new() };
    assert!(said_by_validate(&world, &world.config()).contains("need a socket each"));
}

#[test]
fn upstreams_that_make_no_sense_are_refused() {
    let world = World::new();
    let redirected =
        World { listen: "- { address: 127.0.0.1:0, original_destination: true }".to_owned(), ..World::new() };
    for (world, upstream, problem) in [
        (&world, "{ url: \"unix:\" }", "not a URL"),
        (&world, "{ url: \"unix:a.sock\", preserve_host: false }", "there is no host that could be sent instead"),
        (&world, "{ url: \"unix:a.sock\", ca_file: a.pem }", "`ca_file` is for `https` only"),
        (
            &world,
            "{ preserve_host: true }",
            "exactly one of `url`, `urls`, `original_destination` and `requested_host`",
        ),
        (
            &redirected,
            "{ url: \"http://127.0.0.1:1\", original_destination: { within: [10.0.0.0/8] } }",
            "exactly one of `url`, `urls`, `original_destination` and `requested_host`",
        ),
        (&world, "{ original_destination: { within: [10.0.0.0/8] } }", "no listener can tell where"),
        (&redirected, "{ original_destination: { within: [] } }", "`within` is empty"),
        (&redirected, "{ original_destination: { within: [here] } }", "`here`: it is not a network"),
        (
            &redirected,
            "{ original_destination: { within: [10.0.0.0/8] }, transaction_token: true }",
            "the token would be given to whoever listens there",
        ),
        (
            &redirected,
            "{ original_destination: { within: [10.0.0.0/8] }, preserve_host: false }",
            "there is no host that could be sent instead",
        ),
        (
            &redirected,
            "{ original_destination: { within: [10.0.0.0/8] }, retries: {} }",
            "`retries` is for upstreams with a `url`: here the client chooses where it goes",
        ),
    ] {
        let written = format!("{{ url: \"http://{}\" }}", world.upstream.address);
        let said = said_by_validate(world, &world.config().replace(&written, upstream));
        assert!(said.contains(problem), "{upstream}: {said}");
    }
}

// Behind a redirect.

fn redirected() -> (World, String) {
    let world = World { listen: "- { address: 127.0.0.1:0, original_destination: true }".to_owned(), ..World::new() };
    let written = format!("{{ url: \"http://{}\" }}", world.upstream.address);
    let config = world.config().replace(&written, "{ original_destination: { within: [127.0.0.0/8, 10.0.0.0/8] } }");
    (world, config)
}

#[test]
fn a_connection_that_was_not_redirected_is_not_forwarded_to_the_proxy_itself() {
    let (world, config) = redirected();
    world.write("portcullis.yaml", config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let answer = portcullis.get("/documents/d1", &world.issuer.token("erin", &["reader"]));
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
    let record = world.record_of(&answer);
    assert!(record.to_string().contains("the connection was not redirected here"), "{record}");
}

/// A network namespace of its own, where rules touch nobody else; `None` where this user may not make one.
struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let iptables = ["/usr/sbin/iptables", "/sbin/iptables"].iter().any(|path| Path::new(path).exists());
        let name = format!("portcullis-{}", std::process::id());
        let made =
            iptables && Command::new("ip").args(["netns", "add", &name]).output().is_ok_and(|it| it.status.success());
        made.then(|| Self(name))
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).args(words.split(' '));
        command
    }

    fn run(&self, words: &str) {
        let done = self.command(words).output().unwrap();
        assert!(done.status.success(), "{words}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

const SERVICE: &str = "import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f'{self.server.server_address[0]} {self.headers[\"host\"]}'.encode()
        self.send_response(200); self.send_header('content-length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer((sys.argv[1], 80), Handler).serve_forever()
";

#[test]
fn redirected_connections_go_on_to_where_they_were_meant_to_go() {
    let Some(namespace) = Namespace::new() else {
        eprintln!("skipped: it needs root, `ip netns` and iptables");
        return;
    };
    let (world, config) = redirected();
    let config = config.replace("127.0.0.1:0, original", "127.0.0.1:15001, original");
    world.write("portcullis.yaml", config.replace("127.0.0.0/8, 10.0.0.0/8", "10.0.0.0/24"));
    world.write("service.py", SERVICE);
    namespace.run("ip link set lo up");
    // Two services, one of them within the networks that connections may go on to.
    let services: Vec<_> = ["10.0.0.7", "10.0.1.7"]
        .iter()
        .map(|address| {
            namespace.run(&format!("ip addr add {address}/32 dev lo"));
            let script = world.path("service.py");
            let mut command = namespace.command("python3");
            Ended(command.arg(script).arg(address).spawn().unwrap())
        })
        .collect();
    // What the proxy itself sends is not redirected: its packets have another mark of ownership, here its group.
    namespace
        .run("iptables -t nat -A OUTPUT -p tcp --dport 80 -m owner ! --gid-owner 4711 -j REDIRECT --to-ports 15001");
    let mut command = namespace.command("setpriv --regid 4711 --clear-groups");
    command.arg(env!("CARGO_BIN_EXE_portcullis")).stdout(Stdio::null());
    let portcullis = Portcullis::launch(command, &world.path("portcullis.yaml")).unwrap_or_else(|log| panic!("{log}"));
    let token = world.issuer.token("erin", &["reader"]);
    let asked = |url: &str| {
        let mut command = namespace.command("curl -s -H");
        let output = command.arg(format!("authorization: Bearer {token}")).arg(url).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // Neither the agent nor the service knows of the proxy, which decides all the same.
    eventually("the service is reached", || {
        (asked("http://10.0.0.7/documents/d1") == "10.0.0.7 10.0.0.7").then_some(())
    });
    assert!(asked("http://10.0.0.7/documents/d2").contains("\"not_permitted\""));
    assert!(asked("http://10.0.1.7/documents/d1").contains("\"upstream_unreachable\""));
    // Whoever connects to the proxy itself does not send it into a circle.
    assert!(asked("http://127.0.0.1:15001/documents/d1").contains("\"upstream_unreachable\""));
    let records = eventually("all is recorded", || Some(world.audit()).filter(|records| records.len() >= 4));
    let records = records.iter().map(ToString::to_string).collect::<String>();
    assert!(records.contains("the original destination is in none of its networks"), "{records}");
    drop((portcullis, services));
}

/// A process that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
