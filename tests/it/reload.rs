//! What changes on disk is in force with the next request, or refused whole.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{Connection, Issuer, Portcullis, World, eventually, request, rounds, token};

const GRANT: &str = "- { user: user:mallory, relation: viewer, object: document:d1 }\n";

#[test]
fn a_plain_write_a_rename_and_a_removal_are_noticed() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("mallory", &[]);
    let before = world.tuples();
    assert_eq!(portcullis.get("/documents/d1", &token).status, 403);
    world.write("tuples.yaml", format!("{before}{GRANT}"));
    assert_eq!(portcullis.until_revision_above(1), 2);
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.revision()), (200, 2));
    world.replace("tuples.yaml", &before);
    portcullis.until_revision_above(2);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 403);
    fs::remove_file(world.path("tuples.yaml")).unwrap();
    portcullis.until_logged("refused");
    assert_eq!(portcullis.get("/documents/d1", &token).revision(), 3, "what was in force stays");
    world.write("tuples.yaml", format!("{before}{GRANT}"));
    portcullis.until_revision_above(3);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
}

#[test]
fn a_module_that_changes_is_noticed() {
    let world = World::new();
    let model = fs::read_to_string(world.path("model.fga")).unwrap();
    let (_, types) = model.split_once("schema 1.1\n").unwrap();
    fs::create_dir(world.path("modules")).unwrap();
    world.write("modules/all.fga", format!("module all\n{types}"));
    world.write("fga.mod", "schema: \"1.2\"\ncontents: [modules/all.fga]\n");
    world.write("portcullis.yaml", world.config().replace("model.fga", "fga.mod"));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    world.write("modules/all.fga", format!("module all\n{types}\ntype other\n"));
    assert_eq!(portcullis.until_revision_above(1), 2);
}

#[test]
fn a_config_map_swap_is_noticed() {
    let world = World::new();
    // Kubernetes mounts `file -> ..data/file` and `..data -> ..revision`, and swaps `..data` in one step.
    let revision = |name: &str, tuples: &str| {
        fs::create_dir(world.path(name)).unwrap();
        fs::write(world.path(name).join("tuples.yaml"), tuples).unwrap();
        symlink(name, world.path("..data.new")).unwrap();
        fs::rename(world.path("..data.new"), world.path("..data")).unwrap();
    };
    let tuples = world.tuples();
    fs::remove_file(world.path("tuples.yaml")).unwrap();
    revision("..1", &tuples);
    symlink("..data/tuples.yaml", world.path("tuples.yaml")).unwrap();
    let portcullis = world.start();
    let token = world.issuer.token("mallory", &[]);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 403);
    revision("..2", &format!("{tuples}{GRANT}"));
    portcullis.until_revision_above(1);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    // The folder before is removed, as the kubelet does.
    fs::remove_dir_all(world.path("..1")).unwrap();
    revision("..3", &tuples);
    portcullis.until_revision_above(2);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 403);
}

#[test]
fn what_does_not_build_is_refused_whole_with_every_problem() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let tuples = world.tuples();
    world.write(
        "tuples.yaml",
        format!("{tuples}- {{ user: alien:x, relation: viewer, object: document:d1 }}\n- nonsense\n{GRANT}"),
    );
    portcullis.until_logged("the snapshot before it stays in force");
    eventually("every problem is logged", || portcullis.log().contains("tuples.yaml:15:").then_some(()));
    assert_eq!(portcullis.metric("portcullis_snapshot_builds_total{outcome=\"refused\"}"), 1.0);
    assert_eq!(portcullis.metric("portcullis_snapshot_last_build_refused"), 1.0);
    assert_eq!(portcullis.revision(), 1);
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    assert_eq!(
        portcullis.get("/documents/d1", &world.issuer.token("mallory", &[])).status,
        403,
        "not even a part of it"
    );
    world.write("tuples.yaml", tuples);
    portcullis.until_revision_above(1);
    assert_eq!(portcullis.metric("portcullis_snapshot_last_build_refused"), 0.0);
}

#[test]
fn model_routes_and_keys_reload_the_same_way() {
    let mut world = World::new();
    let portcullis = world.start();
    let erin = world.issuer.token("erin", &[]);
    // Keys: another issuer's key, in the same file.
    let other = Issuer::new("k2");
    assert_eq!(portcullis.get("/documents/d1", &other.token("erin", &[])).status, 401);
    world.replace("jwks.json", serde_json::json!({ "keys": [other.jwk()] }).to_string());
    let revision = portcullis.until_revision_above(1);
    assert_eq!(portcullis.get("/documents/d1", &other.token("erin", &[])).status, 200);
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 401, "a key that is gone is gone at once, cache or not");
    // Routes.
    let erin = other.token("erin", &[]);
    world.routes = world.routes.replace("/documents/", "/papers/");
    world.replace("portcullis.yaml", world.config());
    let revision = portcullis.until_revision_above(revision);
    assert_eq!(portcullis.get("/papers/d1", &erin).status, 200);
    assert_eq!(portcullis.get("/documents/d1", &erin).reason(), "no_route");
    // Model.
    let model = fs::read_to_string(world.path("model.fga")).unwrap();
    world.replace("model.fga", model.replace("define can_read: viewer but not excluded", "define can_read: can_write"));
    portcullis.until_revision_above(revision);
    assert_eq!(portcullis.get("/papers/d1", &erin).status, 200, "erin may write too");
    assert_eq!(portcullis.get("/papers/d1", &other.token("frank", &[])).status, 403);
}

#[test]
fn a_broken_configuration_and_what_needs_a_restart_are_refused() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    world.write("portcullis.yaml", world.config().replace("upstream: main", "upstraem: main"));
    portcullis.until_logged("did you mean `upstream`?");
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    world.write("portcullis.yaml", world.config().replace("workers: 2", "workers: 3"));
    portcullis.until_logged("changed since the start: workers");
    assert_eq!(portcullis.get("/documents/d1", &token).revision(), 1);
    world.write("portcullis.yaml", world.config());
    portcullis.until_revision_above(1);
}

#[test]
fn a_policy_older_than_its_bound_denies() {
    let world = World { policy_more: "max_staleness: 2s".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200, "the files are still there, so it is not stale");
    world.write("model.fga", "not a model");
    let stale =
        eventually("it is stale", || Some(portcullis.get("/documents/d1", &token)).filter(|it| it.status != 200));
    assert_eq!((stale.status, stale.reason().as_str()), (503, "stale_snapshot"));
    assert_eq!(portcullis.telemetry("/readyz").status, 503);
    assert_eq!(portcullis.telemetry("/livez").status, 200);
}

#[test]
fn while_keys_are_waited_for_the_policy_ages() {
    let world = World { policy_more: "max_staleness: 1s".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let more = "    - issuer: https://other.example\n      audiences: [a]\n      jwks: { url: \"http://127.0.0.1:1/keys\" }\n      subject: \"user:{sub}\"\n";
    world.replace("portcullis.yaml", world.config().replace("  jwt:\n", &format!("  jwt:\n{more}")));
    portcullis.until_logged("there is no new snapshot yet");
    assert_eq!(portcullis.metric("portcullis_snapshot_last_build_refused"), 1.0);
    eventually("it is stale", || {
        Some(()).filter(|()| portcullis.get("/documents/d1", &token).reason() == "stale_snapshot")
    });
    world.replace("portcullis.yaml", world.config());
    eventually("it is fresh", || Some(()).filter(|()| portcullis.get("/documents/d1", &token).status == 200));
}

#[test]
fn a_pipe_an_emptied_file_and_a_folder_are_refused_and_hold_nothing_up() {
    let world = World::new();
    let portcullis = world.start();
    let tuples = world.tuples();
    let file = world.path("tuples.yaml");
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    portcullis.until_logged("it is not a regular file");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    thread::sleep(std::time::Duration::from_millis(200));
    fs::remove_dir(&file).unwrap();
    world.write("tuples.yaml", "");
    portcullis.until_logged("the file is empty");
    assert_eq!(portcullis.revision(), 1);
    world.write("tuples.yaml", format!("{tuples}{GRANT}"));
    portcullis.until_revision_above(1);
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("mallory", &[])).status, 200);
}

/// Each revision grants one document to everybody and takes the one before away, so that an answer tells by which
/// revision it was decided: any mix would show.
#[test]
fn swaps_under_load_tear_no_answer_and_leave_nothing_behind() {
    let swaps = u64::try_from(rounds(200, 10_000)).unwrap();
    let world = World::new();
    let base = world.tuples();
    let tuples =
        |revision: u64| format!("{base}- {{ user: user:*, relation: viewer, object: document:r{} }}\n", revision % 2);
    world.write("tuples.yaml", tuples(1));
    let portcullis = world.start();
    // At full length it lasts longer than tokens do.
    let token = token(&world.issuer, "someone", |claims| {
        claims["exp"] = (claims["exp"].as_i64().unwrap() + 86_400).into();
    });
    let (stop, asked) = (AtomicBool::new(false), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        for client in 0..4_u64 {
            let (stop, asked, token, address) = (&stop, Arc::clone(&asked), &token, portcullis.data);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                let mut last = 0;
                let mut document = client % 2;
                while !stop.load(Ordering::Relaxed) {
                    document = 1 - document;
                    connection.send(request("GET", &format!("/documents/r{document}"), token, "", ""));
                    let answer = connection.answer().expect("every request is answered");
                    let revision = answer.revision();
                    let expected = if revision % 2 == document { 200 } else { 403 };
                    assert_eq!(answer.status, expected, "document r{document} by revision {revision}: {}", answer.body);
                    assert!(revision >= last, "revisions only go up");
                    last = revision;
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut settled = 0;
        for revision in 2..=swaps + 1 {
            world.replace("tuples.yaml", tuples(revision));
            assert_eq!(portcullis.until_revision_above(revision - 1), revision);
            if revision == swaps / 10 {
                settled = portcullis.resident();
            }
        }
        let after = portcullis.resident();
        println!("{} KiB after {} swaps, {} KiB after {swaps}", settled >> 10, swaps / 10, after >> 10);
        // At first it grows whatever happens: threads and pools come to what they need.
        assert!(swaps < 1000 || after < settled + settled / 20, "{settled} bytes grew to {after}");
        stop.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 1000, "there was load: {asked:?}");
    assert_eq!(portcullis.metric("portcullis_snapshot_builds_total{outcome=\"published\"}"), (swaps + 1) as f64);
}

#[test]
fn keys_are_fetched_from_a_url_and_again_when_a_token_names_an_unknown_key() {
    let world = World::new();
    let keys = crate::support::Upstream::start();
    keys.answer_with("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    let config = world.config().replace("{ file: jwks.json }", &format!("{{ url: \"http://{}/jwks\" }}", keys.address));
    world.write("portcullis.yaml", config);
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    // Without keys there is no snapshot: not ready, and nothing passes.
    assert_eq!(portcullis.telemetry("/readyz").status, 503);
    assert_eq!(portcullis.get("/documents/d1", &token).reason(), "no_snapshot");
    keys.answer_json(&world.issuer.jwks());
    eventually("the keys are there", || Some(()).filter(|()| portcullis.get("/documents/d1", &token).status == 200));
    assert!(keys.last().starts_with("GET /jwks HTTP/1.1\r\n"));
    // A new key is fetched when it is first seen.
    let fetched = keys.seen().len();
    let other = Issuer::new("k2");
    keys.answer_json(&serde_json::json!({ "keys": [world.issuer.jwk(), other.jwk()] }).to_string());
    let rotated = other.token("erin", &[]);
    assert_eq!(portcullis.get("/documents/d1", &rotated).status, 401);
    eventually("the new key is there", || {
        Some(()).filter(|()| portcullis.get("/documents/d1", &rotated).status == 200)
    });
    assert_eq!(keys.seen().len(), fetched + 1, "unknown keys do not make a storm of fetches");
}

#[test]
fn a_key_set_of_no_use_does_not_replace_one_that_is_and_holds_nothing_up() {
    let world = World::new();
    let keys = crate::support::Upstream::start();
    keys.answer_json(&world.issuer.jwks());
    let url = format!("{{ url: \"http://{}/jwks\", refresh: 100ms }}\n      algorithms: [ES256]", keys.address);
    world.write("portcullis.yaml", world.config().replace("{ file: jwks.json }", &url));
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    let status = || portcullis.get("/documents/d1", &token).status;
    eventually("the keys are there", || Some(()).filter(|()| status() == 200));
    let json = |keys: serde_json::Value| serde_json::json!({ "keys": keys }).to_string();
    let twice = json(serde_json::json!([world.issuer.jwk(), Issuer::new("k1").jwk()]));
    // Ed25519 (RFC 8037, appendix A.2), by which no token of this issuer may be signed.
    let other = json(serde_json::json!([
        { "kty": "OKP", "crv": "Ed25519", "kid": "k2", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }
    ]));
    for (number, useless) in [twice, other, json(serde_json::json!([])), "nothing".to_owned()].iter().enumerate() {
        keys.answer_json(useless);
        let fetched = keys.seen().len();
        eventually("it is fetched", || Some(()).filter(|()| keys.seen().len() > fetched + 1));
        let before = portcullis.revision();
        world.replace("tuples.yaml", format!("{}# {number}\n", world.tuples()));
        portcullis.until_revision_above(before);
        assert_eq!(status(), 200, "{useless}");
    }
    let failures = "portcullis_key_set_fetch_failures_total{issuer=\"https://idp.acme.example\"}";
    assert!(portcullis.metric(failures) >= 4.0);
}

#[test]
fn keys_that_cannot_be_fetched_are_used_no_longer_than_their_staleness() {
    let world = World::new();
    let keys = crate::support::Upstream::start();
    keys.answer_json(&world.issuer.jwks());
    let url = format!("{{ url: \"http://{}/jwks\", refresh: 100ms, max_staleness: 500ms }}", keys.address);
    world.write("portcullis.yaml", world.config().replace("{ file: jwks.json }", &url));
    let portcullis = crate::support::Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    let answers = |status: u16| Some(()).filter(|()| portcullis.get("/documents/d1", &token).status == status);
    eventually("the keys are there", || answers(200));
    keys.answer_with("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    eventually("the keys are too old", || answers(401));
    // Their end is a new revision, and their return another: nothing else has to be done.
    keys.answer_json(&world.issuer.jwks());
    eventually("the keys are there again", || answers(200));
}
