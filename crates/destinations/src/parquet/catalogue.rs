//! The catalogue: which files there are, and what is in them. One JSON object for each segment of the journal, written when
//! all of the segment's files are there; so what is in the catalogue is whole.

use serde::Serialize;

use super::schema;

/// The folder of the catalogue, beside the data. Readers of Hive's folders pass over names that begin with `_`.
pub(super) const FOLDER: &str = "_catalogue";
/// Version of its format.
const VERSION: u32 = 1;

/// What was written of a segment.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    version: u32,
    schema: u32,
    rows: u64,
    files: Vec<FileEntry>,
}

/// A file.
#[derive(Debug, Serialize)]
pub(super) struct FileEntry {
    /// Its name, from the root of the destination.
    pub(super) name: String,
    /// Its folder.
    pub(super) partition: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The earliest and the latest time of its rows, by which their folder is chosen.
    pub(super) from: String,
    pub(super) to: String,
}

impl Entry {
    pub(super) fn new(files: Vec<FileEntry>) -> Self {
        let rows = files.iter().map(|file| file.rows).sum();
        Self { version: VERSION, schema: schema::VERSION, rows, files }
    }
}

/// Like `2026-11-27T09:15:00.123Z`.
pub(super) fn time(millis: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
