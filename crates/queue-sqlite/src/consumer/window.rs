//! What one destination holds in memory of its unsettled events: who is ready, out on lease, or waiting for a retry.
//!
//! Events of one conversation form a *lane*; only the front of a lane can be leased. Events without a conversation
//! have a lane each. A lane keeps only places in the log; bodies are kept for the few events that are about to be
//! leased (`hot`) and read again from the store when a lane moves on after a long wait. So a stuck conversation costs
//! eight bytes for each event behind it.
//!
//! Three kinds of events do not stand in the lanes: redriven ones, which come behind all others ([`redriven`]); of
//! conversations that wait for a dead letter ([`stuck`]), those beyond a number ([`overflow`]).

mod held;
mod hot;
mod overflow;
mod ready;
mod redriven;
mod retention;
mod retries;
mod settle;
mod stuck;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use event::Timestamp;
use hashbrown::HashMap;
use queue::{Attempts, Order, Stored, Times};
use xxhash_rust::xxh3::xxh3_64;

use self::hot::{Hot, MAX_HOT_BYTES};
use self::overflow::Overflow;
use self::ready::Ready;
use self::redriven::Redriven;
use self::retries::{Retries, Retry};
use self::stuck::Stuck;

/// Bodies kept in memory of one lane, behind its front: so that one busy conversation leaves room for the others.
const MAX_HOT_BEHIND: usize = 8;
/// Bytes of bodies up to which any are kept behind a front: a conversation of large events leaves room for the others.
const MAX_HOT_BYTES_BEHIND: usize = MAX_HOT_BYTES / 4;
/// Ends of leases that are remembered beyond twice the leases that are out, before they are sorted out: 24 KiB.
const MAX_STALE_ENDS: usize = 1_024;
/// Places kept in memory for one destination, about 100 bytes each at worst; then reading ahead stops until some settle.
const MAX_QUEUED: usize = 200_000;

/// Places kept of conversations that wait for dead letters, beside those; more go into a bitmap.
const MAX_HELD: usize = 200_000;

/// Names a lane. Two conversations with the same hash would only wait for each other.
pub(crate) type LaneKey = u64;

#[derive(Debug, Default)]
pub(crate) struct Window {
    lanes: HashMap<LaneKey, Lane>,
    ready: Ready,
    /// Lanes that wait for a retry of their front.
    retries: Retries,
    leases: HashMap<u64, LeaseState>,
    /// Leases that have ended unsettled, until their places are leased again: a settlement may still come.
    ended: HashMap<u64, Ended>,
    /// When leases end: when, place, generation. May name leases that have ended before.
    lease_ends: BinaryHeap<Reverse<(Timestamp, u64, u64)>>,
    hot: HashMap<u64, Hot>,
    hot_bytes: usize,
    /// Of the bodies that were kept here until they were leased.
    leased_bytes: usize,
    queued: usize,
    retrying: usize,
    generation: u64,
    /// Places up to here are being dropped from the log and may not be leased; 0 while none are.
    closed_through: u64,
    stuck: Stuck,
    redriven: Redriven,
    overflow: Overflow,
    /// Places in lanes that are held, which do not count as queued.
    held: usize,
    held_lanes: usize,
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
    /// Waits for a dead letter.
    Held,
}

#[derive(Debug)]
struct LeaseState {
    lane: LaneKey,
    generation: u64,
    until: Timestamp,
    /// A settlement is on its way to the disk; the lease no longer ends by time.
    settling: bool,
    redriven: bool,
    /// Of its body, if that was kept here.
    bytes: usize,
}

/// A lease that has ended by time.
#[derive(Debug, Clone, Copy)]
struct Ended {
    lane: LaneKey,
    generation: u64,
    redriven: bool,
}

/// A lane's front that has been taken for a lease.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) seq: u64,
    pub(crate) generation: u64,
    pub(crate) attempts: Attempts,
    pub(crate) until: Timestamp,
    /// An earlier event of its conversation is a dead letter.
    pub(crate) behind_dead: bool,
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
        if self.overflow.has(key) {
            self.overflow.add(key, seq);
        } else if self.enter(key, seq, stored.event.body.len(), waiting) {
            self.hot_bytes += stored.event.body.len();
            self.hot.insert(seq, Hot { stored, route });
        }
    }

    /// Puts a place into its lane. Whether its body should be kept, which has this many bytes.
    pub(crate) fn enter(
        &mut self,
        key: LaneKey,
        seq: u64,
        bytes: usize,
        waiting: Option<(Timestamp, Attempts)>,
    ) -> bool {
        match self.lanes.get_mut(&key) {
            Some(lane) if lane.state == LaneState::Held => {
                if self.held >= MAX_HELD {
                    self.overflow.add(key, seq);
                } else {
                    lane.behind.push_back(seq);
                    self.held += 1;
                }
                false
            }
            Some(lane) => {
                self.queued += 1;
                lane.behind.push_back(seq);
                !matches!(lane.state, LaneState::Retry(_))
                    && lane.behind.len() <= MAX_HOT_BEHIND
                    && self.hot_bytes + bytes <= MAX_HOT_BYTES_BEHIND
            }
            None => {
                self.queued += 1;
                let (state, attempts) = match waiting {
                    Some((at, attempts)) => (LaneState::Retry(at), attempts),
                    None => (LaneState::Ready, Attempts::default()),
                };
                self.lanes.insert(key, Lane { front: seq, behind: VecDeque::new(), attempts, state });
                match state {
                    LaneState::Retry(at) => self.wait(at, key, seq),
                    _ => self.make_ready(key),
                }
                waiting.is_none() && !self.stuck.holds(key, seq)
            }
        }
    }

    /// Takes up to `max` fronts that are ready or due at `now`, each for a lease.
    pub(crate) fn take(&mut self, max: usize, now: Timestamp, times: Times) -> Vec<Taken> {
        self.wake(now, times);
        let mut taken = Vec::with_capacity(max.min(self.ready.len()));
        let mut put_off = Vec::new();
        while taken.len() < max {
            let Some(key) = self.ready.pop() else {
                break;
            };
            let closed = self.lanes.get(&key).is_some_and(|lane| lane.front <= self.closed_through);
            if closed || self.redriven.is_out(key) {
                put_off.push(key);
            } else {
                taken.extend(self.lease(key, now.plus(times.lease)));
            }
        }
        for key in put_off {
            self.queue_up(key);
        }
        taken
    }

    fn lease(&mut self, key: LaneKey, until: Timestamp) -> Option<Taken> {
        let lane = self.lanes.get_mut(&key)?;
        lane.state = LaneState::Leased;
        let (seq, attempts) = (lane.front, lane.attempts);
        // Whoever leases has it; with it kept here too, what is out on lease would keep others from being read ahead.
        let hot = self.take_hot(seq).map(|hot| (hot.stored, hot.route));
        let bytes = hot.as_ref().map_or(0, |(stored, _)| stored.event.body.len());
        let generation = self.note_lease(key, seq, until, false, bytes);
        let behind_dead = !self.stuck.is_empty() && self.stuck.is_behind_dead(key, seq);
        Some(Taken { seq, generation, attempts, until, behind_dead, hot })
    }

    /// Takes note of a new lease; its generation.
    fn note_lease(&mut self, lane: LaneKey, seq: u64, until: Timestamp, redriven: bool, bytes: usize) -> u64 {
        self.generation += 1;
        let generation = self.generation;
        self.ended.remove(&seq);
        self.leased_bytes += bytes;
        self.leases.insert(seq, LeaseState { lane, generation, until, settling: false, redriven, bytes });
        self.lease_ends.push(Reverse((until, seq, generation)));
        if self.lease_ends.len() > 2 * self.leases.len() + MAX_STALE_ENDS {
            let leases = &self.leases;
            self.lease_ends.retain(|Reverse((_, seq, generation))| holds(leases, *seq, *generation));
        }
        generation
    }

    /// Makes lanes ready whose retry is due, and those whose lease has ended unsettled.
    fn wake(&mut self, now: Timestamp, times: Times) {
        while let Some(retry @ (_, key, _)) = self.retries.pop_due(now, times) {
            if is_waiting(&self.lanes, retry) {
                self.retrying -= 1;
                self.make_ready(key);
            }
        }
        while let Some(&Reverse((until, seq, generation))) = self.lease_ends.peek()
            && (until <= now || !self.holds(seq, generation))
        {
            self.lease_ends.pop();
            if self.holds(seq, generation)
                && let Some(lease) = self.remove_lease(seq)
            {
                self.end_lease(seq, &lease);
            }
        }
    }

    /// Takes a lease that is over away.
    fn remove_lease(&mut self, seq: u64) -> Option<LeaseState> {
        let lease = self.leases.remove(&seq)?;
        self.leased_bytes -= lease.bytes;
        Some(lease)
    }

    fn holds(&self, seq: u64, generation: u64) -> bool {
        holds(&self.leases, seq, generation)
    }

    /// Removes the front of a lane; the one behind it becomes ready.
    fn advance(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let (front, held) = (lane.front, lane.state == LaneState::Held);
        match lane.behind.pop_front() {
            Some(next) => {
                lane.front = next;
                lane.attempts = Attempts::default();
                if !held {
                    self.make_ready(key);
                }
            }
            None => {
                self.lanes.remove(&key);
                self.held_lanes -= usize::from(held);
                self.redriven.wake(key);
            }
        }
        *if held { &mut self.held } else { &mut self.queued } -= 1;
        self.cool(front);
    }

    fn wait(&mut self, at: Timestamp, key: LaneKey, front: u64) {
        self.retrying += 1;
        self.retries.push((at, key, front));
    }

    pub(crate) fn next_due(&mut self) -> Option<Timestamp> {
        self.forget_ended();
        let retry = self.retries.next(|retry| is_waiting(&self.lanes, retry));
        let lease = self.lease_ends.peek().map(|&Reverse((until, ..))| until);
        [retry, lease, self.redriven.next_due()].into_iter().flatten().min()
    }

    /// How many events are out on lease at `now`. Only looks: whoever waits for the end of a lease still finds it.
    pub(crate) fn leased(&self, now: Timestamp) -> usize {
        self.leases.values().filter(|lease| lease.settling || lease.until > now).count()
    }

    pub(crate) fn retrying(&self) -> usize {
        self.retrying
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.len() > 0
    }

    /// Drops what the heap says of leases that have ended otherwise.
    fn forget_ended(&mut self) {
        while let Some(&Reverse((_, seq, generation))) = self.lease_ends.peek()
            && !self.holds(seq, generation)
        {
            self.lease_ends.pop();
        }
    }

    /// Whether an event that is out on lease has failed before.
    pub(crate) fn has_retried(&self, seq: u64) -> bool {
        let attempts = self.leases.get(&seq).map(|lease| match lease.redriven {
            true => self.redriven.attempts(lease.lane, seq),
            false => self.lanes.get(&lease.lane).map_or_else(Attempts::default, |lane| lane.attempts),
        });
        attempts.is_some_and(|attempts| attempts != Attempts::default())
    }
}

/// Whether a lane waits for this retry.
fn is_waiting(lanes: &HashMap<LaneKey, Lane>, (at, key, seq): Retry) -> bool {
    lanes.get(&key).is_some_and(|lane| lane.front == seq && lane.state == LaneState::Retry(at))
}

fn holds(leases: &HashMap<u64, LeaseState>, seq: u64, generation: u64) -> bool {
    leases.get(&seq).is_some_and(|lease| lease.generation == generation && !lease.settling)
}

pub(crate) fn lane_key(stored: &Stored, order: Order) -> LaneKey {
    match &stored.event.conversation {
        Some(conversation) if order == Order::Conversation => conversation_key(conversation),
        // Spread over the same space; sharing a lane by chance is harmless.
        _ => xxh3_64(&stored.seq.0.to_le_bytes()),
    }
}

/// The lane of a conversation where conversations are kept in order.
pub(crate) fn conversation_key(conversation: &str) -> LaneKey {
    xxh3_64(conversation.as_bytes())
}

#[cfg(test)]
mod tests;
