//! When requests are due at a fixed rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many requests may wait for a connection; beyond it they are given up, so that a dead server costs no memory.
const WAITING_MAX: usize = 100_000;

/// Requests due one after the other at even distances.
#[derive(Debug)]
pub(super) struct Pace {
    started: Instant,
    per_second: f64,
    /// How many have become due so far.
    due: u64,
    /// Those that found no free connection, with the time at which they were due.
    waiting: VecDeque<Instant>,
    given_up: u64,
}

impl Pace {
    pub(super) fn new(started: Instant, per_second: f64) -> Self {
        Self { started, per_second, due: 0, waiting: VecDeque::new(), given_up: 0 }
    }

    /// The time from which the next request's latency counts, if one is to be sent now.
    ///
    /// A request that waited for a connection counts from when it was due. Otherwise it counts from now, as then it is
    /// the generator's timer that was late (by up to a millisecond), and not the server.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        if let Some(due) = self.waiting.pop_front() {
            return Some(due);
        }
        (self.next_due() <= now).then(|| {
            self.due += 1;
            now
        })
    }

    /// No connection is free: what is due by now waits for one.
    pub(super) fn no_connection(&mut self, now: Instant) {
        while self.next_due() <= now {
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(self.next_due());
            } else {
                self.given_up += 1;
            }
            self.due += 1;
        }
    }

    pub(super) fn next_due(&self) -> Instant {
        let after =
            Duration::try_from_secs_f64(self.due as f64 / self.per_second).unwrap_or(Duration::from_secs(86_400));
        self.started + after
    }

    /// Requests that were due and never sent.
    pub(super) fn never_sent(&self) -> u64 {
        self.given_up + self.waiting.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn requests_become_due_evenly() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100.0);
        let sent = |pace: &mut Pace, now| std::iter::from_fn(|| pace.take(now)).count();
        assert_eq!(sent(&mut pace, start), 1);
        assert_eq!(sent(&mut pace, start + 9 * MS), 0);
        assert_eq!(sent(&mut pace, start + 45 * MS), 4);
        assert_eq!(pace.next_due(), start + 50 * MS);
    }

    #[test]
    fn what_waited_for_a_connection_counts_from_when_it_was_due() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100.0);
        pace.no_connection(start + 15 * MS);
        let now = start + 40 * MS;
        assert_eq!(pace.take(now), Some(start));
        assert_eq!(pace.take(now), Some(start + 10 * MS));
        assert_eq!(pace.take(now), Some(now));
    }

    #[test]
    fn the_waiting_room_is_bounded() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 1e6);
        pace.no_connection(start + 150 * MS);
        assert_eq!(pace.waiting.len(), WAITING_MAX);
        assert!((149_000..=151_000).contains(&pace.never_sent()), "{}", pace.never_sent());
    }
}
