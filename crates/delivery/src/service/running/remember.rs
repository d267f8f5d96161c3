//! What a service keeps in the queue's notes, so that the one that follows it, after a restart or on another machine, goes on
//! where it stood: the [breaker](crate::breaker).
//!
//! One note is written at a time, beside everything else, and only when the breaker has changed. A crash before it is durable
//! leaves the one before, with which the next service probes a little earlier or later. So does a note that cannot be written.

use bytes::Bytes;
use queue::{ConsumerId, Queue, QueueError};
use tracing::warn;

use super::Running;
use crate::breaker::Note;
use crate::gate::Gate;

/// What a service was told of the one before it.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::service) struct Before {
    /// Where its breaker stood.
    pub(in crate::service) note: Option<Note>,
    /// The destination is another one since then.
    pub(in crate::service) another: bool,
}

/// Where the breaker stood. A note that cannot be read is none, and a warning says so.
pub(in crate::service) async fn remembered(queue: &dyn Queue, consumer: ConsumerId, destination: &str) -> Option<Note> {
    let read = match queue.remembered(consumer).await {
        Ok(None) => return None,
        Ok(Some(stored)) => Note::unpack(&stored),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = &read {
        warn!(destination, error, "where the breaker stood cannot be read; it begins as if the destination were up");
    }
    read.ok()
}

impl Running<'_> {
    /// Goes on where the service before it stood.
    pub(in crate::service) fn restore(&mut self, before: Before) {
        let Some(note) = before.note else { return };
        self.kept = Some(note);
        self.gate.restore(note, before.another, self.tools.clock.now());
        if let Some((at, status)) = note.failure() {
            self.health.restore_failure(at, status);
        }
    }

    /// Whether what was leased, if anything, is not to be tried: another process delivers, or has until now, and where that
    /// has left the breaker is not known yet.
    pub(super) fn is_taking_over(&mut self) -> bool {
        if self.queue.stands_by(self.consumer) {
            self.stood_by = true;
            return true;
        }
        if std::mem::take(&mut self.stood_by) {
            self.recall = Some(Box::pin(remembered(self.queue, self.consumer, self.name)));
            return true;
        }
        false
    }

    /// Goes on where the process stood that has delivered until now.
    pub(super) fn take_over(&mut self, note: Option<Note>) {
        let now = self.tools.clock.now();
        self.gate = Gate::new(self.options, self.gate.is_paused());
        self.restore(Before { note, another: false });
        self.kept = note;
        self.look = true;
        self.show(now);
    }

    /// Begins to keep where the breaker stands, if that is another place than the one that is kept.
    pub(super) fn remember(&mut self) {
        let status = self.health.last_status();
        let note = self.gate.note(self.kept).map(|note| note.with_status(status));
        if self.remember.is_none() && note != self.kept && !self.is_cut() {
            self.kept = note;
            self.remember = Some(self.queue.remember(self.consumer, note.map(|note| Bytes::from(note.pack()))));
        }
    }

    /// It is kept; or else it is not tried again, since there is more to keep with the next probe.
    pub(super) fn kept(&mut self, result: Result<(), QueueError>) {
        if let Err(error) = result {
            let destination = self.name;
            warn!(destination, %error, "where the breaker stands cannot be kept; a restart goes by what was kept before");
        }
    }

    /// Whether only settlements are waited for.
    fn is_cut(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.cut)
    }
}
