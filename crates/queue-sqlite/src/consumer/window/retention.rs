//! What retention asks of the window: to lease nothing that is about to go, and to forget it when it is gone.

use event::Timestamp;
use queue::Times;

use super::{LaneKey, LaneState, Window};

impl Window {
    /// Forgets every event up to `seq` that is not out on lease.
    pub(crate) fn drop_through(&mut self, seq: u64) {
        let mut dropped = Vec::new();
        let keys: Vec<LaneKey> = self.lanes.keys().copied().collect();
        for key in keys {
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            let held = lane.state == LaneState::Held;
            while lane.behind.front().is_some_and(|&next| next <= seq) {
                dropped.extend(lane.behind.pop_front());
                *if held { &mut self.held } else { &mut self.queued } -= 1;
            }
            if lane.front > seq || lane.state == LaneState::Leased {
                continue;
            }
            let was = lane.state;
            match was {
                LaneState::Retry(_) => self.retrying -= 1,
                LaneState::Held => {}
                _ => self.ready.remove(key),
            }
            self.advance(key);
        }
        dropped.into_iter().for_each(|seq| self.cool(seq));
        self.ended.retain(|ended, _| *ended > seq);
        self.drop_redriven_through(seq);
        self.overflow.drop_through(seq);
    }

    /// Lets nothing up to `last` be leased until [`Self::open`], or less if something of it is out on lease at `now`;
    /// returns up to where. A lease that has ended by then can no longer be settled.
    pub(crate) fn close_through(&mut self, last: u64, now: Timestamp, times: Times) -> u64 {
        self.wake(now, times);
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
