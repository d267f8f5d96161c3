//! Object stores: a local directory, or S3 and what speaks like it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::{OpenError, SendError};

/// Tries of one request; what fails all the same is tried again later, by whoever asked.
const RETRIES: usize = 2;

/// Where objects go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory, made if it is not there.
    Directory(PathBuf),
    /// A bucket.
    S3(S3),
}

/// A bucket of S3, or of what speaks like it.
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

impl Location {
    /// How people and other tools write it; ends without a slash.
    pub fn shown(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::S3(s3) if s3.prefix.is_empty() => format!("s3://{}", s3.bucket),
            Self::S3(s3) => format!("s3://{}/{}", s3.bucket, s3.prefix),
        }
    }

    /// Opens it; a directory is made, S3 is not asked anything yet. A request may take so long.
    pub(crate) fn open(&self, timeout: Duration) -> Result<Arc<dyn ObjectStore>, OpenError> {
        let refuse = |error: String| OpenError::option("url", format!("cannot be used: {error}"));
        match self {
            Self::Directory(path) => {
                let cannot = |error: std::io::Error| refuse(format!("{}: {error}", path.display()));
                std::fs::create_dir_all(path).map_err(cannot)?;
                let path = path.canonicalize().map_err(cannot)?;
                let objects = LocalFileSystem::new_with_prefix(&path).map_err(|error| refuse(error.to_string()))?;
                Ok(Arc::new(objects.with_fsync(true)))
            }
            Self::S3(s3) => {
                let objects = s3.open(timeout).map_err(|error| refuse(error.to_string()))?;
                Ok(Arc::new(PrefixStore::new(objects, Path::from(s3.prefix.as_str()))))
            }
        }
    }
}

impl S3 {
    fn open(&self, timeout: Duration) -> Result<AmazonS3, object_store::Error> {
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&self.bucket);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some((key, secret)) = &self.key {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        let mut options = ClientOptions::new().with_timeout(timeout);
        if let Some(endpoint) = &self.endpoint {
            options = options.with_allow_http(endpoint.starts_with("http://"));
            builder = builder.with_endpoint(endpoint);
        }
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: timeout, backoff: BackoffConfig::default() };
        builder.with_client_options(options).with_retry(retry).build()
    }
}

/// What a failed request to a store means for a delivery: whatever is wrong with the store concerns all deliveries, which
/// wait.
pub(crate) fn unreachable(shown: &str, error: &object_store::Error) -> SendError {
    SendError::transient(format!("the object store {shown} cannot be used now: {error}"))
}
