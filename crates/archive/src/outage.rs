//! Putting deliveries aside while their destination is down.
//!
//! What is erased meanwhile does not stay there: an erasure waits for the parts that are being written, and a part whose
//! events may have been erased since they were leased is not begun. A crash leaves an object without a manifest, which
//! nobody reads and the next erasure deletes; or a part whose deliveries are not settled, which is the destination's
//! [last one](Archive::last_put_aside).

use std::sync::Arc;

use event::Timestamp;
use queue::{Queue, Stored};

use crate::hour::Hour;
use crate::manifest::{DATA, Kind, MANIFEST, Manifest, REPLAYED};
use crate::part::{PartReader, PartWriter};
use crate::verify::Verified;
use crate::{Archive, Error};

/// How often parts and count are compared, at most, while the count changes.
const LOOKS_MAX: usize = 3;

/// A part that was put aside, with the places of its events.
pub type PutAsidePart = (String, Vec<u64>);

impl Archive {
    /// Writes the events of deliveries to a destination that is down; durable on return, with their manifest, whose name it
    /// returns. `erasures` is what [`Queue::erasures`] was before they were leased.
    ///
    /// # Errors
    /// Then they are not known to be there, and must not be settled.
    pub async fn put_aside(
        &self,
        queue: &dyn Queue,
        destination: &str,
        events: &[Arc<Stored>],
        erasures: u64,
        now: Timestamp,
    ) -> Result<String, Error> {
        let _putting = self.putting.read().await;
        if queue.erasures() != erasures {
            return Err(Error::Erased);
        }
        let Some(first) = events.iter().map(|stored| stored.seq.0).min() else { return Ok(String::new()) };
        let mut writer = PartWriter::new()?;
        for stored in events {
            writer.push(stored.seq.0, &stored.event)?;
        }
        let kind = Kind::Outage(destination.to_owned());
        // By the time of the outage, so that a replay finds them in the order in which they were due.
        let stem = kind.stem(Hour::of(now), &format!("{:014}-{first:020}", now.as_millis()));
        let (data, manifest) = writer.finish(&stem)?;
        let manifest = Manifest { destination: Some(destination.to_owned()), ..manifest };
        self.write(&stem, data, &manifest).await?;
        Ok(format!("{stem}{MANIFEST}"))
    }

    /// The part that was put aside last for a destination. One is written at a time, so of the ones before it all is
    /// settled.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn last_put_aside(&self, destination: &str) -> Result<Option<PutAsidePart>, Error> {
        let kind = Kind::Outage(destination.to_owned());
        for day in self.days(&kind).await?.into_iter().rev() {
            let names = self.store.names(&format!("{}/{day}", kind.root())).await?;
            let Some(name) = names.into_iter().rev().find(|name| name.ends_with(MANIFEST)) else { continue };
            let manifest = self.manifest(&name).await?;
            let mut part = PartReader::new(&name, self.object(&name, &manifest).await?)?;
            let mut places = Vec::new();
            while let Some((seq, _)) = part.next()? {
                places.push(seq);
            }
            return Ok(Some((name, places)));
        }
        Ok(None)
    }

    /// The same for every destination, as what a check of the archive finds. Parts that are damaged are found by the check of
    /// each.
    ///
    /// # Errors
    /// When the archive or the queue cannot be asked.
    pub async fn verify_aside(&self, queue: &dyn Queue, now: Timestamp) -> Result<Vec<Verified>, Error> {
        let mut found = Vec::new();
        for consumer in queue.status(now).await?.consumers.iter().filter(|consumer| consumer.put_aside > 0) {
            let missing = match self.missing_aside(queue, &consumer.name, now).await {
                Err(Error::Damaged { .. }) => 0,
                missing => missing?,
            };
            if missing > 0 {
                let manifest = Kind::Outage(consumer.name.to_string()).root().to_string();
                let problem = format!(
                    "{missing} events that were put aside for {} and not replayed are in none of its parts: restore the parts \
                     that somebody has deleted from a copy, or replay the time of the outage from the store, with --from and \
                     --to",
                    consumer.name
                );
                found.push(Verified { manifest, count: 0, problem: Some(problem) });
            }
        }
        Ok(found)
    }

    /// How many deliveries to a destination the queue knows to be put aside and not replayed, that no part has: somebody has
    /// deleted it. Each part is there before its deliveries count, and counts no more before it is marked as replayed, so
    /// there are never fewer in the parts by itself. While something is being put aside or replayed, it may be told later.
    ///
    /// # Errors
    /// When the archive cannot be reached, or a manifest is damaged.
    pub async fn missing_aside(&self, queue: &dyn Queue, destination: &str, now: Timestamp) -> Result<u64, Error> {
        for _ in 0..LOOKS_MAX {
            let known = put_aside(queue, destination, now).await?;
            let there = if known == 0 { 0 } else { self.left_aside(destination).await? };
            if known <= there {
                return Ok(0);
            }
            // Nothing came and nothing was replayed in between.
            if put_aside(queue, destination, now).await? == known {
                return Ok(known - there);
            }
        }
        Ok(0)
    }

    /// Events in the parts of a destination that are not marked as replayed.
    async fn left_aside(&self, destination: &str) -> Result<u64, Error> {
        let kind = Kind::Outage(destination.to_owned());
        let mut count = 0;
        for day in self.days(&kind).await? {
            let names = self.store.names(&format!("{}/{day}", kind.root())).await?;
            for name in names.iter().filter(|name| name.ends_with(MANIFEST)) {
                let stem = name.strip_suffix(MANIFEST).unwrap_or(name);
                if names.binary_search(&format!("{stem}{REPLAYED}")).is_err() {
                    count += self.manifest(name).await?.count;
                }
            }
        }
        Ok(count)
    }

    /// Deletes objects of what was to be put aside that no manifest names: their events are still in the queue. Nothing may
    /// be put aside meanwhile.
    pub(crate) async fn delete_unfinished(&self) -> Result<(), Error> {
        for name in self.unfinished().await? {
            self.store.delete(&name).await?;
            tracing::info!(object = name, "what a crash has left of putting aside was deleted");
        }
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<String>, Error> {
        let names = self.store.names("outages").await?;
        let has = |stem: &str| names.binary_search(&format!("{stem}{MANIFEST}")).is_ok();
        let stem = |name: &str| name.strip_suffix(DATA).map(str::to_owned);
        // An object that was written anew is `STEM.TIMES`, and its manifest is that of `STEM`.
        let is_left = |stem: &String| !has(stem) && !stem.rsplit_once('.').is_some_and(|(before, _)| has(before));
        Ok(names.iter().filter(|name| stem(name).as_ref().is_some_and(is_left)).cloned().collect())
    }
}

/// How many deliveries the queue knows to be put aside and not replayed.
async fn put_aside(queue: &dyn Queue, destination: &str, now: Timestamp) -> Result<u64, Error> {
    let consumers = queue.status(now).await?.consumers;
    Ok(consumers.iter().find(|consumer| *consumer.name == *destination).map_or(0, |consumer| consumer.put_aside))
}
