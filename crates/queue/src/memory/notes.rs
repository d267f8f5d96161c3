//! Notes of destinations.

use bytes::Bytes;

use super::state::State;
use crate::{ConsumerId, QueueError, check_note};

impl State {
    pub(super) fn remember(&mut self, id: ConsumerId, note: Option<Bytes>) -> Result<(), QueueError> {
        check_note(note.as_deref())?;
        self.remembered(id)?;
        match note {
            Some(note) => drop(self.notes.insert(id, note)),
            None => drop(self.notes.remove(&id)),
        }
        Ok(())
    }

    pub(super) fn remembered(&self, id: ConsumerId) -> Result<Option<Bytes>, QueueError> {
        match id == ConsumerId::QUEUE || usize::from(id.0) < self.consumers.len() {
            true => Ok(self.notes.get(&id).cloned()),
            false => Err(QueueError::Invalid(format!("no destination has id {}", id.0))),
        }
    }
}
