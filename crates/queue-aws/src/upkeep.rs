//! Upkeep: dropping what is older than retention, a bounded piece at a time. Claims and what else has a time to live is
//! dropped by DynamoDB itself.
//!
//! What is undelivered becomes a dead letter first, in transactions of its own. Then the head moves on in one
//! transaction with the items that are dropped. A crash in between leaves dead letters and events that the next piece
//! drops. An item of the log of which some events are young stays as a whole; what is before the head's beginning is
//! read by nobody.

use std::sync::Arc;

use event::Timestamp;
use queue::{Failure, FailureClass, Maintained, QueueError, Stage};

use crate::burial::Burial;
use crate::chunk::Chunk;
use crate::head::{self, Head, contended};
use crate::inner::{Destination, Inner};
use crate::keys;
use crate::state::{Looked, State};
use crate::table::{Committed, Expected, Write};

/// Events of one piece.
const EVENTS_OF_A_PIECE: usize = 1_000;
/// Items of the log that are dropped in one transaction, each with its list of what matched no route.
const CHUNKS_OF_A_COMMIT: usize = 40;

impl Inner {
    pub(crate) async fn maintain(&self, now: Timestamp) -> Result<Maintained, QueueError> {
        if let Err(error) = self.table.sweep_objects().await {
            tracing::warn!(%error, "objects that are not needed any more stay until the next upkeep");
        }
        self.forget_replays().await?;
        let more_blocks = self.drop_old_blocks(now).await?;
        let (head, _) = self.head().await?;
        if self.wired.read().router.is_none() {
            // Who still wants an event is not known before the first configuration.
            return Ok(Maintained { more: more_blocks, ..Maintained::default() });
        }
        // Another server may have made one that this one does not know.
        self.know_destinations().await?;
        let (mut through, is_all) = self.old(&head, now).await?;
        let destinations = self.wired.read().destinations.clone();
        for destination in &destinations {
            if through >= head.begin {
                through = self.close(destination, &head, through, now).await?;
            }
        }
        if through < head.begin {
            return Ok(Maintained { more: more_blocks, ..Maintained::default() });
        }
        let mut done = Maintained { more: more_blocks || !is_all, ..Maintained::default() };
        for destination in &destinations {
            done.expired += self.expire(destination, through, now).await?;
        }
        done.events_dropped = self.drop_log(through).await?;
        Ok(done)
    }

    /// The last place of what is older than retention and not to be kept, and whether that is all of it.
    async fn old(&self, head: &Head, now: Timestamp) -> Result<(u64, bool), QueueError> {
        let cutoff = now.minus(self.options.queue.retention);
        let keep = self.keep_from.lock().map_or(u64::MAX, |place| place.0);
        let mut through = head.begin - 1;
        for chunk in self.log(head, head.begin, EVENTS_OF_A_PIECE, usize::MAX).await? {
            for stored in chunk.all().filter(|stored| stored.seq.0 >= head.begin) {
                if stored.kept_since() >= cutoff || stored.seq.0 >= keep {
                    return Ok((through, true));
                }
                through = stored.seq.0;
            }
        }
        Ok((through, through >= head.last))
    }

    /// Looks on in the log for a destination up to a place; stops before one that cannot be looked at yet, and before
    /// one that is being delivered.
    async fn close(
        &self,
        destination: &Destination,
        head: &Head,
        through: u64,
        now: Timestamp,
    ) -> Result<u64, QueueError> {
        let (mut state, mut through, mut tries) = (self.state(destination).await?, through, 0);
        // Of one that is left out nobody knows what it would get; but a server of another configuration may have it.
        let place = destination.setting.lock().place;
        if place.is_none() && state.at < through && self.is_elsewhere(destination, now).await? {
            through = state.at;
        }
        while let Some(place) = place.filter(|_| state.at < through) {
            match self.look_on(destination, place, &mut state, head).await? {
                Looked::On => {}
                Looked::Full => through = state.at,
                Looked::Stale => {
                    contended(tries).await?;
                    tries += 1;
                    state = self.state(destination).await?;
                }
            }
        }
        let out = state.shards().flat_map(|(_, shard)| &shard.deliveries);
        let out = out.filter(|(_, delivery)| delivery.is_leased(now)).map(|(place, _)| place - 1).min();
        Ok(out.map_or(through, |before| before.min(through)))
    }

    /// Makes dead letters of what is undelivered up to a place; how many.
    async fn expire(&self, destination: &Arc<Destination>, through: u64, now: Timestamp) -> Result<u64, QueueError> {
        self.bury_all(destination, &Failure::expired(), now, |place| place <= through).await
    }

    /// Makes dead letters of deliveries whose events are not in the log any more, or cannot be read.
    pub(crate) async fn bury_missing(
        &self,
        destination: &Destination,
        missing: Vec<(u64, u8)>,
        now: Timestamp,
    ) -> Result<u64, QueueError> {
        let failure = Failure::new(Stage::Queue, FailureClass::Bug, "its event cannot be read from the log any more");
        self.bury_all(destination, &failure, now, |place| missing.iter().any(|(of, _)| *of == place)).await
    }

    /// Makes dead letters of all deliveries at places that are wanted; how many.
    async fn bury_all(
        &self,
        destination: &Destination,
        failure: &Failure,
        now: Timestamp,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<u64, QueueError> {
        let (mut buried, mut tries) = (0, 0);
        loop {
            let mut burial = Burial::begin(self.head().await?);
            let (State { parts, .. }, mut count) = (self.state(destination).await?, 0);
            let mut old: Vec<(u64, u8)> = Vec::new();
            for (number, part) in &parts {
                let places = part.shard.deliveries.keys().filter(|place| wanted(**place));
                old.extend(places.map(|place| (*place, *number)));
            }
            old.sort_unstable();
            for (place, number) in old {
                let Some(part) = parts.get(&number) else { continue };
                let Some(delivery) = part.shard.deliveries.get(&place) else { continue };
                let letter = self.letter_for(destination, place, delivery, (delivery.attempts(), failure), now).await?;
                burial.parts.entry(number).or_insert_with(|| part.clone());
                if !burial.has_room(&letter) {
                    break;
                }
                burial.add(destination, (number, place), letter, None, (failure, now))?;
                count += 1;
            }
            if burial.is_empty() {
                return Ok(buried);
            }
            if self.commit_burial(destination, burial).await? {
                buried += count;
            } else {
                contended(tries).await?;
                tries += 1;
            }
        }
    }

    /// Drops the log up to a place; how many events.
    async fn drop_log(&self, through: u64) -> Result<u64, QueueError> {
        let (mut dropped, mut tries) = (0, 0);
        loop {
            let (before, expected) = self.head().await?;
            if before.begin > through {
                return Ok(dropped);
            }
            let mut chunks = self.log(&before, before.begin, EVENTS_OF_A_PIECE, usize::MAX).await?;
            chunks.truncate(CHUNKS_OF_A_COMMIT);
            let end = chunks.last().map_or(through, |chunk| chunk.last().min(through));
            let head = Head { begin: end + 1, ..before.clone() };
            let mut writes = vec![head::write(&head, expected)?];
            for chunk in chunks.iter().filter(|chunk| chunk.last() <= end) {
                writes.extend(removal(chunk));
            }
            if let Committed::Done(_) = self.table.commit(writes).await? {
                dropped += head.begin - before.begin;
            } else {
                contended(tries).await?;
                tries += 1;
            }
        }
    }
}

/// The writes that drop an item of the log, and what belongs to it. The head in the same transaction says that they may.
fn removal(chunk: &Chunk) -> [Write; 2] {
    [
        Write::delete(keys::chunk(chunk.first), Expected::Anything),
        Write::delete(keys::unmatched(chunk.first), Expected::Anything),
    ]
}
