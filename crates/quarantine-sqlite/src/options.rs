//! Settings of the quarantine, and every limit it has.

use std::path::PathBuf;
use std::time::Duration;

/// Requests and questions on their way to the thread. A batch of so many takes it some milliseconds.
pub const CHANNEL_REQUESTS: usize = 256;
/// Bytes of requests on their way to the thread; one of the largest allowed bodies fits.
pub const WAITING_BYTES_MAX: usize = 16 << 20;
/// Requests and questions that are done in one commit.
pub const BATCH: usize = 256;
/// The time in which a full quarantine of a source may be replaced once by newer requests. So a flood writes no more
/// than the whole of a source's bytes in this time, however fast it is.
pub const REPLACE_IN: Duration = Duration::from_secs(600);
/// Bytes that a request counts besides its body and headers: the row around them.
pub const ROW_BYTES: usize = 256;
/// Keys of which the use is remembered; of more, those that were used last.
pub const KEY_USES_MAX: u32 = 1_000;
/// The same failure is logged at most once in so many times.
pub const LOG_EVERY_FAILURES: u64 = 1_000;

/// Settings of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// Whether refused requests are kept. What is there already stays, and the use of keys is remembered either way.
    /// Default: yes.
    pub enabled: bool,
    /// Requests of one source, at least 1. Default 10,000: some minutes of a busy sender.
    pub requests: u64,
    /// Bytes of one source: bodies, headers and [`ROW_BYTES`] for each; at least 64 KiB. The file takes up to about
    /// twice as much, since it consists of whole pages. Default 64 MiB.
    pub bytes: u64,
    /// How long a request stays. Default 14 days, as long as events do.
    pub retention: Duration,
}

impl Options {
    /// The defaults, in this directory.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, enabled: true, requests: 10_000, bytes: 64 << 20, retention: Duration::from_secs(14 * 24 * 3600) }
    }
}
