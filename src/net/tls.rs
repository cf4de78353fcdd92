//! TLS from certificate files, for listeners and for connections to upstreams.

use std::{
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use thiserror::Error;

use super::{
    server_names::{ByServerName, CertificateFiles},
    upstream_peer::{UpstreamPeer, Workload},
};

/// The largest file of certificates or of a key, in bytes: some hundred authorities take one quarter of a megabyte.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Why certificates or keys cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// The file holds no certificate.
    #[error("`{0}` holds no PEM certificate")]
    NoCertificate(PathBuf),
    /// The file holds no private key.
    #[error("`{0}` holds no PEM private key")]
    NoKey(PathBuf),
    /// Certificate and key do not belong together, or are not usable.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// No client would ever ask for the certificate.
    #[error("`{0}` has no DNS name that a client could ask for")]
    NoServerName(PathBuf),
    /// Two certificates for one name.
    #[error("`{0}` has the name `{1}`, as another certificate of the listener does")]
    RepeatedServerName(PathBuf, String),
    /// Clients cannot be verified by the authorities in the file.
    #[error("`{0}` holds no authorities of clients that can be used: {1}")]
    Authorities(PathBuf, String),
}

impl TlsError {
    /// The file that it is about, if it is about one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Unreadable(file, _)
            | Self::NoCertificate(file)
            | Self::NoKey(file)
            | Self::NoServerName(file)
            | Self::RepeatedServerName(file, _)
            | Self::Authorities(file, _) => Some(file),
            Self::Unusable(_) => None,
        }
    }
}

/// Which certificates of clients a listener accepts.
#[derive(Debug, Clone, Copy)]
pub struct ClientVerification<'f> {
    /// The only authorities that are trusted, PEM.
    pub ca_file: &'f Path,
    /// What happens to clients without a certificate. One that is shown must be good in any case.
    pub anonymous: AnonymousClients,
}

/// What happens to clients that show no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnonymousClients {
    /// The handshake fails.
    Refuse,
    /// They are served; their requests bring another credential, or are denied.
    Accept,
}

/// The TLS identity of a listener, and which clients it admits.
#[derive(Debug, Clone)]
pub struct ServerTls {
    pub(super) config: Arc<ServerConfig>,
    /// By what a request is held against the name that its connection was made for, where that has decided something: which
    /// certificate the client has seen, or that its own one was asked for.
    pub(super) by_name: Option<Arc<ByServerName>>,
    // Of clients; empty if these are not asked for certificates.
    authorities: Arc<[CertificateDer<'static>]>,
    anonymous: AnonymousClients,
}

impl ServerTls {
    /// Reads certificate chains and their keys, all PEM, and the authorities of clients, if these are verified. TLS 1.3
    /// and 1.2, HTTP/2 and HTTP/1.1, no early data. Of several certificates the client's server name chooses; the first
    /// is for all names that no other has.
    ///
    /// Where clients are verified no session is resumed: each connection shows its certificate anew, which is checked
    /// by the authorities and the time of that moment.
    pub fn load(
        identity: CertificateFiles<'_>,
        additional: &[CertificateFiles<'_>],
        clients: Option<ClientVerification<'_>>,
    ) -> Result<Self, TlsError> {
        let resolver = Arc::new(ByServerName::load(identity, additional)?);
        let by_name = (clients.is_some() || !additional.is_empty()).then(|| Arc::clone(&resolver));
        let builder = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions()?;
        let authorities = clients.map(|clients| certificates(clients.ca_file)).transpose()?.unwrap_or_default();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier(&authorities)?),
        };
        let mut config = builder.with_cert_resolver(resolver);
        if clients.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.max_early_data_size = 0;
        // All suites are strong; which of them it is depends on nobody's client.
        config.ignore_client_order = true;
        let anonymous = clients.map_or(AnonymousClients::Accept, |clients| clients.anonymous);
        Ok(Self { config: Arc::new(config), by_name, authorities: authorities.into(), anonymous })
    }

    /// Whether it admits all clients that the other one did, as far as authorities can tell. If not, what the other one
    /// has admitted must not stay.
    pub(super) fn admits_all_of(&self, other: &Self) -> bool {
        let admits_anonymous = match (self.anonymous, other.anonymous) {
            (AnonymousClients::Refuse, AnonymousClients::Accept) => false,
            (AnonymousClients::Accept, _) | (_, AnonymousClients::Refuse) => true,
        };
        admits_anonymous && other.authorities.iter().all(|authority| self.authorities.contains(authority))
    }
}

impl ClientVerification<'_> {
    fn verifier(self, authorities: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let unusable = |problem: String| TlsError::Authorities(self.ca_file.to_owned(), problem);
        let mut roots = RootCertStore::empty();
        for certificate in authorities {
            roots.add(certificate.clone()).map_err(|error| unusable(error.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), aws_lc_rs::default_provider().into());
        let builder = match self.anonymous {
            AnonymousClients::Refuse => builder,
            AnonymousClients::Accept => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| unusable(error.to_string()))
    }
}

/// How an upstream is verified, and what it is shown.
#[derive(Debug, Clone)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    // Of all that it was made of: what was verified by the same is as good.
    digest: [u8; 32],
}

/// Made of the same authorities, certificate and key, for the same peer.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for ClientTls {}

impl Hash for ClientTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl ClientTls {
    /// The authorities in this PEM file and no others.
    pub fn with_authorities(file: &Path) -> Result<Self, TlsError> {
        Self::load(Some(file), None, UpstreamPeer::Named)
    }

    /// The machine's authorities, or Mozilla's where the machine has none (an image from scratch).
    pub fn with_machine_authorities() -> Result<Self, TlsError> {
        Self::load(None, None, UpstreamPeer::Named)
    }

    /// The authorities in this PEM file and no others, or else the machine's; the certificate chain and key (both PEM)
    /// that the upstream is shown when it asks for them; and who it has to be.
    ///
    /// With either of the latter no session is resumed: both sides verify each other anew with each connection.
    pub fn load(
        authorities: Option<&Path>,
        identity: Option<(&Path, &Path)>,
        peer: UpstreamPeer,
    ) -> Result<Self, TlsError> {
        let (roots, mut made_of) = match authorities {
            Some(file) => private_roots(file)?,
            None => machine_roots(),
        };
        let (roots, mut resumes) = (Arc::new(roots), identity.is_none());
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = match peer {
            UpstreamPeer::Named => builder.with_root_certificates(roots),
            UpstreamPeer::Spiffe(id) => {
                resumes = false;
                made_of.update(id.as_bytes());
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Workload::new(id, roots)))
            }
        };
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = (certificates(certificate)?, private_key(key)?);
                chain.iter().for_each(|certificate| made_of.update(certificate));
                made_of.update(key.secret_der());
                builder.with_client_auth_cert(chain, key)?
            }
        };
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut digest = [0; 32];
        digest.copy_from_slice(made_of.finish().as_ref());
        Ok(Self { config: Arc::new(config), digest })
    }
}

fn private_roots(file: &Path) -> Result<(RootCertStore, Context), TlsError> {
    let (mut roots, mut made_of) = (RootCertStore::empty(), Context::new(&SHA256));
    for certificate in certificates(file)? {
        made_of.update(&certificate);
        roots.add(certificate)?;
    }
    Ok((roots, made_of))
}

fn machine_roots() -> (RootCertStore, Context) {
    let (mut roots, mut made_of) = (RootCertStore::empty(), Context::new(&SHA256));
    let machine = rustls_native_certs::load_native_certs().certs;
    machine.iter().for_each(|certificate| made_of.update(certificate));
    roots.add_parsable_certificates(machine);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    (roots, made_of)
}

pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&pem(file)?).map_err(|_| TlsError::NoKey(file.to_owned()))
}

pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = pem(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| TlsError::NoCertificate(file.to_owned()))
}

/// The bytes of a regular file: reading a pipe or a device could wait for ever.
pub(super) fn regular_file(file: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(io::Error::other("it is not a regular file of at most 4 MiB"));
    }
    fs::read(file)
}

pub(super) fn pem(file: &Path) -> Result<Vec<u8>, TlsError> {
    regular_file(file).map_err(|error| TlsError::Unreadable(file.to_owned(), error))
}
