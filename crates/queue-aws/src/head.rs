//! The head of the queue: how far places and dead letters are numbered, and what is counted.
//!
//! Whoever numbers something writes the head in the same transaction. So numbers have no gaps, also after a crash, and
//! what is read up to the head's last place is all that there is.

use std::sync::atomic::Ordering;

use queue::{ConsumerId, QueueError};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::inner::Inner;
use crate::keys;
use crate::options::{CONTENDED_MAX, CONTENDED_PAUSE, RETRY_AFTER};
use crate::table::{Expected, Write};
use crate::trail::End;

/// The head, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The last place of the log.
    pub(crate) last: u64,
    /// The first place that retention has not dropped.
    pub(crate) begin: u64,
    /// The last number of a dead letter.
    pub(crate) last_letter: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflicts: u64,
    pub(crate) unmatched: u64,
    pub(crate) redriven: u64,
    pub(crate) replayed: u64,
    /// Dead letters that there are.
    pub(crate) letters: u64,
    /// How often something was erased.
    pub(crate) erasures: u64,
    /// Events that were accepted for each destination, by its id.
    pub(crate) routed: Vec<u64>,
    /// What replays have passed of what was put aside for each destination, by its id.
    pub(crate) passed: Vec<u64>,
    /// Where the audit trail ends.
    pub(crate) trail: End,
}

impl Inner {
    /// The head, and what a write of it has to expect.
    pub(crate) async fn head(&self) -> Result<(Head, Expected), QueueError> {
        match self.table.get(&keys::head()).await? {
            Some(item) => {
                let head: Head = item.read()?;
                self.erasures.fetch_max(head.erasures, Ordering::AcqRel);
                Ok((head, Expected::Stamp(item.stamp)))
            }
            None => Ok((Head { begin: 1, ..Head::default() }, Expected::Nothing)),
        }
    }
}

impl Head {
    /// Events that were accepted for a destination.
    pub(crate) fn routed(&self, id: ConsumerId) -> u64 {
        self.routed.get(usize::from(id.0)).copied().unwrap_or(0)
    }

    /// Counts one for a destination.
    pub(crate) fn count_routed(&mut self, id: ConsumerId) {
        add(&mut self.routed, id, 1);
    }

    /// What replays have passed of what was put aside for a destination.
    pub(crate) fn passed(&self, id: ConsumerId) -> u64 {
        self.passed.get(usize::from(id.0)).copied().unwrap_or(0)
    }

    /// Counts some that a replay has passed.
    pub(crate) fn count_passed(&mut self, id: ConsumerId, count: u64) {
        add(&mut self.passed, id, count);
    }
}

/// Adds to the count of a destination.
fn add(counts: &mut Vec<u64>, id: ConsumerId, count: u64) {
    let at = usize::from(id.0);
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    if let Some(known) = counts.get_mut(at) {
        *known += count;
    }
}

/// The head as a part of a transaction.
pub(crate) fn write(head: &Head, expected: Expected) -> Result<Write, QueueError> {
    Write::put(keys::head(), expected, head)
}

/// Pauses after somebody else has written in between, for the `tries`-th time.
///
/// # Errors
/// `Busy` when that goes on and on.
pub(crate) async fn contended(tries: u32) -> Result<(), QueueError> {
    if tries >= CONTENDED_MAX {
        return Err(QueueError::Busy { retry_after: RETRY_AFTER });
    }
    let longest = CONTENDED_PAUSE.min(std::time::Duration::from_millis(2 << tries.min(10)));
    let pause = longest.mul_f64(rand::rng().random());
    tokio::time::sleep(pause).await;
    Ok(())
}
