//! The main line: an unmodified client, a signed token, a decision, a real upstream.

use crate::support::{World, token};

#[test]
fn a_permitted_request_arrives_and_its_answer_comes_back() {
    let world = World::new();
    let portcullis = world.start();
    let answer = portcullis.get("/documents/d1?x=1", &world.issuer.token("erin", &["reader"]));
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"from\":\"upstream\"}"));
    assert_eq!(answer.revision(), 1);
    let seen = world.upstream.last();
    assert!(seen.starts_with("GET /documents/d1?x=1 HTTP/1.1\r\n"), "{seen}");
    for line in [
        "host: api.acme.example",
        "portcullis-subject: user:erin",
        "portcullis-actors: agent:reader",
        "portcullis-revision: 1",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
    ] {
        assert!(seen.contains(&format!("{line}\r\n")), "{line} is not in {seen}");
    }
    assert!(seen.contains(answer.header("portcullis-decision-id").unwrap()));
    assert!(!seen.contains("authorization"), "the credential ends at the proxy: {seen}");
}

#[test]
fn every_member_of_the_chain_must_be_permitted() {
    let world = World::new();
    let portcullis = world.start();
    let reason = |method: &str, path: &str, subject: &str, actors: &[&str]| {
        let answer = portcullis.request(method, path, &world.issuer.token(subject, actors), "", "");
        (answer.status, answer.reason())
    };
    let allowed = (200, String::new());
    let denied = (403, "not_permitted".to_owned());
    assert_eq!(reason("GET", "/documents/d1", "erin", &["reader"]), allowed);
    assert_eq!(reason("GET", "/documents/d2", "erin", &["reader"]), denied, "the agent is excluded");
    assert_eq!(reason("GET", "/documents/d2", "erin", &[]), allowed);
    assert_eq!(reason("GET", "/documents/d1", "mallory", &["reader"]), denied, "the user lacks");
    assert_eq!(reason("PUT", "/documents/d1", "erin", &["reader"]), denied, "the agent may only read");
    assert_eq!(reason("PUT", "/documents/d1", "erin", &[]), allowed);
    assert_eq!(reason("GET", "/documents/d2", "erin", &["planner", "reader"]), denied, "a prior actor lacks");
    assert_eq!(reason("GET", "/documents/unknown", "erin", &[]), denied);
    assert_eq!(world.upstream.seen().len(), 3);
}

#[test]
fn in_the_mode_current_prior_actors_do_not_count() {
    let world = World { identity_more: "actors: current".to_owned(), ..World::new() };
    let portcullis = world.start();
    assert_eq!(portcullis.get("/documents/d2", &world.issuer.token("erin", &["planner", "reader"])).status, 200);
    assert_eq!(portcullis.get("/documents/d2", &world.issuer.token("erin", &["reader", "planner"])).status, 403);
}

#[test]
fn a_denial_says_what_an_agent_can_act_on_and_nothing_of_the_policy() {
    let world = World::new();
    let portcullis = world.start();
    let answer = portcullis.get("/documents/d2", &world.issuer.token("erin", &["reader"]));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], 403);
    assert_eq!(problem["reason"], "not_permitted");
    assert_eq!(problem["revision"], 1);
    assert_eq!(problem["decision_id"].as_str(), answer.header("portcullis-decision-id"));
    assert_eq!(problem["requested"], serde_json::json!({ "action": "can_read", "resource": "document:d2" }));
    assert!(problem["remedy"].is_string());
    for secret in ["excluded", "viewer", "reader", "folder"] {
        assert!(!answer.body.contains(secret), "{}", answer.body);
    }
}

#[test]
fn a_credential_is_needed_and_must_be_good() {
    let world = World::new();
    let portcullis = world.start();
    let answer = |token: &str| {
        let answer = portcullis.get("/documents/d1", token);
        (answer.status, answer.reason(), answer.header("www-authenticate").unwrap_or_default().to_owned())
    };
    let (status, reason, challenge) = answer("");
    assert_eq!(
        (status, reason.as_str(), challenge.as_str()),
        (401, "missing_credential", "Bearer realm=\"portcullis\"")
    );
    let other = crate::support::Issuer::new("k1");
    for bad in [
        other.token("erin", &[]),
        token(&world.issuer, "erin", |claims| claims["aud"] = "https://elsewhere.example".into()),
        token(&world.issuer, "erin", |claims| claims["exp"] = 1_000_000_000.into()),
        token(&world.issuer, "erin", |claims| claims["iss"] = "https://idp.acme.example/".into()),
        token(&world.issuer, "*", |_| {}),
        world.issuer.token("erin", &["a", "b", "c", "d"]),
        "not.a.token".to_owned(),
    ] {
        let (status, reason, challenge) = answer(&bad);
        assert_eq!((status, reason.as_str()), (401, "invalid_credential"), "{bad}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn what_has_no_route_is_denied() {
    let world = World::new();
    let portcullis = world.start();
    let good = world.issuer.token("erin", &[]);
    for (method, path) in [("GET", "/"), ("GET", "/documents"), ("DELETE", "/documents/d1"), ("GET", "/Documents/d1")] {
        let answer = portcullis.request(method, path, &good, "", "");
        assert_eq!((answer.status, answer.reason().as_str()), (403, "no_route"), "{method} {path}");
    }
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn clients_cannot_forge_what_only_the_proxy_may_say() {
    let world = World::new();
    let portcullis = world.start();
    let forged = "portcullis-subject: user:root\r\nx-portcullis-subject: user:root\r\nx-forwarded-for: 9.9.9.9\r\n\
                  x-forwarded-user: root\r\nforwarded: for=9.9.9.9\r\nx-real-ip: 9.9.9.9\r\nx-original-url: /secret\r\n\
                  x-http-method-override: DELETE\r\nx-request-id: kept\r\n";
    let token = world.issuer.token("erin", &["reader"]);
    assert_eq!(portcullis.request("GET", "/documents/d1", &token, forged, "").status, 200);
    let seen = world.upstream.last();
    assert!(!seen.contains("root") && !seen.contains("9.9.9.9") && !seen.contains("secret"), "{seen}");
    assert!(!seen.contains("DELETE") && seen.contains("x-request-id: kept\r\n"), "{seen}");
}

#[test]
fn a_task_narrows_and_belongs_to_its_holders() {
    let mut world = World::new();
    world.routes = world.routes.replace(
        "PUT: { action: can_write, resource: \"document:{path.document}\" }",
        "PUT: { action: can_read, resource: \"document:{path.document}\", require_task: true }",
    );
    let portcullis = world.start();
    let with_task = |method: &str, subject: &str, task: &str| {
        let token = token(&world.issuer, subject, |claims| claims["task"] = task.into());
        let answer = portcullis.request(method, "/documents/d1", &token, "", "");
        (answer.status, answer.reason())
    };
    assert_eq!(with_task("GET", "erin", "t1"), (200, String::new()));
    assert_eq!(with_task("GET", "frank", "t1"), (403, "not_task_holder".to_owned()));
    assert_eq!(with_task("GET", "erin", "t2"), (403, "not_task_holder".to_owned()));
    assert_eq!(with_task("GET", "erin", "unknown").0, 403);
    assert_eq!(with_task("PUT", "erin", "t1"), (200, String::new()));
    let without = portcullis.request("PUT", "/documents/d1", &world.issuer.token("erin", &[]), "", "");
    assert_eq!((without.status, without.reason().as_str()), (403, "task_required"));
}

#[test]
fn a_route_can_hide_that_something_exists() {
    let mut world = World::new();
    world.routes = world.routes.replace("    upstream: main", "    upstream: main\n    hide_existence: true");
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let forbidden = portcullis.get("/documents/d2", &token);
    let unknown = portcullis.get("/documents/unknown", &token);
    assert_eq!((forbidden.status, forbidden.reason().as_str()), (404, "not_found"));
    let without_id = |answer: &crate::support::Answer| {
        let mut problem = answer.json();
        problem["decision_id"] = "".into();
        problem
    };
    assert_eq!(without_id(&forbidden), without_id(&unknown));
    assert_eq!(world.record_of(&forbidden)["reason"], "not_permitted", "the record keeps the true reason");
}

#[test]
fn each_request_leaves_one_record_without_its_credential() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    let allowed = portcullis.request("GET", "/documents/d1?secret=s3cr3t", &token, "cookie: c00kie\r\n", "");
    let denied = portcullis.get("/documents/d2", &token);
    let record = world.record_of(&allowed);
    assert_eq!(record["outcome"], "allow");
    assert_eq!(record["reason"], "permitted");
    assert_eq!(record["revision"], 1);
    assert_eq!(record["principal"]["subject"], "user:erin");
    assert_eq!(record["principal"]["actors"], serde_json::json!(["agent:reader"]));
    assert_eq!(record["principal"]["credential"], "jwt https://idp.acme.example");
    assert_eq!(record["route"], "/documents/{document}");
    assert_eq!(record["accesses"], serde_json::json!([{ "action": "can_read", "resource": "document:d1" }]));
    assert_eq!((record["status"].as_u64(), record["upstream_status"].as_u64()), (Some(200), Some(200)));
    assert_eq!(record["bytes"]["response"], 19);
    assert_eq!(record["complete"], true);
    assert!(record["time"].as_str().unwrap().ends_with('Z'));
    assert!(record["durations_us"]["total"].as_u64().unwrap() >= record["durations_us"]["upstream"].as_u64().unwrap());
    let record = world.record_of(&denied);
    assert_eq!((record["outcome"].as_str(), record["reason"].as_str()), (Some("deny"), Some("not_permitted")));
    assert_eq!(record["denied_member"], "agent:reader");
    assert_eq!(record["upstream_status"], serde_json::Value::Null);
    let text = std::fs::read_to_string(world.path("audit.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2);
    for secret in [token.as_str(), token.rsplit('.').next().unwrap(), "s3cr3t", "c00kie"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn decisions_are_counted_by_route_outcome_and_reason() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &["reader"]);
    portcullis.get("/documents/d1", &token);
    portcullis.get("/documents/d2", &token);
    portcullis.get("/nothing", &token);
    let count = |route: &str, outcome: &str, reason: &str| {
        let name = format!("portcullis_decisions_total{{outcome=\"{outcome}\",reason=\"{reason}\",route=\"{route}\"}}");
        portcullis.metric(&name)
    };
    assert_eq!(count("/documents/{document}", "allow", "permitted"), 1.0);
    assert_eq!(count("/documents/{document}", "deny", "not_permitted"), 1.0);
    assert_eq!(count("", "deny", "no_route"), 1.0);
    assert_eq!(portcullis.metric("portcullis_decision_duration_seconds_count"), 2.0);
    assert_eq!(portcullis.metric("portcullis_added_latency_seconds_count"), 3.0);
    assert_eq!(portcullis.metric("portcullis_requests_in_flight"), 0.0);
    assert_eq!(portcullis.metric("portcullis_snapshot_tuples"), 13.0);
    assert_eq!(portcullis.metric("portcullis_snapshot_builds_total{outcome=\"published\"}"), 1.0);
    let text = portcullis.telemetry("/metrics").body;
    assert!(text.contains("portcullis_decision_duration_seconds_bucket{le=\"0.000001\"}"), "{text}");
    assert!(text.contains("portcullis_added_latency_seconds_bucket{le=\"0.0001\"}"), "{text}");
}

#[test]
fn health_is_served_beside_the_metrics_and_nothing_else() {
    let world = World::new();
    let portcullis = world.start();
    assert_eq!(portcullis.telemetry("/livez").status, 200);
    assert_eq!(portcullis.telemetry("/readyz").body, "ready: revision 1\n");
    assert_eq!(portcullis.telemetry("/").status, 404);
    let token = world.issuer.token("erin", &[]);
    assert_eq!(portcullis.get("/metrics", &token).reason(), "no_route", "not on the data listener");
}

#[test]
fn an_upstream_that_fails_is_told_apart() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    world.upstream.answer_with("");
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
    let record = world.record_of(&answer);
    assert_eq!((record["outcome"].as_str(), record["reason"].as_str()), (Some("allow"), Some("upstream_unreachable")));
    world.upstream.answer_with("this is not HTTP\r\n\r\n");
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_malformed"));
    world.upstream.answer_with("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
    assert_eq!(portcullis.get("/documents/d1", &token).reason(), "upstream_malformed");
    world.upstream.answer_json("{}");
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    let name = "portcullis_upstream_errors_total{reason=\"upstream_malformed\",upstream=\"main\"}";
    assert_eq!(portcullis.metric(name), 2.0);
}

#[test]
fn a_slow_upstream_is_given_up() {
    let mut world = World::new();
    // It accepts and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    world.more = format!("# {address}");
    let config = world.config().replace(
        &format!("\"http://{}\"", world.upstream.address),
        &format!("\"http://{address}\", response_timeout: 200ms"),
    );
    world.write("portcullis.yaml", config);
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let answer = portcullis.get("/documents/d1", &world.issuer.token("erin", &[]));
    assert_eq!((answer.status, answer.reason().as_str()), (504, "upstream_timeout"));
}

#[test]
fn what_an_upstream_says_of_its_connection_stays_there() {
    let world = World::new();
    let portcullis = world.start();
    world.upstream.answer_with(
        "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-accel-redirect: /secret\r\n\
         portcullis-revision: 99\r\netag: \"e\"\r\ncontent-length: 2\r\n\r\nok",
    );
    let answer = portcullis.get("/documents/d1", &world.issuer.token("erin", &[]));
    assert_eq!((answer.body.as_str(), answer.header("etag")), ("ok", Some("\"e\"")));
    assert_eq!(answer.revision(), 1);
    for name in ["x-hop", "keep-alive", "x-accel-redirect"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[test]
fn an_answer_to_head_has_no_body_and_keeps_its_length() {
    let world = World::new();
    let portcullis = world.start();
    let answer = portcullis.request("HEAD", "/documents/d1", &world.issuer.token("erin", &[]), "", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("content-length"), Some("19"));
    let denied = portcullis.request("HEAD", "/documents/d9", &world.issuer.token("erin", &[]), "", "");
    assert_eq!((denied.status, denied.body.as_str()), (403, ""));
    for answer in [answer, denied] {
        assert_eq!(world.record_of(&answer)["complete"], true);
    }
}

#[test]
fn an_api_key_stands_for_its_subject() {
    let world = World::new();
    let made = world.run(&["key", "new", "--subject", "agent:reader"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let lines = String::from_utf8(made.stderr).unwrap();
    let field = |name: &str| lines.split(&format!("{name}: ")).nth(1).unwrap().lines().next().unwrap().to_owned();
    let identity_more = format!(
        "api_keys:\n    keys:\n      - id: {}\n        hash: {}\n        subject: agent:reader",
        field("id"),
        field("hash")
    );
    let world = World { identity_more, ..world };
    let portcullis = world.start();
    let with = |path: &str, key: &str| portcullis.request("GET", path, "", &format!("x-api-key: {key}\r\n"), "");
    assert_eq!(with("/documents/d1", &key).status, 200);
    assert!(!world.upstream.last().contains(&key));
    assert_eq!(with("/documents/d2", &key).reason(), "not_permitted");
    assert_eq!(with("/documents/d1", &format!("{key}x")).reason(), "invalid_credential");
    let both = world.issuer.token("erin", &[]);
    let both = portcullis.request("GET", "/documents/d1", &both, &format!("x-api-key: {key}\r\n"), "");
    assert_eq!(both.reason(), "invalid_credential", "two credentials could be two principals");
}
