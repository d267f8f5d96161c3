//! What waits for the writer thread. Whatever has come while one commit was being synced goes into the next one: that
//! is the whole of group commit, and it needs no timer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::{Event, EventId, Timestamp};
use parking_lot::{Condvar, Mutex};
use queue::{
    By, ConsumerId, DeadLetter, DeadLetterId, Maintained, Moved, Published, QueueError, RedriveOutcome, Rejection,
    Replay, ReplayPiece, Review, Routes, Settle, TakenOver, Topology,
};
use tokio::sync::oneshot;

use crate::dedupe::Sealed;
use crate::erase::Piece;
use crate::log::Damage;
use crate::options::{BUSY_RETRY_AFTER, EVENT_OVERHEAD_BYTES, MAX_COMMIT_BYTES, MAX_COMMIT_EVENTS, MAX_WAITING_BYTES};
use crate::shared::Routing;

/// Answers one caller.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// One piece of work for the writer.
#[derive(Debug)]
pub(crate) enum Op {
    Publish(Publish),
    Settle {
        settlements: Vec<Settle>,
        now: Timestamp,
        reply: Reply<()>,
    },
    Reject {
        rejection: Rejection,
        reply: Reply<DeadLetterId>,
    },
    Configure {
        topology: Topology,
        reply: std::sync::mpsc::Sender<Result<Vec<ConsumerId>, QueueError>>,
    },
    Maintain {
        now: Timestamp,
        /// Filters of the trail that have been worked out.
        index: Vec<crate::trail_index::Run>,
        reply: Reply<Maintained>,
    },
    /// Delivers the events of dead letters again.
    Redrive {
        ids: Vec<DeadLetterId>,
        by: By,
        reply: Reply<Vec<RedriveOutcome>>,
    },
    /// Delivers a piece of a replay.
    Replay {
        piece: Box<ReplayPiece>,
        now: Timestamp,
        reply: Reply<Replay>,
    },
    /// Takes over what another queue has.
    TakeOver {
        moved: Vec<Moved>,
        reply: Reply<TakenOver>,
    },
    /// Drops dead letters.
    Discard {
        ids: Vec<DeadLetterId>,
        by: By,
        reply: Reply<Vec<DeadLetter>>,
    },
    /// Adds to the audit trail.
    Note {
        entries: Vec<audit::Entry>,
        reply: Reply<()>,
    },
    /// Keeps a note of a destination, or drops it.
    Remember {
        consumer: ConsumerId,
        note: Option<Bytes>,
        reply: Reply<()>,
    },
    /// Keeps an edited copy of a dead letter's body, or drops it.
    Edit {
        id: DeadLetterId,
        copy: Option<Bytes>,
        by: By,
        reply: Reply<bool>,
    },
    /// Erases a piece of a conversation.
    Erase {
        piece: Box<Piece>,
        by: By,
        reply: Reply<()>,
    },
    /// Empties the write-ahead log, if nobody is in the way.
    EmptyLog {
        reply: Reply<bool>,
    },
    /// Sets how far people are with a group; up to which letter is found out.
    Review {
        review: Review,
        reply: Reply<Review>,
    },
    /// Asks for the place of an event, as far as dedupe knows it.
    Find {
        id: EventId,
        reply: Reply<Option<u64>>,
    },
    /// Events of the log turned out to be missing or changed when they were read for a destination.
    Damaged {
        consumer: ConsumerId,
        damages: Vec<Damage>,
        now: Timestamp,
    },
    /// A run of identities has been sorted.
    Sealed(Box<Sealed>),
    /// The checkpointer has copied nearly everything; the writer copies the rest.
    FinishCheckpoint,
    /// The checkpointer could not make what it copied durable.
    Poison(String),
    Close {
        reply: Reply<()>,
    },
}

/// Events to publish, with everything that could be worked out before the writer has them.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) proof: Arc<str>,
    pub(crate) events: Vec<Prepared>,
    pub(crate) content: queue::Content,
    /// The router that made the routes.
    pub(crate) routing: Option<Arc<Routing>>,
    pub(crate) reply: Reply<Vec<Published>>,
}

/// One event to publish.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) event: Event,
    /// SHA-256 of the body.
    pub(crate) digest: audit::Digest,
    pub(crate) body_hash: u64,
    pub(crate) routes: Routes,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ops: VecDeque<Op>,
    bytes: usize,
    writer_waits: bool,
    closed: bool,
}

impl Inbox {
    /// Hands work to the writer; gives it back when the queue is closed or too much waits already.
    pub(crate) fn submit(&self, op: Op) -> Result<(), QueueError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(QueueError::Closed);
        }
        let bytes = op.bytes();
        if bytes > 0 && state.bytes > 0 && state.bytes + bytes > MAX_WAITING_BYTES {
            return Err(QueueError::Busy { retry_after: BUSY_RETRY_AFTER });
        }
        state.bytes += bytes;
        state.closed = matches!(op, Op::Close { .. });
        state.ops.push_back(op);
        if std::mem::take(&mut state.writer_waits) {
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes no more work, and tells everyone whose work is still waiting.
    pub(crate) fn end(&self, error: &QueueError) {
        let waiting = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.ops)
        };
        waiting.into_iter().for_each(|op| op.refuse(error));
    }

    /// Whether the queue has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Takes the work of one commit. Waits for some, at most for `patience`.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Vec<Op> {
        let mut state = self.state.lock();
        if state.ops.is_empty() {
            state.writer_waits = true;
            match patience {
                Some(patience) => {
                    self.arrived.wait_while_for(&mut state, |state| state.ops.is_empty(), patience);
                }
                None => self.arrived.wait_while(&mut state, |state| state.ops.is_empty()),
            }
            state.writer_waits = false;
        }
        let (mut events, mut bytes) = (0, 0);
        let mut taken = Vec::with_capacity(state.ops.len().min(MAX_COMMIT_EVENTS));
        while let Some(op) = state.ops.pop_front() {
            events += op.events();
            bytes += op.bytes();
            state.bytes -= op.bytes();
            taken.push(op);
            if events >= MAX_COMMIT_EVENTS || bytes >= MAX_COMMIT_BYTES {
                break;
            }
        }
        taken
    }
}

impl Op {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish(publish) => {
                publish.events.iter().map(|prepared| prepared.event.body.len() + EVENT_OVERHEAD_BYTES).sum()
            }
            Self::Reject { rejection, .. } => rejection.body.len() + EVENT_OVERHEAD_BYTES,
            Self::Edit { copy: Some(copy), .. } => copy.len() + EVENT_OVERHEAD_BYTES,
            Self::Replay { piece, .. } => {
                piece.events.iter().map(|event| event.body.len() + EVENT_OVERHEAD_BYTES).sum()
            }
            Self::TakeOver { moved, .. } => moved.iter().map(|moved| moved.bytes() + EVENT_OVERHEAD_BYTES).sum(),
            _ => 0,
        }
    }

    fn events(&self) -> usize {
        match self {
            Self::Publish(publish) => publish.events.len(),
            Self::Settle { settlements, .. } => settlements.len(),
            Self::Note { entries, .. } => entries.len(),
            Self::Replay { piece, .. } => piece.events.len().max(1),
            Self::TakeOver { moved, .. } => moved.len().max(1),
            Self::Redrive { ids, .. } | Self::Discard { ids, .. } => ids.len(),
            // A transaction of its own, or almost.
            Self::Erase { .. } => MAX_COMMIT_EVENTS,
            _ => 1,
        }
    }

    /// Tells the caller that nothing was done.
    pub(crate) fn refuse(self, error: &QueueError) {
        match self {
            Self::Publish(publish) => drop(publish.reply.send(Err(error.clone()))),
            Self::Settle { reply, .. }
            | Self::Note { reply, .. }
            | Self::Remember { reply, .. }
            | Self::Erase { reply, .. }
            | Self::Close { reply } => drop(reply.send(Err(error.clone()))),
            Self::Reject { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Configure { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Redrive { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Replay { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::TakeOver { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Discard { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Edit { reply, .. } | Self::EmptyLog { reply } => drop(reply.send(Err(error.clone()))),
            Self::Review { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Maintain { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Find { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Damaged { .. } | Self::Sealed(_) | Self::FinishCheckpoint | Self::Poison(_) => {}
        }
    }
}
