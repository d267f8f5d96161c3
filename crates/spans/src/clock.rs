//! The one place here that reads clocks.

use std::time::{Instant, SystemTime};

/// A moment, by the time of day and by a clock that is never set: so a span is as long as what it tells of took.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    at: SystemTime,
    since: Instant,
}

impl Moment {
    /// The present moment, if somebody takes spans.
    pub fn now() -> Option<Self> {
        crate::wanted().then(Self::read)
    }

    pub(crate) fn read() -> Self {
        Self { at: SystemTime::now(), since: Instant::now() }
    }

    pub(crate) fn at(self) -> SystemTime {
        self.at
    }

    /// Now, counted from this moment.
    pub(crate) fn end(self) -> SystemTime {
        self.at + self.since.elapsed()
    }
}
