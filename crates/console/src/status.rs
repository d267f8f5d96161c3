//! What `status` shows, as it goes over the wire.

use delivery::HealthSnapshot;
use queue::QueueStatus;
use serde::Serialize;

use crate::{Alarms, ConfigStatus};

/// The whole server.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// Milliseconds of Unix time at which it started.
    pub started_at: i64,
    /// Milliseconds of Unix time now.
    pub now: i64,
    /// Whether new events are accepted.
    pub ready: bool,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// The queue.
    pub queue: QueueStatus,
    /// Each configured source.
    pub sources: Vec<SourceStatus>,
    /// The quarantine, if there is one.
    pub quarantine: Option<intake::QuarantineStatus>,
    /// Each configured destination.
    pub destinations: Vec<DestinationStatus>,
    /// What destinations that are no longer configured have left, as it was when the configuration was loaded.
    pub left: Vec<Left>,
    /// What is wrong, and who is told of it.
    pub alarms: Alarms,
    /// The archive, if there is one.
    pub archive: Option<archive::Status>,
    /// What became of spans since start, if traces are exported.
    pub traces: Option<spans::Counts>,
    /// What was not recognised in the outcomes of events, since start: each member of which there was such a value.
    pub unrecognised: Vec<UnrecognisedCount>,
}

/// Values of one member that no outcome could make anything of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UnrecognisedCount {
    /// Where they stand in the body, as a JSON pointer with `*` for the elements of a list.
    pub path: String,
    /// How many there were.
    pub values: u64,
    /// The latest event that had one.
    #[schema(value_type = String)]
    pub last_event: event::EventId,
}

/// One source.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// What was counted about it since start.
    #[schema(value_type = SourceCounters)]
    pub counters: serde_json::Value,
}

/// What [`SourceStatus::counters`] has; intake counts, this only says it to readers.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what intake writes")]
pub(crate) struct SourceCounters {
    /// The source; empty for requests that name none.
    source: String,
    /// Requests, whatever became of them.
    requests: u64,
    /// Bytes of authentic bodies.
    bytes: u64,
    /// Events accepted.
    accepted: u64,
    /// Events that were known already.
    duplicates: u64,
    /// Authentic bodies that became dead letters.
    unreadable: u64,
    /// Requests refused: pairs of the problem's code and how many.
    refused: Vec<(String, u64)>,
    /// What was accepted, by topic.
    topics: Vec<intake::TopicCounts>,
}

/// One destination's service; its place in the log is in the queue's status.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DestinationStatus {
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub health: HealthSnapshot,
    /// Since when and by whom it is paused by hand, if it is.
    pub paused: Option<Paused>,
    /// Why it cannot be used at all, if so; its events wait meanwhile.
    pub unusable: Option<Unusable>,
    /// What it has taken over and keeps until it is where it belongs, if it is of a kind that does.
    pub keeps: Option<Keeps>,
}

/// What a destination's settings name is not as it must be, since the server was started. It is tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Unusable {
    /// Since when.
    pub since: event::Timestamp,
    /// What is wrong: the setting, and what it names.
    pub problem: String,
}

/// Deliveries that were taken over and are on their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Keeps {
    /// How many.
    pub rows: u64,
    /// Bytes of what they are kept in.
    pub bytes: u64,
    /// Why they are still here, or what else is wrong.
    pub problem: Option<String>,
}

/// What a destination that is no longer configured has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Left {
    /// The destination's name.
    pub destination: String,
    /// Where it is.
    pub journal: String,
    /// Deliveries that were taken over and are in no file.
    pub rows: u64,
    /// Bytes of the journal.
    pub bytes: u64,
}

/// A pause by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Paused {
    /// Since when.
    pub since: event::Timestamp,
    /// By whom: the name of a token, `local`, or the alarm that did it.
    pub by: String,
}
