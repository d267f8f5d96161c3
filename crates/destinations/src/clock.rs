//! The one place that reads the machine's clock.

use std::time::SystemTime;

/// The time now. Only for a `Retry-After` date in an answer that has no `Date` of its own.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
