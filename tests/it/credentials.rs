//! Credentials over the wire: who is taken for whom, what a refusal says, and what it does not.

use serde_json::{Value, json};

use crate::support::{Answer, Issuer, Portcullis, World, answer_of, token};

const HOST: &str = "host: api.acme.example\r\nconnection: close\r\n";

#[test]
fn a_new_key_brings_its_whole_entry() {
    let mut world = World::new();
    let made = |arguments: &[&str]| {
        let output = world.run(&[&["key", "new", "--subject", "user:erin"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout).trim().to_owned(), text(output.stderr))
    };
    let owner = "Finance \"close\": ops@acme.example";
    let (key, entry) = made(&["--via", "agent:reader", "--task", "task:t1", "--owner", owner, "--valid-for", "90d"]);
    let (short, short_entry) = made(&["--valid-for", "1s"]);
    assert!(!entry.contains(key.get(13..44).unwrap()), "the secret is not in the entry");
    world.identity_more = format!("api_keys:\n    keys:\n{entry}{short_entry}");
    let portcullis = world.start();
    let get = |key: &str, path: &str| {
        answer_of(portcullis.data, format!("GET {path} HTTP/1.1\r\n{HOST}x-api-key: {key}\r\n\r\n")).unwrap()
    };

    let answer = get(&key, "/documents/d1");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let principal = &world.record_of(&answer)["principal"];
    assert_eq!(principal["subject"], "user:erin");
    assert_eq!(principal["actors"], serde_json::json!(["agent:reader"]));
    assert_eq!((&principal["task"], &principal["owner"]), (&"task:t1".into(), &owner.into()));
    assert_eq!(get(&key, "/documents/d2").status, 403, "the agent may not");

    crate::support::eventually("the key ends", || (get(&short, "/documents/d1").status == 401).then_some(()));
    let over = get(&short, "/documents/d1");
    assert_eq!(over.reason(), "invalid_credential");
    assert!(!over.body.contains("expired") && over.header("portcullis-subject").is_none(), "{}", over.body);
    let detail = world.record_of(&over)["detail"].clone();
    assert_eq!(detail, "the API key has expired", "the log says why, the answer does not");
}

#[test]
fn a_key_that_is_over_before_it_begins_is_not_made() {
    let world = World::new();
    for (valid_for, says) in [("0s", "less than a second"), ("9000y", "before the year 10000"), ("soon", "--valid-for")]
    {
        let output = world.run(&["key", "new", "--subject", "user:erin", "--valid-for", valid_for]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{valid_for}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{valid_for}: {said}");
    }
}

const SCOPED: &str = r#"
  - path: /documents/{document}
    upstream: main
    hide_existence: true
    operations:
      GET: { action: can_read, resource: "document:{path.document}", scopes: [docs.read, docs.list] }
      PUT:
        action: can_write
        resource: "document:{path.document}"
        authorization_details:
          type: document
          actions: [write]
          locations: ["https://docs.acme.example/{path.document}"]
          ignore: [note]
  - path: /shared/{document}
    upstream: main
    operations:
      GET:
        action: can_read
        resource: "document:{path.document}"
        authorization_details: { type: document, identifier: "{path.document}", required: false }
  - path: /plain/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

fn scoped() -> (World, Portcullis) {
    let mut world = World::with_routes(SCOPED);
    world.identity_more = "protected_resource: { resource: https://api.acme.example/v1, name: Documents }".to_owned();
    let portcullis = world.start();
    (world, portcullis)
}

fn with_claim(world: &World, name: &str, value: Value) -> String {
    token(&world.issuer, "erin", |claims| claims[name] = value)
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.reason())
}

#[test]
fn clients_learn_where_to_get_a_token_and_with_which_scopes() {
    let (world, portcullis) = scoped();
    let metadata = "https://api.acme.example/.well-known/oauth-protected-resource/v1";
    let expected = json!({
        "resource": "https://api.acme.example/v1", "resource_name": "Documents",
        "authorization_servers": ["https://idp.acme.example"], "bearer_methods_supported": ["header"],
        "scopes_supported": ["docs.list", "docs.read"], "authorization_details_types_supported": ["document"],
    });
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/v1"] {
        let answer = portcullis.get(path, "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.json(), expected);
        let record = world.record_of(&answer);
        assert_eq!((&record["outcome"], &record["reason"]), (&json!("answer"), &json!("metadata")));
        assert!(record.get("principal").is_none() && record.get("upstream_status").is_none());
    }
    let other = portcullis.request("POST", "/.well-known/oauth-protected-resource", "", "", "{}");
    assert_eq!(told(&other), (403, "no_route".to_owned()));
    assert!(world.upstream.seen().is_empty());

    let nobody = portcullis.get("/documents/d1", "");
    let challenge =
        format!("Bearer realm=\"portcullis\", scope=\"docs.read docs.list\", resource_metadata=\"{metadata}\"");
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some(challenge.as_str())));

    for scope in [json!(null), json!(""), json!("docs.read"), json!("docs.read docs.lis"), json!(["docs.list"])] {
        let token = token(&world.issuer, "erin", |claims| {
            if scope.is_null() {
                claims.as_object_mut().unwrap().remove("scope");
            } else {
                claims["scope"] = scope.clone();
            }
        });
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!(told(&answer), (403, "insufficient_scope".to_owned()), "{scope}");
        let challenge = answer.header("www-authenticate").unwrap();
        for part in ["error=\"insufficient_scope\"", "scope=\"docs.read docs.list\"", metadata] {
            assert!(challenge.contains(part), "{challenge}");
        }
        // What does not exist is answered in the same way: the scopes say nothing of it.
        assert_eq!(told(&portcullis.get("/documents/none", &token)), told(&answer));
    }
    for scope in [json!("docs.list other docs.read"), json!(["docs.read", "docs.list"])] {
        let token = with_claim(&world, "scope", scope);
        assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
        assert_eq!(portcullis.get("/documents/none", &token).status, 404, "scopes permit nothing by themselves");
    }
}

#[test]
fn authorization_details_only_ever_narrow() {
    let (world, portcullis) = scoped();
    let put = |details: Value| {
        let token = with_claim(&world, "authorization_details", details);
        told(&portcullis.request("PUT", "/documents/d1", &token, "", "{}"))
    };
    let outside = (404, "not_found".to_owned());
    let location = "https://docs.acme.example/d1";
    let covering =
        json!({"type": "document", "actions": ["read", "write"], "locations": [location, "https://x"], "note": 1});
    let without = |name: &str| {
        let mut detail = covering.clone();
        detail.as_object_mut().unwrap().remove(name);
        detail
    };
    let other = |name: &str, value: Value| {
        let mut detail = covering.clone();
        detail[name] = value;
        detail
    };
    assert_eq!(put(json!([covering])).0, 200);
    assert_eq!(put(json!([{"type": "payment", "amount": 5}, covering])).0, 200, "one of them is enough");
    for uncovered in [
        json!([]),
        json!([without("actions")]),
        json!([without("locations")]),
        json!([other("type", json!("documents"))]),
        json!([other("actions", json!(["read"]))]),
        json!([other("actions", json!(["Write"]))]),
        json!([other("locations", json!(["https://docs.acme.example/d2"]))]),
        json!([other("locations", json!(["https://docs.acme.example/"]))]),
        json!([other("identifier", json!("d1"))]),
        json!([other("privileges", json!([]))]),
        json!([other("amount", json!(5))]),
        // Two halves are no whole.
        json!([without("locations"), without("actions")]),
    ] {
        assert_eq!(put(uncovered.clone()), outside, "{uncovered}");
    }
    let plain = world.issuer.token("erin", &[]);
    assert_eq!(told(&portcullis.request("PUT", "/documents/d1", &plain, "", "{}")), outside, "they are required");
    let details = json!([{"type": "document", "actions": ["write"], "locations": ["https://docs.acme.example/none"]}]);
    assert_eq!(
        told(&portcullis.request(
            "PUT",
            "/documents/none",
            &with_claim(&world, "authorization_details", details),
            "",
            "{}"
        )),
        outside,
        "details permit nothing by themselves"
    );

    let get =
        |path: &str, details: Value| told(&portcullis.get(path, &with_claim(&world, "authorization_details", details)));
    let denied = (403, "outside_authorization".to_owned());
    let one = json!([{"type": "document", "identifier": "d1"}]);
    assert_eq!(get("/shared/d1", one.clone()).0, 200);
    assert_eq!(get("/shared/d2", one.clone()), denied);
    assert_eq!(portcullis.get("/shared/d2", &plain).status, 200, "a cap restricts those that have details only");
    assert_eq!(get("/plain/d1", one), denied, "a restriction that nobody looks at is not passed over");
    assert_eq!(portcullis.get("/plain/d1", &plain).status, 200);
    assert_eq!(get("/plain/d1", json!({"type": "document"})).0, 401, "malformed details are no details");
}

#[test]
fn a_refused_token_is_told_nothing_of_the_reason() {
    let world = World::new();
    let portcullis = world.start();
    let claim = |name: &str, value: Value| with_claim(&world, name, value);
    let good = world.issuer.token("erin", &[]);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bad = [
        (
            "its signature is wrong",
            format!("{signed}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, signature.get(1..).unwrap()),
        ),
        ("its signature is wrong", Issuer::new("k1").token("erin", &[])),
        ("has no key of this id", Issuer::new("k2").token("erin", &[])),
        ("is not configured", claim("iss", json!("https://idp.acme.example/"))),
        ("another audience", claim("aud", json!("https://api.acme.example/"))),
        ("it has expired", claim("exp", json!(1_000_000_000))),
        ("`exp` is malformed", claim("exp", json!("2100000000"))),
        ("it is not valid yet", claim("nbf", json!(4_000_000_000_u32))),
        ("issued in the future", claim("iat", json!(4_000_000_000_u32))),
        ("`sub` is malformed", claim("sub", json!(["erin"]))),
        ("bound to a key", claim("cnf", json!({"jkt": "x"}))),
        ("`act` is not an object", claim("act", json!("reader"))),
        ("more than 3 actors", world.issuer.token("erin", &["a", "b", "c", "d"])),
        ("not an access token", {
            let mut claims = json!({"iss": "https://idp.acme.example", "sub": "erin", "nonce": "n"});
            claims["aud"] = json!("https://api.acme.example");
            world.issuer.sign_as("JWT", &claims)
        }),
        ("three parts", "a.b".to_owned()),
    ];
    let shape = |answer: &Answer| {
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("decision_id");
        (answer.status, answer.header("www-authenticate").map(str::to_owned), body)
    };
    let expected = shape(&portcullis.get("/documents/d1", "e30.e30.e30"));
    assert_eq!(expected.0, 401);
    assert_eq!(expected.2["reason"], "invalid_credential");
    assert!(expected.2.get("detail").is_none());
    for (reason, token) in bad {
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!(shape(&answer), expected, "{reason}");
        let detail = world.record_of(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason), "{reason}: {detail}");
    }
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn a_token_that_is_bound_to_a_key_needs_its_proof() {
    let mut world = World::new();
    world.identity_more = "dpop: { window: 60s, origin: \"https://api.acme.example\" }".to_owned();
    let portcullis = world.start();
    let agent = Issuer::new("agent");
    let bound = with_claim(&world, "cnf", json!({"jkt": agent.thumbprint()}));
    let get = |path: &str, scheme: &str, proof: Option<&str>| {
        let proof = proof.map(|proof| format!("dpop: {proof}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\n{HOST}authorization: {scheme} {bound}\r\n{proof}\r\n");
        answer_of(portcullis.data, request).unwrap()
    };
    let url = "https://api.acme.example/documents/d1";
    let proof = agent.proof("GET", url, &bound, "p-1");
    assert_eq!(get("/documents/d1", "DPoP", Some(&proof)).status, 200);
    let seen = world.upstream.last().to_lowercase();
    assert!(!seen.contains("dpop") && !seen.contains("authorization"), "{seen}");
    for (what, scheme, proof, says) in [
        ("the same once more", "DPoP", Some(proof.clone()), "it was sent before"),
        ("none", "DPoP", None, "it is missing"),
        ("as a bearer token", "Bearer", Some(agent.proof("GET", url, &bound, "p-2")), "it is missing"),
        ("of another key", "DPoP", Some(Issuer::new("thief").proof("GET", url, &bound, "p-3")), "not the token's"),
        ("for another method", "DPoP", Some(agent.proof("PUT", url, &bound, "p-4")), "another method"),
        (
            "for another URL",
            "DPoP",
            Some(agent.proof("GET", "https://api.acme.example/", &bound, "p-5")),
            "another URL",
        ),
        ("for another token", "DPoP", Some(agent.proof("GET", url, "other", "p-6")), "another token"),
    ] {
        let answer = get("/documents/d1", scheme, proof.as_deref());
        assert_eq!(told(&answer), (401, "invalid_credential".to_owned()), "{what}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("error=\"invalid_token\"") && challenge.contains("DPoP algs=\"ES256"),
            "{challenge}"
        );
        let detail = world.record_of(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{what}: {detail}");
    }
    assert_eq!(
        portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status,
        200,
        "others are bearer tokens"
    );
}

#[test]
fn applications_ask_with_tokens_that_are_bound_to_a_key_too() {
    let mut world = World::new();
    world.identity_more = "dpop: { window: 60s }".to_owned();
    world.more = "decision: { address: 127.0.0.1:0, callers: [\"user:erin\"] }".to_owned();
    let portcullis = world.start();
    let application = Issuer::new("application");
    let bound = with_claim(&world, "cnf", json!({"jkt": application.thumbprint()}));
    let ask = |proof: &str| {
        let request = format!("GET /stores HTTP/1.1\r\n{HOST}authorization: DPoP {bound}\r\ndpop: {proof}\r\n\r\n");
        answer_of(portcullis.decision.unwrap(), request).unwrap().status
    };
    let proof = application.proof("GET", "http://api.acme.example/stores", &bound, "p-1");
    assert_eq!((ask(&proof), ask(&proof)), (200, 401), "a proof is good for one question");
}
