//! Workloads that are known by the certificates of their connections.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::json;

use super::{
    minting::{ES256, text},
    workloads::{
        DEPOT, HARBOR, ask_by, ask_with, authority, connection, intermediate, params, settings, signed, trust_domain,
        trust_domain_of, workload,
    },
    worlds::{NOW, ask_on, chain, claims, head, header, issuer, members, token, with},
};
use crate::{
    access::{Reason, Timestamp},
    identity::{
        ApiKey, ApiKeySettings, AuthenticationError, Authenticator, AuthenticatorSettings, InvalidBundle,
        InvalidSettings, InvalidSpiffeId, InvalidSpiffeSubject, InvalidSvid, InvalidToken, Method, NewApiKey,
        ProofNeed, ProofSettings, SeenCredential, Shown, SpiffeId, SpiffeSettings, SpiffeSubject, TrustBundle,
        digest::sha256,
    },
};

const WRITER: &str = "spiffe://harbor.example/agents/writer";

fn known() -> Authenticator {
    Authenticator::new(settings()).unwrap()
}

/// Why a workload's certificate by `harbor.example` is refused after a change.
fn refusal(change: impl FnOnce(&mut CertificateParams)) -> Option<InvalidSvid> {
    refusal_of(&[&signed(&params(WRITER, change), &HARBOR)])
}

fn refusal_of(chain: &[&[u8]]) -> Option<InvalidSvid> {
    match ask_with(&known(), chain) {
        Ok(_) => None,
        Err(AuthenticationError::Certificate(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[test]
fn a_workload_is_the_subject_of_its_id() {
    let asked = known();
    for (id, subject) in [
        (WRITER, "agent:writer"),
        ("spiffe://harbor.example/agents/Writer-2.b_c", "agent:Writer-2.b_c"),
        ("spiffe://harbor.example/ns/books/sa/close", "service:books/close"),
    ] {
        let answer = ask_with(&asked, &[&workload(id)]).unwrap();
        assert_eq!(
            (members(&answer), answer.credential.method.clone()),
            (subject.to_owned(), Method::Spiffe { id: id.into() })
        );
        assert!(answer.credential.token_id.is_none() && answer.credential.grants.is_none());
    }
    // The same path in the other trust domain is another subject.
    let depot = signed(&params("spiffe://depot.example/agents/writer", |_| ()), &DEPOT);
    assert_eq!(members(&ask_with(&asked, &[&depot]).unwrap()), "courier:writer");
    // A name that is no URI does not matter.
    assert_eq!(refusal(|it| it.subject_alt_names.push(SanType::DnsName("w.harbor.example".try_into().unwrap()))), None);
}

#[test]
fn without_a_certificate_or_a_trust_domain_nobody_is_known() {
    let missing = |answer: Result<_, AuthenticationError>| {
        let error = answer.map(|it: crate::identity::Authenticated| members(&it)).unwrap_err();
        assert_eq!((&error, error.reason()), (&AuthenticationError::Missing, Reason::MissingCredential));
    };
    missing(ask_with(&known(), &[]));
    missing(ask_with(&Authenticator::new(AuthenticatorSettings::default()).unwrap(), &[&workload(WRITER)]));
    // A certificate without a URI claims to be nobody's.
    let plain = signed(&params(WRITER, |it| it.subject_alt_names.clear()), &HARBOR);
    missing(ask_with(&known(), &[&plain]));
}

#[test]
fn a_certificate_has_exactly_one_uri_and_that_is_a_spiffe_id() {
    let names = |names: &[&str]| refusal(|it| it.subject_alt_names = names.iter().map(|name| uri(name)).collect());
    assert_eq!(names(&[WRITER]), None);
    for second in [WRITER, "spiffe://depot.example/agents/x", "https://harbor.example/", "x"] {
        assert_eq!(names(&[WRITER, second]), Some(InvalidSvid::SeveralNames), "{second}");
        assert_eq!(names(&[second, WRITER]), Some(InvalidSvid::SeveralNames), "{second}");
    }
    for (name, problem) in [
        ("https://harbor.example/agents/writer", InvalidSpiffeId::Scheme),
        ("SPIFFE://harbor.example/agents/writer", InvalidSpiffeId::Scheme),
        ("spiffe:/harbor.example/agents/writer", InvalidSpiffeId::Scheme),
        ("spiffe:///agents/writer", InvalidSpiffeId::TrustDomain),
        ("spiffe://", InvalidSpiffeId::TrustDomain),
        ("spiffe://Harbor.example/agents/writer", InvalidSpiffeId::TrustDomain),
        ("spiffe://harbor.example:8443/agents/writer", InvalidSpiffeId::TrustDomain),
        ("spiffe://root@harbor.example/agents/writer", InvalidSpiffeId::TrustDomain),
        ("spiffe://harbor%2eexample/agents/writer", InvalidSpiffeId::TrustDomain),
        ("spiffe://harbor.example?x=/agents/writer", InvalidSpiffeId::TrustDomain),
        ("spiffe://harbor.example#/agents/writer", InvalidSpiffeId::TrustDomain),
        ("spiffe://harbor.example/agents/writer?x=1", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/writer#x", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/writer/", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/", InvalidSpiffeId::Path),
        ("spiffe://harbor.example//agents/writer", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/../agents/writer", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/./writer", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/wr%69ter", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/a:b", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/a b", InvalidSpiffeId::Path),
        ("spiffe://harbor.example/agents/*", InvalidSpiffeId::Path),
    ] {
        assert_eq!(names(&[name]), Some(InvalidSvid::Id(problem)), "{name}");
    }
}

#[test]
fn ids_have_one_grammar() {
    let long = |domain: usize, path: usize| format!("spiffe://{}/{}", "d".repeat(domain), "p".repeat(path));
    for good in [WRITER, "spiffe://a", "spiffe://a_b-c.9/...", &long(255, 100), &long(255, 2048 - 265)] {
        assert_eq!(good.parse::<SpiffeId>().unwrap().as_str().as_ref(), good);
    }
    for (bad, problem) in [
        (long(256, 1), InvalidSpiffeId::TrustDomain),
        (long(255, 2048 - 264), InvalidSpiffeId::TooLong),
        ("spiffe://harbor.example/\u{e9}".to_owned(), InvalidSpiffeId::Path),
        ("spiffe://h\u{131}".to_owned(), InvalidSpiffeId::TrustDomain),
        (String::new(), InvalidSpiffeId::Scheme),
    ] {
        assert_eq!(bad.parse::<SpiffeId>(), Err(problem), "{bad}");
    }
    assert_eq!(WRITER.parse::<SpiffeId>().unwrap().trust_domain(), "harbor.example");
}

#[test]
fn only_the_authorities_of_its_own_trust_domain_vouch_for_an_id() {
    let unverified = Some(InvalidSvid::Unverified);
    let good = params(WRITER, |_| ());
    // Another trust domain's authority is trusted too, but not for this name.
    assert_eq!(refusal_of(&[&signed(&good, &DEPOT)]), unverified);
    assert_eq!(refusal_of(&[&signed(&good, &authority("harbor"))]), unverified, "a stranger of the same name");
    let itself = good.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(refusal_of(&[itself.der()]), unverified);
    assert_eq!(refusal_of(&[itself.der(), HARBOR.der()]), unverified);

    let unknown = workload("spiffe://sub.harbor.example/agents/writer");
    assert_eq!(refusal_of(&[&unknown]), Some(InvalidSvid::UnknownTrustDomain(Shown::new("sub.harbor.example"))));

    let between = intermediate(&HARBOR);
    let leaf = signed(&good, &between);
    assert_eq!(refusal_of(&[&leaf, between.der()]), None);
    assert_eq!(refusal_of(&[&leaf]), unverified, "nothing leads to the authority");
    let other = intermediate(&DEPOT);
    assert_eq!(refusal_of(&[&signed(&good, &other), other.der()]), unverified);
    // A workload is no authority.
    let key = KeyPair::generate().unwrap();
    let workload = rcgen::CertifiedIssuer::signed_by(good.clone(), key, &HARBOR).unwrap();
    assert_eq!(refusal_of(&[&signed(&good, &workload), workload.der()]), unverified);
}

#[test]
fn a_workloads_certificate_is_for_its_connections_alone() {
    assert_eq!(refusal(|it| it.is_ca = IsCa::ExplicitNoCa), None);
    let authority = |it: &mut CertificateParams| it.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    assert_eq!(refusal(authority), Some(InvalidSvid::Authority));

    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyAgreement, KeyCertSign};
    let usage = |usages: &[KeyUsagePurpose]| refusal(|it| it.key_usages = usages.to_vec());
    assert_eq!(usage(&[DigitalSignature, KeyAgreement]), None);
    for usages in [&[][..], &[KeyAgreement], &[DigitalSignature, KeyCertSign], &[DigitalSignature, CrlSign]] {
        assert_eq!(usage(usages), Some(InvalidSvid::Usage), "{usages:?}");
    }

    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    let purpose = |purposes: &[ExtendedKeyUsagePurpose]| refusal(|it| it.extended_key_usages = purposes.to_vec());
    assert_eq!(purpose(&[ClientAuth]), None);
    for purposes in [&[][..], &[ServerAuth], &[CodeSigning, ServerAuth], &[Any]] {
        assert_eq!(purpose(purposes), Some(InvalidSvid::Purpose), "{purposes:?}");
    }
}

#[test]
fn a_certificate_holds_from_its_first_to_its_last_second() {
    let (first, last) = (rcgen::date_time_ymd(2030, 3, 17), rcgen::date_time_ymd(2030, 3, 18));
    let dated = signed(
        &params(WRITER, |it| {
            (it.not_before, it.not_after) = (first, last);
        }),
        &HARBOR,
    );
    let (first, last) = (first.unix_timestamp(), last.unix_timestamp());
    let asked = known();
    // On one connection, which it was good on before.
    let connection = connection(&[&dated]);
    for (now, good) in [(first - 1, false), (first, true), (NOW, true), (last, true), (last + 1, false)] {
        assert_eq!(ask_by(&asked, &connection, now).is_ok(), good, "{now}");
    }
    assert_eq!(
        ask_by(&asked, &connection, last + 1).unwrap_err().to_string(),
        "certificate: it has expired, or is not valid yet"
    );
    let answer = ask_by(&asked, &connection, NOW).unwrap();
    assert_eq!(answer.credential.issued, Some(Timestamp::from_seconds(first)));
    assert_eq!(answer.credential.expires, Some(Timestamp::from_seconds(last + 1)));
}

#[test]
fn an_open_connection_is_no_longer_known_when_its_authority_is_gone() {
    let connection = connection(&[&workload(WRITER)]);
    let asked = known();
    let first = ask_by(&asked, &connection, NOW).unwrap();
    let again = ask_by(&asked, &connection, NOW + 59).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first.principal, &again.principal), "it is not verified anew each time");
    let rotated =
        SpiffeSettings { bundle: trust_domain("a", &authority("new")).bundle, ..settings().spiffe[0].clone() };
    let after = Authenticator::after(AuthenticatorSettings { spiffe: vec![rotated], ..Default::default() }, &asked);
    let error = ask_by(&after.unwrap(), &connection, NOW).unwrap_err();
    assert_eq!(error, AuthenticationError::Certificate(InvalidSvid::Unverified));
}

#[test]
fn an_id_of_no_path_is_nobody() {
    for id in [
        "spiffe://harbor.example",
        "spiffe://harbor.example/agents",
        "spiffe://harbor.example/agents/writer/2",
        "spiffe://harbor.example/Agents/writer",
        "spiffe://harbor.example/ns/books/sb/close",
    ] {
        assert_eq!(refusal_of(&[&workload(id)]), Some(InvalidSvid::NoSubject(Shown::new(id))), "{id}");
    }
}

#[test]
fn paths_and_subjects_are_one_to_one() {
    let rule = SpiffeSubject::parse("/pod/*/{*rest}", "agent:{rest}").unwrap();
    let subject = |id: &str| rule.subject_of(&id.parse().unwrap()).map(|entity| entity.to_string());
    assert_eq!(subject("spiffe://a/pod/7/x/y"), Some("agent:x/y".to_owned()));
    assert_eq!(subject("spiffe://a/pod/7"), None);
    let joined = SpiffeSubject::parse("/{a}/{b}", "agent:{a}-{b}").unwrap();
    let subject = |id: &str| joined.subject_of(&id.parse().unwrap()).map(|entity| entity.to_string());
    assert_eq!(subject("spiffe://a/x/y-z"), Some("agent:x-y-z".to_owned()));
    assert_eq!(subject("spiffe://a/x-y/z"), None, "two IDs are never one subject");

    let refused = |path: &str, subject: &str| SpiffeSubject::parse(path, subject).unwrap_err();
    for path in ["", "agents/{name}", "/", "/agents/", "/a b/{name}", "/{}", "/{na-me}", "/x{name}", "/{*a}/{b}", "/.."]
    {
        assert_eq!(refused(path, "agent:{name}"), InvalidSpiffeSubject::Path(path.to_owned()), "{path}");
    }
    assert_eq!(refused("/{a}/{a}", "agent:{a}"), InvalidSpiffeSubject::RepeatedCapture("a".to_owned()));
    assert_eq!(refused("/{a}/{b}", "agent:{b}"), InvalidSpiffeSubject::UnusedCapture("a".to_owned()));
    assert!(matches!(refused("/{a}", "agent:{b}"), InvalidSpiffeSubject::Template(_)));
    assert!(matches!(refused("/{a}", "{a}"), InvalidSpiffeSubject::NoType(_)));
    assert!(matches!(refused("/{a}", "Agent::{a}"), InvalidSpiffeSubject::NoEntity { .. }));
    assert!(SpiffeSubject::parse("/gateway", "service:gateway").is_ok(), "one workload alone");
}

#[test]
fn settings_name_each_trust_domain_once_with_authorities_and_subjects() {
    let one = trust_domain("harbor.example", &HARBOR);
    let made = |spiffe: Vec<SpiffeSettings>| {
        Authenticator::new(AuthenticatorSettings { spiffe, ..Default::default() }).map(drop).unwrap_err()
    };
    let twice = made(vec![one.clone(), trust_domain("harbor.example", &DEPOT)]);
    assert_eq!(twice, InvalidSettings::RepeatedTrustDomain { index: 1, name: one.trust_domain.clone() });
    for (own, other) in [
        ("agent:{name}", "agent:{name}"),
        ("agent:{name}", "agent:depot/{name}"),
        ("agent:a/{name}", "agent:{name}"),
        ("agent:{name}", "agent:writer"),
        ("agent:writer", "agent:w{name}"),
        ("agent:writer", "agent:writer"),
    ] {
        let path = |subject: &str| if subject.contains('{') { "/{name}" } else { "/writer" };
        let harbor = trust_domain_of("harbor.example", &HARBOR, &[("/x", "service:x"), (path(own), own)]);
        let depot = trust_domain_of("depot.example", &DEPOT, &[(path(other), other)]);
        let names = (depot.trust_domain.clone(), harbor.trust_domain.clone());
        let meeting = InvalidSettings::SharedSubjects { index: 1, name: names.0, first: names.1 };
        assert_eq!(made(vec![harbor, depot]), meeting, "{own} {other}");
    }
    for (own, other) in [
        ("agent:{name}", "courier:{name}"),
        ("agent:harbor/{name}", "agent:depot/{name}"),
        ("agent:writer", "agent:writer2"),
        ("agent:writer", "agent:x{name}"),
    ] {
        let path = |subject: &str| if subject.contains('{') { "/{name}" } else { "/writer" };
        let harbor = trust_domain_of("harbor.example", &HARBOR, &[(path(own), own)]);
        let depot = trust_domain_of("depot.example", &DEPOT, &[(path(other), other)]);
        let spiffe = vec![harbor, depot];
        assert!(Authenticator::new(AuthenticatorSettings { spiffe, ..Default::default() }).is_ok(), "{own} {other}");
    }
    let nobody = made(vec![SpiffeSettings { subjects: Vec::new(), ..one }]);
    assert_eq!(nobody, InvalidSettings::NoSpiffeSubject { index: 0 });
    let leaf = params(WRITER, |_| ()).signed_by(&KeyPair::generate().unwrap(), &HARBOR).unwrap().pem();
    let pem = HARBOR.pem();
    assert_eq!(TrustBundle::parse(&format!("{pem}{leaf}")), Err(InvalidBundle::NoAuthority(2)));
    for bad in ["", "no PEM", &pem.replace("MII", "AAA"), &pem[..pem.len() / 2]] {
        assert_eq!(TrustBundle::parse(bad), Err(InvalidBundle::NoCertificate), "{bad}");
    }
}

#[test]
fn bytes_that_are_no_certificate_stand_for_nobody() {
    let good = workload(WRITER);
    let refused = |bytes: &[u8]| ask_with(&known(), &[bytes]).is_err();
    assert!(!refused(&good));
    assert!(refused(b"") && refused(b"\x30\x80") && refused(&[0x30; 70_000]) && refused(&[&good[..], b"x"].concat()));
    for index in 0..good.len() {
        let mut changed = good.clone();
        changed[index] ^= 1;
        assert!(refused(&changed), "byte {index}");
        assert!(refused(&good[..index]), "{index} bytes");
    }
}

/// Settings with an issuer too, whose tokens' clients are actors.
fn with_issuer() -> Authenticator {
    let mut issuer = issuer(&[ES256.jwk("k1")]);
    issuer.chain.client = Some("agent:{client_id}".parse().unwrap());
    Authenticator::new(AuthenticatorSettings { issuers: vec![issuer], ..settings() }).unwrap()
}

#[test]
fn a_token_and_the_certificate_are_of_one_sender() {
    let asked = with_issuer();
    let (writer, reader) = (workload(WRITER), workload("spiffe://harbor.example/agents/reader"));
    let conflict = |sender: &str| AuthenticationError::OtherPeer {
        peer: "agent:reader".parse().unwrap(),
        sender: sender.parse().unwrap(),
    };
    for (what, change, sender, is_writer) in [
        ("by act", json!({"act": {"sub": "writer"}}), "agent:writer", true),
        ("by act, the outermost", json!({"act": {"sub": "writer", "act": {"sub": "reader"}}}), "agent:writer", true),
        ("by its client", json!({"client_id": "writer"}), "agent:writer", true),
        ("a prior actor", json!({"act": {"sub": "planner", "act": {"sub": "writer"}}}), "agent:planner", false),
        ("of another agent", json!({"act": {"sub": "planner"}}), "agent:planner", false),
    ] {
        let token = token(&header(), &with(claims(), change));
        let answer = ask_on(&connection(&[&writer]), &asked, &token, NOW);
        assert_eq!(answer.is_ok(), is_writer, "{what}");
        let error = ask_on(&connection(&[&reader]), &asked, &token, NOW).unwrap_err();
        assert_eq!((&error, error.reason()), (&conflict(sender), Reason::InvalidCredential), "{what}");
        // Where nothing is known of the connection, the token speaks for itself.
        assert!(ask_on(&SeenCredential::default(), &asked, &token, NOW).is_ok(), "{what}");
    }
}

#[test]
fn a_users_own_token_is_not_an_agents() {
    let mut own = issuer(&[ES256.jwk("k1")]);
    own.chain = chain();
    let asked = Authenticator::new(AuthenticatorSettings { issuers: vec![own], ..settings() }).unwrap();
    let plain = token(&header(), &claims());
    assert!(ask_on(&SeenCredential::default(), &asked, &plain, NOW).is_ok());
    let error = ask_on(&connection(&[&workload(WRITER)]), &asked, &plain, NOW).unwrap_err();
    assert!(matches!(error, AuthenticationError::OtherPeer { .. }), "{error}");
}

#[test]
fn a_token_that_was_seen_on_the_connection_agrees_with_it_each_time() {
    let asked = with_issuer();
    let token = token(&header(), &with(claims(), json!({"act": {"sub": "writer"}})));
    let dated = params(WRITER, |it| it.not_after = rcgen::date_time_ymd(2030, 3, 18));
    let last = rcgen::date_time_ymd(2030, 3, 18).unix_timestamp();
    let connection = connection(&[&signed(&dated, &HARBOR)]);
    let long = with(claims(), json!({"act": {"sub": "writer"}, "exp": NOW + 100_000}));
    let long = super::worlds::token(&header(), &long);
    assert!(ask_on(&connection, &asked, &token, NOW).is_ok());
    assert!(ask_on(&connection, &asked, &long, last).is_ok());
    let error = ask_on(&connection, &asked, &long, last + 1).unwrap_err();
    assert_eq!(error, AuthenticationError::Certificate(InvalidSvid::NotNow));
}

#[test]
fn a_bad_certificate_is_refused_whatever_else_comes() {
    let asked = with_issuer();
    let token = token(&header(), &with(claims(), json!({"act": {"sub": "writer"}})));
    let bad = signed(&params(WRITER, |_| ()), &DEPOT);
    let error = ask_on(&connection(&[&bad]), &asked, &token, NOW).unwrap_err();
    assert_eq!(error, AuthenticationError::Certificate(InvalidSvid::Unverified));
    // And a good one does not make up for a bad token.
    let refused = ask_on(&connection(&[&workload(WRITER)]), &asked, "e30.e30.e30", NOW).unwrap_err();
    assert!(matches!(refused, AuthenticationError::Token(_)), "{refused}");
    let scheme = asked.authenticate(
        &head(&[("authorization", b"Basic eA==")]),
        &connection(&[&workload(WRITER)]),
        Timestamp::from_seconds(NOW),
    );
    assert_eq!(scheme.unwrap_err(), AuthenticationError::Scheme);
}

#[test]
fn an_api_key_and_the_certificate_are_of_one_sender() {
    let key = NewApiKey::generate([7; 24]);
    let stored = |actors: &[&str]| ApiKey {
        id: key.id.as_str().into(),
        hash: key.hash,
        subject: "user:mara".parse().unwrap(),
        actors: actors.iter().map(|actor| actor.parse().unwrap()).collect(),
        task: None,
        scopes: Vec::new(),
        owner: None,
        expires: None,
    };
    let present = |actors: &[&str]| {
        let api_keys = Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys: vec![stored(actors)] });
        let asked = Authenticator::new(AuthenticatorSettings { api_keys, ..settings() }).unwrap();
        let fields = head(&[("x-api-key", key.text.as_bytes())]);
        asked.authenticate(&fields, &connection(&[&workload(WRITER)]), Timestamp::from_seconds(NOW))
    };
    assert_eq!(members(&present(&["agent:writer"]).unwrap()), "user:mara agent:writer");
    for actors in [&["agent:reader"][..], &["agent:reader", "agent:writer"], &[]] {
        assert!(matches!(present(actors), Err(AuthenticationError::OtherPeer { .. })), "{actors:?}");
    }
}

#[test]
fn a_workload_alone_is_within_no_task() {
    let asked = Authenticator::new(AuthenticatorSettings {
        task_header: Some(http::HeaderName::from_static("x-task-id")),
        ..settings()
    });
    let connection = connection(&[&workload(WRITER)]);
    let named = asked.unwrap().authenticate(&head(&[("x-task-id", b"t-1")]), &connection, Timestamp::from_seconds(NOW));
    assert_eq!(named.unwrap_err(), AuthenticationError::UnboundTask);
}

/// The usual authenticator without trust domains, with proofs or not.
fn binding(proofs: Option<ProofSettings>) -> Authenticator {
    let issuers = vec![issuer(&[ES256.jwk("k1")])];
    Authenticator::new(AuthenticatorSettings { issuers, proofs, ..Default::default() }).unwrap()
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_good_on_its_connections_alone() {
    // Any certificate binds: it needs no name.
    let dated = params(WRITER, |it| {
        it.subject_alt_names.clear();
        it.not_after = rcgen::date_time_ymd(2030, 3, 18);
    });
    let last = rcgen::date_time_ymd(2030, 3, 18).unix_timestamp();
    let (own, other) = (signed(&dated, &HARBOR), signed(&dated, &HARBOR));
    let with_binding =
        |confirmation| token(&header(), &with(claims(), json!({"cnf": confirmation, "exp": NOW + 100_000})));
    let bound = with_binding(json!({"x5t#S256": text(&sha256(&own))}));
    let asked = binding(None);
    let refusal = |chain: &[&[u8]], token: &str, now: i64| match ask_on(&connection(chain), &asked, token, now) {
        Ok(_) => None,
        Err(AuthenticationError::Token(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(refusal(&[&own], &bound, NOW), None);
    // After a good connection the token is remembered, and asked for its certificate all the same.
    assert_eq!(refusal(&[], &bound, NOW), Some(InvalidToken::NoCertificate));
    assert_eq!(refusal(&[&other], &bound, NOW), Some(InvalidToken::OtherCertificate));
    assert_eq!(refusal(&[&other, &own], &bound, NOW), Some(InvalidToken::OtherCertificate), "its own one is the first");
    assert_eq!(refusal(&[&own, &other], &bound, NOW), None);
    assert_eq!(refusal(&[&own], &bound, last), None);
    assert_eq!(refusal(&[&own], &bound, last + 1), Some(InvalidToken::ExpiredCertificate));
    let plain = token(&header(), &claims());
    assert_eq!(refusal(&[&own], &plain, NOW), None, "a certificate does not bind a token that is bound to nothing");

    let digest = text(&sha256(&own));
    for (what, confirmation) in [
        ("a name in lower case", json!({"x5t#s256": digest})),
        ("the older digest", json!({"x5t": digest})),
        ("a key too", json!({"x5t#S256": digest, "jkt": digest})),
        ("something unknown too", json!({"x5t#S256": digest, "kid": "k"})),
        ("31 bytes", json!({"x5t#S256": text(&sha256(&own)[..31])})),
        ("hexadecimal", json!({"x5t#S256": "ab".repeat(32)})),
        ("padded", json!({"x5t#S256": format!("{digest}=")})),
        ("several", json!({"x5t#S256": [digest]})),
        ("none", json!({})),
        ("a text", json!(digest)),
    ] {
        assert_eq!(refusal(&[&own], &with_binding(confirmation), NOW), Some(InvalidToken::Bound), "{what}");
    }
}

#[test]
fn no_field_stands_in_for_a_certificate() {
    let own = workload(WRITER);
    let bound = token(&header(), &with(claims(), json!({"cnf": {"x5t#S256": text(&sha256(&own))}})));
    let bearer = format!("Bearer {bound}");
    let digest: String = sha256(&own).iter().map(|byte| format!("{byte:02x}")).collect();
    let forwarded = format!("Hash={digest};URI={WRITER}");
    let pem = text(&own);
    for (name, value) in [
        ("x-forwarded-client-cert", forwarded.as_bytes()),
        ("client-cert", pem.as_bytes()),
        ("x-client-cert", pem.as_bytes()),
        ("ssl-client-cert", pem.as_bytes()),
        ("x-spiffe-id", WRITER.as_bytes()),
    ] {
        let fields = head(&[("authorization", bearer.as_bytes()), (name, value)]);
        let now = Timestamp::from_seconds(NOW);
        let refused = binding(None).authenticate(&fields, &SeenCredential::default(), now).unwrap_err();
        assert_eq!(refused, AuthenticationError::Token(InvalidToken::NoCertificate), "{name}");
        let alone = known().authenticate(&head(&[(name, value)]), &SeenCredential::default(), now).unwrap_err();
        assert_eq!(alone, AuthenticationError::Missing, "{name}");
        assert!(crate::access::is_reserved(&name.parse().unwrap()), "{name} does not reach upstreams");
    }
}

#[test]
fn a_binding_by_certificate_is_no_proof_of_a_key() {
    let own = workload(WRITER);
    let bound = token(&header(), &with(claims(), json!({"cnf": {"x5t#S256": text(&sha256(&own))}})));
    let ask = |need: ProofNeed, scheme: &str| {
        let asked = binding(Some(ProofSettings { window: ProofSettings::DEFAULT_WINDOW, origin: None, need }));
        let field = format!("{scheme} {bound}");
        let fields = head(&[("authorization", field.as_bytes())]);
        asked.authenticate(&fields, &connection(&[&own]), Timestamp::from_seconds(NOW)).map(drop)
    };
    let unbound = Err(AuthenticationError::Token(InvalidToken::Unbound));
    assert_eq!(ask(ProofNeed::WhereBound, "Bearer"), Ok(()));
    assert_eq!(ask(ProofNeed::WhereBound, "DPoP"), unbound);
    assert_eq!(ask(ProofNeed::Always, "Bearer"), unbound);
}
