//! A pause by a clock that may be set while it lasts.

use std::time::Duration;

use event::Timestamp;

/// See the module. It never lasts longer than it was meant to because the clock was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    began: Timestamp,
    until: Timestamp,
}

impl Pause {
    /// A pause that begins now.
    pub(crate) fn new(now: Timestamp, lasts: Duration) -> Self {
        Self { began: now, until: now.plus(lasts) }
    }

    /// Whether it is over. A clock that shows a time before its beginning was set back, and would make it longer.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until || now < self.began
    }

    /// When it is over, unless the clock is set.
    pub(crate) fn until(&self) -> Timestamp {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_ends_a_pause() {
        let at = Timestamp::from_millis;
        let pause = Pause::new(at(1_000), Duration::from_secs(5));
        let over = [0, 999, 1_000, 5_999, 6_000].map(|now| pause.is_over(at(now)));
        assert_eq!((over, pause.until()), ([true, true, false, false, true], at(6_000)));
    }
}
