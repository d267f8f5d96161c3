//! The settings every backend has.

use std::time::Duration;

/// Settings of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// For how long a repeated identity is refused as a duplicate.
    pub dedupe_window: Duration,
    /// For how long an accepted event stays, delivered or not.
    pub retention: Duration,
    /// After this time without a settlement a lease ends. Longer than any attempt takes.
    pub lease_time: Duration,
}

impl Options {
    /// 48 h: sources re-send for up to four days in the worst case, but within minutes to hours in practice; the
    /// window is the guarantee G3.
    pub const DEDUPE_WINDOW: Duration = Duration::from_secs(48 * 3600);
    /// 14 days, the longest that Amazon SQS keeps a message, so that both backends promise the same.
    pub const RETENTION: Duration = Duration::from_secs(14 * 86400);
    /// Twelve times the default timeout of an attempt.
    pub const LEASE_TIME: Duration = Duration::from_secs(60);
}

impl Default for Options {
    fn default() -> Self {
        Self { dedupe_window: Self::DEDUPE_WINDOW, retention: Self::RETENTION, lease_time: Self::LEASE_TIME }
    }
}
