//! Runs store files and prints what came of them.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{analyze::run_tests, cli::arguments::Test, config::load_store};

use super::{
    files::store_files,
    junit,
    outcome::{Count, FileOutcome, as_json},
};

/// Runs the tests of every file.
pub(in crate::cli) fn test(options: &Test) -> anyhow::Result<ExitCode> {
    let files = store_files(&options.files).map_err(anyhow::Error::msg)?;
    let outcomes: Vec<FileOutcome> = files.iter().map(|file| outcome(file)).collect();
    let mut output = io::stdout().lock();
    if options.json {
        writeln!(output, "{}", serde_json::to_string_pretty(&as_json(&outcomes))?)?;
    } else {
        outcomes.iter().try_for_each(|outcome| writeln!(output, "{outcome}"))?;
        writeln!(output, "{}", Count::of(&outcomes))?;
    }
    if let Some(file) = &options.junit {
        fs::write(file, junit::report(&outcomes)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if Count::of(&outcomes).is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn outcome(file: &Path) -> FileOutcome {
    FileOutcome { file: file.display().to_string(), tests: load_store(file).map(|store| run_tests(&store)) }
}
