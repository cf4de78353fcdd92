//! The guard of the path of a request: no more instructions than were recorded, but for a little.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::{
    callgrind::{Counted, is_there, least_instructions},
    process::{LOAD_CORE, Line, portcullis_beside},
    world::World,
};

/// By so much of itself the count may rise.
const RISE: f64 = 0.03;
/// Runs, of which the least counts: what a run has more of is chance.
const RUNS: usize = 3;
/// One connection waits for its answer before it asks again, so that one run is like another.
const COUNTED: Counted = Counted { connections: 1, few: 500, many: 4_500 };

/// Instructions for each request, by the compiler that built the product: another one builds another product.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Recorded(BTreeMap<String, u64>);

impl Recorded {
    fn path() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/results/instructions.json"))
    }

    fn read() -> anyhow::Result<Self> {
        match fs::read_to_string(Self::path()) {
            Ok(text) => serde_json::from_str(&text).context("instructions.json"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Counts, and fails if there are more than 3 % more instructions for each request than were recorded. Without a record for
/// this compiler there is nothing to compare with, which is said.
pub(crate) fn check() -> anyhow::Result<()> {
    let (compiler, recorded) = (compiler()?, Recorded::read()?);
    let Some(before) = recorded.0.get(&compiler).copied() else {
        println!("skipped: no instructions are recorded for {compiler}; `make instructions-record` records them");
        return Ok(());
    };
    let now = count()?;
    let more = as_float(now) / as_float(before) - 1.0;
    println!("{now} instructions for each request, {before} are recorded for {compiler}: {:+.1} %", more * 100.0);
    ensure!(
        more <= RISE,
        "a request takes {:.1} % more instructions than recorded, and at most {:.0} % are let pass; find out where \
         (valgrind --tool=callgrind), or record the new count by `make instructions-record` and say in the commit why",
        more * 100.0,
        RISE * 100.0
    );
    if more < -RISE {
        println!("that is much less: record it by `make instructions-record`, so that it stays so");
    }
    Ok(())
}

/// Counts, and records it for this compiler.
pub(crate) fn record() -> anyhow::Result<()> {
    let (compiler, mut recorded, now) = (compiler()?, Recorded::read()?, count()?);
    println!("{now} instructions for each request, by {compiler}");
    recorded.0.insert(compiler, now);
    Ok(fs::write(Recorded::path(), serde_json::to_string_pretty(&recorded)? + "\n")?)
}

fn count() -> anyhow::Result<u64> {
    ensure!(is_there(), "valgrind is not installed");
    // Not built anew: alone it would be built with other features of its libraries, which takes as long again.
    let binary = portcullis_beside()?;
    let upstream = Line::own(&["serve-upstream"])?.on_core(LOAD_CORE).serve()?;
    let world = World::new(upstream.address, 1)?;
    let requests = world.requests()?;
    let count = least_instructions(&world, &requests, COUNTED, RUNS, || world.line(&binary))?;
    // Of a request, in whole instructions.
    format!("{count:.0}").parse().context("a count")
}

fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("rustc cannot be asked for its version")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn as_float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
