//! Google Cloud Storage, in a build with the feature `gcs`.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::{OpenError, Patience};

/// A bucket of Google Cloud Storage.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Gcs {
    /// The bucket.
    pub bucket: String,
    /// What every name begins with.
    pub prefix: String,
    /// Another address than Google's.
    pub endpoint: Option<String>,
    /// The key of a service account, as JSON; without it the environment's or the machine's.
    pub key: Option<String>,
}

impl std::fmt::Debug for Gcs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gcs").field("bucket", &self.bucket).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Gcs {
    #[cfg(not(feature = "gcs"))]
    pub(crate) fn open(&self, _: Patience) -> Result<Arc<dyn ObjectStore>, OpenError> {
        Err(OpenError::NotBuilt { scheme: "gs", feature: "gcs" })
    }

    #[cfg(feature = "gcs")]
    pub(crate) fn open(&self, patience: Patience) -> Result<Arc<dyn ObjectStore>, OpenError> {
        let mut builder = object_store::gcp::GoogleCloudStorageBuilder::from_env().with_bucket_name(&self.bucket);
        if let Some(key) = &self.key {
            builder = builder.with_service_account_key(key);
        }
        let mut client = patience.client();
        if let Some(endpoint) = &self.endpoint {
            client = client.with_allow_http(endpoint.starts_with("http://"));
            builder = builder.with_base_url(endpoint);
        }
        Ok(Arc::new(builder.with_client_options(client).with_retry(patience.retry()).build()?))
    }
}
