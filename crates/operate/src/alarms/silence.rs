//! Which sources are silent although they usually send at this hour: learnt for each source, topic, weekday and hour.
//!
//! While nothing comes, what was to be expected in that time is added up. A silence is one when that is
//! [`MISSED_MIN`] events or more. Time in which the server did not run is no silence, and an hour that it did not see
//! whole teaches nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::hours::{Hours, begin, hour};
use super::options::{MISSED_MIN, PAIRS_MAX};
use super::reading::SourceReading;

/// Topic of the pairs that have no place of their own.
const OTHERS: &str = "(others)";
/// Between two readings at most so much time counts as seen; more is a machine that slept.
const GAP_MAX: Duration = Duration::from_secs(120);

/// What is known about every source and topic. Serialises to what is worth keeping over a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Silence {
    pairs: Vec<Pair>,
    #[serde(skip)]
    read: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pair {
    source: String,
    topic: String,
    hours: Hours,
    #[serde(skip)]
    seen: Seen,
}

/// Since the start.
#[derive(Debug, Clone, Default)]
struct Seen {
    accepted: u64,
    /// The hour that is being counted, what it brought, and whether it was seen from its beginning.
    hour: i64,
    events: u64,
    whole: bool,
    silent_since: Option<Timestamp>,
    missed: f32,
}

/// A silence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Silent {
    pub(super) source: String,
    pub(super) topic: String,
    pub(super) since: Timestamp,
    /// Events that were to be expected since.
    pub(super) missed: u64,
}

impl Silence {
    /// Takes in a reading; returns what is silent for at least `shortest`.
    pub(super) fn step(&mut self, sources: &[SourceReading], shortest: Duration, now: Timestamp) -> Vec<Silent> {
        let passed = self.read.map(|last| last.until(now)).unwrap_or_default();
        let slept = self.read.is_none() || passed > GAP_MAX;
        for ((source, topic), accepted) in self.counts(sources) {
            self.pair(&source, &topic).seen.take(accepted, now);
        }
        for pair in &mut self.pairs {
            pair.turn_hour(now, slept);
            pair.seen.add(pair.hours.expected(hour(now)), if slept { Duration::ZERO } else { passed }, now);
        }
        self.read = Some(now);
        self.silent(shortest, now)
    }

    /// Counts by pair; those for which there is no room are one of their source.
    fn counts(&self, sources: &[SourceReading]) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        let mut pairs = self.pairs.len();
        for source in sources {
            for topic in &source.topics {
                let known = self.pairs.iter().any(|pair| pair.is(&source.name, &topic.topic));
                let own = known || pairs < PAIRS_MAX;
                pairs += usize::from(!known && own);
                let name = if own { &topic.topic } else { OTHERS };
                *counts.entry((source.name.clone(), name.to_owned())).or_default() += topic.accepted;
            }
        }
        counts
    }

    fn pair(&mut self, source: &str, topic: &str) -> &mut Pair {
        let found = self.pairs.iter().position(|pair| pair.is(source, topic));
        let place = found.unwrap_or_else(|| {
            let (source, topic) = (source.to_owned(), topic.to_owned());
            self.pairs.push(Pair { source, topic, hours: Hours::default(), seen: Seen::default() });
            self.pairs.len() - 1
        });
        &mut self.pairs[place]
    }

    fn silent(&self, shortest: Duration, now: Timestamp) -> Vec<Silent> {
        let silent = |pair: &Pair| {
            let since = pair.seen.silent_since?;
            let is = pair.seen.missed >= MISSED_MIN && since.until(now) >= shortest;
            let missed = pair.seen.missed as u64;
            is.then(|| Silent { source: pair.source.clone(), topic: pair.topic.clone(), since, missed })
        };
        self.pairs.iter().filter_map(silent).collect()
    }

    /// Forgets sources that are no longer configured.
    pub fn keep(&mut self, sources: &[String]) {
        self.pairs.retain(|pair| sources.contains(&pair.source));
    }
}

impl Pair {
    fn is(&self, source: &str, topic: &str) -> bool {
        self.source == source && self.topic == topic
    }

    /// At the end of an hour that was seen whole, learns from it.
    fn turn_hour(&mut self, now: Timestamp, slept: bool) {
        let present = hour(now);
        let seen = &mut self.seen;
        seen.whole &= !slept;
        if seen.hour == present {
            return;
        }
        if seen.whole && seen.hour + 1 == present {
            self.hours.learn(seen.hour, seen.events);
        }
        // The readings are so close together that one soon after the full hour has seen it from its beginning.
        seen.whole = !slept && begin(present).until(now) <= GAP_MAX;
        (seen.hour, seen.events) = (present, 0);
    }
}

impl Seen {
    fn take(&mut self, accepted: u64, now: Timestamp) {
        // A counter that begins anew has brought what it shows.
        let new = accepted.checked_sub(self.accepted).unwrap_or(accepted);
        self.accepted = accepted;
        self.events += new;
        if new > 0 {
            (self.silent_since, self.missed) = (Some(now), 0.0);
        }
    }

    fn add(&mut self, expected: Option<f32>, passed: Duration, now: Timestamp) {
        // One that began while the clock was ahead has been seen since now.
        let since = self.silent_since.get_or_insert(now);
        *since = (*since).min(now);
        self.missed += expected.unwrap_or(0.0) * passed.as_secs_f32() / 3_600.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::TopicReading;
    use super::*;

    const STEP: u64 = 60;

    /// Runs a source by the minute; `rate` says how many events each minute of an hour of the week brings.
    struct Run {
        silence: Silence,
        now: Timestamp,
        accepted: u64,
    }

    impl Run {
        fn new() -> Self {
            // A Monday, 00:00.
            Self { silence: Silence::default(), now: Timestamp::from_millis(1_773_619_200_000), accepted: 0 }
        }

        /// Minutes with silences.
        fn minutes(&mut self, minutes: u64, rate: impl Fn(i64) -> u64) -> u64 {
            let mut silences = 0;
            for _ in 0..minutes {
                self.now = self.now.plus(Duration::from_secs(STEP));
                self.accepted += rate(hour(self.now).rem_euclid(24));
                let topics = vec![TopicReading { topic: "acw".to_owned(), accepted: self.accepted, last: None }];
                let source = SourceReading { name: "genesys".to_owned(), refused: 0, topics };
                let found = self.silence.step(&[source], Duration::from_secs(900), self.now);
                silences += u64::from(!found.is_empty());
            }
            silences
        }
    }

    const WEEK: u64 = 7 * 24 * 60;

    fn office(hour: i64) -> u64 {
        if (8..18).contains(&hour) { 2 } else { 0 }
    }

    #[test]
    fn a_silence_at_a_usual_hour_is_found_and_one_at_night_is_none() {
        let mut run = Run::new();
        assert_eq!(run.minutes(3 * WEEK, office), 0, "nights and days as usual are no silence");
        assert_eq!(run.minutes(12 * 60, office), 0, "until noon");
        assert_eq!(run.minutes(14, |_| 0), 0, "a short pause is none");
        assert!(run.minutes(60, |_| 0) > 40, "an hour without anything is one");
        assert_eq!(run.minutes(1, |_| 1), 0, "it ends with the first event");
    }

    #[test]
    fn nothing_is_concluded_from_the_first_weeks_or_from_time_that_was_slept_through() {
        let mut run = Run::new();
        run.minutes(WEEK + 12 * 60, office);
        assert_eq!(run.minutes(300, |_| 0), 0, "one week is not enough");
        let mut run = Run::new();
        run.minutes(3 * WEEK + 12 * 60, office);
        run.now = run.now.plus(Duration::from_secs(3 * 3_600));
        assert_eq!(run.minutes(1, |_| 0), 0, "the server was not there");
    }

    #[test]
    fn what_is_kept_over_a_restart_is_enough_to_find_a_silence() {
        let mut run = Run::new();
        run.minutes(3 * WEEK + 12 * 60, office);
        let kept = serde_json::to_string(&run.silence).unwrap();
        run.silence = serde_json::from_str(&kept).unwrap();
        run.accepted = 0;
        assert_eq!(run.minutes(1, office), 0);
        assert!(run.minutes(60, |_| 0) > 30);
    }

    #[test]
    fn a_silence_that_began_while_the_clock_was_ahead_is_found_after_it_was_set_back() {
        let mut run = Run::new();
        run.minutes(3 * WEEK + 10 * 60, office);
        let right = run.now;
        run.now = right.plus(Duration::from_secs(3 * 86_400));
        run.minutes(30, |_| 2);
        run.now = right;
        assert!(run.minutes(120, |_| 0) > 60, "it is not silent until the clock gets there again");
    }

    #[test]
    fn a_sender_of_ever_new_topics_is_bounded() {
        let mut silence = Silence::default();
        let topics = |from: u64| {
            let topic = |n| TopicReading { topic: format!("t-{n}"), accepted: 1, last: None };
            vec![SourceReading { name: "a".to_owned(), refused: 0, topics: (from..from + 300).map(topic).collect() }]
        };
        for round in 0..5 {
            silence.step(&topics(round * 300), Duration::ZERO, Timestamp::from_millis(round as i64 * 1_000));
        }
        assert!(silence.pairs.len() <= PAIRS_MAX + 1, "{}", silence.pairs.len());
    }
}
