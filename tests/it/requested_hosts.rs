//! Hosts that clients choose: how they are looked up, and what is left of them.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::{
    names,
    support::{Answer, Connection, Portcullis, Scripted, World, eventually},
};

/// A world in which clients choose among these hosts, at this port of this machine; its configuration is written.
pub(crate) fn world(hosts: &[String], port: u16, more: &str) -> World {
    let route = |host: &String| {
        let operation = "{ action: can_read, resource: \"document:{path.document}\" }";
        let fields = format!("egress: true\n    upstream: main\n    operations:\n      GET: {operation}\n");
        format!("\n  - path: /documents/{{document}}\n    host: {host}:{port}\n    {fields}")
    };
    let mut world = World::with_routes(&hosts.iter().map(route).collect::<String>());
    world.listen = "- { address: 127.0.0.1:0, explicit_proxy: {} }".to_owned();
    world.write_with(&format!("requested_host: {{ within: [127.0.0.0/8, \"::1\"] }}{more}"));
    world
}

/// The answer of this host and port.
pub(crate) fn get(portcullis: &Portcullis, token: &str, host: &str) -> Answer {
    let mut connection = Connection::open(portcullis.data);
    connection.send(asking(token, host));
    connection.answer().expect("an answer")
}

fn asking(token: &str, host: &str) -> String {
    let line = format!("GET http://{host}/documents/d1 HTTP/1.1\r\nhost: {host}\r\n");
    format!("{line}proxy-authorization: Bearer {token}\r\n\r\n")
}

#[test]
fn what_is_left_of_hosts_is_bounded_and_no_metric_names_them() {
    let far = Scripted::answering("far");
    let port = far.address.port();
    let hosts: Vec<String> = (0..300).map(|number| format!("h{number}.localhost")).collect();
    let world = world(&hosts, port, "");
    let config = fs::read_to_string(world.path("portcullis.yaml")).unwrap();
    world.write("portcullis.yaml", config.replace("workers: 2", "workers: 1"));
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("erin", &[]);
    let mut connection = Connection::open(portcullis.data);
    let mut ask = |number: usize| {
        connection.send(asking(&token, &format!("h{number}.localhost:{port}")));
        assert_eq!(connection.answer().unwrap().body, "far", "{number}");
    };
    ask(0);
    // Routes have names, which the configuration bounds: each counts its own decisions.
    let is_of_others = |line: &&str| !line.starts_with("portcullis_decisions_total");
    let lines = || portcullis.telemetry("/metrics").body.lines().filter(is_of_others).count();
    let before = lines();
    (1..300).for_each(&mut ask);
    eventually("those that have rested longest are closed", || (far.open() == 256).then_some(()));
    // The last ones are kept.
    let made = far.connections();
    (50..300).for_each(&mut ask);
    assert_eq!(far.connections(), made);
    assert_eq!(lines(), before, "no host is a label");
}

/// A resolver at an address of its own, and what it was asked for.
struct Resolver {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Resolver {
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 53, 53, 53);

    /// One that knows `there.test` and, after a while, `late.test`, and says nothing of names that begin with `slow`. `None`
    /// where a process may not have its port.
    fn start() -> Option<Self> {
        let Ok(socket) = UdpSocket::bind((Self::ADDRESS, 53)) else {
            println!("skipped: a process may not be a resolver here");
            return None;
        };
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut message) {
                let (name, end) = name(&message[12..length]);
                let question = &message[12..12 + end + 4];
                heard.lock().unwrap().push(name.clone());
                if name == "late.test" {
                    thread::sleep(Duration::from_millis(100));
                }
                let is_there = name == "there.test" || name == "late.test";
                let is_ipv4 = question[end..end + 2] == [0, 1];
                let answers = u8::from(is_there && is_ipv4);
                // A response, recursion available; no such name.
                let code = if is_there { 0x80 } else { 0x83 };
                let counts = [0, 1, 0, answers, 0, 0, 0, 0];
                let mut said = [&message[..2], &[0x81, code], &counts, question].concat();
                if answers > 0 {
                    said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
                }
                if !name.starts_with("slow") {
                    socket.send_to(&said, from).unwrap();
                }
            }
        });
        Some(Self { asked })
    }
}

/// The name that a question begins with, and its end (RFC 1035, section 4.1.2).
fn name(question: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 0);
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), at + 1)
}

#[test]
fn names_are_looked_up_as_they_are_and_for_no_sender_too_many() {
    let Some(resolver) = Resolver::start() else { return };
    let far = Scripted::answering("far");
    let port = far.address.port();
    let slow = (0..100).map(|number| format!("slow{number}.test"));
    let others = ["there", "late", "nowhere"].map(|name| format!("{name}.test"));
    let hosts: Vec<String> = slow.chain(others).collect();
    let world = world(&hosts, port, ", connect_timeout: 2s");
    let servers = format!("search corp.test\nnameserver {}\noptions timeout:30 attempts:1\n", Resolver::ADDRESS);
    world.write("resolv.conf", servers);
    let Some(portcullis) = names::start(&world, "resolv.conf", "/etc/resolv.conf") else { return };
    let (erin, frank) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &[]));
    let get = |token: &str, name: &str| get(&portcullis, token, &format!("{name}.test:{port}"));
    assert_eq!(get(&erin, "there").body, "far");
    let answer = get(&erin, "nowhere");
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_unreachable"));
    let asked = resolver.asked.lock().unwrap().clone();
    assert!(asked.contains(&"nowhere.test".to_owned()) && !asked.iter().any(|name| name.contains("corp")), "{asked:?}");
    // Many at one time ask for one name: it is looked up for all of them.
    let mut waiting: Vec<_> = (0..100).map(|_| Connection::open(portcullis.data)).collect();
    waiting.iter_mut().for_each(|connection| connection.send(asking(&erin, &format!("late.test:{port}"))));
    assert!(waiting.iter_mut().all(|connection| connection.answer().unwrap().body == "far"));
    let questions = resolver.asked.lock().unwrap().iter().filter(|name| *name == "late.test").count();
    assert!(questions < 20, "{questions}");
    // Names that nobody answers for. They are looked up for longer than somebody waits for them.
    let mut waiting: Vec<_> = (0..100).map(|_| Connection::open(portcullis.data)).collect();
    for (number, connection) in waiting.iter_mut().enumerate() {
        connection.send(asking(&erin, &format!("slow{number}.test:{port}")));
    }
    let refused = waiting.iter_mut().map(|connection| connection.answer().unwrap());
    assert!(refused.map(|answer| answer.status).all(|status| matches!(status, 502 | 504)));
    let too_many = |record: &serde_json::Value| record["detail"].to_string().contains("looked up for this sender");
    eventually("36 are too many", || {
        (world.audit().iter().filter(|record| too_many(record)).count() == 36).then_some(())
    });
    assert!(too_many(&world.record_of(&get(&erin, "nowhere"))));
    assert_eq!(get(&frank, "nowhere").status, 502);
    let fresh = get(&frank, "there");
    assert_eq!(fresh.body, "far", "others have room");
}
