//! How long the deliveries of a destination take and wait, where its kind decides that: fetching transcripts takes longer
//! than sending an event, and some are waited for over days.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use transcripts::{Options, Schedule};

use super::file::{DestinationKind, DestinationTable};
use super::units::Time;

impl DestinationTable {
    /// Which of its events wait for each other.
    pub(crate) fn order(&self) -> queue::Order {
        let usual = match self.kind {
            // One that is parked for days must not hold up what is asked for later.
            DestinationKind::Transcripts => queue::Order::None,
            _ => queue::Order::default(),
        };
        self.order.unwrap_or(usual)
    }

    /// How long an attempt may take, if that is not what it is for most.
    pub(crate) fn attempt(&self) -> Option<Duration> {
        let usual = (self.kind == DestinationKind::Transcripts).then_some(Options::ATTEMPT);
        self.timeout.map(|timeout| timeout.0).or(usual)
    }

    /// How long its deliveries wait at most, if that is not what it is for most.
    pub(crate) fn longest_wait(&self) -> Option<Duration> {
        let schedule = (self.kind == DestinationKind::Transcripts).then(|| self.schedule().longest());
        schedule.max(self.backoff.and_then(|backoff| backoff.cap).map(|cap| cap.0))
    }

    /// When transcripts are asked for.
    pub(crate) fn schedule(&self) -> Schedule {
        let ScheduleTable { first, base, cap, give_up } = self.schedule.unwrap_or_default();
        let usual = Schedule::default();
        Schedule {
            first: first.map_or(usual.first, |time| time.0),
            base: base.map_or(usual.base, |time| time.0),
            cap: cap.map_or(usual.cap, |time| time.0),
            give_up: give_up.map_or(usual.give_up, |time| time.0),
        }
    }
}

/// When transcripts are asked for, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScheduleTable {
    pub(crate) first: Option<Time>,
    pub(crate) base: Option<Time>,
    pub(crate) cap: Option<Time>,
    pub(crate) give_up: Option<Time>,
}
