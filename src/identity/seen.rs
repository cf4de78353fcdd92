//! What a connection brought: its certificate, and the credential that came last, which most requests repeat.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    authenticator::Remembered,
    certificate::PeerCertificate,
    error::AuthenticationError,
    refusals::{ConnectionSource, Refusals, RefusedKeys},
    svid::KnownPeer,
};
use crate::access::Timestamp;

/// How long what was verified, a token or a certificate, is not verified anew. Its own times are looked at each time.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// Whether what was verified then may still be used; a clock that went backwards makes it stale.
pub(super) fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    now >= since && now.since(since) < REMEMBERED_FOR
}

/// What one connection brought last, and what it came to. It is gone with the connection.
///
/// The whole field is compared, not a digest of it; and what another authenticator has verified, by other keys or
/// rules, is not found.
#[derive(Default)]
pub struct SeenCredential {
    last: Mutex<Option<Seen>>,
    // In a box, because most connections have none.
    peer: Option<Box<SeenPeer>>,
    pub(super) refusals: Refusals,
}

struct SeenPeer {
    certificate: PeerCertificate,
    known: Mutex<Option<(Arc<Identity>, Arc<KnownPeer>)>>,
}

struct Seen {
    field: Box<str>,
    // Whose answer it is.
    by: Arc<Identity>,
    remembered: Arc<Remembered>,
}

/// What tells one authenticator from all others.
#[derive(Debug, Default)]
pub(super) struct Identity;

impl SeenCredential {
    /// Of a connection whose other end has shown these certificates, its own one first, each in DER, or none. API keys
    /// that are refused are counted among those of the address; `None` is a process of this machine.
    ///
    /// Only what TLS has verified belongs here: nothing is asked of a certificate's holder afterwards.
    pub fn of_peer<'c>(
        certificates: impl IntoIterator<Item = &'c [u8]>,
        address: Option<IpAddr>,
        refused_keys: &Arc<RefusedKeys>,
    ) -> Self {
        let peer = PeerCertificate::new(certificates);
        Self {
            last: Mutex::default(),
            peer: peer.map(|certificate| Box::new(SeenPeer { certificate, known: Mutex::default() })),
            refusals: Refusals::from(ConnectionSource::of(address), refused_keys),
        }
    }

    /// Whether so many credentials were refused on the connection that it must not carry another request.
    pub fn is_over(&self) -> bool {
        self.refusals.is_over()
    }

    /// Counts a credential that was found to be bad after its request was authenticated.
    pub fn refuse(&self, error: AuthenticationError, now: Timestamp) -> AuthenticationError {
        self.refusals.refuse(now);
        error
    }

    /// The certificate of the connection's other end.
    pub(super) fn certificate(&self) -> Option<&PeerCertificate> {
        self.peer.as_ref().map(|peer| &peer.certificate)
    }

    /// Whom this authenticator has found the other end to be.
    pub(super) fn known_peer(&self, by: &Arc<Identity>) -> Option<Arc<KnownPeer>> {
        let known = self.peer.as_ref()?.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(known_by, _)| Arc::ptr_eq(known_by, by)).map(|(_, known)| Arc::clone(known))
    }

    pub(super) fn keep_peer(&self, by: &Arc<Identity>, known: &Arc<KnownPeer>) {
        if let Some(peer) = &self.peer {
            let kept = Some((Arc::clone(by), Arc::clone(known)));
            *peer.known.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
    }

    pub(super) fn find(&self, field: &[u8], by: &Arc<Identity>) -> Option<Arc<Remembered>> {
        let seen = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.as_ref().filter(|seen| seen.field.as_bytes() == field && Arc::ptr_eq(&seen.by, by))?;
        Some(Arc::clone(&seen.remembered))
    }

    pub(super) fn keep(&self, field: &str, by: &Arc<Identity>, remembered: &Arc<Remembered>) {
        let seen = Seen { field: field.into(), by: Arc::clone(by), remembered: Arc::clone(remembered) };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

impl fmt::Debug for SeenCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A credential is never shown.
        f.debug_struct("SeenCredential").finish_non_exhaustive()
    }
}
