//! Which of the two demos is wanted.

use std::process::ExitCode;

use crate::{
    access::ActorMode,
    cli::arguments::{Actors, Demo},
    telemetry::{LogFormat, start_logs},
};

use super::{once::once, serve::serve};

/// Serves until told to stop, or sends the scenarios and ends.
pub(in crate::cli) fn demo(options: &Demo) -> anyhow::Result<ExitCode> {
    // Beside the table only what is wrong is of interest; beside the curl lines, what each edit came to.
    let filter = if options.once { "warn" } else { "info" };
    start_logs(LogFormat::Text, filter).map_err(anyhow::Error::msg)?;
    let mode = match options.actors {
        Actors::All => ActorMode::All,
        Actors::Current => ActorMode::Current,
    };
    if options.once { once(options.json, mode) } else { serve(options.listen) }
}
