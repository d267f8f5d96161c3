//! What can be set on a `parquet` destination, and the check of it.

use std::path::PathBuf;
use std::time::Duration;

use super::journal::Rules;
use super::merge;
use super::partition::Grain;
use crate::OpenError;
use storage::Location;

/// Default for the bytes of payloads that make a file: some 40,000 outcomes. All of them are in memory as columns until their
/// file is made, and once more, packed, while it is.
const DEFAULT_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Most of them, for the same reason.
const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// Least of them: below it there are more files than rows.
const MIN_FILE_BYTES: u64 = 1_024;
/// Default for how long a delivery may wait until its file is written: 288 files a day at most, and reports that are five
/// minutes old.
const DEFAULT_FILE_AGE: Duration = Duration::from_secs(5 * 60);
/// Default for the bytes of the journal: some hours of a busy contact centre, and a small part of a disk.
const DEFAULT_JOURNAL_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Default for the events that are remembered: 20 days of 50,000 events a day, in some 40 MB of memory.
const DEFAULT_REMEMBERED: usize = 1_000_000;
/// Most of them: some 4 GB of memory.
const MAX_REMEMBERED: usize = 100_000_000;

/// Default for the small files of a folder that are merged: two hours of files of the default age.
const DEFAULT_MERGE_FILES: usize = 24;
/// Default for the bytes below which a file is small: readers open a file for every 16 MiB then, which costs them little.
const DEFAULT_MERGE_BELOW: u64 = 16 * 1024 * 1024;
/// Most of them: two such files are merged in memory.
const MAX_MERGE_BELOW: u64 = 64 * 1024 * 1024;
/// Default for how long a folder's time must be over: what comes late has come by then.
const DEFAULT_MERGE_AFTER: Duration = Duration::from_secs(60 * 60);

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the files go.
    pub location: Location,
    /// The directory of the journal, made if it is not there. Nobody else writes in it.
    pub journal: PathBuf,
    /// How fine the folders are.
    pub partition: Grain,
    /// Bytes of payloads that are written at once.
    pub file_bytes: u64,
    /// How long a delivery waits for others, at most, until it is written.
    pub file_age: Duration,
    /// Bytes of the journal; deliveries beyond wait in the queue.
    pub journal_bytes: u64,
    /// So many of the latest events are known, so that they get no second row.
    pub remembered: usize,
    /// So many small files of a folder are merged into one; zero if none is ever.
    pub merge_files: usize,
    /// Files of fewer bytes are small.
    pub merge_below: u64,
    /// When the time of a folder is over for so long, and it got no file for so long, two small files are enough.
    pub merge_after: Duration,
}

impl Options {
    /// The defaults, for a place and a journal.
    pub fn new(location: Location, journal: PathBuf) -> Self {
        Self {
            location,
            journal,
            partition: Grain::default(),
            file_bytes: DEFAULT_FILE_BYTES,
            file_age: DEFAULT_FILE_AGE,
            journal_bytes: DEFAULT_JOURNAL_BYTES,
            remembered: DEFAULT_REMEMBERED,
            merge_files: DEFAULT_MERGE_FILES,
            merge_below: DEFAULT_MERGE_BELOW,
            merge_after: DEFAULT_MERGE_AFTER,
        }
    }

    /// What holds for merging.
    pub(super) fn merging(&self, memory: u64) -> merge::Rules {
        let (files, below, after) = (self.merge_files, self.merge_below, self.merge_after);
        merge::Rules { files, below, after, most: merge::Rules::most(memory) }
    }

    /// What holds for the journal.
    pub(super) fn check(&self) -> Result<Rules, OpenError> {
        if !(MIN_FILE_BYTES..=MAX_FILE_BYTES).contains(&self.file_bytes) {
            return Err(OpenError::option("file_bytes", "is not between 1KiB and 1GiB"));
        }
        if self.file_age.is_zero() {
            return Err(OpenError::option("file_age", "is zero; give deliveries some time, such as 5m"));
        }
        if self.journal_bytes < self.file_bytes {
            let problem = "is less than `file_bytes`, so that no file would ever be full; make it larger";
            return Err(OpenError::option("journal_bytes", problem));
        }
        if !(1..=MAX_REMEMBERED).contains(&self.remembered) {
            return Err(OpenError::option("remember", format!("is not between 1 and {MAX_REMEMBERED}")));
        }
        if self.merge_files == 1 {
            return Err(OpenError::option(
                "merge_files",
                "is 1, and one file is as many as it was; use 0 to merge none",
            ));
        }
        if !(1..=MAX_MERGE_BELOW).contains(&self.merge_below) {
            let problem = "is not between 1 byte and 64MiB; use merge_files = 0 to merge none";
            return Err(OpenError::option("merge_below", problem));
        }
        Ok(Rules {
            segment_bytes: self.file_bytes,
            segment_age: self.file_age,
            most_bytes: self.journal_bytes,
            remembered: self.remembered,
        })
    }
}
