//! Dead letters that were made elsewhere, and come with their event from another queue.

use std::sync::Arc;

use queue::{DeadLetter, QueueError, Stored};

use super::{KeptEdit, Letter};
use crate::inner::Destination;

impl Letter {
    /// Of an event that was moved here with it.
    pub(crate) fn moved(
        destination: &Destination,
        stored: &Stored,
        letter: &DeadLetter,
        shard: u8,
    ) -> Result<Self, QueueError> {
        let of = Self::of(destination, stored, letter.attempts, &letter.failure, letter.died)?;
        let copy = letter.edit.as_ref().and_then(|edit| edit.body.as_ref());
        let edit = letter.edit.as_ref().filter(|_| copy.is_some()).map(|edit| KeptEdit {
            name: Arc::clone(&edit.by.name),
            reason: Arc::clone(&edit.by.reason),
            at: edit.by.at,
        });
        Ok(Self { shard, edit, copy: copy.map(|copy| copy.to_vec()), altered: letter.altered || of.altered, ..of })
    }
}
