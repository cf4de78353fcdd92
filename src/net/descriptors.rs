//! File descriptors: some are kept for those who look after the proxy.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

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

/// So few file descriptors that no client could ever connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{used} file descriptors are in use before anybody connects, which leaves none for clients: raise the limit \
     (`ulimit -n`, `LimitNOFILE=` of a systemd unit) to {needed}, and by two for each connection"
)]
pub struct TooFewDescriptors {
    used: u64,
    needed: u64,
}

/// Refuses to serve if a client that came now would not get a descriptor below the first that is kept. So many `doors` of
/// the operator have yet to take theirs.
pub fn refuse_too_few(first_kept: RawFd, doors: usize) -> Result<(), TooFewDescriptors> {
    // The kernel gives the lowest that is free. If there is none at all, all below the first that is kept are in use.
    let next = File::open("/dev/null").map_or(first_kept, |file| file.as_raw_fd());
    let used = u64::try_from(next).unwrap_or(u64::MAX).saturating_add(doors.saturating_mul(SPARE) as u64);
    if used < u64::try_from(first_kept).unwrap_or(u64::MAX) {
        return Ok(());
    }
    Err(TooFewDescriptors { used, needed: needed(used) })
}

/// The limit with which one more than these is not among those that are kept.
fn needed(used: u64) -> u64 {
    used.saturating_add(KEPT).min(used.saturating_add(used / 3)).saturating_add(2)
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
    fn a_limit_that_leaves_none_for_clients_is_refused_and_the_one_it_asks_for_is_enough() {
        assert_eq!(refuse_too_few(RawFd::MAX, 2), Ok(()));
        assert!(refuse_too_few(3, 2).is_err());
        for used in [10, 47, 48, 191, 192, 193, 1000] {
            let limit = needed(used);
            assert!(limit - KEPT.min(limit / 4) > used, "{used}");
        }
    }

    #[test]
    fn some_descriptors_are_kept_and_some_are_held() {
        assert!(first_kept_descriptor() > 0);
        let mut spare = Spare::default();
        assert!(!spare.let_go());
        spare.hold();
        assert!((0..SPARE).all(|_| spare.let_go()) && !spare.let_go());
    }
}
