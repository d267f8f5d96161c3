//! Where destinations in object stores are.

use super::super::super::file::DestinationTable;
use super::super::super::storage::Place;

/// The keys that say where a destination is.
pub(super) fn of<'a>(name: &str, table: &'a DestinationTable) -> Place<'a> {
    Place {
        at: format!("destinations.{name}"),
        url: table.url.as_ref(),
        endpoint: table.endpoint.as_ref(),
        region: table.region.as_ref(),
        access_key: table.access_key.as_ref(),
        secret_key: table.secret_key.as_ref(),
    }
}
