//! Rows of the journal's latest segments in memory, as columns, so that what was read once to be checked need not be read
//! again to be written.
//!
//! Nothing depends on it: what is not here, after a restart or when there is too much of it, is read from the journal and
//! makes the same files.

use std::collections::{BTreeMap, VecDeque};

use event::EventId;

use super::encode::Gathered;
use super::journal::Place;
use super::partition::{Grain, Partition, Partitions};
use super::row::Row;

/// Most bytes of payloads whose rows are here: those of the segment that is being filled, of one that is being written and
/// of one that waits, of the default size. As columns they take less.
const MOST_BYTES: usize = 192 * 1024 * 1024;
/// Most folders of a segment. Each has the columns of a file; events of a few hours or days are what a segment usually has.
const MOST_FOLDERS: usize = 64;

/// The latest segments, the oldest first.
pub(super) struct Held {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// Most bytes of payloads.
    most: usize,
}

/// The rows of a segment.
pub(super) struct Segment {
    number: u64,
    pub(super) created: i64,
    pub(super) ids: Vec<EventId>,
    pub(super) folders: BTreeMap<Partition, Gathered>,
    bytes: usize,
}

/// A row that was appended to the journal.
pub(super) struct New<'a> {
    pub(super) event: EventId,
    pub(super) time: i64,
    pub(super) row: &'a Row<'a>,
    /// Bytes of its payload.
    pub(super) bytes: usize,
}

impl Held {
    /// Without a row; there may be so many bytes of payloads, or fewer.
    pub(super) fn new(memory: u64) -> Self {
        let most = usize::try_from(memory).map_or(MOST_BYTES, |memory| memory.min(MOST_BYTES));
        Self { segments: VecDeque::new(), bytes: 0, most }
    }

    /// Takes rows over that were appended at a place, all of them.
    pub(super) fn push<'a>(&mut self, to: Place, grain: Grain, rows: impl Iterator<Item = New<'a>>) {
        if self.segments.back().is_none_or(|last| last.number != to.segment) {
            if to.before > 0 {
                // Some of its rows are not here.
                return;
            }
            let (ids, folders) = (Vec::new(), BTreeMap::new());
            self.segments.push_back(Segment { number: to.segment, created: to.created, ids, folders, bytes: 0 });
        }
        let Some(segment) = self.segments.back_mut() else { return };
        let mut partitions = Partitions::new(grain);
        for new in rows {
            segment.ids.push(new.event);
            segment.bytes += new.bytes;
            self.bytes += new.bytes;
            let folder = segment.folders.entry(partitions.of(new.time)).or_insert_with(Gathered::new);
            if folder.push(new.row, new.bytes, new.time).is_err() || segment.folders.len() > MOST_FOLDERS {
                self.forget(to.segment);
                return;
            }
        }
        while self.bytes > self.most {
            // The oldest are written first.
            let Some(newest) = self.segments.back().map(|segment| segment.number) else { return };
            self.forget(newest);
        }
    }

    /// The rows of a segment, if all of them are here; and no more of it or of those before it.
    pub(super) fn take(&mut self, number: u64, rows: u64) -> Option<Segment> {
        while self.segments.front().is_some_and(|first| first.number <= number) {
            let Some(segment) = self.segments.pop_front() else { break };
            self.bytes -= segment.bytes;
            if segment.number == number && segment.ids.len() as u64 == rows {
                return Some(segment);
            }
        }
        None
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        (self.segments, self.bytes) = (VecDeque::new(), 0);
    }

    /// Forgets the rows of a segment.
    fn forget(&mut self, number: u64) {
        self.segments.retain(|segment| segment.number != number);
        self.bytes = self.segments.iter().map(|segment| segment.bytes).sum();
    }
}
