//! Conversations that wait for a dead letter of theirs: which do, and how they go on.
//!
//! All of it is made from what the store has: dead letters, and redriven events that are not settled.

use queue::BehindDead;

use super::{LaneKey, LaneState, Window};

impl Window {
    /// Lets the front of a lane be leased, unless it waits for a dead letter.
    pub(super) fn make_ready(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        if !self.stuck.holds(key, lane.front) {
            lane.state = LaneState::Ready;
            self.queue_up(key);
            return;
        }
        lane.state = LaneState::Held;
        let count = 1 + lane.behind.len();
        self.queued -= count;
        self.held += count;
        self.held_lanes += 1;
        if !self.hot.is_empty() {
            let cold: Vec<u64> = std::iter::once(lane.front).chain(lane.behind.iter().copied()).collect();
            cold.into_iter().for_each(|seq| self.cool(seq));
        }
        self.redriven.wake(key);
    }

    /// Puts a lane that is ready into its line.
    pub(super) fn queue_up(&mut self, key: LaneKey) {
        let tried = self.lanes.get(&key).is_some_and(|lane| lane.attempts.made > 0);
        self.ready.push(key, tried);
    }

    /// Lets a conversation go on if nothing holds it any more.
    pub(super) fn release(&mut self, key: LaneKey) {
        self.redriven.wake(key);
        self.overflow.look();
        let Some(lane) = self.lanes.get(&key).filter(|lane| lane.state == LaneState::Held) else {
            return;
        };
        if self.stuck.holds(key, lane.front) {
            return;
        }
        self.count_as_queued(key);
        self.make_ready(key);
    }

    /// A lane is not held any more; its state is still to be set.
    pub(super) fn count_as_queued(&mut self, key: LaneKey) {
        let count = self.lanes.get(&key).map_or(0, |lane| 1 + lane.behind.len());
        self.held -= count;
        self.queued += count;
        self.held_lanes -= 1;
    }

    /// An event became a dead letter, or is in the log again as redriven: what comes behind it may have to wait.
    pub(crate) fn mark(&mut self, key: LaneKey, seq: u64, first: u64, dead: bool) {
        self.stuck.add(key, seq, first, dead);
        let ready = self.lanes.get(&key).filter(|lane| lane.state == LaneState::Ready);
        if ready.is_some_and(|lane| self.stuck.holds(key, lane.front)) {
            self.ready.remove(key);
            self.make_ready(key);
        }
    }

    /// A dead letter is gone.
    pub(crate) fn unmark_dead(&mut self, key: LaneKey, seq: u64) {
        if self.stuck.remove(key, seq, true) {
            self.release(key);
        }
    }

    /// A redriven event turned out to be damaged or missing.
    pub(crate) fn forget_place(&mut self, seq: u64) {
        if let Some(key) = self.stuck.find(seq) {
            self.forget_redriven(key, seq);
        }
        self.overflow.forget(seq);
    }

    /// Has conversations wait for their dead letters, or go on.
    pub(crate) fn set_behind_dead(&mut self, behind_dead: BehindDead) {
        if std::mem::replace(&mut self.stuck.hold, behind_dead == BehindDead::Hold) == self.stuck.hold {
            return;
        }
        let mut lanes: Vec<_> = self.lanes.iter().map(|(key, lane)| (lane.front, *key, lane.state)).collect();
        lanes.sort_unstable_by_key(|(front, ..)| *front);
        self.ready.clear();
        for (_, key, state) in lanes {
            match state {
                LaneState::Held => self.release(key),
                LaneState::Ready => self.make_ready(key),
                LaneState::Leased | LaneState::Retry(_) => {}
            }
        }
        self.overflow.look();
    }

    /// How many conversations wait for a dead letter, and how many events of them.
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.held_lanes as u64, self.held as u64 + self.overflow.total())
    }

    /// Of a dead letter: whether an earlier event of its conversation is one too, and how many events wait for it.
    pub(crate) fn about(&self, key: LaneKey, seq: u64) -> (bool, u64) {
        let behind = self.stuck.first_of(key, seq).is_some_and(|first| self.stuck.is_behind_dead(key, first));
        let lane = self.lanes.get(&key).filter(|lane| lane.state == LaneState::Held);
        let held = lane.map_or(0, |lane| 1 + lane.behind.len() as u64 + self.overflow.count(key));
        (behind, held)
    }
}
