//! How a lease ends, by time or by its settlement, and how its lane goes on.
//!
//! A lease that ends by time lets others lease the place. Until somebody does, its settlement still counts: the attempt
//! was made, and a clock that jumps ahead and back again must not have it made twice.

use event::Timestamp;
use queue::LeaseToken;

use super::{Advance, Ended, LaneKey, LaneState, LeaseState, Window};

impl Window {
    /// Marks a lease as being settled; false if the place is not this lease's any more.
    pub(crate) fn begin_settle(&mut self, token: LeaseToken) -> bool {
        let seq = token.seq.0;
        if let Some(lease) = self.leases.get_mut(&seq) {
            let begins = lease.generation == token.generation && !lease.settling;
            lease.settling |= begins;
            return begins;
        }
        match self.ended.get(&seq).copied() {
            Some(ended) if ended.generation == token.generation => self.resume(seq, ended),
            _ => false,
        }
    }

    /// Gives back what a lease has kept until its time was over.
    pub(super) fn end_lease(&mut self, seq: u64, lease: &LeaseState) {
        let LeaseState { lane, generation, redriven, .. } = *lease;
        self.ended.insert(seq, Ended { lane, generation, redriven });
        match redriven {
            true => self.redriven.give_back(lane),
            false => self.make_ready(lane),
        }
    }

    /// Takes up a lease that has ended, to settle it; false if its lane has gone on without it.
    fn resume(&mut self, seq: u64, ended: Ended) -> bool {
        let Ended { lane, generation, redriven } = ended;
        self.ended.remove(&seq);
        // What is being dropped from the log is nobody's to settle.
        let resumed = !self.is_closed(seq)
            && if redriven { self.redriven.resume(lane, seq) } else { self.resume_front(lane, seq) };
        if resumed {
            let until = Timestamp::default();
            self.leases.insert(seq, LeaseState { lane, generation, until, settling: true, redriven, bytes: 0 });
        }
        resumed
    }

    fn resume_front(&mut self, key: LaneKey, seq: u64) -> bool {
        match self.lanes.get(&key).filter(|lane| lane.front == seq).map(|lane| lane.state) {
            Some(LaneState::Ready) => self.ready.remove(key),
            // An earlier one has become a dead letter since, or is redriven.
            Some(LaneState::Held) => {
                self.count_as_queued(key);
                self.overflow.look();
            }
            Some(LaneState::Leased | LaneState::Retry(_)) | None => return false,
        }
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.state = LaneState::Leased;
        }
        true
    }

    /// Ends a settled lease.
    pub(crate) fn finish_settle(&mut self, seq: u64, advance: Advance) {
        let Some(lease) = self.remove_lease(seq) else {
            return;
        };
        let key = lease.lane;
        match advance {
            _ if lease.redriven => self.finish_redriven(key, seq, advance),
            Advance::Next => self.advance(key),
            Advance::Again => self.make_ready(key),
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
}
