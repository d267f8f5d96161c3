//! Rate limits: at most so many attempts in any second, minute and day.
//!
//! Each is counted over a window that slides in small steps, so the limit holds for every window of that length and not
//! only for those of the clock. The day is the last 24 hours. Counts are in memory; those of the day are told, so that
//! whoever starts a service can give them back after a restart.

use event::Timestamp;

use crate::Error;

/// Pieces of each window; it slides by one of them at a time.
const SLOTS: usize = 20;
const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 1_440 * MINUTE_MS;

/// At most so many attempts; none means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateOptions {
    /// In any second.
    pub per_second: Option<u32>,
    /// In any minute.
    pub per_minute: Option<u32>,
    /// In any 24 hours.
    pub per_day: Option<u32>,
}

impl RateOptions {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let zero = [self.per_second, self.per_minute, self.per_day].contains(&Some(0));
        match zero {
            true => {
                Err(Error::Option { key: "rate", problem: "has a zero, so nothing would go out; pause it instead" })
            }
            false => Ok(()),
        }
    }
}

/// The counts of one destination.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    limits: Vec<Limit>,
    /// The time when it was last looked at, or of what was counted before a restart.
    seen: Timestamp,
}

#[derive(Debug, Clone)]
struct Limit {
    most: u64,
    slot_ms: i64,
    /// Number and count, for the slots of the window and the one that is leaving it.
    slots: [(i64, u64); SLOTS + 1],
}

impl Rate {
    pub(crate) fn new(options: RateOptions) -> Self {
        let all = [(options.per_second, SECOND_MS), (options.per_minute, MINUTE_MS), (options.per_day, DAY_MS)];
        let limit = |(most, window): (Option<u32>, i64)| {
            Some(Limit { most: most?.into(), slot_ms: window / SLOTS as i64, slots: [(i64::MIN, 0); SLOTS + 1] })
        };
        Self { limits: all.into_iter().filter_map(limit).collect(), seen: Timestamp::from_millis(i64::MIN) }
    }

    /// What was counted for the day.
    pub(crate) fn day(&self) -> Vec<(i64, u64)> {
        let day = self.limits.iter().find(|limit| limit.slot_ms == DAY_MS / SLOTS as i64);
        let slots = day.map_or(&[][..], |limit| &limit.slots[..]);
        slots.iter().filter(|(_, count)| *count > 0).copied().collect()
    }

    /// Counts for the day what was counted before a restart.
    pub(crate) fn restore_day(&mut self, day: &[(i64, u64)]) {
        let Some(limit) = self.limits.iter_mut().find(|limit| limit.slot_ms == DAY_MS / SLOTS as i64) else { return };
        for &(number, count) in day {
            let slot = &mut limit.slots[number.rem_euclid(SLOTS as i64 + 1) as usize];
            if slot.0 < number {
                *slot = (number, count);
            }
            self.seen = self.seen.max(Timestamp::from_millis(number.saturating_mul(limit.slot_ms)));
        }
    }

    /// Takes notice of the time. If the clock was set back, what went out at times that are still to come counts as if it
    /// went out now: so nothing more goes out than should, and nobody waits longer than a window for it.
    pub(crate) fn notice(&mut self, now: Timestamp) {
        if now < self.seen {
            self.limits.iter_mut().for_each(|limit| limit.pull(now));
        }
        self.seen = now;
    }

    /// How many more may go out at `now`.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        self.limits.iter().map(|limit| limit.room(now)).min().unwrap_or(usize::MAX)
    }

    /// When there will be room, if there is none now.
    pub(crate) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        self.limits.iter().filter(|limit| limit.room(now) == 0).map(|limit| limit.opens(now)).max()
    }

    /// So many go out.
    pub(crate) fn take(&mut self, count: usize, now: Timestamp) {
        for limit in &mut self.limits {
            let number = limit.number(now);
            let slot = &mut limit.slots[number.rem_euclid(SLOTS as i64 + 1) as usize];
            if slot.0 != number {
                *slot = (number, 0);
            }
            slot.1 += count as u64;
        }
    }
}

impl Limit {
    fn number(&self, now: Timestamp) -> i64 {
        now.as_millis().div_euclid(self.slot_ms)
    }

    /// Counts in the present slot what stands in later ones.
    fn pull(&mut self, now: Timestamp) {
        let number = self.number(now);
        let later = self.slots.iter_mut().filter(|(later, _)| *later > number);
        let count: u64 = later.map(|slot| std::mem::replace(slot, (i64::MIN, 0)).1).sum();
        let slot = &mut self.slots[number.rem_euclid(SLOTS as i64 + 1) as usize];
        let before = if slot.0 == number { slot.1 } else { 0 };
        *slot = (number, before + count);
    }

    /// What counts at `now`: the present slot and a whole window before it. Slots of the future are of a clock that was
    /// set back since it was noticed last.
    fn counted(&self, now: Timestamp) -> impl Iterator<Item = &(i64, u64)> {
        let first = self.number(now) - SLOTS as i64;
        self.slots.iter().filter(move |(number, count)| *number >= first && *count > 0)
    }

    fn room(&self, now: Timestamp) -> usize {
        let used: u64 = self.counted(now).map(|(_, count)| count).sum();
        usize::try_from(self.most.saturating_sub(used)).unwrap_or(usize::MAX)
    }

    fn opens(&self, now: Timestamp) -> Timestamp {
        let oldest = self.counted(now).map(|(number, _)| *number).min().unwrap_or_else(|| self.number(now));
        Timestamp::from_millis((oldest + SLOTS as i64 + 1) * self.slot_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_limits_there_is_always_room() {
        let mut rate = Rate::new(RateOptions::default());
        rate.take(1_000_000, Timestamp::from_millis(0));
        assert_eq!((rate.room(Timestamp::from_millis(0)), rate.opens(Timestamp::from_millis(0))), (usize::MAX, None));
    }

    #[test]
    fn the_tightest_limit_counts_and_says_when_it_opens() {
        let options = RateOptions { per_second: Some(10), per_minute: Some(15), per_day: None };
        let mut rate = Rate::new(options);
        let at = Timestamp::from_millis;
        rate.take(10, at(0));
        assert_eq!((rate.room(at(999)), rate.opens(at(999))), (0, Some(at(1_050))));
        assert_eq!((rate.room(at(1_050)), rate.opens(at(1_050))), (5, None));
        rate.take(5, at(1_050));
        assert_eq!(rate.opens(at(1_050)), Some(at(63_000)), "a step after the minute");
    }

    #[test]
    fn a_day_is_any_24_hours() {
        let mut rate = Rate::new(RateOptions { per_day: Some(2), ..RateOptions::default() });
        let at = Timestamp::from_millis;
        rate.take(1, at(0));
        rate.take(1, at(DAY_MS / 2));
        assert_eq!(rate.room(at(DAY_MS)), 0);
        assert_eq!(rate.room(at(DAY_MS + DAY_MS / 20)), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_a_limit_for_no_longer_than_its_window() {
        let options = RateOptions { per_minute: Some(3), per_day: Some(10), ..RateOptions::default() };
        let mut rate = Rate::new(options);
        let at = |ms| Timestamp::from_millis(10 * DAY_MS + ms);
        let ahead = 2 * DAY_MS;
        rate.notice(at(ahead));
        rate.take(3, at(ahead));
        rate.notice(at(0));
        assert_eq!((rate.room(at(0)), rate.opens(at(0))), (0, Some(at(MINUTE_MS + MINUTE_MS / 20))));
        rate.notice(at(MINUTE_MS + MINUTE_MS / 20));
        assert_eq!(rate.room(at(MINUTE_MS + MINUTE_MS / 20)), 3);
        let mut after = Rate::new(RateOptions { per_day: Some(3), ..RateOptions::default() });
        after.restore_day(&[((10 * DAY_MS + ahead) / (DAY_MS / 20), 3)]);
        after.notice(at(0));
        assert_eq!(
            (after.room(at(0)), after.opens(at(0))),
            (0, Some(at(DAY_MS + DAY_MS / 20))),
            "also after a restart"
        );
    }

    #[test]
    fn the_day_goes_on_after_a_restart() {
        let options = RateOptions { per_day: Some(5), per_second: Some(5), ..RateOptions::default() };
        let at = Timestamp::from_millis;
        let mut before = Rate::new(options);
        before.take(3, at(0));
        before.take(1, at(DAY_MS / 2));
        let mut after = Rate::new(options);
        after.restore_day(&before.day());
        assert_eq!((after.room(at(DAY_MS / 2)), after.day()), (1, before.day()));
        assert_eq!(after.room(at(DAY_MS + DAY_MS / 20)), 4);
        let mut without = Rate::new(RateOptions::default());
        without.restore_day(&before.day());
        assert_eq!(without.day(), []);
    }

    proptest! {
        /// Whenever attempts go out as soon as there is room, no window of the limit's length has more than the limit.
        #[test]
        fn no_window_has_more(waits in prop::collection::vec(0u64..400, 1..300), most in 1u32..20) {
            let mut rate = Rate::new(RateOptions { per_second: Some(most), ..RateOptions::default() });
            let (mut now, mut went) = (Timestamp::from_millis(7), Vec::new());
            for wait in waits {
                now = now.plus(Duration::from_millis(wait));
                if rate.room(now) == 0 {
                    let opens = rate.opens(now).unwrap();
                    prop_assert!(opens > now);
                    now = opens;
                }
                prop_assert!(rate.room(now) > 0);
                rate.take(1, now);
                went.push(now);
            }
            for (place, first) in went.iter().enumerate() {
                let within = went[place..].iter().take_while(|at| first.until(**at) < Duration::from_secs(1)).count();
                prop_assert!(within <= most as usize, "{within} of {most}");
            }
        }
    }
}
