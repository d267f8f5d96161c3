//! The lanes whose front may be leased.

use std::collections::VecDeque;

use super::LaneKey;

/// Two lines, served in turn: fronts that were not tried yet, and those that have failed before. So when a destination is
/// probed with one delivery at a time, what it never takes does not keep back what it would take.
#[derive(Debug, Default)]
pub(super) struct Ready {
    fresh: VecDeque<LaneKey>,
    again: VecDeque<LaneKey>,
    /// Whose turn it is.
    again_is_next: bool,
}

impl Ready {
    pub(super) fn push(&mut self, key: LaneKey, tried: bool) {
        if tried { &mut self.again } else { &mut self.fresh }.push_back(key);
    }

    pub(super) fn pop(&mut self) -> Option<LaneKey> {
        let (first, second) = match self.again_is_next {
            true => (&mut self.again, &mut self.fresh),
            false => (&mut self.fresh, &mut self.again),
        };
        let popped = first.pop_front().or_else(|| second.pop_front());
        self.again_is_next = !self.again_is_next;
        popped
    }

    pub(super) fn remove(&mut self, key: LaneKey) {
        self.fresh.retain(|ready| *ready != key);
        self.again.retain(|ready| *ready != key);
    }

    pub(super) fn clear(&mut self) {
        self.fresh.clear();
        self.again.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.again.len()
    }
}
