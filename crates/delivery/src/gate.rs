//! The one point that says how many events may be leased now: the least of what every limit leaves.
//!
//! The limits are the hard one, the adaptive one below it, the breaker with its ramp, the rate, a pause by hand, and how
//! much waits to be settled. A second class of work that has to stay behind live traffic would be asked for here too.

use std::time::Duration;

use event::Timestamp;
use serde::Serialize;

use crate::Options;
use crate::adaptive::Adaptive;
use crate::breaker::{Breaker, BreakerState, BreakerStatus, Note};
use crate::rate::Rate;

/// Attempts that have ended but are not settled yet, for each one that may be under way: beyond it nothing is leased.
/// Only a queue that cannot settle lets it come to this; it bounds memory.
const UNSETTLED_PER_SLOT: usize = 8;

/// Says how many events may be leased.
#[derive(Debug)]
pub(crate) struct Gate {
    concurrency: usize,
    breaker: Breaker,
    adaptive: Option<Adaptive>,
    rate: Rate,
    paused: bool,
}

/// What holds deliveries back, to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GateStatus {
    /// The breaker.
    pub breaker: BreakerStatus,
    /// How many attempts may be under way now, by all limits but the rate.
    pub limit: usize,
    /// The rate limit is used up until then.
    pub rate_opens: Option<Timestamp>,
    /// Paused by hand.
    pub paused: bool,
}

/// A failure that trying again may help.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transient {
    pub(crate) began: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) retry_after: Option<Duration>,
    /// Names the conversation.
    pub(crate) suspect: u64,
    /// The destination had too much to do: 429, 503, or no answer in time.
    pub(crate) overloaded: bool,
}

impl Gate {
    pub(crate) fn new(options: &Options, paused: bool) -> Self {
        Self {
            concurrency: options.concurrency,
            breaker: Breaker::new(options.breaker),
            adaptive: options.adaptive.then(|| Adaptive::new(options.concurrency)),
            rate: Rate::new(options.rate),
            paused,
        }
    }

    /// How many more may be leased at `now`.
    pub(crate) fn room(&self, in_flight: usize, unsettled: usize, now: Timestamp) -> usize {
        let settleable = (self.concurrency * UNSETTLED_PER_SLOT).saturating_sub(unsettled);
        let room = self.limit(now).saturating_sub(in_flight).min(settleable);
        if room == 0 { 0 } else { room.min(self.rate.room(now)) }
    }

    fn limit(&self, now: Timestamp) -> usize {
        if self.paused {
            return 0;
        }
        let adaptive = self.adaptive.as_ref().map_or(self.concurrency, Adaptive::limit);
        self.breaker.limit(now).unwrap_or(self.concurrency).min(adaptive)
    }

    /// Whether deliveries wait because the destination is down, and nothing else holds them back.
    pub(crate) fn is_down(&self) -> bool {
        !self.paused && self.breaker.status().state == BreakerState::Open
    }

    /// There was nothing to lease, nothing is under way, and nothing falls due later.
    pub(crate) fn nothing_left(&mut self, now: Timestamp) {
        self.breaker.nothing_left(now);
    }

    /// Whether the breaker is open, or half-open.
    pub(crate) fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// What is to be kept of the breaker in place of this.
    pub(crate) fn note(&self, kept: Option<Note>) -> Option<Note> {
        self.breaker.note(kept)
    }

    /// Goes on where a breaker stood; if the destination is `another` since then, with a probe at once.
    pub(crate) fn restore(&mut self, note: Note, another: bool, now: Timestamp) {
        self.breaker.restore(note, now);
        if another {
            self.breaker.probe_now(now);
        }
    }

    /// When there will be more room, by time alone.
    pub(crate) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let breaker = self.breaker.eases().filter(|at| *at > now);
        breaker.into_iter().chain(self.rate.opens(now)).min()
    }

    /// So many were leased, and so many are under way now.
    pub(crate) fn leased(&mut self, count: usize, in_flight: usize, now: Timestamp) {
        self.breaker.leased(now);
        self.rate.take(count, now);
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.in_flight(in_flight);
        }
    }

    /// The destination answered as one does that works. That it refused an event for good counts too.
    pub(crate) fn answered(&mut self, began: Timestamp, now: Timestamp) {
        self.breaker.answered(began, now, self.concurrency);
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.answered(now, began.until(now));
        }
    }

    pub(crate) fn failed(&mut self, failure: Transient) {
        let Transient { began, now, retry_after, suspect, overloaded } = failure;
        let opened = self.breaker.failed(began, now, retry_after, suspect);
        let Some(adaptive) = &mut self.adaptive else { return };
        if opened {
            adaptive.reset();
        } else if overloaded && !self.breaker.is_open() {
            adaptive.refused(now);
        }
    }

    /// What was counted for the limit a day.
    pub(crate) fn day(&self) -> Vec<(i64, u64)> {
        self.rate.day()
    }

    pub(crate) fn restore_day(&mut self, day: &[(i64, u64)]) {
        self.rate.restore_day(day);
    }

    /// Takes notice of the time: the clock may have been set back.
    pub(crate) fn notice(&mut self, now: Timestamp) {
        self.rate.notice(now);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(crate) fn status(&self, now: Timestamp) -> GateStatus {
        GateStatus {
            breaker: self.breaker.status(),
            limit: self.limit(now),
            rate_opens: self.rate.opens(now),
            paused: self.paused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::RateOptions;

    fn failure(now: Timestamp, suspect: u64) -> Transient {
        Transient { began: now, now, retry_after: None, suspect, overloaded: true }
    }

    #[test]
    fn room_is_what_every_limit_leaves() {
        let now = Timestamp::from_millis(1);
        let rate = RateOptions { per_second: Some(12), ..RateOptions::default() };
        let mut gate = Gate::new(&Options { concurrency: 10, rate, ..Options::default() }, false);
        assert_eq!(gate.room(0, 0, now), 10);
        assert_eq!(gate.room(7, 0, now), 3);
        assert_eq!(gate.room(11, 0, now), 0);
        assert_eq!(gate.room(0, 79, now), 1);
        assert_eq!(gate.room(0, 1_000, now), 0);
        gate.leased(10, 10, now);
        assert_eq!(gate.room(0, 0, now), 2, "the rate");
        assert!(gate.opens(now).is_none());
        gate.set_paused(true);
        assert_eq!((gate.room(0, 0, now), gate.status(now).paused), (0, true));
        gate.set_paused(false);
        (0..20).for_each(|n| gate.failed(failure(now, n)));
        assert_eq!(gate.room(0, 0, now), 0);
        let opens = gate.opens(now).unwrap();
        assert_eq!(gate.room(0, 0, opens), 1, "a probe");
        assert_eq!(gate.room(1, 0, opens), 0);
    }

    #[test]
    fn an_outage_is_the_breakers_and_overload_the_adaptive_limits() {
        let mut gate = Gate::new(&Options { adaptive: true, ..Options::default() }, false);
        let at = Timestamp::from_millis;
        for second in 0..10 {
            for answer in 0..50 {
                gate.answered(at(second * 1_000), at(second * 1_000 + 5));
                if answer == 0 {
                    gate.failed(failure(at(second * 1_000 + 5), 1));
                }
            }
        }
        let status = gate.status(at(10_000));
        assert!(status.limit < 10 && !gate.breaker.is_open(), "{status:?}");
        (0..200).for_each(|n| gate.failed(failure(at(10_000), n)));
        assert!(gate.breaker.is_open());
        let probe = gate.opens(at(10_000)).unwrap();
        gate.leased(1, 1, probe);
        gate.answered(probe, probe);
        assert_eq!(gate.status(probe).limit, 1, "the ramp");
    }
}
