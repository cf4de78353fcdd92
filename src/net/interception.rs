//! Certificates for the hosts that agents reach through tunnels, by a private authority.

use std::{
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use ::aws_lc_rs::rand;
use quick_cache::sync::Cache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::{CertifiedKey, SigningKey},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use webpki::{EndEntityCert, KeyUsage as VerifiedUsage};

use super::{
    authority::{AuthorityCertificate, InterceptionError},
    server_names::CertificateFiles,
};

/// How long a certificate holds: clocks may differ, and it is replaced when half of its time is over.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
const BACKDATED: Duration = Duration::from_secs(3600);
/// How many certificates are kept.
const KEPT: usize = 1000;
/// A name that no host has (RFC 6761, section 6.4), to try an authority with.
const NOBODY: &str = "portcullis.invalid";

/// The authority that vouches for the ends of tunnels. All connections of its listener share it; what a reload brings is
/// for handshakes from then on.
#[derive(Clone)]
pub struct Interception(Arc<Mutex<Arc<Minting>>>);

/// Why there is no handshake in a tunnel.
#[derive(Debug)]
pub(super) enum NotIntercepted {
    /// What came was no good handshake, or the client did not like the answer.
    Handshake(io::Error),
    /// The client asks for another server than the tunnel is for.
    OtherServer,
    /// No certificate could be made.
    Certificate(InterceptionError),
}

impl From<io::Error> for NotIntercepted {
    fn from(error: io::Error) -> Self {
        Self::Handshake(error)
    }
}

impl From<InterceptionError> for NotIntercepted {
    fn from(error: InterceptionError) -> Self {
        Self::Certificate(error)
    }
}

impl Interception {
    /// Reads the authority's certificate, with those between it and the one that clients trust, and its key, all PEM.
    /// What it vouches for is tried once: a certificate that no client would accept is a problem now.
    pub fn load(files: CertificateFiles<'_>) -> Result<Self, InterceptionError> {
        let minting = Minting::new(AuthorityCertificate::load(files)?, files)?;
        Ok(Self(Arc::new(Mutex::new(Arc::new(minting)))))
    }

    /// From now on it is by the other one's authority.
    pub fn take_up(&self, other: &Self) {
        let minting = other.minting();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = minting;
    }

    /// The TLS handshake of a client that asks for this host, by name (SNI) or not at all.
    pub(super) async fn accept<T>(&self, host: &str, stream: T) -> Result<TlsStream<T>, NotIntercepted>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let asked = hello.client_hello().server_name().map(|name| name.trim_end_matches('.').to_owned());
        let minting = self.minting();
        if asked.is_some_and(|asked| !asked.eq_ignore_ascii_case(host)) {
            // It has no certificate for that, and the client is told so.
            let _ = hello.into_stream(Arc::clone(&minting.refusing)).await;
            return Err(NotIntercepted::OtherServer);
        }
        Ok(hello.into_stream(minting.config(host, SystemTime::now())?).await?)
    }

    fn minting(&self) -> Arc<Minting> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The same cell, whatever is in it: what is in it changes with reloads.
impl PartialEq for Interception {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Interception {}

impl fmt::Debug for Interception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is never shown, and which authority it is does not tell listeners apart.
        f.write_str("Interception")
    }
}

/// One authority, and what it has vouched for.
struct Minting {
    authority: AuthorityCertificate,
    issuer: Issuer<'static, KeyPair>,
    // Of all certificates: it never leaves the process, and ends with it.
    own: KeyPair,
    signing: Arc<dyn SigningKey>,
    minted: Cache<Box<str>, Minted>,
    refusing: Arc<ServerConfig>,
}

#[derive(Clone)]
struct Minted {
    config: Arc<ServerConfig>,
    // Another one is made from then on.
    until: SystemTime,
}

impl Minting {
    fn new(authority: AuthorityCertificate, files: CertificateFiles<'_>) -> Result<Self, InterceptionError> {
        let own = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let signing = aws_lc_rs::sign::any_supported_type(&der)?;
        let (issuer, refusing) = (authority.issuer(files)?, config(Arc::new(Nobody))?);
        let minting = Self { authority, issuer, own, signing, minted: Cache::new(KEPT), refusing };
        minting.try_out(files)?;
        Ok(minting)
    }

    /// Whether clients that trust the authority would accept what it vouches for.
    fn try_out(&self, files: CertificateFiles<'_>) -> Result<(), InterceptionError> {
        let unusable =
            |error: webpki::Error| InterceptionError::Unusable(files.certificate.to_owned(), error.to_string());
        let now = SystemTime::now();
        let made = self.mint(NOBODY, now)?;
        let certificate = EndEntityCert::try_from(&made).map_err(unusable)?;
        let anchor = self.authority.anchor().map_err(unusable)?;
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let usage = VerifiedUsage::server_auth();
        let (now, anchors) = (UnixTime::since_unix_epoch(since), [anchor]);
        match certificate.verify_for_usage(algorithms, &anchors, &[], now, usage, None, None) {
            // It is for some hosts only, and that one is none of them.
            Ok(_) | Err(webpki::Error::NameConstraintViolation) => Ok(()),
            Err(error) => Err(unusable(error)),
        }
    }

    /// How the end of a tunnel to this host speaks TLS.
    fn config(&self, host: &str, now: SystemTime) -> Result<Arc<ServerConfig>, InterceptionError> {
        if let Some(minted) = self.minted.get(host).filter(|minted| now < minted.until) {
            return Ok(minted.config);
        }
        let chain = [self.mint(host, now)?].into_iter().chain(self.authority.chain().iter().cloned());
        let key = CertifiedKey::new(chain.collect(), Arc::clone(&self.signing));
        let config = config(Arc::new(Always(Arc::new(key))))?;
        let until = (now + LIFETIME / 2).min(self.authority.not_after);
        self.minted.insert(host.into(), Minted { config: Arc::clone(&config), until });
        Ok(config)
    }

    fn mint(&self, host: &str, now: SystemTime) -> Result<CertificateDer<'static>, InterceptionError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into()?),
        }];
        // Clients look at the names above.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Portcullis");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - BACKDATED).max(self.authority.not_before).into();
        params.not_after = (now + LIFETIME).min(self.authority.not_after).into();
        let mut serial = [0; 16];
        rand::fill(&mut serial).map_err(|_| InterceptionError::Random)?;
        // A positive number (RFC 5280, section 4.1.2.2), which is not written shorter.
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        Ok(params.signed_by(&self.own, &self.issuer)?.der().clone())
    }
}

/// TLS 1.3 and 1.2, HTTP/2 and HTTP/1.1, no sessions: a tunnel is one connection, and clients keep those that they use.
fn config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, InterceptionError> {
    let builder = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertifiedIssuer, GeneralSubtree, NameConstraints};
    use rustls::pki_types::ServerName;

    use super::*;

    /// What is made of an authority with these parameters, in files of a folder of their own.
    fn given(params: CertificateParams, key: &KeyPair) -> Result<Interception, InterceptionError> {
        let folder = tempfile::tempdir().unwrap();
        let files = (folder.path().join("ca.pem"), folder.path().join("ca.key"));
        let own = KeyPair::generate().unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        let signing =
            if key.algorithm() == own.algorithm() { KeyPair::from_pem(&key.serialize_pem()).unwrap() } else { own };
        std::fs::write(&files.0, CertifiedIssuer::self_signed(params, signing).unwrap().pem()).unwrap();
        Interception::load(CertificateFiles { certificate: &files.0, key: &files.1 })
    }

    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "Acme Ünternehmen");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    }

    fn key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    fn is_for(certificate: &CertificateDer<'_>, host: &str) -> bool {
        let certificate = EndEntityCert::try_from(certificate).unwrap();
        certificate.verify_is_valid_for_subject_name(&ServerName::try_from(host).unwrap()).is_ok()
    }

    #[test]
    fn a_certificate_is_for_one_host_and_made_anew_when_half_of_its_time_is_over() {
        let interception = given(params(), &key()).unwrap();
        let (minting, now) = (interception.minting(), SystemTime::now());
        let made = minting.mint("api.far.example", now).unwrap();
        assert!(
            is_for(&made, "api.far.example") && !is_for(&made, "far.example") && !is_for(&made, "x.api.far.example")
        );
        assert!(is_for(&minting.mint("127.0.0.1", now).unwrap(), "127.0.0.1"));
        assert!(is_for(&minting.mint("2001:db8::1", now).unwrap(), "2001:db8::1"));
        assert!(made != minting.mint("api.far.example", now).unwrap(), "each has a number of its own");
        let config = |host: &str, at: SystemTime| minting.config(host, at).unwrap();
        let first = config("api.far.example", now);
        assert!(Arc::ptr_eq(&first, &config("api.far.example", now + LIFETIME / 2 - Duration::from_secs(1))));
        assert!(!Arc::ptr_eq(&first, &config("mcp.far.example", now)));
        assert!(!Arc::ptr_eq(&first, &config("api.far.example", now + LIFETIME / 2)));
        // Another authority has vouched for nothing yet.
        interception.take_up(&given(params(), &key()).unwrap());
        assert!(!Arc::ptr_eq(&first, &interception.minting().config("api.far.example", now).unwrap()));
    }

    #[test]
    fn many_hosts_take_bounded_room() {
        let minting = given(params(), &key()).unwrap().minting();
        for number in 0..KEPT + 100 {
            minting.config(&format!("host-{number}.far.example"), SystemTime::now()).unwrap();
        }
        assert!(minting.minted.len() <= KEPT, "{}", minting.minted.len());
    }

    #[test]
    fn what_vouches_for_nothing_is_refused() {
        let refused = |params: CertificateParams| given(params, &key()).unwrap_err().to_string();
        let (mut leaf, mut signer, mut over, mut early) = (params(), params(), params(), params());
        leaf.is_ca = IsCa::ExplicitNoCa;
        signer.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        over.not_after = (SystemTime::now() - Duration::from_secs(10)).into();
        early.not_before = (SystemTime::now() + Duration::from_secs(1000)).into();
        assert!(refused(leaf).contains("basic constraints"));
        assert!(refused(signer).contains("keyCertSign"));
        assert!(refused(over).contains("whose time is over"));
        assert!(refused(early).contains("whose time has not come"));
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(given(params(), &other).unwrap_err().to_string().contains("is not the key of"));
        // One that is for some hosts only vouches for these.
        let mut constrained = params();
        let permitted_subtrees = vec![GeneralSubtree::DnsName("far.example".to_owned())];
        constrained.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        assert!(given(constrained, &key()).is_ok());
    }
}
