//! The signature algorithms that tokens may use.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The text names no algorithm that is served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a served algorithm: ES256, ES384, EdDSA, Ed25519, RS256 or PS256")]
pub struct UnknownAlgorithm(pub String);

/// A signature algorithm of RFC 7518 (section 3.1), RFC 8037 or RFC 9864.
///
/// All are asymmetric. `none` and the HMAC family have no name here, so nothing can allow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519 by its older name (RFC 8037, section 3.1).
    EdDsa,
    /// Ed25519 by its exact name (RFC 9864, section 2.2).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
}

impl Algorithm {
    /// Every algorithm there is.
    pub const ALL: [Self; 6] = [Self::Es256, Self::Es384, Self::EdDsa, Self::Ed25519, Self::Rs256, Self::Ps256];

    /// What an issuer may use if its settings name nothing else.
    pub const DEFAULT: [Self; 5] = [Self::Es256, Self::EdDsa, Self::Ed25519, Self::Rs256, Self::Ps256];

    /// The name in a token's `alg`, compared exactly.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let named = Self::ALL.into_iter().find(|algorithm| algorithm.name() == text);
        named.ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
