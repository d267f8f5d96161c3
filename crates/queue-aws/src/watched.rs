//! What those who watch the queue must not forget, in one item. Whoever writes it has read what was there: of several who watch
//! at once, one goes on, and the others see that.

use std::fmt;

use queue::QueueError;
use rand::RngExt;

use crate::AwsQueue;
use crate::keys;
use crate::table::{Expected, Stamp, Write, Written};

/// Bytes that are kept at most: an item of DynamoDB has 400 KB, with its names and what is around it.
pub const WATCHED_BYTES_MAX: usize = 380_000;

/// A state of the item.
#[derive(Clone, Copy)]
pub struct Seen(Option<Stamp>);

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
            let item = inner.table.get(&keys::watched()).await?;
            let seen = Seen(item.as_ref().map(|item| item.stamp));
            Ok((seen, item.map(|item| item.read()).transpose()?))
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
            let expected = seen.0.map_or(Expected::Nothing, Expected::Stamp);
            let stamp: Stamp = rand::rng().random();
            let write = Write::put(keys::watched(), expected, &kept)?;
            Ok(match inner.table.write_as(write, stamp).await? {
                Written::Done => Some(Seen(Some(stamp))),
                Written::Refused(_) => None,
            })
        })
        .await
    }
}
