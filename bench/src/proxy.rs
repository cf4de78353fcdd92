//! Requests a second on one core: nothing in between, a bare proxy, and Portcullis with everything on.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::Context;

use super::{
    load::{Extent, Outcome},
    plot::Bars,
    process::{Line, PROXY_CORE, Server, portcullis, released},
    report::{Report, bar, median},
    world::{World, load_serving},
};

/// Many short ones: what else the machine does then meets all of a round alike.
const ROUNDS: usize = 31;
const CONNECTIONS: u16 = 32;
const EXTENT: Extent = Extent::Time { warm_up: Duration::from_millis(500), measured: Duration::from_secs(1) };
/// The share of the bare proxy's rate that Portcullis is to reach.
const BAR: f64 = 0.85;

/// A server that is compared; nothing between load and upstream has none.
type Compared = (&'static str, Option<Server>);

const FLOOR: &str = "bare, own pool";
const LEGACY: &str = "bare, legacy client";
/// The floor, built by what was seen of it under the load of [`super::train`], as the product is.
const TRAINED: &str = "bare, own pool, trained";
const PRODUCT: &str = "portcullis";

/// What a server did in one round.
pub(crate) struct Round {
    pub(crate) outcome: Outcome,
    /// Of the server under load, for each request.
    pub(crate) processor: Duration,
}

/// Compares them, interleaved, and saves the table.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis()?;
    let mut report = Report::new("proxy", "Requests a second on one core", "proxy");
    // Whoever sends the load binds it, and is the upstream too.
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let world = World::new(upstream, 1)?;
    let requests = world.requests()?;
    let client = |client: &str| format!("{client}={upstream}");
    let bare = |kind: &str| Line::own(&["serve-bare", &client(kind)])?.on_core(PROXY_CORE).serve();
    let mut servers: Vec<Compared> =
        vec![("direct", None), (FLOOR, Some(bare("own")?)), (LEGACY, Some(bare("legacy")?))];
    if let Some(program) = released("portcullis-bench") {
        let line = Line::new(&program, &["serve-bare", &client("own")]);
        servers.push((TRAINED, Some(line.on_core(PROXY_CORE).serve()?)));
    }
    servers.push((PRODUCT, Some(world.line(&binary)?.on_core(PROXY_CORE).serve()?)));
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    let mut records = 0;
    for number in 0..ROUNDS {
        // Each round begins with another server.
        for step in 0..servers.len() {
            let index = (number + step) % servers.len();
            let (Some((_, server)), Some(rounds)) = (servers.get(index), rounds.get_mut(index)) else { continue };
            rounds.push(measure(upstream, server.as_ref(), &requests)?);
            records += world.clear_audit()?;
        }
    }
    describe(&mut report, &servers, &rounds, records)?;
    report.save()
}

/// Without a server the load goes to the upstream itself.
pub(crate) fn measure(upstream: SocketAddr, server: Option<&Server>, requests: &Path) -> anyhow::Result<Round> {
    let time = || server.map_or(Ok(Duration::ZERO), Server::processor_time);
    let before = time()?;
    let address = server.map_or(upstream, |server| server.address);
    let outcome = load_serving(upstream, address, requests, CONNECTIONS, EXTENT)?;
    // The warm-up's share of the time is its share of the requests, near enough.
    let spent = (time()? - before).as_secs_f64() * measured_share();
    let processor = Duration::from_secs_f64(spent / number(outcome.answers));
    Ok(Round { outcome, processor })
}

fn measured_share() -> f64 {
    match EXTENT {
        Extent::Time { warm_up, measured } => measured.as_secs_f64() / (warm_up + measured).as_secs_f64(),
        Extent::Count(_) => 1.0,
    }
}

fn describe(report: &mut Report, servers: &[Compared], rounds: &[Vec<Round>], records: usize) -> anyhow::Result<()> {
    let of = |wanted: &str| servers.iter().zip(rounds).find(|((name, _), _)| *name == wanted).map(|(_, rounds)| rounds);
    let (own, gate) = (of(FLOOR).context("no floor")?, of(PRODUCT).context("no product")?);
    let ratios = |of: &[Round]| {
        let pairs = of.iter().zip(own);
        median(pairs.map(|(one, floor)| rate(one) / rate(floor)).collect())
    };
    let mut rows = Vec::new();
    for ((name, server), rounds) in servers.iter().zip(rounds) {
        let middle = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        let (least, greatest) = rounds
            .iter()
            .map(rate)
            .fold((f64::MAX, 0.0), |(least, greatest): (f64, f64), rate| (least.min(rate), greatest.max(rate)));
        rows.push(vec![
            (*name).to_owned(),
            format!("{:.0}", middle(&rate)),
            format!("{least:.0} to {greatest:.0}"),
            format!("{:.2}", ratios(rounds)),
            format!("{:.2}", middle(&|round| round.outcome.median.as_secs_f64() * 1e3)),
            format!("{:.2}", middle(&|round| round.outcome.p99.as_secs_f64() * 1e3)),
            server.as_ref().map_or_else(String::new, |_| format!("{:.1}", middle(&|round| micros(round.processor)))),
            server.as_ref().map_or(Ok(String::new()), |server| server.resident().map(|size| size.to_string()))?,
        ]);
    }
    report.line(&format!(
        "Medians of {ROUNDS} rounds, interleaved, and ratios within a round: {CONNECTIONS} connections in a closed loop, the proxy with all its \
         threads on one core, load and upstream in one thread on another, which never sleeps: to wake it would be a part of \
         the proxy's cost, and the more so the slower it is. The same requests of 950 bytes for 800 documents go to \
         each. Portcullis has everything on: a signed token with user and agent, seen before; 50 mapped routes; both \
         of the chain decided in four levels and nested groups of 100,000 tuples; an audit record to a file; metrics. \
         The bare proxies have nothing on: own pool is the floor, legacy client is the client of hyper-util. {} Every \
         answer was 200, and {records} audit records were written.\n",
        if of(TRAINED).is_some() {
            "Portcullis is what `make release` builds; trained is a floor that is built so too."
        } else {
            "All are what `cargo build --release` builds."
        }
    ));
    let head = [
        "",
        "requests/s",
        "least to greatest",
        "against bare",
        "p50 ms",
        "p99 ms",
        "processor µs/request",
        "resident MiB",
    ];
    report.table(&head, &rows);
    let rates = servers.iter().zip(rounds).skip(1);
    let bars =
        rates.map(|((name, _), rounds)| ((*name).to_owned(), median(rounds.iter().map(rate).collect()))).collect();
    Bars { title: "Requests a second on one core".to_owned(), unit: "", bars }.save("proxy")?;
    report.line("![requests a second](proxy.svg)\n");
    for (name, peer) in [
        ("with hyper-util's client, as such proxies are written", of(LEGACY)),
        ("with the floor's own pool", of(FLOOR)),
        ("with the floor's own pool, trained as Portcullis is", of(TRAINED)),
    ] {
        let Some(peer) = peer else { continue };
        let pairs = |ratio: &dyn Fn(&Round, &Round) -> f64| {
            median(gate.iter().zip(peer).map(|(one, other)| ratio(one, other)).collect())
        };
        let by_rate = pairs(&|one, other| rate(one) / rate(other));
        let by_processor = pairs(&|one, other| micros(other.processor) / micros(one.processor));
        report.line(&format!(
            "Portcullis against the bare proxy {name}: by rate {by_rate:.2} (bar {BAR}, {}), by processor time \
             {by_processor:.2} ({}).\n",
            bar(by_rate, BAR),
            bar(by_processor, BAR)
        ));
    }
    report.line(
        "Where other work shares the cores, the rates say more of the scheduler than of the proxies: then the processor \
         time counts. The own pool is less than a proxy needs: it has no bound, no age and no key.\n",
    );
    Ok(())
}

/// Requests a second.
pub(crate) fn rate(round: &Round) -> f64 {
    number(round.outcome.answers) / round.outcome.seconds
}

/// In microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
