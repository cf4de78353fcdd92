//! Issuers say that sessions ended, and the next request is refused.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::support::{Answer, Issuer, Portcullis, World, answer_of, token};

const BEARER: &str = "a token of these tests, and of nothing else";
const RECEIVER: &str = "https://gateway.acme.example/events";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

pub(crate) fn world() -> World {
    let mut world = World::new();
    let hash: String = digest(&SHA256, BEARER.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    world.more = format!(
        "shared_signals: {{ address: 127.0.0.1:0, bearer: \"sha256:{hash}\", audiences: [{RECEIVER}], keep: 1h }}"
    );
    world
}

/// Tells that the sessions of a user ended.
pub(crate) fn revoke(world: &World, portcullis: &Portcullis, subject: &str) {
    let signal = world.issuer.sign_as("secevent+jwt", &event("ended", subject));
    assert_eq!(send(portcullis, BEARER, &signal).status, 202);
}

fn event(id: &str, subject: &str) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": "https://idp.acme.example", "aud": RECEIVER, "iat": now, "jti": id,
        "sub_id": { "format": "iss_sub", "iss": "https://idp.acme.example", "sub": subject },
        "events": { REVOKED: { "event_timestamp": now, "initiating_entity": "admin" } },
    })
}

fn send(portcullis: &Portcullis, bearer: &str, body: &str) -> Answer {
    send_as(portcullis, bearer, "application/secevent+jwt", body)
}

fn send_as(portcullis: &Portcullis, bearer: &str, kind: &str, body: &str) -> Answer {
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: gateway.acme.example\r\nconnection: close\r\nauthorization: Bearer {bearer}\r\n"
    );
    let length = body.len();
    let request = format!("{head}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
    answer_of(portcullis.signals.expect("a listener for signals"), request).expect("an answer")
}

#[test]
fn the_next_request_of_an_ended_session_is_refused() {
    let world = world();
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    let get = |token: &str| portcullis.get("/documents/d1", token);
    assert_eq!((get(&erin).status, get(&frank).status), (200, 200));
    let signal = world.issuer.sign_as("secevent+jwt", &event("s1", "erin"));
    let taken = send(&portcullis, BEARER, &signal);
    assert_eq!((taken.status, taken.body.as_str()), (202, ""));
    // Not a moment later: the answer says that it counts.
    let refused = get(&erin);
    assert_eq!((refused.status, refused.reason().as_str()), (401, "invalid_credential"));
    let record = world.record_of(&refused);
    assert_eq!(
        (&record["reason"], &record["detail"]),
        (&json!("revoked"), &json!("the credentials of `user:erin` are revoked"))
    );
    assert_eq!(get(&frank).status, 200);
    // A token of after is good, and a signal that comes again takes nothing from it.
    let now = event("", "")["iat"].as_i64().unwrap();
    let later = token(&world.issuer, "erin", |claims| claims["iat"] = json!(now + 20));
    assert_eq!(get(&later).status, 200);
    assert_eq!(send(&portcullis, BEARER, &signal).status, 202);
    assert_eq!(get(&later).status, 200);
    // It outlives a new revision.
    world.replace("portcullis.yaml", world.config().replace("task_holder: holder", "max_steps: 900000"));
    portcullis.until_revision_above(1);
    assert_eq!((get(&erin).status, get(&frank).status), (401, 200));
    assert_eq!(portcullis.metric("portcullis_signals_total{outcome=\"revoked\"}"), 1.0);
    assert_eq!(portcullis.metric("portcullis_signals_total{outcome=\"repeated\"}"), 1.0);
}

#[test]
fn a_revoked_agent_is_refused_as_an_actor_too() {
    let world = world();
    let portcullis = world.start();
    let get = |actors: &[&str]| portcullis.get("/documents/d1", &world.issuer.token("erin", actors));
    assert_eq!((get(&["reader"]).status, get(&[]).status), (200, 200));
    revoke(&world, &portcullis, "reader");
    let refused = get(&["reader"]);
    assert_eq!((refused.status, refused.reason().as_str()), (401, "invalid_credential"));
    assert_eq!(world.record_of(&refused)["detail"], "the credentials of `agent:reader` are revoked");
    assert_eq!(get(&[]).status, 200);
}

#[test]
fn what_strangers_send_changes_nothing() {
    let world = world();
    let portcullis = world.start();
    let erin = world.issuer.token("erin", &[]);
    let (signal, forger) = (world.issuer.sign_as("secevent+jwt", &event("s1", "erin")), Issuer::new("k1"));
    let told = |answer: &Answer| {
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, body["err"].as_str().unwrap().to_owned())
    };
    for bearer in ["", "wrong", &format!("{BEARER}x"), &BEARER[1..]] {
        let answer = send(&portcullis, bearer, &signal);
        assert_eq!(told(&answer), (401, "authentication_failed".to_owned()), "{bearer}");
        assert!(answer.header("www-authenticate").is_some());
    }
    let other = |change: &dyn Fn(&mut Value)| {
        let mut claims = event("s2", "erin");
        change(&mut claims);
        world.issuer.sign_as("secevent+jwt", &claims)
    };
    for (what, body, expected) in [
        ("a forged signature", forger.sign_as("secevent+jwt", &event("s1", "erin")), (400, "invalid_key")),
        ("an unknown key", Issuer::new("k9").sign_as("secevent+jwt", &event("s1", "erin")), (503, "invalid_key")),
        ("another issuer", other(&|claims| claims["iss"] = "https://x.example".into()), (400, "invalid_issuer")),
        (
            "another audience",
            other(&|claims| claims["aud"] = "https://api.acme.example".into()),
            (400, "invalid_audience"),
        ),
        ("two events", other(&|claims| claims["events"]["https://x.example"] = json!({})), (400, "invalid_request")),
        ("a token", erin.clone(), (400, "invalid_request")),
        ("nonsense", "nonsense".to_owned(), (400, "invalid_request")),
        ("nothing", String::new(), (400, "invalid_request")),
        ("too much", "x".repeat(9000), (400, "invalid_request")),
    ] {
        let (status, code) = told(&send(&portcullis, BEARER, &body));
        assert_eq!((status, code.as_str()), expected, "{what}");
    }
    let json = send_as(&portcullis, BEARER, "application/json", &signal);
    assert_eq!(told(&json), (400, "invalid_request".to_owned()));
    // The data listener takes no signals, and a signal is no credential.
    assert_eq!(portcullis.request("POST", "/events", "", "", &signal).status, 403);
    assert_eq!(portcullis.get("/documents/d1", &signal).status, 401);
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 200);
    assert_eq!(portcullis.metric("portcullis_signals_total{outcome=\"revoked\"}"), 0.0);
    assert_eq!(portcullis.metric("portcullis_signals_total{outcome=\"unauthenticated\"}"), 4.0);
}

#[test]
fn a_configuration_of_signals_is_checked() {
    let world = world();
    let config = world.config();
    let hash = config.split("bearer: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    for (from, to, problem) in [
        (hash.as_str(), "secret", "is the hash of a token"),
        (&format!("[{RECEIVER}]"), "[]", "signals need audiences"),
        ("keep: 1h", "keep: 0s", "is no time at all"),
    ] {
        world.write("portcullis.yaml", config.replace(from, to));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && said.contains(problem), "{to}: {said}");
    }
}
