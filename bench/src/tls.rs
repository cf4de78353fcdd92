//! Requests and handshakes a second over TLS on one core, beside nginx, by h2load.

use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::{
    others::{Speaks, installed, nginx},
    plot::Bars,
    process::{LOAD_CORE, Line, PROXY_CORE, Server, portcullis},
    report::{Report, bar, median},
    world::World,
};

const ROUNDS: usize = 7;

/// One way to ask, and the least that Portcullis's rate is to be of nginx's.
struct Way {
    name: &'static str,
    words: &'static [&'static str],
    bar: f64,
}

const WAYS: [Way; 4] = [
    Way { name: "HTTP/1.1", words: &["--h1", "-c", "32", "-D", "2", "--warm-up-time", "1"], bar: 1.1 },
    Way { name: "HTTP/2, 1 stream", words: &["-c", "32", "-m", "1", "-D", "2", "--warm-up-time", "1"], bar: 1.2 },
    Way { name: "HTTP/2, 8 streams", words: &["-c", "8", "-m", "8", "-D", "2", "--warm-up-time", "1"], bar: 1.2 },
    // Each connection is there for one request, and none is resumed.
    Way { name: "handshakes", words: &["--h1", "-c", "500", "-n", "500"], bar: 0.9 },
];

/// Compares both, interleaved, and saves the table.
pub(crate) fn run() -> anyhow::Result<()> {
    installed("h2load", &["--version"])?;
    let binary = portcullis()?;
    let mut report = Report::new("tls", "TLS 1.3 on one core, beside nginx", "tls");
    let upstream = Line::own(&["serve-upstream"])?.on_core(LOAD_CORE).serve()?;
    let world = World::new(upstream.address, 1)?;
    world.secure()?;
    let request = world.first_request()?;
    let peer = nginx(&world, upstream.address, Speaks::Tls)?;
    let gate = world.line(&binary)?.on_core(PROXY_CORE).serve()?;
    let mut rates: Vec<[Vec<f64>; 2]> = WAYS.iter().map(|_| Default::default()).collect();
    for number in 0..ROUNDS {
        for (way, [ours, theirs]) in WAYS.iter().zip(&mut rates) {
            // Each round begins with another of them.
            let mut both = [(&gate, ours), (&peer, theirs)];
            if number % 2 == 1 {
                both.reverse();
            }
            for (server, rates) in both {
                rates.push(rate(way, server, &request)?);
                world.clear_audit()?;
            }
        }
    }
    report.line(&format!(
        "Medians of {ROUNDS} rounds, interleaved, and ratios within a round: the proxy with all its threads on one core, \
         h2load and the upstream on another. Keys and key exchange on P-256, no resumption; the same requests of 950 bytes to \
         each. Portcullis has everything on, as in `proxy.md`; nginx passes everything on. Over HTTP/2, 8 streams are on 8 \
         connections, single ones on 32. Handshakes are 500 connections at once with one request each. Every answer was \
         200.\n"
    ));
    let mut bars = Vec::new();
    let mut rows = Vec::new();
    for (way, [ours, theirs]) in WAYS.iter().zip(&rates) {
        let ratio = median(ours.iter().zip(theirs).map(|(one, other)| one / other).collect());
        let (own, other) = (median(ours.clone()), median(theirs.clone()));
        bars.extend([(format!("portcullis, {}", way.name), own), (format!("nginx, {}", way.name), other)]);
        rows.push(vec![
            way.name.to_owned(),
            format!("{own:.0}"),
            format!("{other:.0}"),
            format!("{ratio:.2}"),
            format!("{}, {}", way.bar, bar(ratio, way.bar)),
        ]);
    }
    report.table(&["a second", "portcullis", "nginx", "ratio", "bar"], &rows);
    Bars { title: "A second, over TLS 1.3 on one core".to_owned(), unit: "", bars }.save("tls")?;
    report.line("![rates over TLS](tls.svg)\n");
    report.save()
}

/// Answers a second of one run of h2load, all of which must be good.
fn rate(way: &Way, server: &Server, request: &str) -> anyhow::Result<f64> {
    let (target, fields) = split(request)?;
    let url = format!("https://127.0.0.1:{}{target}", server.address.port());
    let mut words: Vec<&str> = way.words.to_vec();
    words.extend(["--groups", "P-256"]);
    // Of HTTP/2 the host is `:authority`.
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    fields.iter().for_each(|field| words.extend(["-H", field.as_str()]));
    words.push(&url);
    let said = Line::new(Path::new("h2load"), &words).on_core(LOAD_CORE).output()?;
    ensure!(answered(&said)?, "not every answer was good: {said}");
    let finished = said.lines().find(|line| line.starts_with("finished in ")).context("h2load did not finish")?;
    let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s")).context("h2load says no rate")?;
    Ok(rate.parse()?)
}

/// Whether there were answers, and none but of status 2xx.
fn answered(said: &str) -> anyhow::Result<bool> {
    let line = said.lines().find_map(|line| line.strip_prefix("status codes: ")).context("h2load says no status")?;
    let counts: Result<Vec<u64>, _> =
        line.split(", ").filter_map(|part| part.split(' ').next()).map(str::parse).collect();
    match counts?.as_slice() {
        [good, bad @ ..] => Ok(*good > 0 && bad.iter().all(|count| *count == 0)),
        [] => bail!("h2load says no status"),
    }
}

/// The target of a request and its fields, but for the host.
pub(crate) fn split(request: &str) -> anyhow::Result<(&str, Vec<(&str, &str)>)> {
    let mut lines = request.lines().take_while(|line| !line.is_empty());
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).context("a request line")?;
    let fields = lines.filter_map(|line| line.split_once(": ")).filter(|(name, _)| *name != "host");
    Ok((target, fields.collect()))
}
