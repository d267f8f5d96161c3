//! Choosing events of the log or of the archive, a bounded piece at a time, and handing them to the queue again.
//!
//! Which piece comes next is stored by the queue together with the events of the piece before, under a name that is made
//! of the selection: the same command goes on where a crash has left it, and repeats nothing.

mod choose;

use std::sync::Arc;

use event::{Event, Timestamp};
use parking_lot::Mutex;
use queue::{Queue, QueueError, Replay, ReplayPiece};
use routing::{MatchScratch, Pattern, PatternSet};
use serde::{Deserialize, Serialize};

use self::choose::{Place, choose};
use crate::manifest::Kind;
use crate::part::sha256;
use crate::{Archive, Error};

/// Samples of a dry run.
const SAMPLES: usize = 3;
/// How often a step reads anew because something was erased meanwhile; an erasure in many pieces is over by then, or whoever
/// asks can ask again.
const TRIES: usize = 10;

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
            && !event.is_erased()
            && (conversation.is_none() || event.conversation.as_deref() == conversation.as_deref())
            && self.pattern.as_ref().is_none_or(|pattern| {
                pattern.matches(&event.body, &mut self.scratch.lock()).is_ok_and(|matches| !matches.is_empty())
            })
    }

    /// Whether every event of what was put aside is chosen. Only then it may be marked as replayed: what is not chosen would
    /// not be found again.
    fn brings_back_all(&self) -> bool {
        self.choice.source == From::Outage && self.pattern.is_none() && self.choice.conversation.is_none()
    }

    fn kind(&self) -> Kind {
        match self.choice.source {
            From::Outage => Kind::Outage(self.choice.destination.clone()),
            _ => Kind::Events,
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
    /// At the end of a replay of all that was put aside: events that are in no part any more, so that somebody has to look
    /// for them.
    pub missing: u64,
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
    /// In the last step for all that was put aside: events that are in no part any more.
    pub missing: u64,
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
    let mut tries = 0;
    loop {
        let erasures = queue.erasures();
        match one_step(queue, archive, filter, anew, limit, now).await {
            // Something was erased while it read, so it reads anew.
            Err(Error::Queue(QueueError::Transient { .. })) if queue.erasures() != erasures && tries < TRIES => {
                tries += 1
            }
            stepped => return stepped,
        }
    }
}

async fn one_step(
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
    let outage = filter.brings_back_all();
    if outage {
        mark(archive, &position, &id).await?;
    }
    if let Some(replay) = known.as_ref().filter(|replay| replay.done && !anew && !outage) {
        return Ok(Stepped {
            replay: replay.clone(),
            queued: 0,
            looked_at: 0,
            reached: None,
            was_done: true,
            missing: 0,
        });
    }
    let known = known.filter(|replay| !replay.done);
    let place = known.as_ref().and(position.next);
    // Before anything is read: what is erased from then on is not brought back by this step.
    let erasures = queue.erasures();
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
        erasures,
        put_aside: if outage { chosen.looked_at } else { 0 },
        events: chosen.events,
    };
    let replay = queue.replay(piece, now).await?;
    let mut missing = 0;
    if outage && done {
        mark(archive, &position, &id).await?;
        missing = gone(queue, archive, filter, now).await;
    }
    let queued = replay.queued - known.map_or(0, |before| before.queued);
    Ok(Stepped { replay, queued, looked_at: chosen.looked_at, reached: chosen.reached, was_done: false, missing })
}

/// Gives up what was put aside for a destination and is in no part any more: it is counted no longer, and nothing is put on
/// its way. Returns how much that was. What is restored afterwards is replayed all the same.
///
/// # Errors
/// When the archive cannot be asked, or the queue cannot take it down.
pub async fn write_off(
    queue: &dyn Queue,
    archive: Option<&Archive>,
    destination: &str,
    now: Timestamp,
) -> Result<u64, Error> {
    let erasures = queue.erasures();
    let archive = archive.ok_or(Error::NotConfigured)?;
    // Of two that give up the same at once, the second finds nothing.
    let _alone = archive.putting.write().await;
    let missing = archive.missing_aside(queue, destination, now).await?;
    if missing == 0 {
        return Ok(0);
    }
    let selection = serde_json::json!({ "written_off": missing, "destination": destination }).to_string();
    let piece = ReplayPiece {
        id: sha256(format!("{selection} {}", now.as_millis()).as_bytes())[..16].to_owned(),
        selection,
        destination: Arc::from(destination),
        from: None,
        to: write(&Position::default()),
        done: true,
        erasures,
        put_aside: missing,
        events: Vec::new(),
    };
    queue.replay(piece, now).await?;
    Ok(missing)
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
    now: Timestamp,
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
    if run.next.is_none() && filter.brings_back_all() {
        run.missing = gone(queue, archive, filter, now).await;
    }
    Ok(run)
}

/// What is missing of what was put aside. If that cannot be found out, a check of the archive says why.
async fn gone(queue: &dyn Queue, archive: Option<&Archive>, filter: &Filter, now: Timestamp) -> u64 {
    let Some(archive) = archive else { return 0 };
    archive.missing_aside(queue, &filter.choice.destination, now).await.unwrap_or(0)
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
