//! How far people are with groups of dead letters: one item, since there are few and all are needed together.

use std::sync::Arc;

use event::Timestamp;
use queue::{By, DeadLetterId, Fingerprint, QueueError, REVIEWS_MAX, Review, ReviewState};
use serde::{Deserialize, Serialize};

use crate::head::{self, contended};
use crate::inner::Inner;
use crate::keys;
use crate::table::{Committed, Expected, Write};
use crate::trail::Trail;

/// Bytes of the item: DynamoDB takes 400 KB. Where reasons are long the oldest states go before there are
/// [`REVIEWS_MAX`] of them.
const REVIEWS_BYTES: usize = 380 << 10;

/// A state, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    group: u64,
    state: ReviewState,
    name: Arc<str>,
    reason: Arc<str>,
    at: Timestamp,
    seen: u64,
}

impl Kept {
    fn review(self) -> Review {
        let by = By { name: self.name, reason: self.reason, at: self.at };
        Review { group: Fingerprint(self.group), state: self.state, by, seen: DeadLetterId(self.seen) }
    }
}

impl Inner {
    async fn kept_reviews(&self) -> Result<(Vec<Kept>, Expected), QueueError> {
        match self.table.get(&keys::reviews()).await? {
            Some(item) => Ok((item.read()?, Expected::Stamp(item.stamp))),
            None => Ok((Vec::new(), Expected::Nothing)),
        }
    }

    /// All of them, the oldest first.
    pub(crate) async fn reviews(&self) -> Result<Vec<Review>, QueueError> {
        Ok(self.kept_reviews().await?.0.into_iter().map(Kept::review).collect())
    }

    pub(crate) async fn set_review(
        &self,
        group: Fingerprint,
        state: ReviewState,
        by: By,
    ) -> Result<Review, QueueError> {
        let mut tries = 0;
        loop {
            let (mut reviews, expected) = self.kept_reviews().await?;
            let (mut head, at_head) = self.head().await?;
            let By { name, reason, at } = by.clone();
            let kept = Kept { group: group.0, state, name, reason, at, seen: head.last_letter };
            reviews.retain(|other| other.group != group.0);
            reviews.push(kept.clone());
            let bytes = |kept: &Kept| 40 + kept.name.len() + kept.reason.len();
            let mut sum: usize = reviews.iter().map(bytes).sum();
            while reviews.len() > REVIEWS_MAX || sum > REVIEWS_BYTES {
                sum -= bytes(&reviews.remove(0));
            }
            let review = kept.review();
            let mut trail = Trail::behind(&head);
            trail.push(queue::trail::reviewed(&review));
            let mut writes = trail.finish(&mut head)?;
            writes.push(head::write(&head, at_head)?);
            writes.push(Write::put(keys::reviews(), expected, &reviews)?);
            if let Committed::Done(_) = self.table.commit(writes).await? {
                return Ok(review);
            }
            contended(tries).await?;
            tries += 1;
        }
    }
}
