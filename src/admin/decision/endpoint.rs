//! Which interface a path belongs to, and how the metrics name it.

use http::Method;

use crate::admin::{authzen, openfga};

/// An interface of the decision listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    /// Whether the listener can decide at all; asked by anybody.
    Health,
    /// OpenFGA's HTTP API.
    OpenFga,
    /// AuthZEN's Authorization API.
    AuthZen,
    /// None.
    Undefined,
}

impl Interface {
    /// The interface that the path belongs to.
    pub(super) fn of(path: &str) -> Self {
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match path {
            "/healthz" => Self::Health,
            _ if below("/stores") => Self::OpenFga,
            _ if below("/access/v1") || below("/.well-known/authzen-configuration") => Self::AuthZen,
            _ => Self::Undefined,
        }
    }
}

/// What a request asks for, by a name from a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The label of the metrics.
    pub(super) name: &'static str,
    /// Whether the answer may take long, as lists do.
    pub(super) is_long: bool,
}

impl Endpoint {
    /// What method and path ask of the interface.
    pub(super) fn of(interface: Interface, method: &Method, path: &str) -> Self {
        let quick = |name| Self { name, is_long: false };
        match interface {
            Interface::Health => quick("healthz"),
            Interface::Undefined => quick("undefined"),
            Interface::OpenFga => {
                let (name, is_long) = openfga::named(method, path);
                Self { name, is_long }
            }
            Interface::AuthZen => {
                let (name, is_long) = authzen::named(path);
                Self { name, is_long }
            }
        }
    }
}
