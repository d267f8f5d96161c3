//! Where destinations in object stores are: a directory or a bucket, written as the archive's place is.

use std::path::PathBuf;

use destinations::{Location, S3};

use super::super::super::file::DestinationTable;
use super::super::super::{ConfigError, Secrets};

/// The keys that only kinds in object stores know, besides `url`.
pub(super) fn keys(table: &DestinationTable) -> [(&'static str, bool); 4] {
    [
        ("endpoint", table.endpoint.is_some()),
        ("region", table.region.is_some()),
        ("access_key", table.access_key.is_some()),
        ("secret_key", table.secret_key.is_some()),
    ]
}

/// The place that a table names.
pub(super) fn location(name: &str, table: &DestinationTable) -> Result<Location, ConfigError> {
    let key = |key: &str| format!("destinations.{name}.{key}");
    let help = "write a directory, \"file:///var/lib/lake\" or \"s3://BUCKET/PREFIX\"";
    let Some(url) = &table.url else {
        return Err(ConfigError::value_with_help(key("url"), "is missing", help));
    };
    if let Some(rest) = url.strip_prefix("s3://") {
        return bucket(name, table, rest).map(Location::S3);
    }
    let path = match url.split_once("://") {
        None if !url.is_empty() => PathBuf::from(url),
        Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
        _ => return Err(ConfigError::value_with_help(key("url"), format!("`{url}` is no place that is known"), help)),
    };
    match keys(table).iter().find(|(_, set)| *set) {
        Some((unwanted, _)) => Err(ConfigError::value(key(unwanted), "means nothing for a directory; remove it")),
        None => Ok(Location::Directory(path)),
    }
}

fn bucket(name: &str, table: &DestinationTable, rest: &str) -> Result<S3, ConfigError> {
    let key = |key: &str| format!("destinations.{name}.{key}");
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(ConfigError::value_with_help(key("url"), "names no bucket", "write \"s3://BUCKET/PREFIX\""));
    }
    if let Some(endpoint) = &table.endpoint
        && !endpoint
            .parse::<http::Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
    {
        let help = "write \"https://s3.example.com\", without the bucket";
        return Err(ConfigError::value_with_help(key("endpoint"), format!("`{endpoint}` is no address"), help));
    }
    let find = |at: &str, name: &str| {
        let secret = Secrets::find(&key(at), name)?;
        secret.get().map(|secret| secret.to_string()).map_err(|error| ConfigError::value(key(at), error))
    };
    let pair = match (&table.access_key, &table.secret_key) {
        (Some(access), Some(secret)) => Some((find("access_key", access)?, find("secret_key", secret)?)),
        (None, None) => None,
        _ => {
            return Err(ConfigError::value_with_help(
                format!("destinations.{name}"),
                "has only one of access_key and secret_key",
                "name both, or none to use the environment's or the machine's role",
            ));
        }
    };
    Ok(S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint: table.endpoint.clone(),
        region: table.region.clone(),
        key: pair,
    })
}
