//! Delivering the events of dead letters again.

use std::sync::Arc;

use event::{Event, Timestamp};

use crate::{ConsumerId, DeadLetter, DeadLetterId, Seq, Stored};

/// Why an event stands in the log a second time: a dead letter of it was redriven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redriven {
    /// The one destination that it is for.
    pub consumer: ConsumerId,
    /// When; its retention begins anew.
    pub at: Timestamp,
    /// Its bytes are an edited copy of those that were received.
    pub edited: bool,
    /// Where it stood when it was accepted: its place in the order of its conversation.
    pub first: Seq,
}

impl Stored {
    /// An event as it is accepted.
    pub fn new(seq: Seq, event: Event) -> Self {
        Self { seq, event, redriven: None }
    }

    /// Whether this destination may get it at all; whether it does is for the router to say.
    pub fn is_for(&self, consumer: ConsumerId) -> bool {
        self.redriven.is_none_or(|redriven| redriven.consumer == consumer)
    }

    /// Its place in the order of its conversation.
    pub fn first_seq(&self) -> Seq {
        self.redriven.map_or(self.seq, |redriven| redriven.first)
    }

    /// When its retention began.
    pub fn kept_since(&self) -> Timestamp {
        self.redriven.map_or(self.event.received, |redriven| redriven.at)
    }
}

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
