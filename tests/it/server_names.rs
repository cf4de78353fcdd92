//! Several certificates on one listener.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::support::{Portcullis, World, eventually, request};

/// A certificate of its own for these names, and its key, both PEM.
fn made(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn write(world: &World, name: &str, (certificate, key): &(String, String)) {
    world.write(&format!("{name}.crt"), certificate);
    world.write(&format!("{name}.key"), key);
}

/// A client that trusts this certificate alone, and keeps its sessions.
fn trusting(certificate: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What came of a request by this name, and how the session came to be; `None` if the certificate is not the trusted one.
fn asked(address: SocketAddr, config: &Arc<ClientConfig>, name: &str, token: &str) -> Option<(String, HandshakeKind)> {
    asked_for((address, config), (name, name), token)
}

/// The same for this host.
fn asked_for(
    (address, config): (SocketAddr, &Arc<ClientConfig>),
    (name, host): (&str, &str),
    token: &str,
) -> Option<(String, HandshakeKind)> {
    let session = ClientConnection::new(Arc::clone(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(session, TcpStream::connect(address).unwrap());
    let asking = request("GET", "/documents/d1", token, "connection: close\r\n", "");
    let asking = asking.replace("api.acme.example", host);
    stream.write_all(asking.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let kind = stream.conn.handshake_kind()?;
    Some((answer.lines().next()?.to_owned(), kind))
}

fn world(additional: &str) -> World {
    let tls = format!("tls: {{ certificate: first.crt, key: first.key, additional: [{additional}] }}");
    World { listen: format!("- {{ address: 127.0.0.1:0, {tls} }}"), ..World::new() }
}

const TWO: &str = "{ certificate: second.crt, key: second.key }, { certificate: third.crt, key: third.key }";

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate_and_all_reload() {
    let world = world(TWO);
    let (first, second) = (made(&["api.acme.example", "acme.example"]), made(&["crm.acme.example"]));
    let third = made(&["*.tools.example"]);
    write(&world, "first", &first);
    write(&world, "second", &second);
    write(&world, "third", &third);
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let ok = |certificate: &str, name: &str| {
        let answer = asked(portcullis.data, &trusting(certificate), name, &token);
        answer.is_some_and(|(status, _)| status == "HTTP/1.1 200 OK")
    };
    assert!(ok(&first.0, "api.acme.example") && ok(&first.0, "acme.example"));
    assert!(ok(&second.0, "crm.acme.example") && ok(&second.0, "CRM.acme.example"));
    assert!(ok(&third.0, "mcp.tools.example"));
    // A wildcard is for one label, and an unknown name gets the first certificate, which is not good for it.
    assert!(!ok(&third.0, "a.mcp.tools.example") && !ok(&third.0, "tools.example"));
    assert!(!ok(&second.0, "other.example") && !ok(&first.0, "other.example"));
    assert!(!ok(&first.0, "crm.acme.example"));
    // The second one is renewed, and connections from now on get the new one.
    let renewed = made(&["crm.acme.example"]);
    world.replace("second.key", &renewed.1);
    world.replace("second.crt", &renewed.0);
    portcullis.until_revision_above(1);
    assert!(ok(&renewed.0, "crm.acme.example") && !ok(&second.0, "crm.acme.example"));
    assert!(ok(&first.0, "api.acme.example"));
}

#[test]
fn a_request_is_for_the_name_that_its_connection_was_made_for() {
    let world = world(TWO);
    let first = made(&["api.acme.example", "acme.example", "127.0.0.1"]);
    let (second, third) = (made(&["crm.acme.example"]), made(&["*.tools.example"]));
    write(&world, "first", &first);
    write(&world, "second", &second);
    write(&world, "third", &third);
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let status = |certificate: &str, name: &str, host: &str| {
        let answer = asked_for((portcullis.data, &trusting(certificate)), (name, host), &token);
        answer.unwrap().0.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status(&first.0, "api.acme.example", "API.acme.example.:443"), "200");
    // One certificate for both: clients of HTTP/2 share the connection.
    assert_eq!(status(&first.0, "api.acme.example", "acme.example"), "200");
    assert_eq!(status(&third.0, "mcp.tools.example", "sql.tools.example"), "200");
    // An address is asked for without a name.
    assert_eq!(status(&first.0, "127.0.0.1", "127.0.0.1"), "200");
    assert_eq!(status(&first.0, "127.0.0.1", "api.acme.example"), "200");
    for (certificate, name, host) in [
        (&first.0, "api.acme.example", "crm.acme.example"),
        (&first.0, "api.acme.example", "other.example"),
        (&second.0, "crm.acme.example", "api.acme.example"),
        (&third.0, "mcp.tools.example", "tools.example"),
        (&first.0, "127.0.0.1", "crm.acme.example"),
    ] {
        assert_eq!(status(certificate, name, host), "421", "{name} {host}");
    }
    let misdirected = || world.audit().iter().filter(|record| record["reason"] == "misdirected").count();
    eventually("each has its record", || (misdirected() == 5).then_some(()));
    assert_eq!(world.upstream.seen().len(), 5);
}

#[test]
fn a_request_is_for_its_connections_name_where_clients_are_asked_for_certificates() {
    let client = "client: { ca_file: first.crt, required: false }";
    let tls = format!("tls: {{ certificate: first.crt, key: first.key, {client} }}");
    let world = World { listen: format!("- {{ address: 127.0.0.1:0, {tls} }}"), ..World::new() };
    let first = made(&["api.acme.example", "acme.example"]);
    write(&world, "first", &first);
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    for (host, status) in [("api.acme.example", "200"), ("acme.example", "200"), ("crm.acme.example", "421")] {
        let answer = asked_for((portcullis.data, &trusting(&first.0)), ("api.acme.example", host), &token);
        assert!(answer.unwrap().0.starts_with(&format!("HTTP/1.1 {status} ")), "{host}");
    }
}

#[test]
fn a_session_is_resumed_for_its_own_name_and_its_own_certificate_only() {
    let world = world(TWO);
    let both = made(&["api.acme.example"]);
    write(&world, "first", &both);
    write(&world, "second", &made(&["crm.acme.example"]));
    write(&world, "third", &made(&["*.tools.example"]));
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let client = trusting(&both.0);
    let kind = || asked(portcullis.data, &client, "api.acme.example", &token).unwrap().1;
    assert_eq!(kind(), HandshakeKind::Full);
    assert_eq!(kind(), HandshakeKind::Resumed);
    // A certificate that changes ends what was begun with the one before: the new one has to be verified.
    let renewed = made(&["api.acme.example"]);
    world.replace("first.key", &renewed.1);
    world.replace("first.crt", &renewed.0);
    portcullis.until_revision_above(1);
    assert!(asked(portcullis.data, &client, "api.acme.example", &token).is_none());
}

#[test]
fn certificates_that_nobody_could_ask_for_are_refused() {
    for (second, problem) in [
        (made(&["127.0.0.1"]), "second.crt` has no DNS name that a client could ask for"),
        (made(&["api.acme.example"]), "second.crt` has the name `api.acme.example`, as another certificate"),
        ((made(&["a.example"]).0, made(&["b.example"]).1), "certificate and key cannot be used"),
        (("nothing".to_owned(), made(&["b.example"]).1), "second.crt` holds no PEM certificate"),
        ((made(&["a.example"]).0, "nothing".to_owned()), "second.key` holds no PEM private key"),
    ] {
        let world = world("{ certificate: second.crt, key: second.key }");
        write(&world, "first", &made(&["api.acme.example"]));
        write(&world, "second", &second);
        world.write("portcullis.yaml", world.config());
        let said = Portcullis::try_start(&world.path("portcullis.yaml")).err().expect("it does not start");
        assert!(said.contains(problem), "{problem}: {said}");
    }
}
