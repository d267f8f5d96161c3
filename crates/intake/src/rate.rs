//! The rate limit of a source: so many requests per second on average, with bursts of one second's worth.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event::Timestamp;

/// Spaces requests out by the generic cell rate algorithm, in one number: the time by which all that was let through
/// would have come at an even pace.
#[derive(Debug)]
pub(crate) struct RateLimit {
    /// Microseconds between two requests at an even pace.
    pace: i64,
    /// Microseconds of Unix time.
    paid_until: AtomicI64,
}

/// How far `paid_until` may run ahead: one second of requests.
const BURST_MICROS: i64 = 1_000_000;

impl RateLimit {
    pub(crate) fn per_second(requests: std::num::NonZeroU32) -> Self {
        Self { pace: (1_000_000 / i64::from(requests.get())).max(1), paid_until: AtomicI64::new(0) }
    }

    /// Lets a request through, or says how long to wait.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1000);
        let mut wait = 0;
        let admitted = self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| {
            let next = paid.max(now).saturating_add(self.pace);
            wait = next - now - BURST_MICROS;
            (wait <= 0).then_some(next)
        });
        admitted.map(|_| ()).map_err(|_| Duration::from_micros(wait.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_then_an_even_pace() {
        let limit = RateLimit::per_second(std::num::NonZeroU32::new(10).unwrap());
        let at = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
        assert_eq!((0..20).filter(|_| limit.admit(at(0)).is_ok()).count(), 10);
        assert_eq!(limit.admit(at(0)), Err(Duration::from_millis(100)));
        assert_eq!(limit.admit(at(100)), Ok(()));
        assert!(limit.admit(at(100)).is_err());
        assert_eq!((0..20).filter(|_| limit.admit(at(9000)).is_ok()).count(), 10);
    }
}
