//! What the tests of the binary share: a folder with a configuration, an issuer, an upstream, raw connections.

mod authority;
mod echo;
mod http2;
mod issuer;
mod process;
mod provider;
pub(crate) mod raw_http2;
mod readings;
mod rules;
mod scripted;
mod transmitter;
mod upstream;
mod wire;
mod workload;

pub(crate) use authority::OpenFga;
pub(crate) use echo::Echo;
pub(crate) use http2::{Answering, Http2Upstream, Stream, connect, http2_request, runtime, whole};
pub(crate) use issuer::{Issuer, claims, token};
pub(crate) use process::{Portcullis, World, eventually, request, rounds, run};
pub(crate) use provider::Provider;
pub(crate) use raw_http2::{Http2, Told};
pub(crate) use readings::{Readings, spellings};
pub(crate) use rules::each_is_a_test;
pub(crate) use scripted::{Said, Scripted, Then};
pub(crate) use transmitter::Transmitter;
pub(crate) use upstream::{Upstream, endless};
pub(crate) use wire::{Answer, Connection, answer_of};
pub(crate) use workload::{Authority, Client};
