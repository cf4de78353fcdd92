//! How much at one time, and how long, at the enforcement point.

use std::time::Duration;

use crate::{
    access::{HeadBounds, HeadRules},
    net::Pace,
};

/// What is kept of a request as it is sent, so that it can be proved later what that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// Nothing.
    None,
    /// SHA-256 of its head, and of its body if that was read whole.
    Sent,
}

/// The bounds of the enforcement point.
#[derive(Debug, Clone, Copy)]
pub struct EnforcerSettings {
    /// Requests whose answer has not reached its end; more are denied.
    pub in_flight: usize,
    /// The same of one sender: of a current actor, or of a subject without one.
    pub in_flight_each: usize,
    /// The tunnels of one sender that are open at one time.
    pub tunnels_each: usize,
    /// How long the line and each field of a head may be.
    pub head: HeadBounds,
    /// Which heads are taken beyond what always is; escaped slashes are for routes to take.
    pub rules: HeadRules,
    /// Whether the record of what is sent has digests of it.
    pub digests: Digests,
    /// How long an inspected body may take to arrive.
    pub body_timeout: Duration,
    /// How slowly a body may come; a route may allow for longer pauses.
    pub pace: Pace,
    /// How long an answer may pause, while nothing comes from its client either; a route may allow for longer.
    pub answer_pause: Duration,
    /// How long an answer that is filtered may take, from its head on.
    pub filter_timeout: Duration,
    /// How long nothing of what waits for a side of a WebSocket may be taken by it.
    pub unread: Duration,
}

impl Default for EnforcerSettings {
    fn default() -> Self {
        Self {
            in_flight: 20_000,
            in_flight_each: 10_000,
            tunnels_each: 5_000,
            head: HeadBounds::default(),
            rules: HeadRules::default(),
            digests: Digests::None,
            body_timeout: Duration::from_secs(10),
            pace: Pace { bytes_per_second: 500, pause: Duration::from_secs(10) },
            answer_pause: Duration::from_secs(300),
            filter_timeout: Duration::from_secs(30),
            unread: Duration::from_secs(30),
        }
    }
}
