//! The credential that a connection brought last: an agent sends the same one with every request.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::authenticator::Remembered;

/// What one connection brought last, and what it came to. It is gone with the connection.
///
/// The whole field is compared, not a digest of it; and what another authenticator has verified, by other keys or
/// rules, is not found.
#[derive(Default)]
pub struct SeenCredential(Mutex<Option<Seen>>);

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
    pub(super) fn find(&self, field: &[u8], by: &Arc<Identity>) -> Option<Arc<Remembered>> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.as_ref().filter(|seen| seen.field.as_bytes() == field && Arc::ptr_eq(&seen.by, by))?;
        Some(Arc::clone(&seen.remembered))
    }

    pub(super) fn keep(&self, field: &str, by: &Arc<Identity>, remembered: &Arc<Remembered>) {
        let seen = Seen { field: field.into(), by: Arc::clone(by), remembered: Arc::clone(remembered) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

impl fmt::Debug for SeenCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A credential is never shown.
        f.debug_struct("SeenCredential").finish_non_exhaustive()
    }
}
