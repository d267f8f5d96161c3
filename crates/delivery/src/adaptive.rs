//! The adaptive limit below the hard one: fewer attempts at a time while the destination says that it has too many, by
//! its answers or by its latency; more again, step by step, while it does not (additive increase, multiplicative
//! decrease).
//!
//! Latency counts only when it has at least doubled, and by a time that a person would notice. So a destination that is
//! simply slow, or whose fast answers vary, keeps its full concurrency.

use std::time::Duration;

use event::Timestamp;

/// How often the limit is looked at.
const WINDOW: Duration = Duration::from_secs(1);
/// Fewest answers that say something about latency.
const ANSWERS_MIN: u32 = 10;
/// So many times the usual latency is too slow, if it is also [`SLOWER_MIN`] more.
const SLOWER_TIMES: f64 = 2.0;
/// See [`SLOWER_TIMES`].
const SLOWER_MIN: f64 = 50.0;
/// The usual latency follows slower answers by a hundredth a window: what stays slow for a minute is usual.
const DRIFT: f64 = 1.01;
/// What is left of the limit after a window with refusals for being too many, or with timeouts.
const AFTER_REFUSALS: f64 = 0.7;
/// What is left of it after a slow window.
const AFTER_SLOWNESS: f64 = 0.9;
/// Fewer refusals than one in so many results do not speak of too many attempts: they are of the events themselves.
/// Poison, one event in a thousand with some six attempts each, stays well below it.
const REFUSED_SHARE: u32 = 100;
/// The limit grows by this part of the hard one, at least by 1, so that it is back within some twenty windows.
const STEPS: usize = 20;

/// The adaptive limit of one destination.
#[derive(Debug, Clone)]
pub(crate) struct Adaptive {
    hard: usize,
    limit: usize,
    /// The usual latency, in milliseconds.
    usual: Option<f64>,
    window: Window,
}

#[derive(Debug, Clone, Default)]
struct Window {
    began: Option<Timestamp>,
    answers: u32,
    total_ms: f64,
    refused: u32,
    /// The limit kept something back.
    reached: bool,
}

impl Adaptive {
    pub(crate) fn new(hard: usize) -> Self {
        Self { hard, limit: hard, usual: None, window: Window::default() }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// So many attempts are under way.
    pub(crate) fn in_flight(&mut self, count: usize) {
        self.window.reached |= count >= self.limit;
    }

    /// An attempt was answered within `latency`.
    pub(crate) fn answered(&mut self, now: Timestamp, latency: Duration) {
        self.window.answers += 1;
        self.window.total_ms += latency.as_secs_f64() * 1e3;
        self.look(now);
    }

    /// The destination had too much to do: it said so, or did not answer in time.
    pub(crate) fn refused(&mut self, now: Timestamp) {
        self.window.refused += 1;
        self.look(now);
    }

    /// An outage is the breaker's business, and its ramp leads back from it.
    pub(crate) fn reset(&mut self) {
        *self = Self { usual: self.usual, ..Self::new(self.hard) };
    }

    fn look(&mut self, now: Timestamp) {
        let began = *self.window.began.get_or_insert(now);
        if began.until(now) < WINDOW && now >= began {
            return;
        }
        let window = std::mem::take(&mut self.window);
        self.window.began = Some(now);
        let mean = (window.answers >= ANSWERS_MIN).then(|| window.total_ms / f64::from(window.answers));
        let slow =
            mean.zip(self.usual).is_some_and(|(mean, usual)| mean > usual * SLOWER_TIMES && mean > usual + SLOWER_MIN);
        if let Some(mean) = mean {
            self.usual = Some(self.usual.map_or(mean, |usual| mean.min(usual * DRIFT)));
        }
        let results = window.answers.saturating_add(window.refused);
        if window.refused > 0 && window.refused.saturating_mul(REFUSED_SHARE) >= results {
            self.shrink(AFTER_REFUSALS);
        } else if slow {
            self.shrink(AFTER_SLOWNESS);
        } else if window.reached {
            self.limit = (self.limit + (self.hard / STEPS).max(1)).min(self.hard);
        }
    }

    fn shrink(&mut self, to: f64) {
        // A limit is at most 10,000, which a float holds exactly.
        self.limit = ((self.limit as f64 * to) as usize).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs windows of a destination whose latency in milliseconds depends on how many attempts it has at a time.
    fn run(adaptive: &mut Adaptive, from: i64, windows: i64, latency: impl Fn(usize) -> u64) {
        for window in from..from + windows {
            let now = Timestamp::from_millis(window * 1_000);
            for _ in 0..20 {
                adaptive.in_flight(adaptive.limit());
                adaptive.answered(now, Duration::from_millis(latency(adaptive.limit())));
            }
        }
    }

    #[test]
    fn a_destination_that_is_simply_slow_keeps_its_concurrency() {
        for ms in [1, 200, 4_000] {
            let mut adaptive = Adaptive::new(50);
            run(&mut adaptive, 0, 100, |_| ms);
            assert_eq!(adaptive.limit(), 50, "{ms}");
        }
    }

    #[test]
    fn fast_answers_that_vary_change_nothing() {
        let mut adaptive = Adaptive::new(50);
        for round in 0..100 {
            run(&mut adaptive, round * 2, 1, |_| 2);
            run(&mut adaptive, round * 2 + 1, 1, |_| 40);
        }
        assert_eq!(adaptive.limit(), 50);
    }

    #[test]
    fn what_queues_inside_the_destination_is_taken_back() {
        let mut adaptive = Adaptive::new(50);
        run(&mut adaptive, 0, 5, |_| 100);
        // It works on ten at a time now; the others wait.
        run(&mut adaptive, 5, 30, |limit| 100 * limit.max(10) as u64 / 10);
        assert!((10..30).contains(&adaptive.limit()), "{}", adaptive.limit());
        run(&mut adaptive, 35, 60, |_| 100);
        assert_eq!(adaptive.limit(), 50);
    }

    #[test]
    fn refusals_of_a_few_events_among_many_change_nothing() {
        let mut adaptive = Adaptive::new(50);
        for second in 0..100 {
            let now = Timestamp::from_millis(second * 1_000);
            (0..6).for_each(|_| adaptive.refused(now));
            (0..1_000).for_each(|_| adaptive.answered(now, Duration::from_millis(5)));
        }
        assert_eq!(adaptive.limit(), 50);
    }

    #[test]
    fn refusals_shrink_it_once_a_window() {
        let mut adaptive = Adaptive::new(50);
        adaptive.answered(Timestamp::from_millis(0), Duration::ZERO);
        for _ in 0..100 {
            adaptive.refused(Timestamp::from_millis(500));
        }
        assert_eq!(adaptive.limit(), 50);
        adaptive.refused(Timestamp::from_millis(1_000));
        assert_eq!(adaptive.limit(), 35);
        for second in 2..100 {
            adaptive.refused(Timestamp::from_millis(second * 1_000));
        }
        assert_eq!(adaptive.limit(), 1);
        adaptive.reset();
        assert_eq!(adaptive.limit(), 50);
    }
}
