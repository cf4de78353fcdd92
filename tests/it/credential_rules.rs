//! What a credential may not be, over the wire: where it may not come from, and whose keys are never believed.

use serde_json::json;

use crate::support::{Issuer, Portcullis, Upstream, World, answer_of, eventually, request, token};

// A credential comes in its field and nowhere else: addresses are logged and shared.
#[test]
fn no_part_of_an_address_and_no_cookie_is_a_credential() {
    let mut world = World::new();
    let output = world.run(&["key", "new", "--subject", "user:erin"]);
    let (key, entry) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    world.identity_more = format!("api_keys:\n    keys:\n{entry}");
    let portcullis = world.start();
    let (key, token) = (key.trim(), world.issuer.token("erin", &[]));
    let ask = |path: &str, fields: &str| {
        let answer = answer_of(portcullis.data, request("GET", path, "", fields, "")).unwrap();
        (answer.status, answer.reason())
    };
    assert_eq!(ask("/documents/d1", &format!("x-api-key: {key}\r\n")).0, 200);
    let missing = (401, "missing_credential".to_owned());
    for path in [
        format!("/documents/d1?x-api-key={key}"),
        format!("/documents/d1?api_key={key}"),
        format!("/documents/d1?access_token={token}"),
        format!("/documents/d1?authorization=Bearer%20{token}"),
    ] {
        assert_eq!(ask(&path, ""), missing, "{path}");
    }
    for field in [
        format!("cookie: x-api-key={key}; access_token={token}\r\n"),
        format!("proxy-authorization: Bearer {token}\r\n"),
        format!("x-forwarded-authorization: Bearer {token}\r\n"),
        format!("x-api-key-2: {key}\r\n"),
    ] {
        assert_eq!(ask("/documents/d1", &field), missing, "{field}");
    }
    let refused = (401, "invalid_credential".to_owned());
    assert_eq!(ask("/documents/d1", &format!("authorization: Bearer {key}\r\n")), refused);
    assert_eq!(ask("/documents/d1", &format!("x-api-key: {token}\r\n")), refused);
}

fn fetching(world: &World, keys: &Upstream) -> Portcullis {
    let url = format!("{{ url: \"http://{}/jwks\" }}", keys.address);
    world.write("portcullis.yaml", world.config().replace("{ file: jwks.json }", &url));
    Portcullis::start(&world.path("portcullis.yaml"))
}

// Key sets: no redirect, at most 1 MiB and 100 keys, strict JSON, each id once. Without a good one nothing passes.
#[test]
fn what_is_no_good_key_set_is_not_used() {
    let world = World::new();
    let good = world.issuer.jwks();
    let elsewhere = Upstream::start();
    elsewhere.answer_json(&good);
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let location = format!("http://{}/jwks", elsewhere.address);
    let redirect = |status: u16| format!("HTTP/1.1 {status} x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let many: Vec<_> = (0..101).map(|number| Issuer::new(&format!("k{number}")).jwk()).collect();
    for (what, answer, says) in [
        ("a redirect", redirect(302), "not 200"),
        ("another redirect", redirect(308), "not 200"),
        ("too long", ok(&format!("{good}{}", " ".repeat(1024 * 1024))), "the document cannot be read"),
        ("too many keys", ok(&json!({ "keys": many }).to_string()), "101"),
        (
            "an id twice",
            ok(&json!({ "keys": [world.issuer.jwk(), world.issuer.jwk()] }).to_string()),
            "two keys have the id",
        ),
        ("a member twice", ok(&good.replacen("\"keys\"", "\"keys\":[],\"keys\"", 1)), "keys"),
        ("more than JSON", ok(&format!("{good}x")), "could not be fetched"),
        ("nothing", ok(""), "could not be fetched"),
    ] {
        let keys = Upstream::start();
        keys.answer_with(answer);
        let portcullis = fetching(&world, &keys);
        portcullis.until_logged("a key set could not be fetched");
        assert!(portcullis.log().contains(says), "{what}: {}", portcullis.log());
        assert_eq!(portcullis.telemetry("/readyz").status, 503, "{what}");
        let token = world.issuer.token("erin", &[]);
        assert_eq!(portcullis.get("/documents/d1", &token).reason(), "no_snapshot", "{what}");
    }
    assert!(elsewhere.seen().is_empty(), "nobody was redirected");
    let keys = Upstream::start();
    keys.answer_with(ok(&good));
    let portcullis = fetching(&world, &keys);
    let token = world.issuer.token("erin", &[]);
    eventually("the keys are there", || (portcullis.get("/documents/d1", &token).status == 200).then_some(()));
}

// A token is refused for the audit log's reason, and told none: not even whether its issuer or its key is known.
#[test]
fn a_refusal_is_the_same_whoever_the_token_says_it_is_from() {
    let world = World::new();
    let portcullis = world.start();
    let told = |token: &str| {
        let answer = portcullis.get("/documents/d1", token);
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("decision_id");
        (answer.status, answer.header("www-authenticate").map(str::to_owned), body)
    };
    let stranger = Issuer::new("k1");
    let expected = told(&stranger.token("erin", &[]));
    assert_eq!(expected.0, 401);
    let other_issuer = token(&stranger, "erin", |claims| claims["iss"] = json!("https://other.example"));
    let bound = token(&world.issuer, "erin", |claims| claims["cnf"] = json!({ "x5t#S256": "A".repeat(43) }));
    for token in [Issuer::new("k9").token("erin", &[]), other_issuer, bound] {
        assert_eq!(told(&token), expected);
    }
}

const WORKLOADS: &str =
    "spiffe: { trust_domain: acme.example, subjects: [{ path: \"/agents/{name}\", subject: \"agent:{name}\" }] }";

#[test]
fn a_workload_is_known_by_its_token() {
    let world = World::new();
    let config = world.config().replace("subject: \"user:{sub}\"", WORKLOADS);
    world.write("portcullis.yaml", &config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let answer = portcullis.get("/documents/d1", &world.issuer.token("spiffe://acme.example/agents/reader", &[]));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(world.record_of(&answer)["principal"]["subject"], "agent:reader");
    let denied = portcullis.get("/documents/d2", &world.issuer.token("spiffe://acme.example/agents/reader", &[]));
    assert_eq!((denied.status, denied.reason().as_str()), (403, "not_permitted"));
    for subject in ["reader", "spiffe://other.example/agents/reader", "spiffe://acme.example/agents/reader/x"] {
        let refused = portcullis.get("/documents/d1", &world.issuer.token(subject, &[]));
        assert_eq!((refused.status, refused.reason().as_str()), (401, "invalid_credential"), "{subject}");
    }
    for (change, says) in [
        (format!("subject: \"user:{{sub}}\"\n      {WORKLOADS}"), "exactly one of `subject` and `spiffe`"),
        (String::new(), "exactly one of `subject` and `spiffe`"),
        ("spiffe: { trust_domain: acme.example, subjects: [] }".to_owned(), "`subjects` is empty"),
        (WORKLOADS.replace("acme.example", "acme.example:1"), "a trust domain is"),
        (WORKLOADS.replace("agent:{name}", "agent:{nam}"), "`{nam}` is not captured by the path"),
    ] {
        world.write("portcullis.yaml", world.config().replace("subject: \"user:{sub}\"", &change));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(says) && said.contains("portcullis.yaml:"), "{says}: {said}");
    }
}
