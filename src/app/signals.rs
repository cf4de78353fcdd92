//! The signals that end the process.

use std::io;

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Waits for SIGTERM or SIGINT, and names it.
pub fn until_told_to_stop() -> Result<&'static str, io::Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        })
    })
}
