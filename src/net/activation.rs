//! Sockets that systemd has opened for this process (`LISTEN_FDS`).

use std::{env, os::fd::OwnedFd};

use listenfd::ListenFd;
use socket2::SockRef;

use super::{
    address::ListenAddress,
    listener::{Listener, ListenerError},
};

/// The sockets that systemd has passed and nobody has taken yet.
#[derive(Debug, Default)]
pub struct Activation {
    passed: Vec<Passed>,
}

#[derive(Debug)]
struct Passed {
    // The names that it can be asked for by: what its unit calls it, and its address.
    names: [String; 2],
    socket: OwnedFd,
}

impl Activation {
    /// What the environment says was passed to this very process. To be asked once, at the start.
    pub fn of_this_process() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut descriptors = ListenFd::from_env();
        let mut names = names.split(':');
        let mut passed = Vec::new();
        for index in 0..descriptors.len() {
            let name = names.next().unwrap_or_default();
            let socket = match (descriptors.take_tcp_listener(index), descriptors.take_unix_listener(index)) {
                (Ok(Some(socket)), _) => OwnedFd::from(socket),
                (_, Ok(Some(socket))) => OwnedFd::from(socket),
                (Ok(None) | Err(_), Ok(None) | Err(_)) => {
                    tracing::warn!(index, name, "what systemd has passed is no stream socket, and is left alone");
                    continue;
                }
            };
            passed.push(Passed { names: [name.to_owned(), address_of(&socket)], socket });
        }
        Self { passed }
    }

    /// All sockets of this name or address: the lines of one socket unit share its name.
    pub fn take(&mut self, address: &ListenAddress) -> Result<Vec<Listener>, ListenerError> {
        let ListenAddress::Systemd(name) = address else { return Ok(Vec::new()) };
        let is_asked = |passed: &Passed| passed.names.iter().any(|known| !known.is_empty() && **known == **name);
        let (taken, left) = std::mem::take(&mut self.passed).into_iter().partition(is_asked);
        self.passed = left;
        let taken: Vec<Passed> = taken;
        if taken.is_empty() {
            let known = self.names();
            let known = if known.is_empty() { "but none at all".to_owned() } else { format!("but {known}") };
            return Err(ListenerError::NotPassed(address.clone(), known));
        }
        taken.into_iter().map(|passed| Listener::given(address, passed.socket)).collect()
    }

    /// What nobody has asked for, as text: connections to it would never be answered.
    pub fn names(&self) -> String {
        let names = self.passed.iter().map(|passed| match &passed.names {
            [name, address] if name.is_empty() => format!("`{address}`"),
            [name, address] => format!("`{name}` ({address})"),
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

/// The address as it is asked for; empty if there is none that could be.
fn address_of(socket: &OwnedFd) -> String {
    let Ok(address) = SockRef::from(socket).local_addr() else { return String::new() };
    let path = address.as_pathname().map(|path| path.display().to_string());
    address.as_socket().map(|address| address.to_string()).or(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn passed(names: &[&str]) -> (Activation, Vec<String>) {
        let sockets: Vec<_> = names.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap().to_string()).collect();
        let passed = names.iter().zip(sockets).map(|(name, socket)| {
            let socket = OwnedFd::from(socket);
            Passed { names: [(*name).to_owned(), address_of(&socket)], socket }
        });
        (Activation { passed: passed.collect() }, addresses)
    }

    fn systemd(name: &str) -> ListenAddress {
        ListenAddress::Systemd(name.into())
    }

    #[test]
    fn sockets_are_found_by_name_and_by_address_and_taken_once() {
        let (mut activation, addresses) = passed(&["web", "web", "other"]);
        let web = activation.take(&systemd("web")).unwrap();
        let at: Vec<_> = web.iter().map(|listener| listener.address().to_string()).collect();
        assert_eq!(at, addresses[..2]);
        assert!(matches!(activation.take(&systemd("web")), Err(ListenerError::NotPassed(..))));
        assert_eq!(activation.take(&systemd(&addresses[2])).unwrap().len(), 1);
        assert_eq!(activation.names(), "");
    }

    #[test]
    fn what_is_missing_is_told_with_what_is_there() {
        let (mut activation, addresses) = passed(&["web"]);
        let error = activation.take(&systemd("data")).unwrap_err().to_string();
        let there = format!("but `web` ({})", addresses[0]);
        assert_eq!(error, format!("cannot listen on systemd:data: systemd has passed no such socket, {there}"));
        let error = Activation::default().take(&systemd("data")).unwrap_err().to_string();
        assert!(error.ends_with("but none at all"), "{error}");
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let socket = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let refused = Listener::given(&systemd("data"), socket);
        assert!(matches!(refused, Err(ListenerError::NotListening(_))), "{refused:?}");
        let client = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(client.local_addr().unwrap()).unwrap();
        let refused = Listener::given(&systemd("data"), OwnedFd::from(client));
        assert!(matches!(refused, Err(ListenerError::NotListening(_))), "{refused:?}");
    }
}
