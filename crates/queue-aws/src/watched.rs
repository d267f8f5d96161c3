//! What those who watch the queue must not forget, in one item and, if it is much, further ones beside it. Whoever writes it
//! has read what was there: of several who watch at once, one goes on, and the others see that.
//!
//! The first item and its parts are written in one transaction and have the same stamp; what has another is of a state
//! before or after.

use std::fmt;

use queue::QueueError;
use rand::RngExt;

use crate::AwsQueue;
use crate::inner::Inner;
use crate::keys;
use crate::table::{Committed, Direction, Expected, Stamp, Write, Written};

/// Bytes of one item: one of DynamoDB has 400 KB, with its names and what is around it.
const PART_BYTES: usize = 380_000;
/// Items at most: a transaction has 4 MB, also where its bytes are counted as the base64 that is sent.
const PARTS_MAX: usize = 7;
/// Bytes that are kept at most.
pub const WATCHED_BYTES_MAX: usize = PART_BYTES * PARTS_MAX;
/// Tries to read a state that others write meanwhile; they do so once a minute.
const READS_MAX: u32 = 10;

/// A state of the items.
#[derive(Clone, Copy)]
pub struct Seen {
    stamp: Option<Stamp>,
    /// Items beside the first.
    beside: usize,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

impl AwsQueue {
    /// What was kept last, if anything was.
    ///
    /// # Errors
    /// When the table cannot be asked, or what is there is damaged.
    pub async fn watched(&self) -> Result<(Seen, Option<Vec<u8>>), QueueError> {
        self.run(|inner| async move {
            for _ in 0..READS_MAX {
                if let Some(whole) = whole(&inner).await? {
                    return Ok(whole);
                }
            }
            let detail = "what alarms remember changes while it is read; try again";
            Err(QueueError::Transient { detail: detail.to_owned() })
        })
        .await
    }

    /// Keeps this in place of what was `seen`; `None` if somebody else has kept something since then.
    ///
    /// # Errors
    /// When it is too large, or the table cannot be asked; then it is not known which of the two is there.
    pub async fn keep_watched(&self, seen: Seen, kept: Vec<u8>) -> Result<Option<Seen>, QueueError> {
        if kept.len() > WATCHED_BYTES_MAX {
            let bytes = kept.len();
            let detail = format!("alarms take {bytes} bytes, and {WATCHED_BYTES_MAX} is the most that is kept");
            return Err(QueueError::Invalid(detail));
        }
        self.run(move |inner| async move {
            let expected = seen.stamp.map_or(Expected::Nothing, Expected::Stamp);
            let (first, rest) = kept.split_at(kept.len().min(PART_BYTES));
            let head = Write::put(keys::watched(), expected, &first)?;
            let rest: Vec<_> = rest.chunks(PART_BYTES).collect();
            let beside = rest.len();
            if beside == 0 && seen.beside == 0 {
                let stamp: Stamp = rand::rng().random();
                return Ok(match inner.table.write_as(head, stamp).await? {
                    Written::Done => Some(Seen { stamp: Some(stamp), beside }),
                    Written::Refused(_) => None,
                });
            }
            let parts =
                (0..).zip(&rest).map(|(part, bytes)| Write::put(keys::watched_part(part), Expected::Anything, bytes));
            let mut writes = parts.collect::<Result<Vec<_>, _>>()?;
            writes
                .extend((beside..seen.beside).map(|part| Write::delete(keys::watched_part(part), Expected::Anything)));
            writes.push(head);
            Ok(match inner.table.commit(writes).await? {
                Committed::Done(stamp) => Some(Seen { stamp: Some(stamp), beside }),
                Committed::Refused(_) => None,
            })
        })
        .await
    }
}

/// All of what is kept; `None` if it was changed while it was read.
async fn whole(inner: &Inner) -> Result<Option<(Seen, Option<Vec<u8>>)>, QueueError> {
    let Some(head) = inner.table.get(&keys::watched()).await? else {
        return Ok(Some((Seen { stamp: None, beside: 0 }, None)));
    };
    let (first, last) = (keys::watched_part(0), keys::watched_part(PARTS_MAX));
    let parts = inner.table.range(&first.partition, &first.sort, &last.sort, Direction::Up, PARTS_MAX).await?;
    if inner.table.get(&keys::watched()).await?.is_none_or(|now| now.stamp != head.stamp) {
        return Ok(None);
    }
    let mut kept: Vec<u8> = head.read()?;
    for part in &parts {
        kept.extend(part.read::<Vec<u8>>()?);
    }
    Ok(Some((Seen { stamp: Some(head.stamp), beside: parts.len() }, Some(kept))))
}
