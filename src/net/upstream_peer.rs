//! Who an upstream has to be, by its certificate.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use webpki::EndEntityCert;

/// Who an upstream has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamPeer {
    /// The host of its URL, by the names in its certificate.
    Named,
    /// The workload with exactly this SPIFFE ID, the one URI of its certificate; other names in it do not count.
    Spiffe(Box<str>),
}

/// Verifies that an upstream is one workload, by the authorities of its trust domain.
#[derive(Debug)]
pub(super) struct Workload {
    id: Box<str>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Workload {
    pub(super) fn new(id: Box<str>, roots: Arc<RootCertStore>) -> Self {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { id, roots, algorithms }
    }
}

impl ServerCertVerifier for Workload {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, between, now, self.algorithms.all)?;
        let other = || Error::InvalidCertificate(CertificateError::NotValidForName);
        let certificate = EndEntityCert::try_from(certificate).map_err(|_| other())?;
        let mut names = certificate.valid_uri_names();
        match (names.next(), names.next()) {
            (Some(id), None) if id == &*self.id => Ok(ServerCertVerified::assertion()),
            (_, _) => Err(other()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
