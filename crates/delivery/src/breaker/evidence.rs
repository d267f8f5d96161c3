//! What speaks for an outage, counted over a sliding window of time.
//!
//! Two things do: failures in a row, and a large share of failures. Either counts only if several conversations are
//! concerned, since one that alone keeps failing says nothing about the destination.

use std::time::Duration;

use event::Timestamp;

use super::BreakerOptions;

/// So many failures in a row are an outage, however long they take to come: more than chance brings where a third of
/// the attempts fails, and less than half of the attempts that may be under way by default.
const IN_ROW: u32 = 20;

/// Fewest different conversations that must fail: a handful of poisoned ones at once is rarer than an outage.
const SUSPECTS: usize = 5;

/// Pieces of the sliding window. It moves on by one of them at a time.
const SLOTS: usize = 10;

/// Answers and failures, newest last.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    in_row: u32,
    row_began: Timestamp,
    slots: [Slot; SLOTS],
    slot_millis: i64,
    /// The conversations that failed last, each once, and when.
    suspects: [Option<(u64, Timestamp)>; SUSPECTS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    number: i64,
    answered: u32,
    failed: u32,
}

impl Evidence {
    pub(super) fn new(window: Duration) -> Self {
        let slot_millis = i64::try_from(window.as_millis()).unwrap_or(i64::MAX) / SLOTS as i64;
        Self::of_slots(slot_millis.max(1))
    }

    fn of_slots(slot_millis: i64) -> Self {
        Self {
            in_row: 0,
            row_began: Timestamp::default(),
            slots: [Slot::default(); SLOTS],
            slot_millis,
            suspects: [None; SUSPECTS],
        }
    }

    pub(super) fn answered(&mut self, now: Timestamp) {
        self.in_row = 0;
        self.slot(now).answered += 1;
    }

    /// `suspect` names the conversation that failed.
    pub(super) fn failed(&mut self, now: Timestamp, suspect: u64) {
        // By a clock that was set back, all suspects would be of before the row.
        if self.in_row == 0 || now < self.row_began {
            self.row_began = now;
        }
        self.in_row = self.in_row.saturating_add(1);
        self.slot(now).failed += 1;
        let known = self.suspects.iter().position(|known| known.is_some_and(|(name, _)| name == suspect));
        let oldest = (0..SUSPECTS).min_by_key(|place| self.suspects[*place].map(|(_, at)| at));
        if let Some(place) = known.or(oldest) {
            self.suspects[place] = Some((suspect, now));
        }
    }

    /// Forgets everything: what comes now is judged by itself.
    pub(super) fn reset(&mut self) {
        *self = Self::of_slots(self.slot_millis);
    }

    /// Whether all this is an outage.
    pub(super) fn is_outage(&self, now: Timestamp, options: &BreakerOptions) -> bool {
        if self.in_row >= IN_ROW && self.all_suspects_since(self.row_began) {
            return true;
        }
        let last = self.number(now);
        let recent = self.slots.iter().filter(|slot| (last - SLOTS as i64 + 1..=last).contains(&slot.number));
        let (answered, failed) =
            recent.fold((0u64, 0u64), |(a, f), slot| (a + u64::from(slot.answered), f + u64::from(slot.failed)));
        let all = answered + failed;
        all >= u64::from(options.minimum)
            && failed * 100 >= all * u64::from(options.percent)
            && self.all_suspects_since(Timestamp::from_millis((last - SLOTS as i64 + 1) * self.slot_millis))
    }

    fn all_suspects_since(&self, since: Timestamp) -> bool {
        self.suspects.iter().all(|suspect| suspect.is_some_and(|(_, at)| at >= since))
    }

    fn number(&self, now: Timestamp) -> i64 {
        now.as_millis().div_euclid(self.slot_millis)
    }

    fn slot(&mut self, now: Timestamp) -> &mut Slot {
        let number = self.number(now);
        let slot = &mut self.slots[number.rem_euclid(SLOTS as i64) as usize];
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn evidence() -> (Evidence, BreakerOptions) {
        let options = BreakerOptions::default();
        (Evidence::new(options.window), options)
    }

    #[test]
    fn failures_in_a_row_are_an_outage_however_slowly_they_come() {
        let (mut evidence, options) = evidence();
        for minute in 0..19 {
            evidence.failed(at(minute * 60_000), minute as u64 % 7);
        }
        assert!(!evidence.is_outage(at(19 * 60_000), &options));
        evidence.failed(at(19 * 60_000), 3);
        assert!(evidence.is_outage(at(19 * 60_000), &options));
        evidence.answered(at(19 * 60_000));
        assert!(!evidence.is_outage(at(19 * 60_000), &options));
    }

    #[test]
    fn a_few_conversations_are_no_outage_however_often_they_fail() {
        let (mut evidence, options) = evidence();
        for attempt in 0..10_000 {
            evidence.failed(at(attempt), attempt as u64 % 4);
        }
        assert!(!evidence.is_outage(at(10_000), &options));
        evidence.failed(at(10_000), 4);
        assert!(evidence.is_outage(at(10_000), &options), "a fifth one");
    }

    #[test]
    fn a_share_of_failures_is_an_outage_within_the_window_only() {
        let (mut evidence, options) = evidence();
        for n in 0..24 {
            evidence.answered(at(n));
            evidence.failed(at(n), n as u64);
        }
        assert!(!evidence.is_outage(at(24), &options), "48 results are too few");
        evidence.answered(at(25));
        evidence.failed(at(25), 25);
        assert!(evidence.is_outage(at(25), &options));
        evidence.answered(at(26));
        assert!(!evidence.is_outage(at(26), &options), "25 of 51");
        evidence.failed(at(10_500), 1);
        assert!(!evidence.is_outage(at(10_500), &options), "the rest is too old");
    }
}
