//! What is usual in each hour of a week.

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::options::{LEARNING, WEEKS_MIN};

/// Hours of a week.
const WEEK: usize = 168;
const HOUR_MS: i64 = 3_600_000;
/// Unix time begins on a Thursday; the week here on a Monday.
const FIRST_HOUR: i64 = 3 * 24;

/// Expected events in each hour of the week, in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Hours {
    /// Events an hour.
    expected: Vec<f32>,
    /// Weeks in which the hour was seen whole.
    weeks: Vec<u8>,
}

impl Default for Hours {
    fn default() -> Self {
        Self { expected: vec![0.0; WEEK], weeks: vec![0; WEEK] }
    }
}

impl Hours {
    /// Takes in what came in one whole hour.
    pub(super) fn learn(&mut self, hour: i64, events: u64) {
        let cell = cell(hour);
        let (Some(expected), Some(weeks)) = (self.expected.get_mut(cell), self.weeks.get_mut(cell)) else { return };
        let events = events as f32;
        *expected = if *weeks == 0 { events } else { *expected + (events - *expected) * LEARNING };
        *weeks = weeks.saturating_add(1);
    }

    /// Events that usually come in this hour; none while too little is known.
    pub(super) fn expected(&self, hour: i64) -> Option<f32> {
        let cell = cell(hour);
        self.weeks.get(cell).filter(|weeks| **weeks >= WEEKS_MIN).and_then(|_| self.expected.get(cell)).copied()
    }
}

/// The number of the hour since 1970.
pub(super) fn hour(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(HOUR_MS)
}

/// When an hour begins.
pub(super) fn begin(hour: i64) -> Timestamp {
    Timestamp::from_millis(hour.saturating_mul(HOUR_MS))
}

fn cell(hour: i64) -> usize {
    usize::try_from((hour + FIRST_HOUR).rem_euclid(WEEK as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_known_after_two_weeks_and_follows_a_change() {
        let mut hours = Hours::default();
        let monday_9 = hour(Timestamp::from_millis(1_773_651_600_000));
        assert_eq!(cell(monday_9), 9, "2026-03-16 is a Monday");
        hours.learn(monday_9, 100);
        assert_eq!(hours.expected(monday_9 + 168), None);
        hours.learn(monday_9 + 168, 100);
        assert_eq!(hours.expected(monday_9 + 336), Some(100.0));
        assert_eq!(hours.expected(monday_9 + 1), None, "another hour is another");
        (2..6).for_each(|week| hours.learn(monday_9 + week * 168, 10));
        assert!(hours.expected(monday_9).is_some_and(|expected| expected < 25.0));
    }
}
