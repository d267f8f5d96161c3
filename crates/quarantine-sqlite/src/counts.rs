//! What is kept of each source, what was left out and why: counted where requests are refused, and by the thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use event::Timestamp;
use intake::{QuarantineCounts, QuarantineStatus};
use parking_lot::Mutex;

use crate::allowance::{self, Allowance};
use crate::options::{LOG_EVERY_FAILURES, Options};
use crate::store::Kept;

/// Why a request is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    TooLarge,
    Busy,
    Failed,
}

/// The counts of all sources, and whether the quarantine works.
pub(crate) struct Counts {
    max_requests: u64,
    max_bytes: u64,
    sources: Mutex<BTreeMap<Arc<str>, Source>>,
    closed: Mutex<Option<String>>,
    failures: AtomicU64,
}

#[derive(Default)]
struct Source {
    allowance: Allowance,
    counts: QuarantineCounts,
}

impl Counts {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            max_requests: options.requests.max(1),
            max_bytes: options.bytes.max(1),
            sources: Mutex::default(),
            closed: Mutex::default(),
            failures: AtomicU64::new(0),
        }
    }

    /// Takes note of what was kept before the start.
    pub(crate) fn begin(&self, source: &str, kept: Kept) {
        let mut sources = self.sources.lock();
        let entry = sources.entry(Arc::from(source)).or_default();
        let share = self.share(kept.requests, kept.bytes);
        entry.allowance = Allowance::begun(share);
        (entry.counts.requests, entry.counts.bytes) = (kept.requests, kept.bytes);
    }

    /// Whether one more request of so many bytes is to be kept.
    pub(crate) fn admits(&self, source: &Arc<str>, bytes: usize, now: Timestamp) -> bool {
        let bytes = bytes as u64;
        let share = self.share(1, bytes);
        let is_closed = self.closed.lock().is_some();
        self.with(source, |source| {
            let counts = &mut source.counts;
            let left = match () {
                () if is_closed => &mut counts.failed,
                () if bytes > self.max_bytes => &mut counts.too_large,
                () if !source.allowance.take(share, now) => &mut counts.sampled_out,
                () => return true,
            };
            *left += 1;
            false
        })
    }

    pub(crate) fn left_out(&self, source: &Arc<str>, why: Left) {
        self.with(source, |source| match why {
            Left::TooLarge => source.counts.too_large += 1,
            Left::Busy => source.counts.busy += 1,
            Left::Failed => source.counts.failed += 1,
        });
    }

    /// After a commit: what is kept now, how many were added, and how many were pushed out by newer ones.
    pub(crate) fn committed(&self, source: &Arc<str>, kept: Kept, added: u64, pushed_out: u64) {
        self.with(source, |source| {
            (source.counts.requests, source.counts.bytes) = (kept.requests, kept.bytes);
            source.counts.kept += added;
            source.counts.pushed_out += pushed_out;
        });
    }

    /// Room that was made by taking requests out may be filled again at once.
    pub(crate) fn made_room(&self, source: &Arc<str>, before: Kept, after: Kept) {
        let (requests, bytes) =
            (before.requests.saturating_sub(after.requests), before.bytes.saturating_sub(after.bytes));
        let share = self.share(requests, bytes);
        self.with(source, |source| source.allowance.give_back(share));
    }

    /// The quarantine does not work any more.
    pub(crate) fn close(&self, reason: String) {
        tracing::error!(
            reason,
            "the quarantine is closed: refused requests are counted but not kept; events are not concerned"
        );
        *self.closed.lock() = Some(reason);
    }

    /// The same, unless it is known already.
    pub(crate) fn close_once(&self, reason: &str) {
        if self.closed().is_none() {
            self.close(reason.to_owned());
        }
    }

    /// A batch could not be written; the quarantine goes on.
    pub(crate) fn failed(&self, requests: u64, reason: &str) {
        if self.failures.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOG_EVERY_FAILURES) {
            tracing::warn!(requests, reason, "refused requests could not be kept; events are not concerned");
        }
    }

    /// A batch was written.
    pub(crate) fn works(&self) {
        if self.failures.swap(0, Ordering::Relaxed) > 0 {
            tracing::info!("refused requests are kept again");
        }
    }

    pub(crate) fn closed(&self) -> Option<String> {
        self.closed.lock().clone()
    }

    pub(crate) fn status(&self, enabled: bool) -> QuarantineStatus {
        let sources = self.sources.lock();
        let named = |(name, source): (&Arc<str>, &Source)| QuarantineCounts {
            source: name.to_string(),
            ..source.counts.clone()
        };
        QuarantineStatus { enabled, closed: self.closed(), sources: sources.iter().map(named).collect() }
    }

    fn share(&self, requests: u64, bytes: u64) -> f64 {
        allowance::share(requests, bytes, self.max_requests, self.max_bytes)
    }

    fn with<T>(&self, source: &Arc<str>, change: impl FnOnce(&mut Source) -> T) -> T {
        let mut sources = self.sources.lock();
        match sources.get_mut(source) {
            Some(source) => change(source),
            None => change(sources.entry(Arc::clone(source)).or_default()),
        }
    }
}
