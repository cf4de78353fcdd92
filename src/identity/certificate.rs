//! The certificate that the other end of a connection has shown, and proven to have the key of.

use rustls_pki_types::CertificateDer;
use thiserror::Error;
use x509_cert::{
    Certificate,
    der::{Decode, oid::ObjectIdentifier},
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, name::GeneralName},
};

use super::digest::sha256;
use crate::access::Timestamp;

/// `id-kp-clientAuth` (RFC 5280, section 4.2.1.12).
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// The certificate cannot be read, or has an extension twice (RFC 5280, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it cannot be read")]
pub struct UnreadableCertificate;

/// The certificates that a client has shown: its own one, and those between it and an authority.
///
/// Only the listener makes one, of what was verified by TLS: no field of a request does.
#[derive(Debug)]
pub(super) struct PeerCertificate {
    // INVARIANT: never empty; the client's own one is the first.
    chain: Vec<CertificateDer<'static>>,
    digest: [u8; 32],
    read: Result<CertificateFields, UnreadableCertificate>,
}

impl PeerCertificate {
    /// The certificates in the client's order, each in DER; `None` if there is none.
    pub(super) fn new<'c>(chain: impl IntoIterator<Item = &'c [u8]>) -> Option<Self> {
        let chain: Vec<_> = chain.into_iter().map(|one| CertificateDer::from(one.to_vec())).collect();
        let own = chain.first()?;
        let (digest, read) = (sha256(own), CertificateFields::read(own));
        Some(Self { chain, digest, read })
    }

    /// The SHA-256 digest of the client's own certificate, by which tokens are bound to it (RFC 8705, section 3.1).
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What the client's own certificate says.
    pub(super) fn fields(&self) -> Result<&CertificateFields, UnreadableCertificate> {
        self.read.as_ref().map_err(|error| *error)
    }

    /// The client's own certificate, and those that it has shown with it.
    pub(super) fn chain(&self) -> Option<(&CertificateDer<'static>, &[CertificateDer<'static>])> {
        self.chain.split_first()
    }
}

/// What a certificate says, as far as it matters here.
#[derive(Debug)]
pub(super) struct CertificateFields {
    pub(super) not_before: Timestamp,
    /// The last second in which it holds.
    pub(super) not_after: Timestamp,
    /// All URIs among its names.
    pub(super) uris: Vec<Box<str>>,
    /// Whether it is one of an authority.
    pub(super) is_authority: bool,
    /// Whether its key may make signatures, and none on certificates or on lists of revoked ones.
    pub(super) signs_only_messages: bool,
    /// Whether it says that it is for clients of TLS.
    pub(super) is_for_clients: bool,
}

impl CertificateFields {
    pub(super) fn read(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let certificate = Certificate::from_der(der).map_err(|_| UnreadableCertificate)?;
        let fields = certificate.tbs_certificate();
        let validity = fields.validity();
        let time = |time: x509_cert::time::Time| {
            Timestamp::from_seconds(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
        };
        let names = fields.get_extension::<SubjectAltName>().map_err(|_| UnreadableCertificate)?;
        let constraints = fields.get_extension::<BasicConstraints>().map_err(|_| UnreadableCertificate)?;
        let usage = fields.get_extension::<KeyUsage>().map_err(|_| UnreadableCertificate)?;
        let purposes = fields.get_extension::<ExtendedKeyUsage>().map_err(|_| UnreadableCertificate)?;
        let uris = names.iter().flat_map(|(_, names)| &names.0).filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().into()),
            _ => None,
        });
        let signs_only_messages =
            |usage: &KeyUsage| usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign();
        Ok(Self {
            not_before: time(validity.not_before),
            not_after: time(validity.not_after),
            uris: uris.collect(),
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            signs_only_messages: usage.is_some_and(|(_, usage)| signs_only_messages(&usage)),
            is_for_clients: purposes.is_some_and(|(_, purposes)| purposes.0.contains(&CLIENT_AUTH)),
        })
    }

    /// Whether it holds at this time (RFC 5280, section 4.1.2.5: both ends are within).
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        now >= self.not_before && now.seconds() <= self.not_after.seconds()
    }
}
