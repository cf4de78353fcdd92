//! File descriptors: some are kept for those who look after the proxy.

use std::{
    fs::File,
    os::fd::{OwnedFd, RawFd},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many are not for connections of clients: upstreams, files that change, metrics.
const KEPT: u64 = 64;
/// So many each door of the operator holds, to let go of them when there are no others.
const SPARE: usize = 4;

/// The first descriptor that is too high for a connection of a client: the kernel gives the lowest that is free, so that
/// few are left when it is given. The limit is raised as far as this process may.
pub fn first_kept_descriptor() -> RawFd {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    // Without a limit there is none to keep from.
    let current = current.unwrap_or(u64::MAX);
    RawFd::try_from(current - KEPT.min(current / 4)).unwrap_or(RawFd::MAX)
}

/// Descriptors that are held for the time when there are no others.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<OwnedFd>);

impl Spare {
    /// Holds as many as it should, if they can be had.
    pub(super) fn hold(&mut self) {
        while self.0.len() < SPARE
            && let Ok(file) = File::open("/dev/null")
        {
            self.0.push(file.into());
        }
    }

    /// Lets go of one, if there is one.
    pub(super) fn let_go(&mut self) -> bool {
        self.0.pop().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_and_some_are_held() {
        assert!(first_kept_descriptor() > 0);
        let mut spare = Spare::default();
        assert!(!spare.let_go());
        spare.hold();
        assert!((0..SPARE).all(|_| spare.let_go()) && !spare.let_go());
    }
}
