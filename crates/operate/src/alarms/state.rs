//! From conditions to notices: when an alarm opens, tells again, and ends.
//!
//! ```text
//!            there for `lasts`              not there, nor fading, for `hold`
//!  (pending) ────────────────► open ──────────────────────────────────────► cooling ──► (gone)
//!                 ▲                                                            │ cool-down over
//!                 └────────────────────────────────────────────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::ahead::Ahead;
use super::alarm::{Alarm, Change, Kind, Notice};
use super::conditions::{Condition, Hush, Memory, conditions};
use super::options::{FULL_WITHIN, GROWTH, KNOWN_MAX, Options, TRACKED_MAX};
use super::reading::{Breaker, Reading};
use super::silence::Silence;
use super::text;
use super::window::Window;

/// Stands for a level that was told and says nothing any more.
const UNKNOWN: u64 = 0;

/// Everything that is remembered between readings. Serialises to what is worth keeping over a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    tracked: BTreeMap<String, Tracked>,
    /// Groups of dead letters that have had an alarm, and when last.
    known: BTreeMap<String, Timestamp>,
    #[serde(default)]
    silence: Silence,
    #[serde(default)]
    refused: BTreeMap<String, Window>,
    #[serde(skip)]
    full: Window,
    #[serde(default)]
    ahead: Ahead,
}

/// Where a condition stands on its way to an alarm and away from it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Tracked {
    /// It was first seen then.
    Pending {
        /// When.
        since: Timestamp,
    },
    /// There is an alarm.
    Open {
        /// The alarm, as it is now.
        alarm: Box<Alarm>,
        /// Since when the condition is gone.
        gone_since: Option<Timestamp>,
        /// When it was told last.
        told: Timestamp,
        /// The level that was told.
        told_level: u64,
        /// The summary and the detail that were told.
        #[serde(default)]
        told_text: String,
        /// Somebody deals with it, or has, so it is told anew when it is open again.
        #[serde(default)]
        quiet: bool,
    },
    /// The alarm has ended, and another one must wait.
    Cooling {
        /// Until then.
        until: Timestamp,
    },
}

impl State {
    /// Takes in a reading; returns what to tell, in the order in which it was found.
    pub fn step(&mut self, reading: &Reading, options: &Options, now: Timestamp) -> Vec<Notice> {
        self.not_in_the_future(options, now);
        let reading = &*self.ahead.correct(reading, now);
        let conditions = self.conditions(reading, options, now);
        let mut notices = Vec::new();
        let unread = reading.groups.is_none();
        let present: Vec<&str> = conditions.iter().map(|condition| condition.key.as_str()).collect();
        let gone: Vec<String> = self.tracked.keys().filter(|key| !present.contains(&key.as_str())).cloned().collect();
        for key in gone {
            // What could not be read is not gone.
            let kept = unread && key.starts_with(Kind::DeadLetters.as_str()) || is_unknown_breaker(&key, reading);
            if !kept {
                notices.extend(self.absent(&key, options, now));
            }
        }
        for condition in conditions {
            notices.extend(match condition.hush {
                Hush::Over => self.over(&condition, options, now),
                Hush::None | Hush::Quiet => self.present(condition, options, now),
            });
        }
        notices
    }

    /// The open alarms, the worst first, then the oldest.
    pub fn open(&self) -> Vec<Alarm> {
        let alarm = |tracked: &Tracked| match tracked {
            Tracked::Open { alarm, gone_since, .. } => Some(Alarm { gone_since: *gone_since, ..Alarm::clone(alarm) }),
            _ => None,
        };
        let mut open: Vec<_> = self.tracked.values().filter_map(alarm).collect();
        open.sort_by_key(|alarm| (std::cmp::Reverse(alarm.severity), alarm.opened));
        open
    }

    /// To be called after a restart: the counters of what is read begin anew.
    pub fn restarted(&mut self) {
        self.refused.values_mut().for_each(Window::begin_anew);
    }

    /// Forgets what was learnt about sources that are no longer configured.
    pub fn keep_sources(&mut self, sources: &[String]) {
        self.silence.keep(sources);
    }

    /// A clock that was wrong and was set back must not keep an alarm open, or closed, until it gets there again.
    fn not_in_the_future(&mut self, options: &Options, now: Timestamp) {
        let back = |at: &mut Timestamp| *at = (*at).min(now);
        for tracked in self.tracked.values_mut() {
            match tracked {
                Tracked::Pending { since } => back(since),
                Tracked::Open { alarm, gone_since, told, told_level, .. } => {
                    back(&mut alarm.opened);
                    if *told > now {
                        // A level that is a time was as wrong as the clock: it is taken from the next reading.
                        (*told, *told_level) = (now, UNKNOWN);
                    }
                    gone_since.iter_mut().for_each(back);
                }
                Tracked::Cooling { until } => *until = (*until).min(now.plus(options.cool_down)),
            }
        }
    }

    fn conditions(&mut self, reading: &Reading, options: &Options, now: Timestamp) -> Vec<Condition> {
        let shortest = options.source_silent.unwrap_or(Duration::MAX);
        let silent = self.silence.step(&reading.sources, shortest, now);
        self.refused.retain(|name, _| reading.sources.iter().any(|source| source.name == *name));
        let mut grown = |source: &super::SourceReading| {
            let window = self.refused.entry(source.name.clone()).or_insert_with(|| Window::unseen(now));
            (source.name.clone(), window.growth(source.refused, options.refused_within, now))
        };
        let refused: Vec<_> = reading.sources.iter().map(&mut grown).collect();
        let open = |key: &str| matches!(self.tracked.get(key), Some(Tracked::Open { .. }));
        let known = |key: &str| self.known.contains_key(key);
        let full = self.full.growth(reading.queue_full, FULL_WITHIN, now);
        let memory = Memory { refused: &refused, full, silent: &silent, open: &open, known: &known };
        conditions(reading, &memory, options, now)
    }

    /// The condition is there, or fading.
    fn present(&mut self, condition: Condition, options: &Options, now: Timestamp) -> Option<Notice> {
        let Some(tracked) = self.tracked.get_mut(&condition.key) else {
            if condition.fading || self.tracked.len() >= TRACKED_MAX {
                return None;
            }
            return self.first_seen(condition, now);
        };
        match tracked {
            Tracked::Open { alarm, gone_since, told, told_level, told_text, quiet } => {
                *gone_since = None;
                refresh(alarm, &condition, now);
                if *told_level == UNKNOWN {
                    *told_level = condition.level;
                }
                let was_quiet = std::mem::replace(quiet, condition.hush == Hush::Quiet);
                if *quiet {
                    return None;
                }
                let was_followed = alarm.because.is_some() && !alarm.outlasts;
                if was_followed {
                    if condition.because.is_some() {
                        *told_level = condition.level;
                        return None;
                    }
                    // Its cause is over. While it is worked off there is nothing to tell.
                    *told_level = condition.level.min(*told_level);
                    if condition.fading || condition.level <= told_level.saturating_add(options.hold.as_secs()) {
                        return None;
                    }
                    alarm.outlasts = true;
                }
                if was_quiet || was_followed {
                    (alarm.opened, *told, *told_level, *told_text) = (now, now, condition.level, words(alarm));
                    return Some(Notice { change: Change::Opened, at: now, alarm: Alarm::clone(alarm) });
                }
                let worse = condition.level >= told_level.saturating_mul(GROWTH) && condition.level > *told_level;
                if !worse || condition.fading || told.until(now) < options.update_every {
                    return None;
                }
                // Whoever was told it word by word is not told again.
                let words = words(alarm);
                if *told_text == words {
                    return None;
                }
                (*told, *told_level, *told_text) = (now, condition.level, words);
                Some(Notice { change: Change::Updated, at: now, alarm: Alarm::clone(alarm) })
            }
            Tracked::Pending { .. } if condition.fading => {
                self.tracked.remove(&condition.key);
                None
            }
            Tracked::Pending { since } => (since.until(now) >= condition.lasts).then(|| self.opened(condition, now)),
            Tracked::Cooling { until } if now >= *until => {
                self.tracked.remove(&condition.key);
                if condition.fading { None } else { self.first_seen(condition, now) }
            }
            Tracked::Cooling { .. } => None,
        }
    }

    /// Somebody has dealt with it: as if it were gone, and if it comes back before its alarm has ended, it is told anew.
    fn over(&mut self, condition: &Condition, options: &Options, now: Timestamp) -> Option<Notice> {
        if let Some(Tracked::Open { alarm, quiet, .. }) = self.tracked.get_mut(&condition.key) {
            refresh(alarm, condition, now);
            *quiet = true;
        }
        self.absent(&condition.key, options, now)
    }

    fn first_seen(&mut self, condition: Condition, now: Timestamp) -> Option<Notice> {
        if condition.lasts.is_zero() {
            return Some(self.opened(condition, now));
        }
        self.tracked.insert(condition.key, Tracked::Pending { since: now });
        None
    }

    fn opened(&mut self, condition: Condition, now: Timestamp) -> Notice {
        if condition.kind == Kind::DeadLetters {
            self.remember(condition.key.clone(), now);
        }
        let mut alarm = Alarm {
            key: condition.key.clone(),
            kind: condition.kind,
            severity: condition.kind.severity(),
            subject: condition.subject.clone(),
            summary: String::new(),
            detail: String::new(),
            because: condition.because.clone(),
            outlasts: false,
            todo: Vec::new(),
            assurance: String::new(),
            level: 0,
            opened: now,
            seen: now,
            gone_since: None,
        };
        refresh(&mut alarm, &condition, now);
        let (told, told_level, told_text) = (now, condition.level, words(&alarm));
        let (gone_since, quiet) = (None, false);
        let open = Tracked::Open { alarm: Box::new(alarm.clone()), gone_since, told, told_level, told_text, quiet };
        self.tracked.insert(condition.key, open);
        Notice { change: Change::Opened, at: now, alarm }
    }

    fn remember(&mut self, key: String, now: Timestamp) {
        self.known.insert(key, now);
        if self.known.len() > KNOWN_MAX {
            let oldest = self.known.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.known.remove(&key));
        }
    }

    /// The condition is gone.
    fn absent(&mut self, key: &str, options: &Options, now: Timestamp) -> Option<Notice> {
        match self.tracked.get_mut(key)? {
            Tracked::Open { alarm, gone_since, .. } => {
                let gone = *gone_since.get_or_insert(now);
                if gone.until(now) < options.hold || alarm.opened.until(now) < options.hold {
                    return None;
                }
                let summary = text::over(&alarm.summary, alarm.opened.until(now));
                let alarm = Alarm { summary, level: 0, seen: now, ..Alarm::clone(alarm) };
                self.tracked.insert(key.to_owned(), Tracked::Cooling { until: now.plus(options.cool_down) });
                Some(Notice { change: Change::Resolved, at: now, alarm })
            }
            Tracked::Cooling { until } if now < *until => None,
            Tracked::Pending { .. } | Tracked::Cooling { .. } => {
                self.tracked.remove(key);
                None
            }
        }
    }
}

/// Whether the key is that of a destination of which nobody knows whether it is down.
fn is_unknown_breaker(key: &str, reading: &Reading) -> bool {
    let name = key.strip_prefix(Kind::BreakerOpen.as_str()).and_then(|rest| rest.strip_prefix('/'));
    let unknown = |name| reading.destinations.iter().any(|of| of.name == name && of.breaker == Breaker::Unknown);
    name.is_some_and(unknown)
}

/// What is told of an alarm.
fn words(alarm: &Alarm) -> String {
    format!("{}\n{}", alarm.summary, alarm.detail)
}

fn refresh(alarm: &mut Alarm, condition: &Condition, now: Timestamp) {
    let text = &condition.text;
    alarm.summary.clone_from(&text.summary);
    alarm.detail.clone_from(&text.detail);
    alarm.todo.clone_from(&text.todo);
    alarm.assurance.clone_from(&text.assurance);
    (alarm.level, alarm.seen) = (condition.level, now);
}
