//! When to kill, and how the CRM fails meanwhile. The seed decides.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use simulator::crm::Fault;

/// The longest time between being ready and being killed.
const SERVING_MS: u64 = 1_500;
/// The longest time between a change of the database's file, which is made by checkpoints only, and the kill.
const CHECKPOINT_US: u64 = 10_000;
/// When to kill in a start, in thousandths of the time that a start takes.
const STARTING: std::ops::Range<u32> = 0..1_000;
/// Upkeep begins at the end of a start, and takes about as long.
const UPKEEP: std::ops::Range<u32> = 800..2_000;
/// The longest time between being asked to stop and the kill.
const STOPPING_US: u64 = 30_000;
/// Share of the rounds in which the CRM fails for a while.
const FAULTS: f64 = 0.3;
/// How long it fails then, in milliseconds.
const FAULT_MS: std::ops::Range<u64> = 50..500;

/// A moment to kill the server at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    /// In a start, after so many thousandths of the time that a start takes.
    Starting(u32),
    /// So long after it was ready.
    Serving(Duration),
    /// So long after a checkpoint has begun to write.
    Checkpointing(Duration),
    /// While a start drops what is beyond retention, after so many thousandths of the time that a start takes.
    Upkeep(u32),
    /// So long after it was asked to stop, which it was after serving for so long.
    Stopping(Duration, Duration),
}

impl Moment {
    /// What it is called in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Starting(_) => "starting",
            Self::Serving(_) => "serving",
            Self::Checkpointing(_) => "checkpointing",
            Self::Upkeep(_) => "dropping old events",
            Self::Stopping(..) => "stopping",
        }
    }
}

/// Makes the choices.
pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The next moment. Of ten kills about three are in serving, and each other kind has its share.
    pub(super) fn moment(&mut self) -> Moment {
        let serving = Duration::from_millis(self.0.random_range(0..=SERVING_MS));
        let micros = |dice: &mut StdRng, most| Duration::from_micros(dice.random_range(0..=most));
        match self.0.random_range(0..20) {
            0..4 => Moment::Starting(self.0.random_range(STARTING)),
            4..10 => Moment::Serving(serving),
            10..15 => Moment::Checkpointing(micros(&mut self.0, CHECKPOINT_US)),
            15..18 => Moment::Upkeep(self.0.random_range(UPKEEP)),
            _ => Moment::Stopping(serving, micros(&mut self.0, STOPPING_US)),
        }
    }

    /// How the CRM fails in this round, and for how long.
    pub(super) fn fault(&mut self) -> Option<(Fault, Duration)> {
        if !self.0.random_bool(FAULTS) {
            return None;
        }
        let fault = match self.0.random_range(0..6) {
            0 => Fault::UNAVAILABLE,
            1 => Fault::Status { code: 429, retry_after: Some(1) },
            2 => Fault::Reset { written: true },
            3 => Fault::Reset { written: false },
            4 => Fault::Timeout { written: true },
            _ => Fault::Slow(Duration::from_millis(self.0.random_range(1..100))),
        };
        Some((fault, Duration::from_millis(self.0.random_range(FAULT_MS))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_seed_decides() {
        let rounds = |seed| {
            let mut dice = Dice::new(seed);
            (0..50).map(|_| (dice.moment(), dice.fault())).collect::<Vec<_>>()
        };
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
    }

    #[test]
    fn every_kind_of_moment_comes_up() {
        let mut dice = Dice::new(1);
        let names: BTreeSet<_> = (0..200).map(|_| dice.moment().name()).collect();
        assert_eq!(names.len(), 5);
    }
}
