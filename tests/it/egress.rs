//! Agents that name the proxy as theirs: requests in absolute-form, and tunnels that end in it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::support::{Answer, Connection, Portcullis, World, eventually};

pub(crate) const INTERCEPTING: &str =
    "- { address: 127.0.0.1:0, explicit_proxy: { interception: { certificate: ca.pem, key: ca.key } } }";

pub(crate) const ROUTES: &str = r#"
  - path: /documents/{document}
    host: api.far.example
    egress: true
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_write, resource: "document:{path.document}" }
  - path: /documents/{document}
    host: "*.tools.example"
    egress: true
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /documents/{document}
    host: api.far.example:8443
    egress: true
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /live/{document}
    host: api.far.example
    egress: true
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}", upgrade: websocket }
  - path: /lookups
    host: api.far.example
    egress: true
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.document}" }
  - path: /open/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /documents/{document}
    host: inner.example
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

/// An authority's certificate and key, both PEM.
pub(crate) fn authority(name: &str) -> (String, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "Acme");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let pem = key.serialize_pem();
    (CertifiedIssuer::self_signed(params, key).unwrap().pem(), pem)
}

/// A proxy that agents name as theirs, and what they know of it.
pub(crate) struct Egress {
    pub(crate) world: World,
    pub(crate) portcullis: Portcullis,
    pub(crate) token: String,
    pub(crate) ca: String,
}

impl Egress {
    pub(crate) fn start() -> Self {
        Self::with(INTERCEPTING, "")
    }

    fn with(listen: &str, more: &str) -> Self {
        let world = World { listen: listen.to_owned(), more: more.to_owned(), ..World::with_routes(ROUTES) };
        let config = world.config();
        Self::of(world, &config)
    }

    /// One by this configuration.
    pub(crate) fn of(world: World, config: &str) -> Self {
        let (ca, key) = authority("Egress 1");
        world.write("ca.pem", &ca);
        world.write("ca.key", key);
        world.write("portcullis.yaml", config);
        let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
        let token = world.issuer.token("erin", &["reader"]);
        Self { world, portcullis, token, ca }
    }

    /// The answer to a head of these lines, each ended by CRLF here.
    pub(crate) fn asked(&self, lines: &[&str]) -> Answer {
        let mut connection = Connection::open(self.portcullis.data);
        connection.send(format!("{}\r\n\r\n", lines.join("\r\n")));
        connection.answer().expect("an answer")
    }

    pub(crate) fn proxy_authorization(&self) -> String {
        format!("proxy-authorization: Bearer {}", self.token)
    }

    /// A connection whose tunnel to this place is open.
    pub(crate) fn tunnel(&self, to: &str) -> TcpStream {
        self.tunnel_on(Connection::open(self.portcullis.data), to)
    }

    /// The same of this one.
    pub(crate) fn tunnel_on(&self, mut connection: Connection, to: &str) -> TcpStream {
        let authorization = self.proxy_authorization();
        connection.send(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n{authorization}\r\n\r\n"));
        let mut head = Vec::new();
        let mut stream = connection.stream();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
        stream.try_clone().unwrap()
    }

    /// The TLS session with the end of a tunnel, as who asks for this server.
    pub(crate) fn session(&self, to: &str, server: &str) -> StreamOwned<ClientConnection, TcpStream> {
        self.session_on(self.tunnel(to), server, &[])
    }

    /// The same on this tunnel, by one of these protocols.
    pub(crate) fn session_on(
        &self,
        tunnel: TcpStream,
        server: &str,
        protocols: &[&str],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let server = ServerName::try_from(server.to_owned()).unwrap();
        let mut config = trusting(&self.ca);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        StreamOwned::new(ClientConnection::new(Arc::new(config), server).unwrap(), tunnel)
    }

    /// Everything that comes back for these bytes in a tunnel.
    fn within(&self, to: &str, server: &str, bytes: &str) -> Result<String, String> {
        let mut session = self.session(to, server);
        session.write_all(bytes.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        // The other side may close without a word.
        let _ = session.read_to_end(&mut answer);
        if answer.is_empty() { Err("closed".to_owned()) } else { Ok(String::from_utf8(answer).unwrap()) }
    }

    /// The last line that `curl` writes for these arguments: the statuses of CONNECT and of the answer, and the version.
    pub(crate) fn curl(&self, arguments: &[&str]) -> (String, String) {
        self.world.write("trusted.pem", &self.ca);
        let proxy = format!("http://{}", self.portcullis.data);
        let output = Command::new("curl")
            .args(["-s", "--max-time", "20", "-x", &proxy, "--cacert", "trusted.pem"])
            .args(["-w", "\n%{http_connect} %{http_code} %{http_version}"])
            .args(arguments)
            .env_remove("no_proxy")
            .current_dir(self.world.folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, told) = text.rsplit_once('\n').unwrap();
        (body.to_owned(), told.to_owned())
    }

    pub(crate) fn audit(&self, count: usize) -> Vec<serde_json::Value> {
        eventually("the records are written", || Some(self.world.audit()).filter(|records| records.len() >= count))
    }
}

fn trusting(ca: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

const FAR: &str = "https://api.far.example/documents/d1";

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
}

#[test]
fn curl_reaches_a_far_service_over_https_and_each_request_is_decided() {
    let egress = Egress::start();
    let bearer = format!("Proxy-Authorization: Bearer {}", egress.token);
    let ask = |more: &[&str], url: &str| egress.curl(&[&["--proxy-header", &bearer], more, &[url]].concat());
    let (body, told) = ask(&["--http2", "-H", "Authorization: Bearer theirs", "-H", "x-api-key: theirs"], FAR);
    assert_eq!((body.as_str(), told.as_str()), ("{\"from\":\"upstream\"}", "200 200 2"));
    let seen = egress.world.upstream.last();
    // What is the service's is the service's, and nobody elsewhere is told who asks from where.
    assert!(seen.contains("host: api.far.example\r\n") && seen.contains("authorization: Bearer theirs\r\n"), "{seen}");
    assert!(seen.contains("x-api-key: theirs\r\n") && seen.contains("via: 1.1 portcullis\r\n"), "{seen}");
    for hidden in ["portcullis-", "x-forwarded-", "proxy-", egress.token.as_str()] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
    assert_eq!(ask(&["--http1.1"], FAR).1, "200 200 1.1");
    let (body, told) = ask(&[], "https://api.far.example/documents/d2");
    assert!(told.starts_with("200 403 ") && body.contains("not_permitted"), "{told} {body}");
    assert!(ask(&[], "https://mcp.tools.example/documents/d1").1.starts_with("200 200 "));
    assert!(ask(&[], "https://api.far.example:8443/documents/d1").1.starts_with("200 200 "));
    let records = egress.audit(10);
    let told: Vec<_> = records.iter().map(|record| (&record["reason"], &record["host"], &record["outcome"])).collect();
    assert_eq!((told[0].0, told[0].1, told[0].2), (&"tunnel".into(), &"api.far.example".into(), &"answer".into()));
    assert_eq!((told[1].0, told[1].1, told[1].2), (&"permitted".into(), &"api.far.example".into(), &"allow".into()));
    assert!(records.iter().all(|record| record["principal"]["subject"] == "user:erin"), "{records:?}");
}

#[test]
fn curl_reaches_a_far_service_over_http_by_user_and_password() {
    let egress = Egress::start();
    let (user, url) = (format!("jwt:{}", egress.token), "http://api.far.example/documents/d1");
    let (body, told) = egress.curl(&["-U", &user, "-H", "Authorization: Bearer theirs", url]);
    assert_eq!((body.as_str(), told.as_str()), ("{\"from\":\"upstream\"}", "000 200 1.1"));
    let seen = egress.world.upstream.last();
    assert!(seen.starts_with("GET /documents/d1 HTTP/1.1\r\n") && seen.contains("host: api.far.example\r\n"), "{seen}");
    assert!(seen.contains("authorization: Bearer theirs\r\n") && !seen.contains("proxy-"), "{seen}");
    // Nobody is known, or nobody that counts.
    for arguments in [&[url][..], &["-U", "erin:secret", url], &["-U", "jwt:a.b.c", url], &["-H", "x-api-key: k", url]]
    {
        let (body, told) = egress.curl(arguments);
        assert_eq!(told, "000 407 1.1", "{arguments:?} {body}");
    }
    assert_eq!(egress.curl(&[FAR]).1.split(' ').next(), Some("407"));
    let answer = egress.asked(&["GET http://api.far.example/documents/d1 HTTP/1.1", "host: api.far.example"]);
    let challenges: Vec<_> = answer.head.lines().filter(|line| line.starts_with("proxy-authenticate: ")).collect();
    assert_eq!(challenges.len(), 2, "{}", answer.head);
    assert!(!answer.head.contains("www-authenticate") && answer.header("connection") == Some("close"));
    assert_eq!((answer.reason().as_str(), answer.json()["status"].as_u64()), ("missing_credential", Some(407)));
}

#[test]
fn a_proxy_is_asked_in_absolute_form_for_hosts_that_routes_name() {
    let egress = Egress::start();
    let authorization = egress.proxy_authorization();
    for (target, host, fields, status, reason) in [
        ("http://api.far.example/documents/d1", "api.far.example", "x: y", 200, ""),
        ("http://api.far.example:80/documents/d1", "API.far.example", "proxy-connection: keep-alive", 200, ""),
        ("/documents/d1", "api.far.example", "x: y", 400, "malformed_target"),
        ("https://api.far.example/documents/d1", "api.far.example", "x: y", 400, "malformed_target"),
        ("ftp://api.far.example/documents/d1", "api.far.example", "x: y", 400, "malformed_target"),
        ("http://api.far.example/documents/d1", "other.example", "x: y", 400, "malformed_target"),
        ("http://erin@api.far.example/documents/d1", "api.far.example", "x: y", 400, "malformed_target"),
        ("http://api.far.example:22/documents/d1", "api.far.example:22", "x: y", 403, "no_route"),
        ("http://127.0.0.1/documents/d1", "127.0.0.1", "x: y", 403, "no_route"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254", "x: y", 403, "no_route"),
        // A route for all hosts names none.
        ("http://other.example/open/d1", "other.example", "x: y", 403, "no_route"),
        // This one is not for egress.
        ("http://inner.example/documents/d1", "inner.example", "x: y", 403, "no_route"),
        ("http://api.far.example/documents/d1", "api.far.example", &authorization, 400, "repeated_header"),
        (
            "http://api.far.example/documents/d1",
            "api.far.example",
            "connection: proxy-authorization",
            400,
            "malformed_header",
        ),
    ] {
        let answer =
            egress.asked(&[&format!("GET {target} HTTP/1.1"), &format!("host: {host}"), &authorization, fields]);
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{target} {fields}");
    }
    assert_eq!(egress.world.upstream.seen().len(), 2);
}

#[test]
fn a_tunnel_is_refused_before_a_certificate_is_made() {
    let egress = Egress::start();
    let authorization = egress.proxy_authorization();
    for (target, fields, status, reason) in [
        ("api.far.example:22", "x: y", 403, "no_route"),
        ("other.example:443", "x: y", 403, "no_route"),
        ("inner.example:443", "x: y", 403, "no_route"),
        ("127.0.0.1:443", "x: y", 403, "no_route"),
        ("[::1]:443", "x: y", 403, "no_route"),
        ("169.254.169.254:80", "x: y", 403, "no_route"),
        ("tools.example:443", "x: y", 403, "no_route"),
        ("api.far.example", "x: y", 400, "malformed_target"),
        ("https://api.far.example:443", "x: y", 400, "malformed_target"),
        ("erin@api.far.example:443", "x: y", 400, "malformed_target"),
        ("api.far.example:443", "content-length: 1", 400, "malformed_framing"),
        ("api.far.example:443", "transfer-encoding: chunked", 400, "malformed_framing"),
        ("api.far.example:443", &authorization, 400, "repeated_header"),
    ] {
        let host = target.trim_start_matches("https://").trim_start_matches("erin@");
        let (line, host) = (format!("CONNECT {target} HTTP/1.1"), format!("host: {host}"));
        let mut connection = Connection::open(egress.portcullis.data);
        connection.send(format!("{line}\r\n{host}\r\n{authorization}\r\n{fields}\r\n\r\n"));
        let answer = connection.answer().unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{target} {fields}");
        assert_eq!(answer.header("connection"), Some("close"), "{target} {fields}");
        let record = egress.world.record_of(&answer);
        assert_eq!((&record["method"], &record["outcome"]), (&"CONNECT".into(), &"deny".into()), "{record}");
        assert!(connection.is_closed(), "what follows might be for the tunnel");
    }
    let answer = egress.asked(&["CONNECT api.far.example:443 HTTP/1.1", "host: api.far.example:444", &authorization]);
    assert_eq!(answer.reason(), "malformed_target");
    for lines in [
        &["CONNECT api.far.example:443 HTTP/1.1", "host: api.far.example"][..],
        &["CONNECT api.far.example:443 HTTP/1.1", "host: api.far.example", "proxy-authorization: Bearer a.b.c"],
        &["CONNECT api.far.example:443 HTTP/1.1", "host: api.far.example", "authorization: Bearer a.b.c"],
    ] {
        let answer = egress.asked(lines);
        assert_eq!((answer.status, answer.header("connection")), (407, Some("close")), "{lines:?}");
    }
    // Old clients leave Host out.
    let mut connection = Connection::open(egress.portcullis.data);
    connection.send(format!("CONNECT api.far.example:443 HTTP/1.0\r\n{authorization}\r\n\r\n"));
    let mut beginning = [0; 12];
    connection.stream().read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"HTTP/1.0 200");
}

#[test]
fn what_comes_out_of_a_tunnel_is_for_its_host_alone() {
    let egress = Egress::start();
    let (to, server) = ("api.far.example:443", "api.far.example");
    let within = |bytes: &str| egress.within(to, server, bytes).unwrap();
    assert!(within(&get("api.far.example", "/documents/d1")).starts_with("HTTP/1.1 200 "));
    assert!(within(&get("API.far.example.:443", "https://api.far.example/documents/d1")).starts_with("HTTP/1.1 200 "));
    for (bytes, status, reason) in [
        (get("mcp.tools.example", "/documents/d1"), 421, "misdirected"),
        (get("api.far.example:8443", "/documents/d1"), 421, "misdirected"),
        (get("other.example", "https://other.example/documents/d1"), 421, "misdirected"),
        (get("api.far.example", "https://mcp.tools.example/documents/d1"), 400, "malformed_target"),
        (get("api.far.example", "http://api.far.example/documents/d1"), 400, "malformed_target"),
        ("CONNECT api.far.example:443 HTTP/1.1\r\nhost: api.far.example\r\n\r\n".to_owned(), 405, "refused_method"),
        (get("api.far.example", "/open/d1"), 403, "no_route"),
        (
            "GET /documents/../d1 HTTP/1.1\r\nhost: api.far.example\r\nconnection: close\r\n\r\n".to_owned(),
            400,
            "non_canonical_path",
        ),
        ("GET / HTTP/1.1\nhost: api.far.example\n\n".to_owned(), 400, ""),
    ] {
        let answer = within(&bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(reason), "{bytes}\n{answer}");
    }
    assert_eq!(egress.world.upstream.seen().len(), 2);
}

#[test]
fn another_server_is_not_asked_for_in_a_tunnel() {
    let egress = Egress::start();
    let before = egress.portcullis.metric("portcullis_connections_refused_total{reason=\"tls_handshake\"}");
    let refused = egress.within("api.far.example:443", "mcp.tools.example", &get("mcp.tools.example", "/documents/d1"));
    assert!(refused.is_err(), "{refused:?}");
    let records = egress.audit(2);
    assert_eq!((&records[1]["reason"], &records[1]["host"]), (&"misdirected".into(), &"api.far.example".into()));
    assert_eq!(
        egress.portcullis.metric("portcullis_connections_refused_total{reason=\"tls_handshake\"}"),
        before + 1.0
    );
    // What is no TLS at all is no more.
    let mut stream = egress.tunnel("api.far.example:443");
    stream.write_all(get("api.far.example", "/documents/d1").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(egress.world.upstream.seen().is_empty());
}

#[test]
fn who_does_not_wait_for_the_tunnel_has_none() {
    let egress = Egress::start();
    let authorization = egress.proxy_authorization();
    let head = format!("CONNECT api.far.example:443 HTTP/1.1\r\nhost: api.far.example\r\n{authorization}\r\n\r\n");
    for early in
        ["\x16\x03\x01", "GET http://api.far.example/documents/d1 HTTP/1.1\r\nhost: api.far.example\r\n\r\n", "\n"]
    {
        let mut connection = Connection::open(egress.portcullis.data);
        connection.send(format!("{head}{early}"));
        let mut answer = Vec::new();
        let _ = connection.stream().read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{early:?}: {answer}");
    }
    let name = "portcullis_connections_refused_total{reason=\"early_tunnel_bytes\"}";
    eventually("they are counted", || (egress.portcullis.metric(name) == 3.0).then_some(()));
    assert!(egress.world.upstream.seen().is_empty());
}

#[test]
fn without_an_authority_nothing_is_tunnelled() {
    let egress = Egress::with("- { address: 127.0.0.1:0, explicit_proxy: {} }", "");
    let authorization = egress.proxy_authorization();
    let connect = ["CONNECT api.far.example:443 HTTP/1.1", "host: api.far.example:443", &authorization];
    let answer = egress.asked(&connect);
    assert_eq!((answer.status, answer.reason().as_str()), (405, "refused_method"));
    let absolute = ["GET http://api.far.example/documents/d1 HTTP/1.1", "host: api.far.example", &authorization];
    assert_eq!(egress.asked(&absolute).status, 200);
    // On a listener that is none, nothing of all this is there.
    let egress = Egress::with("- { address: 127.0.0.1:0 }", "");
    assert_eq!(egress.asked(&connect).reason(), "refused_method");
    assert_eq!(egress.asked(&absolute).status, 401);
}

#[test]
fn a_tunnel_is_decided_again_with_each_request_and_by_the_policy_of_the_moment() {
    let egress = Egress::start();
    let mut session = egress.session("api.far.example:443", "api.far.example");
    let mut ask = || {
        let request = "GET /documents/d1 HTTP/1.1\r\nhost: api.far.example\r\n\r\n";
        session.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0; 4096];
        let read = session.read(&mut answer).unwrap();
        String::from_utf8(answer[..read].to_vec()).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask(), "200");
    let revision = egress.portcullis.revision();
    let tuples = egress.world.tuples().replace("document:d1", "document:d9");
    egress.world.replace("tuples.yaml", tuples);
    egress.portcullis.until_revision_above(revision);
    assert_eq!(ask(), "403");
}

#[test]
fn the_authority_is_replaced_while_it_serves() {
    let egress = Egress::start();
    let bearer = format!("Proxy-Authorization: Bearer {}", egress.token);
    assert_eq!(egress.curl(&["--proxy-header", &bearer, FAR]).1, "200 200 2");
    let (ca, key) = authority("Egress 2");
    egress.world.replace("ca.key", key);
    egress.world.replace("ca.pem", &ca);
    let renewed = Egress { ca, ..egress };
    eventually("the new authority vouches", || {
        (renewed.curl(&["--proxy-header", &bearer, FAR]).1 == "200 200 2").then_some(())
    });
    // One that cannot be used is refused, and the one before stays.
    renewed.world.replace("ca.key", authority("Egress 3").1);
    eventually("it is refused", || {
        (renewed.portcullis.metric("portcullis_snapshot_last_build_refused") == 1.0).then_some(())
    });
    assert_eq!(renewed.curl(&["--proxy-header", &bearer, FAR]).1, "200 200 2");
}

#[test]
fn a_tunnel_is_a_connection_as_every_other() {
    let egress =
        Egress::with(INTERCEPTING, "timeouts: { handshake: 1s, drain: 10s }\nlimits: { connections_per_source: 2 }");
    // It keeps its place among the connections of its source.
    let mut first = egress.session("api.far.example:443", "api.far.example");
    first.write_all(b"GET /documents/d1 HTTP/1.1\r\nhost: api.far.example\r\n\r\n").unwrap();
    let mut answer = [0; 4096];
    assert!(first.read(&mut answer).unwrap() > 0);
    let silent = egress.tunnel("api.far.example:443");
    let mut refused = TcpStream::connect(egress.portcullis.data).unwrap();
    assert_eq!(refused.read(&mut answer).unwrap_or(0), 0);
    // A handshake has its time.
    let name = "portcullis_connections_refused_total{reason=\"slow_tls_handshake\"}";
    eventually("the handshake was too slow", || (egress.portcullis.metric(name) == 1.0).then_some(()));
    drop(silent);
    // At the end it is told that it is over.
    egress.portcullis.signal("-TERM");
    first.sock.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest);
    assert!(egress.portcullis.wait().success());
}

#[test]
fn a_request_for_a_tunnel_is_bounded_as_every_other() {
    let egress = Egress::start();
    let (authorization, long) = (egress.proxy_authorization(), format!("x: {}", "v".repeat(8190)));
    let lines = ["CONNECT api.far.example:443 HTTP/1.1", "host: api.far.example:443", &authorization];
    assert_eq!(egress.asked(&lines).status, 200);
    let answer = egress.asked(&[&lines[..], &[&long]].concat());
    assert_eq!((answer.status, answer.reason().as_str()), (431, "head_too_large"));
}

#[test]
fn a_body_that_is_read_slowly_is_decided_again_for_whom_the_proxy_knows() {
    let egress = Egress::start();
    let mut connection = Connection::open(egress.portcullis.data);
    let (authorization, own) = (egress.proxy_authorization(), "authorization: Bearer theirs");
    let body = r#"{"document":"d1"}"#;
    let framing = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    connection.send(format!(
        "POST http://api.far.example/lookups HTTP/1.1\r\nhost: api.far.example\r\n{authorization}\r\n{own}\r\n{framing}\r\n\r\n"
    ));
    std::thread::sleep(Duration::from_millis(700));
    connection.send(body);
    let answer = connection.answer().expect("an answer");
    assert_eq!((answer.status, answer.reason().as_str()), (200, ""));
}
