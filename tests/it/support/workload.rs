//! An authority of a trust domain, and clients with its certificates.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::net::TcpStream;

use super::wire::Answer;

/// Vouches for workloads.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> &[u8] {
        self.0.der()
    }

    /// The certificate of this key, PEM.
    pub(crate) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.0).unwrap().pem()
    }

    /// A client with a certificate of this URI, which trusts the server with `trusted`.
    pub(crate) fn client(&self, uri: &str, trusted: &[u8]) -> Client {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Client::new(trusted, Some((certificate.der().clone(), key)))
    }
}

/// A client of TLS, which keeps its sessions.
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    certificate: Vec<u8>,
}

impl Client {
    /// One without a certificate.
    pub(crate) fn anonymous(trusted: &[u8]) -> Self {
        Self::new(trusted, None)
    }

    fn new(trusted: &[u8], own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.to_vec().into()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let certificate = own.as_ref().map(|(certificate, _)| certificate.to_vec()).unwrap_or_default();
        let mut config = match own {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config), certificate }
    }

    /// The digest of its certificate, by which tokens are bound to it.
    pub(crate) fn digest(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.certificate))
    }

    /// A connection, if the server takes it, and how it came to be.
    pub(crate) async fn connect(&self, address: SocketAddr) -> Option<(TlsConnection, HandshakeKind)> {
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect("api.acme.example".try_into().unwrap(), stream).await.ok()?;
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some((TlsConnection(sender), kind))
    }

    /// The answer on a connection of its own; `None` if the server takes none. With TLS 1.3 a client learns of that
    /// only when it reads.
    pub(crate) async fn get(&self, address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Option<Answer> {
        self.connect(address).await?.0.get(path, fields).await
    }
}

/// A connection that is kept alive.
pub(crate) struct TlsConnection(SendRequest<Full<Bytes>>);

impl TlsConnection {
    /// Waits until the server has closed it: not for as long as that waits for the next request.
    pub(crate) async fn ended(&mut self) {
        let closed = async {
            while self.0.ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), closed).await.expect("the connection ends");
    }

    /// The answer; `None` if the connection was closed instead.
    pub(crate) async fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Option<Answer> {
        let mut request = Request::get(path).header("host", "api.acme.example");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.0.ready().await.ok()?;
        let response = self.0.send_request(request.body(Full::default()).unwrap()).await.ok()?;
        let (parts, body) = response.into_parts();
        let fields = parts.headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
        let head = format!("HTTP/1.1 {}\r\n{}", parts.status.as_u16(), fields.collect::<String>());
        let body = String::from_utf8(body.collect().await.ok()?.to_bytes().to_vec()).unwrap();
        Some(Answer { status: parts.status.as_u16(), head, body })
    }
}
