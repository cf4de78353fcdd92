//! The command `serve-openfga`.

use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;

use crate::{
    admin::Bearers,
    app::{RunningAuthority, Signals, Stopped, Told},
    config::load_store,
    snapshot::Authority,
};

use super::{arguments::ServeOpenFga, print::print_problems, run::start_log};

/// Serves until told to stop.
pub(super) fn serve(options: &ServeOpenFga) -> anyhow::Result<ExitCode> {
    start_log(&options.log)?;
    let mut signals = Signals::catch()?;
    let bearers = bearers(options)?;
    let (stores, now) = (Authority::default(), SystemTime::now().into());
    let mut opened = Vec::new();
    for file in &options.store {
        match load_store(file) {
            Ok(file) => opened.push(stores.open_store(&file, now)),
            Err(problems) => {
                print_problems(&problems);
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    let authority = RunningAuthority::start(options.listen, bearers, stores).context("cannot start")?;
    let address = authority.address();
    writeln!(io::stdout(), "http://{address}")?;
    for store in opened {
        let model = store.model(None).context("a store file has a model")?;
        writeln!(io::stdout(), "store {} model {} {}", store.id, model.id, store.name)?;
    }
    tracing::info!(%address, "OpenFGA's API is served from memory");
    loop {
        match signals.next(Duration::from_secs(3600)) {
            Some(Told::Stop(signal)) => {
                tracing::info!(signal, "stopping: requests in flight are finished");
                break;
            }
            Some(Told::Rotate) | None => {}
        }
    }
    Ok(match authority.stop() {
        Stopped::InOrder => ExitCode::SUCCESS,
        // It keeps no records.
        Stopped::AtDeadline | Stopped::Unrecorded => {
            tracing::warn!("stopped at the deadline, with requests in flight");
            ExitCode::FAILURE
        }
    })
}

/// The tokens of the command line, and those of the files, one on each line.
fn bearers(options: &ServeOpenFga) -> anyhow::Result<Bearers> {
    let mut tokens = options.token.clone();
    for file in &options.token_file {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let before = tokens.len();
        tokens.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        anyhow::ensure!(tokens.len() > before, "{} holds no token", file.display());
    }
    anyhow::ensure!(!tokens.iter().any(|token| token.trim().is_empty()), "a token is empty");
    Ok(Bearers::new(tokens))
}
