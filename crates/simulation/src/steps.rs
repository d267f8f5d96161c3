//! What happened last, for whoever has to find out why a seed failed.

use std::collections::VecDeque;
use std::sync::Arc;

use delivery::Clock as _;
use parking_lot::Mutex;

use crate::clock::VirtualClock;

/// Steps that are kept; the cause of a failure is rarely further away.
const KEPT: usize = 120;

/// The last steps of a run.
pub(crate) struct Steps {
    clock: Arc<VirtualClock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    last: VecDeque<String>,
    /// A hash over all steps, by which two runs are compared.
    all: u64,
    /// What was wrong has been noted; what came before it is of interest, not what comes behind it.
    closed: bool,
}

impl Steps {
    pub(crate) fn new(clock: &Arc<VirtualClock>) -> Arc<Self> {
        Arc::new(Self { clock: clock.clone(), kept: Mutex::default() })
    }

    /// Notes a step.
    pub(crate) fn note(&self, step: impl FnOnce() -> String) {
        let mut kept = self.kept.lock();
        if kept.closed {
            return;
        }
        let step = step();
        kept.closed = step.starts_with("WRONG");
        let line =
            format!("{:>12.3} s  {:>13}  {step}", self.clock.elapsed().as_secs_f64(), self.clock.now().as_millis());
        let hash = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        kept.all = line.as_bytes().iter().fold(kept.all, hash);
        if kept.last.len() == KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(line);
    }

    /// The last steps, and the hash over all.
    pub(crate) fn last(&self) -> (Vec<String>, u64) {
        let kept = self.kept.lock();
        (kept.last.iter().cloned().collect(), kept.all)
    }
}
