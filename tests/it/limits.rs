//! Limits that many share: no agent, no source and no flood takes everything, and the operator's doors stay open.

use std::{
    process::{Command, Stdio},
    thread,
};

use crate::support::{Connection, Portcullis, World, answer_of, eventually, request};

#[test]
fn one_sender_does_not_take_all_places() {
    let world = World { more: "limits: { in_flight: 8, in_flight_per_principal: 2 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut slow: Vec<_> = (0..2).map(|_| Connection::open(portcullis.data)).collect();
    for connection in &mut slow {
        connection.send(request("PUT", "/documents/d1", &token, "content-length: 5\r\n", ""));
    }
    let in_flight = || portcullis.metric("portcullis_requests_in_flight");
    eventually("they are in flight", || (in_flight() == 2.0).then_some(()));
    let answer = portcullis.get("/documents/d1", &token);
    assert_eq!((answer.status, answer.reason().as_str()), (429, "too_many_in_flight"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.record_of(&answer)["principal"]["subject"], "user:erin", "the record says whose they are");
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("frank", &[])).status, 200);
    // An agent that acts for her is somebody else.
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &["reader"])).status, 200);
    slow[0].send("12345");
    assert_eq!(slow[0].answer().unwrap().status, 200);
    eventually("a place is free", || (portcullis.get("/documents/d1", &token).status == 200).then_some(()));
}

#[test]
fn by_default_one_sender_has_half_of_the_places() {
    let world = World { more: "limits: { in_flight: 4 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut slow: Vec<_> = (0..4).map(|_| Connection::open(portcullis.data)).collect();
    for connection in &mut slow {
        connection.send(request("PUT", "/documents/d1", &token, "content-length: 5\r\n", ""));
    }
    let refused =
        "portcullis_decisions_total{outcome=\"deny\",reason=\"too_many_in_flight\",route=\"/documents/{document}\"}";
    eventually("two are refused", || (portcullis.metric(refused) == 2.0).then_some(()));
    assert_eq!(portcullis.metric("portcullis_requests_in_flight"), 2.0);
}

#[test]
fn one_source_does_not_take_all_connections() {
    let world = World { more: "limits: { connections_per_source: 2 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let mut first: Vec<_> = (0..2).map(|_| Connection::open(portcullis.data)).collect();
    for connection in &mut first {
        connection.send(request("GET", "/documents/d1", &token, "", ""));
        assert_eq!(connection.answer().unwrap().status, 200);
    }
    assert!(Connection::open(portcullis.data).is_closed());
    let refused = "portcullis_connections_refused_total{reason=\"too_many_of_source\"}";
    assert_eq!(portcullis.metric(refused), 1.0);
    drop(first.pop());
    let again = || answer_of(portcullis.data, request("GET", "/documents/d1", &token, "connection: close\r\n", ""));
    eventually("there is a place again", || again().filter(|answer| answer.status == 200));
}

#[test]
fn limits_of_zero_are_refused() {
    let world = World::new();
    for (limits, at) in [
        ("limits: { streams: 0 }", 20),
        ("limits: { body_rate: 0 }", 22),
        ("limits: { in_flight_per_principal: 0 }", 36),
        ("limits: { connections_per_source: 0 }", 35),
        ("limits: { tunnels_per_principal: 0 }", 34),
    ] {
        let config = world.config().replace("audit: {", &format!("{limits}\naudit: {{"));
        world.write("portcullis.yaml", config);
        let said = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8(said.stderr).unwrap();
        let expected = format!(":{at}: 0 would refuse everything, write a number above zero");
        assert!(said.contains(&expected), "{expected} is not in {said}");
    }
}

#[test]
fn without_file_descriptors_the_operator_still_comes_in_and_it_recovers() {
    let world = World::new();
    world.write("portcullis.yaml", world.config());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_portcullis")]).stdout(Stdio::null());
    let portcullis = Portcullis::launch(command, &world.path("portcullis.yaml")).unwrap();
    let token = world.issuer.token("erin", &[]);
    let mut held: Vec<_> = (0..400).map(|_| Connection::open(portcullis.data)).collect();
    held.iter_mut().for_each(|connection| connection.send("G"));
    let refused = || portcullis.metric("portcullis_connections_refused_total{reason=\"no_descriptors\"}");
    eventually("some are turned away", || (refused() >= 1.0).then_some(()));
    for _ in 0..20 {
        assert_eq!(portcullis.telemetry("/livez").status, 200);
    }
    drop(held);
    let asked = || answer_of(portcullis.data, request("GET", "/documents/d1", &token, "connection: close\r\n", ""));
    eventually("it serves again", || asked().filter(|answer| answer.status == 200));
    let logged = portcullis.log().matches("connections cannot be accepted").count();
    assert!((1..20).contains(&logged), "{logged} lines");
}

#[test]
fn under_more_than_it_can_bear_it_sheds_and_the_doors_stay_open() {
    let world = World { more: "limits: { in_flight: 8 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("mallory", &[]));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let agents: Vec<_> = (0..40)
            .map(|number| {
                let (token, data) = (if number % 4 == 0 { &frank } else { &erin }, portcullis.data);
                scope.spawn(move || {
                    let mut connection = Connection::open(data);
                    let ask = |_| {
                        connection.send(request("GET", "/documents/d1", token, "", ""));
                        let answer = connection.answer().unwrap();
                        let is_denied = answer.reason() == "not_permitted";
                        let is_shed = matches!(answer.status, 429 | 503);
                        assert!(is_shed || is_denied == (number % 4 == 0), "{}", answer.body);
                        assert!(!is_shed || answer.header("retry-after").is_some());
                        answer.status
                    };
                    (0..50).map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..10 {
            assert_eq!(portcullis.telemetry("/readyz").status, 200);
        }
        agents.into_iter().flat_map(|agent| agent.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 403 | 429 | 503)));
    assert!(statuses.iter().filter(|status| matches!(status, 200 | 403)).count() > 200, "most work is done");
    assert_eq!(portcullis.get("/documents/d1", &erin).status, 200);
}

#[test]
fn the_worst_of_all_kinds_at_once_takes_bounded_memory() {
    let world = World { more: "limits: { in_flight: 100 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let before = portcullis.resident();
    let long = "x".repeat(60_000);
    let kinds = [
        // A head that never ends, a body that never does, heads that are looked at twice, and no HTTP at all.
        format!("GET /documents/d1 HTTP/1.1\r\nhost: a\r\nx: {long}"),
        request("PUT", "/documents/d1", &token, "content-length: 1000000000\r\n", "") + &long,
        request("GET", "/documents/d2", "not.a.token", &format!("x: {long}\r\n"), "").repeat(3),
        "\0".repeat(60_000),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned() + &long,
    ];
    let mut bad: Vec<_> = (0..400).map(|_| Connection::open(portcullis.data)).collect();
    for (connection, bytes) in bad.iter_mut().zip(kinds.iter().cycle()) {
        connection.send(bytes);
    }
    let shed =
        "portcullis_decisions_total{outcome=\"deny\",reason=\"too_many_in_flight\",route=\"/documents/{document}\"}";
    eventually("it sheds", || (portcullis.metric(shed) >= 1.0).then_some(()));
    let grown = portcullis.resident().saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes more");
    assert_eq!(portcullis.telemetry("/readyz").status, 200);
    drop(bad);
    let asked = || Some(portcullis.get("/documents/d1", &token)).filter(|answer| answer.status == 200);
    eventually("it serves again", asked);
}

#[test]
fn an_ipv4_client_is_one_of_ipv4_wherever_it_connects() {
    let world = World { listen: "- address: \"[::]:0\"".to_owned(), ..World::new() };
    let portcullis = world.start();
    let address = ([127, 0, 0, 1], portcullis.data.port()).into();
    let answer = answer_of(address, request("GET", "/documents/d1", &world.issuer.token("erin", &[]), "", "")).unwrap();
    assert!(world.record_of(&answer)["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(world.upstream.last().contains("x-forwarded-for: 127.0.0.1\r\n"));
}

#[test]
fn a_sink_that_is_stuck_denies_and_loses_no_line() {
    let world = World::new();
    world.write("portcullis.yaml", world.config().replace("audit: { file: audit.jsonl }", ""));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.stdout(writer);
    let portcullis = Portcullis::launch(command, &world.path("portcullis.yaml")).unwrap();
    let token = world.issuer.token("erin", &[]);
    // Nobody reads what is recorded: when the queue is full, nothing passes.
    let mut answered = 0;
    let ask = "GET /documents/d1 HTTP/1.1\r\nhost: api.acme.example\r\n\r\n".repeat(50);
    let refused = || portcullis.metric("portcullis_audit_records_lost_total");
    let mut connection = Connection::open(portcullis.data);
    while refused() == 0.0 {
        for _ in 0..20 {
            connection.send(&ask);
            for _ in 0..50 {
                assert_eq!(connection.answer().expect("it answers without a pause").status, 401);
                answered += 1;
            }
        }
        assert!(answered < 100_000, "the queue is bounded");
    }
    // Denials leave room for what is permitted, until that is full too.
    let permitted = request("GET", "/documents/d1", &token, "", "");
    let mut passed = 0;
    let answer = loop {
        connection.send(&permitted);
        let answer = connection.answer().unwrap();
        if answer.status != 200 {
            break answer;
        }
        passed += 1;
        assert!(passed < 100_000, "the queue is bounded");
    };
    assert_eq!((answer.status, answer.reason().as_str()), (503, "audit_unavailable"));
    assert!(passed > 1000, "{passed}");
    let reading = thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        text
    });
    eventually("it passes again", || (portcullis.get("/documents/d1", &token).status == 200).then_some(()));
    let lost = refused();
    portcullis.signal("-TERM");
    assert!(portcullis.wait().success());
    let text = reading.join().unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("every line is whole")).collect();
    let told = lines.iter().filter(|line| line["kind"] == "gap").map(|gap| gap["lost"].as_f64().unwrap());
    assert_eq!(told.sum::<f64>(), lost, "what is lost is told where it is missing");
}

#[test]
fn a_limit_of_descriptors_that_leaves_none_for_clients_is_refused_at_the_start() {
    let listen = "- address: 127.0.0.1:0\n  ".repeat(14);
    let world = World { listen, ..World::new() };
    world.write("portcullis.yaml", world.config());
    let with_limit = |limit: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_portcullis")]);
        command.stdout(Stdio::null());
        Portcullis::launch(command, &world.path("portcullis.yaml"))
    };
    let said = with_limit("90").err().expect("it does not start");
    assert!(said.contains("before anybody connects") && said.contains("raise the limit"), "{said}");
    let needed = said.split(" unit) to ").nth(1).and_then(|rest| rest.split(',').next()).expect("it says how many");
    let room = needed.parse::<u32>().unwrap() + 16;
    let portcullis = with_limit(&room.to_string()).unwrap_or_else(|log| panic!("{log}"));
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status, 200);
}
