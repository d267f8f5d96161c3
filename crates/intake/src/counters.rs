//! Counts of what came in by each source, and the log lines about what was refused.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use event::Timestamp;
use serde::Serialize;

use crate::options::LOG_EVERY;
use crate::problem::{Reason, Refusal};
use crate::topics::{TopicCounts, Topics};

/// Counts of one source since start, or of requests that name no source.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    unreadable: AtomicU64,
    refused: [Refused; Reason::ALL.len()],
    pub(crate) topics: Topics,
}

#[derive(Debug, Default)]
struct Refused {
    count: AtomicU64,
    pauses: Pauses,
}

/// The pauses between log lines about the same thing.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// Milliseconds of Unix time before which nothing more is logged.
    quiet_until: AtomicI64,
    /// Left out of the log since the last line.
    unlogged: AtomicU64,
}

/// What a source has sent since start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceCounts {
    /// The source; empty for requests that name none.
    pub source: String,
    /// Requests, whatever became of them.
    pub requests: u64,
    /// Bytes of authentic bodies.
    pub bytes: u64,
    /// Events accepted.
    pub accepted: u64,
    /// Events that were known already.
    pub duplicates: u64,
    /// Authentic bodies that could not be read and became dead letters.
    pub unreadable: u64,
    /// Requests refused, with the reason's code; only reasons that occurred.
    pub refused: Vec<(&'static str, u64)>,
    /// What was accepted, by topic.
    pub topics: Vec<TopicCounts>,
}

impl Counters {
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn authentic(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn published(&self, accepted: u64, duplicates: u64) {
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        if duplicates > 0 {
            self.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        }
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refusal and logs it, unless the same was logged a moment ago.
    pub(crate) fn refused(&self, refusal: &Refusal, source: &str, peer: IpAddr, now: Timestamp) {
        let refused = &self.refused[refusal.reason as usize];
        refused.count.fetch_add(1, Ordering::Relaxed);
        let Some(unlogged) = refused.pauses.may_log(now, LOG_EVERY) else { return };
        let (reason, detail) = (refusal.reason.code(), refusal.cause.as_deref().unwrap_or(&refusal.detail));
        match refusal.reason {
            Reason::QueueStopped | Reason::QueueFull | Reason::Internal => {
                tracing::error!(source, reason, %peer, unlogged, "a request was refused: {detail}");
            }
            _ => tracing::warn!(source, reason, %peer, unlogged, "a request was refused: {detail}"),
        }
    }

    pub(crate) fn snapshot(&self, source: &str) -> SourceCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = Reason::ALL.iter().zip(&self.refused);
        SourceCounts {
            source: source.to_owned(),
            requests: read(&self.requests),
            bytes: read(&self.bytes),
            accepted: read(&self.accepted),
            duplicates: read(&self.duplicates),
            unreadable: read(&self.unreadable),
            refused: refused
                .map(|(reason, refused)| (reason.code(), read(&refused.count)))
                .filter(|(_, n)| *n > 0)
                .collect(),
            topics: self.topics.snapshot(),
        }
    }
}

impl Pauses {
    /// Whether to write a line now, and how many were left out since the last one.
    pub(crate) fn may_log(&self, now: Timestamp, every: Duration) -> Option<u64> {
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        let next = now.plus(every).as_millis();
        let due = now.as_millis() >= quiet_until
            && self.quiet_until.compare_exchange(quiet_until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if due {
            Some(self.unlogged.swap(0, Ordering::Relaxed))
        } else {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_logged_once_and_counted() {
        let refused = Pauses::default();
        let at = |millis: i64| Timestamp::from_millis(1_000_000 + millis);
        let every = Duration::from_millis(100);
        assert_eq!(refused.may_log(at(0), every), Some(0));
        for _ in 0..7 {
            assert_eq!(refused.may_log(at(99), every), None);
        }
        assert_eq!(refused.may_log(at(100), every), Some(7));
        assert_eq!(refused.may_log(at(101), every), None);
    }
}
