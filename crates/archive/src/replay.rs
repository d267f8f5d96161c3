//! Choosing events of the log or of the archive, a bounded piece at a time, and handing them to the queue again.
//!
//! Which piece comes next is stored by the queue together with the events of the piece before, under a name that is made
//! of the selection: the same command goes on where a crash has left it, and repeats nothing.

use std::sync::Arc;

use event::{Event, Timestamp};
use parking_lot::Mutex;
use queue::{Queue, Replay, ReplayPiece, Seq};
use routing::{MatchScratch, Pattern, PatternSet};
use serde::{Deserialize, Serialize};

use crate::hour::Hour;
use crate::manifest::{Kind, MANIFEST, REPLAYED};
use crate::part::{PartReader, sha256};
use crate::{Archive, Error};

/// Events that one step looks at, at most.
const LOOKED_AT_MAX: u64 = 5_000;
/// Events and bytes of a page of the log.
const PAGE_EVENTS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;
/// Parts that one step may pass by because nothing in them is wanted.
const PARTS_MAX: usize = 50;
/// Samples of a dry run.
const SAMPLES: usize = 3;

/// Where events are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReplaySource))]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The log, if it still has everything; else the archive, and then the log.
    #[default]
    Auto,
    /// The log.
    Store,
    /// The exported hours.
    Archive,
    /// What was put aside for the destination while it was down, and not replayed yet.
    Outage,
}

/// What is to be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReplayChoice))]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Only what was received then or later; milliseconds of Unix time.
    pub from: Timestamp,
    /// Only what was received before; milliseconds of Unix time.
    pub to: Timestamp,
    /// Only what matches this event pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Only of this conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The destination that gets them.
    pub destination: String,
    /// Where they are taken from.
    #[serde(default)]
    pub source: From,
}

impl Choice {
    /// Names the replay.
    fn id(&self) -> String {
        sha256(self.shown().as_bytes())[..16].to_owned()
    }

    fn shown(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A choice, ready to choose.
pub struct Filter {
    choice: Choice,
    pattern: Option<PatternSet>,
    scratch: Mutex<MatchScratch>,
}

impl Filter {
    /// # Errors
    /// When the pattern cannot be used.
    pub fn new(choice: Choice) -> Result<Self, Error> {
        let parse = |text: &String| {
            Pattern::parse(text).map_err(|error| Error::Invalid(format!("the pattern cannot be used: {error}")))
        };
        let pattern = choice.pattern.as_ref().map(parse).transpose()?;
        let pattern = pattern.map(|pattern| PatternSet::new(vec![pattern]));
        Ok(Self { choice, pattern, scratch: Mutex::default() })
    }

    fn chooses(&self, event: &Event) -> bool {
        let Choice { from, to, conversation, .. } = &self.choice;
        let in_time = self.choice.source == From::Outage || (*from..*to).contains(&event.received);
        in_time
            && (conversation.is_none() || event.conversation.as_deref() == conversation.as_deref())
            && self.pattern.as_ref().is_none_or(|pattern| {
                pattern.matches(&event.body, &mut self.scratch.lock()).is_ok_and(|matches| !matches.is_empty())
            })
    }

    fn kind(&self) -> Kind {
        match self.choice.source {
            From::Outage => Kind::Outage(self.choice.destination.clone()),
            _ => Kind::Events,
        }
    }
}

/// How far a replay has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "lowercase")]
enum Place {
    /// In the archive: behind so many lines of this part; of what is up to this place of the log.
    Archive { part: String, line: u64, boundary: u64 },
    /// In the log, behind this place.
    Store { after: u64 },
}

impl Place {
    /// As a cursor: all texts of this form can be read.
    fn cursor(&self) -> String {
        match self {
            Self::Store { after } => format!("s{after:016x}"),
            Self::Archive { part, line, boundary } => format!("a{line:016x}{boundary:016x}{part}"),
        }
    }

    fn of_cursor(cursor: &str) -> Option<Self> {
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

/// What the queue keeps of a replay: where it goes on, and which parts were read to their ends by the step before. Those
/// are marked as replayed at the latest by the next step, so a crash before the mark is made up for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    next: Option<Place>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    finished: Vec<String>,
}

/// One piece that was chosen.
struct Chosen {
    events: Vec<Event>,
    looked_at: u64,
    /// Where the next piece begins; none at the end.
    next: Option<Place>,
    /// When the last event that was looked at was received.
    reached: Option<Timestamp>,
    /// Parts that are read to their ends.
    finished: Vec<String>,
}

/// What one step of a replay did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReplayStep))]
pub struct Stepped {
    /// The replay as it is now.
    pub replay: Replay,
    /// Events that this step put on their way.
    pub queued: u64,
    /// Events that this step looked at.
    pub looked_at: u64,
    /// When the last event that was looked at was received.
    pub reached: Option<Timestamp>,
    /// It was done before, and nothing was put on its way.
    pub was_done: bool,
}

/// What a step of a dry run found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ReplayDryRun))]
pub struct DryRun {
    /// Events that would be sent.
    pub pass: u64,
    /// Events whose mapping fails.
    pub fail: u64,
    /// Events that no route leads to the destination.
    pub not_routed: u64,
    /// Ids of some that would be sent.
    pub samples: Vec<String>,
    /// The first reason of a mapping that fails.
    pub reason: Option<String>,
    /// Events that were looked at.
    pub looked_at: u64,
    /// When the last event that was looked at was received.
    pub reached: Option<Timestamp>,
    /// Where the next step begins; none at the end.
    pub next: Option<String>,
}

/// Replays at most `limit` more events.
///
/// # Errors
/// Nothing was put on its way then, and the same step can be asked for again.
pub async fn step(
    queue: &dyn Queue,
    archive: Option<&Archive>,
    filter: &Filter,
    anew: bool,
    limit: usize,
    now: Timestamp,
) -> Result<Stepped, Error> {
    let id = filter.choice.id();
    let known = queue.replays(Some(id.clone())).await?.pop();
    let position = known.as_ref().map(|replay| parse::<Position>(&replay.position)).transpose()?.unwrap_or_default();
    // What was put aside and is marked is not chosen again, so such a replay can always begin anew.
    let outage = filter.choice.source == From::Outage;
    if outage {
        mark(archive, &position, &id).await?;
    }
    if let Some(replay) = known.as_ref().filter(|replay| replay.done && !anew && !outage) {
        return Ok(Stepped { replay: replay.clone(), queued: 0, looked_at: 0, reached: None, was_done: true });
    }
    let known = known.filter(|replay| !replay.done);
    let place = known.as_ref().and(position.next);
    let chosen = choose(queue, archive, filter, place, limit).await?;
    let done = chosen.next.is_none();
    let position = Position { next: chosen.next, finished: if outage { chosen.finished } else { Vec::new() } };
    let piece = ReplayPiece {
        id: id.clone(),
        selection: filter.choice.shown(),
        destination: Arc::from(filter.choice.destination.as_str()),
        from: known.as_ref().map(|replay| replay.position.clone()),
        to: write(&position),
        done,
        events: chosen.events,
    };
    let replay = queue.replay(piece, now).await?;
    if outage && done {
        mark(archive, &position, &id).await?;
    }
    let queued = replay.queued - known.map_or(0, |before| before.queued);
    Ok(Stepped { replay, queued, looked_at: chosen.looked_at, reached: chosen.reached, was_done: false })
}

/// Looks at more events as a replay would; `judge` says what would be sent of one: none if no route leads it there.
///
/// # Errors
/// When events cannot be read.
pub async fn try_out(
    queue: &dyn Queue,
    archive: Option<&Archive>,
    filter: &Filter,
    cursor: Option<&str>,
    limit: usize,
    judge: impl Fn(&Event) -> Option<Result<(), String>> + Send,
) -> Result<DryRun, Error> {
    let unusable = || Error::Invalid("this is no cursor of a dry run; take it as `next` of the step before".to_owned());
    let place = cursor.map(|cursor| Place::of_cursor(cursor).ok_or_else(unusable)).transpose()?;
    let chosen = choose(queue, archive, filter, place, limit).await?;
    let next = chosen.next.as_ref().map(Place::cursor);
    let mut run = DryRun { looked_at: chosen.looked_at, reached: chosen.reached, next, ..DryRun::default() };
    for event in &chosen.events {
        // A mapping may take its time, and others want this thread too.
        tokio::task::yield_now().await;
        match judge(event) {
            None => run.not_routed += 1,
            Some(Err(reason)) => {
                run.fail += 1;
                run.reason.get_or_insert(reason);
            }
            Some(Ok(())) => {
                run.pass += 1;
                if run.samples.len() < SAMPLES {
                    run.samples.push(event.id.to_string());
                }
            }
        }
    }
    Ok(run)
}

async fn mark(archive: Option<&Archive>, position: &Position, replay: &str) -> Result<(), Error> {
    for part in &position.finished {
        archive.ok_or(Error::NotConfigured)?.mark_replayed(part, replay).await?;
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Invalid("this is no place of a replay".to_owned()))
}

fn write(place: &impl Serialize) -> String {
    serde_json::to_string(place).unwrap_or_default()
}

/// The next piece.
async fn choose(
    queue: &dyn Queue,
    archive: Option<&Archive>,
    filter: &Filter,
    place: Option<Place>,
    limit: usize,
) -> Result<Chosen, Error> {
    let place = match place {
        Some(place) => place,
        None => begin(queue, archive, filter).await?,
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
