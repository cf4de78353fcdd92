//! By which names a door over TCP is asked, so that no page of a browser asks by a name of its own (DNS rebinding).

use std::{net::IpAddr, sync::Arc};

use http::{Request, header};
use thiserror::Error;

use crate::{
    access::{Authority, Scheme, asked_authority},
    identity::is_loopback,
};

/// The names of a door. Any address is one of them too: no stranger has a name that leads a browser to ask by it.
#[derive(Debug, Clone)]
pub struct DoorNames(Option<Arc<[Box<str>]>>);

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Stranger {
    /// It has an `Origin`.
    #[error("pages of browsers are not answered here")]
    Page,
    /// It is for a host that is not the door's.
    #[error("it is asked by an address, by localhost, or by another name that its configuration says")]
    OtherHost,
}

impl DoorNames {
    /// The names of a door at this address: `localhost` and these, if there are any. Without any it may be asked by every
    /// name, unless it is reached from this machine alone.
    pub fn new(address: IpAddr, hosts: &[Authority]) -> Self {
        let is_named = address.to_canonical().is_loopback() || !hosts.is_empty();
        Self(is_named.then(|| hosts.iter().map(|host| host.host().into()).collect()))
    }

    /// Refuses what a page of a browser could have made it send. A request that names no host is none of a browser's.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), Stranger> {
        let headers = request.headers();
        if headers.contains_key(header::ORIGIN) {
            return Err(Stranger::Page);
        }
        let Some(names) = &self.0 else { return Ok(()) };
        if request.uri().authority().is_none() && !headers.contains_key(header::HOST) {
            return Ok(());
        }
        let asked = asked_authority(request.uri(), request.version(), headers, Scheme::Http);
        let asked = asked.map_err(|_| Stranger::OtherHost)?;
        let host = asked.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_own = is_loopback(host) || address.parse::<IpAddr>().is_ok() || names.iter().any(|name| **name == *host);
        if is_own { Ok(()) } else { Err(Stranger::OtherHost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(names: &DoorNames, host: &str) -> Result<(), Stranger> {
        names.admit(&Request::builder().uri("/metrics").header("host", host).body(()).unwrap())
    }

    #[test]
    fn a_door_is_asked_by_its_names() {
        let hosts = ["metrics.acme.example".parse().unwrap()];
        let local = DoorNames::new("127.0.0.1".parse().unwrap(), &[]);
        let named = DoorNames::new("0.0.0.0".parse().unwrap(), &hosts);
        let open = DoorNames::new("0.0.0.0".parse().unwrap(), &[]);
        for host in ["127.0.0.1:9902", "localhost", "LOCALHOST.:9902", "[::1]:9902", "10.0.0.7"] {
            for names in [&local, &named, &open] {
                assert_eq!(asked(names, host), Ok(()), "{host}");
            }
        }
        let mapped = DoorNames::new("::ffff:127.0.0.1".parse().unwrap(), &[]);
        assert_eq!(asked(&mapped, "rebound.example"), Err(Stranger::OtherHost));
        assert_eq!(asked(&named, "Metrics.Acme.example:9902"), Ok(()));
        for host in ["rebound.example", "127.0.0.1.rebound.example", "localhost.rebound.example", "", "a b"] {
            assert_eq!(asked(&local, host), Err(Stranger::OtherHost), "{host}");
            assert_eq!(asked(&named, host), Err(Stranger::OtherHost), "{host}");
            assert_eq!(asked(&open, host), Ok(()), "{host}");
        }
        assert_eq!(local.admit(&Request::builder().uri("/metrics").body(()).unwrap()), Ok(()));
        let of_page = Request::builder().uri("/metrics").header("host", "localhost").header("origin", "null");
        assert_eq!(open.admit(&of_page.body(()).unwrap()), Err(Stranger::Page));
    }
}
