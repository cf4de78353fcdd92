//! Which kinds of credentials a request must bring.

use std::fmt;

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A signed token.
    Jwt,
    /// An API key.
    ApiKey,
    /// The certificate of the connection, by its SPIFFE ID.
    Spiffe,
    /// A signature of the request.
    Signature,
}

impl CredentialKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Jwt, Self::ApiKey, Self::Spiffe, Self::Signature];

    /// The word used in configurations and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::Spiffe => "spiffe",
            Self::Signature => "signature",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which kinds of credentials a request must bring. All that it brings must be good and of one sender in any case:
/// nothing here makes a bad credential be passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialRule {
    /// One of these kinds must say who asks. A certificate may stand beside a token, a key or a signature of them.
    OneOf(Box<[CredentialKind]>),
    /// All of these kinds must come.
    AllOf(Box<[CredentialKind]>),
}

impl fmt::Display for CredentialRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (need, kinds) = match self {
            Self::OneOf(kinds) => ("one of", kinds),
            Self::AllOf(kinds) => ("all of", kinds),
        };
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        write!(f, "{need} {}", names.join(" "))
    }
}
