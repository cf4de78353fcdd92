//! The log of the process, on standard error.

use std::io::{self, Write};

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log with a filter such as `info` or `portcullis=debug,warn`. Refuses a filter that is none.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("`{filter}` is no log filter: {error}"))?;
    let builder = fmt().with_env_filter(filter).with_writer(|| Forgiving).with_target(false).log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|error| format!("the log cannot be started: {error}"))
}

/// Standard error, whose own errors are nobody's: a log on a full disk must not end what it tells of.
struct Forgiving;

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Lost, and there is nowhere to say so.
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
