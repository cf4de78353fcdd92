//! One endpoint of an upstream, and whether it is in service.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{pause::jittered, target::Target};

/// When an endpoint that fails is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// So many failures without an answer between them. An endpoint that never had a connection is ejected by its first
    /// failure.
    pub failures: u32,
    /// The first pause. It doubles with each request that fails after a pause; by chance up to a tenth less.
    pub pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// At most this share of an upstream's endpoints is ejected at one time, in percent.
    pub at_most: u8,
    /// What of an answer is a failure.
    pub answers: Answers,
}

/// Whether there are answers that count as failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Every answer is one.
    AllAnswer,
    /// 502, 503 and 504 are failures.
    GatewayErrorsFail,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            at_most: 50,
            answers: Answers::AllAnswer,
        }
    }
}

/// What went wrong with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection.
    Connection,
    /// A connection, and no answer that counts as one.
    Answer,
}

/// Whether an endpoint gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// It does.
    Up,
    /// Not until its pause is over, then one at a time.
    Ejected,
    /// Not until its checks succeed again.
    Down,
}

impl EndpointState {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Up, Self::Ejected, Self::Down];

    /// The stable name, as in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ejected => "ejected",
            Self::Down => "down",
        }
    }
}

/// An endpoint. All workers see the same; the counts are of all of them.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) target: Target,
    /// Which of the upstream's URLs it is of.
    pub(super) url: usize,
    known_since: Instant,
    // Requests on their way, if there are several endpoints to choose from.
    in_flight: AtomicU32,
    has_connected: AtomicBool,
    // In a row.
    failures: AtomicU32,
    ejections: AtomicU32,
    // In milliseconds since it is known; 0 while it is not ejected.
    ejected_until: AtomicU64,
    failed_checks: AtomicU32,
    is_down: AtomicBool,
}

impl Endpoint {
    pub(super) fn new(target: Target, url: usize, now: Instant) -> Self {
        Self {
            target,
            url,
            known_since: now,
            in_flight: AtomicU32::new(0),
            has_connected: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            failed_checks: AtomicU32::new(0),
            is_down: AtomicBool::new(false),
        }
    }

    pub(super) fn state(&self) -> EndpointState {
        if self.is_down.load(Ordering::Relaxed) {
            return EndpointState::Down;
        }
        if self.ejected_until.load(Ordering::Relaxed) == 0 { EndpointState::Up } else { EndpointState::Ejected }
    }

    /// Requests on their way to it.
    pub(super) fn load(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it is ejected, its pause is over, and this request shall try it. The next one is not before another pause.
    pub(super) fn takes_trial(&self, ejection: &Ejection, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until == 0 || self.millis(now) < until || self.is_down.load(Ordering::Relaxed) {
            return false;
        }
        let again = self.after_pause(ejection, now);
        let is_first = self.ejected_until.compare_exchange(until, again, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_first {
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
        is_first
    }

    /// Notes an answer. Whether it ends an ejection.
    pub(super) fn answered(&self) -> bool {
        if !self.has_connected.load(Ordering::Relaxed) {
            self.has_connected.store(true, Ordering::Relaxed);
        }
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejected_until.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.ejections.store(0, Ordering::Relaxed);
        self.ejected_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Notes a failure. Whether it is one too many, so that the endpoint should be ejected.
    pub(super) fn failed(&self, fault: Fault, ejection: &Ejection) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let never_connected = match fault {
            Fault::Connection => !self.has_connected.load(Ordering::Relaxed),
            Fault::Answer => false,
        };
        self.ejected_until.load(Ordering::Relaxed) == 0 && (never_connected || failures >= ejection.failures)
    }

    /// Ejects it, from now on.
    pub(super) fn eject(&self, ejection: &Ejection, now: Instant) {
        let until = self.after_pause(ejection, now);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.ejected_until.store(until, Ordering::Relaxed);
    }

    /// Notes the outcome of an active check; the endpoint is down after so many failures in a row, and up again after one
    /// success. Whether that has changed.
    pub(super) fn checked(&self, is_healthy: bool, failures: u32) -> bool {
        if is_healthy {
            self.failed_checks.store(0, Ordering::Relaxed);
            return self.is_down.swap(false, Ordering::Relaxed);
        }
        let failed = self.failed_checks.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failed >= failures && !self.is_down.swap(true, Ordering::Relaxed)
    }

    /// Its connections are of no more use.
    pub(super) fn retire(&self) {
        self.target.terms.gone.set();
    }

    fn after_pause(&self, ejection: &Ejection, now: Instant) -> u64 {
        let doublings = self.ejections.load(Ordering::Relaxed).min(16);
        let pause = ejection.pause.saturating_mul(1 << doublings).min(ejection.longest_pause.max(ejection.pause));
        self.millis(now + jittered(pause)).max(1)
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.known_since).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Of an upstream that a new configuration does not have any more, or has otherwise.
        self.retire();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::net::{TargetUrl, Times};

    use super::*;

    const RULES: Ejection = Ejection {
        failures: 3,
        pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(4),
        at_most: 100,
        answers: Answers::AllAnswer,
    };

    fn endpoint(now: Instant) -> Endpoint {
        let times = Times { connect: Duration::from_secs(1), response: Duration::from_secs(1) };
        Endpoint::new(Target::new(Arc::new(TargetUrl::nowhere()), None, times), 0, now)
    }

    #[test]
    fn failures_count_only_in_a_row() {
        let endpoint = endpoint(Instant::now());
        endpoint.answered();
        for _ in 0..4 {
            assert!(!endpoint.failed(Fault::Answer, &RULES) && !endpoint.failed(Fault::Connection, &RULES));
            endpoint.answered();
        }
        let failed: Vec<bool> = (0..3).map(|_| endpoint.failed(Fault::Answer, &RULES)).collect();
        assert_eq!(failed, [false, false, true]);
    }

    #[test]
    fn an_address_that_never_had_a_connection_is_given_up_at_once() {
        let endpoint = endpoint(Instant::now());
        assert!(!endpoint.failed(Fault::Answer, &RULES), "it had one");
        assert!(endpoint.failed(Fault::Connection, &RULES));
    }

    #[test]
    fn after_a_pause_one_request_tries_and_pauses_grow_until_one_is_answered() {
        let mut now = Instant::now();
        let endpoint = endpoint(now);
        endpoint.eject(&RULES, now);
        assert_eq!(endpoint.state(), EndpointState::Ejected);
        for pause in [1, 2, 4, 4] {
            let pause = Duration::from_secs(pause);
            assert!(!endpoint.takes_trial(&RULES, now + pause.mul_f64(0.8)), "{pause:?}");
            now += pause;
            assert!(endpoint.takes_trial(&RULES, now), "{pause:?}");
            assert!(!endpoint.takes_trial(&RULES, now), "one at a time");
            assert!(!endpoint.failed(Fault::Connection, &RULES), "it is ejected already");
        }
        assert!(endpoint.answered());
        assert!(!endpoint.answered());
        assert_eq!(endpoint.state(), EndpointState::Up);
        endpoint.eject(&RULES, now);
        assert!(endpoint.takes_trial(&RULES, now + Duration::from_secs(1)), "the first pause again");
    }

    #[test]
    fn checks_take_it_out_of_service_and_back() {
        let endpoint = endpoint(Instant::now());
        assert!(!endpoint.checked(false, 2));
        assert!(endpoint.checked(false, 2));
        assert!(!endpoint.checked(false, 2), "it is down already");
        assert_eq!(endpoint.state(), EndpointState::Down);
        assert!(endpoint.checked(true, 2));
        assert_eq!(endpoint.state(), EndpointState::Up);
    }
}
