//! The signals that the process acts on.

use std::{io, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// SIGTERM or SIGINT: stop in order.
    Stop(&'static str),
    /// SIGHUP: the audit log was moved away, open it anew.
    Rotate,
}

/// Signals, caught from the moment that this is made: none of them ends the process any more.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to catch signals. What comes before the first look is not lost.
    pub fn catch() -> Result<Self, io::Error> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (terminate, interrupt, hang_up) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
        };
        Ok(Self { runtime, terminate, interrupt, hang_up })
    }

    /// The next signal, if one comes within this time.
    pub fn next(&mut self, patience: Duration) -> Option<Told> {
        let Self { runtime, terminate, interrupt, hang_up } = self;
        runtime.block_on(async {
            let told = async {
                tokio::select! {
                    _ = terminate.recv() => Told::Stop("SIGTERM"),
                    _ = interrupt.recv() => Told::Stop("SIGINT"),
                    _ = hang_up.recv() => Told::Rotate,
                }
            };
            timeout(patience, told).await.ok()
        })
    }
}
