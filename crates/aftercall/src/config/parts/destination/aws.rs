//! Destinations of kind `sqs` and `eventbridge`. A build without the feature `aws` says so.

use std::sync::Arc;

use destinations::Destination;

use super::super::super::ConfigError;
use super::super::super::file::{DestinationKind, DestinationTable};

/// The keys that only these kinds know, besides those of access, which kinds in object stores know too.
pub(super) fn keys(table: &DestinationTable) -> [(&'static str, bool); 6] {
    [
        ("queue_url", table.queue_url.is_some()),
        ("bus", table.bus.is_some()),
        ("event_source", table.event_source.is_some()),
        ("detail_type", table.detail_type.is_some()),
        ("time", table.time.is_some()),
        ("resources", table.resources.is_some()),
    ]
}

#[cfg(not(feature = "aws"))]
fn missing(name: &str, table: &DestinationTable) -> ConfigError {
    let kind = if table.kind == DestinationKind::Sqs { "sqs" } else { "eventbridge" };
    ConfigError::value_with_help(
        format!("destinations.{name}.kind"),
        format!("is \"{kind}\", which this build of aftercall cannot do"),
        "use a build with the cargo feature `aws`: cargo build --release --features aws",
    )
}

#[cfg(not(feature = "aws"))]
pub(super) fn open(
    name: &str,
    table: &DestinationTable,
    _: &delivery::Options,
) -> Result<Arc<dyn Destination>, ConfigError> {
    Err(missing(name, table))
}

#[cfg(not(feature = "aws"))]
pub(super) fn check(name: &str, table: &DestinationTable, _: &delivery::Options) -> Result<(), ConfigError> {
    Err(missing(name, table))
}

#[cfg(feature = "aws")]
pub(super) use self::built::{check, open};

#[cfg(feature = "aws")]
mod built {
    use destinations::eventbridge::{self, EventBridgeDestination};
    use destinations::sqs::{self, SqsDestination};

    use super::super::super::super::aws::{Keys, access};
    use super::super::super::refuse;
    use super::super::{http_keys, objects, parquet, postgres, refused};
    use super::*;

    /// Makes it. A service that cannot be reached now is no error.
    pub(in super::super) fn open(
        name: &str,
        table: &DestinationTable,
        delivery: &delivery::Options,
    ) -> Result<Arc<dyn Destination>, ConfigError> {
        let cannot = |error| refused(name, error);
        Ok(match table.kind {
            DestinationKind::Sqs => Arc::new(SqsDestination::open(queue(name, table, delivery)?).map_err(cannot)?),
            _ => Arc::new(EventBridgeDestination::open(bus(name, table, delivery)?).map_err(cannot)?),
        })
    }

    /// Whether [`open`] would make it.
    pub(in super::super) fn check(
        name: &str,
        table: &DestinationTable,
        delivery: &delivery::Options,
    ) -> Result<(), ConfigError> {
        let checked = match table.kind {
            DestinationKind::Sqs => SqsDestination::check(&queue(name, table, delivery)?),
            _ => EventBridgeDestination::check(&bus(name, table, delivery)?),
        };
        checked.map_err(|error| refused(name, error))
    }

    fn queue(name: &str, table: &DestinationTable, delivery: &delivery::Options) -> Result<sqs::Options, ConfigError> {
        others(name, "sqs", table)?;
        let of_a_bus = keys(table).into_iter().filter(|(key, _)| *key != "queue_url").collect::<Vec<_>>();
        refuse(name, "sqs", &of_a_bus)?;
        let url = table.queue_url.as_deref().ok_or_else(|| {
            ConfigError::value(
                format!("destinations.{name}.queue_url"),
                "is missing; write https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
            )
        })?;
        let mut options = sqs::Options::new(url);
        options.access = access(&format!("destinations.{name}"), &where_and_who(table))?;
        options.timeout = delivery.timeout;
        Ok(options)
    }

    fn bus(
        name: &str,
        table: &DestinationTable,
        delivery: &delivery::Options,
    ) -> Result<eventbridge::Options, ConfigError> {
        others(name, "eventbridge", table)?;
        refuse(name, "eventbridge", &[("queue_url", table.queue_url.is_some())])?;
        let mut options = eventbridge::Options::default();
        options.bus = table.bus.clone().unwrap_or(options.bus);
        options.source = table.event_source.clone().unwrap_or(options.source);
        options.detail_type = table.detail_type.clone().unwrap_or(options.detail_type);
        options.time = table.time.clone();
        options.resources = table.resources.clone().unwrap_or(options.resources);
        options.access = access(&format!("destinations.{name}"), &where_and_who(table))?;
        options.timeout = delivery.timeout;
        Ok(options)
    }

    fn where_and_who(table: &DestinationTable) -> Keys<'_> {
        Keys {
            region: table.region.as_deref(),
            endpoint: table.endpoint.as_deref(),
            access_key: table.access_key.as_deref(),
            secret_key: table.secret_key.as_deref(),
        }
    }

    /// Refuses the keys of other kinds.
    fn others(name: &str, kind: &str, table: &DestinationTable) -> Result<(), ConfigError> {
        let plain = [("url", table.url.is_some()), ("path", table.path.is_some()), ("ca", table.ca.is_some())];
        refuse(name, kind, &plain)?;
        refuse(name, kind, &http_keys(table))?;
        refuse(name, kind, &postgres::keys(table))?;
        refuse(name, kind, &parquet::keys(table))?;
        refuse(name, kind, &objects::keys(table))
    }
}
