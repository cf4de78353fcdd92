//! Issuer, upstream and proxy of one demo, all in this process and on real sockets.

use std::net::SocketAddr;

use anyhow::{Context, bail};

use crate::{
    access::ActorMode,
    app::{Running, StartError, Stopped},
    cli::print::print_problems,
    net::ListenAddress,
};

use super::{
    issuer::Issuer,
    upstream::{Seen, Upstream},
    workplace::Workplace,
};

/// Everything that a demo needs, running.
pub(super) struct Stage {
    pub(super) issuer: Issuer,
    pub(super) upstream: Upstream,
    pub(super) proxy: Running,
    // Declared last: its directory is removed after everything else.
    pub(super) workplace: Workplace,
}

impl Stage {
    /// Starts it all; the proxy listens on this address, and asks these actors of a chain.
    pub(super) fn open(listen: SocketAddr, mode: ActorMode) -> anyhow::Result<Self> {
        let issuer = Issuer::new()?;
        let upstream = Upstream::start()?;
        let workplace = Workplace::make((listen, mode), upstream.address(), &issuer.jwks()?)?;
        let proxy = match Running::start(&workplace.configuration()) {
            Ok(proxy) => proxy,
            Err(StartError::Invalid(problems)) => {
                print_problems(&problems);
                bail!("the demo's own configuration is refused");
            }
            Err(error @ StartError::Listener(_)) => {
                return Err(error).context("the proxy cannot start, `--listen 127.0.0.1:0` takes any free port");
            }
            Err(error) => return Err(error).context("the proxy cannot start"),
        };
        Ok(Self { issuer, upstream, proxy, workplace })
    }

    /// Where agents connect.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.proxy.data_addresses().iter().find_map(ListenAddress::ip).context("the proxy listens nowhere")
    }

    /// Stops in order: the proxy with the last record written, then the upstream. Its files are still there after.
    pub(super) fn close(self) -> anyhow::Result<(Workplace, Vec<Seen>)> {
        let stopped = self.proxy.stop()?;
        let seen = self.upstream.stop()?;
        match stopped {
            Stopped::InOrder => Ok((self.workplace, seen)),
            Stopped::Unrecorded => bail!("the proxy could not write every audit record"),
            Stopped::AtDeadline => bail!("the proxy stopped at its deadline, with requests in flight"),
        }
    }
}
