//! How much of a flood is kept: a bucket for each source, pure.
//!
//! The bucket holds the whole of what a source may have in the quarantine. So the first requests after a secret was
//! mis-configured are all kept, however fast they come; when the quarantine is full, newer ones replace older ones at
//! the pace of one filling in [`REPLACE_IN`].

use event::Timestamp;

use crate::options::REPLACE_IN;

/// The bucket of one source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowance {
    /// The share of a filling that has been taken: 0 is none, 1 all.
    taken: f64,
    /// When it was last asked.
    at: Option<Timestamp>,
}

impl Allowance {
    /// That of a source of which so much is kept from before: a restart does not open the way for a flood.
    pub(crate) fn begun(taken: f64) -> Self {
        Self { taken, at: None }
    }

    /// Takes the share of a filling, if there is as much left.
    pub(crate) fn take(&mut self, share: f64, now: Timestamp) -> bool {
        // A clock that was set back gives nothing, and takes nothing.
        let back = self.at.unwrap_or(now).until(now).as_secs_f64() / REPLACE_IN.as_secs_f64();
        (self.taken, self.at) = ((self.taken - back).max(0.0), Some(now));
        // Sums of shares are not exact.
        let fits = self.taken + share <= 1.0 + 1e-9;
        if fits {
            self.taken += share;
        }
        fits
    }

    /// Gives back the share of what was taken out, so that there is room for others.
    pub(crate) fn give_back(&mut self, share: f64) {
        self.taken = (self.taken - share).max(0.0);
    }
}

/// The share of a filling that so many requests with so many bytes are.
pub(crate) fn share(requests: u64, bytes: u64, max_requests: u64, max_bytes: u64) -> f64 {
    (requests as f64 / max_requests as f64).max(bytes as f64 / max_bytes as f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn one_filling_at_once_then_one_in_ten_minutes() {
        let mut bucket = Allowance::default();
        let one = share(1, 1, 1_000, 1 << 20);
        let mut taken = |now| (0..10_000).filter(|_| bucket.take(one, now)).count();
        assert_eq!(taken(at(0)), 1_000);
        assert_eq!(taken(at(0)), 0);
        assert_eq!(taken(at(60)), 100);
        assert_eq!(taken(at(30)), 0, "the clock was set back");
        assert_eq!(taken(at(90)), 100);
        assert_eq!(taken(at(100_000)), 1_000);
        bucket.give_back(0.5);
        assert_eq!((0..10_000).filter(|_| bucket.take(one, at(100_000))).count(), 500);
    }

    #[test]
    fn large_requests_cost_their_bytes() {
        let mut bucket = Allowance::default();
        assert!(bucket.take(share(1, 600, 100, 1_000), at(0)));
        assert!(!bucket.take(share(1, 600, 100, 1_000), at(0)));
        assert!(bucket.take(share(1, 400, 100, 1_000), at(0)));
    }

    proptest! {
        /// Whatever comes and however the clock goes forward: never more than one filling and what the time gives.
        #[test]
        fn never_more_than_its_pace(steps in prop::collection::vec((0u64..30, 1u64..400), 1..300)) {
            let (mut bucket, mut now, mut bytes, mut requests) = (Allowance::default(), 0, 0u64, 0u64);
            for (wait, size) in steps {
                now += wait;
                if bucket.take(share(1, size, 50, 1_000), at(now)) {
                    (bytes, requests) = (bytes + size, requests + 1);
                }
                let fillings = 1.0 + now as f64 / REPLACE_IN.as_secs_f64() + 1e-6;
                prop_assert!(bytes as f64 <= fillings * 1_000.0 && requests as f64 <= fillings * 50.0);
            }
        }
    }
}
