//! Where everything stands in the table.
//!
//! | partition | sort | what |
//! |---|---|---|
//! | `queue` | `head` | how far the log and the dead letters are numbered, counters |
//! | `queue` | `destinations` | the names of all destinations there ever were; the place is the id |
//! | `log NNN` | place of its first event | events, those of 1,000 places in a partition |
//! | `event ID` | `claim` | who has claimed an identity |
//! | `publication ID` | `fate` | whether that publication was committed |
//! | `to NNN` | `head` | how far the log was looked at for a destination |
//! | `to NNN` | `shard NN` | a part of its deliveries that are not settled |
//! | `dead letters` | number | a dead letter |
//! | `dead letter bodies`, `edited copies` | number | its body, and an edited copy of it |
//! | `refused HASH` | `letter` | which dead letter a body became that is no event |
//! | `unmatched` | place of its first event | what of an item of the log matched no route |
//! | `trail` | number | a block of the audit trail |
//! | `queue` | `trail begins` | behind which block the audit trail begins |
//! | `queue` | `reviews` | how far people are with groups of dead letters |
//! | `objects` | item and name of an object | that the object is, or was, in the bucket |
//! | `owners` | id of a destination | which server delivers to it |
//! | `notes` | id of a destination | what whoever delivers to it wants to find again |
//! | `replays` | name | how far a replay has come |
//! | `queue` | `watched` | what those who watch the queue must not forget |
//! | `watched` | number | the rest of it, if it is much |
//!
//! Numbers have leading zeros, so that their order is that of the texts.

use event::EventId;
use queue::{ConsumerId, DeadLetterId};

use crate::options::BUCKET;
use crate::table::{Key, Stamp};

pub(crate) const OBJECTS: &str = "objects";
const BODIES: &str = "dead letter bodies";
const COPIES: &str = "edited copies";
const LOG: &str = "log ";

impl Key {
    /// Whether what stands there may be in an object: events, and bodies of dead letters.
    pub(crate) fn may_be_object(&self) -> bool {
        self.partition.starts_with(LOG) || self.partition == BODIES || self.partition == COPIES
    }
}

const QUEUE: &str = "queue";
/// Behind every number.
pub(crate) const LAST: &str = "99999999999999999999";
pub(crate) const LETTERS: &str = "dead letters";
pub(crate) const SHARD_LAST: &str = "shard 999";

pub(crate) fn head() -> Key {
    Key::new(QUEUE, "head")
}

pub(crate) fn destinations() -> Key {
    Key::new(QUEUE, "destinations")
}

/// The partition of a place of the log, and the first and last place of it.
pub(crate) fn bucket(place: u64) -> (String, u64, u64) {
    let bucket = place / BUCKET;
    (format!("{LOG}{bucket:017}"), bucket * BUCKET, bucket * BUCKET + (BUCKET - 1))
}

pub(crate) fn number(number: u64) -> String {
    format!("{number:020}")
}

pub(crate) fn chunk(first: u64) -> Key {
    Key::new(bucket(first).0, number(first))
}

pub(crate) fn claim(id: EventId) -> Key {
    Key::new(format!("event {id}"), "claim")
}

pub(crate) fn fate(publication: &Stamp) -> Key {
    Key::new(format!("publication {}", EventId::from_bytes(*publication)), "fate")
}

pub(crate) fn destination(id: ConsumerId) -> String {
    format!("to {:05}", id.0)
}

pub(crate) fn projection(id: ConsumerId) -> Key {
    Key::new(destination(id), "head")
}

pub(crate) fn shard(id: ConsumerId, shard: u8) -> Key {
    Key::new(destination(id), format!("shard {shard:03}"))
}

/// Which shard a sort key names.
pub(crate) fn shard_of(sort: &str) -> Option<u8> {
    sort.strip_prefix("shard ")?.parse().ok()
}

pub(crate) fn letter(id: DeadLetterId) -> Key {
    Key::new(LETTERS, number(id.0))
}

pub(crate) fn letter_body(id: DeadLetterId) -> Key {
    Key::new(BODIES, number(id.0))
}

pub(crate) fn letter_copy(id: DeadLetterId) -> Key {
    Key::new(COPIES, number(id.0))
}

pub(crate) fn refused(body_hash: u64) -> Key {
    Key::new(format!("refused {body_hash:016x}"), "letter")
}

pub(crate) fn watched() -> Key {
    Key::new(QUEUE, "watched")
}

pub(crate) fn watched_part(part: usize) -> Key {
    Key::new("watched", format!("{part:02}"))
}

pub(crate) fn reviews() -> Key {
    Key::new(QUEUE, "reviews")
}

pub(crate) const TRAIL: &str = "trail";

pub(crate) fn trail_begins() -> Key {
    Key::new(QUEUE, "trail begins")
}

pub(crate) fn block(block: u64) -> Key {
    Key::new(TRAIL, number(block))
}

pub(crate) const UNMATCHED: &str = "unmatched";

pub(crate) fn unmatched(first: u64) -> Key {
    Key::new(UNMATCHED, number(first))
}

pub(crate) const OWNERS: &str = "owners";

pub(crate) fn owner(id: ConsumerId) -> Key {
    Key::new(OWNERS, format!("{:05}", id.0))
}

/// The first and the last of them.
pub(crate) fn owners() -> (String, String) {
    (format!("{:05}", 0), format!("{:05}", u16::MAX))
}

/// Not in the partition of the destination's state, which is read whole with each lease.
pub(crate) fn note(id: ConsumerId) -> Key {
    Key::new("notes", format!("{:05}", id.0))
}

pub(crate) const REPLAYS: &str = "replays";

pub(crate) fn replay(id: &str) -> Key {
    Key::new(REPLAYS, id)
}
