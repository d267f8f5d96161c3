//! What the destination's threads and its senders have in common.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::erase::Ask;
use super::held::Held;
use super::journal::{Journal, Refused, Size};
use super::partition::Grain;
use crate::{SendError, clock};

/// See the module.
pub(super) struct Shared {
    /// Its lock is fair in the long run: whoever goes to the store gets it also while one group follows the other.
    pub(super) kept: parking_lot::Mutex<Kept>,
    /// How much is in the journal, for whoever must not wait for a sync.
    pub(super) size: Mutex<Size>,
    pub(super) grain: Grain,
    /// Why the last upload failed; none if it did not.
    pub(super) trouble: Mutex<Option<String>>,
    /// Why files could not be replaced the last time; none if they could.
    pub(super) unmerged: Mutex<Option<String>>,
    pub(super) orders: Mutex<Orders>,
    pub(super) wake: Condvar,
    /// The store, as people write it.
    pub(super) shown: String,
}

/// What the thread that goes to the store is told.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) stop: bool,
    /// There is something to make or to write.
    pub(super) look: bool,
    pub(super) asks: VecDeque<Ask>,
}

/// The journal, and what is in memory of it.
pub(super) struct Kept {
    pub(super) journal: Journal,
    pub(super) held: Held,
}

impl Shared {
    /// Lets others see how much is in the journal.
    pub(super) fn show(&self, size: Size) {
        *locked(&self.size) = size;
    }

    /// Tells the thread that goes to the store that there is something to do.
    pub(super) fn look(&self) {
        locked(&self.orders).look = true;
        self.wake.notify_all();
    }

    /// Why a group was not taken.
    pub(super) fn explain(&self, refused: &Refused) -> SendError {
        match refused {
            Refused::Full => SendError::transient(format!(
                "the journal is full, and what is in it is not in {} yet; deliveries wait until it is, or raise \
                 `journal_bytes`",
                self.shown
            )),
            Refused::Disk(error) => SendError::transient(format!("cannot write the journal: {error}")),
        }
    }

    /// While files cannot be written, nothing more is taken over: that the store is down is seen here then, and not only
    /// when the journal is full.
    pub(super) fn check(&self) -> Result<(), SendError> {
        match &*locked(&self.trouble) {
            Some(problem) => Err(SendError::transient(format!("cannot write to {}: {problem}", self.shown))),
            None => Ok(()),
        }
    }
}

/// What a panic left behind is whole: nothing is half done while a lock is held but what is written anew.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = clock::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
