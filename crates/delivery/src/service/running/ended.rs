//! What an attempt that has ended means: for the destination's limits, for its numbers and log, and for the delivery.
//!
//! That a destination has not got yet what a delivery is about says that it works: it is an answer to the breaker, no
//! failure to the numbers, and nothing to the log.

use event::Timestamp;
use queue::{Answer, FailureClass, Outcome, Settle};

use super::Running;
use crate::attempt::{Ended, Sent};
use crate::decide::{Failed, Tried, decide};
use crate::gate::Transient;

impl Running<'_> {
    pub(super) fn ended(&mut self, Ended { token, suspect, tried, mapping, result }: Ended) {
        let now = tried.ended;
        self.forget_what_is_to_come(now);
        let outcome = match result {
            Ok(Sent::Nothing) => Outcome::Done,
            Ok(Sent::Delivered(status)) => {
                let latency = tried.began.until(now);
                self.last_success = self.last_success.max(Some(tried.began));
                self.gate.answered(tried.began, now);
                self.health.delivered(now, latency);
                self.report.delivered(self.name, now);
                let latency_ms = u32::try_from(latency.as_millis()).unwrap_or(u32::MAX);
                Outcome::Delivered(Answer { status, latency_ms, mapping })
            }
            Err(failed) => self.failed(tried, suspect, failed),
        };
        self.ended.push(Settle { token, outcome });
    }

    fn failed(&mut self, tried: Tried, suspect: u64, failed: Failed) -> Outcome {
        let (now, waits) = (tried.ended, failed.patience.is_some());
        if waits {
            self.health.not_yet();
        } else {
            self.health.failed(now, &failed.failure);
        }
        match failed.failure.class {
            FailureClass::Transient if !waits => self.gate.failed(Transient {
                began: tried.began,
                now,
                retry_after: failed.retry_after,
                suspect,
                overloaded: failed.overloaded,
            }),
            _ if failed.failure.status.is_some() => self.gate.answered(tried.began, now),
            _ => {}
        }
        let outcome = decide(tried, failed, self.options, &mut self.rng);
        match &outcome {
            Outcome::Retry { failure, .. } if !waits => self.report.failed(self.name, now, failure),
            Outcome::Dead { failure, .. } => {
                self.health.died();
                self.report.died(self.name, now, failure);
            }
            _ => {}
        }
        outcome
    }

    pub(super) fn forget_what_is_to_come(&mut self, now: Timestamp) {
        self.last_success = self.last_success.filter(|success| *success <= now);
    }
}
