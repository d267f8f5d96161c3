//! A limit of requests in a fixed window of time.

use std::time::{Duration, Instant};

/// Counts requests. A window begins with its first request.
#[derive(Debug, Default)]
pub(super) struct Window {
    ends: Option<Instant>,
    count: u32,
}

/// What the limit says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) within: bool,
    /// Requests in this window, this one included.
    pub(super) count: u32,
    /// Whole seconds until the next window, at least 1.
    pub(super) reset: u64,
}

impl Window {
    pub(super) fn count(&mut self, now: Instant, length: Duration, limit: u32) -> Counted {
        let ends = match self.ends {
            Some(ends) if now < ends => ends,
            _ => {
                self.count = 0;
                now + length
            }
        };
        self.ends = Some(ends);
        self.count = self.count.saturating_add(1);
        let reset = (ends - now).as_millis().div_ceil(1_000).max(1);
        Counted { within: self.count <= limit, count: self.count, reset: u64::try_from(reset).unwrap_or(u64::MAX) }
    }
}
