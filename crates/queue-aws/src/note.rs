//! Notes of destinations: one item each, which the last to write has written. A server that stands by writes none: what it
//! thinks of a destination is nobody's business while another one delivers.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use queue::{ConsumerId, QueueError, check_note};

use crate::head::contended;
use crate::inner::Inner;
use crate::keys;
use crate::table::{Expected, Write, Written};

impl Inner {
    pub(crate) async fn remember(&self, consumer: ConsumerId, note: Option<Bytes>) -> Result<(), QueueError> {
        check_note(note.as_deref())?;
        let destination = self.expect_destination(consumer)?;
        if destination.stands_by.load(Ordering::SeqCst) {
            // What the one who delivers knows counts.
            return Ok(());
        }
        // One that was dropped stays as an empty item.
        let kept: Option<Vec<u8>> = note.map(Vec::from);
        let mut tries = 0;
        loop {
            let write = Write::put(keys::note(destination.id), Expected::Anything, &kept)?;
            if let Written::Done = self.table.write(write).await? {
                return Ok(());
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    pub(crate) async fn remembered(&self, consumer: ConsumerId) -> Result<Option<Bytes>, QueueError> {
        let destination = self.expect_destination(consumer)?;
        let item = self.table.get(&keys::note(destination.id)).await?;
        let kept: Option<Option<Vec<u8>>> = item.map(|item| item.read()).transpose()?;
        Ok(kept.flatten().map(Bytes::from))
    }
}
