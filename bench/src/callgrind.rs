//! Instructions for each request, counted in an emulator: the same on a busy machine.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};

use super::{
    load::Extent,
    plot::Bars,
    process::{LOAD_CORE, Line, portcullis, released},
    report::Report,
    world::{World, load},
};

const CONNECTIONS: u16 = 8;
/// So many instructions a request may take.
const BAR: f64 = 40_000.0;
/// How much is counted: the difference of few requests and many leaves start and end out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) connections: u16,
    pub(crate) few: u32,
    pub(crate) many: u32,
}

const COUNTED: Counted = Counted { connections: CONNECTIONS, few: 1_000, many: 11_000 };

/// Whether valgrind is installed.
pub(crate) fn is_there() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Counts the instructions of both bare proxies and of Portcullis, and saves the table.
pub(crate) fn run() -> anyhow::Result<()> {
    ensure!(is_there(), "valgrind is not installed");
    let binary = portcullis()?;
    let mut report = Report::new("instructions", "Instructions for each request", "proxy --callgrind");
    let upstream = Line::own(&["serve-upstream"])?.on_core(LOAD_CORE).serve()?;
    let world = World::new(upstream.address, 1)?;
    let bare = |client: &str| Line::own(&["serve-bare", &format!("{client}={}", upstream.address)]);
    let requests = world.requests()?;
    let own = instructions(&world, &requests, || bare("own"))?;
    let legacy = instructions(&world, &requests, || bare("legacy"))?;
    let trained = released("portcullis-bench").map(|program| {
        let client = format!("own={}", upstream.address);
        instructions(&world, &requests, || Ok(Line::new(&program, &["serve-bare", &client])))
    });
    let gate = instructions(&world, &requests, || world.line(&binary))?;
    report.line(&format!(
        "Instructions in user mode, by callgrind: all threads, {CONNECTIONS} connections, the difference of {} and {} \
         requests. The kernel's part, the same for all, is not counted. Requests and settings are those of \
         `proxy`.\n",
        COUNTED.many, COUNTED.few
    ));
    let row = |name: &str, count: f64| vec![name.to_owned(), format!("{count:.0}"), format!("{:.2}", count / own)];
    let mut counts = vec![("bare, own pool", own), ("bare, legacy client", legacy)];
    if let Some(trained) = trained {
        counts.push(("bare, own pool, trained as portcullis is", trained?));
    }
    counts.push(("portcullis", gate));
    let rows: Vec<Vec<String>> = counts.iter().map(|(name, count)| row(name, *count)).collect();
    report.table(&["", "instructions/request", "against bare"], &rows);
    report.line(&format!("Bar: {BAR:.0} instructions a request, {}.\n", if gate <= BAR { "met" } else { "missed" }));
    let bars = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    Bars { title: "Instructions for each request".to_owned(), unit: "", bars }.save("instructions")?;
    report.line("![instructions for each request](instructions.svg)\n");
    report.save()
}

/// Of a server, for each of these requests.
pub(crate) fn instructions(
    world: &World,
    requests: &Path,
    line: impl Fn() -> anyhow::Result<Line>,
) -> anyhow::Result<f64> {
    least_instructions(world, requests, COUNTED, 1, line)
}

/// The same by so many runs, of which the least counts.
pub(crate) fn least_instructions(
    world: &World,
    requests: &Path,
    counted: Counted,
    runs: usize,
    line: impl Fn() -> anyhow::Result<Line>,
) -> anyhow::Result<f64> {
    let least = |requested: u32| -> anyhow::Result<f64> {
        let runs = (0..runs).map(|_| count(world, requests, line()?, (counted.connections, requested)));
        Ok(runs.collect::<anyhow::Result<Vec<f64>>>()?.into_iter().fold(f64::MAX, f64::min))
    };
    Ok((least(counted.many)? - least(counted.few)?) / f64::from(counted.many - counted.few))
}

/// All instructions of a server from its start to its end, with this many requests on so many connections in between.
fn count(world: &World, requests: &Path, line: Line, (connections, count): (u16, u32)) -> anyhow::Result<f64> {
    let counts = world.path("callgrind.out");
    let server = line.in_callgrind(&counts).serve()?;
    load(&server, requests, connections, Extent::Count(count.into()))?;
    server.stop()?;
    total(&counts)
}

/// All instructions of a program that ends by itself.
pub(crate) fn of_program(world: &World, line: Line) -> anyhow::Result<f64> {
    let counts = world.path("callgrind.out");
    line.in_callgrind(&counts).output()?;
    total(&counts)
}

fn total(counts: &Path) -> anyhow::Result<f64> {
    let text = fs::read_to_string(counts)?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind wrote no totals")?;
    Ok(line.trim().parse()?)
}
