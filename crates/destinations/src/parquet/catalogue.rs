//! The catalogue: which files there are, and what is in them. One JSON object for each segment of the journal, written when
//! all of the segment's files are there; so what is in the catalogue is whole. And one for each file that replaces others,
//! with their names: a file that an entry replaces counts no more, whether it is still there or not. So whoever reads the
//! entries knows which files have each row once, at any moment.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::schema;

/// The folder of the catalogue, beside the data. Readers of Hive's folders pass over names that begin with `_`.
pub(super) const FOLDER: &str = "_catalogue";
/// Version of its format. In version 1 nothing was replaced.
const VERSION: u32 = 2;

/// What was written of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    version: u32,
    schema: u32,
    rows: u64,
    pub(super) files: Vec<FileEntry>,
    /// The names of the files whose rows are in these now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaces: Vec<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Of a segment.
    pub(super) fn new(files: Vec<FileEntry>) -> Self {
        let rows = files.iter().map(|file| file.rows).sum();
        Self { version: VERSION, schema: schema::VERSION, rows, files, replaces: Vec::new() }
    }

    /// Of a file, if any row is left, with rows of a version of the schema, instead of others.
    pub(super) fn replacing(file: Option<FileEntry>, schema: u32, replaces: Vec<String>) -> Self {
        Self { schema, replaces, ..Self::new(file.into_iter().collect()) }
    }

    /// Understands one.
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// As it is written.
    pub(super) fn to_json(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec_pretty(self).map(Bytes::from)
    }
}

/// Where the entry is that tells of a file: both have the same name.
pub(super) fn entry_of(file: &str) -> Option<String> {
    let name = file.rsplit('/').next()?.strip_suffix(".parquet")?;
    Some(place(name))
}

/// Where the entry of this name is.
pub(super) fn place(name: &str) -> String {
    format!("{FOLDER}/{name}.json")
}

/// The checksum of a file.
pub(super) fn sha256(data: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data))
}

/// Like `2026-11-27T09:15:00.123Z`.
pub(super) fn time(millis: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
