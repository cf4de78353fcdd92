//! A watch of the clock on the wall, which somebody may set while the process runs.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use prometheus::{IntCounterVec, Opts};
use tokio::time::sleep;

use crate::{
    net::DrainSignal,
    snapshot::SnapshotCell,
    telemetry::{MetricsError, Registry},
};

/// How often both clocks are compared.
const INTERVAL: Duration = Duration::from_secs(1);
/// A clock that is corrected gently never moves so far at once.
const JUMP: Duration = Duration::from_secs(2);

/// How often the clock was set, by direction.
#[derive(Debug)]
pub(super) struct ClockMetrics(IntCounterVec);

impl ClockMetrics {
    /// Makes the metric and registers it.
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let jumps = registry.register(IntCounterVec::new(
            Opts::new(
                "portcullis_clock_jumps_total",
                "How often the clock on the wall, by which credentials are judged, was set by two seconds or more.",
            ),
            &["direction"],
        ))?;
        for direction in [Direction::Forward, Direction::Backward] {
            jumps.with_label_values(&[direction.name()]).inc_by(0);
        }
        Ok(Self(jumps))
    }
}

/// Where the clock was set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

/// Compares the clock on the wall with the one that nobody can set, until the drain is ordered. A jump is logged and counted.
///
/// Deadlines are kept by the other clock. Credentials are judged by the one on the wall, right or wrong: there is no other
/// for them. A snapshot does not become younger by a jump back. By a jump forward it ages: the machine may have slept, and
/// its source is asked again soon.
pub(super) async fn watch_clock(snapshots: Arc<SnapshotCell>, metrics: ClockMetrics, mut until: DrainSignal) {
    let mut before = (SystemTime::now(), Instant::now());
    loop {
        tokio::select! {
            biased;
            () = until.ordered() => return,
            () = sleep(INTERVAL) => {}
        }
        let now = (SystemTime::now(), Instant::now());
        if let Some((direction, by)) = jump(before, now) {
            metrics.0.with_label_values(&[direction.name()]).inc();
            let direction = direction.name();
            tracing::warn!(direction, ?by, "the clock was set: credentials are judged by what it says now");
        }
        if let Some((Direction::Backward, by)) = jump(before, now) {
            snapshots.clock_set_back(by);
        }
        before = now;
    }
}

/// By how much the clock on the wall was set between these two looks at both clocks, if it was.
fn jump(before: (SystemTime, Instant), now: (SystemTime, Instant)) -> Option<(Direction, Duration)> {
    let passed = now.1.saturating_duration_since(before.1);
    let expected = before.0.checked_add(passed)?;
    let (direction, by) = match now.0.duration_since(expected) {
        Ok(ahead) => (Direction::Forward, ahead),
        Err(behind) => (Direction::Backward, behind.duration()),
    };
    (by >= JUMP).then_some((direction, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_on_is_told_from_one_that_is_set() {
        let (wall, steady) = (SystemTime::now(), Instant::now());
        let hour = Duration::from_secs(3600);
        let later = steady + INTERVAL;
        assert_eq!(jump((wall, steady), (wall + INTERVAL, later)), None);
        assert_eq!(jump((wall, steady), (wall, later)), None, "corrected gently");
        assert_eq!(jump((wall, steady), (wall + INTERVAL + hour, later)), Some((Direction::Forward, hour)));
        assert_eq!(jump((wall, steady), (wall + INTERVAL - hour, later)), Some((Direction::Backward, hour)));
        // A thread that was late has not seen a jump.
        assert_eq!(jump((wall, steady), (wall + hour, steady + hour)), None);
    }
}
