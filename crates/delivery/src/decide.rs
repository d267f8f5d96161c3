//! What becomes of a delivery after an attempt.

use std::time::Duration;

use event::Timestamp;
use queue::{Attempts, Failure, FailureClass, Outcome};
use rand::Rng;

use crate::Options;
use crate::backoff::Cause;
use crate::budget;

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// How long the destination asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// It had too much to do: 429, 503, or no answer in time.
    pub(crate) overloaded: bool,
}

/// When an attempt was made, and what was known then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    /// What had been tried before it.
    pub(crate) before: Attempts,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    /// When the latest delivery began that the destination had completed when this attempt began.
    pub(crate) last_success: Option<Timestamp>,
}

/// Retry or dead: a transient failure is tried again until its budget is used up, any other is dead now.
pub(crate) fn decide(tried: Tried, failed: Failed, options: &Options, rng: &mut impl Rng) -> Outcome {
    let charged = budget::is_charged(&tried.before, tried.last_success);
    let attempts = budget::count(tried.before, charged, tried.began, tried.ended);
    let Failed { failure, retry_after, .. } = failed;
    if failure.class != FailureClass::Transient || attempts.charged >= options.attempts {
        return Outcome::Dead { attempts, failure };
    }
    let cause = match charged {
        true => Cause::Event { charged: attempts.charged },
        false => Cause::Destination { trying: attempts.first.map_or(Duration::ZERO, |f| f.until(tried.ended)) },
    };
    let at = tried.ended.plus(options.backoff.delay(cause, retry_after, rng));
    Outcome::Retry { at, attempts, failure }
}

#[cfg(test)]
mod tests {
    use queue::Stage;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn failed(class: FailureClass) -> Failed {
        let failure = Failure::new(Stage::Deliver, class, "refused");
        Failed { failure, retry_after: Some(Duration::from_secs(30)), overloaded: false }
    }

    /// Tries every 100 s, `healthy` or not in between, and gives the attempts at the end.
    fn run(class: FailureClass, healthy: bool, rounds: i64) -> (Attempts, bool) {
        let mut rng = StdRng::seed_from_u64(7);
        let options = Options::default();
        let mut before = Attempts::default();
        for round in 0..rounds {
            let began = Timestamp::from_millis(round * 100_000);
            let last_success = healthy.then(|| began.minus(Duration::from_millis(1)));
            let ended = began.plus(Duration::from_millis(50));
            let tried = Tried { before, began, ended, last_success };
            match decide(tried, failed(class), &options, &mut rng) {
                Outcome::Dead { attempts, .. } => return (attempts, true),
                Outcome::Retry { attempts, at, .. } => {
                    assert!(at >= ended.plus(Duration::from_secs(30)), "Retry-After is honoured");
                    before = attempts;
                }
                other => panic!("{other:?}"),
            }
        }
        (before, false)
    }

    #[test]
    fn poison_dies_of_its_charged_attempts() {
        let (attempts, dead) = run(FailureClass::Transient, true, 100);
        assert!(dead);
        assert_eq!((attempts.made, attempts.charged), (6, 5), "the first attempt is not charged");
    }

    #[test]
    fn an_outage_kills_nothing() {
        let (attempts, dead) = run(FailureClass::Transient, false, 1_000);
        assert!(!dead);
        assert_eq!((attempts.made, attempts.charged), (1_000, 0));
    }

    #[test]
    fn what_cannot_help_is_not_tried_again() {
        for class in [FailureClass::Permanent, FailureClass::Bug] {
            let (attempts, dead) = run(class, false, 10);
            assert!(dead && attempts.made == 1, "{class}");
        }
    }
}
