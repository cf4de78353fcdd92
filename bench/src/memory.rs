//! Memory: idle, with many connections that rest, and with a graph of a million tuples.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};

use super::{
    load::{content_length, find},
    others::{Speaks, nginx},
    plot::Bars,
    process::{LOAD_CORE, Line, Memory, Server, portcullis},
    report::Report,
    world::{MILLION, World},
};

const CONNECTIONS: u16 = 10_000;
/// In KiB: idle, and for each connection that rests.
const BARS: (f64, f64) = (15.0 * 1024.0, 10.0);
/// So long after the last request it is looked at.
const REST: Duration = Duration::from_secs(2);

/// One process, at rest and with connections.
struct Measured {
    name: String,
    idle: Memory,
    connected: Option<Memory>,
}

/// Looks at the product and at what is there to be compared with it, and saves the table.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis()?;
    let mut report = Report::new("memory", "Memory", "memory");
    let upstream = Line::own(&["serve-upstream"])?.on_core(LOAD_CORE).serve()?;
    let (world, own) = (World::small(upstream.address, 1)?, format!("own={}", upstream.address));
    let request = world.first_request()?;
    let mut measured = vec![with_connections("portcullis, one worker", &world.line(&binary)?.serve()?, &request)?];
    for (name, started) in [
        ("bare hyper, own pool", Line::own(&["serve-bare", &own])?.serve()),
        ("nginx", nginx(&world, upstream.address, Speaks::Clear)),
    ] {
        match started {
            Ok(server) => measured.push(with_connections(name, &server, &request)?),
            Err(error) => report.line(&format!("Not measured: {name}: {error:#}\n")),
        }
    }
    let two = World::small(upstream.address, 2)?;
    measured.push(idle("portcullis, two workers", &two.line(&binary)?.serve()?, &two.first_request()?)?);
    let large = World::of(upstream.address, 1, MILLION)?;
    let name = "portcullis, a million tuples";
    measured.push(idle(name, &large.line(&binary)?.serve()?, &large.first_request()?)?);
    describe(&mut report, &measured)?;
    report.save()
}

fn describe(report: &mut Report, measured: &[Measured]) -> anyhow::Result<()> {
    report.line(&format!(
        "Two seconds after the last request, so that what is given back has been. The policy is of two tuples where nothing \
         else is said. Each of the {CONNECTIONS} connections has had its answer to one request and rests. Resident are the \
         pages that the process touches, those of its code among them, which are the page cache's and shared; own are the \
         others. The kernel's memory for sockets, the same for all, is not \
         counted. The bare proxy is what the HTTP library takes for a connection, two buffers above all, in the kernel's huge \
         pages where it has them.\n"
    ));
    let mib = |kib: u64| format!("{:.1}", number(kib) / 1024.0);
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|Measured { name, idle, connected }| {
            let (resident, own, each) = connected.map_or_else(Default::default, |connected| {
                (mib(connected.resident), mib(connected.anonymous), format!("{:.1}", each(*idle, connected)))
            });
            vec![name.clone(), mib(idle.resident), mib(idle.anonymous), resident, own, each]
        })
        .collect();
    let connected = format!("with {CONNECTIONS} connections, MiB");
    report.table(&["", "idle, MiB", "own, MiB", &connected, "own, MiB", "each connection, KiB"], &rows);
    let gate = measured.first().context("the product comes first")?;
    let met = |is_met: bool| if is_met { "met" } else { "missed" };
    report.line(&format!(
        "Bars: {:.0} MiB idle, {}; {:.0} KiB for each connection, {}.\n",
        BARS.0 / 1024.0,
        met(number(gate.idle.resident) <= BARS.0),
        BARS.1,
        met(gate.connected.is_some_and(|connected| each(gate.idle, connected) <= BARS.1)),
    ));
    let bars = measured.iter().map(|one| (one.name.clone(), number(one.idle.resident) / 1024.0)).collect();
    Bars { title: "Resident memory when idle".to_owned(), unit: " MiB", bars }.save("memory")?;
    report.line("![resident memory](memory.svg)\n");
    Ok(())
}

fn each(idle: Memory, connected: Memory) -> f64 {
    number(connected.resident.saturating_sub(idle.resident)) / f64::from(CONNECTIONS)
}

fn idle(name: &str, server: &Server, request: &str) -> anyhow::Result<Measured> {
    // One request, so that what the first one brings is there.
    drop(asked(server.address, request)?);
    thread::sleep(REST);
    Ok(Measured { name: name.to_owned(), idle: server.memory()?, connected: None })
}

fn with_connections(name: &str, server: &Server, request: &str) -> anyhow::Result<Measured> {
    let measured = idle(name, server, request)?;
    let asked: anyhow::Result<Vec<TcpStream>> = (0..CONNECTIONS).map(|_| asked(server.address, request)).collect();
    let open = asked.with_context(|| format!("{CONNECTIONS} connections: `ulimit -n` must be above that"))?;
    thread::sleep(REST);
    let connected = Some(server.memory()?);
    drop(open);
    Ok(Measured { connected, ..measured })
}

/// A connection that has had the answer to its first request.
fn asked(address: SocketAddr, request: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 2048]);
    loop {
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "a connection was closed");
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        let Some(end) = find(&answer, b"\r\n\r\n").map(|end| end + 4) else { continue };
        let head = answer.get(..end).unwrap_or_default();
        ensure!(head.starts_with(b"HTTP/1.1 200 "), "not 200: {}", String::from_utf8_lossy(head));
        if answer.len() >= end + content_length(head).context("an answer has no Content-Length")? {
            return Ok(stream);
        }
    }
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
