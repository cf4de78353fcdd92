//! The entry, and the command `run`.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use clap::{CommandFactory, Parser};

use crate::{
    app::{Running, StartError, Stopped, Told, listen_to_signals},
    telemetry::start_logs,
};

use super::{
    arguments::{Arguments, Command, Log, Run},
    ask, demo, key,
    print::print_problems,
    validate,
};

/// Runs the command that the command line names.
///
/// Exit codes: 0 allowed or fine, 1 denied or invalid, 2 usage.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Run(options) => run(options),
        Command::Validate(options) => validate::validate(options),
        Command::Check(question) => ask::check(question),
        Command::Explain(question) => ask::explain(question),
        Command::Demo(options) => demo::demo(options),
        Command::Key(command) => key::key(command),
        Command::Schema => schema(),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Arguments::command(), "portcullis", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("portcullis: {error:#}");
        ExitCode::FAILURE
    })
}

/// Starts the log of a command that serves.
pub(super) fn start_log(log: &Log) -> anyhow::Result<()> {
    start_logs(log.log_format.into(), &log.log).map_err(anyhow::Error::msg)
}

fn run(options: &Run) -> anyhow::Result<ExitCode> {
    start_log(&options.log)?;
    let running = match Running::start(&options.config) {
        Ok(running) => running,
        Err(StartError::Invalid(problems)) => {
            print_problems(&problems);
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error).context("cannot start"),
    };
    for address in running.data_addresses() {
        tracing::info!(%address, "agents can connect");
    }
    if let Some(address) = running.telemetry_address() {
        tracing::info!(%address, "metrics and health can be asked for");
    }
    until_told_to_stop(&running)?;
    Ok(match running.stop()? {
        Stopped::InOrder => ExitCode::SUCCESS,
        Stopped::AtDeadline => {
            tracing::warn!("stopped at the deadline, with requests in flight");
            ExitCode::FAILURE
        }
    })
}

/// Does what signals ask for until one asks to stop; fails if a thread dies.
pub(super) fn until_told_to_stop(running: &Running) -> anyhow::Result<()> {
    let (told, news) = mpsc::channel();
    let listening = thread::Builder::new().name("signals".to_owned());
    // A signal that nobody waits for any more ends the thread.
    listening.spawn(move || listen_to_signals(|signal| told.send(signal).is_ok()))?;
    loop {
        match news.recv_timeout(Duration::from_secs(1)) {
            Ok(Told::Stop(signal)) => {
                tracing::info!(signal, "stopping: requests in flight are finished");
                return Ok(());
            }
            Ok(Told::Rotate) => {
                tracing::info!("the audit log is opened anew");
                running.rotate_audit_log();
            }
            // A worker that has died would leave its share of the connections unanswered.
            Err(_) if !running.is_whole() => anyhow::bail!("a thread has died, the process ends to be started anew"),
            Err(_) => {}
        }
    }
}

fn schema() -> anyhow::Result<ExitCode> {
    let text = serde_json::to_string_pretty(&crate::config::schema())?;
    writeln!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
