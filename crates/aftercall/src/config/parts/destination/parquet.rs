//! Destinations of kind `parquet`. A build without the feature of that name says so.

use std::path::Path;
use std::sync::Arc;

use destinations::Destination;

use super::super::super::ConfigError;
use super::super::super::file::DestinationTable;

/// The folder in the data directory in which the journals are.
#[cfg(feature = "parquet")]
pub(crate) const JOURNALS: &str = "parquet";

/// The keys that only this kind knows.
pub(super) fn keys(table: &DestinationTable) -> [(&'static str, bool); 9] {
    [
        ("partition", table.partition.is_some()),
        ("file_bytes", table.file_bytes.is_some()),
        ("file_age", table.file_age.is_some()),
        ("journal", table.journal.is_some()),
        ("journal_bytes", table.journal_bytes.is_some()),
        ("remember", table.remember.is_some()),
        ("merge_files", table.merge_files.is_some()),
        ("merge_below", table.merge_below.is_some()),
        ("merge_after", table.merge_after.is_some()),
    ]
}

#[cfg(not(feature = "parquet"))]
fn missing(name: &str) -> ConfigError {
    ConfigError::value_with_help(
        format!("destinations.{name}.kind"),
        "is \"parquet\", which this build of aftercall cannot do",
        "use a build with the cargo feature `parquet`",
    )
}

#[cfg(not(feature = "parquet"))]
pub(super) fn open(name: &str, _: &DestinationTable, _: &Path) -> Result<Arc<dyn Destination>, ConfigError> {
    Err(missing(name))
}

#[cfg(not(feature = "parquet"))]
pub(super) fn check(name: &str, _: &DestinationTable, _: &Path) -> Result<(), ConfigError> {
    Err(missing(name))
}

#[cfg(feature = "parquet")]
pub(crate) use self::built::options;
#[cfg(feature = "parquet")]
pub(super) use self::built::{check, open};

#[cfg(feature = "parquet")]
mod built {
    use destinations::parquet::{Grain, Options, ParquetDestination};

    use super::super::super::super::file::GrainSetting;
    use super::super::super::refuse;
    use super::super::{aws, http_keys, objects, place, postgres, refused};
    use super::*;

    /// Makes it. A store that cannot be reached now is no error.
    pub(in super::super) fn open(
        name: &str,
        table: &DestinationTable,
        data: &Path,
    ) -> Result<Arc<dyn Destination>, ConfigError> {
        let opened = ParquetDestination::open(&options(name, table, data)?);
        Ok(Arc::new(opened.map_err(|error| refused(name, error))?))
    }

    /// Whether [`open`] would make it; makes nothing.
    pub(in super::super) fn check(name: &str, table: &DestinationTable, data: &Path) -> Result<(), ConfigError> {
        ParquetDestination::check(&options(name, table, data)?).map_err(|error| refused(name, error))
    }

    /// What a table says.
    pub(crate) fn options(name: &str, table: &DestinationTable, data: &Path) -> Result<Options, ConfigError> {
        refuse(name, "parquet", &[("path", table.path.is_some()), ("ca", table.ca.is_some())])?;
        refuse(name, "parquet", &http_keys(table))?;
        refuse(name, "parquet", &postgres::keys(table))?;
        refuse(name, "parquet", &objects::keys(table))?;
        refuse(name, "parquet", &aws::keys(table))?;
        let journal = table.journal.clone().unwrap_or_else(|| data.join(JOURNALS).join(name));
        let mut options = Options::new(place::of(name, table).location()?, journal);
        options.partition = match table.partition {
            Some(GrainSetting::Day) => Grain::Day,
            Some(GrainSetting::Hour) => Grain::Hour,
            None => options.partition,
        };
        options.file_bytes = table.file_bytes.map_or(options.file_bytes, |size| size.0 as u64);
        options.file_age = table.file_age.map_or(options.file_age, |time| time.0);
        options.journal_bytes = table.journal_bytes.map_or(options.journal_bytes, |size| size.0 as u64);
        options.remembered = table.remember.unwrap_or(options.remembered);
        options.merge_files = table.merge_files.unwrap_or(options.merge_files);
        options.merge_below = table.merge_below.map_or(options.merge_below, |size| size.0 as u64);
        options.merge_after = table.merge_after.map_or(options.merge_after, |time| time.0);
        Ok(options)
    }
}
