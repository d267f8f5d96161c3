//! From the queue to the destinations: for each destination one [`Service`], isolated from all others.
//!
//! A service leases what is due, has the payload made by a [`Mapper`], sends it to the destination and settles: done,
//! retry at a time, or dead. It never has more attempts under way than the concurrency limit, holds no more bodies
//! than that, and settles in groups without ever waiting for a group to fill.
//!
//! The decisions are pure and have files of their own: [`Backoff`] (how long to wait), `budget` (whether an attempt is
//! charged to the event), `decide` (what becomes of it), and `gate` (how much may be leased now), which asks [`breaker`](BreakerOptions), `adaptive`
//! and [`rate`](RateOptions). The order
//! within a conversation is the queue's: it does not lease an event before the one ahead of it is settled.
//!
//! A crash at any point leaves leases behind, which end by themselves; their deliveries are made again.

mod adaptive;
mod aside;
mod attempt;
mod backoff;
mod breaker;
mod budget;
mod clock;
mod complaint;
mod decide;
mod error;
mod gate;
mod group;
mod handle;
mod health;
mod mapper;
mod options;
mod pause;
mod rate;
mod report;
mod service;
#[cfg(test)]
mod tests;
mod traced;

pub use aside::{Group, Last, NotPutAside, PutAside};
pub use backoff::{Backoff, RETRY_AFTER_MAX};
pub use breaker::{BreakerOptions, BreakerState, BreakerStatus, stands_open_since};
pub use clock::{Clock, SystemClock};
pub use error::Error;
pub use gate::GateStatus;
pub use handle::{Handle, Switch};
pub use health::{Health, HealthSnapshot, LATENCY_BOUNDS_MS, LastError, Rest};
pub use mapper::{MapError, Mapper};
pub use options::Options;
pub use rate::RateOptions;
pub use service::{Parts, Service};
