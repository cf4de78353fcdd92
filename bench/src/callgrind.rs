//! Instructions for each request, counted in an emulator: the same on a busy machine.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};

use super::{
    load::Extent,
    process::{LOAD_CORE, Line, portcullis},
    report::Report,
    world::{World, load},
};

const CONNECTIONS: u16 = 8;
/// The difference of two counts leaves start and end out.
const COUNTS: [u32; 2] = [1_000, 11_000];

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
    let gate = instructions(&world, &requests, || world.line(&binary))?;
    report.line(&format!(
        "Instructions in user mode, by callgrind: all threads, {CONNECTIONS} connections, the difference of {} and {} \
         requests. The kernel's part, the same for all, is not counted. Requests and settings are those of \
         `proxy`.\n",
        COUNTS[1], COUNTS[0]
    ));
    let row = |name: &str, count: f64| vec![name.to_owned(), format!("{count:.0}"), format!("{:.2}", count / own)];
    let rows = [row("bare, own pool", own), row("bare, legacy client", legacy), row("portcullis", gate)];
    report.table(&["", "instructions/request", "against bare"], &rows);
    report.save()
}

/// Of a server, for each of these requests.
pub(crate) fn instructions(
    world: &World,
    requests: &Path,
    line: impl Fn() -> anyhow::Result<Line>,
) -> anyhow::Result<f64> {
    let [few, many] = COUNTS;
    let less = count(world, requests, line()?, few)?;
    let more = count(world, requests, line()?, many)?;
    Ok((more - less) / f64::from(many - few))
}

/// All instructions of a server from its start to its end, with this many requests in between.
fn count(world: &World, requests: &Path, line: Line, count: u32) -> anyhow::Result<f64> {
    let counts = world.path("callgrind.out");
    let server = line.in_callgrind(&counts).serve()?;
    load(&server, requests, CONNECTIONS, Extent::Count(count.into()))?;
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
