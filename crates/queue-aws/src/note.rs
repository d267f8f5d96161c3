//! Notes of destinations: one item each, which the last to write has written. A server that stands by writes none: what it
//! thinks of a destination is nobody's business while another one delivers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use queue::{ConsumerId, QueueError, check_note};

use crate::head::contended;
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::table::{Expected, Write, Written};

impl Inner {
    pub(crate) async fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> Result<(), QueueError> {
        check_note(note.as_deref())?;
        let destination = self.noted(consumer)?;
        if destination.is_some_and(|destination| destination.stands_by.load(Ordering::SeqCst)) {
            // What the one who delivers knows counts.
            return Ok(());
        }
        // One that was dropped stays as an empty item.
        let kept: Option<Vec<u8>> = note.map(Vec::from);
        let mut tries = 0;
        loop {
            let write = Write::put(keys::note(consumer), Expected::Anything, &kept)?;
            if let Written::Done = self.table.write(write).await? {
                return Ok(());
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// The destination that a note is of; none if it is of the whole queue.
    fn noted(&self, consumer: ConsumerId) -> Result<Option<Arc<Destination>>, QueueError> {
        if consumer == ConsumerId::QUEUE { Ok(None) } else { self.expect_destination(consumer).map(Some) }
    }

    pub(crate) async fn remembered(&self, consumer: ConsumerId) -> Result<Option<Bytes>, QueueError> {
        self.noted(consumer)?;
        let item = self.table.get(&keys::note(consumer)).await?;
        let kept: Option<Option<Vec<u8>>> = item.map(|item| item.read()).transpose()?;
        Ok(kept.flatten().map(Bytes::from))
    }
}
