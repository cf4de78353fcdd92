//! What of a request's head is taken that has more than one reading to some servers.

use http::Version;

use super::request::Malformed;

/// Which heads are taken beyond what is always taken. By default as few as can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadRules {
    /// Whether a segment of a path may hold an escaped slash (`%2F`), as names with slashes do that are one segment. It stays
    /// as it is: in what is decided on, recorded and sent. What is on either side of it follows the rules of a segment.
    pub escaped_slashes: bool,
    /// What becomes of a field whose name holds `_`.
    pub underscores: Underscores,
    /// Whether HTTP/1.0 is taken.
    pub http_1_0: OldHttp,
}

/// What becomes of a field whose name holds `_`, which is another field to servers that take it for `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Underscores {
    /// The request is refused.
    #[default]
    Refuse,
    /// The field ends here: nothing reads it, and nobody behind the proxy gets it.
    Drop,
}

/// What becomes of a request by HTTP/1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OldHttp {
    /// It is served, on a connection that ends with it.
    #[default]
    Serve,
    /// It is refused.
    Refuse,
}

impl HeadRules {
    /// Refuses a version that is not taken.
    pub(super) fn check(self, version: Version) -> Result<(), Malformed> {
        match self.http_1_0 {
            OldHttp::Refuse if version < Version::HTTP_11 => Err(Malformed::Message("HTTP/1.0 is refused here")),
            OldHttp::Refuse | OldHttp::Serve => Ok(()),
        }
    }
}
