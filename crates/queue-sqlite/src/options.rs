//! Settings and limits of the embedded queue.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the embedded queue.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made if it does not exist.
    pub dir: PathBuf,
    /// Dedupe window, retention and lease time.
    pub queue: queue::Options,
    /// For how long the audit trail is kept.
    pub audit_retention: Duration,
}

impl Options {
    /// A quarter of a year: long enough for most questions that are asked afterwards.
    pub const AUDIT_RETENTION: Duration = Duration::from_secs(90 * 86400);

    /// In this directory, with the default settings.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), queue: queue::Options::default(), audit_retention: Self::AUDIT_RETENTION }
    }
}

/// Bytes of bodies that may wait for the writer; more is answered with "busy". A body larger than this is still
/// accepted when nothing else waits.
pub(crate) const MAX_WAITING_BYTES: usize = 64 << 20;
/// Counted for each event that waits beside its body, so that many small ones are bounded too.
pub(crate) const EVENT_OVERHEAD_BYTES: usize = 512;
/// Events of one commit: bounds how long one commit takes.
pub(crate) const MAX_COMMIT_EVENTS: usize = 4_096;
/// Bytes of one commit.
pub(crate) const MAX_COMMIT_BYTES: usize = 16 << 20;
/// When to try again after "busy": the writer stores that much in well under a second.
pub(crate) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Cursors that only moved over events of no interest are stored at the latest with every 64th commit, or when the
/// writer has been idle for this long.
pub(crate) const CURSOR_FLUSH_COMMITS: u64 = 64;
/// Events after which their identities, those that no route has matched, and the counters are written: a start reads and
/// hashes so many again, in some milliseconds, and a commit at full load, which has 20 to 200, seldom writes them.
pub(crate) const LATE_EVENTS: u64 = 1_024;
/// See [`CURSOR_FLUSH_COMMITS`].
pub(crate) const IDLE_FLUSH: Duration = Duration::from_secs(1);
/// While commits fail, for example because the disk is full, what was kept is tried again this often.
pub(crate) const FULL_PAUSE: Duration = Duration::from_millis(250);
/// Pages in the write-ahead log at which checkpointing starts: 32 MiB.
pub(crate) const CHECKPOINT_PAGES: u32 = 2_048;
/// Pages that the writer itself may copy to finish a checkpoint: 1 MiB, a millisecond or two of one commit.
pub(crate) const CHECKPOINT_REST_PAGES: u32 = 64;
/// Pages at which the writer stops to checkpoint everything: 128 MiB, which are recovered in well under a second.
pub(crate) const CHECKPOINT_HARD_PAGES: u32 = 8_192;
/// Events read ahead from the log at once: some milliseconds of reading, and so many that a destination which takes many at
/// once gets many.
pub(crate) const READ_AHEAD_EVENTS: usize = 1_024;
/// Bytes of events read ahead at once.
pub(crate) const READ_AHEAD_BYTES: usize = 2 << 20;
/// Connections that read.
pub(crate) const READERS: usize = 2;
/// Events that one piece of upkeep drops from the log.
pub(crate) const DROP_EVENTS: u64 = 2_000;
/// Blocks of the audit trail that one piece of upkeep drops.
pub(crate) const DROP_BLOCKS: usize = 200;
/// Niceness of the thread that sorts identities: a third of a request's share of a busy processor, so that requests are
/// not held up, and it is still done long before the next run is due.
pub(crate) const SORT_NICENESS: i32 = 5;
