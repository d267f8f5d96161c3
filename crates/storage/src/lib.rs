//! Object stores: which one, and how it is opened.
//!
//! Whoever keeps objects (the archive, destinations, transcripts) names a [`Location`] and gets an [`ObjectStore`] below
//! it. All requests end: each has a time and a number of tries, and what fails all the same is tried again later by
//! whoever asked. Nothing is kept here, so a crash leaves nothing behind.

mod azure;
mod gcs;
pub mod key;
mod s3;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

pub use azure::Azure;
pub use gcs::Gcs;
pub use s3::S3;

/// Where objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory, made if it is not there.
    Directory(PathBuf),
    /// A bucket of S3.
    S3(S3),
    /// A bucket of Google Cloud Storage.
    Gcs(Gcs),
    /// A container of Azure Blob Storage.
    Azure(Azure),
}

/// How long a store is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The time of one request, and of all tries of it.
    pub timeout: Duration,
    /// Tries after the first.
    pub retries: usize,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error("{path}: {error}", path = .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        error: std::io::Error,
    },
    /// This build has no client for such a store.
    #[error(
        "{scheme}:// is a place that this build of aftercall cannot reach; use a build with the cargo feature `{feature}`"
    )]
    NotBuilt {
        /// How the place's address begins.
        scheme: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// The store's client refuses the settings.
    #[error("{0}")]
    Settings(#[from] object_store::Error),
}

impl Location {
    /// How people and other tools write it; ends without a slash.
    pub fn shown(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::S3(s3) => below("s3", &s3.bucket, &s3.prefix),
            Self::Gcs(gcs) => below("gs", &gcs.bucket, &gcs.prefix),
            Self::Azure(azure) => below("az", &azure.container, &azure.prefix),
        }
    }

    /// Opens it. A directory is made, and what is written there is synced; a bucket is not asked anything yet.
    ///
    /// # Errors
    /// What is wrong with the directory or the settings, for whoever configured it.
    pub fn open(&self, patience: Patience) -> Result<Arc<dyn ObjectStore>, OpenError> {
        let (store, prefix): (Arc<dyn ObjectStore>, _) = match self {
            Self::Directory(path) => return directory(path),
            Self::S3(s3) => (Arc::new(s3.open(patience)?), &s3.prefix),
            Self::Gcs(gcs) => (gcs.open(patience)?, &gcs.prefix),
            Self::Azure(azure) => (azure.open(patience)?, &azure.prefix),
        };
        Ok(Arc::new(PrefixStore::new(store, object_store::path::Path::from(prefix.as_str()))))
    }

    /// Whether this build can open such a place.
    ///
    /// # Errors
    /// That it cannot, and what to do.
    pub fn check(&self) -> Result<(), OpenError> {
        match self {
            Self::Gcs(_) if !cfg!(feature = "gcs") => Err(OpenError::NotBuilt { scheme: "gs", feature: "gcs" }),
            Self::Azure(_) if !cfg!(feature = "azure") => Err(OpenError::NotBuilt { scheme: "az", feature: "azure" }),
            _ => Ok(()),
        }
    }
}

fn directory(path: &Path) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let cannot = |error: std::io::Error| OpenError::Directory { path: path.to_owned(), error };
    std::fs::create_dir_all(path).map_err(cannot)?;
    let path = path.canonicalize().map_err(cannot)?;
    Ok(Arc::new(LocalFileSystem::new_with_prefix(path)?.with_fsync(true)))
}

fn below(scheme: &str, bucket: &str, prefix: &str) -> String {
    if prefix.is_empty() { format!("{scheme}://{bucket}") } else { format!("{scheme}://{bucket}/{prefix}") }
}

impl Patience {
    fn retry(self) -> RetryConfig {
        RetryConfig { max_retries: self.retries, retry_timeout: self.timeout, backoff: BackoffConfig::default() }
    }

    fn client(self) -> ClientOptions {
        ClientOptions::new().with_timeout(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;

    use super::*;

    const PATIENCE: Patience = Patience { timeout: Duration::from_secs(5), retries: 0 };

    #[test]
    fn a_place_is_shown_as_other_tools_write_it() {
        let bucket = |prefix: &str| {
            Location::S3(S3 { bucket: "lake".to_owned(), prefix: prefix.to_owned(), ..S3::default() }).shown()
        };
        assert_eq!(bucket(""), "s3://lake");
        assert_eq!(bucket("calls/eu"), "s3://lake/calls/eu");
        let gcs = Gcs { bucket: "lake".to_owned(), prefix: "calls".to_owned(), ..Gcs::default() };
        assert_eq!(Location::Gcs(gcs).shown(), "gs://lake/calls");
        let azure = Azure { container: "lake".to_owned(), ..Azure::default() };
        assert_eq!(Location::Azure(azure).shown(), "az://lake");
        assert_eq!(Location::Directory("/var/lib/lake".into()).shown(), "/var/lib/lake");
    }

    #[test]
    fn a_store_that_is_not_built_in_is_refused_with_the_cure() {
        let azure = Location::Azure(Azure { account: Some("a".to_owned()), ..Azure::default() });
        for (place, feature, is_built) in
            [(Location::Gcs(Gcs::default()), "gcs", cfg!(feature = "gcs")), (azure, "azure", cfg!(feature = "azure"))]
        {
            assert_eq!(place.check().is_ok(), is_built);
            if let Err(error) = place.check() {
                assert!(error.to_string().contains(&format!("cargo feature `{feature}`")), "{error}");
                assert!(matches!(place.open(PATIENCE), Err(OpenError::NotBuilt { .. })));
            }
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Location::Directory(file.clone()).open(PATIENCE).err().unwrap();
        assert!(error.to_string().starts_with(&file.display().to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_directory_is_made_and_keeps_what_is_put() {
        let dir = tempfile::tempdir().unwrap();
        let store = Location::Directory(dir.path().join("a/b")).open(PATIENCE).unwrap();
        store.put(&"c/d.json".into(), "{}".into()).await.unwrap();
        assert_eq!(std::fs::read(dir.path().join("a/b/c/d.json")).unwrap(), b"{}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let (id, key) = ("AKIA".to_owned(), "s3cr3t".to_owned());
        let s3 = S3 { key: Some((id.clone(), key.clone())), ..S3::default() };
        let gcs = Gcs { key: Some(key.clone()), ..Gcs::default() };
        let azure = Azure { account: Some(id), key: Some(key), ..Azure::default() };
        let shown = format!("{:?}", [Location::S3(s3), Location::Gcs(gcs), Location::Azure(azure)]);
        assert!(!shown.contains("s3cr3t") && !shown.contains("AKIA"), "{shown}");
    }
}
