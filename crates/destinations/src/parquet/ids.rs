//! Which events have a row already: the latest so many, by their ids, in memory and beside the journal.
//!
//! A repetition comes after a crash between the journal's sync and the settlement, after an attempt that was given up too
//! early, and in a replay. All of them have the id of the first delivery.

use std::collections::VecDeque;

use event::EventId;
use hashbrown::HashSet;

const ID_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

/// The ids of events that have a row.
#[derive(Default)]
pub(super) struct Ids {
    known: HashSet<EventId>,
    /// Of segments that are gone: their numbers, and how many ids each has; oldest first.
    kept: VecDeque<(u64, usize)>,
}

impl Ids {
    /// Whether the event had no row yet; it has one now.
    pub(super) fn insert(&mut self, id: EventId) -> bool {
        self.known.insert(id)
    }

    /// These events have a row each.
    pub(super) fn extend(&mut self, ids: impl Iterator<Item = EventId>) {
        self.known.extend(ids);
    }

    /// The event has no row after all.
    pub(super) fn remove(&mut self, id: EventId) {
        self.known.remove(&id);
    }

    /// Notes that a segment's ids are kept in a file of their own. Called in the order of the segments.
    pub(super) fn keep(&mut self, segment: u64, ids: &[EventId]) {
        self.known.extend(ids);
        self.kept.push_back((segment, ids.len()));
    }

    /// The oldest file that can go so that not more than `most` ids are kept; the newest file always stays, since its
    /// number must not come again.
    pub(super) fn oldest_beyond(&self, most: usize) -> Option<u64> {
        let count: usize = self.kept.iter().map(|(_, count)| count).sum();
        let (oldest, _) = self.kept.front().filter(|_| self.kept.len() > 1 && count > most)?;
        Some(*oldest)
    }

    /// Forgets the ids of a file that is gone.
    pub(super) fn forget(&mut self, segment: u64, ids: &[EventId]) {
        self.kept.retain(|(known, _)| *known != segment);
        for id in ids {
            self.known.remove(id);
        }
    }
}

/// A file of ids: one after the other, and a checksum.
pub(super) fn write(ids: &[EventId]) -> Vec<u8> {
    let mut text: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
    text.extend(crc32fast::hash(&text).to_le_bytes());
    text
}

/// Reads it back; none if it is damaged.
pub(super) fn read(text: &[u8]) -> Option<Vec<EventId>> {
    let (ids, crc) = text.split_last_chunk::<CRC_BYTES>()?;
    let (ids, rest) = ids.as_chunks::<ID_BYTES>();
    (rest.is_empty() && crc32fast::hash(&text[..text.len() - CRC_BYTES]) == u32::from_le_bytes(*crc))
        .then(|| ids.iter().map(|id| EventId::from_bytes(*id)).collect())
}
