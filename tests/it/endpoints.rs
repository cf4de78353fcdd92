//! Which endpoint of an upstream a request goes to, and what happens when one fails.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Connection, Portcullis, Said, Scripted, Then, World, eventually, request};

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      POST: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_read, resource: "document:{path.document}" }
"#;

fn world() -> (World, String) {
    // Clients that leave are noticed soon.
    let world = World { more: "timeouts: { half_closed: 200ms }".to_owned(), ..World::with_routes(ROUTES) };
    let token = world.issuer.token("erin", &[]);
    (world, token)
}

/// An address that nobody listens on, nor will before the test does: each is another one of the machine's own.
fn nowhere() -> SocketAddr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let own = [127, 7, 7, LAST.fetch_add(1, Ordering::SeqCst) + 1];
    TcpListener::bind((IpAddr::from(own), 0)).unwrap().local_addr().unwrap()
}

fn urls(addresses: &[SocketAddr]) -> String {
    let urls: Vec<String> = addresses.iter().map(|address| format!("\"http://{address}\"")).collect();
    format!("urls: [{}]", urls.join(", "))
}

fn endpoints(portcullis: &Portcullis, state: &str) -> f64 {
    portcullis.metric(&format!("portcullis_upstream_endpoints{{state=\"{state}\",upstream=\"main\"}}"))
}

fn until_endpoints(portcullis: &Portcullis, state: &str, count: f64) {
    eventually(state, || (endpoints(portcullis, state) == count).then_some(()));
}

#[test]
fn requests_are_spread_over_the_endpoints_and_the_least_loaded_gets_the_next() {
    let (world, token) = world();
    let one =
        Scripted::start(|request, _| if request.contains("slow") { Said(vec![], Then::Hang) } else { Said::ok("one") });
    let other = Scripted::answering("other");
    let portcullis = world.start_with(&urls(&[one.address, other.address]));
    let get = || portcullis.get("/documents/d1", &token).body;
    let answers: Vec<String> = (0..40).map(|_| get()).collect();
    for answer in ["one", "other"] {
        assert!(answers.iter().any(|body| body == answer), "{answer}: {answers:?}");
    }
    // What hangs at one of them leaves it the more loaded one, in all workers.
    let mut hanging = Connection::open(portcullis.data);
    let arrived = || one.count("slow") + other.count("slow");
    while one.count("slow") == 0 {
        let before = arrived();
        hanging = Connection::open(portcullis.data);
        hanging.send(request("GET", "/documents/d1", &token, "x-this: slow\r\n", ""));
        eventually("it arrives", || (arrived() > before).then_some(()));
        if one.count("slow") == 0 {
            assert_eq!(hanging.answer().unwrap().status, 200);
        }
    }
    assert!((0..40).all(|_| get() == "other"));
    drop(hanging);
    assert_eq!(endpoints(&portcullis, "up"), 2.0);
}

#[test]
fn where_no_connection_can_be_made_any_request_goes_to_another_endpoint() {
    let (world, token) = world();
    let (there, gone) = (Scripted::answering("there"), nowhere());
    let portcullis = world
        .start_with(&format!("{}, ejection: {{ pause: 100ms, longest_pause: 200ms }}", urls(&[gone, there.address])));
    let mut tried_again = 0;
    for number in 0..30 {
        let answer = portcullis.request("POST", "/documents/d1", &token, "", &format!("body {number}."));
        assert_eq!((answer.status, answer.body.as_str()), (200, "there"));
        assert_eq!(there.count(&format!("body {number}.")), 1);
        let record = world.record_of(&answer);
        tried_again += usize::from(record["upstream_attempts"] == 2);
    }
    assert!(tried_again >= 1, "at least one was for the other one first");
    portcullis.until_logged("left alone for a while");
    assert_eq!((endpoints(&portcullis, "up"), endpoints(&portcullis, "ejected")), (1.0, 1.0));
    assert!(portcullis.metric("portcullis_upstream_ejections_total{upstream=\"main\"}") >= 1.0);
    assert_eq!(portcullis.log().matches("left alone for a while").count(), 1, "said once, whatever the trials come to");
    // It comes up, and the next request that tries it brings it back.
    let back = Scripted::start_at(gone, |_, _| Said::ok("back"));
    eventually("it is tried", || (portcullis.get("/documents/d1", &token).body == "back").then_some(()));
    portcullis.until_logged("an endpoint answers again");
    until_endpoints(&portcullis, "up", 2.0);
    drop(back);
}

#[test]
fn not_more_than_its_share_is_left_alone_and_never_the_only_one() {
    let (world, token) = world();
    let portcullis = world.start_with(&urls(&[nowhere(), nowhere(), nowhere()]));
    for _ in 0..10 {
        assert_eq!(portcullis.get("/documents/d1", &token).reason(), "upstream_unreachable");
    }
    assert_eq!((endpoints(&portcullis, "up"), endpoints(&portcullis, "ejected")), (2.0, 1.0));
    // The only one is asked by every request: so it is back as soon as it is there.
    let gone = nowhere();
    world.write_with(&urls(&[gone]));
    portcullis.until_revision_above(1);
    for _ in 0..10 {
        assert_eq!(portcullis.get("/documents/d1", &token).status, 502);
    }
    let _back = Scripted::start_at(gone, |_, _| Said::ok("back"));
    assert_eq!(portcullis.get("/documents/d1", &token).body, "back");
}

#[test]
fn answers_of_gateways_are_failures_where_that_is_said() {
    let (world, token) = world();
    let failing = Scripted::start(|_, _| Said::of("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", Then::Keep));
    let well = Scripted::answering("well");
    let both = urls(&[failing.address, well.address]);
    let portcullis = world.start_with(&format!(
        "{both}, ejection: {{ gateway_errors: true, failures: 3, pause: 60s, longest_pause: 60s }}"
    ));
    for _ in 0..60 {
        portcullis.get("/documents/d1", &token);
    }
    assert_eq!(endpoints(&portcullis, "ejected"), 1.0);
    assert_eq!(failing.seen().len(), 3);
    // What is known of endpoints outlives reloads that leave the upstream as it was.
    world.replace("tuples.yaml", world.tuples() + "- { user: user:new, relation: viewer, object: folder:open }\n");
    portcullis.until_revision_above(1);
    assert_eq!(portcullis.get("/documents/d1", &token).body, "well");
    assert_eq!((endpoints(&portcullis, "ejected"), failing.seen().len()), (1.0, 3));
}

#[test]
fn checks_take_an_endpoint_out_of_service_and_back() {
    let (world, token) = world();
    let ill = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&ill);
    let one = Scripted::start(move |request, _| match request.starts_with("GET /healthz?deep=1 ") {
        true if told.load(Ordering::SeqCst) => Said::of("HTTP/1.1 500 Ill\r\ncontent-length: 0\r\n\r\n", Then::Keep),
        _ => Said::ok("one"),
    });
    let other = Scripted::answering("other");
    let both = urls(&[one.address, other.address]);
    let portcullis = world.start_with(&format!(
        "{both}, health: {{ path: \"/healthz?deep=1\", interval: 50ms, timeout: 5s, failures: 2 }}"
    ));
    until_endpoints(&portcullis, "down", 1.0);
    portcullis.until_logged("an endpoint is down: its checks fail");
    assert!((0..20).all(|_| portcullis.get("/documents/d1", &token).body == "other"));
    ill.store(false, Ordering::SeqCst);
    portcullis.until_logged("an endpoint is up again: its check succeeds");
    until_endpoints(&portcullis, "up", 2.0);
    eventually("it gets requests", || (portcullis.get("/documents/d1", &token).body == "one").then_some(()));
    let check = one.seen().into_iter().find(|request| request.starts_with("GET /healthz")).unwrap();
    assert!(check.contains(&format!("host: {}\r\n", one.address)) && !check.contains("authorization"), "{check}");
}

#[test]
fn that_none_is_known_to_be_well_is_no_reason_to_ask_none() {
    let (world, token) = world();
    let well = Scripted::start(|request, _| match request.starts_with("GET /wrong ") {
        true => Said::of("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Then::Keep),
        false => Said::ok("well"),
    });
    let portcullis =
        world.start_with(&format!("{}, health: {{ path: /wrong, interval: 20ms }}", urls(&[well.address])));
    until_endpoints(&portcullis, "down", 1.0);
    assert_eq!(portcullis.get("/documents/d1", &token).body, "well");
}

#[test]
fn names_are_resolved_beside_the_requests_and_one_that_is_nowhere_is_told() {
    let (world, token) = world();
    let port = world.upstream.address.port();
    let portcullis = world.start_with(&format!("url: \"http://localhost:{port}\""));
    assert_eq!(portcullis.get("/documents/d1", &token).status, 200);
    assert!(endpoints(&portcullis, "up") >= 1.0);
    world.write_with("url: \"http://nowhere.invalid:80\"");
    portcullis.until_revision_above(1);
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
    let detail = world.record_of(&answer)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("no address"), "{detail}");
    portcullis.until_logged("an upstream's name cannot be resolved");
    assert!(portcullis.metric("portcullis_upstream_resolution_failures_total{upstream=\"main\"}") >= 1.0);
}

#[test]
fn requests_that_an_upstream_has_no_room_for_are_turned_away_at_once() {
    let (world, token) = world();
    let hanging = Scripted::start(|request, _| match request.contains("hang") {
        true => Said(vec![], Then::Hang),
        false => Said::ok("well"),
    });
    let url = format!("url: \"http://{}\"", hanging.address);
    let portcullis = world.start_with(&format!("{url}, response_timeout: 20s, limits: {{ in_flight: 3 }}"));
    let mut stuck: Vec<Connection> = (0..3).map(|_| Connection::open(portcullis.data)).collect();
    for connection in &mut stuck {
        connection.send(request("GET", "/documents/d1", &token, "x-do: hang\r\n", ""));
    }
    eventually("they hang", || (hanging.count("hang") == 3).then_some(()));
    let begun = Instant::now();
    for _ in 0..10 {
        let answer = portcullis.get("/documents/d1", &token);
        assert_eq!((answer.status, answer.reason().as_str()), (503, "upstream_overloaded"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "at once");
    assert_eq!(hanging.seen().len(), 3);
    let name = "portcullis_upstream_errors_total{reason=\"upstream_overloaded\",upstream=\"main\"}";
    assert_eq!(portcullis.metric(name), 10.0);
    assert_eq!(portcullis.metric("portcullis_upstream_requests_in_flight{upstream=\"main\"}"), 3.0);
    // Whoever leaves makes room.
    stuck.pop();
    eventually("there is room", || (portcullis.get("/documents/d1", &token).body == "well").then_some(()));
}

#[test]
fn an_answer_takes_room_until_its_end() {
    let (world, token) = world();
    let slow = Scripted::start(|request, _| match request.contains("begin") {
        true => Said::of("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf", Then::Hang),
        false => Said::ok("well"),
    });
    let url = format!("url: \"http://{}\"", slow.address);
    let portcullis = world.start_with(&format!("{url}, limits: {{ in_flight: 1 }}"));
    for _ in 0..5 {
        assert_eq!(portcullis.get("/documents/d1", &token).body, "well");
    }
    let mut reading = Connection::open(portcullis.data);
    reading.send(request("GET", "/documents/d1", &token, "x-do: begin\r\n", ""));
    eventually("it has begun", || (slow.count("begin") == 1).then_some(()));
    eventually("it takes room", || (portcullis.get("/documents/d1", &token).status == 503).then_some(()));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(portcullis.get("/documents/d1", &token).reason(), "upstream_overloaded");
    drop(slow);
    eventually("it has ended", || (portcullis.get("/documents/d1", &token).status == 502).then_some(()));
}

#[test]
fn connections_are_bounded_and_those_that_rest_are_in_nobodys_way() {
    let (world, token) = world();
    let upstream = Scripted::start(|request, _| match request.contains("hang") {
        true => Said(vec![], Then::Hang),
        false => Said::ok("well"),
    });
    let url = format!("url: \"http://{}\"", upstream.address);
    // Several workers, each with connections of its own.
    let portcullis = world.start_with(&format!("{url}, connect_timeout: 5s, limits: {{ connections: 1 }}"));
    for _ in 0..6 {
        // Each is accepted by any of the workers: the one that has no connection waits until that of the other is closed.
        assert_eq!(portcullis.get("/documents/d1", &token).body, "well");
    }
    world.write_with(&format!("{url}, connect_timeout: 200ms, limits: {{ connections: 2 }}"));
    portcullis.until_revision_above(1);
    let mut stuck: Vec<Connection> = (0..2).map(|_| Connection::open(portcullis.data)).collect();
    for connection in &mut stuck {
        connection.send(request("GET", "/documents/d1", &token, "x-do: hang\r\n", ""));
    }
    eventually("they hang", || (upstream.count("hang") == 2).then_some(()));
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (503, "upstream_overloaded"));
    drop(stuck);
    eventually("there is a place", || (portcullis.get("/documents/d1", &token).body == "well").then_some(()));
}

#[test]
fn connections_to_endpoints_that_are_gone_and_those_that_are_old_are_closed() {
    let (world, token) = world();
    let (one, other) = (Scripted::answering("one"), Scripted::answering("other"));
    let portcullis = world.start_with(&format!("url: \"http://{}\", connection_age: 300ms", one.address));
    let mut client = Connection::open(portcullis.data);
    let mut get = || {
        client.send(request("GET", "/documents/d1", &token, "", ""));
        client.answer().unwrap().body
    };
    assert_eq!((get(), get(), one.connections()), ("one".into(), "one".into(), 1));
    thread::sleep(Duration::from_millis(400));
    assert_eq!((get(), one.connections()), ("one".into(), 2));
    world.write_with(&format!("url: \"http://{}\"", one.address));
    let revision = portcullis.until_revision_above(1);
    assert_eq!(get(), "one");
    assert!(!one.are_all_closed());
    world.write_with(&format!("url: \"http://{}\"", other.address));
    portcullis.until_revision_above(revision);
    assert_eq!(get(), "other");
    eventually("all connections to it are closed", || one.are_all_closed().then_some(()));
}

#[test]
fn mistakes_are_told_with_their_place_and_advice() {
    let (world, _) = world();
    let mistakes = [
        ("urls: []", "`urls` is empty: there is no endpoint"),
        (
            "url: \"http://a:1\", urls: [\"http://a:1\"]",
            "an upstream has exactly one of `url`, `urls`, `original_destination` and `requested_host`",
        ),
        ("urls: [\"http://a:1\", \"http://a:1\"]", "`http://a:1` is there twice"),
        ("urls: [\"http://a:1\", \"https://b:1\"]", "all URLs of an upstream are `https`, or none is"),
        ("urls: [\"http://a:1\", \"http://b:1\"], preserve_host: false", "several URLs have several hosts"),
        ("url: \"http://a:1\", limits: { in_flight: 0 }", "0 would refuse everything"),
        ("url: \"http://a:1\", ejection: { at_most: 120% }", "`120%` is not a share from 0% to 100%"),
        ("url: \"http://a:1\", ejection: { pause: 10s, longest_pause: 5s }", "`longest_pause` is shorter"),
        ("url: \"http://a:1\", ejection: { failures: 0 }", "0 failures are none"),
        ("url: \"http://a:1\", health: { path: healthz }", "`healthz` is not a path"),
        ("url: \"http://a:1\", retries: { attempts: 1 }", "`attempts` cannot be 1"),
        ("url: \"http://a:1\", retries: { budget: 0% }", "`0%` is not a share from 1% to 100%"),
    ];
    for (written, said) in mistakes {
        world.write_with(written);
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && told.contains(said), "{written}: {told}");
        assert!(told.contains("portcullis.yaml:6:"), "{written}: {told}");
    }
}

#[test]
fn a_flapping_upstream_piles_nothing_up_and_is_back_when_it_is() {
    let (world, token) = world();
    let address = nowhere();
    let upstream = format!("url: \"http://{address}\", connect_timeout: 300ms, limits: {{ in_flight: 4 }}");
    let portcullis = world.start_with(&upstream);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let answer = portcullis.get("/documents/d1", &token);
                    let is_told =
                        ["", "upstream_unreachable", "upstream_overloaded"].contains(&answer.reason().as_str());
                    assert!(is_told, "{answer:?}");
                }
            });
        }
        for round in 0..3 {
            thread::sleep(Duration::from_millis(200));
            let in_flight = portcullis.metric("portcullis_upstream_requests_in_flight{upstream=\"main\"}");
            let hangs = round % 2 == 1;
            let _back = Scripted::start_at(address, move |_, before| match hangs && before < 20 {
                true => Said(vec![], Then::Close),
                false => Said::ok("back"),
            });
            let since = Instant::now();
            eventually("it is back", || (portcullis.get("/documents/d1", &token).body == "back").then_some(()));
            // One second is promised; the machine may be busy.
            assert!(in_flight <= 4.0 && since.elapsed() < Duration::from_secs(5), "{in_flight} {:?}", since.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
    });
    eventually("nothing is left", || {
        (portcullis.metric("portcullis_upstream_requests_in_flight{upstream=\"main\"}") == 0.0).then_some(())
    });
}
