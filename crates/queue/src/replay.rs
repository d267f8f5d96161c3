//! Delivering events again that were accepted before, whether they are still in the log or come from an archive.
//!
//! A replay is done in pieces. Each piece is one commit that holds its events and how far the replay has come, so a crash
//! never repeats a piece and never leaves one out.

use std::sync::Arc;

use event::{Event, Timestamp};
use serde::Serialize;

use crate::{QueueError, Seq, Stored};

/// A page of the log, in the order of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// What stands there, also what stands there again for one destination.
    pub events: Vec<Stored>,
    /// Places whose event is damaged.
    pub damaged: Vec<Seq>,
    /// Everything up to here has been looked at; the next page comes after it.
    pub through: Seq,
    /// Nothing came after it when the page was read.
    pub end: bool,
}

/// One piece of a replay.
#[derive(Debug, Clone)]
pub struct ReplayPiece {
    /// Names the replay.
    pub id: String,
    /// What is replayed, for people.
    pub selection: String,
    /// The one destination that gets the events.
    pub destination: Arc<str>,
    /// Where the piece goes on; `None` begins a replay, or begins one anew that is done.
    pub from: Option<String>,
    /// How far the replay has come with it; the queue does not look into it.
    pub to: String,
    /// Whether it is the last one.
    pub done: bool,
    /// What [`crate::Queue::erasures`] was before the events were read.
    pub erasures: u64,
    /// Deliveries that were put aside and that the replay has passed with it; see [`crate::ConsumerStatus::put_aside`].
    pub put_aside: u64,
    /// The events, at most [`ReplayPiece::EVENTS_MAX`], and at most [`ReplayPiece::BYTES_MAX`] of them unless it is one.
    pub events: Vec<Event>,
}

impl ReplayPiece {
    /// Events of one piece: few enough that their commit holds nobody up.
    pub const EVENTS_MAX: usize = 1_000;
    /// Bytes of bodies of one piece: they are in memory until it is committed.
    pub const BYTES_MAX: usize = 8 << 20;
    /// Finished replays that are remembered; the oldest are forgotten first.
    pub const REMEMBERED: usize = 1_000;

    /// What will be known of the replay with this piece, of which the events are still to be counted; `known` is what was
    /// known before.
    ///
    /// # Errors
    /// When the piece is too large, the replay is not where it goes on, or there were more `erasures` since its events were
    /// read.
    pub fn begin(&self, known: Option<&Replay>, erasures: u64, now: Timestamp) -> Result<Replay, QueueError> {
        let bytes: usize = self.events.iter().map(|event| event.body.len()).sum();
        if self.events.len() > Self::EVENTS_MAX || self.events.len() > 1 && bytes > Self::BYTES_MAX {
            return Err(QueueError::Invalid(format!(
                "a piece of a replay has at most {} events and {} bytes",
                Self::EVENTS_MAX,
                Self::BYTES_MAX
            )));
        }
        let fits = match (known, &self.from) {
            (None, from) => from.is_none(),
            (Some(known), None) => known.done,
            (Some(known), Some(from)) => !known.done && known.position == *from,
        };
        if !fits {
            return Err(QueueError::Invalid(format!(
                "replay {} is elsewhere by now; another command goes on with it, or it is done",
                self.id
            )));
        }
        if self.erasures != erasures {
            return Err(QueueError::Transient {
                detail: "something was erased while the events to be replayed were read; ask again".to_owned(),
            });
        }
        let before = known.filter(|_| self.from.is_some());
        Ok(Replay {
            id: self.id.clone(),
            selection: self.selection.clone(),
            destination: self.destination.to_string(),
            position: self.to.clone(),
            queued: before.map_or(0, |before| before.queued),
            not_routed: before.map_or(0, |before| before.not_routed),
            done: self.done,
            began: before.map_or(now, |before| before.began),
            changed: now,
        })
    }

    /// The piece names no destination of the present configuration.
    pub fn no_destination(name: &str) -> QueueError {
        QueueError::Invalid(format!("there is no destination `{name}` now"))
    }
}

/// What is known of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replay {
    /// Names it: the same selection has the same.
    pub id: String,
    /// What is replayed.
    pub selection: String,
    /// The destination.
    pub destination: String,
    /// How far it has come.
    #[serde(skip)]
    pub position: String,
    /// Events that were put on their way.
    pub queued: u64,
    /// Events that no route leads to the destination.
    pub not_routed: u64,
    /// Whether it is at its end.
    pub done: bool,
    /// When it began.
    pub began: Timestamp,
    /// When its last piece was committed.
    pub changed: Timestamp,
}
