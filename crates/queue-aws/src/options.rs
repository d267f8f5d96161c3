//! What can be set, and the limits of this backend, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;

/// Settings of the queue on AWS.
#[derive(Debug, Clone)]
pub struct Options {
    /// What every backend has.
    pub queue: queue::Options,
    /// The table; see [`crate::create_table`].
    pub table: String,
    /// For how long the audit trail is kept.
    pub audit_retention: Duration,
    /// For how long a server that says it delivers to a destination is believed; without it all deliver at the same time.
    pub ownership: Option<Duration>,
    /// Where bodies are that are too large for the table; without it they are refused.
    pub bodies: Option<Bodies>,
}

/// Where large bodies are.
#[derive(Debug, Clone)]
pub struct Bodies {
    /// A bucket, or a folder in one, that nothing else writes to.
    pub store: Arc<dyn ObjectStore>,
    /// Bytes beyond which an item is an object, see [`INLINE_BYTES`].
    pub inline_bytes: usize,
    /// For so long nothing names an object before upkeep deletes it, see [`UNUSED_FOR`].
    pub unused_for: Duration,
}

/// [`Bodies::inline_bytes`] of servers: an item has at most 400 KB.
pub const INLINE_BYTES: usize = 300 << 10;
/// Bytes of one event's body in an object: as many as a source takes that splits nothing.
pub const OBJECT_BYTES_MAX: usize = 64 << 20;
/// Bytes of an item of the log where a request has more than [`LARGE_BYTES`]: few objects, none of them large.
pub(crate) const LARGE_CHUNK_BYTES: usize = 512 << 10;
/// Bytes of bodies that are put into the log in such items.
pub(crate) const LARGE_BYTES: usize = 2 << 20;
/// Entries of objects that one piece of upkeep looks at.
pub(crate) const OBJECTS_OF_A_SWEEP: usize = 50;
/// [`Bodies::unused_for`] of servers: longer than any commit takes.
pub const UNUSED_FOR: Duration = Duration::from_secs(3_600);

/// [`Options::ownership`] of servers: a third of it is long enough for some failed requests, and half as long again is less
/// than a lease, so that a take-over delays nothing that is under way.
pub const OWNERSHIP: Duration = Duration::from_secs(30);
/// For so long a destination that a server of another configuration has delivered to counts as being there.
pub(crate) const AWAY: Duration = Duration::from_secs(86_400);
/// Clocks of servers differ by less than this. With more, one of them could take over from another one that is there.
pub(crate) const SKEW: Duration = Duration::from_secs(120);
/// The time for giving back what is owned, when a server stops.
pub(crate) const GIVE_BACK_TIME: Duration = Duration::from_secs(3);

/// Tries of one request, the first included: adaptive, so that all requests of the client slow down while DynamoDB
/// throttles. With the SDK's growing pauses it is about five seconds, which a webhook's sender still waits for.
pub const ATTEMPTS: u32 = 6;
/// The time of one try of a request, its connection included; DynamoDB answers within some milliseconds.
pub(crate) const ATTEMPT_TIME: Duration = Duration::from_secs(3);
/// The time of one request with all its tries.
pub const OPERATION_TIME: Duration = Duration::from_secs(12);
/// How often an operation is decided anew because somebody else has written in between. With the pauses in between it is
/// some seconds; then it is `Busy`.
pub(crate) const CONTENDED_MAX: u32 = 40;
/// The longest pause before it is decided anew.
pub(crate) const CONTENDED_PAUSE: Duration = Duration::from_millis(200);
/// When it makes sense to come back after too much contention or throttling.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Parts of a destination's state: as many may be written at the same time without getting into each other's way.
/// Together with its head they fit one transaction, which has at most 100 items.
pub(crate) const SHARDS: u8 = 32;
/// Bytes of one of those parts beyond which nothing is added: all of them together fit one transaction of 4 MB. It is
/// about 2,500 deliveries.
pub(crate) const SHARD_BYTES: usize = 110 << 10;
/// Events of the log that are looked at in one go for a destination that has nothing to do.
pub(crate) const PROJECTED_EVENTS: usize = 500;
/// Bytes of bodies that are looked at in such a go.
pub(crate) const PROJECTED_BYTES: usize = 4 << 20;
/// How often one lease looks on in the log for something that it may lease.
pub(crate) const PROJECTIONS_OF_A_LEASE: usize = 64;

/// Places of one partition of the log; no item of the log goes beyond one, so a place is found with one query.
pub(crate) const BUCKET: u64 = 1_000;
/// Bytes of an item of the log, unless one event alone is larger: what a lease reads for an event that is alone in it.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of one event's body: an item has at most 400 KB, with everything else in it.
pub const BODY_BYTES_MAX: usize = 360 << 10;
/// Items that a publication has besides its events' claims: a transaction has at most 100.
pub(crate) const TRANSACTION_ITEMS: usize = 100;
/// Bytes of one transaction: DynamoDB takes 4 MB.
pub(crate) const TRANSACTION_BYTES: usize = 3_800_000;
/// Publications that are committed in one transaction at most: each has a fate of its own in it.
pub(crate) const PUBLICATIONS_OF_A_COMMIT: usize = 24;
/// Bytes of bodies of publications that are committed together, unless it is one: well inside of a transaction, of which
/// the trail and the lists of what matched no route take a part too.
pub(crate) const BYTES_OF_A_COMMIT: usize = 1 << 20;
/// Items of the log that are kept in memory, in bytes.
pub(crate) const CACHE_BYTES: usize = 32 << 20;
/// Requests at the same time where one operation needs many.
pub(crate) const PARALLEL: usize = 16;

/// After this time a publication that has claimed an identity and not committed is taken to be over, and is prevented
/// from committing. Longer than a publication takes with all its tries.
pub(crate) const CLAIM_LEASE: Duration = Duration::from_secs(20);
/// How long a claim stays beyond its time before DynamoDB may drop it: clocks differ, and nobody is in a hurry.
pub(crate) const EXPIRY_SLACK: Duration = Duration::from_secs(2 * 86_400);
