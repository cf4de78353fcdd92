//! The fields of signed requests: any of them are answered, and none of these is signed by anybody.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use portcullis::{
    access::{CanonicalRequest, Scheme, Timestamp},
    identity::{
        Authenticator, AuthenticatorSettings, BodyCover, KeySet, NonceNeed, SeenCredential, SignatureSettings,
        SignedComponent, SigningAgent,
    },
};

const KEYS: &str = include_str!("../../config/reference/agent-keys.json");
const FIELDS: [&str; 5] = ["signature-input", "signature", "signature-agent", "content-digest", "x-parts"];

static ASKED: LazyLock<Authenticator> = LazyLock::new(|| {
    let keys = Arc::new(KeySet::parse(KEYS).unwrap());
    // The same keys are in two directories, so that it matters what is said of the agent.
    let agent = |subject: &str, origin: &str| SigningAgent {
        subject: subject.parse().unwrap(),
        keys: Arc::clone(&keys),
        origin: Some(origin.parse().unwrap()),
    };
    let signatures = SignatureSettings {
        tag: SignatureSettings::DEFAULT_TAG.into(),
        components: vec![SignedComponent::Authority],
        max_lifetime: SignatureSettings::DEFAULT_LIFETIME,
        leeway: SignatureSettings::DEFAULT_LEEWAY,
        nonce: NonceNeed::Optional,
        body: BodyCover::Optional,
        longest_body: 1000,
        scheme: None,
        agents: vec![agent("agent:reader", "https://reader.example"), agent("agent:other", "https://other.example")],
    };
    Authenticator::new(AuthenticatorSettings { signatures: Some(signatures), ..Default::default() }).unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(component) = std::str::from_utf8(bytes).unwrap_or_default().parse::<SignedComponent>() {
        assert_eq!(component.to_string().as_bytes(), bytes);
    }
    // Each line is the value of one field.
    let mut request = http::Request::get("/books/7?page=2").header("host", "api.acme.example");
    for (name, value) in FIELDS.into_iter().zip(bytes.split(|byte| *byte == b'\n')) {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(()) else { return };
    let Ok(head) = CanonicalRequest::parse(request.into_parts().0, Scheme::Https) else { return };
    assert!(ASKED.authenticate(&head, &SeenCredential::default(), Timestamp::from_seconds(1_900_000_000)).is_err());
});
