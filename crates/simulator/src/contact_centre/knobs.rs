//! What can be chosen about the contact centre.

use crate::SimulatorError;

/// Settings of a [`ContactCentre`](super::ContactCentre). Shares are probabilities from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Knobs {
    /// Decides every choice; the same seed and knobs give the same requests.
    pub seed: u64,
    /// How many different events to emit in all; the last conversation is cut short to meet it. Default 1,000.
    pub events: u64,
    /// How many conversations go on at the same time, 1 to 100,000. Default 50, a small contact centre.
    pub conversations_at_once: usize,
    /// When simulated time begins, in milliseconds of Unix time. Default 2026-03-02T08:00:00Z, a Monday morning.
    pub start_ms: i64,
    /// Share of the agents who hand the conversation over to another one. Default 0.25.
    pub transferred: f64,
    /// How many agents one conversation has at most, 1 to 100. Default 4.
    pub agents_max: usize,
    /// Share of the customers who hang up before an agent answers. Default 0.05.
    pub abandoned: f64,
    /// Share of the requests that carry more than one event. Default 0.1.
    pub batched: f64,
    /// How many events one request carries at most, 1 to 10,000. Default 10.
    pub batch_max: usize,
    /// Share of the EventBridge requests in the flat shape: fields right under `detail`. Default 0.2.
    pub flat: f64,
    /// Share of the EventBridge requests whose envelopes are wrapped as `{"requestPayload": …}`. Default 0.1.
    pub wrapped: f64,
    /// Share of the requests that come again later, with the same events. Default 0.05.
    pub duplicated: f64,
    /// Of the EventBridge requests that come again, the share with new EventBridge ids and times. Default 0.5.
    pub republished: f64,
    /// Share of the events that are emitted some seconds late, so behind later ones of their conversation. Default 0,
    /// as an order that was not sent cannot be checked at the other end.
    pub reordered: f64,
    /// Share of the values that are unusual: escapes, very long digits, exponents, extremes. Default 0.1.
    pub odd: f64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            seed: 1,
            events: 1_000,
            conversations_at_once: 50,
            start_ms: 1_772_438_400_000,
            transferred: 0.25,
            agents_max: 4,
            abandoned: 0.05,
            batched: 0.1,
            batch_max: 10,
            flat: 0.2,
            wrapped: 0.1,
            duplicated: 0.05,
            republished: 0.5,
            reordered: 0.0,
            odd: 0.1,
        }
    }
}

/// The latest start: 9000-01-01, so that written times keep four digits for the year.
const LATEST_START_MS: i64 = 221_845_392_000_000;

impl Knobs {
    pub(super) fn check(&self) -> Result<(), SimulatorError> {
        for (name, share) in [
            ("transferred", self.transferred),
            ("abandoned", self.abandoned),
            ("batched", self.batched),
            ("flat", self.flat),
            ("wrapped", self.wrapped),
            ("duplicated", self.duplicated),
            ("republished", self.republished),
            ("reordered", self.reordered),
            ("odd", self.odd),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(SimulatorError::setting(name, format!("{share} is no share: use a number from 0 to 1")));
            }
        }
        for (name, value, most) in [
            ("conversations_at_once", self.conversations_at_once, 100_000),
            ("agents_max", self.agents_max, 100),
            ("batch_max", self.batch_max, 10_000),
        ] {
            if !(1..=most).contains(&value) {
                return Err(SimulatorError::setting(name, format!("{value} is out of range: use 1 to {most}")));
            }
        }
        if !(0..=LATEST_START_MS).contains(&self.start_ms) {
            return Err(SimulatorError::setting("start_ms", "use milliseconds of Unix time before the year 9000"));
        }
        Ok(())
    }
}
