//! Authorities of trust domains, and the certificates of their workloads.

use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

use super::worlds::{NOW, head};
use crate::{
    access::Timestamp,
    identity::{
        Authenticated, AuthenticationError, Authenticator, AuthenticatorSettings, SeenCredential, SpiffeSettings,
        SpiffeSubject, TrustBundle,
    },
};

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

/// Of `harbor.example`, and of another trust domain.
pub(super) static HARBOR: LazyLock<Authority> = LazyLock::new(|| authority("harbor"));
pub(super) static DEPOT: LazyLock<Authority> = LazyLock::new(|| authority("depot"));

pub(super) fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// An authority that another one vouches for.
pub(super) fn intermediate(of: &Authority) -> Authority {
    CertifiedIssuer::signed_by(authority_params("between"), KeyPair::generate().unwrap(), of).unwrap()
}

/// A workload's certificate with this URI, after a change.
pub(super) fn params(uri: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    params
}

/// The certificate, as an authority signs it for a new key, in DER.
pub(super) fn signed(params: &CertificateParams, by: &Authority) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().to_vec()
}

/// A workload's certificate by `harbor.example`.
pub(super) fn workload(uri: &str) -> Vec<u8> {
    signed(&params(uri, |_| ()), &HARBOR)
}

/// What a connection with these certificates brings.
pub(super) fn connection(chain: &[&[u8]]) -> SeenCredential {
    SeenCredential::of_peer(chain.iter().copied(), None, &Arc::default())
}

pub(super) fn trust_domain(name: &str, authority: &Authority) -> SpiffeSettings {
    trust_domain_of(
        name,
        authority,
        &[("/agents/{name}", "agent:{name}"), ("/ns/{namespace}/sa/{account}", "service:{namespace}/{account}")],
    )
}

pub(super) fn trust_domain_of(name: &str, authority: &Authority, subjects: &[(&str, &str)]) -> SpiffeSettings {
    SpiffeSettings {
        trust_domain: name.parse().unwrap(),
        bundle: Arc::new(TrustBundle::parse(&authority.pem()).unwrap()),
        subjects: subjects.iter().map(|(path, subject)| SpiffeSubject::parse(path, subject).unwrap()).collect(),
    }
}

/// Settings that know the workloads of two trust domains.
pub(super) fn settings() -> AuthenticatorSettings {
    let depot = trust_domain_of("depot.example", &DEPOT, &[("/agents/{name}", "courier:{name}")]);
    let spiffe = vec![trust_domain("harbor.example", &HARBOR), depot];
    AuthenticatorSettings { spiffe, ..Default::default() }
}

/// Asks with nothing but the connection.
pub(super) fn ask_by(
    asked: &Authenticator,
    connection: &SeenCredential,
    now: i64,
) -> Result<Authenticated, AuthenticationError> {
    asked.authenticate(&head(&[]), connection, Timestamp::from_seconds(now))
}

/// Asks with nothing but the connection, now.
pub(super) fn ask_with(asked: &Authenticator, chain: &[&[u8]]) -> Result<Authenticated, AuthenticationError> {
    ask_by(asked, &connection(chain), NOW)
}
