//! Exporting closed hours, one part at a time: the part, then its manifest, then what is remembered.
//!
//! A crash before the manifest leaves an object that nobody reads and that the next try replaces. A crash after it leaves
//! a manifest that says how far the export has come.

use std::time::Duration;

use bytes::Bytes;
use event::Timestamp;
use queue::{Queue, Seq, Stored};

use crate::chain::{BEFORE_MAX, Before};
use crate::hour::Hour;
use crate::manifest::{Kind, MANIFEST, Manifest};
use crate::part::PartWriter;
use crate::progress::Progress;
use crate::{Archive, Error};

/// An hour is exported so long after its end, and events that come into the log later than that are in a further part:
/// a request that was read before the end of the hour has surely been stored by then.
const SLACK: Duration = Duration::from_secs(60);
/// An event that is so far ahead of the clock was received before the clock was set back: its hour will not come soon.
const AHEAD: Duration = Duration::from_secs(3_600);
/// Events read at once, and bytes.
const PAGE_EVENTS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;

/// A part that is being collected.
struct Collected {
    hour: Hour,
    writer: PartWriter,
    /// Of its hour everything up to here is in it.
    through: u64,
}

impl Archive {
    /// Exports one part of one closed hour, of hours that are not over too if `open`. None if there is nothing to export.
    ///
    /// # Errors
    /// Nothing is lost then: the same is exported by the next call.
    pub async fn export_part(&self, queue: &dyn Queue, now: Timestamp, open: bool) -> Result<Option<Manifest>, Error> {
        let mut exporting = self.exporting.lock().await;
        let before = match exporting.take() {
            Some(progress) => progress,
            None => self.recover(queue).await?,
        };
        *exporting = Some(before.clone());
        let is_closed =
            |received: Timestamp| open || Hour::of(received).end().plus(SLACK) <= now || received > now.plus(AHEAD);
        let mut look = Look { before: &before, is_closed, part: None, damaged: Vec::new(), left: None, waiting: None };
        let place = look.read(queue).await?;
        let Look { part, damaged, left, waiting, .. } = look;
        self.told.lock().oldest_waiting = waiting;
        let (manifest, after) = match part {
            Some(Collected { hour, writer, through }) => {
                let mut after = before.with(hour, through, left);
                let manifest = self.write_part(hour, writer, damaged, &mut after).await?;
                (Some(manifest), after)
            }
            // Nothing but what is here again, which is no new event.
            None => (None, Progress { after: place.max(before.after), ..before.clone() }),
        };
        if after != before {
            self.state.write(&after);
            queue.keep_from(Some(Seq(after.after + 1)));
        }
        let mut told = self.told.lock();
        told.exported_through = after.after;
        if let Some(manifest) = &manifest {
            told.parts += 1;
            told.events += manifest.count;
            told.last_export = Some(now);
        }
        drop(told);
        *exporting = Some(after);
        Ok(manifest)
    }

    async fn write_part(
        &self,
        hour: Hour,
        writer: PartWriter,
        damaged: Vec<u64>,
        after: &mut Progress,
    ) -> Result<Manifest, Error> {
        let first = writer.first_seq();
        let stem = Kind::Events.stem(hour, &format!("{first:020}"));
        let (data, manifest) = writer.finish(&stem)?;
        let before = after.last.clone();
        let number = before.first().map_or(1, |last| last.number + 1);
        after.last.insert(0, Before::of(&stem, hour, number, &manifest));
        after.last.truncate(BEFORE_MAX);
        let progress = Some(after.clone());
        let manifest = Manifest { damaged, number: Some(number), before, progress, ..manifest };
        if !manifest.damaged.is_empty() {
            tracing::error!(places = ?manifest.damaged, "damaged events cannot be archived; run `aftercall check`");
        }
        self.write(&stem, data, &manifest).await?;
        Ok(manifest)
    }

    /// A part, and then its manifest.
    pub(crate) async fn write(&self, stem: &str, data: Bytes, manifest: &Manifest) -> Result<(), Error> {
        self.store.put(&manifest.object, data).await?;
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| Error::Invalid(error.to_string()))?;
        self.store.put(&format!("{stem}{MANIFEST}"), text.into()).await
    }

    /// How far the export has come, by the archive itself and by the state file. Names of parts begin with the first place
    /// in them, and each part begins behind the beginnings of all before it, so the greatest name is the newest part.
    async fn recover(&self, queue: &dyn Queue) -> Result<Progress, Error> {
        let known = self.state.read().unwrap_or_default();
        let names = self.store.names(Kind::Events.root().as_ref()).await?;
        let file = |name: &String| name.rsplit('/').next().map(str::to_owned);
        let newest = names.into_iter().filter(|name| name.ends_with(MANIFEST)).max_by_key(file);
        let found = match newest {
            Some(name) => {
                let manifest = self.manifest(&name).await?;
                self.check_queue(queue, &name, &manifest).await?;
                manifest.progress.unwrap_or_default()
            }
            None => Progress::default(),
        };
        let last = queue.status(Timestamp::default()).await?;
        let last = last.accepted + last.redriven + last.replayed;
        if known.after > last {
            return Err(Error::OtherQueue(format!(
                "{} says that place {} is exported, but the queue ends at {last}: it is an older copy; name another url for \
                 the archive, and remove that file",
                self.state.shown(),
                known.after
            )));
        }
        Ok(if known.after > found.after { known } else { found })
    }

    /// Refuses an archive of another queue, whose places mean other events.
    async fn check_queue(&self, queue: &dyn Queue, name: &str, manifest: &Manifest) -> Result<(), Error> {
        let place = manifest.last_seq;
        let refuse = |what: &str| {
            Err(Error::OtherQueue(format!(
                "{name} in {} is not of this queue: {what}; each queue, and each older copy of one, needs an archive of its \
                 own: name another url",
                self.store.shown()
            )))
        };
        let page = queue.read_log(Seq(place.saturating_sub(1)), 1, 1).await?;
        match page.events.first() {
            Some(stored) if stored.seq.0 == place && stored.event.id.to_string() != manifest.last_id => {
                refuse(&format!("another event stands at place {place}"))
            }
            None if page.through.0 < place => refuse(&format!("it ends before place {place}")),
            _ => Ok(()),
        }
    }
}

/// One look through the log.
struct Look<'a, C> {
    before: &'a Progress,
    is_closed: C,
    part: Option<Collected>,
    damaged: Vec<u64>,
    /// The first event that is not exported and not for this part.
    left: Option<u64>,
    /// When the first one that is not exported was received.
    waiting: Option<Timestamp>,
}

impl<C: Fn(Timestamp) -> bool> Look<'_, C> {
    /// Reads on to the end of a part, or of the log; up to which place there is nothing else to export.
    async fn read(&mut self, queue: &dyn Queue) -> Result<u64, Error> {
        let mut place = self.before.after;
        loop {
            let page = queue.read_log(Seq(place), PAGE_EVENTS, PAGE_BYTES).await?;
            self.damaged.extend(page.damaged.iter().map(|seq| seq.0));
            for stored in &page.events {
                if !self.take(stored)? {
                    return Ok(place);
                }
            }
            place = page.through.0;
            if let Some(part) = &mut self.part {
                part.through = place;
            }
            // What waits without a part waits for its hour to end.
            if page.end || self.part.is_none() && self.left.is_some() {
                return Ok(self.left.map_or(place, |left| left - 1));
            }
        }
    }

    /// Takes one event into the part, if it belongs there. False when the part is at its end.
    fn take(&mut self, stored: &Stored) -> Result<bool, Error> {
        let (seq, received) = (stored.seq.0, stored.event.received);
        let hour = Hour::of(received);
        if stored.again.is_some() || self.before.has(seq, hour) {
            return Ok(true);
        }
        self.waiting.get_or_insert(received);
        if self.part.is_none() && (self.is_closed)(received) {
            self.part = Some(Collected { hour, writer: PartWriter::new()?, through: seq });
        }
        let Some(part) = &mut self.part else {
            self.left.get_or_insert(seq);
            return Ok(true);
        };
        if part.hour == hour {
            part.writer.push(seq, &stored.event)?;
            part.through = seq;
            return Ok(!part.writer.is_full());
        }
        self.left.get_or_insert(seq);
        Ok(hour < part.hour || received < part.hour.end().plus(SLACK))
    }
}
