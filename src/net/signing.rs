//! Private keys in PEM files, which sign what upstreams are told.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use thiserror::Error;

use super::tls::regular_file;

/// Why a file is no key to sign with.
#[derive(Debug, Error)]
pub enum SigningKeyError {
    /// It cannot be read.
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// It holds no private key in PEM.
    #[error("`{0}` holds no PEM private key")]
    NoKey(PathBuf),
    /// It is of another kind.
    #[error("the key in `{0}` is neither P-256 (ES256) nor Ed25519 (EdDSA)")]
    Unserved(PathBuf),
}

/// The key did not sign: the system has no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the key did not sign")]
pub struct NotSigned;

/// A private key, and what others know it by.
pub struct SigningKey {
    pair: Pair,
    id: Box<str>,
}

enum Pair {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// Reads a P-256 or Ed25519 key from a PEM file. Its id is its thumbprint (RFC 7638).
    pub fn load(file: &Path) -> Result<Self, SigningKeyError> {
        let pem = regular_file(file).map_err(|error| SigningKeyError::Unreadable(file.to_owned(), error))?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| SigningKeyError::NoKey(file.to_owned()))?;
        let der = key.secret_der();
        let pair = match EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            Ok(pair) => Pair::Es256(Box::new(pair)),
            Err(_) => match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                Ok(pair) => Pair::EdDsa(Box::new(pair)),
                Err(_) => return Err(SigningKeyError::Unserved(file.to_owned())),
            },
        };
        // The required members in their order and nothing else (RFC 7638, section 3): serde_json sorts names.
        let thumbprint = digest(&SHA256, pair.members().to_string().as_bytes());
        Ok(Self { pair, id: URL_SAFE_NO_PAD.encode(thumbprint).into() })
    }

    /// The thumbprint that tokens name it by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm as tokens name it (RFC 7518, section 3.1, and RFC 8037, section 3.1).
    pub const fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::EdDsa(_) => "EdDSA",
        }
    }

    /// The public key as a JWK (RFC 7517).
    pub fn jwk(&self) -> Value {
        let mut members = self.pair.members();
        if let Some(members) = members.as_object_mut() {
            for (name, value) in [("kid", self.id()), ("alg", self.algorithm()), ("use", "sig")] {
                members.insert(name.to_owned(), value.into());
            }
        }
        members
    }

    /// The signature of a JWS (RFC 7515, section 5.1).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NotSigned> {
        match &self.pair {
            Pair::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| NotSigned)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl Pair {
    fn members(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Es256(pair) => {
                // An uncompressed point: 4, then x and y of 32 bytes each.
                let point = pair.public_key().as_ref();
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at_checked(32).unwrap_or_default();
                json!({ "crv": "P-256", "kty": "EC", "x": text(x), "y": text(y) })
            }
            Self::EdDsa(pair) => json!({ "crv": "Ed25519", "kty": "OKP", "x": text(pair.public_key().as_ref()) }),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pem: &str) -> Result<SigningKey, SigningKeyError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        SigningKey::load(file.path())
    }

    #[test]
    fn keys_of_both_kinds_sign_what_others_verify() {
        for (algorithm, name) in [(&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"), (&rcgen::PKCS_ED25519, "EdDSA")] {
            let pem = rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem();
            let key = of(&pem).unwrap();
            assert_eq!((key.algorithm(), key.id().len()), (name, 43));
            let signature = URL_SAFE_NO_PAD.encode(key.sign(b"message").unwrap());
            let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.jwk()).unwrap();
            let verifier = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
            let algorithm = name.parse().unwrap();
            assert!(jsonwebtoken::crypto::verify(&signature, b"message", &verifier, algorithm).unwrap());
            assert!(!key.jwk().to_string().contains("\"d\""), "its private part is not published");
        }
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        assert!(matches!(of(""), Err(SigningKeyError::NoKey(_))));
        assert!(matches!(
            of("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            Err(SigningKeyError::Unserved(_))
        ));
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        assert!(matches!(of(&other), Err(SigningKeyError::Unserved(_))));
        assert!(matches!(SigningKey::load(Path::new("/")), Err(SigningKeyError::Unreadable(..))));
    }
}
