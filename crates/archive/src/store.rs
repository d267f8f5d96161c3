//! The object store: a local directory, or S3 and what speaks like it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};

use crate::Error;

/// How long a request to S3 may take: a part of 32 MiB over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of one request; whoever asked tries again later.
const RETRIES: usize = 3;

/// Where an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory, made if it is not there.
    Directory(PathBuf),
    /// A bucket.
    S3(S3),
}

/// A bucket of S3.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// What every name begins with.
    pub prefix: String,
    /// Another address than Amazon's.
    pub endpoint: Option<String>,
    /// The region; the environment's, or us-east-1.
    pub region: Option<String>,
    /// Key and secret; without them the environment's, the container's or the machine's role.
    pub key: Option<(String, String)>,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("bucket", &self.bucket).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

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
        match location {
            Location::Directory(path) => {
                let cannot = |error: std::io::Error| format!("{}: {error}", path.display());
                std::fs::create_dir_all(path).map_err(cannot)?;
                let path = path.canonicalize().map_err(cannot)?;
                let shown = format!("file://{}", path.display());
                let objects =
                    LocalFileSystem::new_with_prefix(&path).map_err(|error| error.to_string())?.with_fsync(true);
                Ok(Self { objects: Arc::new(objects), shown })
            }
            Location::S3(s3) => {
                let shown = format!("s3://{}/{}", s3.bucket, s3.prefix);
                let objects = s3.open().map_err(|error| error.to_string())?;
                Ok(Self { objects: Arc::new(PrefixStore::new(objects, Path::from(s3.prefix.as_str()))), shown })
            }
        }
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

impl S3 {
    fn open(&self) -> Result<object_store::aws::AmazonS3, object_store::Error> {
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&self.bucket);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some((key, secret)) = &self.key {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        let mut options = ClientOptions::new().with_timeout(REQUEST_TIMEOUT);
        if let Some(endpoint) = &self.endpoint {
            options = options.with_allow_http(endpoint.starts_with("http://"));
            builder = builder.with_endpoint(endpoint);
        }
        let retry =
            RetryConfig { max_retries: RETRIES, retry_timeout: REQUEST_TIMEOUT, backoff: BackoffConfig::default() };
        builder.with_client_options(options).with_retry(retry).build()
    }
}
