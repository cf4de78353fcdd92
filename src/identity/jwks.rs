//! The public keys of an issuer, read once from its JWK Set.

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::value::RawValue;
use thiserror::Error;

use super::{
    algorithm::Algorithm,
    digest::sha256,
    jwk::{Ignored, Jwk},
};
use crate::access::Place;

/// The longest document, in bytes.
const LONGEST: usize = 1024 * 1024;

/// The most keys in one set, with those that are ignored.
const MOST_KEYS: usize = 100;

/// Why a document is not a key set that tokens can be verified by. It is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidKeySet {
    /// Longer than 1 MiB.
    #[error("a key set is at most 1 MiB long, this one has {0} bytes")]
    TooLong(usize),
    /// More than 100 keys.
    #[error("a key set has at most 100 keys, this one has {0}")]
    TooManyKeys(usize),
    /// Not JSON, or not the JSON of a key set.
    #[error("not a JWK Set: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong there.
        message: String,
    },
    /// An object has a member twice, so it has two readings.
    #[error("the member `{name}` is repeated")]
    RepeatedMember {
        /// Where the second one is.
        place: Place,
        /// Its name.
        name: String,
    },
    /// There is no array `keys` (RFC 7517, section 5.1).
    #[error("a JWK Set is an object with an array `keys`")]
    NoKeys,
    /// Two keys have the same id, so a token's `kid` would not say which is meant.
    #[error("two keys have the id `{key_id}`, give each key of the set its own `kid`")]
    RepeatedKeyId {
        /// Where the id of the second one is.
        place: Place,
        /// The id.
        key_id: String,
    },
    /// A key holds its private part, which everybody can read here.
    #[error("a key has the private member `{name}`: replace this key, and publish its public part only")]
    PrivateKey {
        /// Where the private member is.
        place: Place,
        /// Its name.
        name: &'static str,
    },
    /// No key is one that tokens can be verified by.
    #[error("no usable key: {0}")]
    NoUsableKey(IgnoredKeys),
}

impl InvalidKeySet {
    /// Where in the document, with line 0 if it is the whole.
    pub fn place(&self) -> Place {
        match self {
            Self::Syntax { place, .. }
            | Self::RepeatedMember { place, .. }
            | Self::RepeatedKeyId { place, .. }
            | Self::PrivateKey { place, .. } => *place,
            Self::TooLong(_) | Self::TooManyKeys(_) | Self::NoKeys | Self::NoUsableKey(_) => Place::default(),
        }
    }
}

/// How many keys of a set are not used, and why (RFC 7517, section 5: keys that are not understood are ignored).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IgnoredKeys {
    /// `oct`: a secret that is published is none.
    pub symmetric: usize,
    /// `use` or `key_ops` say that the key is not for signatures.
    pub other_use: usize,
    /// A key type, a curve or an algorithm that is not served.
    pub unserved: usize,
    /// A served type, but a member is missing or malformed, the point is not on the curve, or RSA is not 2048 to 8192
    /// bits.
    pub malformed: usize,
}

impl fmt::Display for IgnoredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symmetric, other_use, unserved, malformed } = self;
        write!(f, "{symmetric} symmetric, {other_use} not for signatures, {unserved} not served, {malformed} malformed")
    }
}

/// The public keys of one issuer (RFC 7517), ready to verify.
///
/// Two sets are equal if they come from the same text.
pub struct KeySet {
    // INVARIANT: no two keys have the same id; empty only if the set is outdated.
    keys: Vec<Key>,
    ignored: IgnoredKeys,
    fingerprint: [u8; 32],
}

/// One public key, bound to the algorithms that its type and its `alg` allow.
pub(super) struct Key {
    id: Option<Box<str>>,
    thumbprint: [u8; 32],
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517, section 5).
    pub fn parse(text: &str) -> Result<Self, InvalidKeySet> {
        if text.len() > LONGEST {
            return Err(InvalidKeySet::TooLong(text.len()));
        }
        let document = Jwk::read(text, text)?;
        document.check_inside(Some("keys"))?;
        let keys = document.raw("keys").ok_or(InvalidKeySet::NoKeys)?;
        let keys: Vec<&RawValue> = serde_json::from_str(keys).map_err(|_| InvalidKeySet::NoKeys)?;
        if keys.len() > MOST_KEYS {
            return Err(InvalidKeySet::TooManyKeys(keys.len()));
        }
        let mut set = Self { keys: Vec::new(), ignored: IgnoredKeys::default(), fingerprint: sha256(text.as_bytes()) };
        let mut ids = BTreeSet::new();
        for raw in keys {
            let jwk = Jwk::read(text, raw.get())?;
            jwk.check_inside(None)?;
            let id = jwk.key_id()?;
            if let Some(key_id) = id.as_ref().filter(|id| !ids.insert((*id).clone())) {
                return Err(InvalidKeySet::RepeatedKeyId { place: jwk.place("kid"), key_id: key_id.clone() });
            }
            set.add(&jwk, id)?;
        }
        if set.keys.is_empty() { Err(InvalidKeySet::NoUsableKey(set.ignored)) } else { Ok(set) }
    }

    /// What is left of a key set that could not be fetched for too long: no key, so that every token is refused.
    pub fn outdated() -> Self {
        Self { keys: Vec::new(), ignored: IgnoredKeys::default(), fingerprint: [0; 32] }
    }

    /// Whether the set is too old to have keys.
    pub fn is_outdated(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys can verify.
    pub fn usable(&self) -> usize {
        self.keys.len()
    }

    /// How many keys are ignored.
    pub fn ignored(&self) -> IgnoredKeys {
        self.ignored
    }

    /// Whether some key is for one of these algorithms.
    pub fn serves(&self, algorithms: &[Algorithm]) -> bool {
        let mut served = self.keys.iter().flat_map(|key| &key.verifiers);
        served.any(|(algorithm, _)| algorithms.contains(algorithm))
    }

    /// Whether some key is in both sets, by its thumbprint (RFC 7638).
    pub fn shares_a_key_with(&self, other: &Self) -> bool {
        self.keys.iter().any(|key| other.keys.iter().any(|it| it.thumbprint == key.thumbprint))
    }

    /// All keys, in the order of the document.
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    fn add(&mut self, jwk: &Jwk<'_>, id: Option<String>) -> Result<(), InvalidKeySet> {
        let read = jwk.verifiers().and_then(|verifiers| Ok((verifiers, jwk.thumbprint()?)));
        let (verifiers, thumbprint) = match read {
            Ok(read) => read,
            Err(ignored) => {
                let count = match ignored {
                    Ignored::Symmetric => &mut self.ignored.symmetric,
                    Ignored::OtherUse => &mut self.ignored.other_use,
                    Ignored::Unserved => &mut self.ignored.unserved,
                    Ignored::Malformed => &mut self.ignored.malformed,
                };
                *count += 1;
                return Ok(());
            }
        };
        if let Some(name) = jwk.private_member() {
            return Err(InvalidKeySet::PrivateKey { place: jwk.place(name), name });
        }
        self.keys.push(Key { id: id.map(String::into_boxed_str), thumbprint, verifiers });
        Ok(())
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for KeySet {}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("usable", &self.keys.len()).field("ignored", &self.ignored).finish()
    }
}

impl Key {
    /// Whether the key has this id.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.id.as_deref() == Some(id)
    }

    /// Its SHA-256 thumbprint (RFC 7638).
    pub(super) fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// The key as a verifier of the algorithm, if it may be used for it.
    pub(super) fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(served, _)| *served == algorithm).map(|(_, verifier)| verifier)
    }
}
