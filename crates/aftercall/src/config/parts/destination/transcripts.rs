//! Destinations of kind `transcripts`.

use std::sync::Arc;

use destinations::Destination;
use transcripts::{Options, Transcripts};

use super::super::super::file::{DestinationKind, DestinationTable};
use super::super::super::{ConfigError, Platform};
use super::super::refuse;
use super::{Fetching, aws, http_keys, parquet, place, postgres, refused};
use crate::serve;

/// Refuses, for all other kinds, the keys that only this one knows.
pub(super) fn refuse_elsewhere(name: &str, table: &DestinationTable) -> Result<(), ConfigError> {
    let kind = match table.kind {
        DestinationKind::Transcripts => return Ok(()),
        DestinationKind::Http => "http",
        DestinationKind::File => "file",
        DestinationKind::Postgres => "postgres",
        DestinationKind::Parquet => "parquet",
        DestinationKind::Objects => "objects",
        DestinationKind::Sqs => "sqs",
        DestinationKind::EventBridge => "eventbridge",
    };
    let keys = [
        ("schedule", table.schedule.is_some()),
        ("retention", table.retention.is_some()),
        ("max_size", table.max_size.is_some()),
        ("update", table.update.is_some()),
    ];
    refuse(name, kind, &keys)
}

/// Makes it. A store or a platform that cannot be reached now is no error.
pub(super) fn open(
    name: &str,
    table: &DestinationTable,
    asked: Option<&(Platform, Fetching)>,
) -> Result<Arc<dyn Destination>, ConfigError> {
    let (platform, fetching) = asked.ok_or_else(|| no_platform(name))?;
    let options = options(name, table)?;
    let opened = Transcripts::open(options, platform.client.clone(), Arc::new(serve::now));
    let opened = opened.map_err(|error| refused(name, error))?;
    fetching.is_open(opened.clone());
    Ok(Arc::new(opened))
}

/// Whether [`open`] would make it; makes nothing.
pub(super) fn check(name: &str, table: &DestinationTable, platform: Option<&Platform>) -> Result<(), ConfigError> {
    platform.ok_or_else(|| no_platform(name))?;
    Transcripts::check(&options(name, table)?).map_err(|error| refused(name, error))
}

fn no_platform(name: &str) -> ConfigError {
    ConfigError::value_with_help(
        format!("destinations.{name}"),
        "fetches transcripts from a platform, and none is configured",
        "add [genesys] with region, client_id and client_secret",
    )
}

fn options(name: &str, table: &DestinationTable) -> Result<Options, ConfigError> {
    let kind = "transcripts";
    refuse(name, kind, &[("path", table.path.is_some()), ("ca", table.ca.is_some())])?;
    refuse(name, kind, &http_keys(table))?;
    refuse(name, kind, &postgres::keys(table))?;
    refuse(name, kind, &parquet::keys(table))?;
    refuse(name, kind, &aws::keys(table))?;
    let mut options = Options::new(place::of(name, table).location()?);
    options.object = table.object.clone().unwrap_or(options.object);
    options.schedule = table.schedule();
    options.retention = table.retention.map(|time| time.0);
    options.max_bytes = table.max_size.map_or(options.max_bytes, |size| size.0 as u64);
    options.update = table.update.unwrap_or(options.update);
    Ok(options)
}
