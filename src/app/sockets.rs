//! Where the listening sockets come from: the process before, systemd, or this process itself.

use std::{io, os::fd::OwnedFd, path::Path};

use tokio::sync::watch;

use crate::net::{Activation, HandOver, HandOverError, ListenAddress, Listener, ListenerError, Passage, Predecessor};

use super::running::StartError;

/// What is passed on, and how far it has been.
pub(super) type Offer = (HandOver, watch::Receiver<Passage>);

/// The sockets that were passed to this process, and those that it would pass on.
#[derive(Debug)]
pub(super) struct Sockets {
    activation: Activation,
    predecessor: Option<Predecessor>,
    // `None` if none are passed on.
    offered: Option<Vec<(String, OwnedFd)>>,
}

impl Sockets {
    /// Takes what systemd has passed, and asks the process before this one, if there is a socket for that.
    pub(super) fn new(hand_over: Option<&Path>) -> Result<Self, HandOverError> {
        let predecessor = hand_over.map(Predecessor::ask).transpose()?.flatten();
        if predecessor.is_some() {
            tracing::info!("the sockets of the process before are taken over");
        }
        Ok(Self { activation: Activation::of_this_process(), predecessor, offered: hand_over.map(|_| Vec::new()) })
    }

    /// The listeners at this address: one, or all that systemd has opened by this name.
    pub(super) fn open(&mut self, purpose: &'static str, address: &ListenAddress) -> Result<Vec<Listener>, StartError> {
        let name = format!("{purpose} {address}");
        let mut listeners = Vec::new();
        while let Some(socket) = self.predecessor.as_mut().and_then(|predecessor| predecessor.take(&name)) {
            listeners.push(Listener::given(address, socket)?);
            if !matches!(address, ListenAddress::Systemd(_)) {
                break;
            }
        }
        if listeners.is_empty() {
            listeners = self.opened(address)?;
        }
        if let Some(offered) = &mut self.offered {
            for listener in &listeners {
                offered.push((name.clone(), listener.handle()?));
            }
        }
        Ok(listeners)
    }

    /// The one listener at an address that is not systemd's.
    pub(super) fn open_one(&mut self, purpose: &'static str, address: &ListenAddress) -> Result<Listener, StartError> {
        let first = self.open(purpose, address)?.into_iter().next();
        first.ok_or_else(|| StartError::Thread(io::Error::other("no socket was opened")))
    }

    fn opened(&mut self, address: &ListenAddress) -> Result<Vec<Listener>, ListenerError> {
        match address {
            ListenAddress::Systemd(_) => self.activation.take(address),
            ListenAddress::Ip(_) | ListenAddress::Unix(..) => Ok(vec![Listener::bind(address)?]),
        }
    }

    /// What is passed on, if anything is, and the process that waits to be told that this one serves.
    pub(super) fn settled(self) -> Result<(Option<Offer>, Option<Predecessor>), HandOverError> {
        let forgotten = self.activation.names();
        if !forgotten.is_empty() {
            tracing::warn!("no listener of the configuration is at what systemd has passed as {forgotten}");
        }
        Ok((self.offered.map(HandOver::new).transpose()?, self.predecessor))
    }
}
