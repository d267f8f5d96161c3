//! Places in object stores, written alike wherever one is configured: a directory, or a bucket with its address and keys.

use std::path::PathBuf;

use storage::{Azure, Gcs, Location, S3};

use super::{ConfigError, Secrets};

/// The keys that say where something is, as they stand in a table.
pub(super) struct Place<'a> {
    /// The table, for messages.
    pub(super) at: String,
    pub(super) url: Option<&'a String>,
    pub(super) endpoint: Option<&'a String>,
    pub(super) region: Option<&'a String>,
    pub(super) access_key: Option<&'a String>,
    pub(super) secret_key: Option<&'a String>,
}

impl Place<'_> {
    /// The place that the keys name, which this build can reach.
    pub(super) fn location(&self) -> Result<Location, ConfigError> {
        let help = "write a directory, \"file:///var/lib/aftercall-objects\", \"s3://BUCKET/PREFIX\", \
                    \"gs://BUCKET/PREFIX\" or \"az://CONTAINER/PREFIX\"";
        let Some(url) = self.url else {
            return Err(ConfigError::value_with_help(self.key("url"), "is missing", help));
        };
        let path = match url.split_once("://") {
            Some(("s3", rest)) => return self.s3(rest).map(Location::S3),
            Some(("gs", rest)) => return self.built(Location::Gcs(self.gcs(rest)?)),
            Some(("az", rest)) => return self.built(Location::Azure(self.azure(rest)?)),
            None if !url.is_empty() => PathBuf::from(url),
            Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
            _ => {
                let problem = format!("`{url}` is no place that is known");
                return Err(ConfigError::value_with_help(self.key("url"), problem, help));
            }
        };
        self.refuse_bucket_keys("means nothing for a directory; remove it")?;
        Ok(Location::Directory(path))
    }

    fn built(&self, location: Location) -> Result<Location, ConfigError> {
        location.check().map_err(|error| ConfigError::value(self.key("url"), error))?;
        Ok(location)
    }

    /// Refuses what only a bucket has.
    pub(super) fn refuse_bucket_keys(&self, problem: &str) -> Result<(), ConfigError> {
        match self.bucket_keys().into_iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(ConfigError::value(self.key(key), problem)),
            None => Ok(()),
        }
    }

    /// The keys that only a bucket has, and whether they are there.
    pub(super) fn bucket_keys(&self) -> [(&'static str, bool); 4] {
        [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("access_key", self.access_key.is_some()),
            ("secret_key", self.secret_key.is_some()),
        ]
    }

    fn s3(&self, rest: &str) -> Result<S3, ConfigError> {
        let (bucket, prefix) = self.bucket(rest, "write \"s3://BUCKET/PREFIX\"")?;
        let key = match (self.access_key, self.secret_key) {
            (Some(access), Some(secret)) => {
                Some((self.secret("access_key", access)?, self.secret("secret_key", secret)?))
            }
            (None, None) => None,
            _ => {
                return Err(ConfigError::value_with_help(
                    self.at.clone(),
                    "has only one of access_key and secret_key",
                    "name both, or none to use the environment's or the machine's role",
                ));
            }
        };
        Ok(S3 { bucket, prefix, endpoint: self.endpoint.cloned(), region: self.region.cloned(), key })
    }

    fn gcs(&self, rest: &str) -> Result<Gcs, ConfigError> {
        let (bucket, prefix) = self.bucket(rest, "write \"gs://BUCKET/PREFIX\"")?;
        self.refuse_region("gs")?;
        if self.access_key.is_some() {
            let help = "name the JSON of a service account's key with secret_key, or nothing to use the environment's";
            return Err(ConfigError::value_with_help(self.key("access_key"), "means nothing for gs://", help));
        }
        let key = self.secret_key.map(|name| self.secret("secret_key", name)).transpose()?;
        Ok(Gcs { bucket, prefix, endpoint: self.endpoint.cloned(), key })
    }

    fn azure(&self, rest: &str) -> Result<Azure, ConfigError> {
        let (container, prefix) = self.bucket(rest, "write \"az://CONTAINER/PREFIX\"")?;
        self.refuse_region("az")?;
        if self.secret_key.is_some() && self.access_key.is_none() {
            let help = "name the storage account with access_key, as secret_key names the account's key";
            return Err(ConfigError::value_with_help(self.key("access_key"), "is missing", help));
        }
        let account = self.access_key.map(|name| self.secret("access_key", name)).transpose()?;
        let key = self.secret_key.map(|name| self.secret("secret_key", name)).transpose()?;
        Ok(Azure { container, prefix, endpoint: self.endpoint.cloned(), account, key })
    }

    fn refuse_region(&self, scheme: &str) -> Result<(), ConfigError> {
        match self.region {
            Some(_) => Err(ConfigError::value(self.key("region"), format!("means nothing for {scheme}://; remove it"))),
            None => Ok(()),
        }
    }

    /// The bucket and the prefix; also checks the endpoint.
    fn bucket(&self, rest: &str, help: &str) -> Result<(String, String), ConfigError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(ConfigError::value_with_help(self.key("url"), "names no bucket", help));
        }
        if let Some(endpoint) = self.endpoint
            && !is_address(endpoint)
        {
            let help = "write \"https://s3.example.com\", without the bucket";
            let problem = format!("`{endpoint}` is no address");
            return Err(ConfigError::value_with_help(self.key("endpoint"), problem, help));
        }
        Ok((bucket.to_owned(), prefix.trim_matches('/').to_owned()))
    }

    fn secret(&self, key: &str, name: &str) -> Result<String, ConfigError> {
        let at = self.key(key);
        let secret = Secrets::find(&at, name)?;
        secret.get().map(|secret| secret.to_string()).map_err(|error| ConfigError::value(at, error))
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.at)
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}
