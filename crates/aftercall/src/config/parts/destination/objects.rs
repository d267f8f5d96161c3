//! Destinations of kind `objects`.

use std::sync::Arc;

use destinations::Destination;
use destinations::objects::{ObjectsDestination, Options};

use super::super::super::ConfigError;
use super::super::super::file::DestinationTable;
use super::super::refuse;
use super::{aws, http_keys, parquet, place, postgres, refused};

/// The keys that only this kind knows.
pub(super) fn keys(table: &DestinationTable) -> [(&'static str, bool); 1] {
    [("object", table.object.is_some())]
}

/// Makes it. A store that cannot be reached now is no error.
pub(super) fn open(
    name: &str,
    table: &DestinationTable,
    delivery: &delivery::Options,
) -> Result<Arc<dyn Destination>, ConfigError> {
    let opened = ObjectsDestination::open(&options(name, table, delivery)?).map_err(|error| refused(name, error))?;
    Ok(Arc::new(opened))
}

/// Whether [`open`] would make it; makes nothing.
pub(super) fn check(name: &str, table: &DestinationTable, delivery: &delivery::Options) -> Result<(), ConfigError> {
    ObjectsDestination::check(&options(name, table, delivery)?).map_err(|error| refused(name, error))
}

fn options(name: &str, table: &DestinationTable, delivery: &delivery::Options) -> Result<Options, ConfigError> {
    refuse(name, "objects", &[("path", table.path.is_some()), ("ca", table.ca.is_some())])?;
    refuse(name, "objects", &http_keys(table))?;
    refuse(name, "objects", &postgres::keys(table))?;
    refuse(name, "objects", &parquet::keys(table))?;
    refuse(name, "objects", &aws::keys(table))?;
    let mut options = Options::new(place::of(name, table).location()?);
    options.key = table.object.clone().unwrap_or(options.key);
    options.timeout = delivery.timeout;
    Ok(options)
}
