//! How much a counter grew within a time, in a bounded number of steps.

use std::collections::VecDeque;
use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

/// Steps of a window: its end is off by at most this part of its length.
const STEPS: u32 = 20;

/// The growth of one counter, also over restarts of what counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Window {
    /// Sums at the beginnings of steps, oldest first.
    marks: VecDeque<(Timestamp, u64)>,
    /// What was counted before the counter last began anew.
    before: u64,
    /// What it showed last.
    last: u64,
}

impl Window {
    /// Of a counter that has begun at zero, and that nobody has looked at: whatever it shows has come just now.
    pub(super) fn unseen(now: Timestamp) -> Self {
        Self { marks: VecDeque::from([(now, 0)]), ..Self::default() }
    }

    /// How much the counter has grown within the time before `now`. A counter that begins anew has grown by itself.
    pub(super) fn growth(&mut self, value: u64, within: Duration, now: Timestamp) -> u64 {
        if value < self.last {
            self.begin_anew();
        }
        self.last = value;
        let sum = self.before.saturating_add(value);
        // A clock that was set back would hold them for ever.
        self.marks.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
        let step = within / STEPS;
        if self.marks.back().is_none_or(|(at, _)| at.until(now) >= step) {
            self.marks.push_back((now, sum));
        }
        // One mark from before the window stays: it is where the window begins.
        while self.marks.get(1).is_some_and(|(at, _)| at.until(now) >= within) {
            self.marks.pop_front();
        }
        while self.marks.len() > STEPS as usize + 2 {
            self.marks.pop_front();
        }
        sum.saturating_sub(self.marks.front().map_or(sum, |(_, first)| *first))
    }

    /// The counter begins at zero again.
    pub(super) fn begin_anew(&mut self) {
        self.before = self.before.saturating_add(self.last);
        self.last = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_first_look_counts() {
        let now = Timestamp::from_millis(5);
        assert_eq!(Window::unseen(now).growth(6, Duration::from_secs(100), now), 6);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut window = Window::default();
        let within = Duration::from_secs(100);
        let mut growth = |second: i64, value| window.growth(value, within, Timestamp::from_millis(second * 1_000));
        let table = [(0, 50, 0), (10, 60, 10), (50, 60, 10), (90, 61, 11), (120, 61, 1), (200, 61, 0), (205, 3, 3)];
        for (second, value, expected) in table {
            assert_eq!(growth(second, value), expected, "second {second}");
        }
        for second in 206..5_000 {
            growth(second, 3);
        }
        assert!(window.marks.len() <= 22);
    }
}
