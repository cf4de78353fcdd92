//! The digest of a body that a signature covers (RFC 9530).

use std::sync::Arc;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA512, digest};
use http::HeaderName;
use sfv::BareItemFromInput;

use super::{error::InvalidSignature, structured};

/// The field of the digest (RFC 9530, section 2).
pub(in crate::identity) const FIELD: HeaderName = HeaderName::from_static("content-digest");

/// What a request's credential says of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedBody {
    /// Nothing: any body is good.
    Free,
    /// A signature covers no body, so that there must be none.
    Empty,
    /// A signature covers the digest of the body.
    Digest(ContentDigest),
}

impl SignedBody {
    /// Whether this whole body, as it came, is the one that was signed. Of an empty one nothing has to be signed.
    pub fn check(&self, body: &[u8]) -> Result<(), InvalidSignature> {
        match self {
            Self::Free => Ok(()),
            Self::Empty if body.is_empty() => Ok(()),
            Self::Empty => Err(InvalidSignature::UnsignedBody),
            Self::Digest(digest) => digest.check(body),
        }
    }
}

/// The SHA-256 or SHA-512 of a body, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentDigest {
    // INVARIANT: one at least.
    digests: Arc<[(Hash, Vec<u8>)]>,
    longest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn named(name: &str) -> Option<Self> {
        match name {
            "sha-256" => Some(Self::Sha256),
            "sha-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha512 => &SHA512,
        }
    }
}

impl ContentDigest {
    /// What the field says. Digests of other algorithms are passed over, and one that is served must be there.
    pub(super) fn parse(text: &str, longest: usize) -> Result<Self, InvalidSignature> {
        let members = structured::dictionary(text).map_err(|_| InvalidSignature::ContentDigest)?;
        let mut digests = Vec::new();
        for member in members {
            let Some(hash) = Hash::named(member.name) else { continue };
            match member.value {
                Some(BareItemFromInput::ByteSequence(bytes)) if bytes.len() == hash.algorithm().output_len() => {
                    digests.push((hash, bytes));
                }
                Some(_) | None => return Err(InvalidSignature::ContentDigest),
            }
        }
        if digests.is_empty() {
            Err(InvalidSignature::ContentDigest)
        } else {
            Ok(Self { digests: digests.into(), longest })
        }
    }

    /// How many bytes of a body are read for it at most, where nothing else reads the body.
    pub fn longest(&self) -> usize {
        self.longest
    }

    fn check(&self, body: &[u8]) -> Result<(), InvalidSignature> {
        let is_of = |(hash, expected): &(Hash, Vec<u8>)| digest(hash.algorithm(), body).as_ref() == &**expected;
        if self.digests.iter().all(is_of) { Ok(()) } else { Err(InvalidSignature::OtherBody) }
    }
}
