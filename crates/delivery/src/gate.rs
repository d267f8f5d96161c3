//! The one point that says how many events may be leased now.
//!
//! Today it knows the concurrency limit, the pressure, and how much waits to be settled. Whatever else is to hold
//! deliveries back belongs here.

use std::time::Duration;

use event::Timestamp;

use crate::pressure::Pressure;

/// Attempts that have ended but are not settled yet, for each one that may be under way: beyond it nothing is leased.
/// Only a queue that cannot settle lets it come to this; it bounds memory.
const UNSETTLED_PER_SLOT: usize = 8;

/// Says how many events may be leased.
#[derive(Debug)]
pub(crate) struct Gate {
    concurrency: usize,
    pressure: Pressure,
}

impl Gate {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self { concurrency, pressure: Pressure::default() }
    }

    /// How many more may be leased at `now`.
    pub(crate) fn room(&self, in_flight: usize, unsettled: usize, now: Timestamp) -> usize {
        let limit = self.pressure.limit(now).unwrap_or(self.concurrency).min(self.concurrency);
        let settleable = (self.concurrency * UNSETTLED_PER_SLOT).saturating_sub(unsettled);
        limit.saturating_sub(in_flight).min(settleable)
    }

    /// When there will be more room, by time alone.
    pub(crate) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        self.pressure.eases().filter(|at| *at > now)
    }

    pub(crate) fn leased(&mut self, now: Timestamp) {
        self.pressure.leased(now);
    }

    pub(crate) fn answered(&mut self) {
        self.pressure.answered();
    }

    pub(crate) fn failed(&mut self, now: Timestamp, retry_after: Option<Duration>) {
        self.pressure.failed(now, retry_after, self.concurrency);
    }

    /// Whether deliveries are held back because the destination fails.
    pub(crate) fn is_holding(&self) -> bool {
        self.pressure.is_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_every_limit_leaves() {
        let now = Timestamp::from_millis(1);
        let mut gate = Gate::new(10);
        assert_eq!(gate.room(0, 0, now), 10);
        assert_eq!(gate.room(7, 0, now), 3);
        assert_eq!(gate.room(11, 0, now), 0);
        assert_eq!(gate.room(0, 79, now), 1);
        assert_eq!(gate.room(0, 1_000, now), 0);
        (0..10).for_each(|_| gate.failed(now, None));
        assert_eq!(gate.room(0, 0, now), 0);
        let opens = gate.opens(now).unwrap();
        assert_eq!(gate.room(1, 0, opens), 2, "probes");
        assert_eq!(Gate { concurrency: 1, ..gate }.room(0, 0, opens), 1);
    }
}
