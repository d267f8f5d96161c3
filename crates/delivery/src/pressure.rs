//! What to do while every attempt fails: no hammering. After enough transient failures in a row only a few probes go
//! out at a time, with pauses that grow with the length of the outage, until one succeeds.
//!
//! The pause is an eighth of the outage so far. So an outage of 10 s is met by some hundred attempts instead of
//! thousands, its end is noticed within about a second, and the end of a long one within half a minute.

use std::time::Duration;

use event::Timestamp;

/// Probes that may be under way at once: more than one, since one event alone may fail for reasons of its own.
const PROBES: usize = 3;

/// The pause between probes is this part of the outage so far.
const PAUSE_SHARE: u32 = 8;

/// Shortest pause between probes.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause between probes, however long the outage.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Fewest failures in a row that count as an outage, where the concurrency limit is lower: a poison event alone must
/// not slow the others down.
const FAILURES_MIN: usize = 5;

/// How the destination has been doing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pressure {
    /// Transient failures since the last success.
    in_row: usize,
    /// When the first of them came.
    since: Option<Timestamp>,
    /// Set while only probes go out: when the next ones may.
    next_probe: Option<Timestamp>,
}

impl Pressure {
    /// An attempt failed, and trying again may help.
    pub(crate) fn failed(&mut self, now: Timestamp, retry_after: Option<Duration>, concurrency: usize) {
        self.in_row += 1;
        self.since.get_or_insert(now);
        if self.in_row < concurrency.max(FAILURES_MIN) {
            return;
        }
        let next = *self.next_probe.get_or_insert(now.plus(PAUSE_MIN));
        if let Some(asked) = retry_after {
            self.next_probe = Some(next.max(now.plus(asked.min(PAUSE_MAX))));
        }
    }

    /// The destination answered as one does that works. That it refused an event for good counts too.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// Something was leased at `now`.
    pub(crate) fn leased(&mut self, now: Timestamp) {
        if let (Some(next), Some(since)) = (&mut self.next_probe, self.since) {
            let pause = (since.until(now) / PAUSE_SHARE).clamp(PAUSE_MIN, PAUSE_MAX);
            *next = now.plus(pause);
        }
    }

    /// How many attempts may be under way at `now`; `None` if that is not for this module to say.
    pub(crate) fn limit(&self, now: Timestamp) -> Option<usize> {
        self.next_probe.map(|next| if now >= next { PROBES } else { 0 })
    }

    /// When more may be leased than now.
    pub(crate) fn eases(&self) -> Option<Timestamp> {
        self.next_probe
    }

    /// Whether only probes go out.
    pub(crate) fn is_on(&self) -> bool {
        self.next_probe.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn outage(failures: usize) -> Pressure {
        let mut pressure = Pressure::default();
        for _ in 0..failures {
            pressure.failed(at(0), None, 50);
        }
        pressure
    }

    #[test]
    fn only_many_failures_in_a_row_are_an_outage() {
        assert!(!outage(49).is_on());
        assert!(outage(50).is_on());
        let mut pressure = outage(49);
        pressure.answered();
        pressure.failed(at(1), None, 50);
        assert!(!pressure.is_on());
        let mut alone = Pressure::default();
        for _ in 0..FAILURES_MIN - 1 {
            alone.failed(at(0), None, 1);
        }
        assert_eq!(alone.limit(at(0)), None, "a limit of one does not make one failure an outage");
    }

    #[test]
    fn probes_pause_and_a_success_ends_it() {
        let mut pressure = outage(50);
        assert_eq!(pressure.limit(at(99)), Some(0));
        assert_eq!(pressure.eases(), Some(at(100)));
        assert_eq!(pressure.limit(at(100)), Some(PROBES));
        pressure.leased(at(8_000));
        assert_eq!(pressure.eases(), Some(at(9_000)), "an eighth of 8 s");
        pressure.leased(at(4 * 3_600_000));
        assert_eq!(pressure.eases(), Some(at(4 * 3_600_000).plus(PAUSE_MAX)));
        pressure.answered();
        assert_eq!((pressure.limit(at(0)), pressure.eases()), (None, None));
    }

    #[test]
    fn a_destination_that_asks_for_quiet_gets_it() {
        let mut pressure = outage(50);
        pressure.failed(at(0), Some(Duration::from_secs(3)), 50);
        assert_eq!(pressure.eases(), Some(at(3_000)));
        pressure.failed(at(0), Some(Duration::from_secs(86_400)), 50);
        assert_eq!(pressure.eases(), Some(at(0).plus(PAUSE_MAX)));
    }

    #[test]
    fn ten_seconds_of_outage_are_met_by_few_attempts() {
        let mut pressure = outage(50);
        let (mut now, mut attempts) = (at(0), 50);
        while let Some(next) = pressure.eases().filter(|next| *next < at(10_000)) {
            now = next;
            pressure.leased(now);
            for _ in 0..pressure.limit(next).map_or(0, |_| PROBES) {
                pressure.failed(now, None, 50);
                attempts += 1;
            }
        }
        assert!(attempts < 200, "{attempts}");
        assert!(pressure.eases() < Some(at(11_500)), "the end is noticed soon: {pressure:?} {now:?}");
    }
}
