//! From closed segments to files in the object store.
//!
//! A segment becomes one file for each folder that it has rows for, then an entry of the catalogue, then it is dropped. All
//! of it is named after the segment and made of it alone. So a crash at any point leads to the same files again, which
//! replace themselves, and never to two files with the same row.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};
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
    /// The store, if it is a directory.
    pub(super) directory: Option<PathBuf>,
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
            self.put(&entry.name, data).await?;
            files.push(entry);
        }
        let entry = serde_json::to_vec_pretty(&Entry::new(files))?;
        let name = format!("{}/{name}.json", catalogue::FOLDER);
        self.put(&name, Bytes::from(entry)).await?;
        Ok(segment.records.iter().map(|record| record.event).collect())
    }

    async fn put(&self, name: &str, data: Bytes) -> Result<(), Failed> {
        if let Some(directory) = &self.directory {
            clear(directory, name).map_err(Failed::Clear)?;
        }
        let path = Path::parse(name).map_err(object_store::Error::from)?;
        self.objects.put(&path, data.into()).await?;
        Ok(())
    }
}

/// Removes what a kill left of this very file in a directory: the store writes to `NAME#1` and renames that, and whoever
/// reads all that is in a folder would read it.
fn clear(directory: &FilePath, name: &str) -> std::io::Result<()> {
    match std::fs::remove_file(directory.join(format!("{name}#1"))) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
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
