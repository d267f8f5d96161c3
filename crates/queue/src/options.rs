//! The settings every backend has.

use std::time::Duration;

use event::Timestamp;

/// Settings of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// For how long a repeated identity is refused as a duplicate.
    pub dedupe_window: Duration,
    /// For how long an accepted event stays, delivered or not.
    pub retention: Duration,
    /// How long leases and pauses between attempts last.
    pub times: Times,
}

/// How long things last that wait for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// After this time without a settlement a lease ends. Longer than any attempt takes.
    pub lease: Duration,
    /// Nobody waits longer for the next attempt. A retry that is further ahead was set by a clock that has been set back
    /// since, and is due.
    pub longest_wait: Duration,
}

impl Times {
    /// Twelve times the default timeout of an attempt.
    pub const LEASE: Duration = Duration::from_secs(60);
    /// As long as a destination's `Retry-After` is honoured.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);

    /// Whether what was put off until `at` is due at `now`.
    pub fn is_due(&self, at: Timestamp, now: Timestamp) -> bool {
        at <= now || at > now.plus(self.longest_wait)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self { lease: Self::LEASE, longest_wait: Self::LONGEST_WAIT }
    }
}

impl Options {
    /// 48 h: sources re-send for up to four days in the worst case, but within minutes to hours in practice; the
    /// window is the guarantee G3.
    pub const DEDUPE_WINDOW: Duration = Duration::from_secs(48 * 3600);
    /// 14 days, the longest that Amazon SQS keeps a message, so that both backends promise the same.
    pub const RETENTION: Duration = Duration::from_secs(14 * 86400);
}

impl Default for Options {
    fn default() -> Self {
        Self { dedupe_window: Self::DEDUPE_WINDOW, retention: Self::RETENTION, times: Times::default() }
    }
}
