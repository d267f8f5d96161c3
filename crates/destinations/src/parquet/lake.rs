//! The object store, by names from the root of the destination.

use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _};

use super::upload::Failed;

/// How all files of rows end; one that is being written in a directory has another ending.
const ENDING: &str = ".parquet";

/// Where the files are.
pub(super) struct Lake {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The store, if it is a directory.
    pub(super) directory: Option<PathBuf>,
}

/// A file of rows that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub(super) written: i64,
}

impl Lake {
    /// Writes a file, whole or not at all, over the one of the same name.
    pub(super) async fn put(&self, name: &str, data: Bytes) -> Result<(), Failed> {
        if let Some(directory) = &self.directory {
            clear(directory, name).map_err(Failed::Clear)?;
        }
        self.objects.put(&path(name)?, data.into()).await?;
        Ok(())
    }

    /// What is in a file; none if it is not there.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Bytes>, Failed> {
        match self.objects.get(&path(name)?).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A part of a file.
    pub(super) async fn get_range(&self, name: &str, range: std::ops::Range<u64>) -> Result<Bytes, Failed> {
        Ok(self.objects.get_range(&path(name)?, range).await?)
    }

    /// How large a file is; none if it is not there.
    pub(super) async fn size(&self, name: &str) -> Result<Option<u64>, Failed> {
        match self.objects.head(&path(name)?).await {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a file, if it is there.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Failed> {
        match self.objects.delete(&path(name)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes sure that what was deleted in a folder stays so: a directory is synced, and all else is durable at once.
    pub(super) fn settle(&self, folder: &str) -> Result<(), Failed> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match std::fs::File::open(directory.join(folder)).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Failed::Settle(error)),
            _ => Ok(()),
        }
    }

    /// The files of rows in a folder, sorted by name.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Found>, Failed> {
        let found: Vec<_> = self.objects.list(Some(&path(folder)?)).try_collect().await?;
        Ok(sorted(found))
    }

    /// The names of what is in a folder, those behind one name and before another.
    pub(super) async fn names(&self, folder: &str, from: &str, to: &str) -> Result<Vec<String>, Failed> {
        let found = self.objects.list_with_offset(Some(&path(folder)?), &path(from)?);
        let names = found.map_ok(|meta| meta.location.to_string());
        let is_before = |name: &String| std::future::ready(name.as_str() < to);
        Ok(match self.directory {
            // A directory is listed in no order.
            Some(_) => names.try_filter(is_before).try_collect().await?,
            None => names.try_take_while(|name| std::future::ready(Ok(name.as_str() < to))).try_collect().await?,
        })
    }

    /// The files of rows whose names come behind another name, sorted; no more than so many of them.
    pub(super) async fn list_behind(&self, name: &str, most: usize) -> Result<Vec<Found>, Failed> {
        let found = self.objects.list_with_offset(None, &path(name)?);
        let is_file = |meta: &ObjectMeta| meta.location.as_ref().ends_with(ENDING);
        if self.directory.is_some() {
            // A directory is listed in no order.
            let mut found = sorted(found.try_collect().await?);
            found.truncate(most);
            return Ok(found);
        }
        let found = found.try_filter(|meta| std::future::ready(is_file(meta))).take(most);
        Ok(sorted(found.try_collect().await?))
    }
}

fn path(name: &str) -> Result<Path, Failed> {
    Ok(Path::parse(name).map_err(Error::from)?)
}

fn sorted(found: Vec<ObjectMeta>) -> Vec<Found> {
    let file = |meta: ObjectMeta| Found {
        name: meta.location.to_string(),
        bytes: meta.size,
        written: meta.last_modified.timestamp_millis(),
    };
    let mut files: Vec<_> = found.into_iter().map(file).filter(|file| file.name.ends_with(ENDING)).collect();
    files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    files
}

/// Removes what a kill left of this very file in a directory: the store writes to `NAME#1` and renames that, and whoever
/// reads all that is in a folder would read it.
fn clear(directory: &FilePath, name: &str) -> std::io::Result<()> {
    match std::fs::remove_file(directory.join(format!("{name}#1"))) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}
