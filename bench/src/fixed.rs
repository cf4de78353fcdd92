//! What a request waits for at a fixed rate, by oha, which counts the time that a late request should have been sent too.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{
    others::{Checks, Speaks, envoy, nginx},
    plot::Bars,
    process::{LOAD_CORE, Line, PROXY_CORE, portcullis},
    report::{Report, median},
    tls::split,
    world::{MILLION, World},
};

const ROUNDS: usize = 5;
/// Requests a second.
const RATES: [u32; 2] = [2_000, 5_000];
const SECONDS: &str = "8s";
const CONNECTIONS: &str = "64";
/// By so many microseconds p50 and p99 may lie above nginx's.
const ABOVE: [f64; 2] = [30.0, 150.0];

/// The times of one run, in microseconds: p50 and p99.
type Waited = [f64; 2];

/// Compares the proxies with nothing in between, interleaved, and saves the table. What is not installed is left out, and
/// named.
pub(crate) fn run() -> anyhow::Result<()> {
    let oha = oha()?;
    let binary = portcullis()?;
    let mut report = Report::new("fixed", "What a request waits for at a fixed rate", "fixed");
    let upstream = Line::own(&["serve-upstream"])?.on_core(LOAD_CORE).serve()?;
    let world = World::of(upstream.address, 1, MILLION)?;
    let request = world.first_request()?;
    let gate = world.line(&binary)?.on_core(PROXY_CORE).serve()?;
    let mut servers = vec![("direct", upstream.address), ("portcullis", gate.address)];
    let mut others = Vec::new();
    for (name, started) in [
        ("nginx", nginx(&world, upstream.address, Speaks::Clear)),
        ("Envoy, JWT and 50 RBAC rules", envoy(&world, upstream.address, Checks::TokenAndRules)),
    ] {
        match started {
            Ok(server) => {
                servers.push((name, server.address));
                others.push(server);
            }
            Err(error) => report.line(&format!("Not measured: {name}: {error:#}\n")),
        }
    }
    report.line(&format!(
        "Medians of {ROUNDS} rounds of {SECONDS}, interleaved: {CONNECTIONS} connections, with correction of latencies for \
         requests that were late; oha and the upstream on one core, the proxy with all its threads on another. The same \
         request of 950 bytes to each. Portcullis has everything on and decides by a graph of a million tuples. Every answer \
         was 200.\n"
    ));
    for rate in RATES {
        let mut rounds: Vec<Vec<Waited>> = servers.iter().map(|_| Vec::new()).collect();
        for number in 0..ROUNDS {
            for step in 0..servers.len() {
                let index = (number + step) % servers.len();
                let (Some((_, address)), Some(rounds)) = (servers.get(index), rounds.get_mut(index)) else { continue };
                rounds.push(waited(&oha, rate, &address.to_string(), &request)?);
                world.clear_audit()?;
            }
        }
        describe(&mut report, rate, &servers.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &rounds)?;
    }
    drop(others);
    report.save()
}

fn describe(report: &mut Report, rate: u32, names: &[&str], rounds: &[Vec<Waited>]) -> anyhow::Result<()> {
    let middle = |rounds: &[Waited], which: usize| {
        median(rounds.iter().filter_map(|waited| waited.get(which)).copied().collect())
    };
    let all: Vec<Waited> = rounds.iter().map(|rounds| [middle(rounds, 0), middle(rounds, 1)]).collect();
    let [direct, ours, ..] = all.as_slice() else { anyhow::bail!("direct and the product come first") };
    let over = |waited: &Waited| [waited[0] - direct[0], waited[1] - direct[1]];
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&all)
        .map(|(name, waited)| {
            let over = over(waited);
            let figures = [waited[0], waited[1], over[0], over[1]];
            [(*name).to_owned()].into_iter().chain(figures.map(|figure| format!("{figure:.0}"))).collect()
        })
        .collect();
    report.line(&format!("## {rate} requests a second\n"));
    report.table(&["µs", "p50", "p99", "p50 over direct", "p99 over direct"], &rows);
    let of = |wanted: &str| names.iter().zip(&all).find(|(name, _)| name.starts_with(wanted)).map(|(_, waited)| waited);
    let met = |is_met: bool| if is_met { "met" } else { "missed" };
    if let Some(nginx) = of("nginx") {
        let is_met = ours.iter().zip(nginx).zip(ABOVE).all(|((ours, theirs), above)| *ours <= theirs + above);
        report.line(&format!("At most nginx's and {} µs at p50, {} µs at p99: {}.\n", ABOVE[0], ABOVE[1], met(is_met)));
    }
    if let Some(envoy) = of("Envoy") {
        let is_met = over(envoy).iter().zip(over(ours)).all(|(theirs, ours)| *theirs >= 2.0 * ours);
        report.line(&format!("Envoy's over direct at least twice ours: {}.\n", met(is_met)));
    }
    let name = format!("fixed-{rate}");
    let bars = names.iter().zip(&all).map(|(name, waited)| ((*name).to_owned(), waited[1])).collect();
    Bars { title: format!("p99 at {rate} requests a second"), unit: " µs", bars }.save(&name)?;
    report.line(&format!("![p99 at {rate} requests a second]({name}.svg)\n"));
    Ok(())
}

/// In the folder that `make bench` fills, or where `OHA` says.
fn oha() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("OHA") {
        return Ok(path.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-tools/bin/oha");
    ensure!(path.exists(), "oha is not installed: `make bench` does, or say where it is by OHA");
    Ok(path)
}

/// One run; every answer must be good.
fn waited(oha: &Path, rate: u32, address: &str, request: &str) -> anyhow::Result<Waited> {
    let (target, fields) = split(request)?;
    let (rate, url) = (rate.to_string(), format!("http://{address}{target}"));
    let mut words = vec!["--no-tui", "--output-format", "json", "--latency-correction"];
    words.extend(["-z", SECONDS, "-q", &rate, "-c", CONNECTIONS, "--host", "api.acme.example"]);
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    fields.iter().for_each(|field| words.extend(["-H", field.as_str()]));
    words.push(&url);
    let said: Value = serde_json::from_str(&Line::new(oha, &words).on_core(LOAD_CORE).output()?)?;
    let statuses = said.get("statusCodeDistribution").and_then(Value::as_object).context("oha says no statuses")?;
    ensure!(
        statuses.keys().all(|status| status == "200") && !statuses.is_empty(),
        "not every answer was 200: {statuses:?}"
    );
    let percentile = |name: &str| {
        let seconds = said.get("latencyPercentiles").and_then(|all| all.get(name)).and_then(Value::as_f64);
        seconds.map(|seconds| seconds * 1e6).with_context(|| format!("oha says no {name}"))
    };
    Ok([percentile("p50")?, percentile("p99")?])
}
