//! The same bounds at full length and size: `make soak`. Each says what it measured.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Connection, Portcullis, World, eventually,
    raw_http2::{END_HEADERS, END_STREAM, Http2, data, frame, ping, request_head, reset, window_update},
    request,
};

/// What nobody beside an attack waits for, on a machine of two cores that the attacker is on too.
const LONGEST: Duration = Duration::from_millis(500);

/// How long a flood goes on: a minute, or as many seconds as `PORTCULLIS_SOAK_SECONDS` says.
fn attack() -> Duration {
    let seconds = std::env::var("PORTCULLIS_SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// What somebody notices who asks a hundred times a second until it is over: how many answers, and the slowest but for one
/// in a hundred. Every answer must be right.
fn beside(portcullis: &Portcullis, token: &str, is_over: &AtomicBool) -> (usize, Duration) {
    let mut connection = Connection::open(portcullis.data);
    let mut waited = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        connection.send(request("GET", "/documents/d1", token, "", ""));
        let answer = connection.answer().expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        waited.push(begun.elapsed());
        if answer.header("connection") == Some("close") {
            connection = Connection::open(portcullis.data);
        }
        thread::sleep(Duration::from_millis(10));
    }
    waited.sort_unstable();
    (waited.len(), waited[waited.len() * 99 / 100])
}

/// Measures what is noticed beside an attack, and the memory that is left behind.
fn under(name: &str, world: &World, portcullis: &Portcullis, attack: impl FnOnce()) {
    let token = world.issuer.token("erin", &[]);
    let before = portcullis.resident();
    let is_over = AtomicBool::new(false);
    let (answers, slowest) = thread::scope(|scope| {
        let noticing = scope.spawn(|| beside(portcullis, &token, &is_over));
        attack();
        is_over.store(true, Ordering::Relaxed);
        noticing.join().unwrap()
    });
    let grown = portcullis.resident().saturating_sub(before) >> 20;
    println!("{name}: {answers} answers beside it, p99 {slowest:?}, {grown} MiB more");
    assert!(slowest < LONGEST, "{slowest:?} beside {name}");
    assert!(grown < 128, "{grown} MiB more after {name}");
}

#[test]
#[ignore = "at full length: make soak"]
fn floods_from_fifty_connections() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let get = |stream| frame(1, END_HEADERS | END_STREAM, stream, &request_head("GET", "/documents/d1", &token, &[]));
    let upload = frame(1, END_HEADERS, 1, &request_head("PUT", "/documents/d1", &token, &[]));
    let resets = (0..500).flat_map(|number| [get(number * 2 + 1), reset(number * 2 + 1)].concat()).collect();
    let floods: [(&str, Vec<u8>); 6] = [
        ("ping", ping().repeat(2000)),
        ("settings", frame(4, 0, 0, &[]).repeat(2000)),
        ("window updates", window_update(0, 1).repeat(2000)),
        ("empty data", [upload, data(0, 1, &[]).repeat(500)].concat()),
        ("continuations", [frame(1, 0, 1, &[0x82]), frame(9, 0, 1, &[0x84]).repeat(500)].concat()),
        ("rapid resets", resets),
    ];
    for (name, frames) in floods {
        under(name, &world, &portcullis, || {
            let until = Instant::now() + self::attack();
            let flood = || {
                while Instant::now() < until {
                    // As fast as it is let in: each connection until it is ended.
                    let mut connection = Http2::open(portcullis.data);
                    connection.send(&frames);
                    connection.given_up();
                }
            };
            thread::scope(|scope| (0..50).for_each(|_| drop(scope.spawn(flood))));
        });
    }
}

#[test]
#[ignore = "at full length: make soak"]
fn five_thousand_slow_heads() {
    let world = World { more: "timeouts: { head: 20s, handshake: 5s }".to_owned(), ..World::new() };
    let portcullis = world.start();
    under("slow heads", &world, &portcullis, || {
        let mut slow: Vec<_> = (0..5000).map(|_| Connection::open(portcullis.data)).collect();
        for _ in 0..3 {
            slow.iter_mut().for_each(|connection| connection.send("G"));
            thread::sleep(Duration::from_secs(10));
        }
        assert!(slow.iter_mut().all(|connection| connection.answer().is_none_or(|answer| answer.status >= 400)));
    });
}

#[test]
#[ignore = "at full length: make soak"]
fn a_thousand_slow_bodies_and_twenty_who_do_not_read() {
    let world = World { more: "limits: { in_flight_per_principal: 5000 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("frank", &[]);
    under("slow bodies", &world, &portcullis, || {
        let erin = world.issuer.token("erin", &[]);
        let mut slow: Vec<_> = (0..1000).map(|_| Connection::open(portcullis.data)).collect();
        for connection in &mut slow {
            connection.send(request("PUT", "/documents/d1", &erin, "content-length: 100000\r\n", ""));
        }
        let begun = Instant::now();
        assert!(slow.iter_mut().all(|connection| connection.answer().is_some_and(|answer| answer.status == 408)));
        assert!(begun.elapsed() < Duration::from_secs(30));
    });
    let body = "x".repeat(16 << 20);
    under("answers that nobody reads", &world, &portcullis, || {
        let small = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        world.upstream.answer_with(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        let mut unread: Vec<_> = (0..20).map(|_| Connection::open(portcullis.data)).collect();
        for connection in &mut unread {
            connection.send(request("GET", "/documents/d1", &token, "", ""));
        }
        thread::sleep(Duration::from_secs(1));
        world.upstream.answer_with(small);
        let ended = || portcullis.metric("portcullis_connections_ended_total{reason=\"unread_answer\"}");
        thread::sleep(Duration::from_secs(32));
        eventually("all are ended", || (ended() == 20.0).then_some(()));
    });
}

#[test]
#[ignore = "at full length: make soak"]
fn a_thousand_swaps_of_the_policy_in_a_minute() {
    let world = World::new();
    let portcullis = world.start();
    under("swaps", &world, &portcullis, || {
        let tuples = world.tuples();
        for number in 0..1000 {
            let more = format!("- {{ user: user:u{number}, relation: viewer, object: folder:open }}\n");
            world.replace("tuples.yaml", tuples.clone() + &more);
            thread::sleep(Duration::from_millis(60));
        }
    });
    println!("revision {} after it", portcullis.revision());
    assert!(portcullis.revision() > 100, "each change is in force soon");
}
