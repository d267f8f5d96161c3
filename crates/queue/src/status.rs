//! What a queue tells about itself.

use event::Timestamp;
use serde::Serialize;

/// Counts and positions of the whole queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueStatus {
    /// Events accepted since the store was made.
    pub accepted: u64,
    /// Dead letters redriven since the store was made.
    pub redriven: u64,
    /// Events replayed since the store was made, each destination for itself.
    pub replayed: u64,
    /// Duplicates refused since the store was made.
    pub duplicates: u64,
    /// Conflicts kept since the store was made.
    pub conflicts: u64,
    /// Events that matched no route when they were accepted.
    pub unmatched: u64,
    /// Events still in the log.
    pub retained: u64,
    /// Dead letters now, of all stages.
    pub dead_letters: u64,
    /// Identities that dedupe knows now.
    pub identities: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Why the queue has stopped, if so.
    pub poisoned: Option<String>,
    /// Each destination.
    pub consumers: Vec<ConsumerStatus>,
}

/// Counts and positions of one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// Whether the present configuration has it.
    pub configured: bool,
    /// Every event up to this place is settled.
    pub watermark: u64,
    /// Events above the watermark that are not settled; those not yet routed count too.
    pub unsettled: u64,
    /// Out on lease now.
    pub leased: u64,
    /// Waiting for their retry.
    pub retrying: u64,
    /// Conversations that wait for a dead letter of theirs.
    pub held_conversations: u64,
    /// Events of those, as far as they have been read from the log.
    pub held: u64,
    /// Dead letters of this destination now.
    pub dead_letters: u64,
    /// When the oldest event that is not settled was received, or redriven or replayed: since when somebody waits for it.
    pub oldest_unsettled: Option<Timestamp>,
    /// Deliveries settled as done since the store was made; without those that were put aside.
    pub delivered: u64,
    /// Deliveries that were put aside in the archive while the destination was down, less those that a replay of what was put
    /// aside has passed since.
    pub put_aside: u64,
}

/// What one piece of upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Maintained {
    /// Events dropped from the log.
    pub events_dropped: u64,
    /// Identities dropped.
    pub identities_dropped: u64,
    /// Deliveries that became dead letters because they were older than retention.
    pub expired: u64,
    /// There is more to do now.
    pub more: bool,
}
