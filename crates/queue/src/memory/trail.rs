//! The audit trail of the in-memory queue: plain entries, which are chained when somebody asks.

use audit::{BlockBuilder, Digest, Entry, Link, Story, Subject};

use super::state::State;
use crate::AuditPage;

impl State {
    /// The trail's blocks behind this number, at most so many.
    pub(super) fn audit(&self, after: u64, max: usize) -> AuditPage {
        let mut previous = Digest::default();
        let block = |(number, entry): (u64, &Entry)| {
            let mut builder = BlockBuilder::default();
            builder.push(entry.clone());
            let block = builder.finish(number, &previous);
            previous = block.hash;
            block
        };
        let blocks = (1..).zip(&self.trail).map(block).filter(|block| block.number > after).take(max).collect();
        AuditPage { begins: Link::default(), blocks }
    }

    pub(super) fn trace(&self, subject: Subject) -> Vec<Entry> {
        let mut story = Story::of(subject);
        self.trail.iter().filter(|entry| story.has(&entry.what)).cloned().collect()
    }
}
