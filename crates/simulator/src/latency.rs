//! A histogram of latencies, for percentiles over millions of values in little memory.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies are told apart up to this; longer ones count as this long. Longer than any deadline in use.
const LONGEST_US: u64 = 3_600 * 1_000_000;
/// Two significant digits: an error of at most 1 %, in some 20 KB.
const SIGNIFICANT_DIGITS: u8 = 2;

/// How long things took, to the microsecond and within 1 %.
#[derive(Debug, Clone)]
pub struct Latency(Option<Histogram<u64>>);

impl Latency {
    /// No values yet.
    pub fn new() -> Self {
        // The bounds are constants that the histogram accepts; an absent histogram would record nothing.
        Self(Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS).ok())
    }

    /// Adds one value.
    pub fn record(&mut self, took: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US).clamp(1, LONGEST_US));
        }
    }

    /// Adds all values of another histogram.
    pub fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            // Same bounds on both sides, so every value fits.
            let _ = histogram.add(other);
        }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The value that this share (0 to 1) of all values does not exceed; zero when there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |histogram| Duration::from_micros(histogram.value_at_quantile(share)))
    }

    /// The figures that are usually shown.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            count: self.count(),
            p50: self.quantile(0.5),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
            max: self.quantile(1.0),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// Percentiles of a [`Latency`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LatencySummary {
    /// How many values there were.
    pub count: u64,
    /// Half of the values were at most this.
    pub p50: Duration,
    /// 95 % of the values were at most this.
    pub p95: Duration,
    /// 99 % of the values were at most this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_one_percent() {
        let mut latency = Latency::new();
        let mut other = Latency::new();
        for ms in 1..=500 {
            latency.record(Duration::from_millis(ms));
            other.record(Duration::from_millis(500 + ms));
        }
        latency.add(&other);
        let summary = latency.summary();
        assert_eq!(summary.count, 1_000);
        for (got, want) in [(summary.p50, 500.0), (summary.p95, 950.0), (summary.p99, 990.0), (summary.max, 1_000.0)] {
            let ms = got.as_secs_f64() * 1e3;
            assert!((ms - want).abs() <= want * 0.01, "{ms} ms instead of {want} ms");
        }
    }

    #[test]
    fn extremes_are_kept_inside_the_bounds() {
        let mut latency = Latency::new();
        assert_eq!(latency.quantile(0.5), Duration::ZERO);
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        assert_eq!(latency.count(), 2);
        assert!(latency.quantile(0.1) <= Duration::from_micros(1));
    }
}
