//! Delivering the events of dead letters again.

use std::sync::Arc;

use event::Event;

use crate::{DeadLetter, DeadLetterId, Seq};

impl DeadLetter {
    /// Its event as a redrive would deliver it, if it is of one and was read with its body. What it conflicts with is not
    /// known here.
    pub fn to_event(&self) -> Option<Event> {
        let edited = self.edit.as_ref().and_then(|edit| edit.body.clone());
        Some(Event {
            id: self.event?,
            source: Arc::clone(&self.source),
            topic: Arc::clone(&self.topic),
            conversation: self.conversation.clone(),
            received: self.received?,
            conflict_of: None,
            body: edited.or_else(|| self.body.clone())?,
        })
    }
}

/// What became of a dead letter that was to be redriven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveOutcome {
    /// The dead letter.
    pub id: DeadLetterId,
    /// Where its event stands in the log now, and the dead letter is gone; or why it stays a dead letter.
    pub result: Result<Seq, NotRedriven>,
}

/// Why a dead letter was not redriven. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRedriven {
    /// Gone already: redriven or discarded.
    #[error("there is no such dead letter (any more)")]
    Missing,
    /// A body that never became an event, or an event that is damaged on disk.
    #[error("it is of no event that could be delivered: mend the sender and have it send again")]
    NoEvent,
    /// It would get lost.
    #[error("no route leads its event to `{0}` now: add one, or discard it")]
    NotRouted(String),
    /// What was meant to be delivered cannot be read.
    #[error("its edited copy is damaged on disk: edit it again, or drop the copy to deliver the original")]
    DamagedEdit,
}
