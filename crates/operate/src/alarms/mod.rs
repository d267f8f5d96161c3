//! Decides which alarms are open. Pure: no clock, no I/O, no randomness.
//!
//! ```text
//!  Reading ──► conditions ──► State::step(now) ──► Notice (opened / updated / resolved)
//! ```
//!
//! A *condition* is what is wrong at this instant. An *alarm* is a condition that lasted long enough to be told. Between
//! the two stand the rules that keep alarms from storming: a condition fades before it is gone (hysteresis), an alarm
//! stays open until its condition was gone for a while (hold), is not opened again right after that (cool-down), tells
//! of changes at a bounded rate, and 50,000 dead letters of one group are one alarm.

mod ahead;
mod alarm;
mod conditions;
mod hours;
mod ledger;
mod options;
mod reading;
mod silence;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod window;

pub use alarm::{Alarm, Change, Kind, Notice, Severity};
pub use ledger::{Ledger, Mismatch};
pub use options::Options;
pub use reading::{Breaker, DestinationReading, NotifierReading, Reading, SourceReading, TopicReading};
pub use silence::Silence;
pub use state::{State, Tracked};
pub use text::BY_ITSELF;
