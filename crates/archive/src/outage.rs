//! Putting deliveries aside while their destination is down.

use std::sync::Arc;

use event::Timestamp;
use queue::Stored;

use crate::hour::Hour;
use crate::manifest::{Kind, Manifest};
use crate::part::PartWriter;
use crate::{Archive, Error};

impl Archive {
    /// Writes the events of deliveries to a destination that is down; durable on return, with their manifest.
    ///
    /// # Errors
    /// Then they are not known to be there, and must not be settled.
    pub async fn put_aside(&self, destination: &str, events: &[Arc<Stored>], now: Timestamp) -> Result<(), Error> {
        let Some(first) = events.iter().map(|stored| stored.seq.0).min() else { return Ok(()) };
        let mut writer = PartWriter::new()?;
        for stored in events {
            writer.push(stored.seq.0, &stored.event)?;
        }
        let kind = Kind::Outage(destination.to_owned());
        // By the time of the outage, so that a replay finds them in the order in which they were due.
        let stem = kind.stem(Hour::of(now), &format!("{:014}-{first:020}", now.as_millis()));
        let (data, manifest) = writer.finish(&stem)?;
        let manifest = Manifest { destination: Some(destination.to_owned()), ..manifest };
        self.write(&stem, data, &manifest).await
    }
}
