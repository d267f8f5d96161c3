//! What `status` shows, as it goes over the wire.

use delivery::HealthSnapshot;
use queue::QueueStatus;
use serde::Serialize;

use crate::Alarms;

/// The whole server.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// Milliseconds of Unix time at which it started.
    pub started_at: i64,
    /// Milliseconds of Unix time now.
    pub now: i64,
    /// Whether new events are accepted.
    pub ready: bool,
    /// The queue.
    pub queue: QueueStatus,
    /// Each configured source.
    pub sources: Vec<SourceStatus>,
    /// Each configured destination.
    pub destinations: Vec<DestinationStatus>,
    /// What is wrong, and who is told of it.
    pub alarms: Alarms,
}

/// One source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// What was counted about it since start.
    pub counters: serde_json::Value,
}

/// One destination's service; its place in the log is in the queue's status.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationStatus {
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub health: HealthSnapshot,
}
