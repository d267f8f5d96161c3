//! From closed segments to files in the object store.
//!
//! A segment becomes one file for each folder that it has rows for, then an entry of the catalogue, then it is dropped. All
//! of it is named after the segment and made of it alone. So a crash at any point leads to the same files again, which
//! replace themselves, and never to two files with the same row.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use event::EventId;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::catalogue::{self, Entry, FileEntry};
use super::encode::Encoder;
use super::frame::{self, Record};
use super::partition::{Grain, Partition};

/// Writes segments.
pub(super) struct Uploader {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) grain: Grain,
    /// The journal's name.
    pub(super) journal: String,
}

/// Why a segment is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Store(#[from] object_store::Error),
    #[error("reading the journal: {0}")]
    Journal(#[from] std::io::Error),
    #[error("`{0}` of the journal is damaged; restore it from a copy")]
    Damaged(String),
    #[error("making a Parquet file: {0}")]
    Encode(#[from] parquet::errors::ParquetError),
    #[error("writing the catalogue: {0}")]
    Catalogue(#[from] serde_json::Error),
}

impl Uploader {
    /// Writes a segment's files and its entry of the catalogue; the ids of its events.
    pub(super) async fn write(&self, number: u64, path: &FilePath) -> Result<Vec<EventId>, Failed> {
        let text = std::fs::read(path)?;
        let damaged = || Failed::Damaged(path.display().to_string());
        let segment = frame::read(&text).map_err(|_| damaged())?;
        if segment.is_torn {
            return Err(damaged());
        }
        // The time keeps names apart even if somebody has emptied the journal's directory but for its name.
        let name = format!("{}-{number:08}-{}", self.journal, segment.created);
        let mut partitions: BTreeMap<Partition, Vec<Record<'_>>> = BTreeMap::new();
        for record in &segment.records {
            partitions.entry(Partition::of(record.time, self.grain)).or_default().push(*record);
        }
        let mut files = Vec::with_capacity(partitions.len());
        for (partition, records) in partitions {
            let name = format!("{partition}/{name}.parquet");
            let (entry, data) = file(name, partition, &records)?;
            self.objects.put(&path_of(&entry.name)?, data.into()).await?;
            files.push(entry);
        }
        let entry = serde_json::to_vec_pretty(&Entry::new(files))?;
        let name = format!("{}/{name}.json", catalogue::FOLDER);
        self.objects.put(&path_of(&name)?, Bytes::from(entry).into()).await?;
        Ok(segment.records.iter().map(|record| record.event).collect())
    }
}

/// As it is, with the `=` that `Path::from` would leave too, but checked.
fn path_of(name: &str) -> Result<Path, object_store::Error> {
    Ok(Path::parse(name)?)
}

fn file(name: String, partition: Partition, records: &[Record<'_>]) -> Result<(FileEntry, Bytes), Failed> {
    let mut encoder = Encoder::new()?;
    records.iter().try_for_each(|record| encoder.push(record.payload))?;
    let times = || records.iter().map(|record| record.time);
    let rows = encoder.rows();
    let data = Bytes::from(encoder.finish()?);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &data);
    let entry = FileEntry {
        name,
        partition: partition.to_string(),
        rows,
        bytes: data.len() as u64,
        sha256: hex::encode(digest),
        from: catalogue::time(times().min().unwrap_or_default()),
        to: catalogue::time(times().max().unwrap_or_default()),
    };
    Ok((entry, data))
}
