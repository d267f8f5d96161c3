//! How a lease ends that is settled, and how its lane goes on.

use event::Timestamp;
use queue::LeaseToken;

use super::{Advance, LaneState, Window};

impl Window {
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
