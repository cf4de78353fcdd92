//! The load that a release is built by: what most requests of most installations do, and every scenario of the demo once.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};

use anyhow::Context;

use super::{
    load::{self, Extent},
    process::{Line, Server, portcullis_beside},
    world::World,
};

const CONNECTIONS: &str = "32";
const REQUESTS: u64 = 60_000;

/// Sends it to the product and to the bare proxy, both of which write what they have counted when they end.
pub(crate) fn run() -> anyhow::Result<()> {
    let binary = portcullis_beside()?;
    // Whoever sends the load binds it, and is the upstream too.
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let world = World::new(upstream, 1)?;
    let requests = world.requests()?;
    println!("requests in the clear");
    let gate = world.line(&binary)?.serve()?;
    send(upstream, gate, &requests)?;
    println!("requests by TLS and HTTP/2 from one proxy to another");
    world.secure()?;
    let behind = world.line(&binary)?.serve()?;
    let front = world.line_in_front_of(&behind, &binary)?.serve()?;
    send(upstream, front, &requests)?;
    behind.stop()?;
    println!("the scenarios of the demo");
    Line::new(&binary, &["demo", "--once"]).output()?;
    println!("requests to the bare proxy");
    send(upstream, Line::own(&["serve-bare", &format!("own={upstream}")])?.serve()?, &requests)
}

/// From this process, which need not have a core of its own.
fn send(upstream: SocketAddr, server: Server, requests: &Path) -> anyhow::Result<()> {
    let (upstream, address) = (upstream.to_string(), server.address.to_string());
    let file = requests.to_str().context("the path of a folder is text")?;
    let [kind, first, second] = Extent::Count(REQUESTS).words();
    load::run(&["serving", &upstream, &address, CONNECTIONS, file, &kind, &first, &second])?;
    server.stop()
}
