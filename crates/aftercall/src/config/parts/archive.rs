//! Where the archive is.

use std::path::Path;

use storage::Location;

use super::super::ConfigError;
use super::super::file::{File, OnOutage};
use super::super::storage::Place;

impl File {
    /// Where the archive is, if there is one.
    pub(crate) fn archive_location(&self) -> Result<Option<Location>, ConfigError> {
        let place = self.archive_place();
        if place.url.is_none() {
            place.refuse_bucket_keys("means nothing without archive.url")?;
            self.check_nothing_needs_an_archive()?;
            return Ok(None);
        }
        let location = place.location()?;
        if let Location::Directory(path) = &location {
            self.check_directory(path)?;
        }
        Ok(Some(location))
    }

    fn archive_place(&self) -> Place<'_> {
        let table = &self.archive;
        Place {
            at: "archive".to_owned(),
            url: table.url.as_ref(),
            endpoint: table.endpoint.as_ref(),
            region: table.region.as_ref(),
            access_key: table.access_key.as_ref(),
            secret_key: table.secret_key.as_ref(),
        }
    }

    /// What would be lost together is no second copy, and what is in the way of the queue's own files is refused.
    fn check_directory(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |problem: String, help: &str| Err(ConfigError::value_with_help("archive.url", problem, help));
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
