//! From closed segments to files in the object store.
//!
//! A segment becomes one file for each folder that it has rows for, then an entry of the catalogue, then it is dropped. All
//! of it is named after the segment and made of it alone. So a crash at any point leads to the same files again, which
//! replace themselves, and never to two files with the same row.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use event::EventId;

use super::catalogue::{self, Entry, FileEntry};
use super::encode::Gathered;
use super::frame::{self, Record};
use super::held::Segment as Held;
use super::lake::Lake;
use super::partition::{Grain, Partition};
use super::row::Row;

/// Writes segments.
pub(super) struct Uploader {
    pub(super) lake: Lake,
    pub(super) grain: Grain,
    /// The journal's name.
    pub(super) journal: String,
}

/// What was written of a segment.
pub(super) struct Written {
    /// Its events, those that were erased too.
    pub(super) ids: Vec<EventId>,
    /// The folders that it has a file in.
    pub(super) folders: Vec<Partition>,
}

/// Why a segment is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Store(#[from] object_store::Error),
    #[error("reading the journal: {0}")]
    Journal(#[from] std::io::Error),
    #[error("removing what a kill left of a file: {0}")]
    Clear(std::io::Error),
    #[error("syncing the folder of a file that was deleted: {0}")]
    Settle(std::io::Error),
    #[error("`{0}` of the journal is damaged; restore it from a copy")]
    Damaged(String),
    /// It was a row when it was taken over, so another version of aftercall took it.
    #[error("a row in the journal cannot be written: {0}")]
    Misfit(String),
    #[error("making a Parquet file: {0}")]
    Encode(#[from] parquet::errors::ParquetError),
    #[error("the catalogue: {0}")]
    Catalogue(#[from] serde_json::Error),
    #[error("the journal's note of files that are being replaced: {0}; remove it to go on without them")]
    Note(String),
    #[error("`{0}` was to be replaced and is gone, or is another file; nothing was replaced")]
    Gone(String),
}

impl Uploader {
    /// Writes a segment's files and its entry of the catalogue. Reads it, unless its rows are held.
    pub(super) async fn write(&self, number: u64, path: &Path, held: Option<Held>) -> Result<Written, Failed> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let (name, ids) = match held {
            Some(held) => {
                let name = self.name(number, held.created);
                for (partition, rows) in held.folders {
                    folders.push(partition);
                    files.push(self.put_rows(&name, partition, rows).await?);
                }
                (name, held.ids)
            }
            None => {
                let text = std::fs::read(path)?;
                let segment = self.read(path, &text)?;
                let name = self.name(number, segment.created);
                for (partition, records) in self.folders(&segment.records) {
                    folders.push(partition);
                    files.push(self.put_rows(&name, partition, gather(&records)?).await?);
                }
                (name, segment.records.iter().map(|record| record.event).collect())
            }
        };
        self.lake.put(&catalogue::place(&name), Entry::new(files).to_json()?).await?;
        Ok(Written { ids, folders })
    }

    /// The time keeps names apart even if somebody has emptied the journal's directory but for its name.
    fn name(&self, number: u64, created: i64) -> String {
        format!("{}-{number:08}-{created}", self.journal)
    }

    fn read<'a>(&self, path: &Path, text: &'a [u8]) -> Result<frame::Segment<'a>, Failed> {
        let damaged = || Failed::Damaged(path.display().to_string());
        let segment = frame::read(text).map_err(|_| damaged())?;
        if segment.is_torn { Err(damaged()) } else { Ok(segment) }
    }

    /// The records of each folder; what was erased is in none.
    fn folders<'a>(&self, records: &[Record<'a>]) -> BTreeMap<Partition, Vec<Record<'a>>> {
        let mut folders: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in records.iter().filter(|record| !record.payload.is_empty()) {
            folders.entry(Partition::of(record.time, self.grain)).or_default().push(*record);
        }
        folders
    }

    async fn put_rows(&self, name: &str, partition: Partition, rows: Gathered) -> Result<FileEntry, Failed> {
        let name = format!("{partition}/{name}.parquet");
        let (count, (from, to)) = (rows.rows(), rows.times());
        let data = Bytes::from(rows.encode()?);
        let entry = FileEntry {
            name,
            partition: partition.to_string(),
            rows: count,
            bytes: data.len() as u64,
            sha256: catalogue::sha256(&data),
            from: catalogue::time(from),
            to: catalogue::time(to),
        };
        self.lake.put(&entry.name, data).await?;
        Ok(entry)
    }
}

fn gather(records: &[Record<'_>]) -> Result<Gathered, Failed> {
    let mut gathered = Gathered::new();
    for record in records {
        let row = Row::parse(record.payload).map_err(|misfit| Failed::Misfit(misfit.to_string()))?;
        gathered.push(&row, record.payload.len(), record.time)?;
        gathered.encode_part()?;
    }
    Ok(gathered)
}
