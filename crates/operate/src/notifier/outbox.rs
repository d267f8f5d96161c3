//! What a notifier has still to be told: at most one notice an alarm, the newest, in the order in which the alarms came.
//!
//! An alarm that changes while its notifier cannot be reached is told as it is then, not as it was. The bound is so
//! large that it is met only if hundreds of alarms change during an outage of the notifier.

use std::collections::VecDeque;

use crate::alarms::{Change, Notice};

/// Notices that wait, at most; the oldest goes.
const WAITING_MAX: usize = 300;

/// Refusals of one notice after which it is given up: a wrong key or address is mended within eight hours, at a try a minute.
const REFUSALS_MAX: u32 = 500;

/// The notices that wait.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    waiting: VecDeque<Entry>,
    dropped: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    notice: Notice,
    refusals: u32,
}

impl Outbox {
    /// Adds one; it takes the place of an older one of the same alarm. Returns whether another had to go for it.
    pub fn push(&mut self, notice: Notice) -> bool {
        if let Some(same) = self.waiting.iter_mut().find(|waiting| waiting.notice.alarm.key == notice.alarm.key) {
            // It was never told that it opened, so it is not told that it changed.
            let change = match (same.notice.change, notice.change) {
                (Change::Opened, Change::Updated) => Change::Opened,
                (_, change) => change,
            };
            same.notice = Notice { change, ..notice };
            return false;
        }
        self.waiting.push_back(Entry { notice, refusals: 0 });
        let full = self.waiting.len() > WAITING_MAX;
        if full {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        full
    }

    /// The next one.
    pub fn first(&self) -> Option<Notice> {
        self.waiting.front().map(|entry| entry.notice.clone())
    }

    /// It was taken. If another came for the same alarm meanwhile, that one stays.
    pub fn done(&mut self, notice: &Notice) {
        self.waiting.retain(|waiting| waiting.notice != *notice);
    }

    /// It was refused: it goes behind all others, and is told again, unless that was so too often. Returns whether it was
    /// given up.
    pub fn refused(&mut self, notice: &Notice) -> bool {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.notice == *notice) else { return false };
        let Some(mut entry) = self.waiting.remove(at) else { return false };
        entry.refusals += 1;
        let given_up = entry.refusals >= REFUSALS_MAX;
        if !given_up {
            self.waiting.push_back(entry);
        }
        given_up
    }

    /// Whether the next one has been refused before, and so all of them.
    pub fn is_refused(&self) -> bool {
        self.waiting.front().is_some_and(|entry| entry.refusals > 0)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many went without being told.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All that wait.
    pub fn all(&self) -> Vec<Notice> {
        self.waiting.iter().map(|entry| entry.notice.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use event::Timestamp;

    use super::*;

    fn notice(key: &str, change: Change, at: i64) -> Notice {
        let mut notice = Notice::test(change, Timestamp::from_millis(at));
        key.clone_into(&mut notice.alarm.key);
        notice
    }

    #[test]
    fn the_newest_of_an_alarm_takes_the_place_of_the_older_and_the_order_stays() {
        let mut outbox = Outbox::default();
        for (key, change, at) in
            [("a", Change::Opened, 1), ("b", Change::Opened, 2), ("a", Change::Updated, 3), ("b", Change::Resolved, 4)]
        {
            outbox.push(notice(key, change, at));
        }
        let all: Vec<_> = outbox.all().into_iter().map(|n| (n.alarm.key, n.change, n.at.as_millis())).collect();
        assert_eq!(all, [("a".to_owned(), Change::Opened, 3), ("b".to_owned(), Change::Resolved, 4)]);
        let sending = outbox.first().unwrap();
        outbox.push(notice("a", Change::Resolved, 5));
        outbox.done(&sending);
        assert_eq!(outbox.first().unwrap().at.as_millis(), 5, "what came meanwhile is still to be told");
    }

    #[test]
    fn what_is_refused_goes_behind_the_others_and_is_given_up_in_the_end() {
        let mut outbox = Outbox::default();
        for (key, at) in [("a", 1), ("b", 2)] {
            outbox.push(notice(key, Change::Opened, at));
        }
        let first = outbox.first().unwrap();
        assert!(!outbox.refused(&first) && !outbox.is_refused());
        assert_eq!(outbox.first().unwrap().alarm.key, "b");
        let second = outbox.first().unwrap();
        outbox.done(&second);
        assert!(outbox.is_refused());
        let tries = (1..).take_while(|_| !outbox.refused(&first)).count();
        assert_eq!((tries, outbox.len()), (REFUSALS_MAX as usize - 2, 0));
    }

    #[test]
    fn it_is_bounded() {
        let mut outbox = Outbox::default();
        let lost = (0..1_000).filter(|n| outbox.push(notice(&n.to_string(), Change::Opened, *n))).count();
        assert_eq!((outbox.len(), lost, outbox.dropped()), (WAITING_MAX, 700, 700));
        assert_eq!(outbox.first().unwrap().alarm.key, "700");
    }
}
