//! What is moved at the end, when nothing changes any more. All of it can be done again.

use crate::moving::{Move, Shared};
use crate::{DeadLetter, DeadLetterId, DeadLetterQuery, Queue, QueueError, Rejection, ReviewState, Stage};

/// Letters of a page.
const PAGE: usize = 500;

/// Both queues, for what is left.
pub(super) struct Rest<'a> {
    pub(super) from: &'a dyn Queue,
    pub(super) to: &'a dyn Queue,
    pub(super) the_move: &'a Move,
}

impl Rest<'_> {
    /// Bodies that became no event; how many were moved, and how many cannot be.
    pub(super) async fn rejected(&self) -> Result<(u64, u64), QueueError> {
        let (mut moved, mut damaged, mut after) = (0, 0, None);
        while let Some((letters, last)) = page(self.from, after).await? {
            after = Some(last);
            for id in letters {
                let Some(DeadLetter { source, received, body: Some(body), failure, edit, died, .. }) =
                    self.from.dead_letter(id).await?
                else {
                    damaged += 1;
                    continue;
                };
                let received = received.unwrap_or(died);
                let rejection = Rejection { source, received, proof: self.the_move.proof(), body, failure };
                let there = self.to.reject(rejection).await?;
                if let Some(edit) = edit.filter(|edit| edit.body.is_some()) {
                    self.to.edit(there, edit.body, edit.by).await?;
                }
                moved += 1;
            }
        }
        Ok((moved, damaged))
    }

    /// How far people are with groups. Of a group that was opened again by a later letter nothing is noted: there it is
    /// open, as it is here.
    pub(super) async fn reviews(&self) -> Result<(), QueueError> {
        let groups = self.from.dead_letter_groups(DeadLetterQuery::default()).await?;
        let mut reviews = self.from.reviews().await?;
        reviews.sort_by_key(|review| review.by.at);
        for review in reviews {
            let newest = groups.iter().find(|group| group.fingerprint == review.group).map(|group| group.newest);
            if review.state != ReviewState::Open && newest.is_none_or(|newest| newest <= review.seen) {
                self.to.set_review(review.group, review.state, review.by).await?;
            }
        }
        Ok(())
    }

    /// What whoever delivers has noted of destinations.
    pub(super) async fn notes(&self, shared: &[Shared]) -> Result<(), QueueError> {
        for Shared { from, to, .. } in shared {
            if let Some(note) = self.from.remembered(*from).await? {
                self.to.remember(*to, Some(note)).await?;
            }
        }
        Ok(())
    }
}

/// How many bodies became no event.
pub(super) async fn count_rejected(from: &dyn Queue) -> Result<u64, QueueError> {
    let (mut count, mut after) = (0, None);
    while let Some((letters, last)) = page(from, after).await? {
        (count, after) = (count + letters.len() as u64, Some(last));
    }
    Ok(count)
}

/// Some of them behind one, and the last that was looked at.
async fn page(
    from: &dyn Queue,
    after: Option<DeadLetterId>,
) -> Result<Option<(Vec<DeadLetterId>, DeadLetterId)>, QueueError> {
    let query = DeadLetterQuery { stage: Some(Stage::Intake), after, limit: PAGE, ..DeadLetterQuery::default() };
    let letters = from.dead_letters(query).await?;
    let Some(last) = letters.last().map(|letter| letter.id) else { return Ok(None) };
    let of_no_event = letters.into_iter().filter(|letter| letter.seq.is_none()).map(|letter| letter.id);
    Ok(Some((of_no_event.collect(), last)))
}
