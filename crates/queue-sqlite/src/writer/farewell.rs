//! How the writer ends: closed, or by a bug of its own. Either way it leaves nobody waiting.

use std::sync::Arc;
use std::thread;

use queue::QueueError;

use crate::failure::Failed;
use crate::shared::Shared;

/// However the writer ends, also by a bug, nobody waits for it afterwards.
pub(super) struct Farewell(pub(super) Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let error =
            if thread::panicking() { self.0.set_poisoned(&Failed::Disk(ENDED.to_owned())) } else { QueueError::Closed };
        self.0.inbox.end(&error);
        self.0.wake_all();
    }
}

const ENDED: &str = "the writer has ended unexpectedly; restart Aftercall, and report what the log says";

/// What to tell whoever got no answer.
pub(crate) fn ended() -> QueueError {
    QueueError::Poisoned { reason: ENDED.to_owned() }
}
