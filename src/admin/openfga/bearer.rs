//! Who may ask: everybody on this machine, or who has a token.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, header};

use super::fault::{Code, Fault};

/// The tokens of which a request must bear one. Without any, no request must.
#[derive(Clone, Default)]
pub struct Bearers(Box<[Box<str>]>);

impl Bearers {
    /// These tokens; empty ones are none.
    pub fn new(tokens: impl IntoIterator<Item = String>) -> Self {
        Self(tokens.into_iter().filter(|token| !token.is_empty()).map(String::into_boxed_str).collect())
    }

    /// Whether no request needs a token.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a request without a token, if it needs one.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Fault> {
        if self.is_open() {
            return Ok(());
        }
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.split_once(' '));
        let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
            return Err(Fault::new(Code::BearerTokenMissing, "missing bearer token"));
        };
        let token = token.trim().as_bytes();
        // Every token is compared, so that the time says nothing of them.
        let known = self.0.iter().filter(|known| verify_slices_are_equal(known.as_bytes(), token).is_ok()).count();
        if known > 0 { Ok(()) } else { Err(Fault::new(Code::Unauthenticated, "unauthenticated")) }
    }
}

impl fmt::Debug for Bearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearers({} tokens)", self.0.len())
    }
}
