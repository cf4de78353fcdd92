//! What the tests of the binary share: a folder with a configuration, an issuer, an upstream, raw connections.

mod authority;
pub(crate) mod frames;
mod issuer;
mod process;
mod provider;
mod transmitter;
mod upstream;
mod wire;
mod workload;

pub(crate) use authority::OpenFga;
pub(crate) use issuer::{Issuer, claims, token};
pub(crate) use process::{Portcullis, World, eventually, request, run};
pub(crate) use provider::Provider;
pub(crate) use transmitter::Transmitter;
pub(crate) use upstream::Upstream;
pub(crate) use wire::{Answer, Connection, answer_of};
pub(crate) use workload::{Authority, Client};
