//! When places are tried again.

use std::collections::BTreeSet;

use event::Timestamp;
use queue::Times;

use super::LaneKey;

/// When, lane, place. May name what has gone on otherwise.
pub(super) type Retry = (Timestamp, LaneKey, u64);

/// Retries in order of time, seen from both ends: what is further ahead than anybody waits was written by a clock that has
/// been set back since, and is due.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeSet<Retry>);

impl Retries {
    pub(super) fn push(&mut self, retry: Retry) {
        self.0.insert(retry);
    }

    /// Takes one that is due.
    pub(super) fn pop_due(&mut self, now: Timestamp, times: Times) -> Option<Retry> {
        let due = |at: Timestamp| times.is_due(at, now);
        if self.0.first().is_some_and(|(at, ..)| due(*at)) {
            return self.0.pop_first();
        }
        if self.0.last().is_some_and(|(at, ..)| due(*at)) { self.0.pop_last() } else { None }
    }

    /// The time of the next that is still waited for.
    pub(super) fn next(&mut self, is_waiting: impl Fn(Retry) -> bool) -> Option<Timestamp> {
        while let Some(first) = self.0.first().copied() {
            if is_waiting(first) {
                return Some(first.0);
            }
            self.0.pop_first();
        }
        None
    }
}
