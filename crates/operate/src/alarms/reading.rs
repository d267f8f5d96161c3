//! What was measured at an instant.

use std::time::Duration;

use event::Timestamp;
use queue::DeadLetterGroup;

/// Everything that alarms are decided by.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Why the queue has stopped, if so.
    pub stopped: Option<String>,
    /// Dead letters in groups; `None` if they could not be read, which resolves nothing.
    pub groups: Option<Vec<DeadLetterGroup>>,
    /// Each configured destination.
    pub destinations: Vec<DestinationReading>,
    /// Each source.
    pub sources: Vec<SourceReading>,
    /// Bytes free where the data is; `None` if they could not be read.
    pub disk_free: Option<u64>,
    /// Requests that were refused because the queue had no room, since the start.
    pub queue_full: u64,
    /// How long a commit takes; `None` if it could not be measured.
    pub commit: Option<Duration>,
    /// Why the quarantine is out of order, if so.
    pub quarantine_closed: Option<String>,
    /// Why the file of the configuration is not in force, if so.
    pub configuration_refused: Option<String>,
    /// Each notifier.
    pub notifiers: Vec<NotifierReading>,
    /// Since when the archive has failed, and with what; none while it works, or if there is none.
    pub archive_failing: Option<(Timestamp, String)>,
}

/// One destination.
#[derive(Debug, Clone, Default)]
pub struct DestinationReading {
    /// Its name.
    pub name: String,
    /// When the oldest event that it still has to get was received.
    pub oldest: Option<Timestamp>,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Those of them that wait for a dead letter of their conversation.
    pub held: u64,
    /// Deliveries that were put aside in the archive and not replayed yet.
    pub put_aside: u64,
    /// Since when it cannot be used at all, and why.
    pub unusable: Option<(Timestamp, String)>,
    /// Where its breaker stands.
    pub breaker: Breaker,
    /// Nothing goes out because somebody, or an alarm, said so.
    pub paused: bool,
    /// Its `rate` allows nothing more until then.
    pub limited: Option<Timestamp>,
    /// What it failed with last.
    pub last_error: Option<String>,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Breaker {
    /// Deliveries go out.
    #[default]
    Closed,
    /// They have waited since then.
    Open(Timestamp),
    /// Nobody knows yet, as at a start; that resolves nothing.
    Unknown,
}

/// One source, with counts since the start.
#[derive(Debug, Clone, Default)]
pub struct SourceReading {
    /// Its name.
    pub name: String,
    /// Requests refused for their signature or credential.
    pub refused: u64,
    /// What it sends.
    pub topics: Vec<TopicReading>,
}

/// Events of one topic of a source, with counts since the start.
#[derive(Debug, Clone, Default)]
pub struct TopicReading {
    /// The topic; may be empty.
    pub topic: String,
    /// Events accepted.
    pub accepted: u64,
    /// When the last one came.
    pub last: Option<Timestamp>,
}

/// One notifier.
#[derive(Debug, Clone, Default)]
pub struct NotifierReading {
    /// Its name.
    pub name: String,
    /// Since when every attempt has failed; none while it works.
    pub failing_since: Option<Timestamp>,
    /// What it failed with last.
    pub last_error: Option<String>,
    /// Notices that wait for it.
    pub waiting: u64,
}
