//! How many requests may be made, and when the next; pure.
//!
//! Two bounds hold at once. Our own: a request counts from the moment it may be made until a minute after its answer,
//! and never more of them count than are allowed. It arrives at the platform somewhere between the two, so no window of
//! a minute has more there, wherever it begins and however slow the network is. The platform's: what it says it has
//! counted, to which everything is added that may have come after; others may use the same OAuth client.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Limits;

/// The time since a fixed moment.
pub(crate) type Moment = Duration;

/// The window of the platform's limits.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// What the platform's whole seconds may be rounded by.
const ROUNDED: Duration = Duration::from_secs(1);

/// What was asked, and what the platform says of it.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Requests in any window.
    limit: u32,
    /// What the platform allows, if that is less.
    allowed: u32,
    under_way: u32,
    /// When requests of the last minute were answered, oldest first.
    answered: VecDeque<Moment>,
    told: Option<Told>,
    /// No request before this.
    blocked_until: Moment,
}

/// The platform's window.
#[derive(Debug)]
struct Told {
    used: u32,
    ends: Moment,
}

/// Whether a request may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// Now; it counts.
    Now,
    /// Not before this moment.
    At(Moment),
    /// When one that is under way has been answered.
    AfterAnswer,
}

impl Budget {
    pub(crate) fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        Self { limit, allowed: limit, under_way: 0, answered: VecDeque::new(), told: None, blocked_until: Moment::ZERO }
    }

    /// Whether a request may be made now. Each `Now` must be followed by [`Budget::answered`].
    pub(crate) fn ask(&mut self, now: Moment) -> Go {
        while self.answered.front().is_some_and(|answered| *answered + WINDOW <= now) {
            self.answered.pop_front();
        }
        self.told.take_if(|told| told.ends <= now);
        if now < self.blocked_until {
            return Go::At(self.blocked_until);
        }
        let allowed = self.allowed as usize;
        let counting = self.answered.len() + self.under_way as usize;
        if counting >= allowed {
            // So many must cease to count.
            let excess = counting - allowed;
            return self.answered.get(excess).map_or(Go::AfterAnswer, |answered| Go::At(*answered + WINDOW));
        }
        if let Some(told) = &mut self.told {
            if told.used >= self.allowed {
                return Go::At(told.ends);
            }
            told.used += 1;
        }
        self.under_way += 1;
        Go::Now
    }

    /// A request was answered, or given up.
    pub(crate) fn answered(&mut self, now: Moment, limits: Option<Limits>) {
        self.under_way = self.under_way.saturating_sub(1);
        self.answered.push_back(now);
        let Some(limits) = limits else { return };
        self.allowed = limits.allowed.clamp(1, self.limit);
        // Those under way may not have been counted yet.
        let used = limits.count.saturating_add(self.under_way);
        let ends = now + limits.reset + ROUNDED;
        let known = self.told.take().filter(|told| now < told.ends);
        self.told = Some(match known {
            Some(told) => Told { used: told.used.max(used), ends: told.ends.max(ends) },
            None => Told { used, ends },
        });
    }

    /// The platform has refused a request, and wants none for this long.
    pub(crate) fn refused(&mut self, now: Moment, pause: Duration) {
        self.blocked_until = self.blocked_until.max(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn limits(count: u32, allowed: u32, reset: u64) -> Option<Limits> {
        Some(Limits { count, allowed, reset: secs(reset) })
    }

    #[test]
    fn a_minute_has_no_more_than_are_allowed() {
        let mut budget = Budget::new(3);
        for _ in 0..3 {
            assert_eq!(budget.ask(secs(0)), Go::Now);
        }
        assert_eq!(budget.ask(secs(0)), Go::AfterAnswer);
        budget.answered(secs(2), None);
        budget.answered(secs(5), None);
        assert_eq!(budget.ask(secs(5)), Go::At(secs(62)), "a minute after the first answer");
        assert_eq!(budget.ask(secs(62)), Go::Now);
        assert_eq!(budget.ask(secs(62)), Go::At(secs(65)));
    }

    #[test]
    fn what_others_use_counts_too() {
        let mut budget = Budget::new(300);
        assert_eq!(budget.ask(secs(0)), Go::Now);
        budget.answered(secs(0), limits(298, 300, 20));
        assert_eq!(budget.ask(secs(1)), Go::Now);
        assert_eq!(budget.ask(secs(1)), Go::Now);
        assert_eq!(budget.ask(secs(1)), Go::At(secs(21)));
        budget.answered(secs(2), limits(299, 300, 18));
        assert_eq!(budget.ask(secs(2)), Go::At(secs(21)), "an older count does not make it more");
        assert_eq!(budget.ask(secs(21)), Go::Now);
    }

    #[test]
    fn a_lower_limit_is_believed_and_a_higher_one_is_not_used_up() {
        let mut budget = Budget::new(10);
        assert_eq!(budget.ask(secs(0)), Go::Now);
        budget.answered(secs(0), limits(1, 2, 60));
        assert_eq!(budget.ask(secs(0)), Go::Now);
        budget.answered(secs(1), limits(2, 2, 59));
        assert_eq!(budget.ask(secs(1)), Go::At(secs(60)));
        budget.answered(secs(1), limits(2, 1_000, 59));
        let more = (0..100).filter(|_| budget.ask(secs(1)) == Go::Now).count();
        assert!(more <= 10, "{more}");
    }

    #[test]
    fn a_refusal_stops_everybody() {
        let mut budget = Budget::new(300);
        assert_eq!(budget.ask(secs(0)), Go::Now);
        budget.answered(secs(0), None);
        budget.refused(secs(0), secs(7));
        budget.refused(secs(0), secs(3));
        assert_eq!(budget.ask(secs(6)), Go::At(secs(7)));
        assert_eq!(budget.ask(secs(7)), Go::Now);
    }

    /// What happens to a budget.
    #[derive(Debug, Clone)]
    enum Step {
        Ask,
        /// One that is under way is answered; the platform got it at this share of the time in between.
        Answer {
            which: prop::sample::Index,
            arrived: f64,
            limits: Option<(u32, u32, u64)>,
        },
        Refuse {
            pause: u64,
        },
        Later {
            ms: u64,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let told = proptest::option::of((0u32..500, 1u32..500, 0u64..70));
        let step = prop_oneof![
            6 => Just(Step::Ask),
            4 => (any::<prop::sample::Index>(), 0.0..=1.0, told)
                .prop_map(|(which, arrived, limits)| Step::Answer { which, arrived, limits }),
            1 => (1u64..100).prop_map(|pause| Step::Refuse { pause }),
            3 => (0u64..30_000).prop_map(|ms| Step::Later { ms }),
        ];
        proptest::collection::vec(step, 0..400)
    }

    proptest! {
        /// However requests and answers fall, and whatever the platform says: no minute at the platform has more
        /// requests than are allowed, and who is told a time is told one to come.
        #[test]
        fn no_window_has_more_than_are_allowed(limit in 1u32..20, steps in steps()) {
            let mut budget = Budget::new(limit);
            let mut now = Moment::ZERO;
            let mut under_way: Vec<Moment> = Vec::new();
            let mut arrivals: Vec<Moment> = Vec::new();
            for step in steps {
                match step {
                    Step::Later { ms } => now += Duration::from_millis(ms),
                    Step::Refuse { pause } => budget.refused(now, secs(pause)),
                    Step::Ask => match budget.ask(now) {
                        Go::Now => under_way.push(now),
                        Go::At(at) => prop_assert!(at > now && at <= now + secs(131)),
                        Go::AfterAnswer => prop_assert!(!under_way.is_empty()),
                    },
                    Step::Answer { which, arrived, limits } if !under_way.is_empty() => {
                        let granted = under_way.swap_remove(which.index(under_way.len()));
                        arrivals.push(granted + (now - granted).mul_f64(arrived));
                        let limits = limits.map(|(count, allowed, reset)| Limits { count, allowed, reset: secs(reset) });
                        budget.answered(now, limits);
                    }
                    Step::Answer { .. } => {}
                }
            }
            arrivals.extend(under_way);
            arrivals.sort();
            for (i, first) in arrivals.iter().enumerate() {
                // Rounding of the shares aside.
                let window = *first + WINDOW - Duration::from_millis(1);
                let within = arrivals[i..].iter().take_while(|at| **at < window).count();
                prop_assert!(within <= limit as usize, "{within} from {first:?}");
            }
        }

        /// Whoever waits as long as they are told gets their turn, if answers come.
        #[test]
        fn nobody_waits_for_ever(limit in 1u32..10, asked in 1usize..60) {
            let mut budget = Budget::new(limit);
            let mut now = Moment::ZERO;
            for _ in 0..asked {
                let mut tries = 0;
                while let Go::At(at) = budget.ask(now) {
                    now = at;
                    tries += 1;
                    prop_assert!(tries < 3);
                }
                budget.answered(now, None);
            }
            // Not slower than the limit allows.
            let windows = u32::try_from(asked).unwrap().div_ceil(limit);
            prop_assert!(now <= WINDOW * windows, "{now:?}");
        }
    }
}
