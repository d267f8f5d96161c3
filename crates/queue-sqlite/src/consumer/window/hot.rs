//! The bodies that are kept in memory: of the events that are about to be leased.

use std::sync::Arc;

use queue::Stored;

use super::{MAX_QUEUED, Window};

/// Bodies kept in memory for one destination: enough for the largest concurrency several times over.
const MAX_HOT_EVENTS: usize = 4_096;
/// Bytes of those bodies.
pub(super) const MAX_HOT_BYTES: usize = 8 << 20;
/// Bytes of the bodies that are out on lease beyond which no more are read ahead: whoever leases thousands of small events at
/// once gets them, and of large ones some.
const MAX_LEASED_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Hot {
    pub(super) stored: Arc<Stored>,
    pub(super) route: u16,
}

impl Window {
    /// Whether another event may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.hot.len() < MAX_HOT_EVENTS
            && self.hot_bytes < MAX_HOT_BYTES
            && self.leased_bytes < MAX_LEASED_BYTES
            && self.queued < MAX_QUEUED
    }

    /// Whether there is little enough left that reading ahead is worth it.
    pub(crate) fn is_low(&self) -> bool {
        self.hot.len() < MAX_HOT_EVENTS / 4
            && self.hot_bytes < MAX_HOT_BYTES / 2
            && self.leased_bytes < MAX_LEASED_BYTES
            && self.queued < MAX_QUEUED
    }

    /// Lets go of an event's body.
    pub(crate) fn cool(&mut self, seq: u64) {
        self.take_hot(seq);
    }

    pub(super) fn take_hot(&mut self, seq: u64) -> Option<Hot> {
        let hot = self.hot.remove(&seq)?;
        self.hot_bytes -= hot.stored.event.body.len();
        Some(hot)
    }

    /// Lets go of all bodies and routes; they are read and worked out again when their turn comes.
    pub(crate) fn cool_all(&mut self) {
        self.hot.clear();
        self.hot_bytes = 0;
    }
}
