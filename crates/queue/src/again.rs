//! Events that stand in the log once more, for one destination only.

use event::{Event, Timestamp};

use crate::{ConsumerId, Seq, Stored};

/// That an event stands in the log again, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// The one destination that it is for.
    pub consumer: ConsumerId,
    /// When; its retention begins anew.
    pub at: Timestamp,
    /// Why.
    pub why: Why,
    /// Its bytes are an edited copy of those that were received.
    pub edited: bool,
    /// Where it stood when it was accepted: its place in the order of its conversation.
    pub first: Seq,
}

/// Why an event stands in the log again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A dead letter of it was redriven.
    Redriven,
    /// It was replayed.
    Replayed,
}

impl Stored {
    /// An event as it is accepted.
    pub fn new(seq: Seq, event: Event) -> Self {
        Self { seq, event, again: None }
    }

    /// Whether this destination may get it at all; whether it does is for the router to say.
    pub fn is_for(&self, consumer: ConsumerId) -> bool {
        self.again.is_none_or(|again| again.consumer == consumer)
    }

    /// Its place in the order of its conversation.
    pub fn first_seq(&self) -> Seq {
        self.again.map_or(self.seq, |again| again.first)
    }

    /// When its retention began.
    pub fn kept_since(&self) -> Timestamp {
        self.again.map_or(self.event.received, |again| again.at)
    }

    /// Whether it is here because it was replayed.
    pub fn is_replayed(&self) -> bool {
        self.again.is_some_and(|again| again.why == Why::Replayed)
    }
}
