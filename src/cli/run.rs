//! The entry, and the command `run`.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{CommandFactory, Parser};

use crate::{
    app::{HugePages, Running, Signals, StartError, Stopped, Told},
    telemetry::start_logs,
};

use super::{
    arguments::{Arguments, Command, Log, Run},
    ask, demo, key, model, openfga,
    print::print_problems,
    test, validate,
};

/// Runs the command that the command line names.
///
/// Exit codes: 0 allowed or fine, 1 denied or invalid, 2 usage.
pub fn main() -> ExitCode {
    // First: what is held already stays as it is.
    HugePages::Forbidden.set();
    let arguments = Arguments::parse();
    if !matches!(arguments.command, Command::Run(_)) {
        HugePages::Allowed.set();
    }
    let done = match &arguments.command {
        Command::Run(options) => run(options),
        Command::Validate(options) => validate::validate(options),
        Command::Check(question) => ask::check(question),
        Command::Explain(question) => ask::explain(question),
        Command::List(command) => ask::list(command),
        Command::Test(options) => test::test(options),
        Command::Demo(options) => demo::demo(options),
        Command::ServeOpenfga(options) => openfga::serve(options),
        Command::Key(command) => key::key(command),
        Command::Model(command) => model::model(command),
        Command::Schema => schema(),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "portcullis", &mut text);
            io::stdout().write_all(&text).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
    };
    done.unwrap_or_else(|error| {
        // Who has read enough of what is printed needs no more of it, and no error.
        let printing = error.downcast_ref::<io::Error>().filter(|_| error.chain().count() == 1);
        if printing.is_none_or(|printing| printing.kind() != io::ErrorKind::BrokenPipe) {
            eprintln!("portcullis: {error:#}");
        }
        ExitCode::FAILURE
    })
}

/// Starts the log of a command that serves.
pub(super) fn start_log(log: &Log) -> anyhow::Result<()> {
    start_logs(log.log_format.into(), &log.log).map_err(anyhow::Error::msg)
}

fn run(options: &Run) -> anyhow::Result<ExitCode> {
    start_log(&options.log)?;
    let mut signals = Signals::catch()?;
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
    if let Some(address) = running.decision_address() {
        tracing::info!(%address, "applications can ask for decisions");
    }
    if let Some(address) = running.signals_address() {
        tracing::info!(%address, "issuers can send signals");
    }
    if let Some(address) = running.telemetry_address() {
        tracing::info!(%address, "metrics and health can be asked for");
    }
    if let Some(socket) = running.admin_socket() {
        tracing::info!(socket = %socket.display(), "`portcullis explain --admin` can ask this proxy");
    }
    until_told_to_stop(&running, &mut signals)?;
    Ok(match running.stop()? {
        Stopped::InOrder => ExitCode::SUCCESS,
        Stopped::AtDeadline => {
            tracing::warn!("stopped at the deadline, with requests in flight");
            ExitCode::FAILURE
        }
        // How many records are lost is in the log.
        Stopped::Unrecorded => ExitCode::FAILURE,
    })
}

/// Does what signals ask for until one asks to stop or the next process serves; fails if a thread dies.
pub(super) fn until_told_to_stop(running: &Running, signals: &mut Signals) -> anyhow::Result<()> {
    loop {
        if running.is_handed_over() {
            tracing::info!("the next process serves: requests in flight are finished");
            return Ok(());
        }
        match signals.next(Duration::from_secs(1)) {
            Some(Told::Stop(signal)) => {
                tracing::info!(signal, "stopping: requests in flight are finished");
                return Ok(());
            }
            Some(Told::Rotate) => {
                tracing::info!("the audit log is opened anew");
                running.rotate_audit_log();
            }
            // A worker that has died would leave its share of the connections unanswered.
            None if !running.is_whole() => anyhow::bail!("a thread has died, the process ends to be started anew"),
            None => {}
        }
    }
}

fn schema() -> anyhow::Result<ExitCode> {
    let text = serde_json::to_string_pretty(&crate::config::schema())?;
    writeln!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
