//! Keys that the issuer itself says where they are, their rotation and its outages.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::support::{Connection, Issuer, Portcullis, Provider, World, eventually, request};

const OPENID: &str = "/.well-known/openid-configuration";

/// A proxy that trusts the provider by discovery, with these other settings of its keys.
fn trusting(world: &World, provider: &Provider, more: &str) -> Portcullis {
    let keys = format!("{{ discovery: true{more} }}");
    let config = world.config().replace("{ file: jwks.json }", &keys);
    world.write("portcullis.yaml", config.replace("https://idp.acme.example", &provider.name()));
    Portcullis::start(&world.path("portcullis.yaml"))
}

fn status(portcullis: &Portcullis, token: &str) -> u16 {
    portcullis.get("/documents/d1", token).status
}

#[test]
fn keys_are_found_where_the_issuer_says() {
    let (world, key) = (World::new(), Issuer::new("k1"));
    let provider = Provider::start(&[&key]);
    let portcullis = trusting(&world, &provider, "");
    let token = provider.token(&key, "erin", |_| ());
    eventually("the keys are there", || (status(&portcullis, &token) == 200).then_some(()));
    assert_eq!(provider.asked(), [OPENID, "/keys"]);
    // A token with a key that is not there makes for one more look, however many come.
    for number in 0..50 {
        let stranger = Issuer::new(&format!("stranger-{number}"));
        assert_eq!(status(&portcullis, &provider.token(&stranger, "erin", |_| ())), 401);
    }
    eventually("the keys are looked for once more", || (provider.asked().len() == 4).then_some(()));
    assert_eq!(status(&portcullis, &token), 200);
    assert_eq!(provider.asked(), [OPENID, "/keys", OPENID, "/keys"]);
}

#[test]
fn key_sets_that_cannot_be_fetched_are_in_the_metrics() {
    let (world, key) = (World::new(), Issuer::new("k1"));
    let provider = Provider::start(&[&key]);
    provider.set_out(true);
    let portcullis = trusting(&world, &provider, ", refresh: 1s");
    let labelled =
        |name: &str| portcullis.metric(&format!("portcullis_key_set_{name}{{issuer=\"{}\"}}", provider.name()));
    eventually("it fails", || (labelled("fetch_failures_total") >= 1.0).then_some(()));
    assert!(portcullis.telemetry("/metrics").body.contains("portcullis_key_set_last_success_timestamp_seconds{"));
    assert_eq!(labelled("last_success_timestamp_seconds"), 0.0, "it never was fetched");
    assert!(!portcullis.log().contains("the one before stays in force"), "there is none before");
    portcullis.until_logged("there is no snapshot yet, until then every request is denied");
    provider.set_out(false);
    eventually("it is fetched", || (labelled("last_success_timestamp_seconds") > 1.6e9).then_some(()));
}

#[test]
fn metadata_may_be_where_authorization_servers_have_them() {
    let (world, key) = (World::new(), Issuer::new("k1"));
    let provider = Provider::start(&[&key]);
    provider.forget(OPENID);
    let metadata = json!({ "issuer": provider.name(), "jwks_uri": format!("{}/keys", provider.name()) });
    provider.answer("/.well-known/oauth-authorization-server", &metadata);
    let portcullis = trusting(&world, &provider, "");
    let token = provider.token(&key, "erin", |_| ());
    eventually("the keys are there", || (status(&portcullis, &token) == 200).then_some(()));
    assert_eq!(provider.asked(), [OPENID, "/.well-known/oauth-authorization-server", "/keys"]);
}

#[test]
fn metadata_of_another_issuer_or_with_keys_elsewhere_are_refused() {
    let (world, key) = (World::new(), Issuer::new("k1"));
    let provider = Provider::start(&[&key]);
    let elsewhere = Provider::start(&[&key]);
    let keys = format!("{}/keys", provider.name());
    for (metadata, problem) in [
        (json!({ "issuer": format!("{}/", provider.name()), "jwks_uri": keys }), "not of the one that is configured"),
        (json!({ "issuer": "https://idp.acme.example", "jwks_uri": keys }), "not of the one that is configured"),
        (json!({ "jwks_uri": keys }), "not of the one that is configured"),
        (json!({ "issuer": provider.name() }), "no `jwks_uri`"),
        (json!({ "issuer": provider.name(), "jwks_uri": format!("{}/keys", elsewhere.name()) }), "at another host"),
        (json!({ "issuer": provider.name(), "jwks_uri": "http://keys.example/k" }), "is no `https` URL"),
        (json!([]), "no strict JSON object"),
        (json!({ "issuer": provider.name(), "x": "x".repeat(300 * 1024) }), "the document cannot be read"),
    ] {
        provider.answer(OPENID, &metadata);
        let portcullis = trusting(&world, &provider, "");
        portcullis.until_logged(problem);
        assert_eq!(portcullis.get("/documents/d1", &provider.token(&key, "erin", |_| ())).reason(), "no_snapshot");
    }
    assert!(elsewhere.asked().is_empty());
    // Another host is one that somebody named.
    let metadata = json!({ "issuer": provider.name(), "jwks_uri": format!("{}/keys", elsewhere.name()) });
    provider.answer(OPENID, &metadata);
    let portcullis = trusting(&world, &provider, &format!(", hosts: [\"{}\"]", elsewhere.address));
    let token = provider.token(&key, "erin", |_| ());
    eventually("the keys are there", || (status(&portcullis, &token) == 200).then_some(()));
}

#[test]
fn a_configuration_says_in_one_way_where_keys_are() {
    let world = World::new();
    for (keys, issuer, problem) in [
        ("{ discovery: true, file: jwks.json }", "https://idp.acme.example", "more than one of"),
        ("{ discovery: true, url: \"https://idp.acme.example/k\" }", "https://idp.acme.example", "more than one of"),
        ("{ discovery: false }", "https://idp.acme.example", "says nothing of where the keys are"),
        ("{ file: jwks.json, hosts: [a.example] }", "https://idp.acme.example", "for `discovery: true` only"),
        ("{ discovery: true }", "http://idp.acme.example", "is no `https` URL"),
        ("{ discovery: true }", "acme", "is no `https` URL"),
    ] {
        let config = world.config().replace("{ file: jwks.json }", keys);
        world.write("portcullis.yaml", config.replace("https://idp.acme.example", issuer));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && said.contains(problem), "{keys}: {said}");
    }
}

/// Keys are rotated ten times while clients ask, and the provider is out between: a token of a key that is published is
/// never refused, one of a key that never was is never accepted.
#[test]
fn keys_rotate_and_the_provider_is_out_under_load_and_no_answer_is_wrong() {
    let world = World::new();
    let keys: Vec<Issuer> = (0..11).map(|number| Issuer::new(&format!("k{number}"))).collect();
    let provider = Provider::start(&[&keys[0]]);
    let portcullis = trusting(&world, &provider, ", refresh: 100ms, max_staleness: 10m");
    let token = |number: usize| provider.token(&keys[number], "erin", |_| ());
    eventually("the first key is there", || (status(&portcullis, &token(0)) == 200).then_some(()));
    // A key of the same name, which the provider does not have.
    let forger = Issuer::new("k0");
    let forged = provider.token(&forger, "erin", |_| ());
    let (stop, current, asked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..3 {
            let (stop, current, asked, token, forged, address) =
                (&stop, &current, &asked, &token, &forged, portcullis.data);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                while !stop.load(Ordering::Relaxed) {
                    let good = asked.fetch_add(1, Ordering::Relaxed) % 3 != client;
                    let used = current.load(Ordering::Acquire);
                    let text = if good { token(used) } else { forged.clone() };
                    let asking = request("GET", "/documents/d1", &text, "", "");
                    // Bad ones come alone: many of them end a connection.
                    let mut alone = (!good).then(|| Connection::open(address));
                    let used_connection = alone.as_mut().unwrap_or(&mut connection);
                    used_connection.send(asking);
                    let answer = used_connection.answer().expect("every request is answered");
                    // A key that was replaced while the request was on its way may be gone.
                    let is_right = if good {
                        answer.status == 200 || current.load(Ordering::Acquire) > used
                    } else {
                        answer.status == 401
                    };
                    assert!(is_right, "{} with key {used}, good: {good}: {}", answer.status, answer.body);
                }
            });
        }
        for number in 1..keys.len() {
            // Published beside the one before, in use once it is known, alone at the end; and an outage.
            provider.publish(&[&keys[number - 1], &keys[number]]);
            eventually("the new key is known", || (status(&portcullis, &token(number)) == 200).then_some(()));
            current.store(number, Ordering::Release);
            thread::sleep(Duration::from_millis(50));
            provider.set_out(true);
            thread::sleep(Duration::from_millis(100));
            provider.set_out(false);
            provider.publish(&[&keys[number]]);
            eventually("the old key is gone", || (status(&portcullis, &token(number - 1)) == 401).then_some(()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 100, "there was load: {asked:?}");
}
