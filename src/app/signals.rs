//! The signals that the process acts on.

use std::io;

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// SIGTERM or SIGINT: stop in order.
    Stop(&'static str),
    /// SIGHUP: the audit log was moved away, open it anew.
    Rotate,
}

/// Passes signals to `tell` until it returns false.
pub fn listen_to_signals(mut tell: impl FnMut(Told) -> bool) -> Result<(), io::Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            let told = tokio::select! {
                _ = terminate.recv() => Told::Stop("SIGTERM"),
                _ = interrupt.recv() => Told::Stop("SIGINT"),
                _ = hang_up.recv() => Told::Rotate,
            };
            if !tell(told) {
                return Ok(());
            }
        }
    })
}
