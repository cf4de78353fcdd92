//! Keys that live for one test run, and tokens signed by them.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::identity::Algorithm;

/// One key pair of every kind, and a second one of the most usual kind.
pub(super) static ES256: LazyLock<Signer> = LazyLock::new(Signer::es256);
pub(super) static OTHER_ES256: LazyLock<Signer> = LazyLock::new(Signer::es256);
pub(super) static ES384: LazyLock<Signer> =
    LazyLock::new(|| Signer::Es384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()));
pub(super) static ED25519: LazyLock<Signer> = LazyLock::new(|| Signer::Ed25519(Ed25519KeyPair::generate().unwrap()));
pub(super) static RSA: LazyLock<Signer> =
    LazyLock::new(|| Signer::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())));

pub(super) enum Signer {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn public(&self) -> &[u8] {
        match self {
            Self::Es256(pair) | Self::Es384(pair) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    pub(super) fn pkcs8(&self) -> Vec<u8> {
        match self {
            Self::Es256(pair) | Self::Es384(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => pair.as_der().unwrap().as_ref().to_vec(),
        }
    }

    /// The public key without `alg`.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let public = self.public();
        let half = public.len().div_ceil(2);
        match self {
            Self::Es256(_) => elliptic("P-256", kid, &public[1..half], &public[half..]),
            Self::Es384(_) => elliptic("P-384", kid, &public[1..half], &public[half..]),
            Self::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(public)}),
            // RSAPublicKey in DER: two headers and a zero byte before the 256 bytes of the modulus.
            Self::Rsa(_) => json!({"kty": "RSA", "kid": kid, "n": text(&public[9..265]), "e": text(&public[267..])}),
        }
    }

    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) | Self::Es384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = if algorithm == Algorithm::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The ES256 signature in ASN.1, which JWS does not use (RFC 7518, section 3.4).
    pub(super) fn sign_asn1(&self, message: &[u8]) -> Vec<u8> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8()).unwrap();
        pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// A token whose header says `algorithm`, with these texts as header and claims.
    pub(super) fn token(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", text(header.as_bytes()), text(claims.as_bytes()));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", text(&signature))
    }
}

fn elliptic(curve: &str, kid: &str, x: &[u8], y: &[u8]) -> Value {
    json!({"kty": "EC", "crv": curve, "kid": kid, "x": text(x), "y": text(y)})
}

/// A token with a symmetric signature by `secret`.
pub(super) fn hs256(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", text(header.as_bytes()), text(claims.as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", text(tag.as_ref()))
}

pub(super) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
