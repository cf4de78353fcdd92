//! Listening sockets.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {error}")]
pub struct ListenerError {
    address: SocketAddr,
    error: io::Error,
}

/// A bound TCP socket which several threads can accept from.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds the address; port 0 takes any free port.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenerError> {
        let bound = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // A restart must not wait for old connections to time out.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(4096)?;
            let socket = std::net::TcpListener::from(socket);
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bound().map_err(|error| ListenerError { address, error })
    }

    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another handle of the same socket, for the runtime of the calling thread.
    pub fn accepting(&self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket.try_clone()?)
    }
}

/// A listening socket of the calling thread's runtime: what connections are accepted from.
#[derive(Debug)]
pub enum Accepting {
    /// Connections come over TCP.
    Tcp(tokio::net::TcpListener),
    /// Connections come from this machine, over a file.
    Unix(tokio::net::UnixListener),
}

impl From<tokio::net::TcpListener> for Accepting {
    fn from(listener: tokio::net::TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<tokio::net::UnixListener> for Accepting {
    fn from(listener: tokio::net::UnixListener) -> Self {
        Self::Unix(listener)
    }
}
