//! Places of conversations that are held for so long that keeping them one by one would cost too much memory: of those
//! only a bitmap is kept, and when a conversation may go on they are read once more to find its own.
//!
//! While a conversation has places here, all its later ones come here too, so their order is kept.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashMap;
use queue::{Order, Stored};
use roaring::RoaringTreemap;

use super::stuck::Stuck;
use super::{LaneKey, MAX_QUEUED, Window, lane_key};

#[derive(Debug, Default)]
pub(super) struct Overflow {
    places: RoaringTreemap,
    /// How many of each lane.
    lanes: HashMap<LaneKey, u64>,
    pass: Option<Pass>,
    /// A lane may have become free since the last pass began.
    look: bool,
}

/// One reading of all places.
#[derive(Debug)]
struct Pass {
    /// Places up to here have been looked at.
    at: u64,
    /// The lanes whose places are taken out.
    of: HashSet<LaneKey>,
}

impl Overflow {
    /// Whether the next event of a lane has to come here.
    pub(super) fn has(&self, key: LaneKey) -> bool {
        !self.lanes.is_empty() && self.lanes.contains_key(&key)
    }

    pub(super) fn add(&mut self, key: LaneKey, seq: u64) {
        self.places.insert(seq);
        *self.lanes.entry(key).or_default() += 1;
    }

    pub(super) fn count(&self, key: LaneKey) -> u64 {
        self.lanes.get(&key).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.places.len()
    }

    pub(super) fn look(&mut self) {
        self.look = !self.lanes.is_empty();
    }

    pub(super) fn drop_through(&mut self, last: u64) {
        self.places.remove_range(..=last);
        if self.places.is_empty() {
            self.lanes.clear();
            self.pass = None;
        }
    }

    pub(super) fn forget(&mut self, seq: u64) {
        self.places.remove(seq);
    }

    /// The next places of the present pass, or of a new one if a lane is free.
    fn next(&mut self, most: usize, stuck: &Stuck) -> Vec<u64> {
        if self.pass.is_none() && std::mem::take(&mut self.look) {
            let of: HashSet<_> = self.lanes.keys().copied().filter(|key| !stuck.holds(*key, u64::MAX)).collect();
            self.pass = (!of.is_empty()).then_some(Pass { at: 0, of });
        }
        let Some(pass) = &self.pass else {
            return Vec::new();
        };
        let mut places = self.places.iter();
        places.advance_to(pass.at + 1);
        let next: Vec<u64> = places.take(most).collect();
        if next.is_empty() {
            // Lanes that became free meanwhile may have places that this pass had passed already.
            for key in self.pass.take().into_iter().flat_map(|pass| pass.of) {
                self.lanes.remove(&key);
            }
            self.look();
        }
        next
    }
}

impl Window {
    /// Whether places should be read to find those of conversations that may go on.
    pub(crate) fn wants_overflow(&self) -> bool {
        (self.overflow.pass.is_some() || self.overflow.look) && self.queued < MAX_QUEUED
    }

    /// The places to read next.
    pub(crate) fn next_overflow(&mut self, most: usize) -> Vec<u64> {
        self.overflow.next(most, &self.stuck)
    }

    /// Takes an event that was read for a pass: into its lane, unless that is held. False if it stays.
    pub(crate) fn take_back(&mut self, stored: &Arc<Stored>, order: Order) -> bool {
        let (key, seq) = (lane_key(stored, order), stored.seq.0);
        let held = self.stuck.holds(key, seq);
        let Some(pass) = &mut self.overflow.pass else {
            return false;
        };
        pass.at = pass.at.max(seq);
        if !pass.of.contains(&key) {
            return false;
        }
        if held {
            // Held anew: what is left of it waits for another pass.
            pass.of.remove(&key);
            return false;
        }
        self.overflow.places.remove(seq);
        if let Some(count) = self.overflow.lanes.get_mut(&key) {
            *count = count.saturating_sub(1);
        }
        true
    }

    /// A place that was read for a pass, and has no event that could be read.
    pub(crate) fn pass_over(&mut self, seq: u64) {
        if let Some(pass) = &mut self.overflow.pass {
            pass.at = pass.at.max(seq);
        }
    }
}
