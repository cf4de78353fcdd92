//! A private authority of certificates, as its files have it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, Issuer, KeyIdMethod, KeyPair, PublicKeyData,
    string::BmpString,
};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use thiserror::Error;
use x509_cert::{
    Certificate,
    attr::AttributeTypeAndValue,
    der::{Decode, Encode, Tag, Tagged},
    ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier},
};

use super::{
    server_names::CertificateFiles,
    tls::{TlsError, certificates, pem},
};

/// Why connections cannot be intercepted.
#[derive(Debug, Error)]
pub enum InterceptionError {
    /// A file cannot be read, or does not hold what it should.
    #[error(transparent)]
    File(#[from] TlsError),
    /// The certificate cannot be read.
    #[error("`{0}` holds a certificate that cannot be read")]
    Unreadable(PathBuf),
    /// The certificate may not vouch for others.
    #[error("`{0}` is no authority's certificate: {1}")]
    NoAuthority(PathBuf, &'static str),
    /// The authority's time has not come, or is over.
    #[error("`{0}` holds a certificate whose time {1}")]
    Time(PathBuf, &'static str),
    /// The authority's name is one that certificates cannot be made by.
    #[error("`{0}` is of an authority with a name that is not served: {1}")]
    Name(PathBuf, &'static str),
    /// The key is another one's.
    #[error("`{0}` is not the key of the certificate in `{1}`")]
    OtherKey(PathBuf, PathBuf),
    /// Clients would not accept what it vouches for.
    #[error("`{0}` vouches for nothing that clients would accept: {1}")]
    Unusable(PathBuf, String),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    /// A key cannot be used.
    #[error("a key cannot be used: {0}")]
    Key(#[from] rustls::Error),
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

impl InterceptionError {
    /// The file that it is about, if it is about one.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(error) => error.file(),
            Self::Unreadable(file)
            | Self::NoAuthority(file, _)
            | Self::Time(file, _)
            | Self::Name(file, _)
            | Self::OtherKey(file, _)
            | Self::Unusable(file, _) => Some(file),
            Self::Making(_) | Self::Key(_) | Self::Random => None,
        }
    }
}

/// An authority's certificate, with those between it and the one that clients trust.
pub(super) struct AuthorityCertificate {
    // INVARIANT: never empty; the authority's own one is the first, and `read` is that one.
    chain: Vec<CertificateDer<'static>>,
    read: Certificate,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl AuthorityCertificate {
    pub(super) fn load(files: CertificateFiles<'_>) -> Result<Self, InterceptionError> {
        let file = || files.certificate.to_owned();
        let chain = certificates(files.certificate)?;
        let own = chain.first().ok_or_else(|| TlsError::NoCertificate(file()))?;
        let unreadable = |_| InterceptionError::Unreadable(file());
        let read = Certificate::from_der(own).map_err(unreadable)?;
        let fields = read.tbs_certificate();
        let constraints = fields.get_extension::<BasicConstraints>().map_err(unreadable)?;
        if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
            return Err(InterceptionError::NoAuthority(file(), "its basic constraints do not say so (`CA:TRUE`)"));
        }
        let usage = fields.get_extension::<KeyUsage>().map_err(unreadable)?;
        if usage.is_some_and(|(_, usage)| !usage.key_cert_sign()) {
            return Err(InterceptionError::NoAuthority(file(), "its key is not for certificates (`keyCertSign`)"));
        }
        let time = |time: x509_cert::time::Time| SystemTime::UNIX_EPOCH + time.to_unix_duration();
        let (not_before, not_after) = (time(fields.validity().not_before), time(fields.validity().not_after));
        let now = SystemTime::now();
        if now < not_before {
            return Err(InterceptionError::Time(file(), "has not come yet"));
        }
        // Its last second is within its time.
        if now >= not_after + Duration::from_secs(1) {
            return Err(InterceptionError::Time(file(), "is over"));
        }
        Ok(Self { chain, read, not_before, not_after })
    }

    /// What clients are shown beside a certificate of its own.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// What clients trust who trust it.
    pub(super) fn anchor(&self) -> Result<TrustAnchor<'_>, webpki::Error> {
        let own = self.chain.first().ok_or(webpki::Error::BadDer)?;
        webpki::anchor_from_trusted_cert(own)
    }

    /// What certificates are made by: its name, its key's identifier, and its key, which is read from the file.
    pub(super) fn issuer(&self, files: CertificateFiles<'_>) -> Result<Issuer<'static, KeyPair>, InterceptionError> {
        let unreadable = |_| InterceptionError::Unreadable(files.certificate.to_owned());
        let key = key(files.key)?;
        let fields = self.read.tbs_certificate();
        if fields.subject_public_key_info().to_der().map_err(unreadable)? != key.subject_public_key_info() {
            return Err(InterceptionError::OtherKey(files.key.to_owned(), files.certificate.to_owned()));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = self.name(files.certificate)?;
        if let Some((_, id)) = fields.get_extension::<SubjectKeyIdentifier>().map_err(unreadable)? {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id.0.as_bytes().to_vec());
        }
        Ok(Issuer::new(params, key))
    }

    /// Its name, to be written again as it is: clients compare the bytes.
    fn name(&self, file: &Path) -> Result<DistinguishedName, InterceptionError> {
        let refused = |problem| InterceptionError::Name(file.to_owned(), problem);
        let mut name = DistinguishedName::new();
        for part in self.read.tbs_certificate().subject().iter_rdn() {
            let mut attributes = part.iter();
            let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
                return Err(refused("a part of it has several attributes"));
            };
            let arcs: Vec<u64> = attribute.oid.arcs().map(u64::from).collect();
            let kind = DnType::from_oid(&arcs);
            if name.get(&kind).is_some() {
                return Err(refused("an attribute is there twice"));
            }
            name.push(kind, value(attribute).ok_or_else(|| refused("an attribute is no text"))?);
        }
        Ok(name)
    }
}

fn value(attribute: &AttributeTypeAndValue) -> Option<DnValue> {
    let (bytes, value) = (attribute.value.value(), &attribute.value);
    let text = || String::from_utf8(bytes.to_vec()).ok();
    Some(match value.tag() {
        Tag::Utf8String => DnValue::Utf8String(text()?),
        Tag::PrintableString => DnValue::PrintableString(text()?.try_into().ok()?),
        Tag::Ia5String => DnValue::Ia5String(text()?.try_into().ok()?),
        Tag::TeletexString => DnValue::TeletexString(text()?.try_into().ok()?),
        Tag::BmpString => DnValue::BmpString(BmpString::from_utf16be(bytes.to_vec()).ok()?),
        _ => return None,
    })
}

fn key(file: &Path) -> Result<KeyPair, InterceptionError> {
    let no_key = || InterceptionError::File(TlsError::NoKey(file.to_owned()));
    let text = String::from_utf8(pem(file)?).map_err(|_| no_key())?;
    KeyPair::from_pem(&text).map_err(|_| no_key())
}
