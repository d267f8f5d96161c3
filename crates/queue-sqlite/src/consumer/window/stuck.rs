//! What stands before the later events of its conversation: dead letters, and those of them that are redriven and not
//! settled yet. Kept only for conversations that have any, about 50 bytes each, and read back from the store at the
//! start.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::LaneKey;

/// One event that stands before others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Where it stood first: its place in the order of the conversation.
    first: u64,
    /// Where it stands now.
    seq: u64,
    /// It is a dead letter, and not one that is redriven.
    dead: bool,
}

#[derive(Debug, Default)]
pub(super) struct Stuck {
    /// Whether others wait for dead letters.
    pub(super) hold: bool,
    /// In their order.
    of: HashMap<LaneKey, SmallVec<[Entry; 1]>>,
}

impl Stuck {
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// An event became a dead letter, or is here again as redriven. What was known of the same place is replaced.
    pub(super) fn add(&mut self, key: LaneKey, seq: u64, first: u64, dead: bool) {
        let entries = self.of.entry(key).or_default();
        if let Some(at) = entries.iter().rposition(|entry| entry.seq == seq) {
            entries.remove(at);
        }
        let entry = Entry { first, seq, dead };
        let at = entries.partition_point(|other| *other < entry);
        entries.insert(at, entry);
    }

    /// An event stands before nobody any more. False if it did not.
    pub(super) fn remove(&mut self, key: LaneKey, seq: u64, dead: bool) -> bool {
        let Some(entries) = self.of.get_mut(&key) else {
            return false;
        };
        let Some(at) = entries.iter().position(|entry| entry.seq == seq && entry.dead == dead) else {
            return false;
        };
        entries.remove(at);
        if entries.is_empty() {
            self.of.remove(&key);
        }
        true
    }

    /// The conversation of a redriven event, by its place.
    pub(super) fn find(&self, seq: u64) -> Option<LaneKey> {
        let has = |entries: &SmallVec<[Entry; 1]>| entries.iter().any(|entry| entry.seq == seq && !entry.dead);
        self.of.iter().find(|(_, entries)| has(entries)).map(|(key, _)| *key)
    }

    /// The redriven events up to a place.
    pub(super) fn redriven_through(&self, last: u64) -> Vec<(LaneKey, u64)> {
        let old = |entry: &&Entry| !entry.dead && entry.seq <= last;
        self.of.iter().flat_map(|(key, entries)| entries.iter().filter(old).map(|entry| (*key, entry.seq))).collect()
    }

    /// Whether an event at this place has to wait.
    pub(super) fn holds(&self, key: LaneKey, seq: u64) -> bool {
        self.hold && self.of.get(&key).is_some_and(|entries| entries.first().is_some_and(|entry| entry.first < seq))
    }

    /// Whether a redriven event has to wait: for one before it that is redriven too, or for a dead letter.
    pub(super) fn holds_redriven(&self, key: LaneKey, seq: u64, first: u64) -> bool {
        let Some(entries) = self.of.get(&key) else {
            return false;
        };
        let before = entries.iter().take_while(|entry| (entry.first, entry.seq) < (first, seq));
        before.into_iter().any(|entry| self.hold || !entry.dead)
    }

    /// Whether an earlier event of its conversation than the one that stood there first is a dead letter.
    pub(super) fn is_behind_dead(&self, key: LaneKey, first: u64) -> bool {
        let Some(entries) = self.of.get(&key) else {
            return false;
        };
        entries.iter().take_while(|entry| entry.first < first).any(|entry| entry.dead)
    }

    /// Where an event of the conversation stood first.
    pub(super) fn first_of(&self, key: LaneKey, seq: u64) -> Option<u64> {
        self.of.get(&key)?.iter().find(|entry| entry.seq == seq).map(|entry| entry.first)
    }
}
