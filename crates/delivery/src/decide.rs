//! What becomes of a delivery after an attempt.

use std::time::Duration;

use destinations::Patience;
use event::Timestamp;
use queue::{Attempts, Failure, FailureClass, Outcome};
use rand::Rng;

use crate::Options;
use crate::backoff::{self, Cause};
use crate::budget;

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// How long the destination asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// It had too much to do: 429, 503, or no answer in time.
    pub(crate) overloaded: bool,
    /// What the delivery is about is not there yet, and is waited for like this.
    pub(crate) patience: Option<Patience>,
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

/// Retry or dead: what is not there yet is waited for, a transient failure is tried again until its budget is used up, any other is dead now.
pub(crate) fn decide(tried: Tried, failed: Failed, options: &Options, rng: &mut impl Rng) -> Outcome {
    if let Some(patience) = failed.patience {
        return wait(tried, failed, patience, rng);
    }
    let charged = budget::is_charged(&tried.before, tried.last_success);
    let attempts = budget::count(tried.before, charged, tried.began, tried.ended);
    let Failed { failure, retry_after, .. } = failed;
    // Also when `attempts` was made fewer than were charged already: what fails in an outage does not die of it.
    if failure.class != FailureClass::Transient || charged && attempts.charged >= options.attempts {
        return Outcome::Dead { attempts, failure };
    }
    let cause = match charged {
        true => Cause::Event { charged: attempts.charged },
        false => Cause::Destination { trying: attempts.first.map_or(Duration::ZERO, |f| f.until(tried.ended)) },
    };
    let at = tried.ended.plus(options.backoff.delay(cause, retry_after, rng));
    Outcome::Retry { at, attempts, failure }
}

/// Nothing is charged, and what was charged before is forgotten: the destination answered, so it was not the event's fault.
fn wait(tried: Tried, failed: Failed, patience: Patience, rng: &mut impl Rng) -> Outcome {
    let attempts = Attempts { charged: 0, ..budget::count(tried.before, false, tried.began, tried.ended) };
    let waited = attempts.first.map_or(Duration::ZERO, |first| first.until(tried.ended));
    let Failed { mut failure, retry_after, .. } = failed;
    if let Some((after, never)) = patience.give_up
        && waited >= after
    {
        failure.class = FailureClass::Permanent;
        failure.message = format!("{never}: {}", failure.message);
        return Outcome::Dead { attempts, failure };
    }
    let pause = backoff::patience(patience, waited, retry_after, rng);
    Outcome::Retry { at: tried.ended.plus(pause), attempts, failure }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use queue::Stage;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn failed(class: FailureClass) -> Failed {
        let failure = Failure::new(Stage::Deliver, class, "refused");
        Failed { failure, retry_after: Some(Duration::from_secs(30)), overloaded: false, patience: None }
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

    proptest! {
        /// Whatever was charged before, and however few may be: what fails while the destination is down does not die of it.
        #[test]
        fn an_attempt_that_is_not_charged_kills_nothing(charged in 0u32..20, attempts in 1u32..10, made in 0u32..30) {
            let mut rng = StdRng::seed_from_u64(7);
            let options = Options { attempts, ..Options::default() };
            let at = Timestamp::from_millis;
            let before = Attempts { made: made + charged, charged, first: Some(at(1)), last: Some(at(1_000)) };
            let tried = Tried { before, began: at(9_000), ended: at(9_100), last_success: Some(at(900)) };
            let outcome = decide(tried, failed(FailureClass::Transient), &options, &mut rng);
            let waits = matches!(outcome, Outcome::Retry { attempts, .. } if attempts.charged == charged);
            prop_assert!(waits, "{:?}", outcome);
        }
    }

    #[test]
    fn what_cannot_help_is_not_tried_again() {
        for class in [FailureClass::Permanent, FailureClass::Bug] {
            let (attempts, dead) = run(class, false, 10);
            assert!(dead && attempts.made == 1, "{class}");
        }
    }

    const PATIENCE: Patience = Patience {
        shortest: Duration::from_secs(60),
        longest: Duration::from_secs(6 * 3_600),
        give_up: Some((Duration::from_secs(3 * 86_400), "it never came")),
    };

    fn not_there(patience: Patience) -> Failed {
        Failed { patience: Some(patience), retry_after: None, ..failed(FailureClass::Transient) }
    }

    #[test]
    fn what_is_not_there_is_asked_for_less_and_less_often_and_given_up_when_its_time_is_over() {
        let mut rng = StdRng::seed_from_u64(7);
        let (mut before, mut now, mut pauses) = (Attempts::default(), Timestamp::from_millis(0), Vec::new());
        let reason = loop {
            let tried = Tried { before, began: now, ended: now, last_success: Some(now) };
            match decide(tried, not_there(PATIENCE), &Options::default(), &mut rng) {
                Outcome::Retry { at, attempts, .. } => {
                    pauses.push(now.until(at));
                    (before, now) = (attempts, at);
                }
                Outcome::Dead { attempts, failure } => {
                    assert_eq!((attempts.charged, failure.class), (0, FailureClass::Permanent));
                    break failure.message;
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(reason, "it never came: refused");
        assert_eq!(now, Timestamp::from_millis(3 * 86_400_000), "the last attempt is at the end of its time");
        let within = |first: u64, last: u64| Duration::from_secs(first)..=Duration::from_secs(last);
        assert!(within(45, 60).contains(&pauses[0]), "{pauses:?}");
        assert!(within(16_200, 21_600).contains(&pauses[pauses.len() - 2]), "{pauses:?}");
        assert!((20..45).contains(&pauses.len()), "{}", pauses.len());
    }

    proptest! {
        /// Whatever has happened, an attempt that finds nothing there leaves nothing charged, and comes again between now
        /// and the end of its time.
        #[test]
        fn waiting_charges_nothing(
            seed: u64,
            steps in prop::collection::vec((any::<bool>(), 0u64..10_000_000, any::<bool>(), 0u64..100_000), 1..60),
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let options = Options { attempts: 1_000, ..Options::default() };
            let (mut before, mut now) = (Attempts::default(), Timestamp::from_millis(0));
            let patience = Patience { give_up: None, ..PATIENCE };
            for (waits, gap, healthy, asked) in steps {
                now = now.plus(Duration::from_millis(gap));
                let tried = Tried { before, began: now, ended: now, last_success: healthy.then_some(now) };
                let failed = if waits { not_there(patience) } else { failed(FailureClass::Transient) };
                let failed = Failed { retry_after: Some(Duration::from_secs(asked)), ..failed };
                let Outcome::Retry { at, attempts, .. } = decide(tried, failed, &options, &mut rng) else {
                    panic!("it was given up")
                };
                prop_assert_eq!(attempts.made, before.made + 1);
                if waits {
                    prop_assert_eq!(attempts.charged, 0);
                    prop_assert!(now.until(at) <= patience.longest.max(backoff::RETRY_AFTER_MAX));
                    prop_assert!(now.until(at) >= patience.shortest * 3 / 4);
                }
                before = attempts;
            }
        }
    }
}
