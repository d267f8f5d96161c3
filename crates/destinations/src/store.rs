//! Destinations in object stores: how they open one, and what its failures mean.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use storage::{Location, Patience};

use crate::{OpenError, SendError};

/// Tries of one request after the first; delivery tries again later all the same.
const RETRIES: usize = 2;

/// Opens the place that `url` names. A request may take so long.
pub(crate) fn open(location: &Location, timeout: Duration) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let opened = location.open(Patience { timeout, retries: RETRIES });
    opened.map_err(|error| match error {
        storage::OpenError::Directory { .. } => OpenError::place("url", format!("cannot be used: {error}")),
        storage::OpenError::NotBuilt { .. } | storage::OpenError::Settings(_) => {
            OpenError::option("url", format!("cannot be used: {error}"))
        }
    })
}

/// What a failed request to a store means for a delivery: whatever is wrong with the store concerns all deliveries, which
/// wait.
pub(crate) fn unreachable(shown: &str, error: &object_store::Error) -> SendError {
    SendError::transient(format!("the object store {shown} cannot be used now: {error}"))
}
