//! What people do about dead letters without delivering or dropping them, inside a transaction: edited copies, and how
//! far they are with a group.

use queue::{By, DeadLetterId, QueueError, Review, trail};

use super::{Done, Writer};
use crate::failure::Failed;
use crate::inbox::Reply;
use crate::{dead_letters, edits, reviews};

/// What is to be told once it is durable.
#[derive(Default)]
pub(super) struct Reviewed {
    edited: Vec<(Reply<bool>, bool)>,
    /// A state that could not be stored is undone with its transaction.
    set: Vec<(Reply<Review>, Review)>,
}

impl Reviewed {
    pub(super) fn finish(self) {
        self.edited.into_iter().for_each(|(reply, found)| drop(reply.send(Ok(found))));
        self.set.into_iter().for_each(|(reply, review)| drop(reply.send(Ok(review))));
    }

    pub(super) fn refuse(self, error: &QueueError) {
        self.edited.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
        self.set.into_iter().for_each(|(reply, _)| drop(reply.send(Err(error.clone()))));
    }
}

impl Writer {
    /// Keeps an edited copy, or drops it; whoever asked is in `done` afterwards whatever happens.
    pub(super) fn edit(
        &mut self,
        id: DeadLetterId,
        copy: Option<&[u8]>,
        by: &By,
        reply: Reply<bool>,
        done: &mut Done,
    ) -> Result<(), Failed> {
        let edited = self.edit_one(id, copy, by);
        done.reviewed.edited.push((reply, matches!(edited, Ok(true))));
        edited.map(drop)
    }

    fn edit_one(&mut self, id: DeadLetterId, copy: Option<&[u8]>, by: &By) -> Result<bool, Failed> {
        if dead_letters::find(&self.connection, id)?.is_none() {
            return Ok(false);
        }
        match copy {
            Some(copy) => edits::store(&self.connection, id, copy, by)?,
            None => edits::remove(&self.connection, id)?,
        }
        self.trail.push(&self.connection, trail::edited(id, copy, by))?;
        Ok(true)
    }

    /// Sets how far people are with a group; whoever asked is in `done` afterwards whatever happens.
    pub(super) fn review(&mut self, review: Review, reply: Reply<Review>, done: &mut Done) -> Result<(), Failed> {
        let noted = self.trail.push(&self.connection, trail::reviewed(&review));
        let stored = noted.and_then(|()| reviews::store(&self.connection, review.clone()));
        let (told, failed) = match stored {
            Ok(stored) => (stored, None),
            Err(failed) => (review, Some(failed)),
        };
        done.reviewed.set.push((reply, told));
        failed.map_or(Ok(()), Err)
    }
}
