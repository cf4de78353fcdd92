//! A graph from a file, built by a process of its own so that its memory can be seen.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::{BufReader, BufWriter, Write as _},
    path::Path,
    process::Command,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, anyhow, ensure};
use portcullis::{
    compile::{self, TupleFormat},
    policy::{TupleCondition, TupleText},
};

use super::scale::{Company, builder};

/// What building from a file took.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) tuples: f64,
    pub(crate) objects: f64,
    /// Of a processor, and of the clock on the wall.
    pub(crate) seconds: f64,
    pub(crate) waited: f64,
    /// What the graph takes, and the most that the process took while it was built, beyond what it took before.
    pub(crate) bytes: f64,
    pub(crate) peak: f64,
}

/// Writes the tuples of a company into a file of a format.
pub(crate) fn write(company: Company, path: &Path) -> anyhow::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml");
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let mut line = String::new();
    let mut failed = Ok(());
    let mut is_first = true;
    company.tuples(|user, relation, object| {
        line.clear();
        // Writing into memory does not fail.
        let _ = if is_yaml {
            writeln!(line, "- user: {user}\n  relation: {relation}\n  object: {object}")
        } else {
            let before = if is_json { if is_first { "[" } else { "," } } else { "" };
            writeln!(line, r#"{before}{{"user":"{user}","relation":"{relation}","object":"{object}"}}"#)
        };
        is_first = false;
        if failed.is_ok() {
            failed = file.write_all(line.as_bytes());
        }
    });
    failed?;
    if is_json {
        file.write_all(b"]")?;
    }
    Ok(file.flush()?)
}

/// Builds the graph of a file in another process.
pub(crate) fn measure(path: &Path) -> anyhow::Result<Built> {
    let output = Command::new(env::current_exe()?).arg("build").arg(path).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    match figures.as_slice() {
        &[tuples, objects, seconds, waited, bytes, peak] => Ok(Built { tuples, objects, seconds, waited, bytes, peak }),
        _ => Err(anyhow!("no figures: {text}")),
    }
}

/// Builds the graph of a file and prints what that took.
pub(crate) fn serve(path: &str) -> anyhow::Result<()> {
    let format = TupleFormat::of_file_name(path).context("not a kind of tuple file")?;
    let mut builder = builder();
    let model = Arc::clone(builder.model());
    let before = status("VmHWM")?;
    let worked = processor_seconds()?;
    let started = Instant::now();
    let mut input = BufReader::with_capacity(256 * 1024, File::open(path)?);
    let mut take = |tuple: TupleText<'_>, condition: Option<TupleCondition>| builder.add_with(tuple, condition);
    compile::tuples(&Arc::from(path), &mut input, format, Some(&model), &mut take)
        .map_err(|problems| anyhow!("{problems:?}"))?;
    let graph = builder.finish();
    let (seconds, waited) = (processor_seconds()? - worked, started.elapsed().as_secs_f64());
    let statistics = graph.statistics();
    println!(
        "{} {} {seconds} {waited} {} {}",
        statistics.tuples,
        statistics.objects,
        statistics.bytes,
        (status("VmHWM")? - before) * 1024
    );
    Ok(())
}

fn status(field: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    Ok(line.trim_start_matches([':', ' ', '\t']).trim_end_matches(" kB").parse()?)
}

/// What this process has worked so far, in the kernel or not.
fn processor_seconds() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = text.rsplit_once(')').context("no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    // The kernel counts a hundred a second, whatever its own clock is.
    Ok(ticks.sum::<f64>() / 100.0)
}
