//! No answer is ever given to another request, whoever leaves in the middle.

use std::{env, thread, time::Duration};

use crate::support::{Connection, Portcullis, Said, Scripted, Then, World, request};

/// Pseudo-random numbers, so that a failure can be seen again (`PORTCULLIS_SEED`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// An upstream that tells ids back, and often does not.
fn upstream() -> Scripted {
    Scripted::start(|request, before| {
        let id = request.lines().find_map(|line| line.strip_prefix("x-id: ")).unwrap_or_default();
        let length = id.len();
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{id}");
        match (before * 7919) % 101 {
            0 => Said(vec![], Then::Close),
            1 => Said::of(&whole[..20], Then::Close),
            2 => Said::of(&whole[..whole.len() - 3], Then::Close),
            3 => Said::of(&whole, Then::Close),
            4 => Said::of(&format!("{whole}HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ncrossed"), Then::Keep),
            5 => Said::of(&format!("HTTP/1.1 200 OK\r\n\r\n{id}"), Then::Close),
            6 => Said::of(
                &format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{id}\r\n0\r\n\r\n"),
                Then::Keep,
            ),
            _ => Said::of(&whole, Then::Keep),
        }
    })
}

/// Asks so often on connections of its own, and leaves now and then. How many answers were whole and how many were not.
fn ask(portcullis: &Portcullis, token: &str, client: u64, requests: u64, seed: u64) -> (u64, u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9).wrapping_add(client) | 1);
    let mut connection = Connection::open(portcullis.data);
    let (mut whole, mut broken) = (0, 0);
    for count in 0..requests {
        let id = format!("client-{client}-request-{count}-{:x}", chance.below(u64::MAX));
        let fields = format!("x-id: {id}\r\n");
        let text = match chance.below(3) {
            0 => request("PUT", "/documents/d1", token, &fields, "a body"),
            _ => request("GET", "/documents/d1", token, &fields, ""),
        };
        let leaves = chance.below(40);
        if leaves == 0 {
            connection.send(&text[..text.len() - 2]);
        } else {
            connection.send(&text);
        }
        if leaves <= 1 {
            if leaves == 1 && chance.below(2) == 0 {
                thread::sleep(Duration::from_micros(300));
            }
            connection = Connection::open(portcullis.data);
            continue;
        }
        match connection.answer() {
            Some(answer) if answer.status == 200 && answer.body == id => whole += 1,
            Some(answer) if answer.status == 200 => {
                assert!(id.starts_with(&answer.body), "{id} got {}", answer.body);
                broken += 1;
                connection = Connection::open(portcullis.data);
            }
            Some(answer) => {
                assert_eq!(answer.status, 502, "{answer:?}");
                broken += 1;
            }
            None => connection = Connection::open(portcullis.data),
        }
    }
    (whole, broken)
}

#[test]
fn no_answer_is_crossed_whoever_leaves() {
    let (requests, seed) = (number("PORTCULLIS_REQUESTS", 20_000), number("PORTCULLIS_SEED", 1));
    const CLIENTS: u64 = 8;
    let world = World::new();
    let upstreams = [upstream(), upstream()];
    let urls = upstreams.each_ref().map(|upstream| format!("\"http://{}\"", upstream.address)).join(", ");
    let portcullis = world.start_with(&format!("urls: [{urls}], retries: {{ attempts: 2, budget: 50% }}"));
    let token = world.issuer.token("erin", &[]);
    let (whole, broken) = thread::scope(|scope| {
        let ask = |client| ask(&portcullis, &token, client, requests / CLIENTS, seed);
        let asking: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
        let came: Vec<(u64, u64)> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        came.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    println!("{requests} requests: {whole} answers, {broken} broken ones, 0 crossed");
    assert!(whole > requests * 8 / 10 && broken > 0, "{whole} answers, {broken} broken");
    assert!(upstreams.iter().all(|upstream| upstream.requests() as u64 > requests / 10));
}
