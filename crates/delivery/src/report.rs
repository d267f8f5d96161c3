//! What goes to the log: the first failure after a success and the recovery, and dead letters; neither more often than
//! once in ten seconds, however many there are. The rest is counted.

use std::time::Duration;

use event::Timestamp;
use queue::{Failure, told};
use tracing::{info, warn};

/// Shortest time between two lines of the same kind about one destination.
const QUIET: Duration = Duration::from_secs(10);

/// Keeps the log of one destination short.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The failures since the last success, once they have been reported.
    outage: Option<Outage>,
    outages: Quiet,
    deaths: Quiet,
}

#[derive(Debug)]
struct Outage {
    since: Timestamp,
    failures: u64,
}

impl Report {
    pub(crate) fn failed(&mut self, destination: &str, now: Timestamp, failure: &Failure) {
        if let Some(outage) = &mut self.outage {
            outage.failures += 1;
        } else if let Some(unsaid) = self.outages.speak(now) {
            self.outage = Some(Outage { since: now, failures: 1 });
            let (status, message) = (failure.status, &*told(&failure.message));
            warn!(destination, status, message, unsaid, "a delivery failed; it is tried again");
        }
    }

    pub(crate) fn delivered(&mut self, destination: &str, now: Timestamp) {
        if let Some(Outage { since, failures }) = self.outage.take() {
            let seconds = since.until(now).as_secs_f32();
            info!(destination, failures, seconds, "deliveries succeed again");
        }
    }

    pub(crate) fn died(&mut self, destination: &str, now: Timestamp, failure: &Failure) {
        if let Some(unsaid) = self.deaths.speak(now) {
            let (stage, class, status) = (failure.stage.as_str(), failure.class.as_str(), failure.status);
            let message = &*told(&failure.message);
            warn!(destination, stage, class, status, message, unsaid, "a delivery failed for good: a dead letter");
        }
    }
}

/// Says when a line of one kind may be written again.
#[derive(Debug, Default)]
struct Quiet {
    last: Option<Timestamp>,
    unsaid: u64,
}

impl Quiet {
    /// Whether to write a line now; if so, how many were not written since the last one.
    fn speak(&mut self, now: Timestamp) -> Option<u64> {
        if self.last.is_some_and(|last| last <= now && last.until(now) < QUIET) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_and_a_count() {
        let mut quiet = Quiet::default();
        let at = Timestamp::from_millis;
        assert_eq!(quiet.speak(at(0)), Some(0));
        for ms in 1..10_000 {
            assert_eq!(quiet.speak(at(ms)), None);
        }
        assert_eq!(quiet.speak(at(10_000)), Some(9_999));
        assert_eq!(quiet.speak(at(20_000)), Some(0));
    }
}
