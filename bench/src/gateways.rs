//! Requests a second on one core, beside the proxies that people use: nginx, HAProxy and Envoy.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

use super::{
    others::{Checks, Speaks, envoy, haproxy, nginx},
    plot::Bars,
    process::{PROXY_CORE, Server, portcullis},
    proxy::{Round, measure, micros, rate},
    report::{Report, bar, median},
    world::{MILLION, World},
};

const ROUNDS: usize = 21;
/// Another proxy, and the least that Portcullis's rate is to be of its own.
struct Other {
    name: &'static str,
    server: Server,
    bar: f64,
}

/// Compares them with Portcullis, interleaved, and saves the table. What is not installed is left out, and named.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis()?;
    let mut report = Report::new("gateways", "Requests a second on one core, beside other proxies", "gateways");
    // Whoever sends the load binds it, and is the upstream too.
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let world = World::of(upstream, 1, MILLION)?;
    let requests = world.requests()?;
    let (mut others, mut missing) = (Vec::new(), Vec::new());
    for (name, started, bar) in [
        ("nginx", nginx(&world, upstream, Speaks::Clear), 0.95),
        ("HAProxy", haproxy(&world, upstream), 0.95),
        ("Envoy", envoy(&world, upstream, Checks::Nothing), 0.0),
        ("Envoy, JWT and 50 RBAC rules", envoy(&world, upstream, Checks::TokenAndRules), 4.0),
    ] {
        match started {
            Ok(server) => others.push(Other { name, server, bar }),
            Err(error) => missing.push(format!("{name}: {error:#}")),
        }
    }
    let gate = world.line(&binary)?.on_core(PROXY_CORE).serve()?;
    let servers: Vec<&Server> = others.iter().map(|other| &other.server).chain([&gate]).collect();
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for number in 0..ROUNDS {
        // Each round begins with another server.
        for step in 0..servers.len() {
            let index = (number + step) % servers.len();
            let (Some(server), Some(rounds)) = (servers.get(index), rounds.get_mut(index)) else { continue };
            rounds.push(measure(upstream, Some(server), &requests)?);
            world.clear_audit()?;
        }
    }
    describe(&mut report, &others, &gate, &rounds)?;
    for line in missing {
        report.line(&format!("Not measured: {line}\n"));
    }
    report.save()
}

fn describe(report: &mut Report, others: &[Other], gate: &Server, rounds: &[Vec<Round>]) -> anyhow::Result<()> {
    report.line(&format!(
        "Medians of {ROUNDS} rounds, interleaved, and ratios within a round, measured as in `proxy.md`: each proxy with all \
         its threads on one core, one worker each, the same requests of 950 bytes to each. Portcullis has everything on \
         and decides by a graph of a million tuples; nginx, HAProxy and the first Envoy pass everything on; the second \
         Envoy verifies the same token, which it has seen before, and has 50 RBAC rules, of which the request meets one. \
         Every answer was 200.\n"
    ));
    let (ours, theirs) = rounds.split_last().context("no rounds")?;
    let mut rows = Vec::new();
    for (other, rounds) in others.iter().zip(theirs) {
        let ratio = |of: &dyn Fn(&Round, &Round) -> f64| {
            median(ours.iter().zip(rounds).map(|(one, other)| of(one, other)).collect())
        };
        let by_rate = ratio(&|one, other| rate(one) / rate(other));
        let by_processor = ratio(&|one, other| micros(other.processor) / micros(one.processor));
        let verdict = match other.bar {
            least if least > 0.0 => format!("{least}, {}", bar(by_rate, least)),
            _ => String::new(),
        };
        let mut row = row(other.name, &other.server, rounds)?;
        row.extend([format!("{by_rate:.2}"), format!("{by_processor:.2}"), verdict]);
        rows.push(row);
    }
    let mut own = row("portcullis", gate, ours)?;
    own.extend([String::new(), String::new(), String::new()]);
    rows.push(own);
    let head = [
        "",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "processor µs/request",
        "resident MiB",
        "Portcullis against it, by rate",
        "by processor time",
        "bar",
    ];
    report.table(&head, &rows);
    let middle = |rounds: &[Round]| median(rounds.iter().map(rate).collect());
    let mut bars: Vec<(String, f64)> =
        others.iter().zip(theirs).map(|(other, rounds)| (other.name.to_owned(), middle(rounds))).collect();
    bars.push(("portcullis".to_owned(), middle(ours)));
    Bars { title: "Requests a second on one core".to_owned(), unit: "", bars }.save("gateways")?;
    report.line("![requests a second](gateways.svg)\n");
    Ok(())
}

fn row(name: &str, server: &Server, rounds: &[Round]) -> anyhow::Result<Vec<String>> {
    let middle = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    Ok(vec![
        name.to_owned(),
        format!("{:.0}", middle(&rate)),
        format!("{:.2}", middle(&|round| round.outcome.median.as_secs_f64() * 1e3)),
        format!("{:.2}", middle(&|round| round.outcome.p99.as_secs_f64() * 1e3)),
        format!("{:.1}", middle(&|round| micros(round.processor))),
        server.resident()?.to_string(),
    ])
}
