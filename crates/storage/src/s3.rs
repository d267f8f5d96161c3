//! Amazon S3, and what speaks like it.

use object_store::aws::{AmazonS3, AmazonS3Builder};

use crate::Patience;

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

impl S3 {
    pub(crate) fn open(&self, patience: Patience) -> Result<AmazonS3, object_store::Error> {
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&self.bucket);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some((key, secret)) = &self.key {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        let mut client = patience.client();
        if let Some(endpoint) = &self.endpoint {
            client = client.with_allow_http(endpoint.starts_with("http://"));
            builder = builder.with_endpoint(endpoint);
        }
        builder.with_client_options(client).with_retry(patience.retry()).build()
    }
}
