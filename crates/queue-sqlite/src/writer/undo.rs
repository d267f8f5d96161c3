//! After a transaction that failed: what is refused, and what is kept for the next one.

use queue::QueueError;

use super::damage::Burying;
use super::settle::Settling;
use super::{Counters, Done, Writer};
use crate::failure::Failed;
use crate::inbox::Op;

impl Writer {
    /// The transaction failed: puts everything back as it was after the last commit.
    pub(super) fn undo(&mut self, failed: &Failed, before: Counters, done: Done, left: Vec<Op>) {
        let rolled_back = self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok();
        self.dedupe.rolled_back();
        self.counters = before;
        let error = self.shared.note(failed);
        if !rolled_back {
            self.shared
                .set_poisoned(&Failed::Disk(format!("undoing a failed transaction failed too, after: {failed}")));
        }
        if !std::mem::replace(&mut self.failing, true) && !failed.is_fatal() {
            tracing::warn!(%error, "a commit failed and was undone; publishers are asked to try again");
        }
        self.cursors_dirty = true;
        self.trail.undone();
        self.late.undone();
        // Of several the first one's cursors are the oldest. Before cursors are told to store themselves again.
        done.taken_over.into_iter().rev().for_each(|taking| taking.refuse(&error));
        for consumer in self.shared.consumers.read().iter() {
            let mut state = consumer.state.lock();
            state.cursor.store_again();
            state.delivered_dirty = true;
            state.put_aside_dirty |= state.put_aside > 0;
        }
        self.unsettled.extend(done.settled);
        self.unburied.extend(done.buried);
        if !done.maintained.is_empty() {
            self.open_windows();
        }
        done.published.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
        done.rejected.into_iter().for_each(|(reply, ..)| drop(reply.send(Err(error.clone()))));
        done.maintained.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
        done.discarded.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
        done.redriven.into_iter().for_each(|redriving| redriving.refuse(&error));
        done.noted.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
        done.reviewed.refuse(&error);
        done.erased.into_iter().for_each(|erasing| erasing.refuse(&error));
        done.replayed.into_iter().for_each(|replaying| replaying.refuse(&error));
        self.keep(left, &error);
    }

    /// Keeps what must not be lost of the ops that a failed transaction had not come to; refuses the others.
    fn keep(&mut self, left: Vec<Op>, error: &QueueError) {
        for op in left {
            match op {
                Op::Settle { settlements, now, reply } => {
                    let mut settling = Settling::new(settlements, now, reply);
                    // From now on, so that waiting for room does not end the lease of a finished delivery.
                    settling.hold(&self.shared);
                    self.unsettled.push_back(settling);
                }
                Op::Damaged { consumer, damages, now } => {
                    self.unburied.extend(Burying::new(&self.shared, consumer, damages, now));
                }
                other => other.refuse(error),
            }
        }
    }
}
