//! Destinations of kind `postgres`. A build without the feature of that name says so.

use std::sync::Arc;

use destinations::Destination;

use super::super::super::ConfigError;
use super::super::super::file::DestinationTable;

/// The keys that only this kind knows.
pub(super) fn keys(table: &DestinationTable) -> [(&'static str, bool); 12] {
    [
        ("password", table.password.is_some()),
        ("sslmode", table.sslmode.is_some()),
        ("table", table.table.is_some()),
        ("key", table.key.is_some()),
        ("columns", table.columns.is_some()),
        ("version", table.version.is_some()),
        ("keep", table.keep.is_some()),
        ("extra", table.extra.is_some()),
        ("create", table.create.is_some()),
        ("connections", table.connections.is_some()),
        ("max_rows", table.max_rows.is_some()),
        ("max_bytes", table.max_bytes.is_some()),
    ]
}

#[cfg(not(feature = "postgres"))]
fn missing(name: &str) -> ConfigError {
    ConfigError::value_with_help(
        format!("destinations.{name}.kind"),
        "is \"postgres\", which this build of aftercall cannot do",
        "use a build with the cargo feature `postgres`",
    )
}

#[cfg(not(feature = "postgres"))]
pub(super) fn open(
    name: &str,
    _: &DestinationTable,
    _: &delivery::Options,
    _: Option<Vec<u8>>,
) -> Result<Arc<dyn Destination>, ConfigError> {
    Err(missing(name))
}

#[cfg(not(feature = "postgres"))]
pub(super) fn check(
    name: &str,
    _: &DestinationTable,
    _: &delivery::Options,
    _: Option<Vec<u8>>,
) -> Result<(), ConfigError> {
    Err(missing(name))
}

#[cfg(feature = "postgres")]
pub(super) use self::built::{check, open};

#[cfg(feature = "postgres")]
mod built {
    use destinations::postgres::{Keep, Options, PostgresDestination, SslMode};

    use super::super::super::super::Secrets;
    use super::super::super::super::file::{KeepSetting, KeySetting, SslModeSetting};
    use super::super::super::refuse;
    use super::super::{aws, http_keys, objects, parquet, place, refused};
    use super::*;

    /// Makes it. A database that cannot be reached now is no error.
    pub(in super::super) fn open(
        name: &str,
        table: &DestinationTable,
        delivery: &delivery::Options,
        ca_pem: Option<Vec<u8>>,
    ) -> Result<Arc<dyn Destination>, ConfigError> {
        let opened = PostgresDestination::open(options(name, table, delivery, ca_pem)?);
        Ok(Arc::new(opened.map_err(|error| refused(name, error))?))
    }

    /// Whether [`open`] would make it; makes no table. Says so if the database cannot be asked.
    pub(in super::super) fn check(
        name: &str,
        table: &DestinationTable,
        delivery: &delivery::Options,
        ca_pem: Option<Vec<u8>>,
    ) -> Result<(), ConfigError> {
        let checked = PostgresDestination::check(&options(name, table, delivery, ca_pem)?);
        if let Some(problem) = checked.map_err(|error| refused(name, error))? {
            crate::output::warn(&format!(
                "destinations.{name}: {problem}; its table could not be looked at, and deliveries would wait as in an outage"
            ));
        }
        Ok(())
    }

    fn options(
        name: &str,
        table: &DestinationTable,
        delivery: &delivery::Options,
        ca_pem: Option<Vec<u8>>,
    ) -> Result<Options, ConfigError> {
        let key = |key: &str| format!("destinations.{name}.{key}");
        refuse(name, "postgres", &[("path", table.path.is_some())])?;
        refuse(name, "postgres", &http_keys(table))?;
        refuse(name, "postgres", &place::of(name, table).bucket_keys())?;
        refuse(name, "postgres", &parquet::keys(table))?;
        refuse(name, "postgres", &objects::keys(table))?;
        refuse(name, "postgres", &aws::keys(table))?;
        let url = table.url.as_deref().ok_or_else(|| {
            ConfigError::value(key("url"), "is missing; name the database: postgres://USER@HOST:5432/DATABASE")
        })?;
        let written =
            table.table.as_deref().ok_or_else(|| ConfigError::value(key("table"), "is missing; name the table"))?;
        let columns = match table.key.clone() {
            Some(KeySetting::One(column)) => vec![column],
            Some(KeySetting::Several(columns)) => columns,
            None => {
                return Err(ConfigError::value(key("key"), "is missing; name the column that tells rows apart"));
            }
        };
        let mut options = Options::new(url, written, columns);
        options.password =
            table.password.as_deref().map(|secret| Secrets::find(&key("password"), secret)).transpose()?;
        options.ssl = match table.sslmode {
            Some(SslModeSetting::Disable) => SslMode::Disable,
            Some(SslModeSetting::Require) => SslMode::Require,
            Some(SslModeSetting::VerifyFull) | None => SslMode::VerifyFull,
        };
        options.ca_pem = ca_pem;
        options.columns = table.columns.clone().unwrap_or_default();
        options.version = table.version.clone();
        options.keep = match table.keep {
            Some(KeepSetting::Present) => Keep::Present,
            Some(KeepSetting::Nothing) | None => Keep::Nothing,
        };
        options.extra = table.extra.clone();
        options.create = table.create.unwrap_or(options.create);
        options.connections = table.connections.unwrap_or(options.connections);
        options.max_rows = table.max_rows.unwrap_or(options.max_rows);
        options.max_bytes = table.max_bytes.map_or(options.max_bytes, |size| size.0);
        options.timeout = delivery.timeout;
        Ok(options)
    }
}
