//! X.509-SVIDs: certificates whose one URI is a SPIFFE ID, verified by the authorities of its trust domain alone.

use std::{sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject};
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{
    certificate::{CertificateFields, PeerCertificate, UnreadableCertificate},
    error::Shown,
    seen,
    spiffe::{InvalidSpiffeId, SpiffeId, SpiffeSubject, TrustDomain},
};
use crate::access::{ActorMode, Principal, Timestamp};

/// Why a text holds no authorities.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidBundle {
    /// No certificate in it, or one that is broken.
    #[error("it holds no PEM certificates, or one that is broken")]
    NoCertificate,
    /// A certificate that is no authority's vouches for nobody.
    #[error("its certificate {0} is not one of an authority")]
    NoAuthority(usize),
}

/// The authorities of one trust domain.
#[derive(Debug, Clone)]
pub struct TrustBundle {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl PartialEq for TrustBundle {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl TrustBundle {
    /// Reads certificates in PEM. Refuses a text with none, and certificates that are no authority's.
    pub fn parse(pem: &str) -> Result<Self, InvalidBundle> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates = read.ok().filter(|read| !read.is_empty()).ok_or(InvalidBundle::NoCertificate)?;
        let mut anchors = Vec::new();
        for (index, certificate) in certificates.iter().enumerate() {
            let fields = CertificateFields::read(certificate).map_err(|_| InvalidBundle::NoCertificate)?;
            if !fields.is_authority {
                return Err(InvalidBundle::NoAuthority(index + 1));
            }
            let anchor = anchor_from_trusted_cert(certificate).map_err(|_| InvalidBundle::NoCertificate)?;
            anchors.push(anchor.to_owned());
        }
        Ok(Self { certificates, anchors })
    }
}

/// One trust domain: who vouches for its SPIFFE IDs, and which subjects these stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct SpiffeSettings {
    /// Its exact name.
    pub trust_domain: TrustDomain,
    /// Its own authorities. Those of another trust domain vouch for none of its IDs.
    pub bundle: Arc<TrustBundle>,
    /// Which IDs stand for which subjects; the first one that an ID is of counts. Never empty.
    pub subjects: Vec<SpiffeSubject>,
}

/// Why a certificate with a URI among its names stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSvid {
    /// It cannot be read, or has an extension twice.
    #[error(transparent)]
    Unreadable(#[from] UnreadableCertificate),
    /// Two or more URIs: nobody could say whose it is (X.509-SVID, section 2).
    #[error("it has more than one URI name")]
    SeveralNames,
    /// Its URI is no SPIFFE ID.
    #[error("its URI name is no SPIFFE ID: {0}")]
    Id(#[from] InvalidSpiffeId),
    /// It could make other certificates (X.509-SVID, section 4.1).
    #[error("it is one of an authority")]
    Authority,
    /// Its key may sign certificates or lists of revoked ones, or may not sign messages (X.509-SVID, section 4.3).
    #[error("its key usage is not that of a workload")]
    Usage,
    /// It does not say that it is for clients of TLS (X.509-SVID, section 4.4).
    #[error("it is not for clients")]
    Purpose,
    /// Its trust domain is not configured.
    #[error("the trust domain `{0}` is not configured")]
    UnknownTrustDomain(Shown),
    /// Its time is over, or is to come.
    #[error("it has expired, or is not valid yet")]
    NotNow,
    /// No authority of its own trust domain vouches for it now.
    #[error("no authority of its trust domain vouches for it")]
    Unverified,
    /// No path of its trust domain is that of its ID.
    #[error("no subject is configured for `{0}`")]
    NoSubject(Shown),
}

/// Whom a connection's other end stands for.
pub(super) struct KnownPeer {
    pub(super) id: SpiffeId,
    pub(super) principal: Arc<Principal>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    since: Timestamp,
}

impl KnownPeer {
    /// Whom the certificate stands for; `None` if it has no URI among its names, and so claims to be nobody's.
    pub(super) fn of(
        certificate: &PeerCertificate,
        (domains, mode): (&[SpiffeSettings], ActorMode),
        now: Timestamp,
    ) -> Result<Option<Self>, InvalidSvid> {
        let fields = certificate.fields()?;
        let id: SpiffeId = match &*fields.uris {
            [] => return Ok(None),
            [one] => one.parse()?,
            [_, _, ..] => return Err(InvalidSvid::SeveralNames),
        };
        if fields.is_authority {
            return Err(InvalidSvid::Authority);
        }
        if !fields.signs_only_messages {
            return Err(InvalidSvid::Usage);
        }
        if !fields.is_for_clients {
            return Err(InvalidSvid::Purpose);
        }
        // The name finds the trust domain, and only its own authorities are asked: there is no common set of them.
        let domain = domains.iter().find(|domain| domain.trust_domain.as_str() == id.trust_domain());
        let domain = domain.ok_or_else(|| InvalidSvid::UnknownTrustDomain(Shown::new(id.trust_domain())))?;
        if !fields.holds(now) {
            return Err(InvalidSvid::NotNow);
        }
        domain.bundle.verify(certificate, now)?;
        let subject = domain.subjects.iter().find_map(|rule| rule.subject_of(&id));
        let subject = subject.ok_or_else(|| InvalidSvid::NoSubject(Shown::new(id.as_str())))?;
        Ok(Some(Self {
            id,
            principal: Arc::new(Principal::new(subject, Vec::new(), None, mode)),
            not_before: fields.not_before,
            not_after: fields.not_after,
            since: now,
        }))
    }

    /// Whether it need not be verified anew.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        seen::is_fresh(self.since, now) && now.seconds() <= self.not_after.seconds()
    }
}

impl TrustBundle {
    /// Whether one of these authorities vouches for the client's own certificate now, for clients of TLS.
    fn verify(&self, certificate: &PeerCertificate, now: Timestamp) -> Result<(), InvalidSvid> {
        let (own, between) = certificate.chain().ok_or(InvalidSvid::Unverified)?;
        let own = EndEntityCert::try_from(own).map_err(|_| InvalidSvid::Unverified)?;
        let seconds = u64::try_from(now.seconds()).map_err(|_| InvalidSvid::NotNow)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::client_auth();
        own.verify_for_usage(ALL_VERIFICATION_ALGS, &self.anchors, between, now, usage, None, None)
            .map(drop)
            .map_err(|_| InvalidSvid::Unverified)
    }
}
