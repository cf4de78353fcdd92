//! Acme's issuer of tokens: a fresh key each time, which never leaves the process.

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::who::{Credential, Who};

const ISSUER: &str = "https://idp.acme.example";
const AUDIENCE: &str = "https://api.acme.example";
const OTHER_AUDIENCE: &str = "https://wiki.acme.example";
/// Longer than anybody plays with the demo.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
const AN_HOUR: Duration = Duration::from_secs(60 * 60);

/// Signs access tokens (RFC 9068) with ES256.
pub(super) struct Issuer {
    pair: EcdsaKeyPair,
    // Somebody who would like to be the issuer.
    forger: EcdsaKeyPair,
    key_id: String,
}

impl Issuer {
    /// An issuer with a key of its own.
    pub(super) fn new() -> anyhow::Result<Self> {
        let generate = || {
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("a key cannot be generated"))
        };
        let key_id = format!("acme-{}", uuid::Uuid::now_v7().simple());
        Ok(Self { pair: generate()?, forger: generate()?, key_id })
    }

    /// Its key set (RFC 7517).
    pub(super) fn jwks(&self) -> anyhow::Result<String> {
        // An uncompressed point: the byte 4, then both coordinates.
        let coordinates = self.pair.public_key().as_ref().get(1..).context("the key is no point")?;
        let (x, y) = coordinates.split_at_checked(32).context("the key is too short")?;
        let key = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.key_id,
            "x": text(x), "y": text(y),
        });
        Ok(serde_json::to_string_pretty(&json!({ "keys": [key] }))?)
    }

    /// The token that says who it is; `None` if none is to be sent.
    pub(super) fn token(&self, who: &Who) -> anyhow::Result<Option<String>> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let (audience, issued, lifetime, pair) = match who.credential {
            Credential::Missing => return Ok(None),
            Credential::Good => (AUDIENCE, now, LIFETIME, &self.pair),
            Credential::OtherAudience => (OTHER_AUDIENCE, now, LIFETIME, &self.pair),
            Credential::Expired => (AUDIENCE, now.saturating_sub(2 * AN_HOUR), AN_HOUR, &self.pair),
            Credential::Forged => (AUDIENCE, now, LIFETIME, &self.forger),
        };
        let mut claims = json!({
            "iss": ISSUER, "aud": audience, "sub": who.subject, "client_id": who.client,
            "iat": issued.as_secs(), "exp": (issued + lifetime).as_secs(),
            "jti": uuid::Uuid::now_v7().to_string(),
        });
        if let Some(members) = claims.as_object_mut() {
            members.extend(acts(who).map(|act| ("act".to_owned(), act)));
            members.extend(who.task.map(|task| ("task".to_owned(), task.into())));
        }
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.key_id });
        let signed = format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| anyhow!("cannot sign"))?;
        Ok(Some(format!("{signed}.{}", text(signature.as_ref()))))
    }
}

/// The nested `act` claims: the current actor outermost (RFC 8693, section 4.1).
fn acts(who: &Who) -> Option<Value> {
    who.actors.iter().fold(None, |prior: Option<Value>, actor| {
        Some(match prior {
            None => json!({ "sub": actor }),
            Some(prior) => json!({ "sub": actor, "act": prior }),
        })
    })
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_actor_is_outermost() {
        let who = Who::user("erin").via(&["planner", "coder"]);
        assert_eq!(acts(&who), Some(json!({ "sub": "coder", "act": { "sub": "planner" } })));
        assert_eq!(acts(&Who::user("erin")), None);
    }

    #[test]
    fn a_token_has_three_parts_and_no_credential_has_none() {
        let issuer = Issuer::new().unwrap();
        let token = issuer.token(&Who::user("erin")).unwrap().unwrap();
        assert_eq!(token.split('.').count(), 3);
        assert_eq!(issuer.token(&Who::user("erin").with(Credential::Missing)).unwrap(), None);
    }
}
