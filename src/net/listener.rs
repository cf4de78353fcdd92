//! Listening sockets.

use std::{
    fs::Permissions,
    io,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::PathBuf,
    sync::Arc,
};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::{
    address::ListenAddress,
    proxies::{Forwarders, TrustedProxies},
    role::Role,
    sources::Sources,
    unix::{UnixSocket, UnixSocketError},
};

/// The place cannot be listened at.
#[derive(Debug, Error)]
pub enum ListenerError {
    /// The operating system does not give the address.
    #[error("cannot listen on {0}: {1}")]
    Failed(ListenAddress, io::Error),
    /// There is no Unix socket.
    #[error(transparent)]
    Unix(#[from] UnixSocketError),
    /// systemd has passed no such socket.
    #[error("cannot listen on {0}: systemd has passed no such socket, {1}")]
    NotPassed(ListenAddress, String),
    /// What was passed cannot be accepted from.
    #[error("cannot listen on {0}: what was passed is no listening stream socket")]
    NotListening(ListenAddress),
}

/// How the connections of a listener arrive.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// The proxies in front of it, which say whose connections they pass on; `None` if clients connect themselves.
    pub proxies: Option<Arc<TrustedProxies>>,
    /// The proxies in front of it that say of each request whose it is; `None` if nobody may.
    pub forwarders: Option<Arc<Forwarders>>,
    /// Whether connections are redirected to it that were meant for elsewhere.
    pub original_destination: bool,
    /// How many may come from one source, over all workers; `None` if that is not counted.
    pub sources: Option<Arc<Sources>>,
    /// What clients take it for.
    pub role: Role,
}

/// A listening socket which several threads can accept from.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    // As it was asked for.
    address: ListenAddress,
    arrival: Arrival,
}

#[derive(Debug)]
enum Listening {
    Tcp(std::net::TcpListener, SocketAddr),
    Unix(UnixSocket),
}

impl Listener {
    /// Listens there. What systemd has to pass is not there by itself.
    pub fn bind(address: &ListenAddress) -> Result<Self, ListenerError> {
        let socket = match address {
            ListenAddress::Ip(ip) => tcp(*ip).map_err(|error| ListenerError::Failed(address.clone(), error))?,
            ListenAddress::Unix(path, mode) => Listening::Unix(UnixSocket::bind(path, *mode)?),
            ListenAddress::Systemd(_) => {
                let why = "it has passed none at all: `LISTEN_FDS` is not set for this process";
                return Err(ListenerError::NotPassed(address.clone(), why.to_owned()));
            }
        };
        Ok(Self { socket, address: address.clone(), arrival: Arrival::default() })
    }

    /// A listening socket that another process has opened: the one before this one, or systemd.
    pub fn given(address: &ListenAddress, socket: OwnedFd) -> Result<Self, ListenerError> {
        let failed = |error| ListenerError::Failed(address.clone(), error);
        let socket = Socket::from(socket);
        let is_stream = socket.r#type().map_err(failed)? == Type::STREAM;
        if !is_stream || !socket.is_listener().map_err(failed)? {
            return Err(ListenerError::NotListening(address.clone()));
        }
        socket.set_nonblocking(true).map_err(failed)?;
        let is_unix = socket.domain().map_err(failed)? == Domain::UNIX;
        let socket = if is_unix {
            let at = socket.local_addr().map_err(failed)?.as_pathname().map(PathBuf::from);
            let path = match address {
                // It was made with the mode of then. Without its file nobody would find it.
                ListenAddress::Unix(path, mode) => {
                    std::fs::set_permissions(path, Permissions::from_mode(*mode)).map_err(failed)?;
                    path.clone()
                }
                ListenAddress::Ip(_) | ListenAddress::Systemd(_) => at.unwrap_or_default(),
            };
            Listening::Unix(UnixSocket::lent(UnixListener::from(socket), path))
        } else {
            let listener = std::net::TcpListener::from(socket);
            let at = listener.local_addr().map_err(failed)?;
            Listening::Tcp(listener, at)
        };
        Ok(Self { socket, address: address.clone(), arrival: Arrival::default() })
    }

    /// The same listener, whose connections arrive in this way.
    #[must_use]
    pub fn arriving(self, arrival: Arrival) -> Self {
        Self { arrival, ..self }
    }

    /// Where it is, with its real port.
    pub fn address(&self) -> ListenAddress {
        match &self.socket {
            Listening::Tcp(_, address) => ListenAddress::Ip(*address),
            Listening::Unix(socket) => ListenAddress::Unix(socket.path().to_owned(), ListenAddress::DEFAULT_MODE),
        }
    }

    /// Its address and real port, if it is not within this machine.
    pub fn ip(&self) -> Option<SocketAddr> {
        self.address().ip()
    }

    /// Another handle of the same socket, to be passed on.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            Listening::Tcp(listener, _) => listener.try_clone().map(OwnedFd::from),
            Listening::Unix(socket) => socket.handle(),
        }
    }

    /// Removes at the end what the process before has made: it is this one's now. What is systemd's stays.
    pub fn own(&mut self) {
        if let (Listening::Unix(socket), ListenAddress::Unix(..)) = (&mut self.socket, &self.address) {
            socket.own();
        }
    }

    /// Leaves what it has made to the process that listens on the same socket from now on.
    pub fn leave(&mut self) {
        if let Listening::Unix(socket) = &mut self.socket {
            socket.leave();
        }
    }

    /// The same socket for the runtime of the calling thread.
    pub fn accepting(&self) -> io::Result<Accepting> {
        let accepting = match &self.socket {
            Listening::Tcp(listener, _) => tokio::net::TcpListener::from_std(listener.try_clone()?)?.into(),
            Listening::Unix(socket) => socket.accepting()?,
        };
        Ok(Accepting { arrival: self.arrival.clone(), ..accepting })
    }
}

fn tcp(address: SocketAddr) -> io::Result<Listening> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok(Listening::Tcp(listener, address))
}

/// A listening socket of the calling thread's runtime: what connections are accepted from.
#[derive(Debug)]
pub struct Accepting {
    pub(super) socket: AcceptingSocket,
    pub(super) arrival: Arrival,
}

#[derive(Debug)]
pub(super) enum AcceptingSocket {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl From<tokio::net::TcpListener> for Accepting {
    fn from(listener: tokio::net::TcpListener) -> Self {
        Self { socket: AcceptingSocket::Tcp(listener), arrival: Arrival::default() }
    }
}

impl From<tokio::net::UnixListener> for Accepting {
    fn from(listener: tokio::net::UnixListener) -> Self {
        Self { socket: AcceptingSocket::Unix(listener), arrival: Arrival::default() }
    }
}
