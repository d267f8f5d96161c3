//! Redriven events that wait: they are leased only when nothing else of the destination is ready. Only their places are
//! kept; what there is of each is read when it is leased.

use std::collections::VecDeque;

use event::Timestamp;
use hashbrown::HashMap;
use queue::{Attempts, Order, Stored, Times};

use super::retries::{Retries, Retry};
use super::{Advance, LaneKey, LaneState, MAX_QUEUED, Taken, Window, lane_key};

/// Redriven events that are ready, below which more are read from the log.
const LOW: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Redriven {
    lanes: HashMap<LaneKey, Lane>,
    ready: VecDeque<LaneKey>,
    retries: Retries,
    places: usize,
}

/// The redriven events of a conversation.
#[derive(Debug, Default)]
struct Lane {
    /// In the order in which they stood in the log first.
    waiting: VecDeque<Place>,
    leased: bool,
    is_ready: bool,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    first: u64,
    seq: u64,
    attempts: Attempts,
    due: Timestamp,
}

impl Redriven {
    /// Whether one of this lane is out on lease.
    pub(super) fn is_out(&self, key: LaneKey) -> bool {
        !self.lanes.is_empty() && self.lanes.get(&key).is_some_and(|lane| lane.leased)
    }

    /// Lets a lane be looked at again.
    pub(super) fn wake(&mut self, key: LaneKey) {
        if self.lanes.is_empty() {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(&key)
            && !lane.leased
            && !std::mem::replace(&mut lane.is_ready, true)
        {
            self.ready.push_back(key);
        }
    }

    /// What was tried of the one that is out on lease.
    pub(super) fn attempts(&self, key: LaneKey, seq: u64) -> Attempts {
        let place = self.lanes.get(&key).and_then(|lane| lane.waiting.iter().find(|place| place.seq == seq));
        place.map_or_else(Attempts::default, |place| place.attempts)
    }

    /// A lease has ended with nothing settled.
    pub(super) fn give_back(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.leased = false;
        }
        self.wake(key);
    }

    /// Takes up a lease that has ended, if nothing else of its lane was leased since.
    pub(super) fn resume(&mut self, key: LaneKey, seq: u64) -> bool {
        let Some(lane) = self.lanes.get_mut(&key) else { return false };
        let waits = !lane.leased && lane.waiting.iter().any(|place| place.seq == seq);
        lane.leased |= waits;
        waits
    }

    pub(super) fn next_due(&mut self) -> Option<Timestamp> {
        let is_waiting = |(at, key, seq): Retry| {
            let front = self.lanes.get(&key).filter(|lane| !lane.leased).and_then(|lane| lane.waiting.front());
            front.is_some_and(|front| front.seq == seq && front.due == at)
        };
        self.retries.next(is_waiting)
    }

    fn wake_due(&mut self, now: Timestamp, times: Times) {
        while let Some((_, key, _)) = self.retries.pop_due(now, times) {
            self.wake(key);
        }
    }

    /// Takes a place out of its lane.
    fn remove(&mut self, key: LaneKey, seq: u64) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        if let Some(at) = lane.waiting.iter().position(|place| place.seq == seq) {
            lane.waiting.remove(at);
            self.places -= 1;
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(&key);
        } else if let Some(front) = lane.waiting.front()
            && Self::is_retrying(front)
        {
            self.retries.push((front.due, key, front.seq));
        }
    }

    /// Waiting for their retry at all.
    fn is_retrying(place: &Place) -> bool {
        place.due > Timestamp::default()
    }
}

impl Window {
    /// Whether more redriven events should be read from the log.
    pub(crate) fn wants_redriven(&self) -> bool {
        self.redriven.ready.len() < LOW && self.redriven.places < MAX_QUEUED
    }

    /// Adds a redriven event that was read from the log.
    pub(crate) fn add_redriven(&mut self, stored: &Stored, order: Order, waiting: Option<(Timestamp, Attempts)>) {
        let (key, first) = (lane_key(stored, order), stored.first_seq().0);
        let (due, attempts) = waiting.unwrap_or_default();
        let place = Place { first, seq: stored.seq.0, attempts, due };
        let lane = self.redriven.lanes.entry(key).or_default();
        let at = lane.waiting.partition_point(|other| (other.first, other.seq) < (first, place.seq));
        lane.waiting.insert(at, place);
        self.redriven.places += 1;
        if Redriven::is_retrying(&place) {
            self.retrying += 1;
            self.redriven.retries.push((due, key, place.seq));
        }
        self.redriven.wake(key);
    }

    /// Takes up to `max` redriven events that may go now. To be asked only when nothing else is ready.
    pub(crate) fn take_redriven(&mut self, max: usize, now: Timestamp, times: Times) -> Vec<Taken> {
        self.redriven.wake_due(now, times);
        let (mut taken, mut put_off) = (Vec::new(), Vec::new());
        while taken.len() < max
            && let Some(key) = self.redriven.ready.pop_front()
        {
            let Some(lane) = self.redriven.lanes.get_mut(&key) else { continue };
            lane.is_ready = false;
            let (leased, Some(front)) = (lane.leased, lane.waiting.front().copied()) else { continue };
            if front.seq <= self.closed_through {
                put_off.push(key);
                continue;
            }
            if !times.is_due(front.due, now) {
                // It may have been due by a clock that was set since, and then nobody else would wake it again.
                self.redriven.retries.push((front.due, key, front.seq));
                continue;
            }
            // Each of these tells when it is over.
            let behind = self.lanes.get(&key).is_some_and(|lane| lane.state != LaneState::Held);
            if leased || behind || self.stuck.holds_redriven(key, front.seq, front.first) {
                continue;
            }
            if let Some(lane) = self.redriven.lanes.get_mut(&key) {
                lane.leased = true;
                lane.waiting[0].due = Timestamp::default();
            }
            if Redriven::is_retrying(&front) {
                self.retrying = self.retrying.saturating_sub(1);
            }
            taken.push(self.lease_redriven(key, front, now.plus(times.lease)));
        }
        put_off.into_iter().for_each(|key| self.redriven.wake(key));
        taken
    }

    fn lease_redriven(&mut self, key: LaneKey, front: Place, until: Timestamp) -> Taken {
        let generation = self.note_lease(key, front.seq, until, true, 0);
        let behind_dead = self.stuck.is_behind_dead(key, front.first);
        Taken { seq: front.seq, generation, attempts: front.attempts, until, behind_dead, hot: None }
    }

    /// Goes on with a lane of redriven events whose lease was settled.
    pub(super) fn finish_redriven(&mut self, key: LaneKey, seq: u64, advance: Advance) {
        if let Some(lane) = self.redriven.lanes.get_mut(&key) {
            lane.leased = false;
        }
        match advance {
            Advance::Next => self.forget_redriven(key, seq),
            Advance::Again => self.set_due(key, seq, Timestamp::default(), None),
            Advance::Retry(at, attempts) => {
                self.retrying += usize::from(at > Timestamp::default());
                self.set_due(key, seq, at, Some(attempts));
            }
        }
        self.redriven.wake(key);
    }

    fn set_due(&mut self, key: LaneKey, seq: u64, at: Timestamp, attempts: Option<Attempts>) {
        let place = self.redriven.lanes.get_mut(&key).and_then(|lane| lane.waiting.iter_mut().find(|p| p.seq == seq));
        if let Some(place) = place {
            place.due = at;
            place.attempts = attempts.unwrap_or(place.attempts);
            if at > Timestamp::default() {
                self.redriven.retries.push((at, key, seq));
            }
        }
    }

    /// A redriven event is settled, or is not for this destination any more.
    pub(crate) fn forget_redriven(&mut self, key: LaneKey, seq: u64) {
        self.redriven.remove(key, seq);
        if self.stuck.remove(key, seq, false) {
            self.release(key);
        }
        self.redriven.wake(key);
    }

    /// Forgets the redriven events up to a place; none of them is out on lease.
    pub(super) fn drop_redriven_through(&mut self, last: u64) {
        let mut old = self.stuck.redriven_through(last);
        let of = |(key, lane): (&LaneKey, &Lane)| {
            let old = lane.waiting.iter().filter(|place| place.seq <= last).map(|place| (*key, *place));
            old.collect::<Vec<_>>()
        };
        for (key, place) in self.redriven.lanes.iter().flat_map(of).collect::<Vec<_>>() {
            self.retrying -= usize::from(Redriven::is_retrying(&place)).min(self.retrying);
            old.push((key, place.seq));
        }
        old.into_iter().for_each(|(key, seq)| self.forget_redriven(key, seq));
    }
}
