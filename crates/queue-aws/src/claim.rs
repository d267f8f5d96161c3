//! Identities: who has claimed one, and whether what claimed it was committed.
//!
//! A publication claims the identity of each of its events with one conditional write, before it is committed. The claim
//! names the publication and not a place. The commit is one transaction, and the fate of the publication is a part of it.
//! So a claim means what became of its publication:
//!
//! - *committed*: the identity is known;
//! - *prevented*: the claim is void, and the next one takes it over;
//! - *nothing yet*: somebody is at it. After [`CLAIM_LEASE`] whoever wants the identity prevents that publication from
//!   being committed, by writing its fate first; so no clock decides what is true.
//!
//! A publication that crashes leaves claims without a fate. They cost the next sender of the same events some patience,
//! never an event. Claims stay as long as events do, and lead from an id to its event; whether the dedupe window is over
//! is compared in code, because DynamoDB drops what has expired within days only.

use event::{EventId, Timestamp};
use queue::{QueueError, Stored};
use serde::{Deserialize, Serialize};

use crate::head::{Head, contended};
use crate::inner::Inner;
use crate::keys;
use crate::options::{CLAIM_LEASE, EXPIRY_SLACK};
use crate::table::{Expected, Stamp, Write, Written};

/// A claim, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) received: Timestamp,
    pub(crate) body_hash: u64,
    /// The publication.
    pub(crate) by: Stamp,
}

/// What became of a publication, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// Its events stand from this place on, so many of them.
    Committed { first: u64, count: u64 },
    /// It was taken to be over, or has given up, and cannot be committed any more.
    Prevented,
}

/// What came of claiming an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It is new.
    Ours,
    /// An event has it.
    Known(Known),
}

/// The event that has an identity: one of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) body_hash: u64,
    first: u64,
    count: u64,
}

impl Inner {
    /// Claims an identity for a publication.
    ///
    /// # Errors
    /// `Busy` when another publication has claimed it and has no fate yet.
    pub(crate) async fn claim(&self, id: EventId, claim: &Claim) -> Result<Claimed, QueueError> {
        self.claim_as(id, claim, false).await
    }

    /// The same; whoever is `alone` knows that nobody is at what has no fate.
    pub(crate) async fn claim_as(&self, id: EventId, claim: &Claim, alone: bool) -> Result<Claimed, QueueError> {
        let (mut expected, mut tries) = (Expected::Nothing, 0);
        loop {
            let write = Write::put(keys::claim(id), expected, claim)?.expiring(self.expiry(claim.received));
            let there = match self.table.write(write).await? {
                Written::Done => return Ok(Claimed::Ours),
                Written::Refused(there) => there,
            };
            let Some(item) = there else {
                expected = Expected::Nothing;
                contended(tries).await?;
                tries += 1;
                continue;
            };
            let before: Claim = item.read()?;
            if before.by == claim.by {
                return Ok(Claimed::Ours);
            }
            expected = match self.fate_for(&before, claim.received, alone).await? {
                Some(Fate::Committed { first, count }) if self.is_known(&before, claim.received) => {
                    return Ok(Claimed::Known(Known { body_hash: before.body_hash, first, count }));
                }
                Some(_) => Expected::Stamp(item.stamp),
                None => {
                    contended(tries).await?;
                    Expected::Nothing
                }
            };
            tries += 1;
        }
    }

    fn is_known(&self, claim: &Claim, now: Timestamp) -> bool {
        claim.received.until(now) < self.options.queue.dedupe_window
    }

    /// What became of a claim's publication; it is prevented if it has had its time. `None`: somebody may be at it.
    async fn fate_for(&self, claim: &Claim, now: Timestamp, alone: bool) -> Result<Option<Fate>, QueueError> {
        if let Some(fate) = self.fate(&claim.by).await? {
            return Ok(Some(fate));
        }
        if !alone && claim.received.until(now) < CLAIM_LEASE {
            return Ok(None);
        }
        self.prevent(&claim.by, now).await.map(Some)
    }

    async fn fate(&self, publication: &Stamp) -> Result<Option<Fate>, QueueError> {
        let item = self.table.get(&keys::fate(publication)).await?;
        item.map(|item| item.read()).transpose()
    }

    /// Prevents a publication from being committed, unless it is; returns what became of it.
    pub(crate) async fn prevent(&self, publication: &Stamp, now: Timestamp) -> Result<Fate, QueueError> {
        let mut tries = 0;
        loop {
            let write = self.fate_write(publication, Fate::Prevented, now)?;
            match self.table.write(write).await? {
                Written::Done => return Ok(Fate::Prevented),
                Written::Refused(Some(item)) => return item.read(),
                // A transaction is at it just now.
                Written::Refused(None) => contended(tries).await?,
            }
            tries += 1;
        }
    }

    /// The fate of a publication, to be written where it has none.
    pub(crate) fn fate_write(&self, publication: &Stamp, fate: Fate, now: Timestamp) -> Result<Write, QueueError> {
        Ok(Write::put(keys::fate(publication), Expected::Nothing, &fate)?.expiring(self.expiry(now)))
    }

    fn expiry(&self, received: Timestamp) -> Timestamp {
        let queue = self.options.queue;
        received.plus(queue.retention.max(queue.dedupe_window)).plus(EXPIRY_SLACK)
    }

    /// The event that has an identity, unless it was dropped.
    pub(crate) async fn known(&self, head: &Head, id: EventId, known: Known) -> Result<Option<Stored>, QueueError> {
        let (first, last) = (known.first, known.first + known.count.saturating_sub(1));
        if last < head.begin || last > head.last {
            return Ok(None);
        }
        let count = usize::try_from(known.count).unwrap_or(usize::MAX);
        let chunks = self.log(head, first, count, usize::MAX).await?;
        let events = chunks.iter().flat_map(|chunk| chunk.all());
        let mut events = events.filter(|stored| (head.begin.max(first)..=last).contains(&stored.seq.0));
        Ok(events.find(|stored| stored.event.id == id))
    }

    /// The event with this id as it was accepted, if it is still there.
    pub(crate) async fn event(&self, id: EventId) -> Result<Option<Stored>, QueueError> {
        let Some(item) = self.table.get(&keys::claim(id)).await? else { return Ok(None) };
        let claim: Claim = item.read()?;
        let Some(Fate::Committed { first, count }) = self.fate(&claim.by).await? else { return Ok(None) };
        let (head, _) = self.head().await?;
        self.known(&head, id, Known { body_hash: claim.body_hash, first, count }).await
    }
}
