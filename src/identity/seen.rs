//! What a connection brought: its certificate, and the credential that came last, which most requests repeat.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    authenticator::Remembered,
    certificate::PeerCertificate,
    refusals::{ConnectionSource, Refusals, RefusedKeys},
    svid::KnownPeer,
};

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
    /// Of a connection whose other end has shown this certificate, if it has shown one. API keys that are refused are
    /// counted among those of its source.
    pub fn of_peer(
        certificate: Option<PeerCertificate>,
        source: ConnectionSource,
        refused_keys: &Arc<RefusedKeys>,
    ) -> Self {
        let peer = certificate.map(|certificate| Box::new(SeenPeer { certificate, known: Mutex::default() }));
        Self { last: Mutex::default(), peer, refusals: Refusals::from(source, refused_keys) }
    }

    /// Whether so many credentials were refused on the connection that it must not carry another request.
    pub fn is_over(&self) -> bool {
        self.refusals.is_over()
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
