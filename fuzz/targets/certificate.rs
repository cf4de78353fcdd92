//! Certificates that strangers show, and the names in them: any bytes are answered, and none of these stands for anybody.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use portcullis::{
    access::{CanonicalRequest, Scheme, Timestamp},
    identity::{
        Authenticator, AuthenticatorSettings, RefusedKeys, SeenCredential, SpiffeId, SpiffeSettings, SpiffeSubject,
        TrustBundle,
    },
};

const BUNDLE: &str = include_str!("../seeds/bundle.pem");

static ASKED: LazyLock<Authenticator> = LazyLock::new(|| {
    let spiffe = vec![SpiffeSettings {
        trust_domain: "acme.example".parse().unwrap(),
        bundle: Arc::new(TrustBundle::parse(BUNDLE).unwrap()),
        subjects: vec![SpiffeSubject::parse("/agents/{name}", "agent:{name}").unwrap()],
    }];
    Authenticator::new(AuthenticatorSettings { spiffe, ..Default::default() }).unwrap()
});

static REFUSED: LazyLock<Arc<RefusedKeys>> = LazyLock::new(Arc::default);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(id) = std::str::from_utf8(bytes).unwrap_or_default().parse::<SpiffeId>() {
        assert_eq!(id.as_str().as_bytes(), bytes);
    }
    // The first half is the client's own certificate, the second one what it has shown with it.
    let (own, between) = bytes.split_at(bytes.len() / 2);
    for chain in [vec![bytes], vec![own, between]] {
        let seen = SeenCredential::of_peer(chain, None, &REFUSED);
        let request = http::Request::get("/").header("host", "api.acme.example").body(()).unwrap();
        let head = CanonicalRequest::parse(request.into_parts().0, Scheme::Https).unwrap();
        assert!(ASKED.authenticate(&head, &seen, Timestamp::from_seconds(1_900_000_000)).is_err());
    }
});
