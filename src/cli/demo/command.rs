//! Which of the two demos is wanted.

use std::process::ExitCode;

use crate::{cli::arguments::Demo, telemetry::LogFormat, telemetry::start_logs};

use super::{once::once, serve::serve};

/// Serves until told to stop, or sends the scenarios and ends.
pub(in crate::cli) fn demo(options: &Demo) -> anyhow::Result<ExitCode> {
    // Beside the table only what is wrong is of interest; beside the curl lines, what each edit came to.
    let filter = if options.once { "warn" } else { "info" };
    start_logs(LogFormat::Text, filter).map_err(anyhow::Error::msg)?;
    if options.once { once(options.json) } else { serve(options.listen) }
}
