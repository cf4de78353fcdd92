//! OpenFGA's HTTP API, served from memory.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use crate::{
    admin::{Bearers, DoorNames, OpenFgaHandler},
    net::{Drain, Listener, ListenerError, ServerSettings, serve},
    snapshot::Authority,
};

use super::running::Stopped;

/// How long requests in flight may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why no authority was started.
#[derive(Debug, Error)]
pub enum AuthorityStartError {
    /// Everybody who reaches the address could write who may do what.
    #[error("{0} can be reached from other machines: give a token, or listen on 127.0.0.1")]
    OpenToAll(SocketAddr),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// The threads cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// An authority that serves.
#[derive(Debug)]
pub struct RunningAuthority {
    address: SocketAddr,
    drain: Drain,
    runtime: Runtime,
}

impl RunningAuthority {
    /// Serves these stores on this address. Refuses to be open to other machines without a token.
    pub fn start(address: SocketAddr, bearers: Bearers, stores: Authority) -> Result<Self, AuthorityStartError> {
        if bearers.is_open() && !address.ip().is_loopback() {
            return Err(AuthorityStartError::OpenToAll(address));
        }
        let listener = Listener::bind(&address.into())?;
        let address = listener.ip().unwrap_or(address);
        let runtime = Builder::new_multi_thread().thread_name("authority").enable_all().build()?;
        let accepting = {
            let _inside = runtime.enter();
            listener.accepting()?
        };
        let (drain, signal) = Drain::new();
        let handler = OpenFgaHandler::new(Arc::new(stores), bearers, DoorNames::new(address.ip(), &[]));
        runtime.spawn(serve(accepting, None, ServerSettings::default(), signal, handler));
        Ok(Self { address, drain, runtime })
    }

    /// Its address, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops in order: no new connections, requests in flight to their end.
    pub fn stop(mut self) -> Stopped {
        self.drain.order();
        let ended = self.runtime.block_on(self.drain.ended_within(PATIENCE));
        self.runtime.shutdown_background();
        if ended { Stopped::InOrder } else { Stopped::AtDeadline }
    }
}
