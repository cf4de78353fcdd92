//! Latencies in logarithmic buckets of 1.6 % width, cheap to record.

use std::time::Duration;

/// Buckets of each power of two.
const FINE: u32 = 64;
const FINE_BITS: u32 = FINE.ilog2();

/// How often each latency occurred.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; usize::from(u16::MAX)], total: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanoseconds)) {
            *count += 1;
            self.total += 1;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    /// The latency that this share (in thousandths) of the recorded ones does not exceed; zero if there are none.
    pub(crate) fn quantile(&self, thousandths: u64) -> Duration {
        let wanted = (self.total * thousandths).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(Duration::ZERO, |bucket| Duration::from_nanos(top(bucket)))
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let exponent = nanoseconds.max(1).ilog2().saturating_sub(FINE_BITS);
    let fine = nanoseconds >> exponent;
    usize::try_from(u64::from(exponent) * u64::from(FINE) + fine).unwrap_or(usize::MAX)
}

/// The greatest number of nanoseconds in the bucket.
fn top(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let exponent = (bucket / u64::from(FINE)).saturating_sub(1);
    let fine = bucket - exponent * u64::from(FINE);
    ((fine + 1) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_at_most_the_top_of_its_bucket_and_close_to_it() {
        for n in (0..2_000).chain((1..40).map(|power| (1 << power) + 12_345 % (1 << power))) {
            let top = top(bucket(n));
            assert!(top >= n && top - n <= n / 64 + 1, "{n} {top}");
        }
    }

    #[test]
    fn quantiles_count() {
        let mut latencies = Latencies::new();
        (1..=1000).for_each(|n| latencies.record(Duration::from_micros(n)));
        let near = |thousandths: u64, micros: u64| {
            let got = latencies.quantile(thousandths);
            got >= Duration::from_micros(micros) && got <= Duration::from_micros(micros + micros / 64 + 1)
        };
        assert!(near(500, 500) && near(990, 990) && near(1000, 1000));
        assert_eq!(Latencies::new().quantile(500), Duration::ZERO);
    }
}
