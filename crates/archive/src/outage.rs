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
use crate::manifest::{DATA, Kind, MANIFEST, Manifest};
use crate::part::{PartReader, PartWriter};
use crate::{Archive, Error};

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
