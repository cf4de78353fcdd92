//! Issuers are asked whether sessions ended, and the next request is refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Issuer, Transmitter, World, eventually};

const RECEIVER: &str = "https://gateway.acme.example/events";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

fn section(transmitters: &[&Transmitter]) -> String {
    let poll = |one: &&Transmitter| format!("{{ url: \"{}\", bearer_file: poll.token, max_events: 2 }}", one.url());
    let polls: Vec<String> = transmitters.iter().map(poll).collect();
    format!("shared_signals: {{ poll: [{}], audiences: [{RECEIVER}], keep: 1h }}", polls.join(", "))
}

pub(crate) fn world(transmitters: &[&Transmitter]) -> World {
    let mut world = World::new();
    world.more = section(transmitters);
    world.write("poll.token", "the-first-token\n");
    world
}

fn event(id: &str, subject: &str) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": "https://idp.acme.example", "aud": RECEIVER, "iat": now, "jti": id,
        "sub_id": { "format": "iss_sub", "iss": "https://idp.acme.example", "sub": subject },
        "events": { REVOKED: { "event_timestamp": now } },
    })
}

pub(crate) fn signed(issuer: &Issuer, id: &str, subject: &str) -> String {
    issuer.sign_as("secevent+jwt", &event(id, subject))
}

fn until_acknowledged(transmitter: &Transmitter, ids: &[&str]) {
    let is_so = || ids.iter().all(|id| transmitter.acknowledged().contains(&(*id).to_owned()));
    eventually("signals are acknowledged", || is_so().then_some(()));
}

#[test]
fn the_next_request_after_an_acknowledgement_is_refused() {
    let transmitter = Transmitter::start();
    let world = world(&[&transmitter]);
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 200);
    let mut verification = event("v1", "x");
    verification["sub_id"] = json!({ "format": "opaque", "id": "stream-1" });
    verification["events"] = json!({ VERIFICATION: { "state": "abc" } });
    let verification = world.issuer.sign_as("secevent+jwt", &verification);
    transmitter.say([("s1", signed(&world.issuer, "s1", "erin")), ("v1", verification)]);
    until_acknowledged(&transmitter, &["s1", "v1"]);
    let refused = portcullis.get("/documents/d1", &erin);
    assert_eq!((refused.status, refused.reason().as_str()), (401, "invalid_credential"));
    assert_eq!(portcullis.get("/documents/d1", &frank).status, 200);
    for outcome in ["revoked", "verified"] {
        assert_eq!(portcullis.metric(&format!("portcullis_signals_total{{outcome=\"{outcome}\"}}")), 1.0, "{outcome}");
    }
    // It waits, and was never asked to answer at once.
    eventually("a poll waits", || (transmitter.waiting() == 1).then_some(()));
    let polls = transmitter.polls();
    assert!(polls.iter().all(|poll| poll["returnImmediately"] == false && poll["maxEvents"] == 2), "{polls:?}");
    assert_eq!(transmitter.authorization(), "Bearer the-first-token");
    // What was heard is in the audit log beside the decisions, and is none of them.
    let (signals, decisions): (Vec<Value>, Vec<Value>) =
        world.audit().into_iter().partition(|record| record["kind"] == "signal");
    assert!(decisions.iter().all(|record| record.get("kind").is_none() && record["decision_id"].is_string()));
    let record = signals.iter().find(|record| record["signal"]["jti"] == "s1").unwrap();
    assert!(record["time"].is_string() && record.get("decision_id").is_none());
    let signal = &record["signal"];
    assert_eq!(
        (&signal["outcome"], &signal["way"], &signal["issuer"], &signal["event"], &signal["subject"]),
        (&json!("revoked"), &json!("poll"), &json!("https://idp.acme.example"), &json!(REVOKED), &json!("erin"))
    );
    assert_eq!(signal["source"], transmitter.url());
    assert_eq!(signal["revoked"], json!(["user:erin", "agent:erin"]));
}

#[test]
fn what_is_refused_is_said_so_and_holds_nothing_up() {
    let transmitter = Transmitter::start();
    let world = world(&[&transmitter]);
    let mut foreign = event("foreign", "erin");
    foreign["aud"] = json!("https://elsewhere.example");
    let mut unknown = event("unknown", "erin");
    unknown["iss"] = json!("https://stranger.example");
    // Five more than one answer holds: they follow one another.
    transmitter.say([
        ("a", "nonsense".to_owned()),
        ("forged", signed(&Issuer::new("k1"), "forged", "erin")),
        ("foreign", world.issuer.sign_as("secevent+jwt", &foreign)),
        ("unknown", world.issuer.sign_as("secevent+jwt", &unknown)),
        ("y", signed(&world.issuer, "y", "nobody")),
        ("z", signed(&world.issuer, "z", "frank")),
    ]);
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    let portcullis = world.start();
    until_acknowledged(&transmitter, &["y", "z"]);
    let codes = [("a", "invalid_request"), ("forged", "invalid_key"), ("foreign", "invalid_audience")];
    let refused = transmitter.refused();
    for (id, code) in codes.into_iter().chain([("unknown", "invalid_issuer")]) {
        assert_eq!(refused[id]["err"], code, "{id}");
        assert!(refused[id]["description"].is_string());
    }
    assert_eq!((refused.len(), transmitter.acknowledged().len()), (4, 2));
    let get = |token: &str| portcullis.get("/documents/d1", token).status;
    assert_eq!((get(&erin), get(&frank)), (200, 401));
    // Nobody is named whose signature does not hold.
    let signals: Vec<Value> = eventually("all are recorded", || {
        let signals: Vec<_> = world.audit().into_iter().filter(|record| record["kind"] == "signal").collect();
        (signals.len() >= 6).then_some(signals)
    });
    let issuers: BTreeSet<_> = signals.iter().filter_map(|record| record["signal"]["issuer"].as_str()).collect();
    assert_eq!((signals.len(), issuers), (6, BTreeSet::from(["https://idp.acme.example"])));
    assert_eq!(portcullis.metric("portcullis_signals_total{outcome=\"refused\"}"), 4.0);
}

#[test]
fn a_signal_of_a_key_that_is_not_there_yet_waits_for_it() {
    let transmitter = Transmitter::start();
    let world = world(&[&transmitter]);
    let portcullis = world.start();
    let (next, erin) = (Issuer::new("k2"), world.issuer.token("erin", &[]));
    transmitter.say([("s1", signed(&next, "s1", "erin"))]);
    portcullis.until_logged("a signal was refused");
    assert_eq!((transmitter.acknowledged().len(), transmitter.refused().len()), (0, 0));
    world.replace("jwks.json", json!({ "keys": [world.issuer.jwk(), next.jwk()] }).to_string());
    until_acknowledged(&transmitter, &["s1"]);
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 401);
}

#[test]
fn a_transmitter_that_fails_is_asked_again() {
    let transmitter = Transmitter::start();
    let world = world(&[&transmitter]);
    transmitter.answer_with(Some("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"));
    let portcullis = world.start();
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{}", " ".repeat(99_999));
    for (answer, problem) in [
        (None, "503"),
        (Some("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"), "307"),
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"sets\":[]"), "not as RFC 8936 has it"),
        (Some(long.as_str()), "cannot be read"),
    ] {
        transmitter.answer_with(answer.or(Some("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")));
        portcullis.until_logged(problem);
    }
    assert!(portcullis.metric("portcullis_signal_polls_total{outcome=\"failed\"}") >= 4.0);
    // Requests do not wait for it.
    let erin = world.issuer.token("erin", &[]);
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 200);
    transmitter.answer_with(None);
    transmitter.say([("s1", signed(&world.issuer, "s1", "erin"))]);
    until_acknowledged(&transmitter, &["s1"]);
    portcullis.until_logged("answers again");
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 401);
}

#[test]
fn transmitters_and_their_tokens_change_while_it_runs() {
    let (first, second) = (Transmitter::start(), Transmitter::start());
    let world = world(&[&first]);
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    let portcullis = world.start();
    first.say([("s1", signed(&world.issuer, "s1", "nobody"))]);
    until_acknowledged(&first, &["s1"]);
    world.replace("poll.token", "the-second-token");
    first.say([("s2", signed(&world.issuer, "s2", "nobody"))]);
    until_acknowledged(&first, &["s2"]);
    // The poll that waited brought the old one; the next brings what is there now.
    assert_eq!(first.authorization(), "Bearer the-second-token");
    let (before, revision) = (section(&[&first]), portcullis.revision());
    world.replace("portcullis.yaml", world.config().replace(&before, &section(&[&second])));
    portcullis.until_revision_above(revision);
    second.say([("s3", signed(&world.issuer, "s3", "erin"))]);
    until_acknowledged(&second, &["s3"]);
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 401);
    // The one that is not asked any more may say what it likes: its last poll is gone, and its answer goes nowhere.
    first.say([("s4", signed(&world.issuer, "s4", "frank"))]);
    second.say([("s5", signed(&world.issuer, "s5", "nobody"))]);
    until_acknowledged(&second, &["s5"]);
    assert_eq!(first.acknowledged(), ["s1", "s2"]);
    assert_eq!(portcullis.get("/documents/d1", &frank).status, 200);
}

#[test]
fn it_stops_in_order_while_a_poll_waits() {
    let transmitter = Transmitter::start();
    let world = world(&[&transmitter]);
    let portcullis = world.start();
    eventually("a poll waits", || (transmitter.waiting() == 1).then_some(()));
    portcullis.signal("-TERM");
    assert_eq!(portcullis.wait().code(), Some(0));
}

#[test]
fn a_configuration_of_polls_is_checked() {
    let transmitter = Transmitter::start();
    let world = world(&[&transmitter]);
    let config = world.config();
    let url = transmitter.url();
    let poll = config.split("poll: [").nth(1).unwrap().split(']').next().unwrap().to_owned();
    for (from, to, problem) in [
        (url.as_str(), "http://idp.acme.example/poll", "write an `https` URL"),
        (&poll, &format!("{poll}, {poll}"), "is polled twice"),
        (&poll, "", "no signal could come"),
        ("poll.token", "nothing.token", "nothing.token` cannot be read"),
        ("poll.token", "tuples.yaml", "is not one line with a token"),
        ("max_events: 2", "max_events: 0", "`max_events` is from 1 to 100"),
        ("max_events: 2", "wait: 10ms", "`wait` is from 1s to 300s"),
        ("max_events: 2", "ca_file: tuples.yaml", "holds no PEM certificate"),
        ("keep: 1h", "address: 127.0.0.1:0", "one of `address` and `bearer` is missing"),
    ] {
        world.write("portcullis.yaml", config.replace(from, to));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && said.contains(problem), "{to}: {said}");
    }
}
