//! The same bounds at full length and size: `make soak`. Each says what it measured.

use std::{
    io::Read,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::{
    floods::{ended, floods},
    support::{Connection, Http2, Portcullis, Said, Scripted, World, endless, request},
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

/// What is noticed before anything happens.
fn undisturbed(portcullis: &Portcullis, token: &str) -> Duration {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let noticing = scope.spawn(|| beside(portcullis, token, &is_over));
        thread::sleep(Duration::from_secs(3));
        is_over.store(true, Ordering::Relaxed);
        noticing.join().unwrap().1
    })
}

/// The most memory that it has until it is over, looked at ten times a second.
fn most_memory(portcullis: &Portcullis, is_over: &AtomicBool) -> usize {
    let mut most = 0;
    while !is_over.load(Ordering::Relaxed) {
        most = most.max(portcullis.resident());
        thread::sleep(Duration::from_millis(100));
    }
    most
}

/// Says that it is over, also when an attack has failed: others wait for that.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Measures what is noticed beside an attack, and the memory that it takes at most: so many bytes.
fn under(name: &str, (world, portcullis): (&World, &Portcullis), most: usize, attack: impl FnOnce()) {
    let token = world.issuer.token("erin", &[]);
    let (quiet, before) = (undisturbed(portcullis, &token), portcullis.resident());
    let is_over = AtomicBool::new(false);
    let ((answers, slowest), peak) = thread::scope(|scope| {
        let noticing = scope.spawn(|| beside(portcullis, &token, &is_over));
        let measuring = scope.spawn(|| most_memory(portcullis, &is_over));
        let over = Over(&is_over);
        attack();
        drop(over);
        (noticing.join().unwrap(), measuring.join().unwrap())
    });
    let grown = peak.saturating_sub(before);
    println!(
        "{name}: {answers} answers beside it, p99 {slowest:?} ({quiet:?} before), at most {} KiB more",
        grown >> 10
    );
    assert!(slowest < LONGEST, "{slowest:?} beside {name}");
    assert!(grown < most, "{grown} bytes more under {name}");
}

/// The most memory of a flood (50 connections) and of whatever else has no figure of its own.
const ROOM: usize = 100 << 20;

#[test]
#[ignore = "at full length: make soak"]
fn floods_from_one_connection_and_from_fifty() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    for (name, frames) in floods(&token) {
        for connections in [1, 50] {
            let before = ended(&portcullis);
            let opened = AtomicUsize::new(0);
            under(&format!("{name} from {connections}"), (&world, &portcullis), ROOM, || {
                let until = Instant::now() + self::attack();
                let flood = || {
                    while Instant::now() < until {
                        // As fast as it is let in: each connection until it is ended.
                        let mut connection = Http2::open(portcullis.data);
                        opened.fetch_add(1, Ordering::Relaxed);
                        connection.send(&frames);
                        connection.given_up();
                    }
                };
                thread::scope(|scope| (0..connections).for_each(|_| drop(scope.spawn(flood))));
            });
            let (opened, ended) = (opened.into_inner(), ended(&portcullis) - before);
            println!("  {ended} of {opened} connections were ended for it");
            // Some are gone before it is noticed that they flooded: they have ended by themselves.
            assert!(ended >= opened as f64 * 0.9, "{name}: {ended} of {opened} connections were ended");
        }
    }
    assert!(portcullis.log().matches("panicked").count() == 0);
}

#[test]
#[ignore = "at full length: make soak"]
fn five_thousand_slow_heads() {
    let world = World { more: "timeouts: { head: 20s, handshake: 5s }".to_owned(), ..World::new() };
    let portcullis = world.start();
    under("slow heads", (&world, &portcullis), 5000 * (64 << 10), || {
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
fn a_thousand_slow_bodies_and_a_thousand_who_do_not_read() {
    let world = World { more: "limits: { in_flight_per_principal: 5000 }".to_owned(), ..World::new() };
    let portcullis = world.start();
    let token = world.issuer.token("frank", &[]);
    under("slow bodies", (&world, &portcullis), 1000 * (64 << 10), || {
        let erin = world.issuer.token("erin", &[]);
        let mut slow: Vec<_> = (0..1000).map(|_| Connection::open(portcullis.data)).collect();
        for connection in &mut slow {
            connection.send(request("PUT", "/documents/d1", &erin, "content-length: 100000\r\n", ""));
        }
        let begun = Instant::now();
        let told = |connection: &mut Connection| connection.answer().map(|answer| (answer.status, answer.reason()));
        let others: Vec<_> =
            slow.iter_mut().map(told).filter(|it| it != &Some((408, "body_timeout".to_owned()))).collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    });
    let endless = endless();
    let portcullis = world.start_before(endless);
    // Two endpoints of a connection hold what is on its way; the proxy holds its own part of that.
    under("answers that nobody reads", (&world, &portcullis), 1000 * (64 << 10) + ROOM, || {
        let mut unread: Vec<_> = (0..1000).map(|_| Connection::open(portcullis.data)).collect();
        for connection in &mut unread {
            // What the kernel keeps for it would else grow for a long time.
            SockRef::from(connection.stream()).set_recv_buffer_size(4096).unwrap();
            connection.send(request("GET", "/documents/d2", &token, "", ""));
            thread::sleep(Duration::from_millis(2));
        }
        let ended = || portcullis.metric("portcullis_connections_ended_total{reason=\"unread_answer\"}");
        let begun = Instant::now();
        while ended() < 1000.0 && begun.elapsed() < Duration::from_secs(45) {
            thread::sleep(Duration::from_secs(1));
        }
        println!("{} who did not read were ended after {:?}", ended(), begun.elapsed());
        assert_eq!(ended(), 1000.0);
    });
}

#[test]
#[ignore = "at full length: make soak"]
fn fifty_downloads_at_a_hundred_kilobytes_a_second() {
    let world = World::new();
    let portcullis = world.start_before(endless());
    let token = world.issuer.token("frank", &[]);
    // The window of a connection, and what is behind it: what a reader has not taken is not read from its upstream.
    under("slow readers", (&world, &portcullis), 50 * ((1 << 20) + (64 << 10)), || {
        let until = Instant::now() + attack();
        thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    let mut connection = Connection::open(portcullis.data);
                    connection.send(request("GET", "/documents/d2", &token, "", ""));
                    let (mut piece, mut taken) = ([0; 10 * 1024], 0_usize);
                    while Instant::now() < until {
                        connection.stream().read_exact(&mut piece).expect("it goes on");
                        taken += piece.len();
                        thread::sleep(Duration::from_millis(100));
                    }
                    assert!(taken > 10 * piece.len(), "{taken} bytes only");
                });
            }
        });
    });
}

#[test]
#[ignore = "at full length: make soak"]
fn five_times_what_it_can_do_costs_little_of_that() {
    const PLACES: usize = 20;
    // An upstream that takes 50 ms makes of 20 places 400 answers a second, whatever the machine.
    let upstream = Scripted::start(|_, _| {
        thread::sleep(Duration::from_millis(50));
        Said::ok("done")
    });
    let world =
        World { more: format!("limits: {{ in_flight: {PLACES}, in_flight_per_principal: {PLACES} }}"), ..World::new() };
    let portcullis = world.start_before(upstream.address);
    let token = world.issuer.token("erin", &[]);
    let done = |clients: usize, length: Duration| -> usize {
        let until = Instant::now() + length;
        thread::scope(|scope| {
            let asking: Vec<_> = (0..clients)
                .map(|_| {
                    scope.spawn(|| {
                        let (mut connection, mut done) = (Connection::open(portcullis.data), 0);
                        while Instant::now() < until {
                            connection.send(request("GET", "/documents/d1", &token, "", ""));
                            let answer = connection.answer().expect("an answer");
                            match answer.status {
                                200 => done += 1,
                                429 | 503 => {
                                    assert!(answer.header("retry-after").is_some());
                                    thread::sleep(Duration::from_millis(10));
                                }
                                status => panic!("{status} {}", answer.body),
                            }
                        }
                        done
                    })
                })
                .collect();
            while Instant::now() < until {
                assert_eq!(portcullis.telemetry("/readyz").status, 200, "the operator's door is open");
                thread::sleep(Duration::from_millis(200));
            }
            asking.into_iter().map(|asking| asking.join().unwrap()).sum()
        })
    };
    let length = attack() / 2;
    let (alone, overloaded) = (done(PLACES, length), done(5 * PLACES, length));
    println!("{alone} answers in {length:?} by as many as there are places, {overloaded} by five times as many");
    assert!(overloaded * 10 >= alone * 8, "{overloaded} of {alone}");
}

#[test]
#[ignore = "at full length: make soak"]
fn a_thousand_swaps_of_the_policy_in_a_minute() {
    let world = World::new();
    let portcullis = world.start();
    under("swaps", (&world, &portcullis), ROOM, || {
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
