//! What a queue notes about a move that it is a part of, so that nobody works on it meanwhile, or on what has moved away.

use std::sync::Arc;

use audit::{Entry, What};
use bytes::Bytes;
use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::Tally;
use crate::{ConsumerId, Queue, QueueError};

/// A move: from where, to where, and when it was begun, which tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// What is moved, for people.
    pub from: Arc<str>,
    /// Where to, for people.
    pub to: Arc<str>,
    /// When it was begun.
    pub began: Timestamp,
}

/// What a queue is in a move. An ordinary one has no standing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is being moved.
    MovingTo(Move),
    /// It takes over.
    MovingFrom(Move),
    /// It was moved: what it has is what was there then.
    MovedTo(Move),
}

impl Move {
    /// Where its events come from, for the audit trail.
    pub(super) fn proof(&self) -> Arc<str> {
        Arc::from(format!("moved from {}", self.from))
    }

    /// Whether it is the same one, also if it was begun anew.
    fn is(&self, other: &Self) -> bool {
        self == other
    }
}

impl Standing {
    /// That of a queue.
    ///
    /// # Errors
    /// Those of the queue, and when it has a note that this version cannot read.
    pub async fn of(queue: &dyn Queue) -> Result<Option<Self>, QueueError> {
        let Some(note) = queue.remembered(ConsumerId::QUEUE).await? else { return Ok(None) };
        let read = serde_json::from_slice(&note);
        read.map(Some).map_err(|error| QueueError::Damaged { detail: format!("the note about a move: {error}") })
    }

    /// Why no server may work on a queue of this standing, and what to do.
    pub fn refusal(&self) -> String {
        match self {
            Self::MovingTo(Move { to, .. }) => format!(
                "this queue is being moved to {to}: go on with `aftercall move`, or give it up with `aftercall move --abandon`"
            ),
            Self::MovingFrom(Move { from, .. }) => format!(
                "a move from {from} into this queue is not finished: go on with `aftercall move`, or use another, empty queue"
            ),
            Self::MovedTo(Move { to, .. }) => {
                format!("everything in this queue was moved to {to}: serve with the configuration that names it")
            }
        }
    }
}

/// Gives up a move of which a queue is the first one. What the other one has got is of no use any more.
///
/// # Errors
/// When there is no such move.
pub async fn abandon(from: &dyn Queue, now: Timestamp) -> Result<Move, QueueError> {
    match Standing::of(from).await? {
        Some(Standing::MovingTo(the_move)) => {
            note_in_trail(from, "give up move", &the_move.to, String::new(), now).await?;
            set(from, None).await?;
            Ok(the_move)
        }
        Some(standing) => Err(QueueError::Invalid(standing.refusal())),
        None => Err(QueueError::Invalid("no move of this queue is under way".to_owned())),
    }
}

async fn set(queue: &dyn Queue, standing: Option<Standing>) -> Result<(), QueueError> {
    let note = standing.map(|standing| serde_json::to_vec(&standing)).transpose();
    let note = note.map_err(|error| QueueError::Invalid(format!("the note about a move: {error}")))?;
    queue.remember(ConsumerId::QUEUE, note.map(Bytes::from)).await
}

/// Whether a queue can be moved as it is.
pub(super) async fn fits(from: &dyn Queue, now: Timestamp) -> Result<(), QueueError> {
    let status = from.status(now).await?;
    if let Some(consumer) = status.consumers.iter().find(|consumer| consumer.put_aside > 0) {
        return Err(QueueError::Invalid(format!(
            "{} deliveries to `{}` are put aside in the archive: replay them before the move (`aftercall replay`)",
            consumer.put_aside, consumer.name
        )));
    }
    if let Some(replay) = from.replays(None).await?.into_iter().find(|replay| !replay.done) {
        return Err(QueueError::Invalid(format!(
            "the replay {} to `{}` is not at its end: go on with it before the move",
            replay.id, replay.destination
        )));
    }
    Ok(())
}

/// Notes in both queues that a move is under way. Returns it as it was begun first.
pub(super) async fn note_begin(from: &dyn Queue, to: &dyn Queue, new: Move) -> Result<Move, QueueError> {
    let refuse = |why: String| Err(QueueError::Invalid(why));
    let begun = match (Standing::of(from).await?, Standing::of(to).await?) {
        (Some(Standing::MovingTo(one)), Some(Standing::MovingFrom(other))) if one.is(&other) => return Ok(one),
        // A crash came between the two notes.
        (None, Some(Standing::MovingFrom(begun))) if begun.from == new.from && is_empty(to, new.began).await? => begun,
        (None, None) if is_empty(to, new.began).await? => new,
        (None, None) => {
            return refuse(format!(
                "{} has events or dead letters of its own: a move needs an empty queue, or what is there would come out of \
                 order",
                new.to
            ));
        }
        (None, Some(standing)) => return refuse(format!("{}: {}", new.to, standing.refusal())),
        // Everything was moved, and a crash came before that was noted in the other one.
        (Some(Standing::MovedTo(one)), Some(Standing::MovingFrom(other))) if one.is(&other) => return Ok(one),
        (Some(standing), _) => return refuse(format!("{}: {}", new.from, standing.refusal())),
    };
    set(to, Some(Standing::MovingFrom(begun.clone()))).await?;
    note_in_trail(from, "begin move", &begun.to, String::new(), begun.began).await?;
    set(from, Some(Standing::MovingTo(begun.clone()))).await?;
    Ok(begun)
}

/// Notes that everything has moved: in the first queue, and then in the other.
pub(super) async fn note_end(
    from: &dyn Queue,
    to: &dyn Queue,
    the_move: &Move,
    tally: &Tally,
    now: Timestamp,
) -> Result<(), QueueError> {
    let told = serde_json::to_string(tally).unwrap_or_default();
    if !matches!(Standing::of(from).await?, Some(Standing::MovedTo(_))) {
        note_in_trail(from, "move", &the_move.to, told.clone(), now).await?;
        set(from, Some(Standing::MovedTo(the_move.clone()))).await?;
    }
    note_in_trail(to, "move", &the_move.from, told, now).await?;
    set(to, None).await
}

/// Whether nothing was ever accepted.
async fn is_empty(queue: &dyn Queue, now: Timestamp) -> Result<bool, QueueError> {
    let status = queue.status(now).await?;
    Ok(status.accepted + status.redriven + status.replayed + status.dead_letters == 0)
}

async fn note_in_trail(
    queue: &dyn Queue,
    action: &str,
    subject: &Arc<str>,
    detail: String,
    at: Timestamp,
) -> Result<(), QueueError> {
    let what = What::Done {
        by: Arc::from("aftercall"),
        action: Arc::from(action),
        subject: Arc::clone(subject),
        detail: Arc::from(detail),
    };
    queue.note(vec![Entry { at, what }]).await
}
