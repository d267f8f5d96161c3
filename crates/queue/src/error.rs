//! What can go wrong in a queue, and what the caller should do.

use std::time::Duration;

/// An operation on the queue did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// There is no room; nothing was stored. Works again by itself when there is room.
    #[error("the queue's disk is full ({detail}); free some space, nothing that was accepted is lost")]
    Full {
        /// What the store said.
        detail: String,
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// Too much is waiting to be stored; nothing of this call was.
    #[error("the queue is busy; try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// An earlier sync or write failed in a way that leaves the state of the disk unknown; the queue has stopped.
    #[error("the queue has stopped: {reason}")]
    Poisoned {
        /// What failed, and what to do.
        reason: String,
    },
    /// A passing failure of the store; this call had no effect.
    #[error("the queue could not do this now: {detail}")]
    Transient {
        /// What the store said.
        detail: String,
    },
    /// Something stored is damaged, or was written by another version.
    #[error("the queue's data is damaged: {detail}")]
    Damaged {
        /// What is damaged, where, and what to do.
        detail: String,
    },
    /// The call itself is wrong, for example an unknown destination.
    #[error("{0}")]
    Invalid(String),
    /// The queue has been closed.
    #[error("the queue is closed")]
    Closed,
}
