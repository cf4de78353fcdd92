//! What an upstream is shown, and who it has to be.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::support::{Authority, Portcullis, World, eventually};

const PAYMENTS: &str = "spiffe://acme.example/payments";

/// A certificate of an authority with these names, and its key, both PEM.
fn issued(authority: &Authority, names: &[SanType]) -> (String, String) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    (authority.sign(&params, &key), key.serialize_pem())
}

fn uri(id: &str) -> SanType {
    SanType::URI(id.try_into().unwrap())
}

fn name(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn loopback() -> SanType {
    SanType::IpAddress([127, 0, 0, 1].into())
}

/// An upstream that asks for certificates of these authorities, and the digits of the serials that it was shown.
struct Service {
    address: SocketAddr,
    shown: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl Service {
    fn start((certificate, key): &(String, String), clients: Option<&Authority>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().to_vec().into()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&shown);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, all) = (Arc::clone(&config), Arc::clone(&all));
                thread::spawn(move || answer(stream, config, &all));
            }
        });
        Self { address, shown }
    }

    /// The certificate that it was shown last, if it was shown one.
    fn last_shown(&self) -> Option<CertificateDer<'static>> {
        self.shown.lock().unwrap().last().cloned()
    }
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, shown: &Mutex<Vec<CertificateDer<'static>>>) {
    let session = ServerConnection::new(config).unwrap();
    let mut stream = rustls::StreamOwned::new(session, stream);
    let mut head = Vec::new();
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let certificates = stream.conn.peer_certificates().unwrap_or_default();
            shown.lock().unwrap().extend(certificates.first().cloned().map(CertificateDer::into_owned));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsecured");
        }
    }
}

/// A world in front of this service.
fn in_front_of(service: &Service, more: &str) -> (World, String) {
    let world = World::new();
    let plain = format!("url: \"http://{}\"", world.upstream.address);
    let config = world.config().replace(&plain, &format!("url: \"https://{}\", {more}", service.address));
    (world, config)
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// The status of a request, and how it failed if it did.
fn asked(world: &World, portcullis: &Portcullis) -> (u16, String) {
    let answer = portcullis.get("/documents/d1", &world.issuer.token("erin", &["reader"]));
    let record = world.record_of(&answer);
    (answer.status, record.to_string())
}

#[test]
fn an_upstream_is_shown_the_certificate_that_is_in_force() {
    let authority = Authority::new("acme");
    let service = Service::start(&issued(&authority, &[loopback()]), Some(&authority));
    let (world, config) = in_front_of(&service, "ca_file: acme.pem, client: { certificate: own.crt, key: own.key }");
    world.write("acme.pem", authority.pem());
    let (first, second) = (issued(&authority, &[name("proxy.example")]), issued(&authority, &[name("proxy.example")]));
    world.write("own.crt", &first.0);
    world.write("own.key", &first.1);
    world.write("portcullis.yaml", &config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    assert_eq!(asked(&world, &portcullis).0, 200);
    assert_eq!(service.last_shown(), Some(der(&first.0)));
    // A key that is another certificate's is refused, and what was in force stays.
    world.replace("own.crt", &second.0);
    portcullis.until_logged("certificate and key cannot be used");
    assert_eq!(asked(&world, &portcullis).0, 200);
    assert_eq!(service.last_shown(), Some(der(&first.0)));
    world.replace("own.key", &second.1);
    portcullis.until_revision_above(1);
    // Connections with the certificate before are not used again.
    assert_eq!(asked(&world, &portcullis).0, 200);
    assert_eq!(service.last_shown(), Some(der(&second.0)));
}

#[test]
fn an_upstream_that_is_shown_no_certificate_or_a_strangers_is_not_reached() {
    let (authority, stranger) = (Authority::new("acme"), Authority::new("stranger"));
    let service = Service::start(&issued(&authority, &[loopback()]), Some(&authority));
    for client in ["", ", client: { certificate: own.crt, key: own.key }"] {
        let (world, config) = in_front_of(&service, &format!("ca_file: acme.pem{client}"));
        world.write("acme.pem", authority.pem());
        let own = issued(&stranger, &[name("proxy.example")]);
        world.write("own.crt", &own.0);
        world.write("own.key", &own.1);
        world.write("portcullis.yaml", &config);
        let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
        assert_eq!(asked(&world, &portcullis).0, 502, "{client}");
    }
    assert_eq!(service.last_shown(), None);
}

#[test]
fn an_upstream_is_the_workload_that_is_expected_or_not_reached() {
    let (authority, stranger) = (Authority::new("acme"), Authority::new("stranger"));
    let other = "spiffe://acme.example/payments-2";
    for (service, reached) in [
        // The ID is what counts: the host's name is in none of them.
        (issued(&authority, &[uri(PAYMENTS)]), true),
        (issued(&authority, &[uri(PAYMENTS), name("whatever.example")]), true),
        (issued(&authority, &[uri(other)]), false),
        (issued(&authority, &[uri("spiffe://acme.example/Payments")]), false),
        (issued(&authority, &[uri(PAYMENTS), uri(other)]), false),
        (issued(&authority, &[loopback()]), false),
        (issued(&stranger, &[uri(PAYMENTS)]), false),
    ] {
        let service = Service::start(&service, None);
        let (world, config) = in_front_of(&service, &format!("ca_file: acme.pem, spiffe_id: \"{PAYMENTS}\""));
        world.write("acme.pem", authority.pem());
        world.write("portcullis.yaml", &config);
        let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
        let (status, record) = asked(&world, &portcullis);
        assert_eq!(status, if reached { 200 } else { 502 }, "{record}");
        assert!(reached || record.contains("cannot connect: invalid peer certificate"), "{record}");
    }
}

#[test]
fn who_is_expected_reloads_and_connections_to_others_are_not_used() {
    let authority = Authority::new("acme");
    let service = Service::start(&issued(&authority, &[uri(PAYMENTS)]), None);
    let (world, config) = in_front_of(&service, &format!("ca_file: acme.pem, spiffe_id: \"{PAYMENTS}\""));
    world.write("acme.pem", authority.pem());
    world.write("portcullis.yaml", &config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    assert_eq!(asked(&world, &portcullis).0, 200);
    world.replace("portcullis.yaml", config.replace("/payments", "/billing"));
    portcullis.until_revision_above(1);
    assert_eq!(asked(&world, &portcullis).0, 502);
    world.replace("portcullis.yaml", &config);
    eventually("it is the expected one again", || (asked(&world, &portcullis).0 == 200).then_some(()));
}

#[test]
fn settings_of_tls_that_make_no_sense_are_refused() {
    let authority = Authority::new("acme");
    let service = Service::start(&issued(&authority, &[loopback()]), None);
    for (more, problem) in [
        ("spiffe_id: \"spiffe://acme.example/payments\"", "`spiffe_id` needs `ca_file`"),
        ("ca_file: acme.pem, spiffe_id: \"https://acme.example/payments\"", "does not begin with `spiffe://`"),
        ("ca_file: acme.pem, client: { certificate: none.crt, key: own.key }", "none.crt` cannot be read"),
        ("ca_file: acme.pem, client: { certificate: acme.pem, key: acme.pem }", "holds no PEM private key"),
        ("ca_file: acme.pem, client: { certificate: acme.pem, key: own.key }", "certificate and key cannot be used"),
        ("ca_file: acme.pem, client: { certificate: acme.pem }", "`key` is missing"),
    ] {
        let (world, config) = in_front_of(&service, more);
        world.write("acme.pem", authority.pem());
        world.write("own.key", issued(&authority, &[loopback()]).1);
        world.write("portcullis.yaml", &config);
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(problem), "{more}: {said}");
    }
}
