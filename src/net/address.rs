//! Where is listened: an address, a path, or a socket that systemd has opened.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use thiserror::Error;

/// Where is listened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address of this machine; port 0 takes any free port.
    Ip(SocketAddr),
    /// A Unix socket: its path, and who may connect as the mode of its file.
    Unix(PathBuf, u32),
    /// What systemd has opened and passed, by the name or the address of its socket unit.
    Systemd(Box<str>),
}

/// The text says no place to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidAddress {
    /// None of the three forms.
    #[error("it is not an address and a port")]
    Unknown,
    /// `unix:` without a path.
    #[error("there is no path after `unix:`")]
    NoPath,
    /// `systemd:` without a name.
    #[error("there is no name after `systemd:`")]
    NoName,
}

impl ListenAddress {
    /// The mode of a Unix socket's file that nothing else is said of: its owner may connect.
    pub const DEFAULT_MODE: u32 = 0o600;

    /// The address, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(..) | Self::Systemd(_) => None,
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match (text.strip_prefix("unix:"), text.strip_prefix("systemd:")) {
            (Some(""), _) => Err(InvalidAddress::NoPath),
            (Some(path), _) => Ok(Self::Unix(path.into(), Self::DEFAULT_MODE)),
            (None, Some("")) => Err(InvalidAddress::NoName),
            (None, Some(name)) => Ok(Self::Systemd(name.into())),
            (None, None) => text.parse().map(Self::Ip).map_err(|_| InvalidAddress::Unknown),
        }
    }
}

/// As it is written in a configuration.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path, _) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_a_path_or_a_name_and_nothing_else() {
        for text in ["127.0.0.1:8080", "[::1]:0", "unix:/run/data.sock", "unix:data.sock", "systemd:web"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        let refused = |text: &str| text.parse::<ListenAddress>().unwrap_err();
        assert_eq!(refused("unix:"), InvalidAddress::NoPath);
        assert_eq!(refused("systemd:"), InvalidAddress::NoName);
        for text in ["", "8080", "localhost:80", "127.0.0.1", "Unix:/x", "tcp:127.0.0.1:80"] {
            assert_eq!(refused(text), InvalidAddress::Unknown, "{text}");
        }
    }
}
