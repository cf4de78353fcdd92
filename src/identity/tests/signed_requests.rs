//! Requests that are signed, well or badly, for the tests of signatures.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    minting::{ED25519, ES256, RSA, Signer, text},
    worlds::{NOW, keys_of, members},
};
use crate::{
    access::{CanonicalRequest, Scheme, Timestamp},
    identity::{
        Algorithm, Authenticated, AuthenticationError, Authenticator, AuthenticatorSettings, BodyCover,
        InvalidSignature, NonceNeed, SeenCredential, SignatureSettings, SigningAgent,
    },
};

pub(super) const COVERED: [(&str, &str); 4] =
    [("@method", "GET"), ("@authority", "ledger.harbor.example"), ("@path", "/books/7"), ("@query", "?page=2")];

/// A request, and what its signer signs: both are changed by tests, apart from each other.
pub(super) struct Sending {
    pub(super) method: &'static str,
    pub(super) uri: String,
    pub(super) scheme: Scheme,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) label: &'static str,
    /// The components with their values, which are written here and not asked of what is tested.
    pub(super) covered: Vec<(&'static str, String)>,
    /// The names of the components as `Signature-Input` has them, if they are others.
    pub(super) named: Option<String>,
    pub(super) parameters: String,
}

impl Sending {
    pub(super) fn new(signer: &Signer) -> Self {
        let parameters = parameters(signer, &[]);
        let covered = COVERED.map(|(name, value)| (name, value.to_owned())).to_vec();
        let uri = "/books/7?page=2".to_owned();
        Self {
            method: "GET",
            uri,
            scheme: Scheme::Http,
            fields: vec![],
            label: "sig1",
            covered,
            named: None,
            parameters,
        }
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(super) fn covering(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.covered.push((name, value.into()));
        self
    }

    pub(super) fn only(mut self, names: &[&str]) -> Self {
        self.covered.retain(|(name, _)| names.contains(name));
        self
    }

    pub(super) fn input(&self) -> String {
        let names: Vec<_> = self.covered.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let named = self.named.clone().unwrap_or_else(|| names.join(" "));
        format!("({named}){}", self.parameters)
    }

    pub(super) fn signature(&self, signer: &Signer, algorithm: Algorithm) -> Vec<u8> {
        let lines: String = self.covered.iter().map(|(name, value)| format!("\"{name}\": {value}\n")).collect();
        signer.sign(algorithm, format!("{lines}\"@signature-params\": {}", self.input()).as_bytes())
    }

    /// With the signature of what is there now.
    pub(super) fn signed(self, signer: &Signer, algorithm: Algorithm) -> Self {
        let bytes = STANDARD.encode(self.signature(signer, algorithm));
        let (label, input) = (self.label, self.input());
        self.field("signature-input", format!("{label}={input}")).field("signature", format!("{label}=:{bytes}:"))
    }

    pub(super) fn head(&self) -> CanonicalRequest {
        let mut request = http::Request::builder().method(self.method).uri(&self.uri);
        request = request.header("host", "ledger.harbor.example");
        for (name, value) in &self.fields {
            request = request.header(*name, value);
        }
        CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, self.scheme).unwrap()
    }

    pub(super) fn ask(&self, asked: &Authenticator) -> Result<Authenticated, AuthenticationError> {
        ask_at(asked, &self.head(), NOW)
    }

    /// Why it is refused, signed as it is by the usual key.
    pub(super) fn refusal(self) -> Option<InvalidSignature> {
        refusal(&usual(), self.signed(&ED25519, Algorithm::EdDsa))
    }
}

pub(super) fn ask_at(
    asked: &Authenticator,
    head: &CanonicalRequest,
    now: i64,
) -> Result<Authenticated, AuthenticationError> {
    asked.authenticate(head, &SeenCredential::default(), Timestamp::from_seconds(now))
}

pub(super) fn refusal(asked: &Authenticator, sending: Sending) -> Option<InvalidSignature> {
    match sending.ask(asked) {
        Ok(answer) => {
            assert_eq!(members(&answer), "agent:reader");
            None
        }
        Err(AuthenticationError::Signature(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    }
}

/// The key's thumbprint, made here of what RFC 7638 says.
pub(super) fn key_id(signer: &Signer) -> String {
    let jwk = signer.jwk("x");
    let members: &[&str] = match jwk["kty"].as_str().unwrap() {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        _ => &["crv", "kty", "x"],
    };
    let members: Vec<_> = members.iter().map(|name| format!("\"{name}\":{}", jwk[*name])).collect();
    text(digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes()).as_ref())
}

/// The parameters of a good signature after changes; an empty text removes one.
pub(super) fn parameters(signer: &Signer, changes: &[(&str, &str)]) -> String {
    let usual = [
        ("created", NOW.to_string()),
        ("expires", (NOW + 60).to_string()),
        ("keyid", format!("\"{}\"", key_id(signer))),
        ("tag", "\"web-bot-auth\"".to_owned()),
    ];
    let mut all: Vec<(&str, String)> = usual.to_vec();
    for (name, value) in changes {
        all.retain(|(known, _)| known != name);
        if !value.is_empty() {
            all.push((name, (*value).to_owned()));
        }
    }
    all.iter().map(|(name, value)| format!(";{name}={value}")).collect()
}

pub(super) fn agent(subject: &str, keys: &[Value]) -> SigningAgent {
    SigningAgent { subject: subject.parse().unwrap(), keys: keys_of(keys), origin: None }
}

pub(super) fn signatures(change: impl FnOnce(&mut SignatureSettings)) -> AuthenticatorSettings {
    let mut signatures = SignatureSettings {
        tag: SignatureSettings::DEFAULT_TAG.into(),
        components: SignatureSettings::DEFAULT_COMPONENTS.to_vec(),
        max_lifetime: SignatureSettings::DEFAULT_LIFETIME,
        leeway: SignatureSettings::DEFAULT_LEEWAY,
        nonce: NonceNeed::Optional,
        body: BodyCover::Required,
        longest_body: 1000,
        scheme: None,
        agents: vec![
            agent("agent:reader", &[ED25519.jwk("k1"), ES256.jwk("k2")]),
            agent("agent:other", &[RSA.jwk("x")]),
        ],
    };
    change(&mut signatures);
    AuthenticatorSettings { signatures: Some(signatures), ..Default::default() }
}

pub(super) fn changed(change: impl FnOnce(&mut SignatureSettings)) -> Authenticator {
    Authenticator::new(signatures(change)).unwrap()
}

pub(super) fn usual() -> Authenticator {
    changed(|_| ())
}

pub(super) fn good() -> Sending {
    Sending::new(&ED25519).signed(&ED25519, Algorithm::EdDsa)
}
