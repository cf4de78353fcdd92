//! A thread with a runtime of its own, which serves listeners until it is told to stop.

use std::{
    io,
    thread::{self, JoinHandle},
};

use tokio::{runtime::Builder, sync::watch, task::JoinSet};

use crate::net::{Drain, DrainSignal, Handler, Listener, ServerSettings, ServerTls, serve};

/// Each listener with its TLS identity, if it has one.
pub(super) type Served<'a> = &'a [(Listener, Option<watch::Receiver<ServerTls>>)];

/// Starts a thread that serves these listeners until the drain is ordered, and its connections until they end or what
/// is left of them is abandoned.
pub(super) fn start_worker<H: Handler>(
    name: String,
    listeners: Served<'_>,
    settings: ServerSettings,
    (mut drain, mut abandon): (DrainSignal, DrainSignal),
    handler: H,
) -> Result<JoinHandle<()>, io::Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let accepting = {
        let _inside = runtime.enter();
        let accepting = listeners.iter().map(|(listener, tls)| Ok((listener.accepting()?, tls.clone())));
        accepting.collect::<Result<Vec<_>, io::Error>>()?
    };
    thread::Builder::new().name(name).spawn(move || {
        runtime.block_on(async move {
            let (mut connections, signal) = Drain::new();
            let mut serving = JoinSet::new();
            for (listener, tls) in accepting {
                serving.spawn(serve(listener, tls, settings, signal.clone(), handler.clone()));
            }
            drop((signal, handler));
            tokio::select! {
                () = drain.ordered() => {}
                // It ends before its time by a fault only: then the thread ends too, and is missed.
                _ = serving.join_next() => return,
            }
            connections.order();
            tokio::select! {
                () = connections.ended() => {}
                // What is dropped with the runtime leaves its records as it goes.
                () = abandon.ordered() => {}
            }
        });
        // A long answer, which nobody waits for any more, does not hold up the end.
        runtime.shutdown_background();
    })
}
