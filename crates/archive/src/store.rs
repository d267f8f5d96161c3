//! The object store of the archive.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use storage::{Location, Patience};

use crate::Error;

/// How long a request to S3 may take: a part of 32 MiB over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of one request after the first; whoever asked tries again later.
const RETRIES: usize = 3;

/// An object store, below the archive's root.
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    shown: String,
}

impl Store {
    /// Opens it; a directory is made, S3 is not asked anything yet.
    ///
    /// # Errors
    /// What is wrong with the place, for whoever configured it.
    pub fn open(location: &Location) -> Result<Self, String> {
        let patience = Patience { timeout: REQUEST_TIMEOUT, retries: RETRIES };
        let objects = location.open(patience).map_err(|error| error.to_string())?;
        let shown = match location {
            Location::Directory(path) => {
                format!("file://{}", path.canonicalize().map_err(|error| error.to_string())?.display())
            }
            _ => location.shown(),
        };
        Ok(Self { objects, shown })
    }

    /// Where it is, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Durable on return.
    pub(crate) async fn put(&self, name: &str, data: Bytes) -> Result<(), Error> {
        self.objects.put(&Path::from(name), data.into()).await.map(drop).map_err(Error::from)
    }

    /// The object; none if it is not there.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>, Error> {
        match self.objects.get(&Path::from(name)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object, if it is there.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        match self.objects.delete(&Path::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The folders in a folder, sorted, by their last part.
    pub(crate) async fn folders(&self, root: &Path) -> Result<Vec<String>, Error> {
        let found = match self.objects.list_with_delimiter(Some(root)).await {
            Ok(found) => found.common_prefixes,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut names: Vec<String> = found.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Everything below a folder, sorted.
    pub(crate) async fn names(&self, root: &str) -> Result<Vec<String>, Error> {
        let root = Path::from(root);
        let listed = self.objects.list(Some(&root)).map_ok(|meta| meta.location.to_string());
        let mut names: Vec<String> = match listed.try_collect().await {
            Ok(names) => names,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        names.sort_unstable();
        Ok(names)
    }
}
