//! The admin socket, on the control thread.

use std::{io, path::Path, sync::Arc};

use thiserror::Error;
use tokio::runtime::Runtime;

use crate::{
    admin::{Listening, OperatorHandler, ProxyState},
    net::{DrainSignal, Listener, ServerSettings, serve},
    proxy::ProxyMetrics,
    snapshot::SnapshotCell,
};

/// Operators are few, and whoever may use their socket can do worse than to use it up.
const CONNECTIONS: usize = 64;

/// Why operators cannot ask.
#[derive(Debug, Error)]
pub enum AdminError {
    /// It cannot be accepted from.
    #[error("the admin socket cannot be accepted from: {0}")]
    Accept(#[from] io::Error),
}

/// What an operator is told of the process.
pub(super) struct Told<'a> {
    /// What is listened on, and what for.
    pub(super) listeners: Vec<(&'static str, String)>,
    pub(super) metrics: &'a ProxyMetrics,
    /// Ordered once the proxy drains.
    pub(super) draining: DrainSignal,
    pub(super) snapshots: &'a Arc<SnapshotCell>,
}

impl Told<'_> {
    /// Tells whoever asks on this socket, on this runtime and until the drain is ordered.
    pub(super) fn at(
        self,
        (socket, path): (&Listener, &Path),
        control: &Runtime,
        drain: DrainSignal,
    ) -> Result<(), AdminError> {
        let metrics = self.metrics.clone();
        let addresses = self.listeners.into_iter().map(|(purpose, at)| Listening { purpose, at });
        let own = Listening { purpose: "admin", at: path.display().to_string() };
        let state = ProxyState {
            listeners: addresses.chain([own]).collect(),
            in_flight: Box::new(move || metrics.in_flight()),
            drain: self.draining,
        };
        let handler = OperatorHandler::new(Arc::clone(self.snapshots), state);
        let _inside = control.enter();
        let bounds = ServerSettings { connections: CONNECTIONS, ..ServerSettings::default() };
        control.spawn(serve(socket.accepting()?, None, bounds, drain, handler));
        Ok(())
    }
}
