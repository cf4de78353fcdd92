//! An issuer of tokens, with keys of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub(crate) const NAME: &str = "https://idp.acme.example";
pub(crate) const AUDIENCE: &str = "https://api.acme.example";

/// A P-256 key with an id.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    pub(crate) key_id: String,
}

impl Issuer {
    pub(crate) fn new(key_id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { key, key_id: key_id.to_owned() }
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let point = self.key.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.key_id,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }

    pub(crate) fn jwks(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// The SHA-256 thumbprint of the key (RFC 7638).
    pub(crate) fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    /// A proof of the key's possession for a request with this token (RFC 9449).
    pub(crate) fn proof(&self, method: &str, url: &str, token: &str, id: &str) -> String {
        let mut jwk = self.jwk();
        jwk.as_object_mut().unwrap().retain(|name, _| matches!(name.as_str(), "kty" | "crv" | "x" | "y"));
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
        self.signed(&header, &json!({ "jti": id, "htm": method, "htu": url, "iat": now, "ath": hash }))
    }

    /// A token with these claims, whatever they are.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as("at+jwt", claims)
    }

    /// The same of another type.
    pub(crate) fn sign_as(&self, kind: &str, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": kind, "kid": self.key_id });
        self.signed(&header, claims)
    }

    /// The signature of these bytes.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec()
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.sign_bytes(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token of a subject and its actors, the current actor first.
    pub(crate) fn token(&self, subject: &str, actors: &[&str]) -> String {
        self.sign(&claims(subject, actors))
    }
}

/// Good claims for five minutes.
pub(crate) fn claims(subject: &str, actors: &[&str]) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": NAME, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300, "jti": "t", "client_id": "c",
    });
    if let Some(act) = actors.iter().rev().fold(None, |inner: Option<Value>, actor| {
        let mut act = json!({ "sub": actor });
        if let Some(inner) = inner {
            act["act"] = inner;
        }
        Some(act)
    }) {
        claims["act"] = act;
    }
    claims
}

/// Good claims for tests that change one of them.
pub(crate) fn token(issuer: &Issuer, subject: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims(subject, &[]);
    change(&mut claims);
    issuer.sign(&claims)
}
