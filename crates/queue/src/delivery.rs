//! What comes out of a queue: leases on events, how they are settled, and dead letters.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Again, ConsumerId, Edit, Fingerprint};

/// Place of an event in the log. The first event has 1, and there are no gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Seq(pub u64);

/// An accepted event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place.
    pub seq: Seq,
    /// The event.
    pub event: Event,
    /// Set if it is here again for one destination only.
    pub again: Option<Again>,
}

/// The right, for a time, to deliver one event to one destination.
#[derive(Debug, Clone)]
pub struct Lease {
    /// To settle it with.
    pub token: LeaseToken,
    /// The event.
    pub stored: Arc<Stored>,
    /// Which of the router's routes chose this destination.
    pub route: u16,
    /// What was tried before.
    pub attempts: Attempts,
    /// An earlier event of its conversation is a dead letter of this destination.
    pub behind_dead: bool,
    /// After this time the event may be leased again.
    pub until: Timestamp,
}

/// Names one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    /// The destination.
    pub consumer: ConsumerId,
    /// The event.
    pub seq: Seq,
    /// Tells this lease from earlier ones of the same event.
    pub generation: u64,
}

/// How often a delivery has been tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// Attempts made.
    pub made: u32,
    /// Those that were charged to the retry budget.
    pub charged: u32,
    /// When the first one began.
    pub first: Option<Timestamp>,
    /// When the last one ended; the retry budget asks what the destination did since.
    pub last: Option<Timestamp>,
}

/// How one lease ended.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The lease.
    pub token: LeaseToken,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an attempt.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// There was nothing to deliver.
    Done,
    /// The destination took it.
    Delivered(Answer),
    /// Try again at `at`, which may be in the past; `attempts` counts this attempt too.
    Retry {
        /// When.
        at: Timestamp,
        /// With this attempt counted.
        attempts: Attempts,
        /// Why it failed.
        failure: Failure,
    },
    /// Failed for good: becomes a dead letter; `attempts` counts this attempt too.
    Dead {
        /// With this attempt counted.
        attempts: Attempts,
        /// Why it failed.
        failure: Failure,
    },
    /// Not attempted: may be leased again at once, with nothing counted.
    Release,
    /// Not attempted, and done: its event is in this part of the archive, to be replayed when the destination is up again.
    PutAside(Arc<str>),
}

/// What a destination said to a delivery that it took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// HTTP status, if it speaks HTTP.
    pub status: Option<u16>,
    /// How long the attempt took, in milliseconds.
    pub latency_ms: u32,
    /// Which mapping made the payload: the hash of its text.
    pub mapping: Option<Arc<str>>,
}

/// Why a delivery failed. Never holds secrets; the excerpt is bounded by whoever makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Where it failed.
    pub stage: Stage,
    /// Whether trying again can help.
    pub class: FailureClass,
    /// HTTP status, if the destination answered.
    pub status: Option<u16>,
    /// What happened, in one line.
    pub message: String,
    /// The start of the destination's answer.
    pub excerpt: Option<String>,
    /// How long the attempt took, in milliseconds.
    pub latency_ms: u32,
    /// Where it failed, as far as that is known: a JSON pointer into the event, or into what the destination got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Which mapping was in force: the hash of its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
}

impl Failure {
    /// One of which no more is known.
    pub fn new(stage: Stage, class: FailureClass, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { stage, class, status: None, message, excerpt: None, latency_ms: 0, path: None, mapping: None }
    }
}

/// Where on its way an event failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading the body.
    Intake,
    /// Keeping it.
    Queue,
    /// Choosing destinations.
    Route,
    /// Making the destination's payload.
    Map,
    /// Sending it.
    Deliver,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    /// It can: timeout, connection, 408, 425, 429, 5xx.
    Transient,
    /// It can't: another 4xx, a mapping error.
    Permanent,
    /// Our own fault, caught: counts as permanent.
    Bug,
}

macro_rules! lowercase_names {
    ($($type:ty { $($variant:ident = $name:literal),+ $(,)? })+) => { $(
        impl $type {
            /// The name used in storage, JSON and text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Reads back what `as_str` gave.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )+ };
}

lowercase_names! {
    Stage { Intake = "intake", Queue = "queue", Route = "route", Map = "map", Deliver = "deliver" }
    FailureClass { Transient = "transient", Permanent = "permanent", Bug = "bug" }
}

/// Names a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct DeadLetterId(pub u64);

/// An event that failed for good at one destination, or a body that could not become an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// When it died.
    pub died: Timestamp,
    /// The destination; `None` at stage `intake`.
    pub destination: Option<Arc<str>>,
    /// The event's place in the log; `None` at stage `intake`.
    pub seq: Option<Seq>,
    /// The event's id; `None` at stage `intake`.
    pub event: Option<EventId>,
    /// The source.
    pub source: Arc<str>,
    /// The topic; empty at stage `intake`.
    pub topic: Arc<str>,
    /// The conversation.
    pub conversation: Option<Arc<str>>,
    /// What was tried.
    pub attempts: Attempts,
    /// Why the last attempt failed.
    pub failure: Failure,
    /// Whether an earlier event of its conversation is a dead letter there too; only [`crate::Queue::dead_letter`] tells.
    pub behind_dead: bool,
    /// Events of its conversation that wait for it, as far as they have been read from the log; only
    /// [`crate::Queue::dead_letter`] counts them.
    pub held: u64,
    /// When the event was received; only [`crate::Queue::dead_letter`] fills it.
    pub received: Option<Timestamp>,
    /// The event's bytes; only [`crate::Queue::dead_letter`] fills it.
    pub body: Option<Bytes>,
    /// The edited copy of the body that a redrive delivers in its place.
    pub edit: Option<Edit>,
    /// Its event is an edited copy of what was received, since an earlier redrive; only [`crate::Queue::dead_letter`]
    /// fills it.
    pub altered: bool,
}

/// Selects dead letters.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterQuery {
    /// Only of this destination.
    pub destination: Option<String>,
    /// Only of this conversation.
    pub conversation: Option<String>,
    /// Only of this stage.
    pub stage: Option<Stage>,
    /// Only of this group.
    pub group: Option<Fingerprint>,
    /// Only those that died at this time or later.
    pub since: Option<Timestamp>,
    /// Only those that died before this time.
    pub until: Option<Timestamp>,
    /// Only after this one, for paging.
    pub after: Option<DeadLetterId>,
    /// At most so many; 0 means 100.
    pub limit: usize,
}

impl DeadLetterQuery {
    /// Letters of a page when the query names no limit.
    pub const DEFAULT_LIMIT: usize = 100;

    /// How many letters a page has.
    pub fn page(&self) -> usize {
        if self.limit == 0 { Self::DEFAULT_LIMIT } else { self.limit }
    }

    /// Whether it selects this letter, whatever its place.
    pub fn selects(&self, letter: &DeadLetter) -> bool {
        let is =
            |wanted: &Option<String>, has: &Option<Arc<str>>| wanted.is_none() || wanted.as_deref() == has.as_deref();
        is(&self.destination, &letter.destination)
            && is(&self.conversation, &letter.conversation)
            && self.stage.is_none_or(|stage| stage == letter.failure.stage)
            && self.since.is_none_or(|since| letter.died >= since)
            && self.until.is_none_or(|until| letter.died < until)
            // Last, because it takes the most work.
            && self.group.is_none_or(|group| group == letter.fingerprint())
    }
}
