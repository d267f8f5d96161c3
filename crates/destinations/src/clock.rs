//! The one place that reads the machine's clock.

use std::time::SystemTime;

/// The time now. Only for how long rows have waited for their file.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
