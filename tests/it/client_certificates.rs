//! Clients that are known by their certificates, over real connections.

use std::net::SocketAddr;

use rustls::HandshakeKind;
use serde_json::json;

use crate::support::{Answer, Authority, Client, World, answer_of, eventually, request, token};

const READER: &str = "spiffe://acme.example/agents/reader";

const SPIFFE: &str = r#"spiffe:
    - trust_domain: acme.example
      bundle: { file: acme.pem }
      subjects:
        - { path: "/agents/{name}", subject: "agent:{name}" }
    - trust_domain: partner.example
      bundle: { file: partner.pem }
      subjects:
        - { path: "/agents/{name}", subject: "partner:{name}" }"#;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A world whose listener asks for certificates, its authorities, and the server's own certificate.
struct Workloads {
    world: World,
    acme: Authority,
    partner: Authority,
    server: Vec<u8>,
}

impl Workloads {
    fn new(client: &str) -> Self {
        let tls = format!("tls: {{ certificate: tls.crt, key: tls.key, {client} }}");
        let world = World {
            listen: format!("- {{ address: 127.0.0.1:0, {tls} }}"),
            identity_more: SPIFFE.to_owned(),
            more: format!("decision: {{ address: 127.0.0.1:0, {tls}, callers: [\"agent:*\"] }}"),
            ..World::new()
        };
        let made = rcgen::generate_simple_self_signed(vec!["api.acme.example".to_owned()]).unwrap();
        world.write("tls.crt", made.cert.pem());
        world.write("tls.key", made.signing_key.serialize_pem());
        let (acme, partner) = (Authority::new("acme"), Authority::new("partner"));
        world.write("acme.pem", acme.pem());
        world.write("partner.pem", partner.pem());
        world.write("clients.pem", format!("{}{}", acme.pem(), partner.pem()));
        Self { world, acme, partner, server: made.cert.der().to_vec() }
    }

    fn client(&self, uri: &str) -> Client {
        self.acme.client(uri, &self.server)
    }
}

fn get(client: &Client, address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Option<Answer> {
    block_on(client.get(address, path, fields))
}

fn told(answer: Option<Answer>) -> (u16, String) {
    let answer = answer.expect("an answer");
    (answer.status, answer.reason())
}

const REQUIRED: &str = "client: { ca_file: clients.pem }";
const OPTIONAL: &str = "client: { ca_file: clients.pem, required: false }";

#[test]
fn a_workload_is_decided_by_its_certificate_alone() {
    let it = Workloads::new(REQUIRED);
    let portcullis = it.world.start();
    let reader = it.client(READER);
    let answer = get(&reader, portcullis.data, "/documents/d1", &[("x-forwarded-client-cert", "Hash=00")]).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let principal = &it.world.record_of(&answer)["principal"];
    let expected = json!({ "subject": "agent:reader", "actors": [], "credential": format!("spiffe {READER}") });
    assert_eq!(*principal, expected);
    let seen = it.world.upstream.last().to_lowercase();
    assert!(seen.contains("portcullis-subject: agent:reader\r\n") && !seen.contains("client-cert"), "{seen}");
    assert_eq!(told(get(&reader, portcullis.data, "/documents/d2", &[])), (403, "not_permitted".to_owned()));

    let refused = (401, "invalid_credential".to_owned());
    let data = portcullis.data;
    for (what, client, says) in [
        ("of no path", it.client("spiffe://acme.example/robots/reader"), "no subject is configured"),
        ("of no trust domain", it.client("spiffe://other.example/agents/reader"), "is not configured"),
        ("of another's trust domain", it.partner.client(READER, &it.server), "no authority of its trust domain"),
        ("no SPIFFE ID", it.client("https://acme.example/agents/reader"), "is no SPIFFE ID"),
    ] {
        let answer = get(&client, data, "/documents/d1", &[]).unwrap();
        assert_eq!((answer.status, answer.reason()), refused, "{what}");
        assert!(!answer.body.contains("acme.example"), "{}", answer.body);
        let detail = it.world.record_of(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{what}: {detail}");
    }
    // Nobody comes in without a certificate, or with one of a stranger.
    assert!(get(&Client::anonymous(&it.server), data, "/documents/d1", &[]).is_none());
    let stranger = Authority::new("acme").client(READER, &it.server);
    assert!(get(&stranger, data, "/documents/d1", &[]).is_none());
    assert_eq!(it.world.upstream.seen().len(), 1);
}

#[test]
fn a_workload_asks_for_decisions_by_its_certificate() {
    let it = Workloads::new(REQUIRED);
    let portcullis = it.world.start();
    let decision = portcullis.decision.unwrap();
    assert_eq!(get(&it.client(READER), decision, "/stores", &[]).unwrap().status, 200);
    let other = it.partner.client(READER, &it.server);
    assert_eq!(get(&other, decision, "/stores", &[]).unwrap().status, 401);
}

#[test]
fn a_certificate_that_is_shown_is_good_where_none_is_required() {
    let it = Workloads::new(OPTIONAL);
    let portcullis = it.world.start();
    let (data, anonymous) = (portcullis.data, Client::anonymous(&it.server));
    assert_eq!(told(get(&anonymous, data, "/documents/d1", &[])), (401, "missing_credential".to_owned()));
    let bearer = format!("Bearer {}", it.world.issuer.token("erin", &["reader"]));
    assert_eq!(get(&anonymous, data, "/documents/d1", &[("authorization", &bearer)]).unwrap().status, 200);
    let stranger = Authority::new("acme").client(READER, &it.server);
    assert!(get(&stranger, data, "/documents/d1", &[("authorization", &bearer)]).is_none());
    let misled = it.partner.client(READER, &it.server);
    let answer = get(&misled, data, "/documents/d1", &[("authorization", &bearer)]);
    assert_eq!(told(answer), (401, "invalid_credential".to_owned()), "a good token does not make up for it");
}

#[test]
fn a_token_and_the_certificate_are_of_one_agent() {
    let it = Workloads::new(REQUIRED);
    let portcullis = it.world.start();
    block_on(async {
        let (mut connection, _) = it.client(READER).connect(portcullis.data).await.unwrap();
        for (what, token, status) in [
            ("its own", it.world.issuer.token("erin", &["reader"]), 200),
            ("another agent's", it.world.issuer.token("erin", &["planner"]), 401),
            ("its own once more", it.world.issuer.token("erin", &["reader"]), 200),
            ("one that it was before another", it.world.issuer.token("erin", &["planner", "reader"]), 401),
            ("a user's own", it.world.issuer.token("erin", &[]), 401),
        ] {
            let bearer = format!("Bearer {token}");
            let answer = connection.get("/documents/d1", &[("authorization", &bearer)]).await.unwrap();
            assert_eq!(answer.status, status, "{what}: {}", answer.body);
            if status == 401 {
                assert_eq!(answer.reason(), "invalid_credential", "{what}");
                let detail = it.world.record_of(&answer)["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains("the connection is `agent:reader`'s"), "{what}: {detail}");
            }
        }
    });
    assert_eq!(it.world.upstream.seen().len(), 2);
}

#[test]
fn a_route_may_ask_for_a_token_and_a_certificate() {
    let mut it = Workloads::new(OPTIONAL);
    it.world.routes = ["all_of: [jwt, spiffe]", "one_of: [spiffe]", "one_of: [jwt]"]
        .iter()
        .zip(["both", "certificate", "token"])
        .map(|(rule, name)| {
            format!(
                "
  - path: /{name}/{{document}}
    upstream: main
    authentication: {{ {rule} }}
    operations:
      GET: {{ action: can_read, resource: \"document:{{path.document}}\" }}"
            )
        })
        .collect();
    let portcullis = it.world.start();
    let (reader, anonymous) = (it.client(READER), Client::anonymous(&it.server));
    let bearer = format!("Bearer {}", it.world.issuer.token("erin", &["reader"]));
    let (missing, refused) = (Some("missing_credential"), Some("invalid_credential"));
    for (path, client, has_token, expected) in [
        ("/both/d1", &reader, true, None),
        ("/both/d1", &reader, false, missing),
        ("/both/d1", &anonymous, true, missing),
        ("/both/d1", &anonymous, false, missing),
        ("/certificate/d1", &reader, false, None),
        ("/certificate/d1", &reader, true, refused),
        ("/certificate/d1", &anonymous, true, refused),
        ("/certificate/d1", &anonymous, false, missing),
        ("/token/d1", &reader, true, None),
        ("/token/d1", &anonymous, true, None),
        ("/token/d1", &reader, false, missing),
    ] {
        let fields: &[(&str, &str)] = if has_token { &[("authorization", &bearer)] } else { &[] };
        let answer = get(client, portcullis.data, path, fields).unwrap();
        let status = if expected.is_some() { 401 } else { 200 };
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (status, expected.unwrap_or_default()),
            "{path} {has_token}"
        );
    }
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_good_with_it_alone() {
    let mut it = Workloads::new(OPTIONAL);
    // Without trust domains certificates stand for nobody, and bind all the same.
    it.world.identity_more = "protected_resource: { resource: https://api.acme.example }".to_owned();
    let portcullis = it.world.start();
    let metadata = get(&Client::anonymous(&it.server), portcullis.data, "/.well-known/oauth-protected-resource", &[]);
    assert_eq!(metadata.unwrap().json()["tls_client_certificate_bound_access_tokens"], true);
    let (own, other) = (it.client(READER), it.client(READER));
    let bound = token(&it.world.issuer, "erin", |claims| claims["cnf"] = json!({ "x5t#S256": own.digest() }));
    let bearer = format!("Bearer {bound}");
    let fields: &[(&str, &str)] = &[("authorization", &bearer)];
    let (data, refused) = (portcullis.data, (401, "invalid_credential".to_owned()));
    assert_eq!(get(&own, data, "/documents/d1", fields).unwrap().status, 200);
    assert_eq!(told(get(&other, data, "/documents/d1", fields)), refused);
    assert_eq!(told(get(&Client::anonymous(&it.server), data, "/documents/d1", fields)), refused);
    let claimed = format!("Hash={}", own.digest());
    for name in ["x-forwarded-client-cert", "client-cert", "x-client-cert", "x-ssl-client-cert"] {
        let fields = [("authorization", &*bearer), (name, &*claimed)];
        assert_eq!(told(get(&other, data, "/documents/d1", &fields)), refused, "{name}");
    }
    assert_eq!(told(get(&own, data, "/documents/d1", &[])), (401, "missing_credential".to_owned()));
    assert_eq!(it.world.upstream.seen().len(), 1);
}

#[test]
fn a_bound_token_is_refused_where_there_are_no_certificates() {
    let world = World::new();
    let portcullis = world.start();
    let digest = Authority::new("acme").client(READER, Authority::new("x").der()).digest();
    let bound = token(&world.issuer, "erin", |claims| claims["cnf"] = json!({ "x5t#S256": digest }));
    let claimed = format!("x-forwarded-client-cert: Hash={digest};URI={READER}\r\nclient-cert: :{digest}:\r\n");
    let answer = answer_of(portcullis.data, request("GET", "/documents/d1", &bound, &claimed, "")).unwrap();
    assert_eq!(told(Some(answer)), (401, "invalid_credential".to_owned()));
    // Such fields are nobody's word: they reach no upstream.
    let plain = world.issuer.token("erin", &[]);
    let answer = answer_of(portcullis.data, request("GET", "/documents/d1", &plain, &claimed, "")).unwrap();
    assert_eq!(answer.status, 200);
    assert!(!world.upstream.last().to_lowercase().contains("client-cert"));
}

#[test]
fn authorities_reload_and_no_session_outlives_them() {
    let it = Workloads::new(REQUIRED);
    let portcullis = it.world.start();
    let data = portcullis.data;
    let reader = it.client(READER);
    let revision = block_on(async {
        let (mut open, kind) = reader.connect(data).await.unwrap();
        assert_eq!(kind, HandshakeKind::Full);
        assert_eq!(open.get("/documents/d1", &[]).await.unwrap().status, 200);
        // The same client has sessions to resume, and is verified anew.
        let (mut again, kind) = reader.connect(data).await.unwrap();
        assert_eq!(kind, HandshakeKind::Full);
        assert_eq!(again.get("/documents/d1", &[]).await.unwrap().status, 200);

        let next = Authority::new("acme");
        it.world.replace("clients.pem", format!("{}{}{}", it.acme.pem(), next.pem(), it.partner.pem()));
        let revision = portcullis.until_revision_above(1);
        let answer = open.get("/documents/d1", &[]).await;
        assert_eq!(answer.unwrap().status, 200, "who is admitted as before is not disturbed");
        it.world.replace("acme.pem", next.pem());
        let revision = portcullis.until_revision_above(revision);
        let answer = open.get("/documents/d1", &[]).await.unwrap();
        assert_eq!(answer.reason(), "invalid_credential", "an open connection is not known any more");
        it.world.replace("clients.pem", next.pem());
        let revision = portcullis.until_revision_above(revision);
        open.ended().await;
        assert!(reader.get(data, "/documents/d1", &[]).await.is_none(), "its authority is gone");
        let new = next.client(READER, &it.server);
        assert_eq!(new.get(data, "/documents/d1", &[]).await.unwrap().status, 200);
        revision
    });
    // What is no bundle is refused, and the authorities before stay.
    it.world.replace("clients.pem", "nothing");
    portcullis.until_logged("clients.pem` holds no PEM certificate");
    assert_eq!(portcullis.revision(), revision);
    assert!(get(&reader, data, "/documents/d1", &[]).is_none());
}

#[test]
fn connections_that_would_not_be_admitted_any_more_end() {
    let it = Workloads::new(OPTIONAL);
    let portcullis = it.world.start();
    let (reader, anonymous) = (it.client(READER), Client::anonymous(&it.server));
    let bearer = format!("Bearer {}", it.world.issuer.token("erin", &["reader"]));
    block_on(async {
        let (mut open, _) = anonymous.connect(portcullis.data).await.unwrap();
        assert_eq!(open.get("/documents/d1", &[("authorization", &bearer)]).await.unwrap().status, 200);
        it.world.replace("portcullis.yaml", it.world.config().replace(OPTIONAL, REQUIRED));
        portcullis.until_revision_above(1);
        open.ended().await;
        assert!(anonymous.get(portcullis.data, "/documents/d1", &[("authorization", &bearer)]).await.is_none());
        assert_eq!(reader.get(portcullis.data, "/documents/d1", &[]).await.unwrap().status, 200);
    });
}

#[test]
fn a_listener_without_clients_certificates_resumes_sessions() {
    let tls = "tls: { certificate: tls.crt, key: tls.key }";
    let mut it = Workloads::new(REQUIRED);
    it.world.listen = format!("- {{ address: 127.0.0.1:0, {tls} }}");
    it.world.identity_more = String::new();
    it.world.more = String::new();
    let portcullis = it.world.start();
    let client = Client::anonymous(&it.server);
    let bearer = format!("Bearer {}", it.world.issuer.token("erin", &[]));
    let resumed = eventually("a session is resumed", || {
        block_on(async {
            let (mut connection, kind) = client.connect(portcullis.data).await?;
            connection.get("/documents/d1", &[("authorization", &bearer)]).await?;
            (kind == HandshakeKind::Resumed).then_some(kind)
        })
    });
    assert_eq!(resumed, HandshakeKind::Resumed);
}

#[test]
fn what_is_wrong_with_clients_and_trust_domains_has_its_place() {
    let it = Workloads::new(REQUIRED);
    let refused = |change: &dyn Fn(&str) -> String, says: &str| {
        it.world.write("portcullis.yaml", change(&it.world.config()));
        let output = it.world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(says) && said.contains("portcullis.yaml:"), "{says}: {said}");
    };
    let replace = |from: &'static str, to: &'static str| move |config: &str| config.replacen(from, to, 9);
    refused(&replace("ca_file: clients.pem", "ca_file: none.pem"), "`none.pem` cannot be read");
    refused(&replace("ca_file: clients.pem", "ca_file: tls.key"), "tls.key` holds no PEM certificate");
    refused(&replace("client: { ca_file: clients.pem }", "client: {}"), "ca_file");
    refused(&replace(", client: { ca_file: clients.pem }", ""), "no listener asks clients for certificates");
    refused(
        &replace("bundle: { file: acme.pem }", "bundle: { file: tls.crt }"),
        "certificate 1 is not one of an authority",
    );
    refused(&replace("bundle: { file: acme.pem }", "bundle: { file: tuples.yaml }"), "holds no PEM certificates");
    refused(&replace("bundle: { file: acme.pem }", "bundle: {}"), "file");
    refused(&replace("partner:{name}", "agent:{name}"), "could be the same subject as one of `acme.example`");
    refused(&replace("trust_domain: partner", "trust_domain: acme"), "`acme.example` is configured twice");
    refused(&replace("trust_domain: acme.example", "trust_domain: Acme.example"), "a trust domain is");
    refused(&replace("/agents/{name}", "/agents/{nam}"), "`{name}` is not captured by the path");
    refused(&replace("\"agent:{name}\"", "\"agent:all\""), "`{name}` is not in the subject");
}
