//! What upstreams are told of a decision, and transaction tokens as credentials.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};

use crate::support::{Portcullis, Upstream, World, eventually};

const GATEWAY: &str = "https://gateway.acme.example";

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /plain/{document}
    upstream: plain
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /passed/{document}
    upstream: plain
    credential: forward
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem()
}

fn tokens(more: &str) -> String {
    format!(
        "transaction_tokens:
  issuer: {GATEWAY}
  audience: acme.example
  keys: [txn.pem]
  publish: /.well-known/txn-keys.json
{more}"
    )
}

/// A gateway whose first upstream gets tokens, and whose second one does not.
fn gateway(key: &str) -> (World, Upstream) {
    let (mut world, plain) = (World::with_routes(ROUTES), Upstream::start());
    world.write("txn.pem", key);
    world.more = tokens("");
    let main = format!("main: {{ url: \"http://{}\" }}", world.upstream.address);
    let both = format!(
        "main: {{ url: \"http://{}\", transaction_token: true }}\n  plain: {{ url: \"http://{}\" }}",
        world.upstream.address, plain.address
    );
    world.write("portcullis.yaml", world.config().replace(&main, &both));
    (world, plain)
}

fn keys(portcullis: &Portcullis) -> JwkSet {
    let answer = portcullis.get("/.well-known/txn-keys.json", "");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.body).unwrap()
}

/// The value of a field in a request, which must be there once at most.
fn field(request: &str, name: &str) -> Option<String> {
    let prefix = format!("{name}: ");
    let mut values = request.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned);
    let value = values.next();
    assert_eq!(values.next(), None, "{name} came once");
    value
}

fn verified(token: &str, keys: &JwkSet) -> Value {
    let header = decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("txntoken+jwt"));
    let key = keys.find(&header.kid.unwrap()).expect("the key is published");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&["acme.example"]);
    validation.set_issuer(&[GATEWAY]);
    decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

#[test]
fn an_upstream_gets_a_token_of_the_decision() {
    let (world, plain) = gateway(&pem(&rcgen::PKCS_ECDSA_P256_SHA256));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &["reader", "planner"]);
    let forged = "txn-token: forged\r\nTxn-Token: forged-too\r\nportcullis-subject: user:root\r\n";
    let answer = portcullis.request("GET", "/documents/d1", &token, forged, "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = world.upstream.last();
    assert!(!seen.contains("forged") && !seen.contains("user:root") && !seen.contains(&token), "{seen}");
    let claims = verified(&field(&seen, "txn-token").unwrap(), &keys(&portcullis));
    let issued = claims["iat"].as_i64().unwrap();
    let expected = json!({
        "iss": GATEWAY, "aud": "acme.example", "iat": issued, "exp": issued + 30,
        "txn": answer.header("portcullis-decision-id").unwrap(),
        "sub": "user:erin", "user_id": "erin", "scope": "can_read", "req_wl": GATEWAY,
        "act": {
            "sub": "agent:reader", "agent_id": "reader", "act": { "sub": "agent:planner", "agent_id": "planner" },
        },
        "tctx": {
            "accesses": [{ "action": "can_read", "resource": "document:d1" }], "revision": 1, "task": null,
        },
        "rctx": { "req_ip": "127.0.0.1" },
    });
    assert_eq!(claims, expected);
    // Another upstream gets none, and not what a client wrote there either.
    assert_eq!(portcullis.request("GET", "/plain/d1", &token, forged, "").status, 200);
    assert!(!plain.last().contains("txn-token") && !plain.last().contains("authorization"), "{}", plain.last());
    // A credential is passed on where the route says so, and only there.
    assert_eq!(portcullis.get("/passed/d1", &token).status, 200);
    assert_eq!(field(&plain.last(), "authorization"), Some(format!("Bearer {token}")));
    // What is denied goes nowhere, and the keys are read only.
    let sent = world.upstream.seen().len();
    assert_eq!(portcullis.get("/documents/d2", &token).status, 403);
    assert_eq!(portcullis.request("POST", "/.well-known/txn-keys.json", "", "", "").status, 403);
    assert_eq!(world.upstream.seen().len(), sent);
}

#[test]
fn a_key_is_replaced_while_it_runs() {
    let (world, _plain) = gateway(&pem(&rcgen::PKCS_ECDSA_P256_SHA256));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let before = keys(&portcullis);
    world.replace("txn.pem", pem(&rcgen::PKCS_ED25519));
    portcullis.until_revision_above(1);
    let after = keys(&portcullis);
    assert_ne!(before, after);
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status, 200);
    let token = field(&world.upstream.last(), "txn-token").unwrap();
    assert_eq!(decode_header(&token).unwrap().alg, Algorithm::EdDSA);
    assert_eq!(verified(&token, &after)["sub"], "user:erin");
    // A file that is no key is refused, and what was in force stays.
    world.replace("txn.pem", "nonsense");
    portcullis.until_logged("holds no PEM private key");
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).revision(), 2);
}

/// Two proxies, one behind the other: the inner one trusts what the outer one says of each request.
#[test]
fn another_proxy_takes_the_token_as_the_credential() {
    let inner = World::new();
    let (outer, _plain) = gateway(&pem(&rcgen::PKCS_ECDSA_P256_SHA256));
    let config = std::fs::read_to_string(outer.path("portcullis.yaml")).unwrap();
    // The inner one needs the outer one's keys, and the outer one the inner one's address.
    let places = [outer.upstream.address.to_string()];
    let first = Portcullis::start(&outer.path("portcullis.yaml"));
    let jwks = serde_json::to_string(&keys(&first)).unwrap();
    inner.write("jwks.json", jwks);
    let of_inner = inner
        .config()
        .replace("https://idp.acme.example", GATEWAY)
        .replace("https://api.acme.example", "acme.example")
        .replace("\"user:{sub}\"", "\"user:{user_id}\"\n      types: [txntoken+jwt]")
        .replace("\"agent:{sub}\"", "\"agent:{agent_id}\"")
        .replace("\"task:{task}\"", "\"task:{task_id}\"")
        .replace("identity:\n", "identity:\n  transaction_header: txn-token\n");
    inner.write("portcullis.yaml", of_inner);
    let second = Portcullis::start(&inner.path("portcullis.yaml"));
    outer.replace("portcullis.yaml", config.replace(&places[0], &second.data.to_string()));
    first.until_revision_above(1);
    let token = outer.issuer.token("erin", &["reader"]);
    let answer = first.get("/documents/d1", &token);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let record = eventually("both are recorded", || inner.audit().pop());
    assert_eq!(record["principal"]["subject"], "user:erin");
    assert_eq!(record["principal"]["actors"], json!(["agent:reader"]));
    assert!(!inner.upstream.last().contains("txn-token"), "it ends at the inner one");
    // In the place of another credential it is none, and neither is another credential in its place.
    let own = field(&inner.upstream.last(), "authorization");
    assert_eq!(own, None);
    assert_eq!(second.get("/documents/d1", &token).reason(), "invalid_credential");
    let misplaced = second.request("GET", "/documents/d1", "", &format!("txn-token: {token}\r\n"), "");
    assert_eq!(misplaced.reason(), "invalid_credential");
    assert_eq!(second.get("/documents/d1", "").reason(), "missing_credential");
}

#[test]
fn what_makes_no_tokens_is_refused() {
    let (world, _plain) = gateway(&pem(&rcgen::PKCS_ED25519));
    let config = std::fs::read_to_string(world.path("portcullis.yaml")).unwrap();
    world.write("other.pem", pem(&rcgen::PKCS_ECDSA_P384_SHA384));
    for (from, to, problem) in [
        ("[txn.pem]", "[]", "`keys` is empty"),
        ("[txn.pem]", "[none.pem]", "cannot be read"),
        ("[txn.pem]", "[other.pem]", "neither P-256 (ES256) nor Ed25519"),
        ("[txn.pem]", "[txn.pem, txn.pem]", "is there already"),
        ("audience: acme.example", "audience: acme.example\n  valid_for: 10m", "at most 300"),
        ("audience: acme.example", "audience: acme.example\n  header: authorization", "cannot travel in the field"),
        ("audience: acme.example", "audience: \"\"", "a name is not empty"),
        ("/.well-known/txn-keys.json", "/a/../b", "no path in its one spelling"),
    ] {
        world.write("portcullis.yaml", config.replacen(from, to, 1));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && said.contains(problem), "{to}: {said}");
    }
    world.write("portcullis.yaml", config.replace(&tokens(""), ""));
    let output = world.run(&["validate", "--config", "portcullis.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("there are no tokens"), "{said}");
}
