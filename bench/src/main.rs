//! Measurements of Portcullis, and the load that its release is built by: `make bench`, `make release`.

mod bare;
mod build;
mod callgrind;
mod cores;
mod engine;
mod fixed;
mod gateways;
mod graph;
mod guard;
mod identity;
mod latency;
mod load;
mod memory;
mod others;
mod peers;
mod plot;
mod process;
mod proxy;
mod report;
mod scale;
mod swap;
mod tls;
mod train;
mod upstream;
mod world;

use std::{env, process::ExitCode};

// The product's allocator, so that the bare proxy is as fast as it can be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "one of: engine, identity, proxy, proxy --callgrind, gateways, tls, fixed, cores, memory, swap, peers, all, \
                     train, instructions, instructions --record";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["engine"] => engine::run(),
        ["gateways"] => gateways::run(),
        ["identity"] => identity::run(),
        ["tls"] => tls::run(),
        ["fixed"] => fixed::run(),
        ["cores"] => cores::run(),
        ["memory"] => memory::run(),
        ["instructions"] => guard::check(),
        ["instructions", "--record"] => guard::record(),
        ["proxy"] => proxy::run(),
        ["proxy", "--callgrind"] => callgrind::run(),
        ["train"] => train::run(),
        ["swap"] => swap::run(),
        ["peers"] => peers::run(),
        ["all"] => all(),
        // The parts of a measurement that run as processes of their own.
        ["build", path] => build::serve(path),
        ["identity-own", folder, way, count] => identity::own(folder, way, count),
        ["peers-own", rounds, questions] => peers::own(rounds, questions),
        ["serve-upstream"] => upstream::serve(),
        ["serve-bare", client] => bare::serve(client),
        ["load", rest @ ..] => load::run(rest),
        _ => Err(anyhow::anyhow!("no such measurement; {USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn all() -> anyhow::Result<()> {
    engine::run()?;
    identity::run()?;
    proxy::run()?;
    gateways::run()?;
    tls::run()?;
    fixed::run()?;
    cores::run()?;
    memory::run()?;
    if callgrind::is_there() {
        callgrind::run()?;
    }
    swap::run()?;
    peers::run()
}
