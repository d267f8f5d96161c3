//! The next piece of a replay: from the log, or from the parts of the archive, bounded in events, bytes and what is looked
//! at. Where it ends is a [`Place`], from which the next one is chosen.

use event::{Event, Timestamp};
use queue::{Queue, ReplayPiece, Seq};
use serde::{Deserialize, Serialize};

use super::{Filter, From};
use crate::hour::Hour;
use crate::manifest::{MANIFEST, REPLAYED};
use crate::part::PartReader;
use crate::{Archive, Error};

/// Events that one step looks at, at most.
const LOOKED_AT_MAX: u64 = 5_000;
/// Events and bytes of a page of the log.
const PAGE_EVENTS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;
/// Parts that one step may pass by because nothing in them is wanted.
const PARTS_MAX: usize = 50;
/// How far a replay has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "lowercase")]
pub(super) enum Place {
    /// In the archive: behind so many lines of this part; of what is up to this place of the log.
    Archive { part: String, line: u64, boundary: u64 },
    /// In the log, behind this place.
    Store { after: u64 },
}

impl Place {
    /// As a cursor: all texts of this form can be read.
    pub(super) fn cursor(&self) -> String {
        match self {
            Self::Store { after } => format!("s{after:016x}"),
            Self::Archive { part, line, boundary } => format!("a{line:016x}{boundary:016x}{part}"),
        }
    }

    pub(super) fn of_cursor(cursor: &str) -> Option<Self> {
        let number = |text: Option<&str>| u64::from_str_radix(text?, 16).ok();
        match cursor.get(..1)? {
            "s" => Some(Self::Store { after: number(cursor.get(1..))? }),
            "a" => Some(Self::Archive {
                part: cursor.get(33..)?.to_owned(),
                line: number(cursor.get(1..17))?,
                boundary: number(cursor.get(17..33))?,
            }),
            _ => None,
        }
    }
}

/// One piece that was chosen.
pub(super) struct Chosen {
    pub(super) events: Vec<Event>,
    pub(super) looked_at: u64,
    /// Where the next piece begins; none at the end.
    pub(super) next: Option<Place>,
    /// When the last event that was looked at was received.
    pub(super) reached: Option<Timestamp>,
    /// Parts that are read to their ends.
    pub(super) finished: Vec<String>,
}

/// The next piece.
pub(super) async fn choose(
    queue: &dyn Queue,
    archive: Option<&Archive>,
    filter: &Filter,
    place: Option<Place>,
    limit: usize,
) -> Result<Chosen, Error> {
    let place = match place {
        Some(place) => place,
        None => {
            let place = begin(queue, archive, filter).await?;
            let from_events = matches!(place, Place::Archive { .. }) && filter.choice.source != From::Outage;
            if let Some(archive) = archive.filter(|_| from_events) {
                archive.expect_whole(filter.choice.from, filter.choice.to).await?;
            }
            place
        }
    };
    let mut room = Room {
        events: Vec::new(),
        bytes: 0,
        limit: limit.clamp(1, ReplayPiece::EVENTS_MAX),
        looked_at: 0,
        reached: None,
    };
    match place {
        Place::Store { after } => {
            let next = from_store(queue, filter, after, &mut room).await?;
            Ok(room.chosen(next, Vec::new()))
        }
        Place::Archive { part, line, boundary } => {
            let archive = archive.ok_or(Error::NotConfigured)?;
            let mut finished = Vec::new();
            let next = from_archive(archive, filter, Here { part, line, boundary }, &mut room, &mut finished).await?;
            let next = match next {
                None if filter.choice.source == From::Auto => Some(Place::Store { after: boundary }),
                next => next,
            };
            Ok(room.chosen(next, finished))
        }
    }
}

/// Where a replay begins.
async fn begin(queue: &dyn Queue, archive: Option<&Archive>, filter: &Filter) -> Result<Place, Error> {
    let in_archive = |boundary| Place::Archive { part: String::new(), line: 0, boundary };
    match (filter.choice.source, archive) {
        (From::Store, _) | (From::Auto, None) => Ok(Place::Store { after: 0 }),
        (From::Archive | From::Outage, None) => Err(Error::NotConfigured),
        (From::Archive | From::Outage, Some(_)) => Ok(in_archive(u64::MAX)),
        (From::Auto, Some(archive)) => {
            let status = queue.status(filter.choice.from).await?;
            let last = status.accepted + status.redriven + status.replayed;
            let dropped = last.saturating_sub(status.retained);
            let first = queue.read_log(Seq(dropped), 1, 1).await?;
            let has_all = first.events.first().is_some_and(|first| first.kept_since() < filter.choice.from);
            Ok(match dropped == 0 || has_all {
                true => Place::Store { after: 0 },
                false => in_archive(archive.status().exported_through),
            })
        }
    }
}

/// What a piece may still take.
struct Room {
    events: Vec<Event>,
    bytes: usize,
    limit: usize,
    looked_at: u64,
    reached: Option<Timestamp>,
}

impl Room {
    /// Takes an event, if it is chosen. False if there is no room for it.
    fn offer(&mut self, filter: &Filter, event: Event) -> bool {
        if self.looked_at >= LOOKED_AT_MAX {
            return false;
        }
        let (received, chosen) = (event.received, filter.chooses(&event));
        if chosen {
            let bytes = self.bytes + event.body.len();
            if self.events.len() >= self.limit || !self.events.is_empty() && bytes > ReplayPiece::BYTES_MAX {
                return false;
            }
            self.bytes = bytes;
            self.events.push(event);
        }
        self.looked_at += 1;
        self.reached = Some(received);
        true
    }

    fn chosen(self, next: Option<Place>, finished: Vec<String>) -> Chosen {
        Chosen { events: self.events, looked_at: self.looked_at, next, reached: self.reached, finished }
    }
}

async fn from_store(
    queue: &dyn Queue,
    filter: &Filter,
    mut after: u64,
    room: &mut Room,
) -> Result<Option<Place>, Error> {
    loop {
        let page = queue.read_log(Seq(after), PAGE_EVENTS, PAGE_BYTES).await?;
        for stored in page.events {
            let seq = stored.seq.0;
            if stored.again.is_some() {
                // What is here again is no event of its own.
                room.looked_at += 1;
            } else if !room.offer(filter, stored.event) {
                return Ok(Some(Place::Store { after: seq - 1 }));
            }
        }
        after = page.through.0;
        if page.end {
            return Ok(None);
        }
        if room.looked_at >= LOOKED_AT_MAX {
            return Ok(Some(Place::Store { after }));
        }
    }
}

/// A place in the archive.
struct Here {
    part: String,
    line: u64,
    boundary: u64,
}

async fn from_archive(
    archive: &Archive,
    filter: &Filter,
    here: Here,
    room: &mut Room,
    finished: &mut Vec<String>,
) -> Result<Option<Place>, Error> {
    let kind = filter.kind();
    let outage = filter.choice.source == From::Outage;
    let (first, last) = (Hour::of(filter.choice.from), Hour::of(filter.choice.to));
    let mut passed = 0;
    for day in archive.days(&kind).await? {
        let folder = format!("{}/{day}", kind.root());
        let is_past = !here.part.starts_with(&folder) && *folder < *here.part;
        if is_past || !outage && !(first.day()..=last.day()).contains(&day) {
            continue;
        }
        let names = archive.store.names(&folder).await?;
        let is_replayed = |name: &str| {
            let stem = name.strip_suffix(MANIFEST).unwrap_or(name);
            outage && names.binary_search(&format!("{stem}{REPLAYED}")).is_ok()
        };
        for name in names.iter().filter(|name| name.ends_with(MANIFEST) && **name >= here.part) {
            let line = if *name == here.part { here.line } else { 0 };
            // A part that a step has begun is finished, although a marker may stand there from another replay.
            if line == 0 && is_replayed(name) {
                continue;
            }
            let at = |line| Some(Place::Archive { part: name.clone(), line, boundary: here.boundary });
            if passed >= PARTS_MAX || room.looked_at >= LOOKED_AT_MAX {
                return Ok(at(line));
            }
            passed += 1;
            let manifest = archive.manifest(name).await?;
            let in_time = outage || manifest.latest >= filter.choice.from && manifest.earliest < filter.choice.to;
            if !in_time || manifest.first_seq > here.boundary {
                continue;
            }
            let mut part = PartReader::new(name, archive.object(name, &manifest).await?)?;
            part.skip(line)?;
            let mut line = line;
            while let Some((seq, event)) = part.next()? {
                if seq > here.boundary {
                    room.looked_at += 1;
                } else if !room.offer(filter, event) {
                    return Ok(at(line));
                }
                line += 1;
            }
            finished.push(name.clone());
        }
    }
    Ok(None)
}
