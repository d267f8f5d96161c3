//! How long to wait before the next attempt: exponential, with full jitter, and never less than the destination asked.

use std::time::Duration;

use destinations::Patience;
use rand::{Rng, RngExt};

/// The longest time that a destination's `Retry-After` is honoured for. Beyond it a wrong header could park an event
/// for days.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// While the destination is at fault, the wait is at most this part of the time since the event's first attempt. So
/// an event is tried again within a fifth of the outage's length after its end: 2 s after 10 s.
const OUTAGE_SHARE: u32 = 5;

/// What is not there yet is asked for again after this part of the time that it has been waited for: each pause is half as
/// long again as the one before.
const PATIENCE_SHARE: u32 = 2;
/// The least part of such a pause, in percent; the rest is jitter, so that what began together does not come back together.
const PATIENCE_PERCENT: u64 = 75;

/// How long what is not there yet waits, after it has been `waited` for: never longer than until it is given up.
pub(crate) fn patience(
    patience: Patience,
    waited: Duration,
    retry_after: Option<Duration>,
    rng: &mut impl Rng,
) -> Duration {
    let Patience { shortest, longest, give_up } = patience;
    let window = (waited / PATIENCE_SHARE).clamp(shortest.min(longest), longest);
    let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let least = window / 100 * PATIENCE_PERCENT;
    let pause = Duration::from_millis(rng.random_range(least..=window));
    let pause = pause.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
    // The last attempt is made when the time is over, not up to a whole pause earlier.
    give_up.map_or(pause, |(after, _)| pause.min(after.saturating_sub(waited)))
}

/// How waiting grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub base: Duration,
    /// The longest wait at all.
    pub cap: Duration,
}

impl Backoff {
    /// 500 ms: a hiccup is over by then.
    pub const BASE: Duration = Duration::from_millis(500);
    /// 5 min: after a long outage no event waits longer than that for its turn.
    pub const CAP: Duration = Duration::from_secs(300);

    /// The longest wait for this cause.
    fn window(&self, cause: Cause) -> Duration {
        let window = match cause {
            Cause::Event { charged } => {
                let doublings = charged.min(31);
                self.base.saturating_mul(1 << doublings)
            }
            Cause::Destination { trying } => trying / OUTAGE_SHARE,
        };
        window.clamp(self.base, self.cap)
    }

    /// How long to wait: any time up to the window (full jitter, so that events that failed together do not come
    /// back together), but at least what the destination asked for.
    pub(crate) fn delay(&self, cause: Cause, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let window = u64::try_from(self.window(cause).as_millis()).unwrap_or(u64::MAX);
        let jittered = Duration::from_millis(rng.random_range(0..=window));
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        jittered.max(asked)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Self::BASE, cap: Self::CAP }
    }
}

/// Whose fault the failure seems to be; it decides by what the wait grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The event's: the wait doubles with each of its charged attempts.
    Event { charged: u32 },
    /// The destination's: the wait grows with the time for which the event has been tried.
    Destination { trying: Duration },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn windows_grow_up_to_the_cap() {
        let backoff = Backoff { base: millis(500), cap: millis(60_000) };
        let event = |charged| backoff.window(Cause::Event { charged });
        assert_eq!([0, 1, 2, 5].map(event), [500, 1_000, 2_000, 16_000].map(millis));
        assert_eq!([7, 40, u32::MAX].map(event), [60_000; 3].map(millis));
        let outage = |ms| backoff.window(Cause::Destination { trying: millis(ms) });
        assert_eq!([0, 2_500, 10_000].map(outage), [500, 500, 2_000].map(millis));
        assert_eq!(outage(4 * 3_600_000), millis(60_000));
    }

    #[test]
    fn jitter_is_full() {
        let backoff = Backoff::default();
        let mut rng = StdRng::seed_from_u64(1);
        let cause = Cause::Event { charged: 0 };
        let delays: Vec<_> = (0..1_000).map(|_| backoff.delay(cause, None, &mut rng)).collect();
        assert!(delays.iter().any(|d| *d < millis(25)) && delays.iter().any(|d| *d > millis(475)));
        let mean = delays.iter().sum::<Duration>() / 1_000;
        assert!((millis(225)..millis(275)).contains(&mean), "{mean:?}");
    }

    proptest! {
        #[test]
        fn a_delay_keeps_its_bounds(
            seed: u64,
            base in 1u64..100_000,
            more in 0u64..10_000_000,
            charged: u32,
            trying: u64,
            asked in proptest::option::of(any::<u64>()),
        ) {
            let backoff = Backoff { base: millis(base), cap: millis(base + more) };
            let mut rng = StdRng::seed_from_u64(seed);
            let asked = asked.map(Duration::from_secs);
            let floor = asked.unwrap_or_default().min(RETRY_AFTER_MAX);
            for cause in [Cause::Event { charged }, Cause::Destination { trying: millis(trying) }] {
                let delay = backoff.delay(cause, asked, &mut rng);
                prop_assert!(delay >= floor);
                prop_assert!(delay <= backoff.cap.max(floor));
                prop_assert!(backoff.window(cause) >= backoff.base);
            }
        }
    }
}
