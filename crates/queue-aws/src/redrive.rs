//! What people do with dead letters: redriving and discarding them, in transactions of some letters each.
//!
//! A crash between two transactions leaves the later letters as they were.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use event::Event;
use queue::{Again, By, DeadLetter, DeadLetterId, NotRedriven, QueueError, RedriveOutcome, Seq, Stored, Why};

use crate::chunk::{Chunk, Kept};
use crate::head::{self, Head, contended};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::letter::{Letter, removal};
use crate::options::{RETRY_AFTER, TRANSACTION_BYTES};
use crate::shard::{Delivery, shard_of};
use crate::state::Part;
use crate::table::{Committed, Expected, Write};
use crate::trail::Trail;

/// Dead letters of one transaction: three items each, at most a shard and an item of the log each, and the head.
const LETTERS_OF_A_COMMIT: usize = 18;

/// Shards of several destinations that are changed by one transaction.
type Parts = BTreeMap<(queue::ConsumerId, u8), Part>;

/// A transaction that takes dead letters away.
struct Work {
    head: Head,
    expected: Expected,
    parts: Parts,
    gone: Vec<(DeadLetterId, Letter, Expected)>,
    /// Events that stand in the log again, in their order.
    again: Vec<Stored>,
    trail: Trail,
    bytes: usize,
}

impl Inner {
    pub(crate) async fn redrive(&self, ids: Vec<DeadLetterId>, by: By) -> Result<Vec<RedriveOutcome>, QueueError> {
        let mut outcomes = Vec::with_capacity(ids.len());
        let mut left = ids.as_slice();
        while !left.is_empty() {
            let done = self.redrive_some(&left[..left.len().min(LETTERS_OF_A_COMMIT)], &by).await;
            match done {
                Ok(done) => {
                    left = &left[done.len()..];
                    outcomes.extend(done);
                }
                // The others are to be asked for again.
                Err(error) if outcomes.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        self.wired.read().tell_all();
        Ok(outcomes)
    }

    /// Redrives as many of these as fit one transaction, at least one.
    async fn redrive_some(&self, ids: &[DeadLetterId], by: &By) -> Result<Vec<RedriveOutcome>, QueueError> {
        let mut tries = 0;
        loop {
            let (head, expected) = self.head().await?;
            let mut work = Work::begin(head, expected);
            let mut outcomes = Vec::new();
            for &id in ids {
                let Some(result) = self.redrive_one(id, by, &mut work).await? else { break };
                outcomes.push(RedriveOutcome { id, result });
            }
            if outcomes.is_empty() {
                return Err(QueueError::Busy { retry_after: RETRY_AFTER });
            }
            if work.gone.is_empty() || self.commit_work(work).await? {
                return Ok(outcomes);
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// Adds one to the work; `None` if there is no room for it.
    async fn redrive_one(
        &self,
        id: DeadLetterId,
        by: &By,
        work: &mut Work,
    ) -> Result<Option<Result<Seq, NotRedriven>>, QueueError> {
        if work.gone.iter().any(|(gone, ..)| *gone == id) {
            return Ok(Some(Err(NotRedriven::Missing)));
        }
        let Some((kept, expected)) = self.letter(id).await? else { return Ok(Some(Err(NotRedriven::Missing))) };
        let letter = self.with_bodies(id, &kept).await?;
        let (destination, event) = match self.routed(&letter) {
            Ok(routed) => routed,
            Err(why) => return Ok(Some(Err(why))),
        };
        let shard = kept.shard;
        let part = self.part_of(work, &destination, shard).await?;
        if !part.shard.has_room() || !work.has_room(&event) {
            return Ok(None);
        }
        work.lose(&destination, shard, id)?;
        work.head.last += 1;
        work.head.redriven += 1;
        let why = if kept.replayed { Why::Replayed } else { Why::Redriven };
        let edited = kept.altered || letter.edit.is_some();
        let again = Again { consumer: destination.id, at: by.at, why, edited, first: Seq(kept.first) };
        let place = Seq(work.head.last);
        work.trail.push(queue::trail::redriven(&letter, place, by));
        work.bytes += event.body.len() + 1_000;
        work.again.push(Stored { again: Some(again), ..Stored::new(place, event) });
        work.take(id, kept, expected);
        Ok(Some(Ok(place)))
    }

    /// The destination of a dead letter, and the event that goes there.
    fn routed(&self, letter: &DeadLetter) -> Result<(Arc<Destination>, Event), NotRedriven> {
        let (Some(name), Some(event)) = (&letter.destination, letter.to_event()) else {
            return Err(NotRedriven::NoEvent);
        };
        let not_routed = || NotRedriven::NotRouted(name.to_string());
        let wired = self.wired.read();
        let destination = wired.named(name).ok_or_else(not_routed)?;
        let place = destination.setting.lock().place;
        place.and_then(|place| wired.route(&event, place)).ok_or_else(not_routed)?;
        Ok((destination, event))
    }

    async fn part_of<'a>(
        &self,
        work: &'a mut Work,
        destination: &Destination,
        shard: u8,
    ) -> Result<&'a mut Part, QueueError> {
        match work.parts.entry((destination.id, shard)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(self.part(destination.id, shard).await?)),
        }
    }

    /// Drops dead letters for good.
    pub(crate) async fn discard(&self, ids: Vec<DeadLetterId>, by: By) -> Result<Vec<DeadLetter>, QueueError> {
        let mut gone = Vec::new();
        for ids in ids.chunks(LETTERS_OF_A_COMMIT) {
            gone.extend(self.discard_some(ids, &by).await?);
        }
        self.wired.read().tell_all();
        Ok(gone)
    }

    async fn discard_some(&self, ids: &[DeadLetterId], by: &By) -> Result<Vec<DeadLetter>, QueueError> {
        let mut tries = 0;
        loop {
            let (head, expected) = self.head().await?;
            let mut work = Work::begin(head, expected);
            let mut listed = Vec::new();
            for &id in ids {
                if work.gone.iter().any(|(gone, ..)| *gone == id) {
                    continue;
                }
                let Some((kept, expected)) = self.letter(id).await? else { continue };
                let letter = kept.listed(id)?;
                let destination = kept.destination.as_ref().and_then(|name| self.wired.read().named(name));
                if let Some(destination) = destination {
                    let shard = kept.shard;
                    self.part_of(&mut work, &destination, shard).await?;
                    work.lose(&destination, shard, id)?;
                }
                work.trail.push(queue::trail::discarded(&letter, by));
                listed.push(letter);
                work.take(id, kept, expected);
            }
            if work.gone.is_empty() || self.commit_work(work).await? {
                return Ok(listed);
            }
            contended(tries).await?;
            tries += 1;
        }
    }

    /// Whether the work was done; if not, somebody else has written in between.
    async fn commit_work(&self, work: Work) -> Result<bool, QueueError> {
        let Work { mut head, expected, mut parts, gone, again, trail, .. } = work;
        let mut writes = trail.finish(&mut head)?;
        writes.push(head::write(&head, expected)?);
        let kept = again.iter().map(|stored| Kept::new(&stored.event, stored.again, true)).collect();
        let first = again.first().map_or(0, |stored| stored.seq.0);
        for chunk in Chunk::of(first, kept) {
            for stored in chunk.all() {
                let Some(again) = stored.again else { continue };
                let shard = shard_of(stored.event.conversation.as_deref(), again.first.0);
                if let Some(part) = parts.get_mut(&(again.consumer, shard)) {
                    part.shard.deliveries.insert(stored.seq.0, Delivery::new(&stored, chunk.first));
                }
            }
            writes.push(Write::put(keys::chunk(chunk.first), Expected::Nothing, &chunk)?);
        }
        for ((consumer, shard), part) in &parts {
            writes.push(Write::put(keys::shard(*consumer, *shard), part.expected, &part.shard)?);
        }
        for (id, letter, expected) in &gone {
            writes.extend(removal(*id, letter, *expected));
        }
        Ok(matches!(self.table.commit(writes).await?, Committed::Done(_)))
    }
}

impl Work {
    fn begin(head: Head, expected: Expected) -> Self {
        let trail = Trail::behind(&head);
        Self { head, expected, parts: Parts::new(), gone: Vec::new(), again: Vec::new(), trail, bytes: 0 }
    }

    /// Nothing waits for this dead letter any more. What its shard has noted goes into the trail first.
    fn lose(&mut self, destination: &Destination, shard: u8, id: DeadLetterId) -> Result<(), QueueError> {
        let Some(part) = self.parts.get_mut(&(destination.id, shard)) else { return Ok(()) };
        part.shard.dead.retain(|dead| dead.letter != id.0);
        self.trail.take(&mut part.shard)
    }

    fn has_room(&self, event: &Event) -> bool {
        let shards: usize = self.parts.values().map(|part| part.shard.bytes()).sum();
        self.again.is_empty() || self.bytes + event.body.len() + 1_000 + shards <= TRANSACTION_BYTES
    }

    fn take(&mut self, id: DeadLetterId, letter: Letter, expected: Expected) {
        self.head.letters = self.head.letters.saturating_sub(1);
        self.gone.push((id, letter, expected));
    }
}
