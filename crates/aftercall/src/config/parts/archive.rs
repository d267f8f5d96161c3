//! Where the archive is.

use std::path::{Path, PathBuf};

use archive::{Location, S3};

use super::super::file::{ArchiveTable, File, OnOutage};
use super::super::{ConfigError, Secrets};

impl File {
    /// Where the archive is, if there is one.
    pub(crate) fn archive_location(&self) -> Result<Option<Location>, ConfigError> {
        let table = &self.archive;
        let Some(url) = &table.url else {
            self.check_nothing_needs_an_archive()?;
            return Ok(None);
        };
        if let Some(rest) = url.strip_prefix("s3://") {
            return bucket(table, rest).map(|s3| Some(Location::S3(s3)));
        }
        let path = match url.split_once("://") {
            None => PathBuf::from(url),
            Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
            Some(_) => {
                return Err(ConfigError::value_with_help(
                    "archive.url",
                    format!("`{url}` is no place that is known"),
                    "write a directory, \"file:///var/lib/aftercall-archive\" or \"s3://BUCKET/PREFIX\"",
                ));
            }
        };
        unwanted(table, "means nothing for a directory; remove it")?;
        self.check_directory(&path)?;
        Ok(Some(Location::Directory(path)))
    }

    /// What would be lost together is no second copy, and what is in the way of the queue's own files is refused.
    fn check_directory(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |problem: String, help: &str| Err(ConfigError::value_with_help("archive.url", problem, help));
        if path.as_os_str().is_empty() {
            return refuse("is empty".to_owned(), "name a directory, or remove the key");
        }
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            return refuse(format!("`{}` leads upwards with `..`", path.display()), "write the whole path");
        }
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (data, wanted) = (absolute(&self.data_dir()), absolute(path));
        if wanted.starts_with(&data) || data.starts_with(&wanted) {
            return refuse(
                format!("`{}` and data_dir are in each other, so that they would be lost together", path.display()),
                "name a directory beside it, better on another disk",
            );
        }
        Ok(())
    }

    fn check_nothing_needs_an_archive(&self) -> Result<(), ConfigError> {
        unwanted(&self.archive, "means nothing without archive.url")?;
        let needs = self.destinations.iter().find(|(_, table)| table.on_outage == OnOutage::Archive);
        match needs {
            Some((name, _)) => Err(ConfigError::value_with_help(
                format!("destinations.{name}.on_outage"),
                "is \"archive\", and no archive is configured",
                "add [archive] with url = \"s3://BUCKET/PREFIX\" or a directory, or write \"hold\"",
            )),
            None => Ok(()),
        }
    }
}

fn bucket(table: &ArchiveTable, rest: &str) -> Result<S3, ConfigError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(ConfigError::value_with_help("archive.url", "names no bucket", "write \"s3://BUCKET/PREFIX\""));
    }
    if let Some(endpoint) = &table.endpoint
        && !url_of_http(endpoint)
    {
        let help = "write \"https://s3.example.com\", without the bucket";
        return Err(ConfigError::value_with_help("archive.endpoint", format!("`{endpoint}` is no address"), help));
    }
    let find = |key: &str, name: &str| {
        let at = format!("archive.{key}");
        let secret = Secrets::find(&at, name)?;
        secret.get().map(|secret| secret.to_string()).map_err(|error| ConfigError::value(at, error))
    };
    let key = match (&table.access_key, &table.secret_key) {
        (Some(key), Some(secret)) => Some((find("access_key", key)?, find("secret_key", secret)?)),
        (None, None) => None,
        _ => {
            return Err(ConfigError::value_with_help(
                "archive",
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
        key,
    })
}

fn url_of_http(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// Refuses the keys of S3 where they mean nothing.
fn unwanted(table: &ArchiveTable, problem: &str) -> Result<(), ConfigError> {
    let keys = [
        ("endpoint", table.endpoint.is_some()),
        ("region", table.region.is_some()),
        ("access_key", table.access_key.is_some()),
        ("secret_key", table.secret_key.is_some()),
    ];
    match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(ConfigError::value(format!("archive.{key}"), problem)),
        None => Ok(()),
    }
}
