//! What one destination holds in memory of its unsettled events: who is ready, out on lease, or waiting for a retry.
//!
//! Events of one conversation form a *lane*; only the front of a lane can be leased. Events without a conversation
//! have a lane each. A lane keeps only places in the log; bodies are kept for the few events that are about to be
//! leased (`hot`) and read again from the store when a lane moves on after a long wait. So a stuck conversation costs
//! eight bytes for each event behind it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use event::Timestamp;
use hashbrown::HashMap;
use queue::{Attempts, LeaseToken, Order, Stored};
use xxhash_rust::xxh3::xxh3_64;

/// Bodies kept in memory for one destination: enough for the largest concurrency several times over.
const MAX_HOT_EVENTS: usize = 4_096;
/// Bytes of those bodies.
const MAX_HOT_BYTES: usize = 8 << 20;
/// Bodies kept in memory of one lane, behind its front: so that one busy conversation leaves room for the others.
const MAX_HOT_BEHIND: usize = 8;
/// Bytes of bodies up to which any are kept behind a front: a conversation of large events leaves room for the others.
const MAX_HOT_BYTES_BEHIND: usize = MAX_HOT_BYTES / 4;
/// Ends of leases that are remembered beyond twice the leases that are out, before they are sorted out: 24 KiB.
const MAX_STALE_ENDS: usize = 1_024;
/// Places kept in memory for one destination, about 100 bytes each at worst; then reading ahead stops until some settle.
const MAX_QUEUED: usize = 200_000;

/// Names a lane. Two conversations with the same hash would only wait for each other.
type LaneKey = u64;

#[derive(Debug, Default)]
pub(crate) struct Window {
    lanes: HashMap<LaneKey, Lane>,
    ready: VecDeque<LaneKey>,
    /// Lanes that wait for a retry: when, lane, front.
    retries: BinaryHeap<Reverse<(Timestamp, LaneKey, u64)>>,
    leases: HashMap<u64, LeaseState>,
    /// When leases end: when, place, generation. May name leases that have ended before.
    lease_ends: BinaryHeap<Reverse<(Timestamp, u64, u64)>>,
    hot: HashMap<u64, Hot>,
    hot_bytes: usize,
    queued: usize,
    retrying: usize,
    generation: u64,
    /// Places up to here are being dropped from the log and may not be leased; 0 while none are.
    closed_through: u64,
}

#[derive(Debug)]
struct Lane {
    front: u64,
    behind: VecDeque<u64>,
    attempts: Attempts,
    state: LaneState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneState {
    Ready,
    Leased,
    Retry(Timestamp),
}

#[derive(Debug)]
struct LeaseState {
    lane: LaneKey,
    generation: u64,
    until: Timestamp,
    /// A settlement is on its way to the disk; the lease no longer ends by time.
    settling: bool,
}

#[derive(Debug)]
struct Hot {
    stored: Arc<Stored>,
    route: u16,
}

/// A lane's front that has been taken for a lease.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) seq: u64,
    pub(crate) generation: u64,
    pub(crate) attempts: Attempts,
    pub(crate) until: Timestamp,
    /// The event, unless it has to be read from the store.
    pub(crate) hot: Option<(Arc<Stored>, u16)>,
}

/// How a settled lane goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Advance {
    /// The front is settled; the one behind it is next.
    Next,
    /// The front is tried again at this time.
    Retry(Timestamp, Attempts),
    /// The front was not tried.
    Again,
}

impl Window {
    /// Whether another event may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.hot.len() < MAX_HOT_EVENTS && self.hot_bytes < MAX_HOT_BYTES && self.queued < MAX_QUEUED
    }

    /// Whether there is little enough left that reading ahead is worth it.
    pub(crate) fn is_low(&self) -> bool {
        self.hot.len() < MAX_HOT_EVENTS / 4 && self.hot_bytes < MAX_HOT_BYTES / 2 && self.queued < MAX_QUEUED
    }

    /// Adds an event behind those of its conversation. Events are added in the order of the log.
    pub(crate) fn add(
        &mut self,
        stored: Arc<Stored>,
        route: u16,
        order: Order,
        waiting: Option<(Timestamp, Attempts)>,
    ) {
        let seq = stored.seq.0;
        let key = lane_key(&stored, order);
        self.queued += 1;
        let cold = match self.lanes.get_mut(&key) {
            Some(lane) => {
                lane.behind.push_back(seq);
                matches!(lane.state, LaneState::Retry(_))
                    || lane.behind.len() > MAX_HOT_BEHIND
                    || self.hot_bytes + stored.event.body.len() > MAX_HOT_BYTES_BEHIND
            }
            None => {
                let (state, attempts) = match waiting {
                    Some((at, attempts)) => (LaneState::Retry(at), attempts),
                    None => (LaneState::Ready, Attempts::default()),
                };
                self.lanes.insert(key, Lane { front: seq, behind: VecDeque::new(), attempts, state });
                match state {
                    LaneState::Retry(at) => self.wait(at, key, seq),
                    _ => self.ready.push_back(key),
                }
                waiting.is_some()
            }
        };
        if !cold {
            self.hot_bytes += stored.event.body.len();
            self.hot.insert(seq, Hot { stored, route });
        }
    }

    /// Takes up to `max` fronts that are ready or due at `now`, each for a lease of `lease_time`.
    pub(crate) fn take(&mut self, max: usize, now: Timestamp, lease_time: Duration) -> Vec<Taken> {
        self.wake(now);
        let mut taken = Vec::with_capacity(max.min(self.ready.len()));
        let mut put_off = Vec::new();
        while taken.len() < max {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            if self.lanes.get(&key).is_some_and(|lane| lane.front <= self.closed_through) {
                put_off.push(key);
            } else {
                taken.extend(self.lease(key, now.plus(lease_time)));
            }
        }
        self.ready.extend(put_off);
        taken
    }

    fn lease(&mut self, key: LaneKey, until: Timestamp) -> Option<Taken> {
        let lane = self.lanes.get_mut(&key)?;
        lane.state = LaneState::Leased;
        self.generation += 1;
        let (seq, generation, attempts) = (lane.front, self.generation, lane.attempts);
        self.leases.insert(seq, LeaseState { lane: key, generation, until, settling: false });
        self.lease_ends.push(Reverse((until, seq, generation)));
        if self.lease_ends.len() > 2 * self.leases.len() + MAX_STALE_ENDS {
            let leases = &self.leases;
            self.lease_ends.retain(|Reverse((_, seq, generation))| holds(leases, *seq, *generation));
        }
        let hot = self.hot.get(&seq).map(|hot| (Arc::clone(&hot.stored), hot.route));
        Some(Taken { seq, generation, attempts, until, hot })
    }

    /// Makes lanes ready whose retry is due, and those whose lease has ended unsettled.
    fn wake(&mut self, now: Timestamp) {
        self.forget_ended();
        while let Some(&Reverse((at, key, seq))) = self.retries.peek()
            && at <= now
        {
            self.retries.pop();
            if let Some(lane) = self.lanes.get_mut(&key)
                && lane.state == LaneState::Retry(at)
                && lane.front == seq
            {
                lane.state = LaneState::Ready;
                self.retrying -= 1;
                self.ready.push_back(key);
            }
            self.forget_ended();
        }
        while let Some(&Reverse((until, seq, generation))) = self.lease_ends.peek()
            && (until <= now || !self.holds(seq, generation))
        {
            self.lease_ends.pop();
            if self.holds(seq, generation)
                && let Some(lease) = self.leases.remove(&seq)
                && let Some(lane) = self.lanes.get_mut(&lease.lane)
            {
                lane.state = LaneState::Ready;
                self.ready.push_back(lease.lane);
            }
        }
    }

    fn holds(&self, seq: u64, generation: u64) -> bool {
        holds(&self.leases, seq, generation)
    }

    /// Marks a lease as being settled; false if it has ended.
    pub(crate) fn begin_settle(&mut self, token: LeaseToken, now: Timestamp) -> bool {
        match self.leases.get_mut(&token.seq.0) {
            Some(lease) if lease.generation == token.generation && !lease.settling && lease.until > now => {
                lease.settling = true;
                true
            }
            _ => false,
        }
    }

    /// Ends a settled lease.
    pub(crate) fn finish_settle(&mut self, seq: u64, advance: Advance) {
        let Some(lease) = self.leases.remove(&seq) else {
            return;
        };
        let key = lease.lane;
        match advance {
            Advance::Next => self.advance(key),
            Advance::Again => {
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.state = LaneState::Ready;
                    self.ready.push_back(key);
                }
            }
            Advance::Retry(at, attempts) => {
                let Some(lane) = self.lanes.get_mut(&key) else {
                    return;
                };
                lane.state = LaneState::Retry(at);
                lane.attempts = attempts;
                let front = lane.front;
                let cold: Vec<u64> = std::iter::once(front).chain(lane.behind.iter().copied()).collect();
                cold.into_iter().for_each(|seq| self.cool(seq));
                self.wait(at, key, front);
            }
        }
    }

    /// Removes the front of a lane; the one behind it becomes ready.
    fn advance(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let front = lane.front;
        match lane.behind.pop_front() {
            Some(next) => {
                lane.front = next;
                lane.attempts = Attempts::default();
                lane.state = LaneState::Ready;
                self.ready.push_back(key);
            }
            None => {
                self.lanes.remove(&key);
            }
        }
        self.queued -= 1;
        self.cool(front);
    }

    fn wait(&mut self, at: Timestamp, key: LaneKey, front: u64) {
        self.retrying += 1;
        self.retries.push(Reverse((at, key, front)));
    }

    /// Lets go of an event's body.
    fn cool(&mut self, seq: u64) {
        if let Some(hot) = self.hot.remove(&seq) {
            self.hot_bytes -= hot.stored.event.body.len();
        }
    }

    pub(crate) fn next_due(&mut self) -> Option<Timestamp> {
        self.forget_ended();
        let retry = self.retries.peek().map(|&Reverse((at, ..))| at);
        let lease = self.lease_ends.peek().map(|&Reverse((until, ..))| until);
        [retry, lease].into_iter().flatten().min()
    }

    /// How many events are out on lease at `now`. Only looks: whoever waits for the end of a lease still finds it.
    pub(crate) fn leased(&self, now: Timestamp) -> usize {
        self.leases.values().filter(|lease| lease.settling || lease.until > now).count()
    }

    pub(crate) fn retrying(&self) -> usize {
        self.retrying
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Drops what the heaps say of retries and leases that have ended otherwise.
    fn forget_ended(&mut self) {
        while let Some(&Reverse((at, key, seq))) = self.retries.peek()
            && self.lanes.get(&key).is_none_or(|lane| lane.front != seq || lane.state != LaneState::Retry(at))
        {
            self.retries.pop();
        }
        while let Some(&Reverse((_, seq, generation))) = self.lease_ends.peek()
            && !self.holds(seq, generation)
        {
            self.lease_ends.pop();
        }
    }

    /// Whether an event that is out on lease has failed before.
    pub(crate) fn has_retried(&self, seq: u64) -> bool {
        let lane = self.leases.get(&seq).and_then(|lease| self.lanes.get(&lease.lane));
        lane.is_some_and(|lane| lane.attempts != Attempts::default())
    }

    /// Lets go of all bodies and routes; they are read and worked out again when their turn comes.
    pub(crate) fn cool_all(&mut self) {
        self.hot.clear();
        self.hot_bytes = 0;
    }

    /// Forgets every event up to `seq` that is not out on lease.
    pub(crate) fn drop_through(&mut self, seq: u64) {
        let mut dropped = Vec::new();
        let keys: Vec<LaneKey> = self.lanes.keys().copied().collect();
        for key in keys {
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            while lane.behind.front().is_some_and(|&next| next <= seq) {
                dropped.extend(lane.behind.pop_front());
                self.queued -= 1;
            }
            if lane.front > seq || lane.state == LaneState::Leased {
                continue;
            }
            let was = lane.state;
            match was {
                LaneState::Retry(_) => self.retrying -= 1,
                _ => self.ready.retain(|ready| *ready != key),
            }
            self.advance(key);
        }
        dropped.into_iter().for_each(|seq| self.cool(seq));
    }

    /// Lets nothing up to `last` be leased until [`Self::open`], or less if something of it is out on lease at `now`;
    /// returns up to where. A lease that has ended by then can no longer be settled.
    pub(crate) fn close_through(&mut self, last: u64, now: Timestamp) -> u64 {
        self.wake(now);
        let closed = self.leases.keys().min().map_or(last, |leased| last.min(leased - 1));
        self.closed_through = closed;
        closed
    }

    /// Ends what [`Self::close_through`] began. What it has kept back, or woken, may be leased now.
    pub(crate) fn open(&mut self) {
        self.closed_through = 0;
    }

    pub(crate) fn is_closed(&self, seq: u64) -> bool {
        seq <= self.closed_through
    }
}

fn holds(leases: &HashMap<u64, LeaseState>, seq: u64, generation: u64) -> bool {
    leases.get(&seq).is_some_and(|lease| lease.generation == generation && !lease.settling)
}

fn lane_key(stored: &Stored, order: Order) -> LaneKey {
    match &stored.event.conversation {
        Some(conversation) if order == Order::Conversation => xxh3_64(conversation.as_bytes()),
        // Spread over the same space; sharing a lane by chance is harmless.
        _ => xxh3_64(&stored.seq.0.to_le_bytes()),
    }
}

#[cfg(test)]
mod tests;
