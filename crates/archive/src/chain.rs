//! Parts that are missing. Each manifest of events names those that were exported before it, and what is remembered names the
//! last ones, so a manifest that somebody has deleted is noticed by what came after it.
//!
//! Old parts may be deleted, for example by a rule of the bucket: a part that nothing is older than is no gap. A part that is
//! missing is written again as long as the queue has its events. It has those of one hour between two places, all that are
//! there, so it becomes the same part; what was erased since then stays so.

use std::collections::BTreeSet;

use event::Timestamp;
use queue::{Queue, Seq};
use serde::{Deserialize, Serialize};

use crate::hour::Hour;
use crate::manifest::{Kind, MANIFEST, Manifest};
use crate::part::PartWriter;
use crate::progress::Progress;
use crate::{Archive, Error};

/// Parts before it that a manifest names: so many in a row may be missing and can all be written again. Of more, the others
/// are found by their number.
pub(crate) const BEFORE_MAX: usize = 8;
/// Events read at once, and bytes.
const PAGE_EVENTS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;

/// A part of events, as those behind it name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// Its manifest.
    pub(crate) manifest: String,
    pub(crate) number: u64,
    pub(crate) hour: Hour,
    pub(crate) count: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

impl Before {
    pub(crate) fn of(stem: &str, hour: Hour, number: u64, manifest: &Manifest) -> Self {
        let Manifest { count, first_seq, last_seq, .. } = *manifest;
        Self { manifest: format!("{stem}{MANIFEST}"), number, hour, count, first_seq, last_seq }
    }

    /// What is wrong when it is not there.
    pub(crate) fn gone(&self) -> String {
        let Self { count, first_seq, last_seq, .. } = self;
        format!(
            "its manifest is gone, and with it {count} events of the places {first_seq} to {last_seq}: `aftercall archive run` \
             writes it again if the queue still has them; else restore it from a copy"
        )
    }
}

impl Archive {
    /// Those that are missing of the parts before one, or of the last ones: as far as they are named, up to the first that
    /// is there. What everything older than it was deleted with is not missing.
    pub(crate) async fn missing(&self, before: &[Before]) -> Result<Vec<Before>, Error> {
        let mut missing = Vec::new();
        for part in before {
            if self.store.get(&part.manifest).await?.is_some() {
                break;
            }
            missing.push(part.clone());
        }
        match missing.last() {
            Some(oldest) if self.has_older(oldest.first_seq, oldest.hour).await? => Ok(missing),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the part before this one is missing and nobody knows which it was.
    pub(crate) async fn is_unnamed_missing(&self, name: &str, manifest: &Manifest) -> Result<bool, Error> {
        let (Some(2..), [], Some(hour)) = (manifest.number, &manifest.before[..], hour_of(manifest)) else {
            return Ok(false);
        };
        let first = first_place(name).unwrap_or(manifest.first_seq);
        self.has_older(first, hour).await
    }

    /// Whether there is a part that was exported before this place.
    async fn has_older(&self, place: u64, hour: Hour) -> Result<bool, Error> {
        for day in self.days(&Kind::Events).await? {
            let names = self.store.names(&format!("{}/{day}", Kind::Events.root())).await?;
            if names.iter().filter_map(|name| first_place(name)).any(|first| first < place) {
                return Ok(true);
            }
            // Parts of later days are older only if the clock was set back.
            if day > hour.day() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// The parts that were exported last, as they are remembered.
    pub(crate) async fn remembered(&self) -> Vec<Before> {
        let exporting = self.exporting.lock().await;
        let known = exporting.clone().or_else(|| self.state.read());
        known.map(|progress| progress.last).unwrap_or_default()
    }

    /// Refuses a replay from the archive of which a part is missing, as far as that shows in the parts of its time, in the
    /// next hour that has any, and in what is remembered.
    pub(crate) async fn expect_whole(&self, from: Timestamp, to: Timestamp) -> Result<(), Error> {
        let (first, last) = (Hour::of(from), Hour::of(to));
        let root = Kind::Events.root();
        let mut behind = None;
        for day in self.days(&Kind::Events).await? {
            if day < first.day() {
                continue;
            }
            for name in self.store.names(&format!("{root}/{day}")).await? {
                let Some(hour) = name.strip_suffix(MANIFEST).and_then(folder) else { continue };
                if hour < format!("{root}/{first}").as_str() {
                    continue;
                }
                if hour > format!("{root}/{last}").as_str() && behind.get_or_insert(hour.to_owned()) != hour {
                    return Ok(());
                }
                let before = self.manifest(&name).await?.before;
                self.expect(&before, first, last).await?;
            }
        }
        self.expect(&self.remembered().await, first, last).await
    }

    async fn expect(&self, before: &[Before], first: Hour, last: Hour) -> Result<(), Error> {
        let missing = self.missing(before).await?;
        match missing.into_iter().find(|part| (first..=last).contains(&part.hour)) {
            Some(part) => Err(Error::Damaged { part: part.manifest.clone(), what: part.gone() }),
            None => Ok(()),
        }
    }

    /// Writes parts again whose manifests are missing, as long as the queue has their events; how many.
    ///
    /// # Errors
    /// Nothing is lost then: the same are found by the next call.
    pub async fn mend(&self, queue: &dyn Queue) -> Result<u64, Error> {
        let status = queue.status(Timestamp::default()).await?;
        let begin = (status.accepted + status.redriven + status.replayed + 1).saturating_sub(status.retained);
        let Some(oldest) = queue.read_log(Seq(begin.saturating_sub(1)), 1, 1).await?.events.into_iter().next() else {
            return Ok(0);
        };
        let day_of_oldest = Hour::of(oldest.event.received).day();
        let mut named = vec![self.remembered().await];
        for day in self.days(&Kind::Events).await?.into_iter().filter(|day| *day >= day_of_oldest) {
            let names = self.store.names(&format!("{}/{day}", Kind::Events.root())).await?;
            for name in names.iter().filter(|name| name.ends_with(MANIFEST)) {
                named.push(self.manifest(name).await?.before);
            }
        }
        let (mut written, mut seen) = (0, BTreeSet::new());
        for before in named {
            for (at, part) in self.missing(&before).await?.into_iter().enumerate() {
                if part.first_seq < begin || !seen.insert(part.manifest.clone()) {
                    continue;
                }
                let exporting = self.exporting.lock().await;
                let known = exporting.clone().or_else(|| self.state.read());
                let progress = known.filter(|known| known.last.first() == Some(&part));
                written += u64::from(self.write_again(queue, &part, &before[at + 1..], progress).await?);
            }
        }
        Ok(written)
    }

    /// Writes a missing part again; false if the queue does not have all that was in it.
    async fn write_again(
        &self,
        queue: &dyn Queue,
        part: &Before,
        before: &[Before],
        progress: Option<Progress>,
    ) -> Result<bool, Error> {
        let (mut writer, mut count, mut place) = (PartWriter::new()?, 0, part.first_seq.saturating_sub(1));
        let mut damaged = Vec::new();
        while place < part.last_seq {
            let page = queue.read_log(Seq(place), PAGE_EVENTS, PAGE_BYTES).await?;
            damaged.extend(page.damaged.iter().map(|seq| seq.0).filter(|seq| *seq <= part.last_seq));
            let events = page.events.iter().take_while(|stored| stored.seq.0 <= part.last_seq);
            for stored in events {
                if stored.again.is_none() && Hour::of(stored.event.received) == part.hour {
                    writer.push(stored.seq.0, &stored.event)?;
                    count += 1;
                }
            }
            place = page.through.0;
            if page.end {
                break;
            }
        }
        if count == 0 || count != part.count {
            let (name, wanted) = (&part.manifest, part.count);
            tracing::error!(
                part = name,
                wanted,
                count,
                "a part of the archive is missing, and the queue has not all of it any more; restore it from a copy"
            );
            return Ok(false);
        }
        let stem = part.manifest.strip_suffix(MANIFEST).unwrap_or(&part.manifest);
        let (data, manifest) = writer.finish(stem)?;
        let (number, before) = (Some(part.number), before.to_vec());
        let manifest = Manifest { damaged, number, before, progress, ..manifest };
        self.write(stem, data, &manifest).await?;
        tracing::warn!(part = part.manifest, count, "a part of the archive was missing and is written again");
        Ok(true)
    }
}

/// The place of the first event of a part, by its name.
fn first_place(name: &str) -> Option<u64> {
    name.strip_suffix(MANIFEST)?.rsplit('/').next()?.parse().ok()
}

/// The folder of the hour of a part.
fn folder(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(folder, _)| folder)
}

/// The hour that all events of a part were received in.
fn hour_of(manifest: &Manifest) -> Option<Hour> {
    manifest.destination.is_none().then(|| Hour::of(manifest.earliest))
}
