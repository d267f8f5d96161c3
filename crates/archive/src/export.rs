//! Exporting closed hours, one part at a time: the part, then its manifest, then what is remembered.
//!
//! A crash before the manifest leaves an object that nobody reads and that the next try replaces. A crash after it leaves
//! a manifest that says how far the export has come.

use std::time::Duration;

use bytes::Bytes;
use event::Timestamp;
use queue::{Queue, Seq, Stored};

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

/// What one look through the log has brought.
struct Collected {
    hour: Hour,
    writer: PartWriter,
    damaged: Vec<u64>,
    /// The last place that was looked at.
    through: u64,
    /// The first place behind which is something that is not exported.
    left: Option<u64>,
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
        let is_closed = |received: Timestamp| {
            open || Hour::of(received).end().plus(SLACK) <= now || received > now.plus(AHEAD)
        };
        let mut waiting = None;
        let collected = collect(queue, &before, is_closed, &mut waiting).await?;
        self.told.lock().oldest_waiting = waiting;
        let (manifest, after) = match collected {
            Ok(Collected { hour, writer, damaged, through, left }) => {
                let after = before.with(hour, through, left);
                (Some(self.write_part(hour, writer, damaged, &after).await?), after)
            }
            // Nothing but what is here again, which is no new event.
            Err(through) => (None, Progress { after: through.max(before.after), ..before.clone() }),
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
        after: &Progress,
    ) -> Result<Manifest, Error> {
        let first = writer.first_seq();
        let stem = Kind::Events.stem(hour, &format!("{first:020}"));
        let (data, manifest) = writer.finish(&stem)?;
        let manifest = Manifest { damaged, progress: Some(after.clone()), ..manifest };
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
            None if page.through.0 < place || page.end && page.through.0 < place => {
                refuse(&format!("it ends before place {place}"))
            }
            _ => Ok(()),
        }
    }
}

/// Reads the log on to a part; the place up to which there is nothing to export, if there is none.
async fn collect(
    queue: &dyn Queue,
    before: &Progress,
    is_closed: impl Fn(Timestamp) -> bool,
    waiting: &mut Option<Timestamp>,
) -> Result<Result<Collected, u64>, Error> {
    let mut collected: Option<Collected> = None;
    let mut damaged = Vec::new();
    // What is not to be exported yet.
    let mut left = None;
    let mut place = before.after;
    loop {
        let page = queue.read_log(Seq(place), PAGE_EVENTS, PAGE_BYTES).await?;
        damaged.extend(page.damaged.iter().map(|seq| seq.0));
        for stored in &page.events {
            if !take(stored, before, &is_closed, &mut collected, &mut left, waiting)? {
                return Ok(Ok(finished(collected, damaged, left)));
            }
        }
        place = page.through.0;
        if let Some(collected) = &mut collected {
            collected.through = place;
        }
        // Without a part, what is left is all there is to know.
        if page.end || collected.is_none() && left.is_some() {
            break;
        }
    }
    match collected {
        Some(collected) => Ok(Ok(finished(Some(collected), damaged, left))),
        None => Ok(Err(left.map_or(place, |left: u64| left - 1))),
    }
}

fn finished(collected: Option<Collected>, damaged: Vec<u64>, left: Option<u64>) -> Collected {
    // Whoever ends early has a part.
    match collected {
        Some(collected) => Collected { damaged, left, ..collected },
        None => unreachable!("a part is finished before it is begun"),
    }
}

/// Takes one event into the part, if it belongs there. False when the part is at its end.
fn take(
    stored: &Stored,
    before: &Progress,
    is_closed: &impl Fn(Timestamp) -> bool,
    collected: &mut Option<Collected>,
    left: &mut Option<u64>,
    waiting: &mut Option<Timestamp>,
) -> Result<bool, Error> {
    let (seq, received) = (stored.seq.0, stored.event.received);
    let hour = Hour::of(received);
    if stored.again.is_some() || before.has(seq, hour) {
        return Ok(true);
    }
    if waiting.is_none() {
        *waiting = Some(received);
    }
    if collected.is_none() && is_closed(received) {
        let writer = PartWriter::new()?;
        *collected = Some(Collected { hour, writer, damaged: Vec::new(), through: seq, left: None });
    }
    let Some(part) = collected else {
        left.get_or_insert(seq);
        return Ok(true);
    };
    if part.hour == hour {
        part.writer.push(seq, &stored.event)?;
        part.through = seq;
        return Ok(!part.writer.is_full());
    }
    left.get_or_insert(seq);
    Ok(hour < part.hour || received < part.hour.end().plus(SLACK))
}
