//! Rows of the journal's latest segments in memory, so that what was read once to be checked need not be read again to be
//! written. While a segment is filled its files are made already, piece by piece ([`Held::next`]), because as bytes of a
//! file rows take a small part of the memory that they take as columns.
//!
//! Nothing depends on it: what is not here, after a restart or when there is too much of it, is read from the journal and
//! makes the same files.

use std::collections::{BTreeMap, VecDeque};

use event::EventId;

use super::encode::{File, Gathered, Part};
use super::journal::Place;
use super::partition::{Grain, Partition, Partitions};
use super::row::Row;

/// Most bytes: of files as far as they are made, and of the payloads whose rows are no bytes of a file yet. As columns they
/// take about as much.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Most folders of a segment. Each has the columns of a file; events of a few hours or days are what a segment usually has.
const MOST_FOLDERS: usize = 64;

/// The latest segments, the oldest first.
pub(super) struct Held {
    segments: VecDeque<Segment>,
    /// Most bytes.
    most: usize,
}

/// A piece of a segment's file that can be made.
pub(super) struct Piece {
    segment: u64,
    folder: Partition,
    part: Part,
}

/// The same, made.
pub(super) struct MadePiece {
    segment: u64,
    folder: Partition,
    bytes: usize,
    file: Option<File>,
}

impl Piece {
    /// Makes it.
    pub(super) fn make(self) -> MadePiece {
        let Self { segment, folder, part } = self;
        // Why it failed is seen when the rows are read from the journal.
        MadePiece { segment, folder, bytes: part.bytes, file: part.encode().ok() }
    }
}

/// The rows of a segment.
pub(super) struct Segment {
    number: u64,
    pub(super) created: i64,
    pub(super) ids: Vec<EventId>,
    pub(super) folders: BTreeMap<Partition, Gathered>,
    /// Bytes of the payloads of rows that are no bytes of a file yet.
    bytes: usize,
    /// Bytes of the files as far as they are made.
    made_bytes: usize,
}

/// A row that was appended to the journal.
pub(super) struct New<'a> {
    pub(super) event: EventId,
    pub(super) time: i64,
    pub(super) row: Row<'a>,
    /// Bytes of its payload.
    pub(super) bytes: usize,
}

impl Held {
    /// Without a row; there may be so many bytes of payloads, or fewer.
    pub(super) fn new(memory: u64) -> Self {
        let most = usize::try_from(memory).map_or(MOST_BYTES, |memory| memory.min(MOST_BYTES));
        Self { segments: VecDeque::new(), most }
    }

    /// Takes over rows that are to be appended at a place, all of them. Each is asked for, whether it can be held or not.
    pub(super) fn push<'a>(&mut self, to: Place, grain: Grain, mut rows: impl Iterator<Item = New<'a>>) {
        self.push_until_it_fails(to, grain, &mut rows);
        rows.for_each(drop);
    }

    fn push_until_it_fails<'a>(&mut self, to: Place, grain: Grain, rows: impl Iterator<Item = New<'a>>) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            // Without a row nothing is there, and when it will be made is not known.
            return;
        }
        if self.segments.back().is_none_or(|last| last.number != to.segment) {
            if to.before > 0 {
                // Some of its rows are not here.
                return;
            }
            let (ids, folders) = (Vec::new(), BTreeMap::new());
            self.segments.push_back(Segment {
                number: to.segment,
                created: to.created,
                ids,
                folders,
                bytes: 0,
                made_bytes: 0,
            });
        }
        let Some(segment) = self.segments.back_mut() else { return };
        let mut partitions = Partitions::new(grain);
        for new in rows {
            segment.ids.push(new.event);
            segment.bytes += new.bytes;
            let folder = segment.folders.entry(partitions.of(new.time)).or_insert_with(Gathered::new);
            if folder.push(&new.row, new.bytes, new.time).is_err() || segment.folders.len() > MOST_FOLDERS {
                self.forget(to.segment);
                return;
            }
        }
        self.keep_within_limits();
    }

    /// Whether there is a [`Self::next`].
    pub(super) fn has_next(&self) -> bool {
        self.segments.iter().any(|segment| segment.folders.values().any(Gathered::has_part))
    }

    /// What can be made now of the oldest file of which something can. Until it is [put back](Self::put_back), made, its
    /// segment must not be taken.
    pub(super) fn next(&mut self) -> Option<Piece> {
        self.segments.iter_mut().find_map(|segment| {
            let number = segment.number;
            let mut folders = segment.folders.iter_mut();
            folders.find_map(|(folder, rows)| Some(Piece { segment: number, folder: *folder, part: rows.part()? }))
        })
    }

    /// Takes back what was made.
    pub(super) fn put_back(&mut self, MadePiece { segment: number, folder, bytes, file }: MadePiece) {
        let segment = self.segments.iter_mut().find(|segment| segment.number == number);
        let Some(segment) = segment else { return };
        match (segment.folders.get_mut(&folder), file) {
            (Some(rows), Some(file)) => {
                rows.put_back(file);
                segment.bytes = segment.bytes.saturating_sub(bytes);
                segment.made_bytes = segment.folders.values().map(Gathered::file_bytes).sum();
            }
            _ => self.forget(number),
        }
        self.keep_within_limits();
    }

    fn keep_within_limits(&mut self) {
        let bytes = |segments: &VecDeque<Segment>| -> usize {
            segments.iter().map(|segment| segment.bytes + segment.made_bytes).sum()
        };
        while bytes(&self.segments) > self.most {
            // The oldest are written first.
            let Some(newest) = self.segments.back().map(|segment| segment.number) else { return };
            self.forget(newest);
        }
    }

    /// The rows of a segment, if all of them are here; and no more of it or of those before it.
    pub(super) fn take(&mut self, number: u64, rows: u64) -> Option<Segment> {
        while self.segments.front().is_some_and(|first| first.number <= number) {
            let Some(segment) = self.segments.pop_front() else { break };
            if segment.number == number && segment.ids.len() as u64 == rows {
                return Some(segment);
            }
        }
        None
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.segments.clear();
    }

    /// Forgets the rows of a segment.
    pub(super) fn forget(&mut self, number: u64) {
        self.segments.retain(|segment| segment.number != number);
    }
}
