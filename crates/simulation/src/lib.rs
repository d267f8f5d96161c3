//! A simulation of the whole way from a body to its destinations, in virtual time, with every fault drawn from one seed.
//!
//! Bodies are split into events and published as intake does it; the queue is the embedded one or the reference in
//! memory, and delivery is the real one; only the clock, the senders and the destinations are played. Meanwhile the
//! process is killed at any step, the disk is slow and full, the clock is set forward and back, senders publish again,
//! destinations are down in many ways, and somebody edits,
//! redrives and discards dead letters, erases conversations and replays events. The oracle looks on and says what must be
//! true (see `oracle.rs`). A seed does the same again, except for
//! what the threads of the embedded queue do in another order: a crash there may leave another part of the log.
//!
//! `cargo xtask simulate` runs seeds; `tests/` has an outage of four hours, and proves with planted
//! bugs that the oracle sees them.

mod aside;
mod body;
mod clock;
mod dice;
mod ends;
mod faulty;
mod many;
mod operating;
mod oracle;
mod outage;
mod plan;
mod planted;
mod process;
mod review;
mod run;
mod sender;
mod signal;
mod steps;
mod still;
mod store;
mod waiting;
mod watched;
mod world;

pub use clock::VirtualClock;
pub use many::many;
pub use outage::{Outage, Report, outage};
pub use plan::Backend;
pub use planted::Planted;
pub use run::{Found, Summary, simulate, simulate_with};
